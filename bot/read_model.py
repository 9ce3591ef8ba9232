"""Touches the read model's file: the documents in TinyDB, written whole beside the last ones and renamed."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from tinydb import TinyDB

from bot.ledger import Tail
from plans import records

Tables = dict[str, dict[str, Any]]


class Mark(msgspec.Struct, frozen=True):
    """What a read model stands for: the ledger up to `tail`, whose bytes up to there have the SHA-256 `ledger`.

    `fold`: by which folds it was made.
    """

    tail: Tail
    fold: str
    ledger: str


def write(path: Path, mark: Mark, documents: Mapping[records.Key, records.AnyDocument]) -> None:
    """A kill leaves the old one or the new one. Raises OSError, and then takes up no room."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in records.TABLES}
    for (table, name), document in documents.items():
        rows[table].append({"name": _raw(name), "document": _raw(document)})
    try:
        with TinyDB(beside, storage=_File) as db:
            db.table("tail").insert({**msgspec.structs.asdict(mark), "whole": _digest(mark, rows)})
            for table, found in rows.items():
                db.table(table).insert_multiple(found)
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def read(path: Path) -> tuple[Mark, dict[records.Key, Any]]:
    """What was written last. Raises whatever is wrong with it."""
    documents: dict[records.Key, Any] = {}
    with TinyDB(path, storage=_File) as db:
        (head,) = db.table("tail").all()
        mark = Mark(*(msgspec.json.decode(head[name], type=kind) for name, kind in Mark.__annotations__.items()))
        rows = {table: db.table(table).all() for table in records.TABLES}
    if msgspec.json.decode(head["whole"]) != _digest(mark, rows):
        raise ValueError("it is not what was written")
    for table, kind in records.TABLES.items():
        for row in rows[table]:
            document = msgspec.json.decode(row["document"], type=kind)
            documents[table, msgspec.json.decode(row["name"], type=str)] = document
    return mark, documents


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _digest(mark: Mark, rows: Mapping[str, Sequence[Mapping[str, msgspec.Raw]]]) -> str:
    """SHA-256 in hex of all that a read model says: a byte that changed on the disk must not become what is known."""
    whole = hashlib.sha256(msgspec.json.encode(mark))
    for table, found in rows.items():
        whole.update(f"{table} {len(found)}".encode())
        for row in found:
            whole.update(row["name"])
            whole.update(row["document"])
    return whole.hexdigest()


class _File:
    """A storage of TinyDB's that is read once, its rows' fields as JSON, and written once, when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tables: Tables | None = None
        self._new = False

    def read(self) -> Tables | None:
        if self._tables is None and self._path.exists():
            self._tables = msgspec.json.decode(
                self._path.read_bytes(), type=dict[str, dict[str, dict[str, msgspec.Raw]]]
            )
        return self._tables

    def write(self, tables: Tables) -> None:
        self._tables, self._new = tables, True

    def close(self) -> None:
        if self._new:
            self._path.write_bytes(msgspec.json.encode(self._tables))
