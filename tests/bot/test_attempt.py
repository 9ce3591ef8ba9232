"""One attempt on one host: what it asks of the machine after a restart, and what it writes down, by whatever clock."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import planned, site
from scenes import Scene

from bot.attempt import Attempt
from bot.masking import Masker
from plans import events as e
from plans.actions import Action, Outcome
from plans.phases import Planned
from plans.restoring import RestoreRun
from plans.steps import Reboot
from plans.steps import Run as Command

UNKNOWN = Outcome("errored", reason="prod web: outcome unknown: its process is gone", unknown=True)


class Machine:
    """Answers every action alike, and remembers how it was asked; `meanwhile` is what happens in that time."""

    def __init__(self, outcome: Outcome, printed: bytes = b"", meanwhile: Callable[[], None] = lambda: None) -> None:
        self.outcome, self.printed, self.meanwhile = outcome, printed, meanwhile
        self.asked: list[dict[str, Any]] = []

    def perform(self, action: Action, **how: Any) -> Outcome:
        self.asked.append(how)
        if how["started"] is not None:
            how["started"]()
        if self.printed:
            how["sink"](self.printed)
        self.meanwhile()
        return self.outcome


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.hands_off()
    made.begins(1, "promotion")
    return made


def attempts(scene: Scene, machine: Any, step: Planned, *, resume: bool = False) -> e.StepFinished:
    """The step's end, or `resume`d what an earlier process had begun."""
    if not resume:
        scene.says(e.StepStarted(run=1, phase=step.phase, step=1, name=step.name, host="web", attempt=1))
    where = site(run=1, environment="prod", production=True, log="logs/run-1/01-web-1.log")
    attempt = Attempt(
        scene.board,
        machine,
        step,
        where,
        attempt=1,
        resume=resume,
        cancel=threading.Event(),
        data_dir=scene.data_dir,
        masker=Masker(["hunter2"]),
    )
    ended: list[e.StepFinished] = []
    scene.board.listeners.append(lambda x: ended.append(x.event) if isinstance(x.event, e.StepFinished) else None)
    attempt.run()
    return ended[0]


def begun(scene: Scene) -> tuple[str, ...]:
    return scene.board.run(1).steps[1].hosts["web"].jobs


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(hours=3)])
def test_a_clock_that_is_set_changes_no_duration(scene: Scene, jump: timedelta) -> None:
    machine = Machine(Outcome("ok", exit=0, output="3h"), meanwhile=lambda: scene.passes(jump.total_seconds()))
    step = planned(1, "restore", step=RestoreRun(name="Step 1", on="web", run="./restore", artifact_age="./age"))
    measured: list[float] = []
    scene.board.listeners.append(
        lambda x: measured.append(x.event.seconds) if isinstance(x.event, e.RestoreMeasured) else None
    )
    ended = attempts(scene, machine, step)
    assert 0 <= ended.seconds < 60
    assert 0 <= measured[0] < 60


def test_after_a_restart_the_time_before_counts_too_and_none_below_zero(scene: Scene) -> None:
    scene.says(e.StepStarted(run=1, phase="deploy", step=1, name="Step 1", host="web", attempt=1))
    scene.passes(100)
    machine = Machine(Outcome("ok", exit=0))
    assert 100 <= attempts(scene, machine, planned(1), resume=True).seconds < 160
    assert machine.asked[0]["deadline"] == 500.0


def test_a_clock_that_was_put_back_gives_no_more_than_the_whole_time(scene: Scene) -> None:
    scene.says(e.StepStarted(run=1, phase="deploy", step=1, name="Step 1", host="web", attempt=1))
    scene.passes(-3600)
    machine = Machine(Outcome("ok", exit=0))
    assert 0 <= attempts(scene, machine, planned(1), resume=True).seconds < 60
    assert machine.asked[0]["deadline"] == 600.0


@pytest.mark.parametrize(
    ("step", "once"),
    [
        (planned(1), True),
        (planned(1, step=Reboot(name="Step 1", on="web", reboot=True)), True),
        (planned(1, step=Command(name="Step 1", on="web", run="true", rerun="safe")), False),
    ],
)
def test_that_a_host_has_begun_what_may_not_be_done_twice_is_on_the_ledger(
    scene: Scene, step: Planned, once: bool
) -> None:
    attempts(scene, Machine(Outcome("ok", exit=0)), step)
    assert begun(scene) == (("1-1-1-web",) if once else ())


def test_what_is_on_the_ledger_is_known_after_a_restart_and_not_written_again(scene: Scene) -> None:
    scene.says(e.StepStarted(run=1, phase="deploy", step=1, name="Step 1", host="web", attempt=1))
    scene.says(e.JobStarted(run=1, step=1, host="web", attempt=1, job="1-1-1-web"))
    machine = Machine(Outcome("ok", exit=0))
    attempts(scene, machine, planned(1), resume=True)
    assert (machine.asked[0]["known"], machine.asked[0]["resume"]) == (True, True)
    assert begun(scene) == ("1-1-1-web",)


def test_an_unknown_end_after_a_restart_says_what_it_printed_last(scene: Scene) -> None:
    scene.says(e.StepStarted(run=1, phase="deploy", step=1, name="Step 1", host="web", attempt=1))
    printed = "".join(f"table {n}\n" for n in range(9)).encode() + b"password hunter2\n"
    ended = attempts(scene, Machine(UNKNOWN, printed), planned(1), resume=True)
    assert ended.interrupted
    first, title, *lines = ended.reason.splitlines()
    assert (first, title) == (UNKNOWN.reason, "Its output ends:")
    assert lines[:-1] == ["| table 5", "| table 6", "| table 7", "| table 8"]
    assert "hunter2" not in ended.reason


def test_what_was_known_of_its_output_stays_where_the_host_has_it_no_more(scene: Scene) -> None:
    scene.says(e.StepStarted(run=1, phase="deploy", step=1, name="Step 1", host="web", attempt=1))
    log = scene.data_dir / "logs" / "run-1" / "01-web-1.log"
    log.parent.mkdir(parents=True)
    log.write_text("12 of 40 tables\n")
    assert "| 12 of 40 tables" in attempts(scene, Machine(UNKNOWN), planned(1), resume=True).reason
    assert log.read_text() == "12 of 40 tables\n"


def test_what_the_host_tells_again_replaces_it(scene: Scene) -> None:
    scene.says(e.StepStarted(run=1, phase="deploy", step=1, name="Step 1", host="web", attempt=1))
    log = scene.data_dir / "logs" / "run-1" / "01-web-1.log"
    log.parent.mkdir(parents=True)
    log.write_text("12 of 40 tables\n")
    attempts(scene, Machine(Outcome("ok", exit=0), b"12 of\n"), planned(1), resume=True)
    assert log.read_text() == "12 of\n"


def test_without_a_restart_nothing_was_interrupted(scene: Scene) -> None:
    ended = attempts(scene, Machine(UNKNOWN), planned(1))
    assert (ended.outcome, ended.interrupted, ended.reason) == ("errored", False, UNKNOWN.reason)
