"""Records in any order, whatever they name: each folds, and what they come to is the same from memory and from disk."""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import read_model
from bot.board import Board
from bot.ledger import Ledger, Tail, chained, entry
from plans.board import apply
from plans.events import AnyEvent, RunStarted
from plans.records import TABLES, AnyDocument, Key, Run

NOW = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
TIME = st.sampled_from(["2026-11-23T21:04:05.678Z", "2026-11-24T00:00:00+01:00"])
RELEASE = st.sampled_from(["R-1", "R-2", "R-3"])
HOST = st.sampled_from(["web", "web/2", "db"])
WORDS = st.text(max_size=8)

POOLS: dict[str, st.SearchStrategy[Any]] = {
    "run": st.integers(1, 3),
    "step": st.integers(1, 4),
    "attempt": st.integers(1, 3),
    "of": st.integers(1, 3),
    "question": st.integers(1, 3),
    "kind": st.sampled_from(
        ["rehearsal", "check", "reset", "promotion", "rollback", "revert", "restore_test", "lookout"]
    ),
    "phase": st.sampled_from(["power_on", "confirm", "deploy", "test", "watch", "revert", "lookout"]),
    "environment": st.sampled_from(["staging", "prod"]),
    "app": st.sampled_from(["webshop", "crm"]),
    "outcome": st.sampled_from(["ok", "failed", "errored", "skipped", "aborted"]),
    "choice": st.sampled_from(["retry", "skip", "abort", "done", "done_with_help", "failed", "pass", "fail", "wait"]),
    "verdict": st.sampled_from(["passed", "failed", "errored", "aborted", "proved", "attested", "violated"]),
    "snapshot": st.sampled_from(["snapshot-1", "snapshot-2"]),
    "host": HOST,
    "key": st.sampled_from(
        ["run/1", "run/1/end", "run/2/step/1/1", "run/x", "release/R-1", "release/", "notice/1", "", "/", "run", "E-1"]
    ),
    "escape": st.sampled_from(["E-1", "E-2"]),
    "fact": st.sampled_from(["schema", "packages"]),
    "subject": st.sampled_from(["R-1", "run 1"]),
    "at": TIME,
    "until": TIME,
    "due": TIME,
    "restored": TIME,
}
"""What a field of that name may hold, so that records speak of the same few things."""


def of(name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field, as its type has them."""
    if name == "release":
        return RELEASE if hint is str else st.none() | RELEASE
    if name == "host" and hint is not str:
        return st.none() | HOST
    if name in POOLS and hint in (str, int, str | None):
        return POOLS[name] if hint is not str | None else st.none() | POOLS[name]
    if hint is str:
        return WORDS
    if hint is int:
        return st.integers(0, 2**53)
    if hint is float:
        return st.floats(0, 1e9)
    if hint == float | None:
        return st.none() | st.floats(0, 1e9)
    return st.from_type(hint)


def records_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: of(name, hints[name]) for name in kind.__struct_fields__})


EVENTS = st.one_of([records_of(kind) for kind in get_args(AnyEvent)])
PEOPLE = st.sampled_from(["U01DEV", "U02ADMIN", "quarterdeck"])


@settings(max_examples=2500 if os.environ.get("QUARTERDECK_FAULTS") == "all" else 150, deadline=None)
@given(st.lists(st.tuples(PEOPLE, EVENTS), min_size=1, max_size=40))
def test_whatever_is_on_the_ledger_folds_and_comes_back_from_the_read_model(told: list[tuple[str, Any]]) -> None:
    documents: dict[Key, AnyDocument] = {}
    tail, lines = Tail(), []
    for number, (by, event) in enumerate(told):
        record, line = chained(tail, by, event, NOW + timedelta(seconds=number))
        lines.append(line)
        tail = Tail(record["seq"], record["hash"], tail.offset + len(line))
        before = msgspec.json.encode(list(documents.values()))
        changed = apply(documents, entry(record))
        assert msgspec.json.encode(list(documents.values())) == before, "a fold changes nothing that is there"
        for key, document in changed.items():
            assert key[0] in TABLES
            assert stays_unclean(documents.get(key), document, event)
            documents[key] = document  # type: ignore[assignment]
            if document is None:
                del documents[key]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ledger.jsonl").write_bytes(b"".join(lines))
        board = Board(Ledger.open(folder))
        assert by_table(board.documents) == by_table(documents)
        board.close()
        _, found = read_model.read(folder / "board.json")
        assert by_table(found) == by_table(documents)


def stays_unclean(before: Any, after: Any, event: Any) -> bool:
    """A run that is not clean never becomes clean again."""
    if not isinstance(before, Run) or isinstance(event, RunStarted):
        return True
    return isinstance(after, Run) and after.unclean[: len(before.unclean)] == before.unclean


def by_table(documents: dict[Key, Any]) -> dict[str, list[tuple[str, Any]]]:
    """The documents of each table in their order, which is what the outbox is told by."""
    return {table: [(key[1], one) for key, one in documents.items() if key[0] == table] for table in TABLES}
