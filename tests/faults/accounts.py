"""Decides what the witnesses say: the lines of the ledger as records of runs, those of the hosts as what they executed.

It knows nothing of the bot's code: what it reads them by is CONTRACT.md.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

Record = dict[str, Any]

_JOB = re.compile(r"[^/]+/(\d+)-(\d+)-(\d+)-([^/-]+)(?:-(\d+))?/")


class Act(NamedTuple):
    """One line of a host's own record: a command began, failed or ended, at that time (milliseconds since 1970)."""

    at: int
    vm: str
    job: str
    word: str
    run: int
    step: int
    attempt: int


def act_of(line: str) -> Act | None:
    """A line of the hosts' record, where it is of a job."""
    at, vm, job, word = line.split()
    found = _JOB.fullmatch(job)
    return Act(int(at), vm, job, word, int(found[1]), int(found[2]), int(found[3])) if found else None


def lines_of(ledger: Path) -> list[bytes]:
    """The ledger's whole lines; what follows the last line's end is no record."""
    return [line for line in ledger.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def verified(lines: Iterable[bytes]) -> tuple[list[Record], str]:
    """The records up to the first line that is not what was written, and which that is (CONTRACT.md, 7)."""
    records: list[Record] = []
    prev = "0" * 64
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            bare = {key: value for key, value in record.items() if key != "hash"}
        except (ValueError, AttributeError):
            return records, f"line {number} of the ledger is no record"
        text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        whole = record.get("hash") == hashlib.sha256(text.encode()).hexdigest()
        if not whole or record["prev"] != prev or record["seq"] != number:
            return records, f"line {number} of the ledger is not what was written"
        prev = record["hash"]
        records.append(record)
    return records, ""


class Story:
    """The ledger's records by run."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.runs: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            if (number := record["data"].get("run")) is not None:
                self.runs[number].append(record)

    def of(self, run: int, kind: str) -> list[Record]:
        return [record for record in self.runs[run] if record["type"] == kind]

    def on_prod(self, run: int) -> bool:
        return self.of(run, "run.started")[0]["data"]["kind"] in ("promotion", "rollback", "revert")

    def end(self, run: int) -> Record | None:
        return next(iter(self.of(run, "run.finished")), None)

    def restarts(self, run: int) -> list[int]:
        """When it began anew, in milliseconds since 1970."""
        return [milliseconds(record["at"]) for record in self.of(run, "run.restarted")]


def due(records: list[Record]) -> set[str]:
    """The keys of the messages that these records call for. A phase is told by its last own step, so it has several."""
    keys: set[str] = set()
    restarts: Counter[int] = Counter()
    for record in records:
        data = record["data"]
        match record["type"]:
            case "run.restarted":
                restarts[data["run"]] += 1
                keys.add(f"run/{data['run']}/restart/{restarts[data['run']]}")
            case "package.handed_off":
                keys.add(f"release/{data['release']}")
            case "run.started":
                keys.add(f"run/{data['run']}")
            case "run.paused":
                keys.add(f"run/{data['run']}/question/{data['question']}")
            case "watch.checked":
                keys.add(f"run/{data['run']}/mark/{data['mark']}")
            case "run.finished":
                keys.add(f"run/{data['run']}/end")
            case kind if kind in _NOTICES:
                keys.add(f"notice/{record['seq']}")
            case "config.loaded" if data["changed"]:
                keys.add(f"notice/{record['seq']}")
    return keys | _due_of_steps(records)


_NOTICES = (
    "release.withdrawn", "release.defective", "promotion.scheduled", "promotion.unscheduled", "isolation.attested",
    "environment.locked", "environment.unlocked", "freeze.set", "freeze.lifted", "approval.given",
)  # fmt: skip


def _due_of_steps(records: list[Record]) -> set[str]:
    """Every step that somebody wrote and that went through on all of its hosts is told; a watch tells by its marks."""
    begun: dict[tuple[int, int], Record] = {}
    well: dict[tuple[int, int], set[str | None]] = defaultdict(set)
    keys = set()
    for record in records:
        data = record["data"]
        if record["type"] == "step.started":
            begun[data["run"], data["step"]] = data
        if record["type"] == "run.restarted":
            for gone in [place for place in well if place[0] == data["run"]]:
                del well[gone]
        if record["type"] == "step.finished":
            place = data["run"], data["step"]
            step = begun.get(place)
            well[place] |= {data["host"]} if data["outcome"] == "ok" else set()
            if step and step["written"] and step["phase"] != "watch" and len(well[place]) == step["of"]:
                keys.add(f"run/{data['run']}/step/{data['step']}/{data['attempt']}")
    return keys


def epoch_of(story: Story, act: Act) -> int:
    """How often the run had begun anew by then."""
    return sum(at <= act.at for at in story.restarts(act.run))


def name_of(story: Story, run: int, step: int) -> str:
    steps = story.of(run, "step.started")
    return next((r["data"]["name"] for r in steps if r["data"]["step"] == step), "")


def phase_of(story: Story, run: int, step: int) -> str:
    return next((r["data"]["phase"] for r in story.of(run, "step.started") if r["data"]["step"] == step), "")


def place_of(record: Record) -> tuple[Any, ...]:
    data = record["data"]
    return data["step"], data["host"], data["attempt"]


def mark_of(message: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = (message.get("metadata") or {}).get("event_payload") or {}
    return found


def milliseconds(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)
