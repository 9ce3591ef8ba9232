"""Decides how the two messages that stand in the channel look: a run's, edited in place, and a release's."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from bot.line.blocks import (
    EDITABLE,
    Block,
    Message,
    actions,
    amount,
    button,
    confirmation,
    context,
    counted,
    cut,
    escape,
    flat,
    header,
    line,
    listed,
    moment,
    person,
    quoted,
    section,
)
from bot.outlook import next_sentence
from plans.quantities import spell
from plans.records import CHANGE_PROD, Release, Run, StepRecord

RUNGS = ("plan", "sections", "text")
"""How a run's phases are shown, best first; a workspace that refuses one gets the next."""

PHASES = {
    "power_on": "Power on",
    "restore": "Restore prod's data",
    "confirm": "Confirm",
    "snapshot": "Snapshot",
    "protect": "Protect prod",
    "deploy": "Deploy",
    "rollback": "Roll back",
    "revert": "Go back to the snapshot",
    "test": "Test",
    "undo": "Rehearse the way back",
    "watch": "Watch",
    "lookout": "Look for other hands",
}
_MARKS = {"complete": "✓", "in_progress": "▸", "pending": "○", "error": "✕"}


class PhaseLine(msgspec.Struct, frozen=True):
    """One phase in plain words; `status` is complete, in_progress, pending or error."""

    phase: str
    status: str
    words: str


def title(run: Run, release: Release | None) -> str:
    """What runs where, in plain text."""
    what = f"{release.app} {release.version}" if release else run.app
    return {
        "rehearsal": f"Rehearsal of {what} on {run.environment}",
        "promotion": f"Promotion of {what} to {run.environment}",
        "rollback": f"Rollback of {what} on {run.environment}",
        "revert": f"Revert of {run.environment} to before {what}",
        "check": f"Check of {run.environment}",
        "reset": f"Reset of {run.environment}",
        "restore_test": f"Restore test on {run.environment}",
        "lookout": f"Lookout on {run.environment}",
    }[run.kind]


def verdict(run: Run) -> str:
    """How a run ended, in words, escaped."""
    why = run.reason.partition("\n")[0].removesuffix(".")
    if run.verdict == "passed" and run.kind == "lookout":
        return "Nothing has moved" if run.quiet else f"{line(run.environment)} was changed without a promotion"
    if run.verdict == "passed":
        if run.unclean:
            return f"Passed, not clean: {line('; '.join(run.unclean), 600)}"
        return "Passed, clean" if run.kind == "rehearsal" else "Passed"
    said = f"{run.verdict.capitalize()}: {line(why, 900)}" if why else run.verdict.capitalize()
    if run.aborted_by:
        said = said.replace(f"&lt;@{run.aborted_by}&gt;", person(run.aborted_by))
    return f"{said}. It says nothing about the package" if run.verdict == "errored" and run.release else said


def state(run: Run, waits_for: Run | None) -> str:
    """Where a run stands, in words, escaped."""
    if run.verdict:
        return verdict(run)
    if run.aborting:
        return "Stopping at once" if run.aborting == "now" else "Stopping after the present step"
    if run.open:
        return "Waiting for an answer" if len(run.open) == 1 else f"Waiting for {len(run.open)} answers"
    if waits_for:
        return f"Waiting for run {waits_for.number}"
    if not run.steps:
        return "Starting over" if run.restarts else "About to begin"
    return "Watching" if run.phase == "watch" else "Running"


def emphasised(said: str) -> str:
    """A state with its words in bold, and not what comes after them."""
    words, colon, why = said.partition(":")
    return f"*{words}*{colon}{why}"


def uncapitalised(said: str) -> str:
    """A state in the middle of a sentence."""
    return said[:1].lower() + said[1:]


def phase_lines(run: Run, phases: Iterable[str]) -> tuple[PhaseLine, ...]:
    """Every phase of a run: those done with their times, the present one with its step, those to come."""
    reached = dict.fromkeys(step.phase for step in run.steps.values())
    return tuple(_phase_line(run, phase, phase in reached) for phase in dict.fromkeys((*phases, *reached)))


def span(steps: Iterable[StepRecord]) -> float:
    """Seconds from the first beginning to the last end of some steps."""
    hosts = [host for step in steps for host in step.hosts.values()]
    begun = [datetime.fromisoformat(host.started) for host in hosts]
    ended = [datetime.fromisoformat(host.started) + timedelta(seconds=host.seconds) for host in hosts]
    return (max(ended) - min(begun)).total_seconds() if hosts else 0.0


def _phase_line(run: Run, phase: str, reached: bool) -> PhaseLine:
    name = PHASES.get(phase, phase)
    steps = [step for step in run.steps.values() if step.phase == phase]
    took = spell(span(steps))
    if not reached:
        return PhaseLine(phase, "pending", f"{name}: {'to come' if run.active else 'not reached'}")
    if phase != run.phase or run.verdict == "passed":
        return PhaseLine(phase, "complete", f"{name}: done, {took}")
    if run.verdict:
        bad = next((s for s in steps if s.outcome == run.verdict), steps[-1])
        return PhaseLine(phase, "error", f"{name}: {run.verdict} at “{flat(bad.name, 80)}”, {took}")
    if phase == "watch":
        marks = [f"{mark} {'ok' if ok else 'failed'}" for mark, ok in run.marks.items()]
        return PhaseLine(phase, "in_progress", f"{name}: {', '.join(marks) or 'the first mark is to come'}")
    return PhaseLine(phase, "in_progress", f"{name}: {_present(run, steps)}")


def _present(run: Run, steps: list[StepRecord]) -> str:
    """The step that is under way or was last, with its hosts."""
    step = next((s for s in steps if any(not h.outcome for h in s.hosts.values())), steps[-1])
    going = [name for name, host in step.hosts.items() if not host.outcome]
    ended = sum(1 for host in step.hosts.values() if host.outcome and not host.again)
    where = listed(going or step.hosts)
    words = f"step {step.number} of {run.total}, “{flat(step.name, 80)}”" + (f" on {where}" if where else "")
    return words + (f", {ended} of {step.of} hosts done" if going and ended else "")


def run_card(
    run: Run,
    plan_phases: tuple[str, ...],
    *,
    release: Release | None,
    waits_for: Run | None,
    now: datetime,
    until: datetime | None = None,
    rung: str = RUNGS[0],
) -> Message:
    """The one message of a run. `until` is when the look at a failed staging ends; `rung` one of RUNGS."""
    lines = phase_lines(run, plan_phases)
    names = " · ".join((*((release.id,) if release else ()), f"run {run.number}"))
    where = state(run, waits_for)
    what = escape(flat(title(run, release)))
    following = next_sentence(run, release=release, waits_for=waits_for, until=until)
    text = (
        f"{what} ({names}): {uncapitalised(where)}. "
        + " ".join(escape(one.words) + "." for one in lines)
        + f" Next: {following}"
        + "".join(f" Warning: {escape(caution)}." for caution in run.cautions)
    )
    if rung == "text":
        return Message(f"{cut(text, EDITABLE - 200)}\n{_since(run, now)}")
    blocks = (
        header(title(run, release)),
        section(f"{emphasised(where)}\n{names}"),
        *(_plan(run, lines) if rung == "plan" else _lines(lines)),
        section(f"*Next:* {following}"),
        *(section(f"*Warning:* {escape(caution)}.") for caution in run.cautions[:5]),
        context(_since(run, now)),
        *actions(*_abort(run)),
    )
    return Message(cut(text, EDITABLE), blocks)


def _plan(run: Run, lines: tuple[PhaseLine, ...]) -> tuple[Block, ...]:
    tasks = [
        {"type": "task_card", "task_id": one.phase, "title": one.words, "status": one.status} for one in lines[:50]
    ]
    through = run.verdict == "passed"
    far = f"All {len(run.steps)} steps" if through else f"Step {max(run.steps, default=0)} of {run.total}"
    return ({"type": "plan", "title": far, "tasks": tasks},)


def _lines(lines: tuple[PhaseLine, ...]) -> tuple[Block, ...]:
    return (section("\n".join(f"{_MARKS[one.status]} {escape(one.words)}" for one in lines) or "No phase is planned"),)


def _since(run: Run, now: datetime) -> str:
    ended = datetime.fromisoformat(run.finished) if run.finished else now
    long = spell(max(0.0, (ended - datetime.fromisoformat(run.at)).total_seconds()))
    return f"Started by {person(run.by)} {moment(run.at)} · " + (f"took {long}" if run.finished else f"{long} so far")


def _abort(run: Run) -> tuple[Block, ...]:
    if not run.active or run.aborting:
        return ()
    cost = "It stops after the present step and then says nothing about the package."
    if run.kind in CHANGE_PROD:
        cost = f"It stops after the present step, and {run.environment} stays as it is then."
    ask = confirmation(f"Stop run {run.number}?", cost, "Stop it", "Let it run", danger=True)
    return (button("Abort", "abort", str(run.number), style="danger", confirm=ask),)


def release_card(release: Release) -> Message:
    """The announcement of a hand-off: who handed over what, and what happens to it next."""
    what = f"{release.app} {release.version}"
    gone = _gone(release)
    following = gone or f"an admin rehearses it with the button, or types `/stage run {release.id}`"
    by = f"Handed off by {person(release.by)} {moment(release.at)}"
    size = f"sha256 `{line(release.digest[:12])}` · {amount(release.bytes)}"
    parts = [section(f"*{release.id}*: {line(release.summary, 600) or 'no summary'}")]
    if release.changes:
        parts.append(section(f"*What it changes*\n{_bullets(release.changes)}"))
    if release.warnings:
        parts.append(section(f"*Warnings*\n{_bullets(release.warnings)}"))
    if release.notes.strip():
        parts.append(section(f"*Notes*\n{quoted(release.notes, 1000)}"))
    ask = confirmation(f"Rehearse {release.id}?", f"{what} is rehearsed on staging now.", "Rehearse it")
    press = () if gone else (button("Rehearse", "rehearse", release.id, style="primary", confirm=ask),)
    text = (
        f"{line(what)} was handed off as {release.id} by {person(release.by)}: {line(release.summary, 600)}\n"
        f"{counted(len(release.changes), 'change')}, {counted(len(release.warnings), 'warning')}. Next: {following}."
    )
    blocks = (
        header(f"{what} was handed off"),
        *parts,
        section(f"*Next:* {following}."),
        context(by, size),
        *actions(*press),
    )
    return Message(text, blocks)


def _gone(release: Release) -> str:
    """Why nothing is done with a release any more, escaped; empty while something is."""
    if release.withdrawn is not None:
        return f"nothing; it was withdrawn: {line(release.withdrawn, 300) or 'no reason given'}"
    if release.defective is not None:
        return f"nothing; it is defective: {line(release.defective, 300)}"
    return ""


def _bullets(items: tuple[str, ...], most: int = 10) -> str:
    shown = [f"• {line(item, 100)}" for item in items[:most]]
    return "\n".join(shown + ([f"• and {len(items) - most} more"] if len(items) > most else []))
