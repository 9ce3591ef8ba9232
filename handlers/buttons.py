"""Decides what a button types, and when it has done its one thing."""

import math
from dataclasses import replace

from handlers.arguments import CHOICES
from handlers.deck import Deck, Verb
from handlers.words import Request
from plans.errors import Refusal
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

_STARTS = {"rehearse": "rehearsal", "promote": "promotion", "rollback": "rollback"}


def pressed(verb: Verb, action: str, ts: str) -> Verb:
    """A verb as a button on that message means it: its one thing, once.

    Where a run of that kind has come to its end since, who presses has not seen it, and is refused: `done_since`. A
    rehearsal that says nothing about the release may be pressed for again.
    """
    kind = _STARTS.get(action)
    return replace(verb, meant=lambda deck, request: _unspent(deck, request, action, kind, ts)) if kind else verb


def _unspent(deck: Deck, request: Request, action: str, kind: str, ts: str) -> Request:
    after = _run_of(deck, ts)
    for run in deck.board.table(Run):
        ended = bool(run.verdict) if kind != "rehearsal" else run.verdict in ("passed", "failed")
        if ended and (run.kind, run.release) == (kind, request.release) and run.number > after:
            command, line = TWINS[action]
            message = f"Since that message run {run.number} was the {kind}, started by <@{run.by}>: {run.verdict}."
            hint = f"To have it once more, type: {command} {line.format(request.release)}"
            raise Refusal("done_since", message, hint)
    return request


def _run_of(deck: Deck, ts: str) -> float:
    """The run whose message or thread has that message; 0 for a release's own; where it is not known, the last."""
    for run in deck.board.table(Run):
        if ts in run.messages.values():
            return run.number
    return 0 if any(ts in release.messages.values() for release in deck.board.table(Release)) else math.inf
