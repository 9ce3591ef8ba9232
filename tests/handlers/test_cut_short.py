"""What a kill cut short between two records of one command is made whole when it is typed again, and is told once."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from deck_room import ADMIN, ADMIN2, DeckRoom

from plans.events import AnyEvent, Entry, PromotionUnscheduled
from plans.rule_events import ApprovalRefused, PromotionForced


@contextmanager
def killed_after(deck: DeckRoom, kind: type[AnyEvent]) -> Iterator[None]:
    """Nothing is written down any more after a record of that type."""
    record = deck.board.record

    def dying(by: str, event: AnyEvent) -> Entry:
        entry = record(by, event)
        if isinstance(event, kind):
            deck.board.record = refused  # type: ignore[method-assign]
        return entry

    def refused(by: str, event: AnyEvent) -> Entry:
        raise OSError(errno.EIO, "the bot is dead")

    deck.board.record = dying  # type: ignore[method-assign]
    yield
    deck.board.record = record  # type: ignore[method-assign]


@pytest.mark.parametrize("kind", [ApprovalRefused, PromotionUnscheduled])
def test_a_refusal_that_a_kill_cut_short_is_made_whole_when_it_is_typed_again(
    opened: Callable[[str], DeckRoom], kind: type[AnyEvent]
) -> None:
    deck = opened("policy: {approvals: 1}\n")
    deck.release()
    deck.rehearsed("R-1")
    deck.types(ADMIN, "/promote R-1 at 2099-12-24 22:00")
    with killed_after(deck, kind):
        deck.types(ADMIN2, "/promote refuse R-1 not on a Friday")
    deck.types(ADMIN2, "/promote refuse R-1 not on a Friday")
    assert deck.board.release("R-1").scheduled is None
    assert len(deck.records("approval.refused")) == len(deck.records("promotion.unscheduled")) == 1


def test_an_emergency_that_a_kill_cut_short_is_told_once(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    deck.types(ADMIN, "/promote freeze holidays")
    with killed_after(deck, PromotionForced):
        deck.types(ADMIN, "/promote R-1 emergency customers cannot pay")
    assert "Run 2 started" in deck.types(ADMIN, "/promote R-1 emergency customers cannot pay")
    assert len(deck.records("promotion.forced")) == 1


def test_another_emergency_is_told_by_itself(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    deck.types(ADMIN, "/promote freeze holidays")
    with killed_after(deck, PromotionForced):
        deck.types(ADMIN, "/promote R-1 emergency customers cannot pay")
    deck.types(ADMIN, "/promote R-1 emergency the shop is down")
    deck.ends(2, "failed")
    deck.types(ADMIN, "/promote R-1 emergency the shop is down")
    assert [each["reason"] for each in deck.records("promotion.forced")] == [
        "customers cannot pay", "the shop is down", "the shop is down",
    ]  # fmt: skip
