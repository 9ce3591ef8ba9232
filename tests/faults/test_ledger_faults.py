"""The ledger under kills and damage: every record that was acknowledged is there, and nothing is ever overwritten."""

import multiprocessing
import random
import shutil
from pathlib import Path

from faults.ledgers import verified
from faults.seeds import tried
from faults.writers import writes

from bot.board import Board
from bot.ledger import Ledger
from plans import events as e

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "builders", "bot.board"])
DEADLINE = 60.0
KILLS = 4
"""Kills in a row of one ledger's writers."""


def killed(folder: Path, chance: random.Random) -> list[tuple[int, str]]:
    """A process that writes is killed at some instant of its life: the records that it told as acknowledged."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=writes, args=(folder, chance.getrandbits(32), theirs), daemon=True)
    process.start()
    theirs.close()
    if chance.random() < 0.9:
        assert ours.poll(DEADLINE), "it never wrote anything"
    process.join(chance.uniform(0, 0.05))
    assert process.is_alive()
    process.kill()
    process.join()
    told = []
    try:
        while True:
            told.append(ours.recv())
    except EOFError:
        ours.close()
        return told


def goes_on(folder: Path) -> None:
    """The next start: what it folds is what the ledger alone says, and one more record can be written."""
    board = Board(Ledger.open(folder))
    alone = folder.with_name("alone")
    alone.mkdir()
    shutil.copy(folder / "ledger.jsonl", alone)
    bare = Board(Ledger.open(alone))
    assert bare.documents == board.documents
    bare.ledger.close()
    shutil.rmtree(alone)
    board.record("U02ADMIN", e.EnvironmentUnlocked(environment="staging", reason=""))
    board.ledger.close()


def test_what_was_acknowledged_outlives_kills(tmp_path: Path) -> None:
    counted = {"kills": 0, "told": 0, "torn": 0, "read models": 0}

    def once(chance: random.Random) -> None:
        folder = tmp_path / "var"
        told: list[tuple[int, str]] = []
        for _ in range(KILLS):
            told += killed(folder, chance)
            if (folder / "ledger.jsonl").exists():
                hashes = {record["seq"]: record["hash"] for record in verified(folder / "ledger.jsonl")}
                assert [one for one in told if hashes.get(one[0]) != one[1]] == []
                counted["torn"] += not (folder / "ledger.jsonl").read_bytes().endswith((b"\n", b""))
            counted["kills"] += 1
            counted["read models"] += (folder / "board.json").exists()
            goes_on(folder)
        counted["told"] += len(told)
        shutil.rmtree(folder)

    tried(once, sample=8, whole=250)
    print(counted)
