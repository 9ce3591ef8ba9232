"""Touches the documents: kept in memory from the ledger, and in TinyDB so that a start is quick."""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bot import read_model
from bot.ledger import Ledger, Tail, digest_up_to
from plans import board as folding
from plans import folds, records, rule_folds, rule_records, run_folds
from plans.bases import Document
from plans.board import apply, environment, release, run
from plans.errors import Refusal
from plans.events import AnyEvent, Entry

log = logging.getLogger(__name__)
D = TypeVar("D", bound=Document)

SAVE_EVERY = 2000
"""Records between two writings of the read model: a start reads at most so many of the ledger's lines again."""

FOLD = hashlib.sha256(
    b"".join(Path(str(m.__file__)).read_bytes() for m in (folding, folds, run_folds, rule_folds, records, rule_records))
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
        self._least = 0
        self._saving: threading.Thread | None = None
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
                self._save_aside()
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
                if self._saving is not None:
                    self._saving.join()
                self._save(self.ledger.tail, self.documents)
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
        for entry in self.ledger.entries(tail, self._least):
            self._fold(entry)
        self._saved = tail

    def _read_model(self) -> Tail:
        """The documents as they were written last, and how far they stand for; nothing where that is not readable.

        They are taken for a ledger alone whose every byte up to there is as it was.
        """
        if not self._model.exists():
            return Tail()
        try:
            mark, documents = read_model.read(self._model)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the ledger has it all
            log.warning("the read model could not be read (%s): it is built anew", type(error).__name__)
            return Tail()
        self._least = mark.tail.seq
        if mark.fold != FOLD:
            log.info("the read model is another version's: it is built anew")
            return Tail()
        if mark.ledger != digest_up_to(self.ledger.path, mark.tail.offset):
            log.warning("the read model was made of another ledger: it is built anew")
            return Tail()
        self.documents = documents
        return mark.tail

    def _save_aside(self) -> None:
        """The read model is written by a thread of its own, from the documents as they are now: nobody waits for it."""
        if self._saving is None or not self._saving.is_alive():
            self._saved = self.ledger.tail
            args = (self._saved, dict(self.documents))
            self._saving = threading.Thread(target=self._save, args=args, name="read-model", daemon=True)
            self._saving.start()

    def _save(self, tail: Tail, documents: dict[records.Key, Any]) -> None:
        """Failing it loses nothing."""
        try:
            digest = digest_up_to(self.ledger.path, tail.offset)
            read_model.write(self._model, read_model.Mark(tail, FOLD, digest), documents)
        except OSError as error:
            log.warning("the read model could not be written: %s", error)
