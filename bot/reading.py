"""Reads a ledger's file, of a running bot too: verifies its chain, and shows it to people and programs."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.ledger import GENESIS, Tail, entry, read
from plans.errors import Refusal
from plans.events import Entry

LOOK_EVERY = 0.3
"""Seconds between two looks of who follows a ledger at its end."""

_SAID = ("release", "run", "kind", "environment", "phase", "step", "name", "host", "attempt", "outcome", "choice")
_WHY = ("verdict", "clean", "reason", "why", "gates", "user", "command", "role")
_TOLD = (*_WHY, "key", "at", "until", "mark", "ok", "changed")


def verify(data_dir: Path) -> tuple[int, str]:
    """The number of records and the last one's hash. Raises Damaged with the first bad line's number."""
    count, head = 0, GENESIS
    for record, _ in read(_file(data_dir)):
        count, head = count + 1, record["hash"]
    return count, head


def records(data_dir: Path, *, release: str | None = None, run: int | None = None) -> Iterator[dict[str, Any]]:
    """The records of one release (its runs' too), of one run, or all."""
    runs: set[int] = set()
    for record, _ in read(_file(data_dir)):
        data = record["data"]
        if record["type"] == "run.started" and data["release"] == release:
            runs.add(data["run"])
        of_release = release is None or data.get("release") == release or data.get("run") in runs or _key(data, release)
        if of_release and (run is None or data.get("run") == run or _key(data, f"{run}")):
            yield record


def entries(data_dir: Path) -> Iterator[Entry]:
    """Every record as an event, verified. Raises Damaged."""
    for record, _ in read(_file(data_dir)):
        yield entry(record)


def latest(path: Path, seq: int) -> list[Entry]:
    """The records after number `seq` of a ledger that was verified before: read from its end, however long it is."""
    span, size = 1 << 16, path.stat().st_size
    while True:
        with path.open("rb") as file:
            file.seek(max(0, size - span))
            lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        found = [json.loads(line) for line in (lines if span >= size else lines[1:])]  # the first may be half a line
        if span >= size or (found and found[0]["seq"] <= seq + 1):
            return [entry(record) for record in found if record["seq"] > seq]
        span *= 4


def follow(data_dir: Path, run: int) -> Iterator[dict[str, Any]]:
    """A run's records so far, and each further one when it is there, until it asks or has ended.

    Raises Refusal `unknown_run`.
    """
    tail, waits = Tail(), None
    while not waits:
        for record, offset in read(_file(data_dir), tail):
            tail = Tail(record["seq"], record["hash"], offset)
            if record["data"].get("run") == run:
                if record["type"] in ("run.paused", "run.finished"):
                    waits = True
                elif record["type"] == "run.decided" or waits is None:
                    waits = False
                yield record
        if waits is None:
            raise Refusal("unknown_run", f"There is no run {run}.", "See the last ones: quarterdeck ctl history")
        if not waits:
            time.sleep(LOOK_EVERY)


def line(record: dict[str, Any]) -> str:
    """One record for a person: number, time, what, who, and what of its data says most."""
    data = record["data"]
    words = [f"{key}={_word(data[key])}" for key in (*_SAID, *_TOLD) if data.get(key) not in (None, "", [], ())]
    return f"{record['seq']:>6}  {record['at']}  {record['type']:<22} {record['by']:<12} {' '.join(words)}"


def _word(value: Any) -> str:
    if isinstance(value, str):
        text = " ".join(value.split())
        return text if " " not in text else json.dumps(text, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def _key(data: dict[str, Any], name: str) -> bool:
    """Whether a message's key (`run/3/end`, `release/R-1`) belongs to that run or release."""
    return str(data.get("key", "")).split("/")[1:2] == [name]


def _file(data_dir: Path) -> Path:
    path = data_dir / "ledger.jsonl"
    if not path.is_file():
        raise Refusal("no_ledger", f"There is no ledger in {data_dir}.", "Name the bot's data_dir, or its --config.")
    return path
