"""Touches the documents: kept in memory from the ledger, and in TinyDB so that a start is quick."""

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bot.ledger import Ledger, Tail
from plans import board as folding
from plans import folds, records, run_folds
from plans.board import apply, environment, release, run
from plans.errors import Refusal
from plans.events import AnyEvent, Entry

log = logging.getLogger(__name__)
D = TypeVar("D", bound=records.Document)

SAVE_EVERY = 2000
"""Records between two writings of the read model: a start reads at most so many of the ledger's lines again."""

FOLD = hashlib.sha256(
    b"".join(Path(str(m.__file__)).read_bytes() for m in (folding, folds, run_folds, records))
).hexdigest()
"""What the read model was folded by: documents of another fold are not taken for this one's."""


class Board:
    """The documents and the ledger that they come from. Every change goes through `record`.

    `deciding` is a lock: who holds it sees a board that does not move, and may `record` what follows from it, so that
    two people who press the same button are one after the other. `listeners` are called with each record, in order,
    after it is on disk and folded, under that lock: they must only note it down.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.ledger = ledger
        self.now = now
        self.deciding = threading.RLock()
        self.listeners: list[Callable[[Entry], None]] = []
        self.documents: dict[records.Key, Any] = {}
        self._model = ledger.path.with_name("board.json")
        self._saved = Tail()
        self._closed = False
        self._load()

    def record(self, by: str, event: AnyEvent) -> Entry:
        """Appends an event and folds it. Raises Refusal `stopping` after `close`, OSError when the disk refuses."""
        with self.deciding:
            if self._closed:
                raise Refusal("stopping", "Quarterdeck is stopping.", "Try again when it is back.")
            entry = self.ledger.append(by, event, self.now())
            self._fold(entry)
            for listener in self.listeners:
                listener(entry)
            if entry.seq - self._saved.seq >= SAVE_EVERY:
                self._save()
            return entry

    def release(self, name: str) -> records.Release:
        """Raises Refusal `unknown_release`."""
        found = release(self.documents, name)
        if found is None:
            raise Refusal("unknown_release", f"There is no release {name}.", "See them all: /handoff list")
        return found

    def run(self, number: int) -> records.Run:
        """Raises Refusal `unknown_run`."""
        found = run(self.documents, number)
        if found is None:
            raise Refusal("unknown_run", f"There is no run {number}.", "See the last ones: /stage history")
        return found

    def environment(self, name: str) -> records.EnvironmentState:
        return environment(self.documents, name)

    def table(self, kind: type[D]) -> Iterator[D]:
        """All documents of one kind, oldest first."""
        with self.deciding:
            return iter([document for document in self.documents.values() if isinstance(document, kind)])

    def close(self) -> None:
        """The read model is written; nothing is recorded from here on."""
        with self.deciding:
            if not self._closed:
                self._closed = True
                self._save()
                self.ledger.close()

    def _fold(self, entry: Entry) -> None:
        for key, document in apply(self.documents, entry).items():
            if document is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = document

    def _load(self) -> None:
        tail = self._read_model()
        try:
            self._catch_up(tail)
        except Refusal:
            if not tail.seq:
                raise
            log.warning("the read model does not fit the ledger: it is built anew")
            self.documents.clear()
            self._catch_up(Tail())

    def _catch_up(self, tail: Tail) -> None:
        for entry in self.ledger.entries(tail):
            self._fold(entry)
        self._saved = tail

    def _read_model(self) -> Tail:
        """The documents as they were written last, and how far they stand for; nothing where that is not readable."""
        if not self._model.exists():
            return Tail()
        try:
            with _tinydb(self._model) as db:
                (kept,) = db.table("tail").all()
                tail = msgspec.convert(kept["tail"], Tail)
                if kept["fold"] != FOLD:
                    log.info("the read model is another version's: it is built anew")
                    return Tail()
                for table, kind in records.TABLES.items():
                    for row in db.table(table).all():
                        document = msgspec.convert(row["document"], kind, strict=False)
                        self.documents[table, row["name"]] = document
                return tail
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the ledger has it all
            log.warning("the read model could not be read (%s): it is built anew", type(error).__name__)
        self.documents.clear()
        return Tail()

    def _save(self) -> None:
        """Written whole beside the old one and renamed: a kill leaves one or the other. Failing it loses nothing."""
        beside = self._model.with_suffix(".new")
        try:
            beside.unlink(missing_ok=True)
            rows: dict[str, list[dict[str, Any]]] = {table: [] for table in records.TABLES}
            for (table, name), document in self.documents.items():
                rows[table].append({"name": name, "document": msgspec.to_builtins(document, str_keys=True)})
            with _tinydb(beside) as db:
                db.table("tail").insert({"tail": msgspec.to_builtins(self.ledger.tail), "fold": FOLD})
                for table, documents in rows.items():
                    db.table(table).insert_multiple(documents)
            os.replace(beside, self._model)
            self._saved = self.ledger.tail
        except OSError as error:
            log.warning("the read model could not be written: %s", error)


def _tinydb(path: Path) -> Any:
    """TinyDB over a file that is written once, when it is closed."""
    from tinydb import TinyDB
    from tinydb.middlewares import CachingMiddleware
    from tinydb.storages import JSONStorage

    storage = CachingMiddleware(JSONStorage)  # type: ignore[no-untyped-call]
    storage.WRITE_CACHE_SIZE = 10**9
    return TinyDB(path, storage=storage)
