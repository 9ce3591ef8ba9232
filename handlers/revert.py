"""Touches what a promotion left behind that did not pass, for `/promote`: back to the snapshot, or left as it is."""

from handlers import blocks
from handlers.deck import Answer, Asked, Deck, Verb
from handlers.stage import started
from handlers.words import Form


def _revert(deck: Deck, asked: Asked) -> Answer:
    return started(
        deck, deck.promotions.revert(asked.request.release, asked.request.name, by=asked.by, since=asked.since)
    )


def _leave(deck: Deck, asked: Asked) -> Answer:
    name = asked.request.release
    deck.promotions.leave(name, asked.request.text, by=asked.by, since=asked.since)
    return blocks.said(f"Prod is left as it is after {name}, with your word on the ledger; the channel is told.")


VERBS = (
    Verb(
        Form("revert", ("release", "name?"), "/promote revert R-1 WORD"),
        "Takes prod back to the snapshot of before it. WORD is the environment's name or the release's version; without"
        " it you are told what would be lost. `/promote revert R-2 prod`",
        "admins",
        _revert,
    ),
    Verb(
        Form("leave", ("release", "reason?"), "/promote leave R-1 [REASON]"),
        "Writes down that prod stays as a promotion left it that did not pass.",
        "admins",
        _leave,
    ),
)
