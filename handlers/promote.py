"""Touches promotions for `/promote`: its verbs."""

from datetime import datetime

from bot.ledger import stamp
from bot.line.blocks import line, person
from bot.telling.digest import promotions_row
from handlers import blocks
from handlers.aftermath import VERBS as AFTERMATH
from handlers.aftermath import drifts, escapes, reviews
from handlers.approvals import VERBS as APPROVALS
from handlers.deck import EVERYBODY, Answer, Asked, Deck, Verb, verbs
from handlers.handoff import newest
from handlers.revert import VERBS as WAYS_BACK
from handlers.stage import ON_PROD, four_weeks, going, run_rows, started, stop, the_run
from handlers.times import spoken
from handlers.words import Form
from plans.errors import Refusal
from plans.events import FreezeLifted, FreezeSet, ReleaseDefective
from plans.quantities import spell
from plans.records import Freeze, Release, Run


def _promote(deck: Deck, asked: Asked) -> Answer:
    request = asked.request
    if request.at is None:
        run = deck.promotions.promote(request.release, by=asked.by, emergency=request.emergency, since=asked.since)
        return started(deck, run)
    with deck.board.deciding:
        before = deck.board.release(request.release)
        release = deck.promotions.schedule(request.release, request.at, by=asked.by)
    away = spell((request.at - deck.board.now()).total_seconds())
    return blocks.said(
        f"{release.id} ({line(f'{release.app} {release.version}')}) will be promoted at {spoken(request.at)},",
        f"in {away}; the gates are judged again then. Not after all: `/promote abort {release.id}`",
        f"It stands in place of {_scheduled(deck, before)} by {person(before.scheduled_by)}."
        if before.scheduled
        else "",
    )


def _scheduled(deck: Deck, release: Release) -> str:
    return spoken(datetime.fromisoformat(release.scheduled or "").astimezone(deck.settings.timezone))


def _check(deck: Deck, asked: Asked) -> Answer:
    release = deck.board.release(asked.request.release)
    return blocks.gates(release, deck.promotions.gates(release.id, by=asked.by), _ages(deck, release))


def _ages(deck: Deck, release: Release) -> dict[str, float]:
    """Seconds since what each gate is judged by was recorded, where one record decides."""
    now, ages = deck.board.now(), {}
    if release.rehearsal:
        age = (now - datetime.fromisoformat(deck.board.run(release.rehearsal).finished)).total_seconds()
        ages = dict.fromkeys(("not_rehearsed", "rehearsal_failed", "rehearsal_not_clean", "plans_changed_since"), age)
    if freeze := _freeze(deck):
        ages["frozen"] = (now - datetime.fromisoformat(freeze.at)).total_seconds()
    ages["same_person"] = (now - datetime.fromisoformat(release.at)).total_seconds()
    return ages


def _rollback(deck: Deck, asked: Asked) -> Answer:
    return started(deck, deck.promotions.rollback(asked.request.release, by=asked.by, since=asked.since))


def _defective(deck: Deck, asked: Asked) -> Answer:
    board, name = deck.board, asked.request.release
    with board.deciding:
        release = board.release(name)
        if release.defective is not None:
            message = f"{name} is marked defective already: {release.defective}."
            raise Refusal("already_defective", message, "There is nothing more to do.")
        board.record(asked.by, ReleaseDefective(release=name, reason=asked.request.text))
    back = f"The way back from it: `/promote rollback {name}`" if release.promotion else ""
    return blocks.said(f"{name} is marked defective: it cannot be promoted, and the channel is told.", back)


def _freeze(deck: Deck) -> Freeze | None:
    """The freeze that holds now."""
    found = next(deck.board.table(Freeze), None)
    over = found and found.until and datetime.fromisoformat(found.until) <= deck.board.now()
    return None if over else found


def _set_freeze(deck: Deck, asked: Asked) -> Answer:
    at = asked.request.at
    with deck.board.deciding:
        before = _freeze(deck)
        event = FreezeSet(until=stamp(at) if at else None, reason=asked.request.text)
        if before is not None and (before.until, before.reason) == (event.until, event.reason):
            message = f"{person(before.by)} froze prod like that already."
            raise Refusal("already_frozen", message, "To lift it: /promote unfreeze")
        deck.board.record(asked.by, event)
    until = f"until {spoken(at)}, in {spell((at - deck.board.now()).total_seconds())}" if at else "until it is lifted"
    instead = f"It stands in place of that by {person(before.by)}." if before else ""
    return blocks.said(f"Prod is frozen {until}: no promotion begins. {instead} To lift it: `/promote unfreeze`")


def _lift_freeze(deck: Deck, asked: Asked) -> Answer:
    with deck.board.deciding:
        found = _freeze(deck)
        if found is None:
            raise Refusal("not_frozen", "There is no freeze.", "See: /promote status")
        deck.board.record(asked.by, FreezeLifted(until=found.until, reason=found.reason))
    return blocks.said("The freeze is lifted.")


def _abort(deck: Deck, asked: Asked) -> Answer:
    if asked.request.release:
        release = deck.promotions.unschedule(asked.request.release, by=asked.by, reason="by command")
        return blocks.said(f"{release.id} is not scheduled any more.")
    return stop(deck, asked, "/promote abort")


def _status(deck: Deck, asked: Asked) -> Answer:
    runs = [run for run in going(deck) if run.kind in ON_PROD]
    freeze, *rows = prod_rows(deck)
    return blocks.listing("Prod", [freeze, *run_rows(deck, runs), *rows], none="", more="/promote history")


def prod_rows(deck: Deck) -> list[str]:
    """The freeze, what is scheduled, and what of each app is on prod."""
    rows = [blocks.freeze_row(_freeze(deck))]
    for release in newest(deck):
        if release.scheduled:
            rows.append(blocks.scheduled_row(release, deck.settings.timezone))
    for name, app in deck.settings.apps.items():
        state = deck.board.environment(app.prod)
        stack = state.deployed.get(name, ())
        rows.append(blocks.prod_row(name, state, deck.board.release(stack[-1]) if stack else None))
    return rows + drifts(deck) + escapes(deck) + reviews(deck)


def _history(deck: Deck, asked: Asked) -> Answer:
    runs = sorted(deck.board.table(Run), key=lambda run: -run.number)
    rows = run_rows(deck, [run for run in runs if run.kind in ON_PROD and not run.quiet])
    rows = [f"_Four weeks:_ {promotions_row(four_weeks(deck))}", *rows] if rows else []
    more = "The whole story is on the ledger: `quarterdeck ledger show`"
    return blocks.listing("Promotions and rollbacks, the latest first", rows, none="There was none yet.", more=more)


def _help(deck: Deck, asked: Asked) -> Answer:
    return blocks.helped("/promote", PROMOTE)


PROMOTE = verbs(
    Verb(
        Form("check", ("release",), "/promote check R-1"),
        "Every gate, open or shut, with what would open it. Touches no host.",
        EVERYBODY,
        _check,
        at_once=True,
    ),
    Verb(
        Form("rollback", ("release",), "/promote rollback R-1"),
        "Runs the package's own way back on prod; ends a watch that is going on.",
        "admins",
        _rollback,
    ),
    *WAYS_BACK,
    *APPROVALS,
    Verb(
        Form("defective", ("release", "reason"), "/promote defective R-1 REASON"),
        "Marks it, so that it cannot be promoted (again). `/promote defective R-1 loses orders at night`",
        "admins",
        _defective,
    ),
    *AFTERMATH,
    Verb(
        Form("freeze", ("until?", "reason"), "/promote freeze [until WHEN] REASON"),
        "No promotion begins until then. `/promote freeze until 2026-12-27 08:00 holidays`",
        "admins",
        _set_freeze,
    ),
    Verb(Form("unfreeze", (), "/promote unfreeze"), "Lifts the freeze.", "admins", _lift_freeze),
    Verb(
        Form("abort", ("stoppable?", "now?"), "/promote abort [RUN|R-1] [now]"),
        "Stops a promotion, rollback or revert after its present step; of a release: takes it off the schedule.",
        "admins",
        _abort,
        meant=the_run("/promote abort", lambda run: run.kind in ON_PROD and run.kind != "lookout"),
    ),
    Verb(
        Form("status", (), "/promote status"), "What is on prod, runs, or is to come.", EVERYBODY, _status, at_once=True
    ),
    Verb(
        Form("history", (), "/promote history"), "Promotions and rollbacks so far.", EVERYBODY, _history, at_once=True
    ),
    Verb(Form("help", ("reason?",), "/promote help"), "This.", EVERYBODY, _help, at_once=True),
    otherwise=Verb(
        Form("", ("release", "at?", "emergency?"), "/promote R-1 [at 22:00 | emergency REASON]"),
        "Brings it to prod, now or at that time, if every gate is open; in an emergency past a freeze, a rehearsal that"
        " is too old and missing approvals, and past nothing else. `/promote R-2 at 2026-11-24 22:00`",
        "admins",
        _promote,
    ),
)
