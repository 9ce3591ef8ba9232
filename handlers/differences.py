"""Touches what a rehearsal pointed out, for `/stage`: differences disposed of and shown again, and waivers."""

from datetime import datetime

from bot.ledger import stamp
from bot.line.blocks import line, moment, person
from handlers import blocks
from handlers.deck import EVERYBODY, Answer, Asked, Deck, Verb
from handlers.words import Form
from plans.errors import Refusal
from plans.records import Run
from plans.rule_events import DifferenceDisposed, WaiverGiven
from plans.rule_records import Difference, Waiver


def _found(deck: Deck, release: str) -> list[Difference]:
    """What the release's rehearsal that counts pointed out; where none counts yet, its latest."""
    known = deck.board.release(release)
    runs = (run.number for run in deck.board.table(Run) if run.kind == "rehearsal" and run.release == release)
    number = known.rehearsal or max(runs, default=0)
    return [difference for difference in deck.board.table(Difference) if difference.run == number]


def _dispose(deck: Deck, asked: Asked) -> Answer:
    request = asked.request
    with deck.board.deciding:
        found = _found(deck, request.release)
        meant = [d for d in found if request.name.casefold() in (d.key.casefold(), d.fact.casefold())]
        if not meant:
            listed = ", ".join(dict.fromkeys(d.fact or d.key for d in found)) or "nothing"
            message = f"The rehearsal of {request.release} pointed out no “{request.name}”, but: {listed}."
            raise Refusal("no_difference", message, f"See: /stage compare {request.release}")
        left = [d for d in meant if d.open]
        if not left:
            said = f"<@{meant[0].disposed_by}> disposed of it already: {meant[0].disposed}."
            raise Refusal("already_disposed", said, f"See: /stage compare {request.release}")
        for difference in left:
            event = DifferenceDisposed(
                run=difference.run, release=request.release, key=difference.key, reason=request.text
            )
            deck.board.record(asked.by, event)
        still = [d.fact or d.key for d in _found(deck, request.release) if d.open]
    more = f"Still open: {line(', '.join(dict.fromkeys(still)))}." if still else "Nothing is open any more."
    return blocks.said(f"{line(request.name)} of {request.release} is disposed of, with your reason. {more}")


def _compare(deck: Deck, asked: Asked) -> Answer:
    found = _found(deck, asked.request.release)
    none = "Nothing was pointed out; a rehearsal compares with QA and with before: see its thread."
    return blocks.listing(f"Differences of {asked.request.release}", [_row(d) for d in found], none=none)


def _row(difference: Difference) -> str:
    first, *lines = difference.brief.splitlines()
    shown = "".join(f"\n      `{line(each.strip(), 160)}`" for each in lines[1:6])
    name = difference.fact or difference.key
    if difference.open:
        return f"*open* {line(first, 300)} (run {difference.run}, {line(name)}){shown}"
    by = f"{person(difference.disposed_by)} {moment(difference.disposed_at)}: {line(difference.disposed, 300)}"
    return f"disposed of by {by}\n      {line(first, 300)} (run {difference.run}, {line(name)}){shown}"


def _waive(deck: Deck, asked: Asked) -> Answer:
    request, board = asked.request, deck.board
    having = {
        app.staging
        for app in deck.settings.apps.values()
        if any(fact.name.casefold() == request.name.casefold() for fact in app.facts)
    }
    known = sorted({fact.name for app in deck.settings.apps.values() for fact in app.facts})
    if not having or (request.environment and request.environment not in having):
        where = f" on {request.environment}" if request.environment else ""
        hint = f"There are: {', '.join(known) or 'none'}."
        raise Refusal("no_fact", f"No fact “{request.name}” is compared{where}.", hint)
    if len(having) > 1 and not request.environment:
        hint = "Type: /stage waive ENVIRONMENT FACT until DATE REASON"
        raise Refusal("which_environment", f"Which environment? There are {', '.join(sorted(having))}.", hint)
    environment = request.environment or next(iter(having))
    assert request.at is not None
    event = WaiverGiven(environment=environment, fact=request.name, until=stamp(request.at), reason=request.text)
    with board.deciding:
        same = [w for w in board.table(Waiver) if (w.environment, w.fact) == (environment, request.name)]
        if same and (same[0].until, same[0].reason) == (event.until, event.reason):
            message = f"<@{same[0].by}> waived {request.name} until then already, with the same reason."
            raise Refusal("already_waived", message, "There is nothing more to do.")
        board.record(asked.by, event)
    until = moment(event.until)
    return blocks.said(
        f"{line(request.name)} of {environment} may differ from prod until {until}; every run that needs it says so.",
        f"It stands in place of that by {person(same[0].by)}." if same else "",
    )


def waivers(deck: Deck) -> list[str]:
    """The waivers that hold now, a row each."""
    now = deck.board.now()
    holding = [w for w in deck.board.table(Waiver) if datetime.fromisoformat(w.until) > now]
    return [f"*Waiver* {line(w.fact)} of {line(w.environment)} {_granted(w)}" for w in holding]


def _granted(waiver: Waiver) -> str:
    return f"until {moment(waiver.until)} by {person(waiver.by)}: {line(waiver.reason, 300)}"


VERBS = (
    Verb(
        Form("dispose", ("release", "name", "reason"), "/stage dispose R-1 FACT REASON"),
        "Says why a difference that its rehearsal pointed out may be. `/stage dispose R-1 schema next sprint`",
        "admins",
        _dispose,
    ),
    Verb(
        Form("compare", ("release",), "/stage compare R-1"),
        "What its rehearsal pointed out: against QA, and against before the deployment.",
        EVERYBODY,
        _compare,
        at_once=True,
    ),
    Verb(
        Form("waive", ("in?", "name", "day", "reason"), "/stage waive [ENVIRONMENT] FACT until DATE REASON"),
        "Lets a fact differ from prod until then. `/stage waive packages until 2026-12-24 the new kernel is on order`",
        "admins",
        _waive,
    ),
)
