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
    closed: set[str] = set()
    quiet = _quiet(records)
    for record in records:
        data = record["data"]
        match record["type"]:
            case "run.restarted":
                restarts[data["run"]] += 1
                keys.add(f"run/{data['run']}/restart/{restarts[data['run']]}")
            case "config.loaded" if not data["changed"]:
                pass
            case "run.started" | "run.finished" if data["run"] in quiet:
                pass
            case "escape.closed" if data["escape"] in closed:
                pass  # by a step that was interrupted right after it, and done again
            case kind if kind in _TOLD:
                keys.add(_TOLD[kind].format(seq=record["seq"], **data))
        if record["type"] == "escape.closed":
            closed.add(data["escape"])
    return keys | files_due(records).keys() | _due_of_steps(records) | _due_of_trouble(records)


def files_due(records: list[Record]) -> dict[str, str]:
    """The names of the files that these records call for, by their keys, but for steps' outputs, which may be empty."""
    return {
        key.format(seq=record["seq"], **record["data"]): name.format(seq=record["seq"], **record["data"])
        for record in records
        for key, name in [_FILES.get(record["type"], ("", ""))]
        if key
    }


def _quiet(records: list[Record]) -> set[int]:
    """The lookouts that nobody is told of: they saw nothing, and went well or gave way."""
    lookouts = {r["data"]["run"] for r in records if r["type"] == "run.started" and r["data"]["kind"] == "lookout"}
    seen = {r["data"]["run"] for r in records if r["type"] == "difference.found"}
    ended = [r["data"] for r in records if r["type"] == "run.finished"]
    return lookouts - seen - {data["run"] for data in ended if data["verdict"] not in ("passed", "aborted")}


_TOLD = {
    "package.handed_off": "release/{release}",
    "run.started": "run/{run}",
    "run.paused": "run/{run}/question/{question}",
    "watch.checked": "run/{run}/mark/{mark}",
    "run.finished": "run/{run}/end",
    "difference.found": "run/{run}/difference/{key}",
    "hand.seen": "run/{run}/hands",
    "inspection.entered": "run/{run}/visit/{seq}",
    "check.assigned": "run/{run}/assigned/{seq}",
    "run.reminded": "run/{run}/reminder/{seq}",
    "week.over": "digest/{seq}",
    **dict.fromkeys(
        (
            "config.loaded", "release.withdrawn", "release.defective", "promotion.scheduled", "promotion.unscheduled",
            "isolation.attested", "environment.locked", "environment.unlocked", "freeze.set", "freeze.lifted",
            "approval.asked", "approval.given", "approval.refused", "difference.disposed", "waiver.given",
            "change.outside", "review.given", "review.reminded", "promotion.forced", "promotion.left",
            "escape.recorded", "escape.closed", "restore_test.overdue",
        ),
        "notice/{seq}",
    ),
}  # fmt: skip
"""The key of the message that each type calls for: what is told of many times in one run has one key."""

_FILES = {
    "inspection.opened": ("run/{run}/end/log/1", "run-{run}.zip"),
    "report.asked": ("run/{run}/report/{seq}/log/1", "{release}-{seq}.html"),
    "week.over": ("digest/{seq}/log/1", "deployments-{seq}.png"),
}
"""The key and the name of the file that each type calls for."""


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


def _due_of_trouble(records: list[Record]) -> set[str]:
    """A step that somebody wrote and that went wrong somewhere is told when it is under way nowhere, and what it
    printed where it went wrong is shown whole: of at most three hosts."""
    written: dict[tuple[int, int], bool] = {}
    there: dict[tuple[int, int], dict[str | None, Record]] = defaultdict(dict)
    keys = set()
    for record in records:
        data = record["data"]
        if record["type"] == "run.restarted":
            for gone in [place for place in there if place[0] == data["run"]]:
                del there[gone]
        if record["type"] not in ("step.started", "step.finished"):
            continue
        place = data["run"], data["step"]
        there[place][data["host"]] = data
        if record["type"] == "step.started":
            written[place] = data["written"] and data["phase"] != "watch"
            continue
        outcomes = [each.get("outcome") for each in there[place].values()]
        if written.get(place) and None not in outcomes and {"failed", "errored", "aborted"} & set(outcomes):
            reply = f"run/{data['run']}/step/{data['step']}/{max(each['attempt'] for each in there[place].values())}"
            bad = [each for each in there[place].values() if each["outcome"] in ("failed", "errored") and each["log"]]
            keys |= {reply, *(f"{reply}/log/{number}" for number, _ in enumerate(bad[:3], 1))}
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
