"""The disk is full: what it does not take was not acknowledged, people are told so, and with room again all goes on."""

import errno
import os
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from builders import handed_off, started
from deck_room import Still, configured
from faults import checker, scenes
from faults.disks import Disk, Quota, small_disk
from faults.harness import Site
from faults.people import ADMIN, DEVELOPER, Team
from faults.seeds import WHOLE, tried
from faults.tally import Tally
from faults.test_ledger_faults import DEADLINE, PROCESSES
from faults.writers import fills

from bot.board import Board
from bot.chores.sweeps import Sweeper
from bot.clock import Clock
from bot.ledger import Ledger
from bot.masking import Masker
from bot.material import Materials
from bot.packages import Store
from bot.promotions import Promotions
from bot.runs import Runs
from plans import events as e
from plans.rule_events import InspectionOpened

KINDS = ("a small disk", "a quota")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_taken_whole_or_refused_wherever_the_disk_ends(tmp_path: Path, tally: Tally, kind: str) -> None:
    def once(chance: random.Random) -> int:
        folder = tmp_path / "disk"
        with ExitStack() as stack:
            disk = stack.enter_context(small_disk(folder, 300)) if kind == KINDS[0] else None
            process = PROCESSES.Process(target=fills, args=(folder / "var", chance.getrandbits(32), disk), daemon=True)
            process.start()
            process.join(DEADLINE)
            assert process.exitcode == 0
        shutil.rmtree(folder)
        return 1

    tried(tally, f"the disk full while the ledger is written: {kind}", once, sample=3, whole=50)


@contextmanager
def opened(folder: Path, kind: str) -> Iterator[tuple[Site, Team, Disk]]:
    """A lab and its bot, whose data directory is on such a disk."""
    site = Site(folder, scenes.environments)
    with ExitStack() as stack:
        stack.callback(site.close)
        site.open()
        small = stack.enter_context(small_disk(folder / "var", 2000)) if kind == KINDS[0] else None
        team = Team(site)
        team.begin()
        stack.callback(site.kill)  # before its disk goes
        assert site._bot
        yield site, team, small or Quota(site._bot.pid, site.book.path)


@pytest.mark.parametrize("kind", KINDS)
def test_who_hands_off_to_a_full_disk_is_told_and_may_do_it_again(tmp_path: Path, tally: Tally, kind: str) -> None:
    with opened(tmp_path / "lab", kind) as (site, team, disk):
        archive = scenes.draft(site, "1.0.0", random.Random(1))
        before, posted = site.book.path.read_bytes(), len(site.desk.messages())
        disk.leave(0)
        assert site.desk.types(DEVELOPER, f"/handoff {archive}").ok
        said = site.desk.wait(lambda: site.desk.ephemerals(DEVELOPER))[-1].text
        assert "not_written" in said
        assert "R-1" not in said
        assert site.book.path.read_bytes() == before
        assert len(site.desk.messages()) == posted
        disk.leave(None)
        assert team.hands_off(archive) == "R-1"
        team.is_told(checker.due)
        findings = checker.check(scenes.evidence(site))
        tally.count(f"the disk full at a hand-off: {kind}", 1, findings)
        assert not findings
        assert not list((tmp_path / "lab" / "var").rglob(".quarterdeck-*"))


@pytest.mark.skipif(not WHOLE, reason="the bot tries again for a while: with QUARTERDECK_FAULTS=all")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [scenes.RESTORE, scenes.STOP, scenes.CHANGE])
def test_a_run_whose_steps_cannot_be_written_down_goes_on_when_there_is_room(
    tmp_path: Path, tally: Tally, kind: str, step: str
) -> None:
    with opened(tmp_path / "lab", kind) as (site, team, disk):
        release = team.hands_off(scenes.draft(site, "1.0.0", random.Random(1)))
        run = team.begins(f"/stage run {release}", "rehearsal")
        team.wait(lambda: site.book.of("step.started", run=run, name=step), f"the step {step}")
        disk.leave(0)
        team.wait(lambda: "cannot be written down" in site.log.read_text(), "that it is said")
        site.desk.types(ADMIN, "/stage status")
        said = site.desk.wait(lambda: site.desk.ephemerals(ADMIN)[1:])[-1].text
        assert f"run {run}" in said.lower()
        disk.leave(None)
        end = site.desk.wait(lambda: site.book.of("run.finished", run=run), 150)[0]["data"]
        assert end["verdict"] == "passed", end["reason"]
        team.is_told(checker.due)
        findings = checker.check(scenes.evidence(site))
        tally.count(f"the disk full in a run: {kind}", 1, findings)
        assert not findings


def test_a_run_that_cannot_even_be_given_up_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configured(tmp_path)
    board = Board(Ledger.open(settings.data_dir))
    heard: SimpleQueue[Any] = SimpleQueue()
    anything: Any = SimpleNamespace(allowed=lambda user, role: True)
    materials = Materials(board, settings, Store(settings.data_dir, settings.max_bytes))
    runs = Runs(board, settings, materials, anything, anything, Masker(()))
    runs.wake = lambda number, at: heard.put((number, at))
    board.record(ADMIN, started(1, "check", release=None))  # of other plans than there are
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        begun = board.now()
        runs.enter(1)
        number, at = heard.get(timeout=DEADLINE)
    assert number == 1
    assert begun < at <= board.now() + timedelta(seconds=1.5)
    board.listeners.append(heard.put)
    runs.enter(1)
    assert heard.get(timeout=DEADLINE).event.verdict == "errored"
    board.close()


def test_what_becomes_due_while_the_disk_is_full_is_done_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(tmp_path)
    board = Board(Ledger.open(settings.data_dir))
    anything: Any = SimpleNamespace(allowed=lambda user, role: True, identity=lambda at: str(at))
    materials = Materials(board, settings, Store(settings.data_dir, settings.max_bytes))
    runs = Still(board, settings, materials, anything, anything, Masker(()))
    promotions = Promotions(board, settings, materials, anything, runs)
    clock = Clock(board, settings, runs, promotions, Sweeper(board, settings, materials, anything, runs))
    monkeypatch.setattr("bot.clock.AGAIN", timedelta(seconds=0.1))
    heard: SimpleQueue[Any] = SimpleQueue()
    refused = threading.Event()

    def full_then(file: int, data: bytes) -> int:
        refused.set()
        return full(file, data)

    board.record("U01DEV", handed_off())
    board.record(ADMIN, started(1, "rehearsal"))
    for host in ("web", "db"):
        board.record("quarterdeck", e.SnapshotTaken(run=1, host=host, snapshot="s", environment="staging", name="q"))
    board.record("quarterdeck", e.RunFinished(run=1, verdict="failed", clean=True, reason=""))
    board.listeners.append(heard.put)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full_then)
            clock.start()
            assert refused.wait(DEADLINE)
        assert isinstance(heard.get(timeout=DEADLINE).event, InspectionOpened)
    finally:
        clock.stop()
        board.close()


def full(file: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")
