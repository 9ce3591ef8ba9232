"""Decides what a button types, and what whoever presses it can have known of."""

from datetime import UTC, datetime

from handlers.arguments import CHOICES
from handlers.deck import Deck
from plans.records import Release, Run

TWINS = {
    "rehearse": ("/stage", "run {}"),
    "abort": ("/stage", "abort {}"),
    "promote": ("/promote", "{}"),
    "rollback": ("/promote", "rollback {}"),
    "revert": ("/promote", "revert {}"),
    "leave": ("/promote", "leave {}"),
    "approve": ("/promote", "approve {}"),
    "report": ("/promote", "report {}"),
    **{f"answer:{choice}": ("/stage", f"answer {{}} {choice}") for choice in CHOICES},
}
"""What each button types: its action, and the command with the button's value in it."""


def offered(deck: Deck, ts: str, at: str) -> int:
    """The last run that there was when a message offered its buttons: 0 for a release's own.

    `ts` is that message's. `at`, where the button says it, is the time of the record that the message tells of (ISO
    8601): a run's and a release's are known by their `ts`, and others are judged by that time, or by when Slack took
    them.
    """
    for run in deck.board.table(Run):
        if ts in run.messages.values():
            return run.number
    if any(ts in release.messages.values() for release in deck.board.table(Release)):
        return 0
    then = datetime.fromisoformat(at) if at else datetime.fromtimestamp(float(ts or 0), UTC)
    before = (run.number for run in deck.board.table(Run) if datetime.fromisoformat(run.at) < then)
    return max(before, default=0)  # one of the same millisecond may have come after it
