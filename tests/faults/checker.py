"""Decides what was lost, done twice or out of order: by the ledger's file, the hosts' and Slack's own records alone.

It knows nothing of the bot's code: what it holds the records against is CONTRACT.md.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from faults.accounts import (
    Act,
    Record,
    Story,
    act_of,
    due,
    epoch_of,
    files_due,
    mark_of,
    milliseconds,
    name_of,
    phase_of,
    place_of,
    verified,
)

LOST, TWICE, ORDER, WRONG = "lost", "twice", "out of order", "wrong"
"""WRONG: what is neither of the three, and yet not as it should be: a verdict, a line of the ledger."""

_AFTERWARDS = frozenset(
    (
        "difference.disposed", "inspection.opened", "inspection.entered", "inspection.closed", "promotion.left",
        "report.asked",
    )
)  # fmt: skip
"""What is written down of a run that has ended."""

_NAMED = re.compile(r"\bR-\d+\b|\b[Rr]un \d+\b")


class Finding(NamedTuple):
    kind: str
    what: str


@dataclass(frozen=True)
class Evidence:
    """What there is to judge by. `messages`: the channel's with their replies, as Slack has them; `told`:
    what single people saw. `vms` by name.

    `noted`: the names of steps whose commands the hosts note down; `safe`: of those that are `rerun: safe`;
    `restarts`: of those that restart their host. `prod`: the names of prod's VMs, and which host each is.
    """

    lines: list[bytes]
    acts: list[str]
    messages: list[dict[str, Any]]
    told: list[dict[str, Any]] = field(default_factory=list)
    vms: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    noted: frozenset[str] = frozenset()
    safe: frozenset[str] = frozenset()
    restarts: frozenset[str] = frozenset()
    prod: Mapping[str, str] = field(default_factory=dict)


def check(evidence: Evidence) -> list[Finding]:
    """Everything that is not as it was promised, once all runs have ended and all is told."""
    records, broken = verified(evidence.lines)
    acts = [act for line in evidence.acts if (act := act_of(line))]
    story = Story(records)
    return [
        *([Finding(WRONG, broken)] if broken else []),
        *_in_time(records),
        *_steps_ended(story),
        *_steps_in_order(story),
        *_executed(story, acts, evidence.noted),
        *_executed_once(story, acts, evidence.safe),
        *_executed_in_order(story, acts),
        *_booted_once(story, evidence),
        *_told(records, evidence.messages, story),
        *_told_in_order(records, evidence.messages),
        *_named(records, [*evidence.messages, *evidence.told]),
        *_snapshots(records, evidence.vms),
    ]


def _in_time(records: list[Record]) -> Iterator[Finding]:
    for one, other in pairwise(records):
        if milliseconds(other["at"]) < milliseconds(one["at"]):
            yield Finding(ORDER, f"record {other['seq']} is of {other['at']}, the one before it of {one['at']}")


def _steps_ended(story: Story) -> Iterator[Finding]:
    """Every run ends, once; what it began has an outcome, or the run says why not; then nothing more is heard of it."""
    for run, records in story.runs.items():
        ends = story.of(run, "run.finished")
        if not ends:
            yield Finding(LOST, f"run {run} has no end")
            continue
        if len(ends) > 1:
            yield Finding(TWICE, f"run {run} ended {len(ends)} times")
        if story.of(run, "run.started")[1:]:
            yield Finding(TWICE, f"run {run} was started twice")
        for late in (record for record in records[records.index(ends[0]) + 1 :] if record["type"] not in _AFTERWARDS):
            yield Finding(ORDER, f"run {run} had ended when {late['type']} was written down ({late['seq']})")
        begun = Counter(place_of(record) for record in story.of(run, "step.started"))
        ended = Counter(place_of(record) for record in story.of(run, "step.finished"))
        said = bool(ends[0]["data"]["reason"]) or bool(story.restarts(run))
        for place in begun | ended:
            if ended[place] > begun[place]:
                yield Finding(TWICE, f"run {run}, {place}: ended {ended[place]} times, begun {begun[place]} times")
            if ended[place] < begun[place] and not said:
                yield Finding(LOST, f"run {run}, {place}: began, and no word of how it ended")


def _steps_in_order(story: Story) -> Iterator[Finding]:
    """A step begins when every step before it has ended, and ends after it began; a run that begins anew does so."""
    for run, records in story.runs.items():
        open_places: dict[tuple[Any, ...], int] = {}
        highest = 0
        for record in records:
            data = record["data"]
            if record["type"] == "run.restarted":
                open_places, highest = {}, 0
            if record["type"] == "step.started":
                if data["step"] < highest:
                    yield Finding(ORDER, f"run {run}: step {data['step']} began after step {highest} ({record['seq']})")
                if waiting := {step for step in open_places.values() if step != data["step"]}:
                    yield Finding(ORDER, f"run {run}: step {data['step']} began while {sorted(waiting)} had no end")
                highest = data["step"]
                open_places[place_of(record)] = data["step"]
            if record["type"] == "step.finished" and open_places.pop(place_of(record), None) is None:
                yield Finding(ORDER, f"run {run}: an end of {place_of(record)} that had not begun ({record['seq']})")


def _executed(story: Story, acts: list[Act], noted: frozenset[str]) -> Iterator[Finding]:
    """What the ledger says went well was executed from its beginning to its end, and nothing that it does not name."""
    words = defaultdict(list)
    for act in acts:
        words[act.run, act.step, act.attempt].append((act.word, act.vm))
    known = set()
    for run in story.runs:
        for record in story.of(run, "step.started"):
            data = record["data"]
            known.add((run, data["step"], data["attempt"]))
        well = Counter(
            (run, d["step"], d["attempt"])
            for d in (record["data"] for record in story.of(run, "step.finished"))
            if d["outcome"] == "ok" and name_of(story, run, d["step"]) in noted
        )
        for place, hosts in well.items():
            for word in ("begin", "end"):
                if len({vm for said, vm in words[place] if said == word}) < hosts:
                    yield Finding(LOST, f"step {place} is ok on {hosts} hosts, and so many do not know of its {word}")
    for place in words.keys() - known:
        yield Finding(LOST, f"step {place} was executed, and the ledger does not know that it began")


def _executed_once(story: Story, acts: list[Act], safe: frozenset[str]) -> Iterator[Finding]:
    """No job twice; no step again that nobody let, unless it is `rerun: safe` or of a watch, or the run began anew."""
    begun = [act for act in acts if act.word == "begin"]
    jobs = Counter((act.vm, act.job, epoch_of(story, act)) for act in begun)
    for (vm, job, _), times in jobs.items():
        if times > 1:
            yield Finding(TWICE, f"{vm}: job {job} was executed {times} times")
    attempts: dict[tuple[int, int, str, int], set[int]] = defaultdict(set)
    for act in begun:
        attempts[act.run, act.step, act.vm, epoch_of(story, act)].add(act.attempt)
    for (run, step, vm, epoch), made in attempts.items():
        if name_of(story, run, step) in safe or phase_of(story, run, step) == "watch":
            continue
        retries = [r for r in story.of(run, "run.decided") if r["data"]["step"] == step]
        let = sum(record["data"]["choice"] == "retry" for record in retries)
        if len(made) > 1 + let:
            yield Finding(TWICE, f"{vm}: step {step} of run {run} was executed {len(made)} times, {let} retries asked")
        if epoch and story.on_prod(run):
            yield Finding(TWICE, f"{vm}: run {run} on prod began anew")


def _executed_in_order(story: Story, acts: list[Act]) -> Iterator[Finding]:
    """On the hosts as in the plan: a step begins when each command of those before it has ended, one way or another."""
    highest: dict[tuple[int, int], int] = {}
    for act in acts:
        key = act.run, epoch_of(story, act)
        if act.step < highest.get(key, 0):
            yield Finding(ORDER, f"{act.vm}: step {act.step} of run {act.run}: {act.word}, after one of a later step")
        highest[key] = max(act.step, highest.get(key, 0))


def _booted_once(story: Story, evidence: Evidence) -> Iterator[Finding]:
    """A prod host boots when a step of a package restarts it, and not once more."""
    boots = Counter(line.split()[1] for line in evidence.acts if line.split()[2:] == ["host", "end"])
    for vm, host in evidence.prod.items():
        ours = [record for run in story.runs if story.on_prod(run) for record in story.runs[run]]
        steps = [record for record in ours if record["data"].get("host") == host]
        begun = [r for r in steps if r["type"] == "step.started" and r["data"]["name"] in evidence.restarts]
        named = {(r["data"]["run"], r["data"]["step"]) for r in begun}
        ended = [r for r in steps if r["type"] == "step.finished" and (r["data"]["run"], r["data"]["step"]) in named]
        well = [r for r in ended if r["data"]["outcome"] == "ok"]
        if boots[vm] > len(begun):
            yield Finding(TWICE, f"{vm} booted {boots[vm]} times, and {len(begun)} restarts were begun")
        if boots[vm] < len(well):
            yield Finding(LOST, f"{vm} booted {boots[vm]} times, and {len(well)} restarts went well")


def _told(records: list[Record], messages: list[dict[str, Any]], story: Story) -> Iterator[Finding]:
    """Everything that is due was posted, once, after it was on the ledger; and the ledger knows of every post."""
    posted = [(mark["key"], mark["record"], message["ts"]) for message in messages if (mark := mark_of(message))]
    times = Counter(key for key, _, _ in posted)
    for key in {key for key in due(records) if "/log/" not in key} - times.keys():
        yield Finding(LOST, f"{key} was never told")
    for run, phase in _phases(story):
        if not any(key.startswith(f"run/{run}/phase/{phase}/") for key in times):
            yield Finding(LOST, f"phase {phase} of run {run} was never told")
    for key, count in times.items():
        if count > 1:
            yield Finding(TWICE, f"{key} was told {count} times")
    hashes = {record["hash"] for record in records}
    for key, called_for, _ in posted:
        if called_for not in hashes:
            yield Finding(LOST, f"{key} was told, and what it tells is not on the ledger")
    told = [(r["data"]["key"], r["data"]["ts"]) for r in records if r["type"] == "message.posted"]
    noted = {(key, ts) for key, ts in told if "/log/" not in key}
    there = {(key, ts) for key, _, ts in posted}
    yield from (Finding(LOST, f"{key} was told, and the ledger does not know it") for key, _ in there - noted)
    yield from (Finding(LOST, f"the ledger says that {key} was told; it is not there") for key, _ in noted - there)
    # A file carries no mark; its name is of one attempt of one step on one host. What printed nothing has none.
    files = Counter(file["name"] for message in messages for file in message.get("files", ()))
    wanted = files_due(records).values()
    yield from (Finding(LOST, f"the file {name} is not there") for name in wanted if name not in files)
    yield from (Finding(TWICE, f"the file {name} is there {count} times") for name, count in files.items() if count > 1)
    if (logs := sum("/log/" in key for key, _ in told)) < len(files):
        yield Finding(LOST, f"{len(files)} files are there, and the ledger knows of {logs}")


def _told_in_order(records: list[Record], messages: list[dict[str, Any]]) -> Iterator[Finding]:
    """In each thread the replies stand in the order of the records that called for them (bot/progress.py)."""
    numbers = {record["hash"]: record["seq"] for record in records}
    highest: dict[str, tuple[int, str]] = {}
    for message in sorted(messages, key=lambda message: float(message["ts"])):
        thread, mark = message.get("thread_ts") or "", mark_of(message)
        if not mark or not thread or thread == message["ts"]:
            continue
        number = numbers.get(mark["record"], 0)
        before, earlier = highest.get(thread, (0, ""))
        if number < before:
            yield Finding(ORDER, f"{mark['key']} was told after {earlier}")
        highest[thread] = max((number, mark["key"]), (before, earlier))


def _named(records: list[Record], messages: list[dict[str, Any]]) -> Iterator[Finding]:
    """Whatever release or run anybody was told of, the ledger has it."""
    known = {record["data"]["release"] for record in records if record["type"] == "package.handed_off"}
    known |= {f"run {record['data']['run']}" for record in records if record["type"] == "run.started"}
    said = {name for message in messages for name in _NAMED.findall(message["text"])}
    for name in sorted(said):
        if name not in known and name.lower() not in known:
            yield Finding(LOST, f"somebody was told of {name}, which the ledger does not have")


def _snapshots(records: list[Record], vms: Mapping[str, dict[str, Any]]) -> Iterator[Finding]:
    """The snapshots of ours that stand are those that the ledger says, and no two have the same name."""
    stand: set[str] = set()
    for record in records:
        if record["type"] == "snapshot.taken":
            stand.add(record["data"]["snapshot"])
        if record["type"] == "snapshot.removed":
            stand.discard(record["data"]["snapshot"])
    there: set[str] = set()
    for name, vm in vms.items():
        if name.startswith("quarterdeck-"):
            yield Finding(LOST, f"the VM {name} is left, and nobody takes care of it")
        ours = [one for one in _walk(vm["snapshots"]) if one["name"].startswith("quarterdeck-")]
        there |= {one["moid"] for one in ours}
        for snapshot, times in Counter(one["name"] for one in ours).items():
            if times > 1:
                yield Finding(TWICE, f"{name} has {times} snapshots {snapshot}")
    yield from (Finding(LOST, f"snapshot {one} stands, and the ledger does not know it") for one in there - stand)
    if vms:
        yield from (Finding(LOST, f"the ledger says that snapshot {one} stands; it does not") for one in stand - there)


def _phases(story: Story) -> set[tuple[int, str]]:
    """Phases with steps of the machinery's own that are over: told of together, but not those that look on at tests."""
    return {
        (run, record["data"]["phase"])
        for run in story.runs
        if story.end(run)
        for record in story.of(run, "step.started")
        if not record["data"]["written"] and record["data"]["phase"] not in ("test", "watch", "lookout")
    }


def _walk(snapshots: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in snapshots:
        yield one
        yield from _walk(one["children"])
