"""Decides why a run is not started, and why an answer comes to nothing."""

from msgspec.structs import replace

from bot.board import Board
from bot.line.blocks import person
from bot.outlook import command
from plans.errors import Refusal
from plans.records import CHANGE_PROD, Question, Run


def refuse_twice(board: Board, kind: str, environment: str, release: str | None) -> None:
    """Raises Refusal `locked` where nothing may begin, `already_running` where that very run goes on."""
    state = board.environment(environment)
    if state.locked is not None:
        raise Refusal(
            "locked",
            f"{environment} is locked by <@{state.locked_by}>: {state.locked}",
            f"An admin unlocks it: /stage unlock {environment}",
        )
    for run in board.table(Run):
        if run.active and (run.kind, run.environment, run.release) == (kind, environment, release):
            raise Refusal(
                "already_running",
                f"Run {run.number} is that already, started by <@{run.by}>.",
                f"Watch its thread, or stop it: /stage abort {run.number}",
            )


def refuse_late(board: Board, kind: str, environment: str, release: str | None, since: int, again: str = "") -> None:
    """Raises Refusal `done_since` where that was done after run `since`, the last that whoever asks can know of.

    To a prod it is enough that any run of the release has gone on from there: what was to be decided is another matter
    now. A rehearsal that says nothing about the release may be asked for again. What still holds its environment is
    `refuse_twice`'s. `again`: what is typed to have it all the same, where that is not what starts such a run.
    """
    for run in board.table(Run):
        alike = run.kind == kind or {run.kind, kind} <= CHANGE_PROD
        if run.number <= since or run.holds or (run.environment, run.release) != (environment, release) or not alike:
            continue
        if kind != "rehearsal" or run.verdict in ("passed", "failed"):
            raise done_since(run, again or command(replace(run, kind=kind)))


def done_since(run: Run, again: str) -> Refusal:
    """Why a wish comes too late: that run was begun in the meantime. `again` is what is typed to have it even so."""
    ended = run.verdict or "it goes on"
    message = f"Meanwhile run {run.number}, a {run.kind}, was started by {person(run.by)}: {ended}."
    return Refusal("done_since", message, f"If you want it all the same, type: {again}")


def question_meant(run: Run, number: int | None) -> Question:
    """The question that an answer is for: by its number, or the only open one. Raises Refusal."""
    meant = [question for question in run.open if number in (None, question.number)]
    if not meant:
        raise nothing_to_answer(run, number)
    if len(meant) > 1:
        listed = [f"{run.number}/{q.number} for “{run.steps[q.step].name}”" for q in meant if q.step in run.steps]
        hint = f"Say which, /stage answer {run.number}/{meant[0].number} {meant[0].choices[0]} say: {'; '.join(listed)}"
        raise Refusal("which_question", f"Run {run.number} waits for {len(meant)} answers.", hint)
    if run.aborting == "now" or (run.aborting and "stop" not in meant[0].choices):
        message = f"{person(run.aborted_by)} is stopping run {run.number}: it waits for no answer any more."
        raise Refusal("already_aborting", message, "Watch its thread.")
    return meant[0]


def nothing_to_answer(run: Run, question: int | None) -> Refusal:
    """Why an answer to that question of a run (None: to its present one) changes nothing."""
    for answer in reversed(run.answered):
        if question in (None, answer.question):
            said = f"<@{answer.by}> answered it with {answer.choice}."
            return Refusal("already_answered", f"Run {run.number}: {said}", "Nothing was changed by this.")
    if not run.active:
        return Refusal("already_over", f"Run {run.number} is over: {run.verdict}.", "There is nothing to answer.")
    return Refusal("no_question", f"Run {run.number} asks nothing now.", "Watch its thread.")
