"""The house that the process is tried in: its bot, which may die at any record, its clock, and its prod."""

import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from builders import NOW
from doors import Doors
from hypothesis.stateful import RuleBasedStateMachine
from office import PLANS, Office, harmless
from witness import Witness

from bot import board as board_module
from bot.board import Board
from bot.ledger import Ledger
from bot.telling.backlog import asked_now, files_in_order, in_order
from bot.telling.outbox import Outbox
from plans import events as e
from plans.calendars import Freeze
from plans.engine import Place
from plans.environment import Policy
from plans.errors import Refusal
from plans.phases import Planned
from plans.records import TABLES, Due, Release, Run

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""No power is cut here, so nothing needs to wait for a disk."""

AUDIT = (datetime(2026, 11, 24, 23, tzinfo=UTC), datetime(2026, 11, 26, 23, tzinfo=UTC))
"""When the calendar's two days begin and end in Berlin."""


class PowerCut(BaseException):
    """Between two records of one decision."""


class Premises(RuleBasedStateMachine):
    def open(self, approvals: int) -> None:
        self.saving = mock.patch.object(board_module, "SAVE_EVERY", 50)
        self.saving.start()
        self.folder = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        self.time = NOW
        freeze = Freeze(reason="audit", from_="2026-11-25", until="2026-11-26")
        self.policy = Policy(watch=("10m",), approvals=approvals, freezes=(freeze,))
        self.edition, self.fits = "plans", True
        self.schema, self.hands_off = 1, True
        self.doors = Doors(self.policy, lambda: self.edition, AUDIT)
        self.witness = Witness(self.doors, lambda run: PLANS[run.kind], harmless)
        self.begun: dict[int, list[tuple[Planned, Place]]] = {}
        self.ended_early: set[int] = set()
        self.wake_up()

    def wake_up(self) -> None:
        """A start of the bot, from the ledger."""
        office = Office(self.folder, self.policy, lambda: self.time, lambda: self.edition, lambda: self.fits)
        self.board, self.runs, self.promotions = office.board, office.runs, office.promotions
        self.witness.watch(self.board)
        self.alarms = office.alarms()
        self.heard: list[Any] = []
        self.outbox = Outbox(self.board, self.heard.append)
        self.outbox.listen()

    def go_down(self, *, killed: bool, torn: bool = False) -> None:
        if killed:
            self.board.ledger.close()
            for thread in threading.enumerate():
                if thread.name == "read-model":  # which would have been killed too
                    thread.join()
        else:
            self.board.close()
        if torn:
            with (self.folder / "ledger.jsonl").open("ab") as file:
                file.write(b'{"seq":')
        self.begun.clear()
        self.witness.lost()

    def active(self) -> list[Run]:
        return [run for run in self.board.table(Run) if run.active]

    def releases(self) -> list[str]:
        return [release.id for release in self.board.table(Release)]

    def attempt(self, what: Callable[[], object]) -> bool:
        """Whether it was not refused, with a code and a sentence."""
        try:
            what()
        except Refusal as refusal:
            return not (refusal.code and refusal.message)
        return True

    def pressed_twice(self, what: Callable[[], object]) -> bool:
        """Whether it was not refused; the second press of the same has no effect of its own."""
        done = self.attempt(what)
        before = self.witness.effects
        self.attempt(what)
        assert self.witness.effects == before
        return done

    def cut_off(self, what: Callable[[], object], after: int) -> None:
        """The power is cut after so many records of what is done, if there are so many; then the bot starts again."""
        left, append = [after], self.board.ledger.append

        def until_then(*record: Any) -> e.Entry:
            if not left[0]:
                raise PowerCut
            left[0] -= 1
            return append(*record)

        with mock.patch.object(self.board.ledger, "append", until_then):
            try:
                self.attempt(what)
            except PowerCut:
                self.go_down(killed=True, torn=True)
                self.wake_up()

    def tell(self) -> None:
        """The next message that the ledger calls for."""
        heard = self.heard.copy()
        self.heard.clear()
        self.outbox.take(heard)
        posts = self.outbox.posts.values()
        for post in (*in_order(posts, asked_now(self.board.table(Run))), *files_in_order(posts))[:1]:
            assert not post.under or self.outbox.ts(post.under), "a reply to what is not there"
            self.outbox.told(post, "C01DEPLOYS", f"{self.time.timestamp():.6f}")

    def everything_is_told(self) -> None:
        due = sum(1 for _ in self.board.table(Due))
        for _ in range(due):
            self.tell()
        assert not list(self.board.table(Due))

    def the_ledger_says_it_all(self) -> None:
        """The documents are the fold of the ledger, and the ledger is in order."""
        anew = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        shutil.copy(self.folder / "ledger.jsonl", anew)
        board = Board(Ledger.open(anew))
        assert by_table(board) == by_table(self.board)
        board.ledger.close()
        shutil.rmtree(anew)

    def close(self) -> None:
        self.board.close()
        self.saving.stop()
        shutil.rmtree(self.folder)

    def strike(self) -> None:
        """The clock strikes for what is next, and not before its time."""
        name = self.alarms.next
        self.time = max(self.time, self.alarms.set[name][0])
        self.alarms.strike(name)

    def later(self, seconds: float) -> datetime:
        return self.time + timedelta(seconds=seconds)


def by_table(board: Board) -> dict[str, list[tuple[str, Any]]]:
    """The documents of each table, oldest first."""
    return {table: [(key[1], one) for key, one in board.documents.items() if key[0] == table] for table in TABLES}
