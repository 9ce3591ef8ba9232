"""Touches what happens past a promotion, for `/promote`: changes by hand, reviews, escaped defects."""

from bot.line.blocks import line, moment, person
from handlers import blocks
from handlers.deck import EVERYBODY, Answer, Asked, Deck, Verb
from handlers.words import Form
from plans.errors import Refusal
from plans.lookout import adrift
from plans.records import Run
from plans.rule_events import ChangeOutside, EscapeClosed, EscapeRecorded, ReportAsked, ReviewGiven
from plans.rule_records import Difference, Escape, Outside, Report, Review


def _outside(deck: Deck, asked: Asked) -> Answer:
    request, board = asked.request, deck.board
    prods = sorted({app.prod for app in deck.settings.apps.values()})
    if request.environment and request.environment not in prods:
        raise Refusal("wrong_environment", f"{request.environment} is no prod.", f"There are: {', '.join(prods)}.")
    if not request.environment and len(prods) > 1:
        hint = "Type: /promote outside ENVIRONMENT REASON"
        raise Refusal("which_environment", f"Which one? There are {', '.join(prods)}.", hint)
    prod = request.environment or prods[0]
    with board.deciding:
        last = next((o for o in board.table(Outside) if o.environment == prod), None)
        if last is not None and last.reason == request.text:
            message = f"<@{last.by}> told of that change of {prod} already."
            raise Refusal("already_told", message, "If it was made again, say so in the reason.")
        board.record(asked.by, ChangeOutside(environment=prod, reason=request.text))
    return blocks.said(
        f"The change of {prod} is on the ledger. What was rehearsed before it may not be promoted: rehearse it again.",
        f"It needs a written review within two days: `/promote review {prod} TEXT`",
    )


def _review(deck: Deck, asked: Asked) -> Answer:
    request, board = asked.request, deck.board
    with board.deciding:
        waiting = list(board.table(Review))
        meant = [r for r in waiting if r.subject.casefold() == request.name.casefold()]
        if not meant:
            listed = "; ".join(f"{r.subject}: {r.what}" for r in waiting) or "none"
            raise Refusal("nothing_to_review", f"No review of “{request.name}” is wanted.", f"Wanted: {listed}.")
        board.record(asked.by, ReviewGiven(subject=meant[0].subject, text=request.text))
    return blocks.said(f"Your review of {line(meant[0].subject)} is on the ledger: {line(meant[0].what, 300)}")


def reviews(deck: Deck) -> list[str]:
    """The reviews that somebody still has to write, a row each."""
    return [
        f"*Review wanted* by {moment(r.due)}: {line(r.what, 300)} ({person(r.by)}) `/promote review {r.subject} TEXT`"
        for r in deck.board.table(Review)
    ]


def drifts(deck: Deck) -> list[str]:
    """What moved on each prod without a promotion, and nobody has told of, a row each."""
    found, rows = list(deck.board.table(Difference)), []
    for name, app in deck.settings.apps.items():
        for difference in adrift(deck.board.environment(app.prod), name, found):
            first = difference.brief.partition("\n")[0]
            told = f"`/promote outside {app.prod} REASON`"
            rows.append(f"*Changed without a promotion:* {line(first, 300)}, seen {moment(difference.at)} {told}")
    return rows


def _escape(deck: Deck, asked: Asked) -> Answer:
    request, board = asked.request, deck.board
    with board.deciding:
        release = board.release(request.release)
        if release.promotion is None:
            message = f"{release.id} was never promoted, so that nothing can have escaped to prod with it."
            raise Refusal("not_on_prod", message, "See what was: /promote history")
        known = list(board.table(Escape))
        twice = [e for e in known if (e.release, e.text) == (release.id, request.text)]
        if twice:
            raise Refusal("already_recorded", f"That is {twice[0].id} already.", "See: /promote status")
        name = f"E-{1 + max((int(e.id.removeprefix('E-')) for e in known), default=0)}"
        event = EscapeRecorded(escape=name, app=release.app, release=release.id, text=request.text)
        board.record(asked.by, event)
    plan = deck.settings.apps[release.app].tests if release.app in deck.settings.apps else "its test plan"
    return blocks.said(
        f"It is {name}. {line(release.app)} is not promoted any more until a check in {line(plan)} names it",
        f"(`covers: [{name}]`) and passes on the next release, or until `/promote accept {name} REASON`.",
    )


def _accept(deck: Deck, asked: Asked) -> Answer:
    request, board = asked.request, deck.board
    with board.deciding:
        found = next((e for e in board.table(Escape) if e.id == request.name), None)
        if found is None:
            listed = ", ".join(e.id for e in board.table(Escape) if e.open) or "none"
            raise Refusal("no_escape", f"There is no {request.name}.", f"Open are: {listed}.")
        if not found.open:
            how = f"a check passes on {found.closed_on}" if found.closed == "check" else f"accepted: {found.reason}"
            raise Refusal("already_closed", f"{found.id} is closed already: {how}.", "There is nothing more to do.")
        board.record(asked.by, EscapeClosed(escape=found.id, how="accepted", release="", check="", reason=request.text))
    return blocks.said(f"{found.id} is accepted, with your reason on the ledger: {line(found.text, 300)}")


def escapes(deck: Deck) -> list[str]:
    """The escaped defects that are open, a row each, with what their checks said so far."""
    rows = []
    for escape in deck.board.table(Escape):
        if escape.open:
            tried = "; ".join(f"{release}: {each.outcome}" for release, each in escape.tried.items())
            said = f" · its check says: {tried}" if tried else " · no check of the test plan names it yet"
            rows.append(f"*{escape.id}* from {escape.release}: {line(escape.text, 300)}{said}")
    return rows


def _report(deck: Deck, asked: Asked) -> Answer:
    board, name = deck.board, asked.request.release
    with board.deciding:
        board.release(name)
        runs = [run for run in board.table(Run) if run.release == name]
        if not runs:
            message = f"{name} has no run yet, and so no thread for its report."
            raise Refusal("no_run", message, f"On the bot's machine: quarterdeck report {name} -o {name}.html")
        last = max(runs, key=lambda run: run.number)
        before = next((r for r in board.table(Report) if r.release == name), None)
        if before is not None and before.run == last.number and (before.over or last.active):
            message = f"The report of {name} is in the thread of run {last.number} already."
            raise Refusal(
                "already_reported", message, f"On the bot's machine: quarterdeck report {name} -o {name}.html"
            )
        board.record(asked.by, ReportAsked(release=name, run=last.number))
    return blocks.said(f"The evidence of {name} will be in the thread of run {last.number} in a moment, as one file.")


VERBS = (
    Verb(
        Form("report", ("release",), "/promote report R-1"),
        "The evidence of a release as one HTML file, in the thread of its last run.",
        EVERYBODY,
        _report,
    ),
    Verb(
        Form("outside", ("in?", "reason"), "/promote outside [ENVIRONMENT] REASON"),
        "Tells of a change of prod that had to be made by hand. `/promote outside disk was full, logs deleted`",
        "admins",
        _outside,
    ),
    Verb(
        Form("review", ("subject", "reason"), "/promote review R-1|ENVIRONMENT TEXT"),
        "The written review of an emergency or of a change by hand.",
        "admins",
        _review,
    ),
    Verb(
        Form("escape", ("release", "reason"), "/promote escape R-2 TEXT"),
        "Records a defect that slipped through to prod: the app waits for a check that would have caught it.",
        "admins",
        _escape,
    ),
    Verb(
        Form("accept", ("escape", "reason"), "/promote accept E-1 REASON"),
        "Lets an escaped defect be, with a reason.",
        "admins",
        _accept,
    ),
)
