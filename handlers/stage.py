"""Touches runs on staging for `/stage`: its verbs, and the form that asks for the note to an answer."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
from msgspec.structs import replace

from bot.objections import question_meant
from bot.telling.digest import rehearsals_row
from handlers import blocks
from handlers.deck import EVERYBODY, Answer, Asked, Deck, Verb, verbs
from handlers.differences import VERBS as DIFFERENCES
from handlers.differences import waivers
from handlers.envelopes import Metadata
from handlers.environments import one, stagings
from handlers.handoff import newest, on_prod, open_form, release_row
from handlers.inspect import VERBS as INSPECT
from handlers.locks import VERBS as LOCKS
from handlers.manual import VERBS as MANUAL
from handlers.words import Form, Request
from plans.errors import Refusal
from plans.figures import Figures, figures
from plans.records import EnvironmentState, Release, Run
from plans.rule_records import Escape, Missed

ON_PROD = ("promotion", "rollback", "revert", "lookout")
"""Kinds of runs that `/promote` shows and stops; the others are `/stage`'s."""


def started(deck: Deck, run: Run) -> Answer:
    """That a run was started, where to watch it, and what it waits for."""
    waits = deck.runs.waits_for(run)
    waiting = f"It begins when run {waits.number} ({name(deck, waits)}) has ended." if waits else ""
    where = f"Watch it in <#{deck.settings.config.slack.channel}>."
    return blocks.said(f"Run {run.number} started: {name(deck, run)}.", waiting, where)


def name(deck: Deck, run: Run) -> str:
    return blocks.run_name(run, deck.board.release(run.release) if run.release else None)


def run_rows(deck: Deck, runs: list[Run]) -> list[str]:
    releases = {release.id: release for release in deck.board.table(Release)}
    return [blocks.run_row(run, releases.get(run.release or ""), deck.runs.waits_for(run)) for run in runs]


def _run(deck: Deck, asked: Asked) -> Answer:
    if not asked.request.release:
        return _candidates(deck)
    release = _wanted(deck, asked.request.release)
    app = deck.settings.apps.get(release.app)
    if app is None:
        hint = f"There are {', '.join(deck.settings.apps)}; an admin adds it under apps: in the configuration."
        raise Refusal("unknown_app", f"The configuration has no app {release.app} (any more).", hint)
    run = deck.runs.start(
        "rehearsal",
        by=asked.by,
        environment=app.staging,
        release=release.id,
        still=lambda: bool(_wanted(deck, release.id)),
        since=asked.since,
    )
    return started(deck, run)


def _wanted(deck: Deck, name: str) -> Release:
    """Raises Refusal `withdrawn`."""
    release = deck.board.release(name)
    if release.withdrawn is not None:
        why = release.withdrawn or "no reason was given"
        raise Refusal("withdrawn", f"{release.id} was withdrawn: {why}.", "Hand a new package off: /handoff")
    return release


def _candidates(deck: Deck) -> Answer:
    able = [r for r in newest(deck) if r.withdrawn is None and r.defective is None and not on_prod(deck, r)]
    rows = [f"{release_row(deck, release)}\n      `/stage run {release.id}`" for release in able]
    return blocks.listing("Which release?", rows, none="No release can be rehearsed: a developer hands one off first.")


def _check(deck: Deck, asked: Asked) -> Answer:
    environment = one(asked.request.environment, stagings(deck), "/stage check ENVIRONMENT")
    return started(deck, deck.runs.start("check", by=asked.by, environment=environment, since=asked.since))


def _reset(deck: Deck, asked: Asked) -> Answer:
    return started(
        deck, deck.runs.start("reset", by=asked.by, environment=asked.request.environment, since=asked.since)
    )


def _what_is_reset(deck: Deck, request: Request) -> Request:
    """Left open, it is the one staging that has a snapshot when this is typed."""
    able = stagings(deck)
    kept = {each for each in able if any(deck.board.environment(each).snapshots.values())}
    candidates = able if request.environment else kept or able
    return replace(request, environment=one(request.environment, candidates, "/stage reset ENVIRONMENT"))


# Answers.

NOTED = frozenset({"fail", "failed", "done_with_help"})
"""Choices whose button asks for a note first."""


def _answerer(deck: Deck, user: str, request: Request) -> str:
    """The role that the run's question is for; everybody is told that there is none, or another one by now."""
    roles = {q.role for q in deck.board.run(request.run or 0).open if request.question in (None, q.number)}
    return roles.pop() if len(roles) == 1 else EVERYBODY


def _present_question(deck: Deck, request: Request) -> Request:
    """Without a number the one question of now is meant, and not one that comes up before the answer gets there."""
    if request.question is not None:
        return request
    return replace(request, question=question_meant(deck.board.run(request.run or 0), None).number)


def _answer(deck: Deck, asked: Asked) -> Answer:
    request = asked.request
    number = request.run or 0
    run = deck.runs.decide(number, request.choice, by=asked.by, note=request.text, question=request.question)
    left = f"It waits for {len(run.open)} more." if run.open else "It goes on."
    going = left if run.active else f"It has ended: {run.verdict}."
    return blocks.said(f"Run {number} has your answer: {request.choice.replace('_', ' ')}. {going}")


def ask_for_note(deck: Deck, asked: Asked) -> Answer:
    """Opens the form for the note to a choice that was pressed, or says what became of the question."""
    request = asked.request
    question = question_meant(deck.board.run(request.run or 0), request.question)
    metadata = Metadata(
        channel=asked.channel,
        address=asked.address,
        thread=asked.thread,
        run=request.run or 0,
        question=question.number,
        choice=request.choice,
    )
    encoded = msgspec.json.encode(metadata).decode()
    open_form(asked, blocks.note_form(request.run or 0, question, request.choice, encoded))
    return None


# Stopping.


def _abort(deck: Deck, asked: Asked) -> Answer:
    return stop(deck, asked, "/stage abort")


def the_run(command: str, ours: Callable[[Run], bool]) -> Callable[[Deck, Request], Request]:
    """Left open, the only run of `ours` is meant that goes on when this is typed."""

    def meant(deck: Deck, request: Request) -> Request:
        if request.run is not None or request.release:
            return request
        able = [run for run in going(deck) if ours(run)]
        if not able:
            raise Refusal("nothing_runs", "There is no run to stop.", "See what runs: /stage status")
        if len(able) > 1:
            listed = "; ".join(f"{command} {run.number}: {name(deck, run)}" for run in able)
            raise Refusal("which_run", f"Which one? {len(able)} runs go on.", listed)
        return replace(request, run=able[0].number)

    return meant


def stop(deck: Deck, asked: Asked, command: str) -> Answer:
    """Stops the run that is meant."""
    number = asked.request.run or 0
    run = deck.runs.abort(number, by=asked.by, now=asked.request.now)
    if run.verdict:
        how = f"has ended: {run.verdict}."
    elif asked.request.now:
        how = "is being stopped at once, with what it started on the hosts."
    else:
        how = f"stops after its present step. At once: `{command} {number} now`"
    return blocks.said(f"Run {number} ({name(deck, run)}) {how}")


# What is known.


def _status(deck: Deck, asked: Asked) -> Answer:
    rows = run_rows(deck, going(deck)) + environment_rows(deck) + waivers(deck)
    return blocks.listing("Runs and environments", rows, none="", more="/stage history")


def going(deck: Deck) -> list[Run]:
    """The runs that have not ended."""
    return [run for run in deck.board.table(Run) if run.active]


def environment_rows(deck: Deck) -> list[str]:
    rows = []
    for environment in deck.settings.environments:
        state = deck.board.environment(environment)
        holder = next((run for run in going(deck) if run.holds and run.environment == environment), None)
        rows.append(blocks.environment_row(state, holder, _deployed(deck, state)))
    return rows


def _deployed(deck: Deck, state: EnvironmentState) -> list[str]:
    latest = [deck.board.release(stack[-1]) for stack in state.deployed.values() if stack]
    return [f"{release.app} {release.version} ({release.id})" for release in latest]


def _history(deck: Deck, asked: Asked) -> Answer:
    runs = sorted(deck.board.table(Run), key=lambda run: -run.number)
    rows = run_rows(deck, [run for run in runs if run.kind not in ON_PROD])
    rows = [f"_Four weeks:_ {rehearsals_row(four_weeks(deck))}", *rows] if rows else []
    more = "The whole story is on the ledger: `quarterdeck ledger show`"
    return blocks.listing("Runs on staging, the latest first", rows, none="There was none yet.", more=more)


def four_weeks(deck: Deck) -> Figures:
    """How it went in the last four weeks."""
    now = deck.board.now()
    escaped = [(escape.release, escape.at) for escape in deck.board.table(Escape)]
    missed = [night.at for night in deck.board.table(Missed)]
    return figures(deck.board.table(Release), deck.board.table(Run), now - timedelta(weeks=4), now, escaped, missed)


def _help(deck: Deck, asked: Asked) -> Answer:
    return blocks.helped("/stage", STAGE)


STAGE = verbs(
    Verb(
        Form("run", ("release?",), "/stage run R-1"),
        "Rehearses it on its staging: restore, deploy, test. Without a release: lists those that could be.",
        "admins",
        _run,
    ),
    Verb(
        Form("check", ("environment?",), "/stage check [ENVIRONMENT]"),
        "Is staging fit for a rehearsal? Power on, restore, confirm.",
        "admins",
        _check,
    ),
    Verb(
        Form("reset", ("environment?",), "/stage reset [ENVIRONMENT]"),
        "Brings staging back to the last rehearsal's snapshot.",
        "admins",
        _reset,
        meant=_what_is_reset,
    ),
    Verb(
        Form("answer", ("run", "choice", "reason?"), "/stage answer RUN CHOICE [NOTE]"),
        "Answers what a run asks you, as its buttons do. `/stage answer 3 retry the disk was full`",
        _answerer,
        _answer,
        meant=_present_question,
    ),
    Verb(
        Form("abort", ("run?", "now?"), "/stage abort [RUN] [now]"),
        "Stops a run after its present step; `now`: at once, with what it started on the hosts.",
        "admins",
        _abort,
        meant=the_run("/stage abort", lambda run: run.kind not in ON_PROD),
    ),
    *LOCKS,
    *INSPECT,
    *DIFFERENCES,
    *MANUAL,
    Verb(
        Form("status", (), "/stage status"), "What runs, and how each environment is.", EVERYBODY, _status, at_once=True
    ),
    Verb(Form("history", (), "/stage history"), "The runs on staging so far.", EVERYBODY, _history, at_once=True),
    Verb(Form("help", ("reason?",), "/stage help"), "This.", EVERYBODY, _help, at_once=True),
)
