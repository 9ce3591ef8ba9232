"""What an attempt that an earlier process had begun makes of the clock, which somebody may have set meanwhile."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import begun, planned, site, started
from scenes import Scene

from bot.attempt import AFTER_CRASH, Attempt
from bot.masking import Masker
from plans.actions import Outcome
from plans.records import HostStep

STEP = planned(1, "deploy")
OVER = Outcome("failed", reason="stopped after 10 min")


class Machines:
    """Answers every command alike, and keeps the seconds that each was given."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.given: list[float | None] = []

    def perform(self, action: Any, **how: Any) -> Outcome:
        self.given.append(how["deadline"])
        return self.outcome


def resumed(folder: Path, away: timedelta, outcome: Outcome) -> tuple[Machines, HostStep]:
    """The step's one host, after a start of the bot so long after the step had begun."""
    scene = Scene(folder)
    scene.says(started(1, "rehearsal"), by="U02ADMIN")
    scene.says(begun(1, STEP, "web", 1))
    scene.time += away
    machines: Any = Machines(outcome)
    where = site(run=1, log="logs/run-1/01.log")
    attempt = Attempt(
        scene.board,
        machines,
        STEP,
        where,
        attempt=1,
        resume=True,
        cancel=threading.Event(),
        data_dir=folder,
        masker=Masker(()),
    )
    attempt.run()
    return machines, scene.board.run(1).steps[1].hosts["web"]


def test_a_command_that_was_past_its_time_when_the_bot_came_back_blames_nobody(tmp_path: Path) -> None:
    machines, host = resumed(tmp_path, timedelta(hours=3), OVER)
    assert machines.given == [AFTER_CRASH]
    assert (host.outcome, host.interrupted) == ("errored", True)
    assert host.reason.startswith("stopped after 10 min: past its time when Quarterdeck came back")


def test_one_that_ended_by_itself_meanwhile_is_what_it_is(tmp_path: Path) -> None:
    _, host = resumed(tmp_path, timedelta(hours=3), Outcome("failed", exit=1, reason="exit 1"))
    assert (host.outcome, host.interrupted) == ("failed", False)


def test_one_that_runs_out_of_its_time_afterwards_has_failed(tmp_path: Path) -> None:
    machines, host = resumed(tmp_path, timedelta(minutes=4), OVER)
    assert machines.given == [pytest.approx(360, abs=5)]
    assert (host.outcome, host.interrupted) == ("failed", False)


@pytest.mark.parametrize("away", [timedelta(hours=-3), timedelta(0)])
def test_a_clock_that_was_put_back_gives_no_more_time_than_there_is(tmp_path: Path, away: timedelta) -> None:
    machines, _ = resumed(tmp_path, away, Outcome("ok", exit=0))
    assert machines.given == [pytest.approx(600, abs=5)]
