"""Decides the next move of a run, from what the ledger says of it and the plan: nothing is done here."""

from datetime import datetime, timedelta

import msgspec

from plans.phases import Plan, Planned
from plans.records import HostStep, Run, StepRecord
from plans.site import Written

BLAMES_THE_PACKAGE = frozenset({"deploy", "test", "watch", "rollback"})
"""Phases in which a known bad ending is a verdict on the package; elsewhere it is the machinery's (CONTRACT.md, 6)."""

ASKS = frozenset({"deploy", "rollback"})
"""Phases in which a written step that ends badly pauses the run and asks."""


TRIES = 3
"""How often a step that is `rerun: safe` is begun before somebody is asked."""


class Place(msgspec.Struct, frozen=True):
    """A step on one host: which attempt, and whether an earlier process began it.

    An attempt is one of the step: a host that comes into it with the second one has no first.
    """

    host: str
    attempt: int
    resume: bool


class Perform(msgspec.Struct, frozen=True):
    """Do this step on these hosts at once. `group_ok`: all earlier steps of its group were ok."""

    step: Planned
    places: tuple[Place, ...]
    group_ok: bool = True


class Ask(msgspec.Struct, frozen=True):
    """Write down a question about a step and leave."""

    step: Planned
    why: str
    choices: tuple[str, ...]


class Wait(msgspec.Struct, frozen=True):
    """Leave: a person's answer enters again."""


class WaitUntil(msgspec.Struct, frozen=True):
    """Leave: the clock enters again at this time."""

    at: datetime


class Finish(msgspec.Struct, frozen=True):
    verdict: str
    reason: str


Move = Perform | Ask | Wait | WaitUntil | Finish


def next_move(run: Run, plan: Plan, now: datetime) -> Move:
    """What to do next for a run that goes on. Nothing of it is under way in this process when this is asked."""
    if run.question is not None and not run.aborting:
        return Wait()
    bad: list[tuple[Planned, StepRecord]] = []
    for step in plan.steps:
        if _left_out(run, step):
            continue
        record = run.steps.get(step.number)
        if bad and step.group != bad[0][0].group:
            return _finish(run, bad)
        if record is not None and (begun := _under_way(record)):
            return Perform(step, begun, not bad)
        if record is not None and record.outcome in ("errored", "failed", "aborted"):
            if not step.group and not run.aborting:
                return _ended_badly(run, step, record)
            bad.append((step, record))
        if record is not None and _ended(step, record):
            continue
        if run.aborting:
            return _finish(run, bad) if bad else _stopped(run, f"stopped by <@{run.aborted_by}> before “{step.name}”")
        if (due := _due(run, step)) > now:
            return WaitUntil(due)
        return Perform(step, _places(step, record), not bad)
    return _finish(run, bad) if bad else Finish("passed", "")


def outcome_in(phase: str, result: str) -> str:
    """A result as it counts in a phase: outside the phases that blame the package nothing has `failed`."""
    return "errored" if result == "failed" and phase not in BLAMES_THE_PACKAGE else result


def _left_out(run: Run, step: Planned) -> bool:
    """Whether a step is for the other case than the one that came."""
    if step.given is None:
        return False
    outcomes = [run.steps[number].outcome for number in step.given.steps if number in run.steps]
    return ("skipped" in outcomes) is not step.given.skipped


def _under_way(record: StepRecord) -> tuple[Place, ...]:
    hosts = record.hosts.items()
    return tuple(Place(name, host.attempt, True) for name, host in hosts if not host.outcome and not host.again)


def _ended(step: Planned, record: StepRecord) -> bool:
    """Whether nothing of the step is left to do: its hosts are all told, or a check's bad ending is final."""
    if record.outcome in ("ok", "skipped"):
        return True
    told = [h for h in record.hosts.values() if h.outcome and not h.again]
    return bool(step.group) and len(told) == len(step.hosts)


def _places(step: Planned, record: StepRecord | None) -> tuple[Place, ...]:
    known: dict[str, HostStep] = record.hosts if record else {}
    left = [host for host in step.hosts if host not in known or known[host].again]
    if step.serial and not step.group:
        left = left[: step.serial]
    present = record.attempt if record else 1
    retried = any(host.again and host.attempt == present for host in known.values())
    return tuple(Place(host, present + 1 if retried else present, False) for host in left)


def _ended_badly(run: Run, step: Planned, record: StepRecord) -> Perform | Ask | Finish:
    if places := _once_more(step, record):
        return Perform(step, places)
    answer = run.answers.get(step.number)
    given_up = answer is not None and answer.choice == "abort"
    if step.written and step.phase in ASKS and not given_up and not _aborted(record):
        return Ask(step, f"“{step.name}” {_story(record, record.outcome)}", ("retry", "skip", "abort"))
    return _finish(run, [(step, record)])


def _once_more(step: Planned, record: StepRecord) -> tuple[Place, ...]:
    """Where a step was interrupted that may be run again (`rerun: safe`): nobody needs to be asked."""
    bad = [(name, host) for name, host in record.hosts.items() if host.outcome != "ok" and not host.again]
    safe = isinstance(step.step, Written) and step.step.rerun == "safe" and record.attempt < TRIES
    if not safe or any(host.outcome != "errored" or host.exit is not None for _, host in bad):
        return ()
    return tuple(Place(name, record.attempt + 1, False) for name, _ in bad)


def _aborted(record: StepRecord) -> bool:
    return any(host.outcome == "aborted" for host in record.hosts.values())


def _stopped(run: Run, how: str) -> Finish:
    """A stop takes no failure back: what had failed, and was given another chance, has failed then."""
    return Finish("failed", f"{run.forgiven[0]}, then {how}") if run.forgiven else Finish("aborted", how)


def _finish(run: Run, bad: list[tuple[Planned, StepRecord]]) -> Finish:
    """A group in which anything errored says nothing about the package, however the rest of it ended.

    What had failed before somebody stopped the run has failed.
    """
    for verdict in ("errored", "failed", "aborted"):
        for step, record in bad:
            if any(host.outcome == verdict and not host.again for host in record.hosts.values()):
                how = f"“{step.name}” {_story(record, verdict)}"
                return _stopped(run, how) if verdict == "aborted" else Finish(verdict, how)
    raise AssertionError("a bad ending has a bad host")


def _story(record: StepRecord, outcome: str) -> str:
    """How the first host with that outcome ended, in words."""
    ended = ((name, host) for name, host in record.hosts.items() if host.outcome == outcome and not host.again)
    name, host = next(ended)
    why = host.reason or (f"exit {host.exit}" if host.exit is not None else "")
    return f"{outcome}{' on ' + name if name else ''}" + (f": {why}" if why else "")


def _due(run: Run, step: Planned) -> datetime:
    """When a step may begin: `after` seconds after the first step of its phase did."""
    first = min((r for r in run.steps.values() if r.phase == step.phase), key=lambda r: r.number, default=None)
    if not step.after or first is None:
        return datetime.fromisoformat(run.at)
    begun = min(datetime.fromisoformat(host.started) for host in first.hosts.values())
    return begun + timedelta(seconds=step.after)
