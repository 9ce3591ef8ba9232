"""Touches what an environment is taken to be, for `/stage`: locked or not, cut off or not where vCenter cannot tell."""

from msgspec.structs import replace

from bot.line.blocks import line, person
from handlers import blocks
from handlers.deck import Answer, Asked, Deck, Verb
from handlers.environments import one, stagings
from handlers.words import Form, Request
from plans.errors import Refusal
from plans.events import EnvironmentLocked, EnvironmentUnlocked, IsolationAttested
from plans.isolation import ATTESTED_FOR, holds
from plans.records import Run


def _lock(deck: Deck, asked: Asked) -> Answer:
    board, request = deck.board, asked.request
    environment = one(request.environment, tuple(deck.settings.environments), "/stage lock ENVIRONMENT REASON")
    with board.deciding:
        state = board.environment(environment)
        if state.locked is not None:
            message = f"{environment} is locked already by <@{state.locked_by}>: {state.locked}."
            raise Refusal("already_locked", message, f"To lock it anew: /stage unlock {environment} first")
        board.record(asked.by, EnvironmentLocked(environment=environment, reason=request.text))
        holder = next((run for run in board.table(Run) if run.holds and run.environment == environment), None)
    goes_on = f"Run {holder.number}, which is on it, goes on; the next must wait." if holder and holder.steps else ""
    return blocks.said(f"{environment} is locked: no run begins on it until `/stage unlock {environment}`.", goes_on)


def _what_is_unlocked(deck: Deck, request: Request) -> Request:
    """Left open, it is the one that is locked when this is typed."""
    if request.environment:
        return request
    locked = [each for each in deck.settings.environments if deck.board.environment(each).locked is not None]
    if not locked:
        raise Refusal("not_locked", "Nothing is locked.", "See: /stage status")
    return replace(request, environment=one("", locked, "/stage unlock ENVIRONMENT"))


def _unlock(deck: Deck, asked: Asked) -> Answer:
    board, environment = deck.board, asked.request.environment
    with board.deciding:
        if board.environment(environment).locked is None:
            raise Refusal("not_locked", f"{environment} is not locked.", "See: /stage status")
        board.record(asked.by, EnvironmentUnlocked(environment=environment))
    deck.runs.enter_all()
    return blocks.said(f"{environment} is unlocked; what waited for it goes on.")


def _attest(deck: Deck, asked: Asked) -> Answer:
    board, request = deck.board, asked.request
    environment = one(request.environment, stagings(deck), "/stage attest ENVIRONMENT REASON")
    with board.deciding:
        judged = [run for run in board.table(Run) if run.environment == environment and run.isolation]
        latest = max(judged, key=lambda run: run.number, default=None)
        if latest is not None and latest.isolation == "violated":
            message = f"Run {latest.number} saw the isolation of {environment} violated; nobody's word mends that."
            raise Refusal("isolation_violated", message, f"Mend it, then look again: /stage check {environment}")
        if latest is None or not latest.doubts:
            message = f"Nothing is doubted of the isolation of {environment}."
            raise Refusal("nothing_to_attest", message, f"To look at it: /stage check {environment}")
        digest = deck.settings.digest_of_environment(environment)
        attested = IsolationAttested(environment=environment, reason=request.text, covers=latest.doubts, digest=digest)
        before = board.environment(environment).attested
        said = before and (before.reason, before.covers)
        if before and holds(before, digest, board.now()) and said == (attested.reason, attested.covers):
            message = f"{person(before.by)} gave that word for {environment} already, with the same reason."
            raise Refusal("already_attested", message, "If you looked again, say so in the reason.")
        board.record(asked.by, attested)
    settled = [f"• {line(doubt, 300)}" for doubt in latest.doubts[:12]]
    settled += [f"and {len(latest.doubts) - 12} more"] if len(latest.doubts) > 12 else []
    head = f"Your word that {environment} is cut off is on the ledger. It settles what run {latest.number} doubted:"
    lasts = f"It holds for {ATTESTED_FOR.days} days, unless the configuration of {environment} changes."
    return blocks.said("\n".join([head, *settled, lasts]))


VERBS = (
    Verb(
        Form("lock", ("in?", "reason"), "/stage lock [ENVIRONMENT] REASON"),
        "No run begins there until it is unlocked; prod too. `/stage lock staging the network is rebuilt`",
        "admins",
        _lock,
    ),
    Verb(
        Form("unlock", ("environment?",), "/stage unlock [ENVIRONMENT]"),
        "Ends a lock.",
        "admins",
        _unlock,
        meant=_what_is_unlocked,
    ),
    Verb(
        Form("attest", ("in?", "reason"), "/stage attest [ENVIRONMENT] REASON"),
        "Your word that staging is cut off where vCenter cannot tell. `/stage attest staging NSX rule 12 drops it all`",
        "admins",
        _attest,
    ),
)
