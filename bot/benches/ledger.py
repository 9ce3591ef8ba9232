"""Touches ledgers of its own, short and long, as the bot does, and beside them what else would keep its records."""

import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from tinydb import TinyDB

from bot.benches.history import rehearsal, run, write_history
from bot.board import SAVE_EVERY, Board
from bot.ledger import Ledger, read

SHORT, LONG = 100, 100_000
APPENDS = 300
STARTS = 3
TINY = (1_000, 10_000)
INSERTS = 10


_STARTED = """
import json, sys, time
from pathlib import Path
from bot.board import Board
from bot.ledger import Ledger

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

before, began = resident(), time.perf_counter()
board = Board(Ledger.open(Path(sys.argv[1])))
print(json.dumps((time.perf_counter() - began, resident() - before)))
"""


def appends(folder: Path) -> dict[str, Any]:
    """Milliseconds of an append with its fsync and the fold, behind few records and behind many, in turn; then the
    slowest of as many as take the read model to be written twice.
    """
    boards = [_board(folder / f"{size}", size) for size in (SHORT, LONG)]
    times: list[list[float]] = [[], []]
    going = [_events(1_000_000) for _ in boards]
    for _ in range(APPENDS):
        for board, events, found in zip(boards, going, times, strict=True):
            found.append(_timed(board.record, *next(events)))
    short, long = (statistics.median(found) for found in times)
    slow = sorted(_timed(boards[1].record, *next(going[1])) for _ in range(2 * SAVE_EVERY))
    for board in boards:
        board.close()
    return {
        f"append_{SHORT}_ms": _round(short),
        f"append_{_k(LONG)}_ms": _round(long),
        f"append_ratio_{_k(LONG)}_to_{SHORT}": round(long / short, 2),
        "append_p99_while_the_read_model_is_written_ms": _round(slow[len(slow) * 99 // 100]),
        "append_worst_while_the_read_model_is_written_ms": _round(slow[-1]),
    }


def starts(folder: Path) -> dict[str, Any]:
    """Seconds of a start behind many records, the whole chain verified: folded anew, and with the read model."""
    anew, kept = [], []
    for _ in range(STARTS):
        anew.append(_start(folder / f"{LONG}", with_model=False))
        kept.append(_start(folder / f"{LONG}", with_model=True))
    return {
        f"start_{_k(LONG)}_seconds": _round(statistics.median(seconds for seconds, _ in anew)),
        f"start_{_k(LONG)}_with_read_model_seconds": _round(statistics.median(seconds for seconds, _ in kept)),
        f"start_{_k(LONG)}_memory_mib": _round(statistics.median(mebibytes for _, mebibytes in anew)),
        "ledger_mib": _round((folder / f"{LONG}" / "ledger.jsonl").stat().st_size / 2**20),
        "read_model_mib": _round((folder / f"{LONG}" / "board.json").stat().st_size / 2**20),
    }


def others(folder: Path) -> dict[str, Any]:
    """Milliseconds that the same records take elsewhere: an insert into TinyDB as it comes, which is not durable, and
    into SQLite with a write-ahead log and synchronous=FULL, which is.
    """
    rows = [record for record, _ in read(folder / f"{LONG}" / "ledger.jsonl")]
    result: dict[str, Any] = {}
    for size in TINY:
        with TinyDB(folder / f"tiny-{size}.json") as tiny:
            tiny.insert_multiple(rows[:size])
            took = [_timed(tiny.insert, row) for row in rows[size : size + INSERTS]]
        result[f"tinydb_insert_{size}_ms"] = _round(statistics.median(took))
    for size in (SHORT, LONG):
        result[f"sqlite_insert_{size if size == SHORT else _k(size)}_ms"] = _round(_sqlite(folder, rows[:size]))
    return result


def _sqlite(folder: Path, rows: list[dict[str, Any]]) -> float:
    with closing(sqlite3.connect(folder / f"{len(rows)}.sqlite", isolation_level=None)) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=full")
        database.execute("create table ledger (seq integer primary key, hash text, line text)")
        database.execute("begin")
        lines = ((row["seq"], row["hash"], str(row)) for row in rows)
        database.executemany("insert into ledger values (?, ?, ?)", lines)
        database.execute("commit")
        line = str(rows[-1])
        insert = "insert into ledger values (?, ?, ?)"
        following = count(len(rows) + 1)
        return statistics.median(
            _timed(database.execute, insert, (next(following), "f" * 64, line)) for _ in range(APPENDS)
        )


def _board(folder: Path, size: int) -> Board:
    folder.mkdir()
    write_history(folder / "ledger.jsonl", size)
    return Board(Ledger.open(folder))


def _events(number: int) -> Iterator[Any]:
    """What a board is told from now on: one run after the other."""
    for one in count(number):
        yield from run(one, "rehearsal", 1, rehearsal())


def _start(folder: Path, *, with_model: bool) -> tuple[float, float]:
    """A start in a process of its own: seconds for the board alone, and the MiB that it added to the process."""
    model, aside = folder / "board.json", folder / "board.aside"
    if not with_model:
        model.rename(aside)
    done = subprocess.run([sys.executable, "-P", "-c", _STARTED, folder], capture_output=True, text=True, check=True)
    if not with_model:
        aside.rename(model)
    seconds, mebibytes = json.loads(done.stdout)
    return seconds, mebibytes


def _timed(what: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    what(*given)
    return (time.perf_counter() - began) * 1000


def _round(number: float) -> float:
    return round(number, 3)


def _k(size: int) -> str:
    return f"{size // 1000}k"
