"""An old message's button, pressed after the run moved on: no effect, and a sentence that says what became of it."""

import pytest
from deck_room import ADMIN, ADMIN2, DeckRoom
from wishes import promoted, rehearsed, released, scheduled, stranded

from bot.line.blocks import actions, button
from plans.events import MessagePosted


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
