"""The benches: every figure there and in its order of size, and nothing left behind."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bot.__main__ import run
from bot.benches import commands as bench_commands
from bot.benches import hosts as bench_hosts
from bot.benches import ledger as bench_ledger
from bot.benches import vms as bench_vms
from bot.benches.history import write_history
from bot.board import Board
from bot.ledger import Ledger
from bot.reading import verify
from plans.records import Due, Run

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
    assert 0 < told["upload_ratio_scp_checked"] < told["upload_ratio_scp"]
    assert told["vcenter"]["snapshot_calls"] <= 4
    assert told["vcenter"]["power_states_5_ms"] > 0
    assert "64 MiB up" in said.err
    processes = subprocess.check_output(["ps", "-eo", "args"], text=True)
    assert made
    assert [folder for folder in made if Path(folder).exists() or folder in processes] == []


def test_without_sshd_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    code = (
        "from bot import __main__; from bot.benches import sshd; sshd.PLACES = ''; "
        "raise SystemExit(__main__.run(['bench', 'machines']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "quarterdeck: needs_sshd: Not installed here: ssh, scp, ssh-keygen, sshd." in done.stderr
    assert "apt-get install openssh-server" in done.stderr


def test_the_ledger_is_measured_when_it_is_short_and_when_it_is_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, few in (("LONG", 3000), ("APPENDS", 20), ("STARTS", 1), ("SAVE_EVERY", 100), ("TINY", (100, 200))):
        monkeypatch.setattr(bench_ledger, name, few)
    assert run(["bench", "ledger"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["append_ratio_3k_to_100"] == pytest.approx(told["append_3k_ms"] / told["append_100_ms"], abs=0.01)
    assert told["append_worst_while_the_read_model_is_written_ms"] >= told["append_3k_ms"]
    assert told["start_3k_with_read_model_seconds"] > 0 < told["start_3k_seconds"]
    assert told["tinydb_insert_200_ms"] > 0 < told["sqlite_insert_3k_ms"]


def test_a_history_is_a_ledger_that_anybody_can_verify_and_in_which_releases_came_to_prod(tmp_path: Path) -> None:
    tail = write_history(tmp_path / "ledger.jsonl", 3000)
    assert verify(tmp_path) == (3000, tail.hash)
    board = Board(Ledger.open(tmp_path))
    runs = list(board.table(Run))
    assert {run.verdict for run in runs[:-1]} == {"passed", "failed"}
    assert all(run.clean for run in runs)
    deployed = board.environment("prod").deployed["webshop"]
    assert deployed[:5] == ("R-1", "R-2", "R-3", "R-4", "R-5")
    assert len(list(board.table(Due))) <= 1, "what is called for is posted"
    board.close()


def test_commands_to_a_bot_with_four_runs_are_acknowledged_answered_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, few in (("PER_SECOND", 20), ("OTHER_SECONDS", 1)):
        monkeypatch.setattr(bench_commands, name, few)
    code = run(["bench", "commands", "--seconds", "3"])
    told = json.loads(capsys.readouterr().out)
    assert code == (0 if told["ok"] else 1)
    aims = told["aims"]
    assert told["ok"] == all(aims.values())
    assert aims["four_runs_went_on"]
    assert aims["nothing_dropped"]
    assert aims["nothing_run_after_3_s"]
    assert told["commands"] == 60
    assert told["effects"] > 0
    for measured in ("idle", "busy", "bolt_as_it_comes"):
        spread = told[f"{measured}_ack_ms"]
        assert 0 < spread["p50"] <= spread["p99"] <= spread["max"]
