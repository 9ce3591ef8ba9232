"""How /bin/sh checks a file: by whichever tool a machine has, and never by none."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from vmops.languages import SH

TOOLS = ("openssl", "sha256sum", "shasum")


def sh(script: str, folder: Path, *tools: str) -> "subprocess.CompletedProcess[str]":
    """A script on a machine that has these of the tools."""
    programs = folder / "-".join(("bin", *tools))
    programs.mkdir()
    for tool in ("mv", "rm", *tools):
        found = shutil.which(tool)
        assert found
        (programs / tool).write_text(f'#!/bin/sh\nexec {found} "$@"\n')
        (programs / tool).chmod(0o755)
    told = {"cwd": folder, "env": {"PATH": str(programs)}, "capture_output": True, "text": True, "check": False}
    return subprocess.run(["/bin/sh", "-c", script], **told)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("tool", TOOLS)
def test_any_tool_tells_the_same_digest(tool: str, tmp_path: Path) -> None:
    (tmp_path / "-it's here").write_bytes(b"content")
    done = sh(SH.digest("-it's here"), tmp_path, tool)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{hashlib.sha256(b'content').hexdigest()}\n", "")


def test_a_tool_that_does_not_work_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    broken = "openssl() { echo 'openssl.cnf: no such provider' >&2; return 1; }\n"
    done = sh(broken + SH.digest("file"), tmp_path, "sha256sum")
    assert done.stdout == f"{hashlib.sha256(b'content').hexdigest()}\n"


def test_without_a_tool_nothing_is_taken_for_checked(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    done = sh(SH.take("file", "to", hashlib.sha256(b"content").hexdigest()), tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "neither openssl nor sha256sum nor shasum" in done.stderr
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "to").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = sh(SH.digest("missing"), tmp_path, "sha256sum")
    assert (done.returncode != 0, done.stdout, "missing" in done.stderr) == (True, "", True)
