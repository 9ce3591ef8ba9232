"""Touches what all the slash commands touch, for `quarterdeck ctl`: their verbs without the slash, and its own."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from bot.line.blocks import Message, line, person
from handlers import blocks
from handlers.arguments import Surroundings
from handlers.deck import EVERYBODY, Answer, Asked, Deck, Verb, Verbs, forms, verbs
from handlers.handoff import HANDOFF
from handlers.letters import plain, split, token
from handlers.promote import PROMOTE, prod_rows
from handlers.stage import STAGE, environment_rows, going, stop, the_run
from handlers.words import Form, Request, parse
from plans.errors import Refusal
from plans.quantities import spell
from plans.records import Due, Question, Run

SLASHED: dict[str, Verbs] = {
    "handoff": {verb: row for verb, row in HANDOFF.items() if verb != "open"},  # a form needs Slack
    "stage": STAGE,
    "promote": PROMOTE,
}
"""What is typed as in Slack, under the command's own name."""


def called(words: str) -> str:
    """Words as they are typed on the host."""
    return f"quarterdeck ctl {words}"


def read(typed: str, around: Surroundings) -> tuple[Verb, Request]:
    """The verb that a line asks for and what it asks of it: `promote R-1` as in Slack, `run R-1` for short.

    Raises Refusal as `parse`.
    """
    first, rest = split(plain(typed))
    command = token(first).removeprefix("/")
    if command in SLASHED:
        request = parse(f"/{command}", forms(SLASHED[command]), rest, around)
        return SLASHED[command][request.verb], request
    request = parse(called("").strip(), forms(CTL), typed, around)
    of_release = request.verb in ("check", "abort") and request.release
    return (PROMOTE if of_release else CTL)[request.verb], request


# What is going on, in full: nobody sees the threads.


def _status(deck: Deck, asked: Asked) -> Answer:
    runs = [row for run in going(deck) for row in _run(deck, run)] or ["None goes on."]
    untold = sum(1 for _ in deck.board.table(Due))
    slack = f"{untold} messages are still to be posted." if untold else "Everything was posted."
    parts = (("Runs", runs), ("Environments", environment_rows(deck)), ("Prod", prod_rows(deck)), ("Slack", [slack]))
    return Message("\n\n".join(f"*{heading}*\n" + "\n".join(rows) for heading, rows in parts))


def _run(deck: Deck, run: Run) -> Iterator[str]:
    """A run, where it is and since when, what it asks, and how that is answered."""
    waits_for = deck.runs.waits_for(run)
    yield blocks.run_line(run, deck.board.release(run.release) if run.release else None, waits_for)
    for step in run.steps.values():
        for host, done in step.hosts.items():
            if not done.outcome and not done.again:
                where = f" on {host}" if host else ""
                again = f", attempt {done.attempt}" if done.attempt > 1 else ""
                yield (
                    f"    {step.phase}, step {step.number} of {run.total}, “{line(step.name)}”{where}:"
                    f" begun {_ago(deck, done.started)} ago{again}"
                )
    if not run.steps and waits_for is None and run.by != "quarterdeck" and not _known(deck, run.by):
        yield f"    It begins when it is known that {person(run.by)} is an admin: Slack says it, or they type here."
    for question in run.open:
        yield from _question(deck, run, question)


def _question(deck: Deck, run: Run, question: Question) -> Iterator[str]:
    yield f"    asks the {line(question.role)}, since {_ago(deck, question.at)}: {line(question.why, 600)}"
    config = shlex.quote(str(deck.settings.path))
    for choice in question.choices:
        yield f"        {called(f'answer {run.number}/{question.number} {choice}')} --config {config}"


def _known(deck: Deck, user: str) -> bool:
    """Whether it can be told that somebody is an admin, or is not."""
    try:
        deck.roles.allowed(user, "admins")
    except Refusal:
        return False
    return True


def _ago(deck: Deck, at: str) -> str:
    return spell(max(0.0, (deck.board.now() - datetime.fromisoformat(at)).total_seconds()))


def _history(deck: Deck, asked: Asked) -> Answer:
    told = [message for verbs in (STAGE, PROMOTE) if (message := verbs["history"].do(deck, asked))]
    return Message("", tuple(block for message in told for block in message.blocks))


def _abort(deck: Deck, asked: Asked) -> Answer:
    return stop(deck, asked, called("abort"))


def _help(deck: Deck, asked: Asked) -> Answer:
    return blocks.helped(called("").strip(), CTL)


def _short(command: str, verb: str) -> Verb:
    """A verb of a command whose name goes without saying."""
    row = SLASHED[command][verb]
    usage = row.form.usage.removeprefix(f"/{command} ")
    return replace(row, form=Form(verb, row.form.takes, called(usage)))


_OWN = ("status", "run", "answer", "abort", "reset", "check", "history", "help", "")


def _alone(command: str) -> list[str]:
    """The verbs of a command that no other one has, but for those that stand here by themselves."""
    return [verb for verb in SLASHED[command] if verb not in _OWN]


CTL = verbs(
    Verb(
        Form("status", (), called("status")),
        "Where each run is and since when, what it asks, and the lines that answer it.",
        EVERYBODY,
        _status,
        at_once=True,
    ),
    _short("stage", "run"),
    _short("stage", "answer"),
    Verb(
        Form("abort", ("stoppable?", "now?"), called("abort [RUN|R-1] [now]")),
        "Stops a run after its present step, `now`: at once; of a release: takes its promotion off the schedule.",
        "admins",
        _abort,
        meant=the_run(called("abort"), lambda run: True),
    ),
    _short("stage", "reset"),
    Verb(
        Form("check", ("checkable?",), called("check [ENVIRONMENT|R-1]")),
        "Is staging fit for a rehearsal? Of a release: every gate of its promotion.",
        "admins",
        STAGE["check"].do,
    ),
    *(_short(command, verb) for command in ("promote", "stage", "handoff") for verb in _alone(command)),
    Verb(Form("history", (), called("history")), "The runs so far.", EVERYBODY, _history, at_once=True),
    Verb(
        Form("help", ("reason?",), called("help")),
        "This. And all that is typed in Slack, without its slash: `handoff PATH`, `promote R-1 at 22:00`, `stage …`;"
        " and `watch RUN`, which shows a run's records as they come, until it asks or ends.",
        EVERYBODY,
        _help,
        at_once=True,
    ),
)
