"""What was typed comes to its turn when things have moved on: it means what there was when it was typed, or nothing."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from deck_room import ADMIN, ADMIN2, DEV, DeckRoom, NoMachines
from wishes import asking, kept, on_prod, rehearsed, released, stranded

from plans.actions import At
from plans.events import (
    EnvironmentLocked,
    EnvironmentUnlocked,
    RunPaused,
)

# What leaves open which one it means is about what there was when it was typed.


def typed_before(deck: DeckRoom, line: str, meanwhile: Callable[[], object]) -> str:
    """What is told of a line whose turn comes after something else has happened."""
    go = deck.busy_workers()
    count = len(deck.desk.ephemerals(ADMIN2))
    assert deck.desk.types(ADMIN2, line).ok
    meanwhile()
    go.set()
    return str(deck.desk.wait(lambda: deck.desk.ephemerals(ADMIN2)[count:])[0].text)


def test_an_answer_to_nothing_answers_nothing_that_is_asked_later(deck: DeckRoom) -> None:
    asking(deck)
    deck.runs.decide(1, "retry", by=ADMIN)
    told = typed_before(deck, "/stage answer 1 retry", lambda: deck.asks(1, 2, choices=("retry", "abort")))
    assert "already_answered" in told
    assert len(deck.records("run.decided")) == 1


def test_an_answer_to_one_of_two_checks_does_not_answer_the_one_that_is_left(deck: DeckRoom) -> None:
    released(deck)
    deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-1")
    deck.asks(1, choices=("pass", "fail"))
    deck.happens(RunPaused(run=1, step=9, why="Look.", question=2, choices=("pass", "fail"), role="admins"))
    told = typed_before(deck, "/stage answer 1 pass", lambda: deck.runs.decide(1, "fail", by=ADMIN, question=1))
    assert "which_question" in told
    assert [one["choice"] for one in deck.records("run.decided")] == ["fail"]


def test_an_unlock_unlocks_what_was_locked_when_it_was_typed(deck: DeckRoom) -> None:
    deck.types(ADMIN, "/stage lock prod the network")

    def meanwhile() -> None:
        deck.happens(EnvironmentUnlocked(environment="prod"))
        deck.happens(EnvironmentLocked(environment="staging", reason="a new disk"))

    told = typed_before(deck, "/stage unlock", meanwhile)
    assert "prod is not locked" in told
    assert deck.board.environment("staging").locked == "a new disk"


@pytest.mark.parametrize("line", ["/stage abort", "/stage abort now"])
def test_a_stop_stops_the_run_that_there_was(deck: DeckRoom, line: str) -> None:
    released(deck)
    deck.runs.start("check", by=ADMIN, environment="staging")

    def meanwhile() -> None:
        deck.ends(1, "aborted")
        deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-1")

    assert "Run 1 is over: aborted" in typed_before(deck, line, meanwhile)
    assert deck.records("run.aborting") == []


STARTS = {
    "/stage run R-1": ("rehearsal", released),
    "/stage check staging": ("check", released),
    "/stage reset staging": ("reset", kept),
    "/promote R-1": ("promotion", rehearsed),
    "/promote R-1 emergency the site is down": ("promotion", rehearsed),
    "/promote rollback R-1": ("rollback", on_prod),
    "/promote revert R-1 prod": ("revert", stranded),
}


@pytest.mark.parametrize(("line", "kind", "given"), [(line, *rest) for line, rest in STARTS.items()], ids=STARTS)
def test_a_run_that_somebody_else_started_and_saw_end_in_the_meantime_is_not_started_again(
    deck: DeckRoom, line: str, kind: str, given: Callable[[DeckRoom], None]
) -> None:
    given(deck)
    prod = kind in ("promotion", "rollback", "revert")
    of = None if kind in ("check", "reset") else "R-1"

    def meanwhile() -> None:
        run = deck.runs.start(kind, by=ADMIN, environment="prod" if prod else "staging", release=of)
        deck.ends(run.number, "failed")

    before = len(deck.records("run.started"))
    told = typed_before(deck, line, meanwhile)
    assert "done_since" in told
    assert f"started by <@{ADMIN}>: failed" in told
    assert len(deck.records("run.started")) == before + 1


# What is decided while machines are looked up, which takes as long as a vCenter likes.


class Slow(NoMachines):
    """Something happens while a machine is looked up."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = [meanwhile]

    def identity(self, at: At) -> str:
        if self._meanwhile:
            self._meanwhile.pop()()
        return super().identity(at)


def while_looking_up(deck: DeckRoom, meanwhile: Callable[[], object]) -> None:
    slow = Slow(meanwhile)
    deck.runs._performer = deck.deck.promotions._performer = slow  # type: ignore[assignment]


def taken_off(deck: DeckRoom) -> object:
    return deck.types(ADMIN2, "/promote abort R-1")


def put_off(deck: DeckRoom) -> object:
    return deck.deck.promotions.schedule("R-1", deck.now() + timedelta(hours=1), by=ADMIN2)


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("said", [taken_off, put_off])
def test_a_promotion_that_is_due_is_not_begun_when_somebody_has_just_said_otherwise(
    deck: DeckRoom, said: Callable[[DeckRoom], object], freeze: bool
) -> None:
    rehearsed(deck)
    deck.deck.promotions.schedule("R-1", deck.now() + timedelta(hours=1), by=ADMIN)
    if freeze:
        deck.types(ADMIN, "/promote freeze holidays")
    deck.ahead = timedelta(hours=1, seconds=5)
    while_looking_up(deck, lambda: said(deck))
    deck.deck.promotions.due("R-1")
    assert [run["kind"] for run in deck.records("run.started")] == ["rehearsal"]
    assert [one["by"] for one in deck.records("promotion.unscheduled")] == ([ADMIN2] if said is taken_off else [])
    assert bool(deck.board.release("R-1").scheduled) is (said is put_off)


def test_a_release_that_is_withdrawn_meanwhile_is_not_rehearsed(deck: DeckRoom) -> None:
    released(deck)
    while_looking_up(deck, lambda: deck.types(DEV, "/handoff withdraw R-1 a script is missing"))
    told = deck.types(ADMIN, "/stage run R-1")
    assert "withdrawn" in told
    assert "a script is missing" in told
    assert deck.records("run.started") == []
