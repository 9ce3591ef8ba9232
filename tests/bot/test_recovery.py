"""What the loop does with a run that an earlier process of the bot had started."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import plan, started
from scenes import Scene

from bot.masking import Masker
from bot.runs import Runs
from plans import events as e
from plans.errors import Refusal


class House:
    """A board with run 1 on it, whose plan has no steps left, and machines that are recognised, or not."""

    def __init__(self, folder: Path, kind: str, recognise: Callable[[], None], *past: e.AnyEvent) -> None:
        self.scene = Scene(folder)
        self.scene.says(started(1, kind), by="U02ADMIN")
        for event in past:
            self.scene.says(event)
        self.woken: list[tuple[int, timedelta]] = []
        self.over = threading.Event()
        materials: Any = SimpleNamespace(
            plan=lambda run: plan(kind=kind),
            digest=lambda run: "p",
            recognise=lambda run, steps, performer: recognise(),
        )
        roles: Any = SimpleNamespace(allowed=lambda user, role: True)
        anything: Any = None
        self.runs = Runs(self.scene.board, anything, materials, anything, roles, Masker(()))
        self.runs.wake = self._woken
        self.scene.board.listeners.append(lambda x: self.over.set() if isinstance(x.event, e.RunFinished) else None)

    def _woken(self, number: int, at: Any) -> None:
        self.woken.append((number, at - self.scene.time))
        self.over.set()

    def verdict(self) -> str:
        """How run 1 ended, empty where it is to be woken later."""
        self.over.clear()
        self.runs.enter_all()
        assert self.over.wait(20)
        for thread in [one for one in threading.enumerate() if one.name == "run-1"]:
            thread.join(20)
        return self.scene.board.run(1).verdict


def refuse(code: str) -> Callable[[], None]:
    def raises() -> None:
        raise Refusal(code, "staging web: so it is.")

    return raises


def test_with_the_machines_that_it_holds_it_goes_on(tmp_path: Path) -> None:
    assert House(tmp_path, "rehearsal", lambda: None).verdict() == "passed"


def test_with_another_machine_it_ends_errored_and_says_so(tmp_path: Path) -> None:
    house = House(tmp_path, "rehearsal", refuse("another_machine"))
    assert house.verdict() == "errored"
    assert house.scene.board.run(1).reason == "staging web: so it is."


@pytest.mark.parametrize("kind", ["rehearsal", "promotion"])
def test_while_nobody_tells_which_machines_they_are_it_waits(tmp_path: Path, kind: str) -> None:
    answers = iter([refuse("machine_unknown"), lambda: None])
    house = House(tmp_path, kind, lambda: next(answers)())
    assert house.verdict() == ""
    ((number, wait),) = house.woken
    assert number == 1
    assert timedelta(0) < wait <= timedelta(seconds=1.5)
    assert house.verdict() == "passed"


def test_it_asks_the_less_often_the_longer_nobody_tells(tmp_path: Path) -> None:
    house = House(tmp_path, "promotion", refuse("machine_unknown"))
    assert {house.verdict() for _ in range(9)} == {""}
    waits = [wait.total_seconds() for _, wait in house.woken]
    assert waits[0] <= 1.5
    assert all(2.0**n / 2 <= wait <= 2.0**n * 1.5 for n, wait in enumerate(waits[:6]))
    assert all(30 <= wait <= 90 for wait in waits[6:])


def test_what_goes_back_waits_for_no_vcenter(tmp_path: Path) -> None:
    assert House(tmp_path, "rollback", refuse("machine_unknown")).verdict() == "passed"


def test_nor_does_what_is_being_stopped(tmp_path: Path) -> None:
    house = House(tmp_path, "promotion", refuse("machine_unknown"))
    house.scene.says(e.RunAborting(run=1, now=False), by="U02ADMIN")
    assert house.verdict() == "passed"


def begun(outline: str) -> e.StepStarted:
    return e.StepStarted(
        run=1, phase="deploy", step=7, name="Migrate", host="web", attempt=1, written=True, outline=outline
    )


def test_by_the_plan_that_it_began_with_it_goes_on(tmp_path: Path) -> None:
    outline = plan(kind="promotion").outline
    assert House(tmp_path, "promotion", lambda: None, begun(outline)).verdict() == "passed"


def test_by_a_plan_whose_numbers_mean_something_else_it_does_not(tmp_path: Path) -> None:
    house = House(tmp_path, "promotion", lambda: None, begun("laid out by an older Quarterdeck"))
    assert house.verdict() == "errored"
    reason = house.scene.board.run(1).reason
    assert "its steps are not those that it began with" in reason
    assert "“Migrate” on web had begun" in reason
