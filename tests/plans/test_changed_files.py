"""What a deployment put on a host is searched there for what no package may hold."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from plans.changed_files import command, findings

KEY = "-----BEGIN " + "RSA PRIVATE KEY-----\n"
FORBIDDEN = ("^Test Customer$", r"(?i)@example\.com")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host where one file was there before the deployment, which began with `since`."""
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/before").write_text("Test Customer\n")
    began = (tmp_path / "srv/before").stat().st_ctime_ns
    since = tmp_path / "since"
    while not since.exists() or since.stat().st_ctime_ns <= began:
        since.write_text("")
    while (tmp_path / "now").write_text("") or (tmp_path / "now").stat().st_ctime_ns <= since.stat().st_ctime_ns:
        time.sleep(0.001)
    return tmp_path


def ran(host: Path, *paths: str, since: str = "since") -> subprocess.CompletedProcess[str]:
    words = ["/bin/sh", "-c", command(paths or ("srv",), since, FORBIDDEN)]
    return subprocess.run(words, cwd=host, capture_output=True, text=True, timeout=60, check=False)


def test_what_came_with_the_deployment_is_found_by_file_and_line(host: Path) -> None:
    (host / "srv/it's: new").write_text("x\nTest Customer\nTest Customer\n")
    (host / "srv/both").write_bytes(b"\0\xff\nann@EXAMPLE.com\n" + KEY.encode())
    (host / "srv/good").write_text("x Test Customer\n")
    old = host / "srv/put there with its old time"
    old.write_text("b@example.com\n")
    os.utime(old, (0, 0))
    done = ran(host)
    assert (done.returncode, done.stderr) == (0, "")
    assert {(finding.code, finding.place) for finding in findings(done.stdout, FORBIDDEN)} == {
        ("private_key", "srv/both, line 3"),
        ("forbidden_content", "srv/both, line 2"),
        ("forbidden_content", "srv/it's: new, line 2"),
        ("forbidden_content", "srv/put there with its old time, line 1"),
    }
    assert "EXAMPLE" not in done.stdout


def test_nothing_is_found_where_nothing_changed(host: Path) -> None:
    done = ran(host, "srv", "not there")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert findings("", FORBIDDEN) == ()


def test_without_the_file_that_tells_the_time_nothing_is_said(host: Path) -> None:
    done = ran(host, since="gone")
    assert done.returncode == 69
    assert "there is no gone to tell by what has changed" in done.stderr


def test_a_search_that_is_given_up_is_not_a_clean_one(host: Path) -> None:
    (host / "srv/hostile").write_text("a" * 60 + "b\n")
    words = ["/bin/sh", "-c", command(("srv",), "since", (r"(a+)+$",))]
    done = subprocess.run(words, cwd=host, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 69
    assert "the search of srv for (a+)+$ did not come to its end" in done.stderr
