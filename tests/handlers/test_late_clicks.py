"""An old message's button, pressed after the run moved on: no effect, and a sentence that says what became of it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from deck_room import ADMIN, ADMIN2, DeckRoom
from wishes import doubted, frozen, promoted, rehearsed, released, scheduled, stranded

from bot.ledger import Tail
from bot.line.blocks import actions, button
from bot.telling.notices import notice
from handlers.arguments import CHOICES
from lab.desk import Message
from plans.events import (
    AnyEvent,
    MessagePosted,
    PromotionUnscheduled,
    RunRestarted,
    StepStarted,
)
from plans.rule_events import ApprovalAsked


@pytest.mark.parametrize(
    ("action", "kind", "verdict", "again"),
    [
        ("rehearse", "rehearsal", "passed", False),
        ("rehearse", "rehearsal", "failed", False),
        ("rehearse", "rehearsal", "errored", True),
        ("promote", "promotion", "passed", False),
        ("promote", "promotion", "aborted", False),
        ("rollback", "rollback", "passed", False),
        ("rollback", "rollback", "errored", False),
    ],
)
def test_a_button_is_pressed_an_hour_after_what_it_starts_has_ended(
    deck: DeckRoom, action: str, kind: str, verdict: str, again: bool
) -> None:
    rehearsed(deck) if action == "promote" else released(deck)
    if action == "rollback":
        promotion = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1").number
        deck.ends(promotion, "failed")
    shown = deck.shows(list(actions(button("Go", action, "R-1"))))
    key = "release/R-1" if action == "rehearse" else "run/1/end"
    deck.happens(MessagePosted(key=key, channel=shown.channel, ts=shown.ts))
    assert "started" in deck.presses(ADMIN, shown, action)
    count = len(deck.records("run.started"))
    deck.ends(count, verdict)
    told = deck.presses(ADMIN2, shown, action)
    assert ("done_since" in told) is not again
    assert (f"started by <@{ADMIN}>: {verdict}" in told) is not again
    assert len(deck.records("run.started")) == count + again


def test_what_was_rolled_back_is_not_rolled_back_once_more(deck: DeckRoom) -> None:
    promoted(deck)
    deck.types(ADMIN, "/promote rollback R-1")
    deck.ends(3)
    told = deck.types(ADMIN2, "/promote rollback R-1")
    assert "already_rolled_back" in told
    assert "/promote status" in told


def test_a_promotion_that_goes_on_is_not_scheduled_and_another_time_takes_the_place_of_the_first(
    deck: DeckRoom,
) -> None:
    scheduled(deck)
    told = deck.types(ADMIN2, "/promote R-1 at 2030-07-01 23:00")
    assert f"in place of 2030-07-01 22:00 CEST (UTC+02:00) by <@{ADMIN}>" in told
    deck.types(ADMIN, "/promote R-1")
    assert "already_running" in deck.types(ADMIN, "/promote R-1 at 2030-07-02 22:00")


def test_the_button_of_the_snapshot_only_says_what_it_costs_and_what_to_type(deck: DeckRoom) -> None:
    stranded(deck)
    shown = deck.shows(list(actions(button("Back to the snapshot …", "revert", "R-1"))))
    before = len(deck.records("run.started"))
    told = deck.presses(ADMIN, shown, "revert")
    assert "not_confirmed" in told
    assert "Everything that was written on web since then is lost. db has no snapshot" in told
    assert "/promote revert R-1 prod" in told
    assert len(deck.records("run.started")) == before


# A promotion that was missed, and an approval that was asked for: what is pressed stands on a note of its own.


def noted(deck: DeckRoom, kind: type[AnyEvent]) -> Message:
    """The note in the channel of the latest record of a kind, as the bot posts it."""
    entry = [each for each in deck.board.ledger.entries(Tail()) if isinstance(each.event, kind)][-1]
    shown = deck.shows(list(notice(entry).blocks))
    deck.happens(MessagePosted(key=f"notice/{entry.seq}", channel=shown.channel, ts=shown.ts))
    return shown


def missed(deck: DeckRoom) -> None:
    scheduled(deck)
    deck.deck.promotions.unschedule("R-1", by="quarterdeck", reason="missed: It was off.", asked=ADMIN)


def test_a_missed_promotion_is_begun_by_its_note_once(deck: DeckRoom) -> None:
    missed(deck)
    shown = noted(deck, PromotionUnscheduled)
    assert "Run 2 started" in deck.presses(ADMIN, shown, "promote")
    deck.ends(2)
    told = deck.presses(ADMIN2, shown, "promote")
    assert "done_since" in told
    assert "/promote R-1" in told
    assert len(deck.records("run.started")) == 2


def test_a_note_that_slack_was_told_of_late_begins_nothing_that_was_done_on_the_host_meanwhile(deck: DeckRoom) -> None:
    moment = deck.now()
    deck.board.now = lambda: moment  # so fast that both are of one millisecond
    missed(deck)
    deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")
    deck.ends(2)
    told = deck.presses(ADMIN2, noted(deck, PromotionUnscheduled), "promote")
    assert "done_since" in told
    assert len(deck.records("run.started")) == 2


@pytest.fixture
def careful(opened: Callable[[str], DeckRoom]) -> DeckRoom:
    """The policy asks for an approval."""
    return opened("policy: {approvals: 1}\n")


def approval_asked(deck: DeckRoom) -> Message:
    rehearsed(deck)
    assert "approvals_missing" in deck.types(ADMIN, "/promote R-1")
    return noted(deck, ApprovalAsked)


def test_an_approval_is_not_given_to_what_was_promoted_since(careful: DeckRoom) -> None:
    deck = careful
    shown = approval_asked(deck)
    deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")
    told = deck.presses(ADMIN2, shown, "approve")
    assert "done_since" in told
    assert deck.records("approval.given") == []


def test_an_approval_is_not_given_when_its_time_is_over(careful: DeckRoom) -> None:
    deck = careful
    shown = approval_asked(deck)
    deck.ahead = timedelta(days=40)
    told = deck.presses(ADMIN2, shown, "approve")
    assert "question_void" in told
    assert "/promote approve R-1" in told
    assert deck.records("approval.given") == []


# A promotion that went wrong: what its end offers is offered until somebody has gone on from there.


def stranded_with(deck: DeckRoom, action: str) -> Message:
    """What the end of the failed promotion, run 2, offers."""
    stranded(deck)
    shown = deck.shows(list(actions(button("Go", action, "R-1"))))
    deck.happens(MessagePosted(key="run/2/end", channel=shown.channel, ts=shown.ts))
    return shown


@pytest.mark.parametrize("action", ["promote", "rollback", "leave", "revert"])
@pytest.mark.parametrize(
    ("kind", "verdict"), [("promotion", "passed"), ("promotion", "failed"), ("rollback", "failed")]
)
def test_the_end_of_a_promotion_offers_nothing_any_more_when_another_run_has_gone_on_from_there(
    deck: DeckRoom, action: str, kind: str, verdict: str
) -> None:
    shown = stranded_with(deck, action)
    run = deck.runs.start(kind, by=ADMIN, environment="prod", release="R-1").number
    phase = "deploy" if kind == "promotion" else "rollback"
    deck.happens(StepStarted(run=run, phase=phase, step=4, name="Stop the shop", host="web", attempt=1))
    deck.ends(run, verdict)
    before = deck.board.ledger.tail.seq
    told = deck.presses(ADMIN2, shown, action)
    assert "done_since" in told
    assert f"run {run}" in told
    assert deck.board.ledger.tail.seq == before


# What a run asks.

ASKED = {
    "a step that failed": ("retry", "skip", "abort"),
    "a backup that was interrupted": ("retry", "abort"),
    "a command past its time": ("wait", "stop"),
    "a manual step": ("done", "done_with_help", "failed"),
    "a manual check": ("pass", "fail"),
    "a hook that went wrong": ("retry", "skip"),
    "a host that is drained": ("undrain", "leave"),
    "maintenance": ("end", "leave"),
}


def answered(deck: DeckRoom, run: int, choices: tuple[str, ...]) -> None:
    deck.runs.decide(run, choices[-1], by=ADMIN)


def asked_anew(deck: DeckRoom, run: int, choices: tuple[str, ...]) -> None:
    answered(deck, run, choices)
    deck.asks(run, 2, choices=choices)


def ended(deck: DeckRoom, run: int, choices: tuple[str, ...]) -> None:
    deck.ends(run, "errored")


def started_over(deck: DeckRoom, run: int, choices: tuple[str, ...]) -> None:
    deck.happens(RunRestarted(run=run, why="“Add the column” was interrupted"))


def started_over_and_asked(deck: DeckRoom, run: int, choices: tuple[str, ...]) -> None:
    started_over(deck, run, choices)
    deck.asks(run, 2, choices=choices)


def stopped(deck: DeckRoom, run: int, choices: tuple[str, ...]) -> None:
    deck.runs.abort(run, by=ADMIN, now="stop" in choices)


MOVED_ON = [answered, asked_anew, ended, started_over, started_over_and_asked, stopped]


def test_each_answer_that_there_is_is_pressed_late() -> None:
    assert {choice for choices in ASKED.values() for choice in choices} == set(CHOICES)


@pytest.mark.parametrize("moved_on", MOVED_ON)
def test_what_a_run_asked_is_answered_an_hour_late(
    deck: DeckRoom, moved_on: Callable[[DeckRoom, int, tuple[str, ...]], None]
) -> None:
    deck.release()
    for run, (what, choices) in enumerate(ASKED.items(), 1):
        deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-1")
        deck.asks(run, choices=choices)
        shown = deck.shows(list(actions(*(button(c.capitalize(), f"answer:{c}", f"{run}/1") for c in choices))))
        moved_on(deck, run, choices)
        deck.ahead += timedelta(hours=1)
        before = deck.board.ledger.tail.seq
        for choice in choices:
            told = deck.presses(ADMIN2, shown, f"answer:{choice}")
            assert "Not done" in told, (what, choice)
            assert "What to do:" in told, (what, choice)
            assert f"un {run}" in told, (what, choice)
        assert deck.board.ledger.tail.seq == before, what
        if moved_on is not ended:
            deck.ends(run, "errored")


def test_a_command_past_its_time_is_still_stopped_when_its_run_stops_after_it(deck: DeckRoom) -> None:
    released(deck)
    deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-1")
    deck.asks(1, choices=("wait", "stop"))
    deck.runs.abort(1, by=ADMIN, now=False)
    assert "has your answer: stop" in deck.types(ADMIN2, "/stage answer 1 stop")


def test_an_emergency_that_is_under_way_is_none_once_more(deck: DeckRoom) -> None:
    frozen(deck)
    rehearsed(deck)
    assert "Run 2 started" in deck.types(ADMIN, "/promote R-1 emergency the site is down")
    deck.happens(StepStarted(run=2, phase="watch", step=9, name="Mark 10m", host=None, attempt=1))
    assert "already_running" in deck.types(ADMIN2, "/promote R-1 emergency the site is down")
    assert len(deck.records("promotion.forced")) == 1


def test_a_word_on_the_isolation_is_given_anew_when_it_holds_no_more(deck: DeckRoom) -> None:
    doubted(deck)
    assert "It holds for 7 days" in deck.types(ADMIN, "/stage attest staging it is a GPU")
    deck.ahead = timedelta(days=6)
    assert "already_attested" in deck.types(ADMIN, "/stage attest staging it is a GPU")
    deck.ahead = timedelta(days=8)
    assert "It holds for 7 days" in deck.types(ADMIN, "/stage attest staging it is a GPU")
