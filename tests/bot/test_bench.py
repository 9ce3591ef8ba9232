"""The bench of machines: every figure there and in its order of size, and nothing left behind."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bot import bench_hosts, bench_vms
from bot.__main__ import run

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


@pytest.mark.skipif(SSHD is None and not os.environ.get("CI"), reason="sshd is not installed (Debian: openssh-server)")
def test_it_measures_side_by_side_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    monkeypatch.setattr(
        tempfile, "mkdtemp", lambda *names, make=tempfile.mkdtemp: made.append(make(*names)) or made[-1]
    )
    for module, name, few in (
        (bench_hosts, "STEPS", 5),
        (bench_hosts, "PROCESSES", 1),
        (bench_hosts, "UPLOADS", 1),
        (bench_hosts, "MEBIBYTES", 4),
        (bench_hosts, "OTHERS", {"pyinfra": lambda sshd, folder: ["no-such-tool"]}),
        (bench_vms, "SIZES", (3, 5)),
        (bench_vms, "SNAPSHOTS", 2),
    ):
        monkeypatch.setattr(module, name, few)
    assert run(["bench", "machines"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert 0.05 < told["warm_step_ratio_openssh"] < 20
    assert told["warm_step_ratio_openssh"] == pytest.approx(told["warm_step_ms"] / told["openssh_ms"], abs=0.01)
    assert 0.05 < told["ten_by_ten_ratio_openssh"] < 20
    assert told["ten_by_ten_ratio_pyinfra"] is None
    assert told["upload_mb_s"] > 0 < told["scp_mb_s"]
    assert told["vcenter"]["snapshot_calls"] <= 4
    assert told["vcenter"]["power_states_5_ms"] > 0
    assert "64 MiB up" in said.err
    processes = subprocess.check_output(["ps", "-eo", "args"], text=True)
    assert made
    assert [folder for folder in made if Path(folder).exists() or folder in processes] == []


def test_without_sshd_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    code = (
        "from bot import __main__, bench_sshd; bench_sshd.PLACES = ''; "
        "raise SystemExit(__main__.run(['bench', 'machines']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "quarterdeck: needs_sshd: Not installed here: ssh, scp, ssh-keygen, sshd." in done.stderr
    assert "apt-get install openssh-server" in done.stderr
