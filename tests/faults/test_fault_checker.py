"""The checker of the faults is itself checked: a good story passes, and each way to doctor it is found out."""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from faults.accounts import due
from faults.checker import LOST, ORDER, TWICE, WRONG, Evidence, check

NOON = 1_795_435_200_000
Record = dict[str, Any]


@dataclass
class Tale:
    """One release, rehearsed and promoted, as its three witnesses tell it."""

    records: list[Record] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    posts: list[tuple[int, str, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    left: dict[str, Any] = field(default_factory=dict)

    def happens(self, of_type: str, /, **data: Any) -> int:
        self.records.append({"type": of_type, "by": "quarterdeck", "data": data})
        return len(self.records)

    def at(self, of_type: str, /, **wanted: Any) -> int:
        """The place of the first record of a type with these values."""
        return next(
            i
            for i, record in enumerate(self.records)
            if record["type"] == of_type and wanted.items() <= record["data"].items()
        )

    def acts_of(self, step: str) -> list[int]:
        return [i for i, line in enumerate(self.acts) if f"/{step}-1-web/" in line]

    def evidence(self) -> Evidence:
        prev, lines, hashes = "0" * 64, [], []
        for seq, record in enumerate(self.records, 1):
            at = datetime.fromtimestamp((NOON + record.get("ms", seq * 10)) / 1000, UTC).isoformat()
            whole = {key: value for key, value in record.items() if key != "ms"}
            whole |= {"seq": record.get("seq", seq), "at": at, "prev": prev}
            text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            prev = hashlib.sha256(text.encode()).hexdigest()
            lines.append(json.dumps(whole | {"hash": prev}).encode() + b"\n")
            hashes.append(prev)
        posts = [
            {
                "ts": ts,
                "text": key,
                "thread_ts": "1.0" if key.count("/") > 1 else "",
                "metadata": {"event_payload": {"key": key, "record": hashes[called_for - 1] if called_for else "none"}},
            }
            for called_for, key, ts in self.posts
        ]
        return Evidence(
            lines=lines,
            acts=self.acts,
            messages=[*posts, *({"ts": "9.0", "text": "", "files": [{"name": name}]} for name in self.files)],
            told=[{"text": text} for text in self.told],
            vms={"prod-web": {"snapshots": self.snapshots}, **self.left},
            noted=frozenset({"Do it"}),
            prod={"prod-web": "web"},
            restarts=frozenset({"Restart it"}),
        )


def good() -> Tale:
    tale = Tale(told=["Run 1 begins with R-1."])
    called: list[tuple[int, str]] = [(tale.happens("package.handed_off", release="R-1"), "release/R-1")]
    tale.happens("run.started", run=1, kind="promotion", release="R-1")
    called.append((2, "run/1"))

    def step(number: int, name: str, phase: str, *, written: bool, attempt: int = 1, outcome: str = "ok") -> int:
        place = {"run": 1, "step": number, "host": "web", "attempt": attempt}
        tale.happens("step.started", **place, phase=phase, name=name, written=written, of=1)
        if name == "Do it":
            seconds = len(tale.records) * 10
            words = ("begin", "end") if outcome == "ok" else ("begin", "failed")
            tale.acts += [f"{NOON + seconds} prod-web ns/1-{number}-{attempt}-web/ {word}" for word in words]
        if name == "Restart it":
            tale.acts += [f"{NOON} prod-web host begin", f"{NOON} prod-web host end"]
        if name == "Take a snapshot":
            tale.happens("snapshot.taken", run=1, host="web", snapshot="snapshot-1", name="quarterdeck-ns-run-1")
            tale.snapshots.append({"moid": "snapshot-1", "name": "quarterdeck-ns-run-1", "children": []})
        return tale.happens("step.finished", **place, outcome=outcome, exit=0, log="")

    step(1, "Take a snapshot", "protect", written=False)
    called.append((len(tale.records) + 1, "run/1/phase/protect/1"))
    called.append((step(2, "Restart it", "deploy", written=True), "run/1/step/2/1"))
    called.append((step(3, "Do it", "deploy", written=True, outcome="failed"), "run/1/step/3/1"))
    called.append((tale.happens("run.paused", run=1, step=3, why="it failed", question=1), "run/1/question/1"))
    tale.happens("run.decided", run=1, step=3, choice="retry")
    called.append((step(3, "Do it", "deploy", written=True, attempt=2), "run/1/step/3/2"))
    called.append((step(4, "Do it", "deploy", written=True), "run/1/step/4/1"))
    called.append((tale.happens("run.finished", run=1, verdict="passed", clean=True, reason=""), "run/1/end"))
    for number, (seq, key) in enumerate(called):
        ts = "1.0" if key == "run/1" else f"2.{number:02}"
        tale.posts.append((seq, key, ts))
        tale.happens("message.posted", key=key, channel="C", ts=ts)
    asked = tale.happens("report.asked", release="R-1", run=1)
    tale.happens("message.posted", key=f"run/1/report/{asked}/log/1", channel="C", ts="")
    tale.files.append(f"R-1-{asked}.html")
    return tale


def drop(kind: str, /, **wanted: Any) -> Callable[[Tale], None]:
    def doctor(tale: Tale) -> None:
        """The record is gone, and what was told of later ones is told of them still."""
        place = tale.at(kind, **wanted)
        del tale.records[place]
        tale.posts = [(0 if seq == place + 1 else seq - (seq > place + 1), key, ts) for seq, key, ts in tale.posts]

    return doctor


def again(kind: str, /, **wanted: Any) -> Callable[[Tale], None]:
    return lambda tale: tale.records.append(copy.deepcopy(tale.records[tale.at(kind, **wanted)]))


def change(kind: str, /, **values: Any) -> Callable[[Tale], None]:
    return lambda tale: tale.records[tale.at(kind)]["data"].update(values)


def unpost(key: str) -> Callable[[Tale], None]:
    """Neither Slack nor the ledger has it."""

    def doctor(tale: Tale) -> None:
        tale.posts = [post for post in tale.posts if post[1] != key]
        del tale.records[tale.at("message.posted", key=key)]

    return doctor


def swap_posts(tale: Tale) -> None:
    (one, first, ts), (other, second, later) = tale.posts[-3:-1]
    tale.posts[-3:-1] = [(other, second, ts), (one, first, later)]
    tale.records[tale.at("message.posted", key=first)]["data"]["ts"] = later
    tale.records[tale.at("message.posted", key=second)]["data"]["ts"] = ts


def swap_steps(tale: Tale) -> None:
    """Step 4 begins before step 3 has ended."""
    started = tale.records.pop(tale.at("step.started", step=4))
    tale.records.insert(tale.at("step.finished", step=3, attempt=2), started)


def end_first(tale: Tale) -> None:
    ended = tale.records.pop(tale.at("step.finished", step=4))
    tale.records.insert(tale.at("step.started", step=4), ended)


def late_act(tale: Tale) -> None:
    tale.acts.append(tale.acts[tale.acts_of("1-4")[0]].replace("1-4-1-web", "1-3-2-web").replace("begin", "end"))


DOCTORED: dict[str, tuple[Callable[[Tale], object], str, str]] = {
    "a run without an end": (drop("run.finished"), LOST, "run 1 has no end"),
    "a step without an end": (drop("step.finished", step=4), LOST, "no word of how it ended"),
    "a step that nobody wrote down": (drop("step.started", step=4), LOST, "the ledger does not know that it began"),
    "a hand-off that somebody was told of": (drop("package.handed_off"), LOST, "told of R-1"),
    "a record that somebody was told of": (drop("run.paused"), LOST, "what it tells is not on the ledger"),
    "a post that is not written down": (drop("message.posted", key="run/1/end"), LOST, "does not know it"),
    "a post that is not there": (lambda tale: tale.posts.pop(), LOST, "it is not there"),
    "a message that is not told": (unpost("run/1/step/4/1"), LOST, "run/1/step/4/1 was never told"),
    "a phase that is not told": (unpost("run/1/phase/protect/1"), LOST, "phase protect of run 1"),
    "a step that no host knows of": (lambda tale: tale.acts.__delitem__(slice(-2, None)), LOST, "its begin"),
    "a step that did not come to its end": (lambda tale: tale.acts.pop(), LOST, "its end"),
    "a restart that never was": (lambda tale: tale.acts.__delitem__(slice(0, 2)), LOST, "booted 0 times"),
    "a snapshot that is not there": (lambda tale: tale.snapshots.clear(), LOST, "snapshot-1 stands; it does not"),
    "a snapshot that nobody knows": (
        lambda tale: tale.snapshots.append({"moid": "snapshot-2", "name": "quarterdeck-ns-run-2", "children": []}),
        LOST,
        "snapshot-2 stands",
    ),
    "a clone that is left": (
        lambda tale: tale.left.update({"quarterdeck-ns-run-1-db": {"snapshots": []}}),
        LOST,
        "is left, and nobody",
    ),
    "a job twice": (lambda tale: tale.acts.extend(tale.acts[-2:]), TWICE, "was executed 2 times"),
    "a step again that nobody let": (change("run.decided", choice="skip"), TWICE, "0 retries"),
    "a restart too many": (lambda tale: tale.acts.extend(tale.acts[:2]), TWICE, "booted 2 times"),
    "a run that ended twice": (again("run.finished"), TWICE, "run 1 ended 2 times"),
    "a step that ended twice": (again("step.finished", step=4), TWICE, "ended 2 times"),
    "a run that was started twice": (again("run.started"), TWICE, "started twice"),
    "a file that is not there": (lambda tale: tale.files.clear(), LOST, ".html is not there"),
    "a file that is not written down": (lambda tale: tale.records.pop(), LOST, "1 files are there"),
    "a file twice": (lambda tale: tale.files.extend(tale.files), TWICE, ".html is there 2 times"),
    "a message twice": (lambda tale: tale.posts.append((2, "run/1", "9.0")), TWICE, "run/1 was told 2 times"),
    "a snapshot twice": (
        lambda tale: tale.snapshots[0]["children"].append(tale.snapshots[0] | {"moid": "snapshot-2", "children": []}),
        TWICE,
        "has 2 snapshots",
    ),
    "prod that began anew": (
        lambda tale: tale.records.insert(
            tale.at("step.started", step=4), {"type": "run.restarted", "by": "quarterdeck", "data": {"run": 1}}
        ),
        TWICE,
        "on prod began anew",
    ),
    "a thread out of order": (swap_posts, ORDER, "was told after"),
    "steps out of order": (swap_steps, ORDER, "had no end"),
    "steps out of order on a host": (late_act, ORDER, "after one of a later step"),
    "something after the end": (again("step.started", step=4), ORDER, "had ended when step.started"),
    "an end before the beginning": (end_first, ORDER, "had not begun"),
    "a clock that went back": (lambda tale: tale.records[5].update(ms=0), ORDER, "the one before it of"),
    "a number that is missing": (lambda tale: tale.records[5].update(seq=7), WRONG, "line 6"),
}  # fmt: skip


def told(*happened: tuple[str, dict[str, Any]]) -> set[str]:
    """What is owed after these records."""
    return due([{"seq": seq, "type": kind, "data": data} for seq, (kind, data) in enumerate(happened, 1)])


@pytest.mark.parametrize(
    ("kind", "data", "keys"),
    [
        ("escape.recorded", {"escape": "E-1"}, {"notice/1"}),
        ("approval.asked", {"release": "R-1"}, {"notice/1"}),
        ("check.assigned", {"run": 3, "step": 4}, {"run/3/assigned/1"}),
        ("run.reminded", {"run": 3}, {"run/3/reminder/1"}),
        ("inspection.opened", {"run": 3}, {"run/3/end/log/1"}),
        ("inspection.entered", {"run": 3}, {"run/3/visit/1"}),
        ("difference.found", {"run": 3, "key": "schema"}, {"run/3/difference/schema"}),
        ("week.over", {}, {"digest/1", "digest/1/log/1"}),
        ("config.loaded", {"changed": []}, set()),
        ("restore_test.missed", {"environment": "staging"}, set()),
    ],
)
def test_what_is_owed_for_a_record(kind: str, data: dict[str, Any], keys: set[str]) -> None:
    assert told((kind, data)) == keys


def test_an_escape_that_is_closed_again_by_an_interrupted_step_is_told_once() -> None:
    closed = ("escape.closed", {"escape": "E-1"})
    assert told(closed, closed) == {"notice/1"}


def test_two_hands_in_a_run_are_one_message() -> None:
    assert told(("hand.seen", {"run": 3, "host": "web"}), ("hand.seen", {"run": 3, "host": "db"})) == {"run/3/hands"}


def test_a_lookout_is_told_of_where_it_saw_something() -> None:
    begun, ended = ("run.started", {"run": 3, "kind": "lookout"}), ("run.finished", {"run": 3, "verdict": "passed"})
    assert told(begun, ended) == set()
    found = ("difference.found", {"run": 3, "key": "schema"})
    assert told(begun, found, ended) == {"run/3", "run/3/difference/schema", "run/3/end"}


def test_a_step_that_failed_somewhere_is_told_when_it_is_over_with_all_that_it_printed_there() -> None:
    place = {"run": 3, "step": 4, "attempt": 1, "phase": "deploy", "written": True, "of": 2}
    begun = [("step.started", place | {"host": host}) for host in ("web", "db")]
    bad = ("step.finished", place | {"host": "web", "outcome": "failed", "log": "logs/x"})
    good = ("step.finished", place | {"host": "db", "outcome": "ok", "log": "logs/y"})
    assert told(*begun, bad) == set()
    assert told(*begun, bad, good) == {"run/3/step/4/1", "run/3/step/4/1/log/1"}


def test_a_good_story_passes() -> None:
    assert check(good().evidence()) == []


@pytest.mark.parametrize("name", DOCTORED)
def test_what_is_doctored_is_found(name: str) -> None:
    doctor, kind, words = DOCTORED[name]
    tale = good()
    doctor(tale)
    findings = check(tale.evidence())
    assert [finding for finding in findings if finding.kind == kind and words in finding.what], findings


def test_a_line_that_was_changed_is_found() -> None:
    evidence = good().evidence()
    lines = [line.replace(b"passed", b"failed") for line in evidence.lines]
    (finding,) = [finding for finding in check(replace(evidence, lines=lines)) if finding.kind == WRONG]
    assert "not what was written" in finding.what


def test_a_step_on_staging_may_be_done_again_when_the_run_begins_anew() -> None:
    tale = good()
    tale.records[tale.at("run.started")]["data"]["kind"] = "rehearsal"
    doctor, _, _ = DOCTORED["prod that began anew"]
    doctor(tale)
    del tale.acts[:2]  # prod's boot
    assert not [finding for finding in check(tale.evidence()) if finding.kind == TWICE]
