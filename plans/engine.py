"""Decides the next move of a run, from what the ledger says of it and the plan: nothing is done here."""

from datetime import datetime, timedelta
from itertools import groupby

import msgspec

from plans.hooks import Hooked
from plans.phases import Plan, Planned
from plans.quantities import spell
from plans.records import HostStep, Run, StepRecord
from plans.site import Written

BLAMES_THE_PACKAGE = frozenset({"deploy", "test", "undo", "watch", "rollback"})
"""Phases in which a known bad ending is a verdict on the package; elsewhere it is the machinery's (CONTRACT.md, 6)."""

ASKS = frozenset({"deploy", "rollback"})
"""Phases in which a written step that ends badly pauses the run and asks."""


STAGING = frozenset({"rehearsal", "check", "restore_test", "reset"})
"""Kinds of runs that may start over by themselves: nobody but Quarterdeck works on what they revert."""

TRIES = 3
"""How often a step that may be done again is begun before somebody is asked."""

RESTARTS = 2
"""How often a run of staging starts over by itself before somebody is asked."""


class Place(msgspec.Struct, frozen=True):
    """A step on one host: which attempt, and whether an earlier process began it.

    An attempt is one of the step: a host that comes into it with the second one has no first.
    """

    host: str
    attempt: int
    resume: bool


class Perform(msgspec.Struct, frozen=True):
    """Do this step on these hosts at once.

    `group_ok`: all earlier steps of its group were ok; `late`: seconds after its time that the group began.
    """

    step: Planned
    places: tuple[Place, ...]
    group_ok: bool = True
    late: float = 0.0


class Ask(msgspec.Struct, frozen=True):
    """Write down a question about a step and leave."""

    step: Planned
    why: str
    choices: tuple[str, ...]


class StartOver(msgspec.Struct, frozen=True):
    """Write down that the run starts over, and ask again with the plan that it has then."""

    why: str


class Wait(msgspec.Struct, frozen=True):
    """Leave: a person's answer enters again."""


class WaitUntil(msgspec.Struct, frozen=True):
    """Leave: the clock enters again at this time."""

    at: datetime


class Finish(msgspec.Struct, frozen=True):
    verdict: str
    reason: str


Move = Perform | Ask | StartOver | Wait | WaitUntil | Finish


def next_move(run: Run, plan: Plan, now: datetime) -> Move:
    """What to do next for a run that goes on. Nothing of it is under way in this process when this is asked.

    Before it ends badly, somebody is asked of each host that is drained, and of maintenance, whether that is to last.
    Where it is stopped nobody is: what stands then is said with its end.
    """
    move = _onward(run, plan, now)
    if isinstance(move, Finish) and move.verdict != "passed" and not run.aborting:
        return _put_back(run, plan, move) or move
    return move


def standing(run: Run, plan: Plan) -> tuple[Planned, ...]:
    """The steps that would take back what a run's hooks began and nothing has ended: drained hosts, maintenance."""
    found = []
    for step in plan.steps:
        begun = [run.steps[number] for number in step.takes_back if number in run.steps]
        record = run.steps.get(step.number)
        if any(each.outcome != "skipped" for each in begun) and (record is None or record.outcome != "ok"):
            found.append(step)
    return tuple(found)


def _put_back(run: Run, plan: Plan, end: Finish) -> Perform | Ask | None:
    """What is asked or done about the first hook that still stands; None where each is answered for."""
    for step in standing(run, plan):
        answer, record = run.answers.get(step.number), run.steps.get(step.number)
        if record is not None and (begun := _under_way(record)):
            return Perform(step, begun)
        if (answer is not None and answer.choice in ("leave", "abort")) or (record and record.outcome == "skipped"):
            continue
        if record is not None and record.outcome:
            return Ask(step, f"“{step.name}” {_story(record, record.outcome)}", ("retry", "skip"))
        if record is not None or answer is not None:
            return Perform(step, _places(run, step, record))
        hosts = ", ".join(host for host in step.hosts if host)
        what = f"{hosts} drained" if hosts else "in maintenance"
        why = (
            f"{what}, and the run is about to end: {end.verdict}, {end.reason}\nWhat is there now would be used again."
        )
        return Ask(step, why, ("undrain" if hosts else "end", "leave"))
    return None


def _onward(run: Run, plan: Plan, now: datetime) -> Move:
    """What to do next, whatever hooks stand."""
    if run.open and not run.aborting:
        return _meanwhile(run, plan)
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
            if not run.aborting and (move := _helped(run, step, record, now, group_ok=not bad)) is not None:
                return move
            bad.append((step, record))
            if not step.group:
                return _finish(run, bad)
        if record is not None and _ended(step, record):
            continue
        if run.aborting:
            return _finish(run, bad) if bad else _stopped(run, f"stopped by <@{run.aborted_by}> before “{step.name}”")
        if (due := _due(run, step)) > now:
            return WaitUntil(due)
        return Perform(step, _places(run, step, record), not bad, _late(run, plan, step, now))
    return _finish(run, bad) if bad else Finish("passed", "")


def outcome_in(phase: str, result: str) -> str:
    """A result as it counts in a phase: outside the phases that blame the package nothing has `failed`."""
    return "errored" if result == "failed" and phase not in BLAMES_THE_PACKAGE else result


def _meanwhile(run: Run, plan: Plan) -> Perform | Wait:
    """While a question is open everything waits but for the manual checks beside it: they are asked as well, and gone
    on with as they are answered, in any order."""
    asked = {question.step for question in run.open}
    for step in _beside(plan, min(asked)) if all(plan.step(number).by_hand for number in asked) else ():
        if step.number in asked or _left_out(run, step):
            continue
        record = run.steps.get(step.number)
        begun = _under_way(record) if record is not None else ()
        if places := begun or (() if record is not None and _ended(step, record) else _places(run, step, record)):
            return Perform(step, places)
    return Wait()


def _beside(plan: Plan, number: int) -> tuple[Planned, ...]:
    """The manual checks that stand next to each other, with that one, in its group."""
    together = (tuple(steps) for _, steps in groupby(plan.steps, lambda step: step.by_hand and step.group))
    return next(steps for steps in together if steps[0].number <= number <= steps[-1].number)


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


def _places(run: Run, step: Planned, record: StepRecord | None) -> tuple[Place, ...]:
    known: dict[str, HostStep] = record.hosts if record else {}
    left = [host for host in step.hosts if host not in known or known[host].again]
    if step.serial and not step.group:
        left = left[: step.serial]
    present = record.attempt if record else 1 + run.spent.get(step.number, 0)
    retried = any(host.again and host.attempt == present for host in known.values())
    return tuple(Place(host, present + 1 if retried else present, False) for host in left)


def _helped(
    run: Run, step: Planned, record: StepRecord, now: datetime, *, group_ok: bool
) -> Perform | StartOver | Ask | None:
    """What is tried or asked before a bad ending counts; None where it counts."""
    bad = {name: host for name, host in record.hosts.items() if host.outcome != "ok" and not host.again}
    if places := _once_more(run, step, record, bad):
        return Perform(step, places, group_ok)
    interrupted = {name: host for name, host in bad.items() if host.interrupted}
    answer = run.answers.get(step.number)
    if answer is not None and answer.choice == "abort":
        return None
    by_itself = run.kind in STAGING and len(run.restarts) < RESTARTS and group_ok
    if interrupted and by_itself and interrupted.keys() == bad.keys():
        return StartOver(_interrupted(step, interrupted))
    if interrupted and step.written:
        choices = ("retry", "skip", "abort") if step.phase != "protect" else ("retry", "abort")
        return Ask(step, _evidence(step, interrupted, now), choices)
    asks = step.phase in ASKS or isinstance(step.step, Hooked)
    if step.written and asks and not _aborted(record):
        return Ask(step, f"“{step.name}” {_story(record, record.outcome)}", ("retry", "skip", "abort"))
    return None


def _once_more(run: Run, step: Planned, record: StepRecord, bad: dict[str, HostStep]) -> tuple[Place, ...]:
    """Where a step may be done again without anybody being asked: nobody knows how it ended, and it does no harm.

    What somebody wrote and calls `rerun: safe` is, whatever lost it; the rest only where Quarterdeck was interrupted.
    """
    if not step.repeatable or record.attempt - run.spent.get(step.number, 0) >= TRIES:
        return ()
    if any(host.outcome != "errored" or host.exit is not None for host in bad.values()):
        return ()
    if not isinstance(step.step, Written) and not all(host.interrupted for host in bad.values()):
        return ()
    return tuple(Place(name, record.attempt + 1, False) for name in bad)


def _interrupted(step: Planned, hosts: dict[str, HostStep]) -> str:
    """Why a run starts over: what was interrupted, and what the hosts say of it."""
    said = dict.fromkeys(host.reason.partition("\n")[0] for host in hosts.values())
    where = ", ".join(name for name in hosts if name)
    return f"“{step.name}” was interrupted{where and f' on {where}'}: {'; '.join(said)}"


def _evidence(step: Planned, hosts: dict[str, HostStep], now: datetime) -> str:
    """What an admin must know to answer for a step of which nobody knows how it ended."""
    told = [f"Quarterdeck was off while “{step.name}” ran, and nobody can tell how it ended:"]
    for name, host in hosts.items():
        began = datetime.fromisoformat(host.started)
        ago = spell(max(0.0, (now - began).total_seconds()))
        told.append(f"{name or 'attempt'}: attempt {host.attempt} began {ago} ago ({began:%Y-%m-%d %H:%M:%S} UTC).")
        told.append(host.reason)
    told.append("Look there before you answer: retry does it once more from its beginning, also what it had done.")
    return "\n".join(told)


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
    return _began(first) + timedelta(seconds=step.after)


def _late(run: Run, plan: Plan, step: Planned, now: datetime) -> float:
    """Seconds from when a group was due to when its first step began, or begins now."""
    group = [run.steps[one.number] for one in plan.steps if one.group == step.group and one.number in run.steps]
    began = _began(group[0]) if group else now
    return max(0.0, (began - _due(run, step)).total_seconds()) if step.after else 0.0


def _began(record: StepRecord) -> datetime:
    return min(datetime.fromisoformat(host.started) for host in record.hosts.values())
