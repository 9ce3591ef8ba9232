"""Decides how the records of a run change its document, and what the channel is to be told of it."""

from typing import Any

from msgspec.structs import replace

from plans import events as e
from plans.folds import Changes, Documents, Fold, change_environment, change_release, change_run, due, environment, run
from plans.isolation import WORST_FIRST
from plans.records import (
    CHANGE_PROD,
    CHECKED,
    TOUCHES_PROD,
    WAYS_BACK,
    Answered,
    EnvironmentState,
    HostStep,
    Measured,
    Question,
    Run,
    Seen,
    StepRecord,
    facts_of,
)


def _run_started(documents: Documents, entry: e.Entry, event: e.RunStarted) -> Changes:
    new = Run(
        number=event.run,
        kind=event.kind,
        release=event.release,
        app=event.app,
        environment=event.environment,
        plans=event.plans,
        by=entry.by,
        at=entry.at,
        machines=event.machines,
        total=event.total,
        cautions=event.cautions,
        forced=event.forced,
        waived=event.waived,
        paid=event.paid,
        quiet=event.kind == "lookout",
    )
    changes: Changes = {("runs", str(new.number)): new}
    changes |= change_environment(documents, event.environment, inspection=None)
    if event.kind == "promotion":
        changes |= change_release(documents, event.release, promotion=event.run, scheduled=None)
    return changes if new.quiet else changes | due(entry, f"run/{event.run}")


def _run_aborting(documents: Documents, entry: e.Entry, event: e.RunAborting) -> Changes:
    return change_run(documents, event.run, aborting="now" if event.now else "after this step", aborted_by=entry.by)


def _run_began(documents: Documents, entry: e.Entry, event: e.RunBegan) -> Changes:
    found = run(documents, event.run)
    if found is None:
        return {}
    # What it waited for may have failed meanwhile, and left its environment for a look.
    changes = change_environment(documents, found.environment, inspection=None)
    return changes | change_run(documents, event.run, began=entry.at)


def _run_restarted(documents: Documents, entry: e.Entry, event: e.RunRestarted) -> Changes:
    """Everything is done again, by a plan that is made of the snapshots which stand now; what was forgiven stays."""
    found = run(documents, event.run)
    if found is None:
        return {}
    state = environment(documents, found.environment)
    own = {host: kept[-1] for host, kept in state.snapshots.items() if kept and kept[-1].run == found.number}
    spent = found.spent | {number: record.attempt for number, record in found.steps.items()}
    restarts = (*found.restarts, event.why)
    over = replace(found, restarts=restarts, spent=spent, own=own, steps={}, phase="", answers={}, open=())
    if not own:
        over = replace(over, restored="", restored_by=0, restores=())
    changes: Changes = {("runs", str(event.run)): over}
    removed = {number: theirs for number, theirs in state.removed.items() if number != event.run}
    changes |= change_environment(documents, found.environment, removed=removed)
    return changes | due(entry, f"run/{event.run}/restart/{len(restarts)}")


def _step_started(documents: Documents, entry: e.Entry, event: e.StepStarted) -> Changes:
    found = run(documents, event.run)
    if found is None:
        return {}
    record = found.steps.get(event.step) or StepRecord(
        number=event.step, phase=event.phase, name=event.name, written=event.written, of=event.of
    )
    begun = HostStep(attempt=event.attempt, started=entry.at)
    record = replace(record, hosts=record.hosts | {event.host or "": begun})
    steps, total = found.steps | {event.step: record}, max(found.total, event.step)
    changes = change_run(documents, event.run, phase=event.phase, steps=steps, total=total, outline=event.outline)
    if found.kind == "promotion" and found.phase == "deploy" and event.phase != "deploy":
        changes |= _deployed(documents, found)
    elif event.phase in TOUCHES_PROD and found.phase != event.phase:
        state = environment(documents, found.environment)
        unsettled = {app: seen for app, seen in state.settled.items() if app != found.app}
        changes |= change_environment(documents, found.environment, settled=unsettled)
    return changes | _phase_ended(found, entry, event.phase)


def _phase_ended(found: Run, entry: e.Entry, phase: str) -> Changes:
    """The machinery's own steps of a phase are told together, when the next phase begins or the run ends.

    Those that look on during the tests are told of only where one of them is not ok: what it found is told by itself.
    """
    own = [step for step in found.steps.values() if step.phase == found.phase and not step.written]
    fine = all(step.outcome == "ok" for step in own)
    quiet = found.phase == "watch" or (found.phase in ("test", "lookout") and fine)
    if phase == found.phase or not own or quiet:
        return {}
    return due(entry, f"run/{found.number}/phase/{found.phase}/{max(step.number for step in own)}", found)


def _job_started(documents: Documents, entry: e.Entry, event: e.JobStarted) -> Changes:
    found = run(documents, event.run)
    record = found.steps.get(event.step) if found else None
    host = record.hosts.get(event.host or "") if record else None
    if found is None or record is None or host is None:
        return {}
    record = replace(record, hosts=record.hosts | {event.host or "": replace(host, jobs=(*host.jobs, event.job))})
    return change_run(documents, event.run, steps=found.steps | {event.step: record})


def _step_finished(documents: Documents, entry: e.Entry, event: e.StepFinished) -> Changes:
    found = run(documents, event.run)
    record = found.steps.get(event.step) if found else None
    host = record.hosts.get(event.host or "") if record else None
    if found is None or record is None or host is None:
        return {}
    done = replace(
        host,
        outcome=event.outcome,
        exit=event.exit,
        seconds=event.seconds,
        log=event.log,
        reason=event.reason,
        interrupted=event.interrupted,
    )
    record = replace(record, hosts=record.hosts | {event.host or "": done})
    changes = change_run(documents, event.run, steps=found.steps | {event.step: record})
    under_way = any(not h.outcome for h in record.hosts.values())
    if record.written and record.phase != "watch" and record.outcome and not under_way:
        reply = f"run/{event.run}/step/{event.step}/{record.attempt}"
        changes |= due(entry, reply, found)
        for number, _ in enumerate(record.shown_logs, 1):
            changes |= due(entry, f"{reply}/log/{number}", found)
    return changes


def _run_paused(documents: Documents, entry: e.Entry, event: e.RunPaused) -> Changes:
    found = run(documents, event.run)
    if found is None:
        return {}
    question = Question(
        number=event.question,
        step=event.step,
        host=event.host,
        why=event.why,
        choices=event.choices,
        role=event.role,
        at=entry.at,
        among=_among(found, event),
    )
    opened = {"questions": (*found.questions, question), "open": (*found.open, question)}
    changes = change_run(documents, event.run, **opened)
    told = due(entry, f"run/{event.run}/question/{event.question}")
    return changes | told if question.among == question.number else changes


def _among(found: Run, event: e.RunPaused) -> int:
    """The manual checks that one role makes are one list, as long as one of them is open: one message is enough."""
    alike = (asked for asked in found.open if asked.choices == event.choices == CHECKED and asked.role == event.role)
    first = next(alike, None)
    return first.among if first is not None else event.question


def _run_decided(documents: Documents, entry: e.Entry, event: e.RunDecided) -> Changes:
    found = run(documents, event.run)
    open_ = found.open if found is not None else ()
    asked = next((q for q in open_ if q.step == event.step and event.question in (0, q.number)), None)
    if found is None or asked is None:
        return {}
    answer = Answered(choice=event.choice, note=event.note, by=entry.by, at=entry.at, question=asked.number)
    answers = found.answers | {event.step: answer}
    record = found.steps.get(event.step)
    unclean, forgiven = found.unclean, found.forgiven
    if record is not None and event.choice in ("retry", "skip"):
        answers.pop(event.step)
        failed = any(h.outcome == "failed" for h in record.hosts.values())
        done = "retried" if event.choice == "retry" else "skipped"
        sentence = f"“{record.name}” was {done}" + (" after it had failed" if failed else "")
        unclean += (sentence,) if failed or event.choice == "skip" else ()
        forgiven += (sentence,) if failed else ()
        record = _again(record, event.choice)
    elif record is not None and event.choice == "done_with_help":
        unclean += (f"“{record.name}” was done with help",)
    steps = found.steps | ({event.step: record} if record else {})
    left = tuple(other for other in found.open if other is not asked)
    told = replace(found, open=left, answers=answers, answered=(*found.answered, answer), steps=steps)
    return {("runs", str(event.run)): replace(told, unclean=unclean, forgiven=forgiven)}


def _again(record: StepRecord, choice: str) -> StepRecord:
    """The step as it is after `retry` or `skip`: on the hosts where it is ok nothing is done again."""
    hosts = dict(record.hosts)
    for name, host in hosts.items():
        if host.outcome not in ("ok", "skipped"):
            hosts[name] = replace(host, again=True) if choice == "retry" else replace(host, outcome="skipped")
    of = record.of if choice == "retry" else len(hosts)
    return replace(record, hosts=hosts, of=of)


def _run_finished(documents: Documents, entry: e.Entry, event: e.RunFinished) -> Changes:
    found = run(documents, event.run)
    if found is None:
        return {}
    quiet = found.quiet and event.verdict in ("passed", "aborted")
    ended = replace(found, verdict=event.verdict, reason=event.reason, finished=entry.at, open=(), quiet=quiet)
    changes: Changes = {("runs", str(event.run)): ended}
    changes |= due(entry, f"run/{event.run}") if found.quiet and not quiet else {}
    changes |= {} if quiet else _phase_ended(found, entry, "")
    if found.kind == "rehearsal":
        if event.verdict in ("passed", "failed"):
            changes |= change_release(documents, found.release, rehearsal=event.run)
        if event.verdict == "failed":
            changes |= change_environment(documents, found.environment, inspection=event.run)
    if found.kind in CHANGE_PROD and event.verdict == "passed":
        changes |= _deployed(documents, found)
    key = ("environments", found.environment)
    state = changes.get(key, documents.get(key))
    if isinstance(state, EnvironmentState) and event.run in state.removed:
        still = {number: theirs for number, theirs in state.removed.items() if number != event.run}
        changes[key] = replace(state, removed=still)
    return changes if quiet else changes | due(entry, f"run/{event.run}/end")


def _deployed(documents: Documents, found: Run) -> Changes:
    """What a promotion put on prod is there when its deployment is through, whatever its tests say afterwards."""
    state = environment(documents, found.environment)
    stack = state.deployed.get(found.app, ())
    name = found.release or ""
    if found.kind in WAYS_BACK:
        stack = stack[:-1] if stack[-1:] == (name,) else tuple(other for other in stack if other != name)
    elif stack[-1:] != (name,):
        stack = (*stack, name)
    return change_environment(documents, found.environment, deployed=state.deployed | {found.app: stack})


def _restore_measured(documents: Documents, entry: e.Entry, event: e.RestoreMeasured) -> Changes:
    found = run(documents, event.run)
    if found is None:
        return {}
    others = tuple(m for m in found.restores if (m.name, m.host) != (event.name, event.host))
    measured = Measured(
        name=event.name, host=event.host, seconds=event.seconds, artifact_age=event.artifact_age_seconds
    )
    return change_run(documents, event.run, restored=entry.at, restored_by=event.run, restores=(*others, measured))


def _restore_reused(documents: Documents, entry: e.Entry, event: e.RestoreReused) -> Changes:
    return change_run(documents, event.run, restored=event.restored, restored_by=event.of)


def _machine_replaced(documents: Documents, entry: e.Entry, event: e.MachineReplaced) -> Changes:
    runs = [found for found in documents.values() if isinstance(found, Run) and found.active]
    changes: Changes = {}
    for found in runs:
        if event.old in found.machines and event.new not in found.machines:
            changes |= change_run(documents, found.number, machines=tuple(sorted((*found.machines, event.new))))
    return changes


def _isolation_judged(documents: Documents, entry: e.Entry, event: e.IsolationJudged) -> Changes:
    found = run(documents, event.run)
    if found is None:
        return {}
    verdict = next((each for each in WORST_FIRST if each in (found.isolation, event.verdict)), event.verdict)
    return change_run(documents, event.run, isolation=verdict, doubts=tuple(dict.fromkeys(found.doubts + event.doubts)))


def _facts_collected(documents: Documents, entry: e.Entry, event: e.FactsCollected) -> Changes:
    found = run(documents, event.run)
    if found is None:
        return {}
    where = facts_of(found.app, found.phase, event.environment, event.app)
    changes = change_run(documents, event.run, facts=found.facts | {where: found.facts.get(where, {}) | event.digests})
    state, app = environment(documents, event.environment), event.app or found.app
    last = state.seen.get(app)
    same = last is not None and (last.run, last.phase) == (event.run, found.phase)
    digests = (last.digests if last and same else {}) | event.digests
    seen = Seen(run=event.run, phase=found.phase, at=entry.at, digests=digests)
    settled = state.settled
    known = settled.get(app)
    first = found.kind == "lookout" and (known is None or known.run == event.run)
    if first or (found.kind in CHANGE_PROD and found.phase == "test"):
        settled = settled | {app: seen}
    return changes | change_environment(documents, event.environment, seen=state.seen | {app: seen}, settled=settled)


def _watch_checked(documents: Documents, entry: e.Entry, event: e.WatchChecked) -> Changes:
    found = run(documents, event.run)
    if found is None:
        return {}
    marks, late = found.marks | {event.mark: event.ok}, found.late | {event.mark: event.late}
    changes = change_run(documents, event.run, marks=marks, late=late)
    # A crash may repeat it when a message with the first record's mark is in the channel already.
    return changes if event.mark in found.marks else changes | due(entry, f"run/{event.run}/mark/{event.mark}")


FOLDS: dict[type[Any], Fold] = {
    e.RunStarted: _run_started,
    e.RunAborting: _run_aborting,
    e.RunBegan: _run_began,
    e.RunRestarted: _run_restarted,
    e.StepStarted: _step_started,
    e.JobStarted: _job_started,
    e.StepFinished: _step_finished,
    e.RunPaused: _run_paused,
    e.RunDecided: _run_decided,
    e.RunFinished: _run_finished,
    e.RestoreMeasured: _restore_measured,
    e.RestoreReused: _restore_reused,
    e.MachineReplaced: _machine_replaced,
    e.IsolationJudged: _isolation_judged,
    e.FactsCollected: _facts_collected,
    e.WatchChecked: _watch_checked,
}
