"""What the processes do that are killed, or that race each other, over one data directory."""

import itertools
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from builders import begun, finished, handed_off, planned, started
from faults.disks import Disk, Quota

from bot import board as board_module
from bot.board import Board
from bot.ledger import Held, Ledger, hold
from plans import events as e
from plans.records import Run

SAVE_EVERY = 7
"""Records between two writings of the read model: often, so that a kill meets one."""

RECORDS = 3
"""How many the winner of a race writes."""


def writes(folder: Path, seed: int, told: Connection) -> None:
    """Appends as fast as it can, and tells each record's number and hash after it was acknowledged."""
    board_module.SAVE_EVERY = SAVE_EVERY
    hold(folder)
    board = Board(Ledger.open(folder))
    for event in evening(random.Random(seed), 1 + len(list(board.table(Run)))):
        entry = board.record("U02ADMIN", event)
        told.send((entry.seq, entry.hash))


def evening(chance: random.Random, first: int) -> Iterator[e.AnyEvent]:
    """What happens in a bot, without end: releases, runs of them, and notes of all lengths."""
    for number in itertools.count(first):
        yield handed_off(f"R-{number}")
        yield started(number, "rehearsal", release=f"R-{number}")
        for step in (1, 2, 3):
            yield begun(number, planned(step), "web", 1)
            yield finished(number, step, "web", 1, "ok")
        yield e.RunFinished(run=number, verdict="passed", clean=True, reason="")
        yield e.EnvironmentLocked(environment="staging", reason="x" * chance.choice((1, 200, 9000)))


def races(folder: Path, start: Connection, told: Connection, enough: Connection) -> None:
    """Waits for the start, tries to hold the folder, and tells how that went; who holds it writes, and stays."""
    told.send("here")
    with suppress(EOFError):
        start.recv()
    try:
        hold(folder)
    except Held as held:
        return told.send(held.message)
    board = Board(Ledger.open(folder))
    for _ in range(RECORDS):
        board.record(f"process {os.getpid()}", e.EnvironmentLocked(environment="staging", reason="mine"))
    told.send("")
    with suppress(EOFError):
        enough.recv()


def fills(folder: Path, seed: int, disk: Disk | None) -> None:
    """Appends to a disk that is full now and then, at any byte. Ends with an error where that does anything but refuse
    the record. `disk` None: a limit on this process's files."""
    board_module.SAVE_EVERY = SAVE_EVERY
    chance = random.Random(seed)
    board = Board(Ledger.open(folder))
    ledger = board.ledger.path
    disk = disk or Quota(os.getpid(), ledger)
    full, told = False, 0
    for event in itertools.islice(evening(chance, 1), 150):
        if chance.random() < 0.2:
            full = not full
            disk.leave(chance.choice((0, 1, 100, 1000, 5000)) if full else None)
        before, known = ledger.stat().st_size, dict(board.documents)
        try:
            told = board.record("U02ADMIN", event).seq
        except OSError:
            assert full
            assert ledger.stat().st_size == before
            assert board.documents == known
    disk.leave(None)
    board.close()
    again = Board(Ledger.open(folder))
    assert again.documents == board.documents
    assert again.ledger.tail.seq == told
    assert not (folder / "board.new").exists()
