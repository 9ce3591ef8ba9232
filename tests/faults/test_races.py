"""Processes that race for one data directory: one has it, the others say which one, and it alone writes the ledger."""

import os
import random
import shutil
import subprocess
import sys
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from faults import accounts, scenes
from faults.harness import opened
from faults.seeds import WHOLE, tried
from faults.tally import Tally
from faults.test_ledger_faults import DEADLINE, PROCESSES
from faults.writers import RECORDS, races

from bot.ledger import hold

ROUNDS = 3
"""Races in a row for one directory: who held it last must not be taken for who holds it."""


def race(folder: Path, runners: int, *, kill: bool) -> tuple[int, list[str]]:
    """The winner's process id, and what each of the others said of it."""
    start, gun = PROCESSES.Pipe(duplex=False)
    enough, over = PROCESSES.Pipe(duplex=False)
    field: list[tuple[BaseProcess, Connection]] = []
    for _ in range(runners):
        ours, theirs = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=races, args=(folder, start, theirs, enough), daemon=True)
        process.start()
        theirs.close()
        field.append((process, ours))
    said = {process: heard(ours) for process, ours in field}
    assert set(said.values()) == {"here"}
    gun.close()
    said = {process: heard(ours) for process, ours in field}
    (winner,) = [process for process, words in said.items() if not words]
    if kill:
        winner.kill()
        winner.join()
        os.close(hold(folder))
    over.close()
    for process, ours in field:
        process.join(DEADLINE)
        ours.close()
    start.close()
    enough.close()
    assert winner.pid
    return winner.pid, [words for words in said.values() if words]


def heard(ours: Connection) -> str:
    assert ours.poll(DEADLINE)
    return str(ours.recv())


def test_one_process_has_the_data_directory_and_the_others_say_which(tmp_path: Path, tally: Tally) -> None:
    def once(chance: random.Random) -> int:
        folder = tmp_path / "var"
        winners: list[int] = []
        for _ in range(ROUNDS):
            runners = 5 if chance.random() < 0.1 else 2
            winner, said = race(folder, runners, kill=chance.random() < 0.5)
            winners.append(winner)
            assert len(said) == runners - 1
            for words in said:
                assert words.startswith(f"{folder} is held by another Quarterdeck, process {winner} ")
        records, damage = accounts.verified(accounts.lines_of(folder / "ledger.jsonl"))
        assert not damage
        wrote = [record["by"] for record in records]
        assert wrote == [f"process {winner}" for winner in winners for _ in range(RECORDS)]
        shutil.rmtree(folder)
        return ROUNDS

    tried(tally, "processes racing for one data directory", once, sample=7, whole=334)


def test_of_real_bots_one_serves_and_the_others_leave_with_code_3(tmp_path: Path, tally: Tally) -> None:
    with opened(tmp_path / "lab", scenes.environments) as site:
        ledger = site.book.path
        for _ in range(10 if WHOLE else 1):
            bots = [Bot(site.config) for _ in range(3)]
            try:
                left = [bot for bot in bots if not bot.is_ready()]
                (winner,) = [bot for bot in bots if bot not in left]
                for bot in left:
                    assert bot.process.wait(DEADLINE) == 3
                    assert f"data_dir_held: {ledger.parent} is held by another" in bot.said
                    assert f"process {winner.process.pid} on " in bot.said
            finally:
                for bot in bots:
                    bot.ends()
            records, damage = accounts.verified(accounts.lines_of(ledger))
            assert not damage
            assert [record["type"] for record in records] == ["config.loaded"]
            tally.count("real bots racing for one data directory", 1)


class Bot:
    """A real bot that is starting, perhaps."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-P", "-m", "bot", "serve", "--config", str(config)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        self.said = ""

    def is_ready(self) -> bool:
        """Waits until it is, or until it has left."""
        assert self.process.stderr
        for line in self.process.stderr:
            self.said += line
            if line.endswith("is ready\n"):
                return True
        return False

    def ends(self) -> None:
        assert self.process.stderr
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
