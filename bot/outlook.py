"""Decides what must happen next with a run, and says it in one sentence with what to type."""

from datetime import datetime

from bot.line.blocks import line, moment
from plans.records import WAYS_BACK, Question, Release, Run

LABELS = {"done_with_help": "done with help"}


def label(choice: str) -> str:
    """A choice as a person reads it."""
    return LABELS.get(choice, choice)


def answering(run: Run, question: Question) -> str:
    """What is typed to answer a question of a run, with its first choice; its number where the run asks several."""
    which = f"/{question.number}" if len(run.open) > 1 else ""
    return f"/stage answer {run.number}{which} {question.choices[0]}"


def next_sentence(run: Run, *, release: Release | None, waits_for: Run | None, until: datetime | None) -> str:
    """One escaped sentence for who must act. `until` is when the look at a failed staging ends."""
    return _ended(run, release, until) if run.verdict else _going(run, waits_for)


def unfinished(run: Run) -> str:
    """What a run that is given up had begun and waits for nobody's answer: empty, or a sentence of its own."""
    asked = {question.step for question in run.open}
    begun = [
        f"“{step.name}”{host and f' on {host}'}"
        for step in run.steps.values()
        for host, done in step.hosts.items()
        if not done.outcome and not done.again and step.number not in asked
    ]
    return f". {', '.join(begun)} had begun, nobody knows how it ended, and it may still go on" if begun else ""


def command(run: Run) -> str:
    """What was typed to start a run like this one, so that it can be started again."""
    return {
        "rehearsal": f"/stage run {run.release}",
        "check": f"/stage check {run.environment}",
        "reset": f"/stage reset {run.environment}",
        "promotion": f"/promote {run.release}",
        "rollback": f"/promote rollback {run.release}",
        "revert": f"/promote revert {run.release} {run.environment}",
        "restore_test": f"/stage check {run.environment}",
    }[run.kind]


def _going(run: Run, waits_for: Run | None) -> str:
    if run.aborting:
        return (
            f"nothing to do; it ends by itself. At once, with what runs on the hosts: `/stage abort {run.number} now`."
        )
    if len(run.open) > 1:
        roles = " and ".join(dict.fromkeys(question.role for question in run.open))
        first = answering(run, run.open[0])
        return f"the {line(roles)} answer {len(run.open)} questions in the thread, or type `{first}` and so on."
    if run.question:
        words = ", ".join(label(choice) for choice in run.question.choices)
        first = answering(run, run.question)
        return f"one of the {line(run.question.role)} answers in the thread ({words}), or types `{first}`."
    if waits_for:
        return f"nothing to do; it begins by itself when run {waits_for.number} ({waits_for.kind}) has ended."
    if run.phase == "watch":
        return f"nothing to do; the checks run again at each mark. The way back: `/promote rollback {run.release}`."
    return f"nothing to do; its thread tells each step. To stop it: `/stage abort {run.number}`."


def _ended(run: Run, release: Release | None, until: datetime | None) -> str:
    if run.verdict == "passed":
        return _passed(run, release)
    if run.kind == "lookout":
        return f"an admin mends what is named here; {run.environment} is looked at again the next night."
    again = f"`{command(run)}`"
    if run.kind == "promotion" and not run.touched:
        return f"nothing was deployed. An admin mends what is named here and promotes it again: {again}."
    if run.kind == "promotion":
        return f"an admin looks at {run.environment} and decides in the thread: again, back, or as it is."
    if run.kind in WAYS_BACK:
        return f"an admin mends {run.environment}, and tries again with {again}."
    if run.verdict == "errored":
        return f"an admin mends what is named here and runs it again: {again}."
    if run.verdict == "failed":
        look = f"{run.environment} is left for a look until {moment(until)}" if until else ""
        how = f"; `/stage inspect` lets its developer in, `/stage reset {run.environment}` ends that earlier"
        return f"the package is mended and handed off anew{look and f' ({look}{how})'}."
    return f"nothing to do; to start over: {again}."


def _passed(run: Run, release: Release | None) -> str:
    if run.kind == "rehearsal" and run.unclean:
        return f"an admin rehearses it again, without a helping hand: `/stage run {run.release}`."
    if run.kind == "rehearsal":
        return f"an admin promotes it: `/promote {run.release}`. What the gates say: `/promote check {run.release}`."
    if run.kind == "promotion":
        what = line(f"{release.app} {release.version}") if release else run.release
        return f"nothing; {what} is on {run.environment}. The way back: `/promote rollback {run.release}`."
    if run.kind in WAYS_BACK:
        return f"{run.release} is mended and handed off anew; {run.environment} is as it was before it."
    if run.kind == "lookout":
        told = f"who changed it puts it on the ledger: `/promote outside {run.environment} REASON`"
        return f"{told}. What was rehearsed before may not be promoted."
    if run.kind == "reset":
        return f"{run.environment} is as it was before the last deployment; the next rehearsal may begin."
    return f"{run.environment} is fit for a rehearsal: `/stage run`."
