"""Decides why a run is not started, and why an answer comes to nothing."""

from bot.board import Board
from plans.errors import Refusal
from plans.records import Question, Run


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


def question_meant(run: Run, number: int | None) -> Question:
    """The question that an answer is for: by its number, or the only open one. Raises Refusal."""
    meant = [question for question in run.open if number in (None, question.number)]
    if not meant:
        raise nothing_to_answer(run, number)
    if len(meant) > 1:
        listed = [f"{run.number}/{q.number} for “{run.steps[q.step].name}”" for q in meant if q.step in run.steps]
        hint = f"Say which, /stage answer {run.number}/{meant[0].number} {meant[0].choices[0]} say: {'; '.join(listed)}"
        raise Refusal("which_question", f"Run {run.number} waits for {len(meant)} answers.", hint)
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
