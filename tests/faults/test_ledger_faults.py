"""The ledger under kills and damage: every record that was acknowledged is there, and nothing is ever overwritten."""

import itertools
import multiprocessing
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from deck_room import configured
from faults import accounts
from faults.seeds import WHOLE, tried
from faults.tally import Tally
from faults.writers import evening, writes

from bot.board import Board
from bot.ledger import Damaged, Ledger
from plans import events as e

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "builders", "bot.board"])
DEADLINE = 60.0
LINES = 9
"""Lines of a ledger that is then damaged."""
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


def test_what_was_acknowledged_outlives_kills(tmp_path: Path, tally: Tally) -> None:
    def once(chance: random.Random) -> int:
        folder = tmp_path / "var"
        told: list[tuple[int, str]] = []
        for _ in range(KILLS):
            told += killed(folder, chance)
            if (folder / "ledger.jsonl").exists():
                records, damage = accounts.verified(accounts.lines_of(folder / "ledger.jsonl"))
                assert not damage
                hashes = {record["seq"]: record["hash"] for record in records}
                assert [one for one in told if hashes.get(one[0]) != one[1]] == []
            goes_on(folder)
        shutil.rmtree(folder)
        return KILLS

    tried(tally, "a process that only writes the ledger killed", once, sample=8, whole=250)


def refused(config: Path) -> list[str]:
    """What a real bot says that does not start, and its exit code."""
    command = [sys.executable, "-P", "-m", "bot", "serve", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=DEADLINE)
    return [str(done.returncode), *done.stderr.splitlines()]


def swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


DAMAGE: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int]] = {
    "a byte flipped": (lambda lines: [*lines[:3], flipped(lines[3], 60), *lines[4:]], 4),
    "a line missing": (lambda lines: [*lines[:3], *lines[4:]], 4),
    "two lines swapped": (swapped, 4),
    "a line twice": (lambda lines: [*lines[:4], *lines[3:]], 5),
    "garbage between lines": (lambda lines: [*lines[:3], b"\x8f\x00 garbage\n", *lines[3:]], 4),
    "a whole last line with a wrong hash": (lambda lines: [*lines[:-1], flipped(lines[-1], 60)], LINES),
    "Windows' line ends": (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], 1),
    "an empty file": (lambda lines: [], 1),
    "a file of zeros": (lambda lines: [bytes(sum(map(len, lines)))], 1),
    "two last lines lost": (lambda lines: lines[:-2], LINES - 1),
    "zeros for the last two lines": (lambda lines: [*lines[:-2], bytes(len(lines[-2] + lines[-1]))], LINES - 1),
}


def flipped(line: bytes, at: int) -> bytes:
    return line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_ledger_stops_the_bot_at_its_line_and_stays_as_it_is(
    tmp_path: Path, tally: Tally, damage: str
) -> None:
    change, line = DAMAGE[damage]
    data_dir = configured(tmp_path).data_dir
    board = Board(Ledger.open(data_dir))
    for event in itertools.islice(evening(random.Random(1), 1), LINES):
        board.record("U02ADMIN", event)
    board.close()
    ledger = data_dir / "ledger.jsonl"
    spoiled = b"".join(change(ledger.read_bytes().splitlines(keepends=True)))
    ledger.write_bytes(spoiled)
    code, *said = refused(tmp_path / "quarterdeck.yaml")
    assert code == "1"
    assert any(words.startswith(f"quarterdeck: ledger_damaged: ledger.jsonl, line {line}: ") for words in said), said
    assert said[-1].startswith("Nothing was changed. Bring the file back from its backup")
    assert ledger.read_bytes() == spoiled
    tally.count("the ledger damaged", 1)


def test_a_flipped_byte_anywhere_is_found_with_and_without_the_read_model(tmp_path: Path, tally: Tally) -> None:
    board = Board(Ledger.open(tmp_path))
    for event in itertools.islice(evening(random.Random(1), 1), 3):
        board.record("U02ADMIN", event)
    board.close()
    ledger, model = tmp_path / "ledger.jsonl", tmp_path / "board.json"
    whole = ledger.read_bytes()
    for with_model in (True, False):
        if not with_model:
            model.unlink()
        for at in range(0, len(whole), 1 if WHOLE else 23):
            ledger.write_bytes(flipped(whole, at))
            opened = Ledger.open(tmp_path)
            with pytest.raises(Damaged) as found:
                Board(opened)
            opened.close()
            assert found.value.line == whole[:at].count(b"\n") + 1
            assert ledger.read_bytes() == flipped(whole, at)
            tally.count("a byte of the ledger flipped", 1)
