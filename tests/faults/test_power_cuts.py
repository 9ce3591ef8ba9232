"""The power is cut at every moment that matters: what was told is there afterwards, whatever was not fsynced is not."""

import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from builders import begun, planned, site, started
from deck_room import configured, packed
from faults.seeds import tried
from faults.shadow import Killed, Shadow
from faults.tally import Tally

from bot import board as board_module
from bot.attempt import Attempt
from bot.board import Board
from bot.config import Settings
from bot.intake import Intake
from bot.ledger import Ledger, Tail, hold
from bot.masking import Masker
from bot.packages import Store
from plans import events as e
from plans.actions import Outcome

SAMPLES = ("webshop-2.4.0", "webshop-2.4.1", "crm-1.0.0")
CUT, KILL = 0.5, 0.04
"""How probably the power is cut, on trial, where it may be, and how probably the process is killed there."""


def printed(attempt: int) -> str:
    """What a step prints, some of it more than a page of the disk's cache."""
    return f"attempt {attempt}\n" * (1 + attempt % 7 * 200)


class Talkative:
    """A machine on which everything works and says so."""

    def perform(self, action: Any, *, job: str, sink: Any, **more: Any) -> Outcome:
        sink(printed(int(job.split("-")[2])).encode())
        return Outcome("ok", exit=0)


class Prompt(Board):
    """A board that writes its read model at once, not aside, so that a seed tells the same story each time."""

    def _save_aside(self) -> None:
        self._saved = self.ledger.tail
        self._save(self._saved, self.documents)


class Process:
    """A bot without its ends: hand-offs, steps and locks. `told` gets what somebody is told of, so it must stay."""

    def __init__(self, settings: Settings, told: list[e.Entry]) -> None:
        self._settings = settings
        self._files = [hold(settings.data_dir)]
        ledger = Ledger.open(settings.data_dir)
        self.board = Prompt(ledger)
        self._files.append(ledger._file)
        told[:] = ledger.entries(Tail())  # what it has read, it acts on
        self.board.listeners.append(told.append)
        self._intake = Intake(self.board, settings, Store(settings.data_dir, settings.max_bytes))
        self._masker = Masker(settings.secrets)

    def hands_off(self, sample: str) -> None:
        self._intake.hand_off(str(packed(self._settings, sample)), by="U01DEV")

    def locks(self, reason: str) -> None:
        self.board.record("U02ADMIN", e.EnvironmentLocked(environment="staging", reason=reason))

    def steps(self) -> None:
        """One more attempt of run 1's only step."""
        if not list(self.board.table(board_module.records.Run)):
            self.board.record("U02ADMIN", started(1, "check", release=None))
        run, step = self.board.run(1), planned(1)
        attempt = run.steps[1].hosts["web"].attempt + 1 if run.steps else 1
        self.board.record("quarterdeck", begun(1, step, "web", attempt))
        where = site(run=1, log=f"logs/run-1/01-web-{attempt}.log")
        machine: Any = Talkative()
        Attempt(
            self.board,
            machine,
            step,
            where,
            attempt=attempt,
            resume=False,
            cancel=threading.Event(),
            data_dir=self._settings.data_dir,
            masker=self._masker,
        ).run()

    def dies(self) -> None:
        for file in self._files:
            os.close(file)


def all_there(data_dir: Path, told: list[e.Entry]) -> None:
    """What the next start finds after the power cut."""
    ledger = Ledger.open(data_dir)
    board = Board(ledger)
    found = list(ledger.entries(Tail()))
    assert found[: len(told)] == told
    assert len(found) <= len(told) + 1
    (data_dir / "board.json").unlink(missing_ok=True)
    bare = Ledger.open(data_dir)
    assert Board(bare).documents == board.documents
    bare.close()
    ledger.close()
    for event in (entry.event for entry in told):
        match event:
            case e.PackageHandedOff():
                assert Store(data_dir, 10**6).verify(event.digest).stat().st_size == event.bytes
            case e.StepFinished():
                assert (data_dir / event.log).read_text() == printed(event.attempt)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of those that are killed
def test_what_was_told_outlives_a_power_cut_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    monkeypatch.setattr(board_module, "SAVE_EVERY", 5)

    def once(chance: random.Random) -> int:
        cuts = 0
        folder = tmp_path / "bot"
        folder.mkdir()
        settings = configured(folder)
        for sample in SAMPLES:
            packed(settings, sample)
        shadow = Shadow(folder)
        process: Process | None = None
        told: list[e.Entry] = []

        def cut() -> None:
            nonlocal cuts
            for how in (None, chance) if chance.random() < CUT else ():
                cuts += 1
                shadow.after(how, tmp_path / "after")
                all_there(tmp_path / "after" / "var", told)
                shutil.rmtree(tmp_path / "after")
            if process and chance.random() < KILL:
                raise Killed

        shadow.moment = cut
        with shadow.watched(monkeypatch):
            for _ in range(40):
                try:
                    process = process or Process(settings, told)
                    act = chance.choice((process.hands_off, process.steps, process.locks))
                    if act == process.hands_off:
                        process.hands_off(chance.choice(SAMPLES))
                    elif act == process.steps:
                        process.steps()
                    else:
                        process.locks("x" * chance.choice((1, 100, 3000)))
                except Killed:
                    assert process
                    process.dies()
                    process = None
        if process:
            process.dies()
        shutil.rmtree(folder)
        return cuts

    tried(tally, "the power cut while records, archives and logs are written", once, sample=3, whole=100)
