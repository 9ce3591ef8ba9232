"""Touches a lab's Slack as its people do, who know that the bot dies: they type, answer, wait, and start it again."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from faults.accounts import Record
from faults.harness import CHANNEL, LOOK, PATIENCE, Site, Stuck, environment

from lab.desk import DeskError

DEVELOPER, ADMIN, TESTER, OTHER_ADMIN = "U01DEV", "U02ADMIN", "U03TESTER", "U06ADMIN2"

PREFERRED = ("retry", "done", "pass", "wait", "abort")
"""How a run's questions are answered: whoever asks is let go on."""


class Team:
    """The people, who know that the bot dies: what was not done when it came back is asked for again.

    `lives` gives, for each start of the bot, the seconds after it is ready in which it is killed; None: never.
    `meanwhile` is what happens each time that it is dead.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.lives: Callable[[], float | None] = lambda: None
        self.meanwhile: Callable[[], object] = lambda: None
        self.died_after: list[str] = []
        """The ledger's last record at each death, but for what was told."""

    def wait(self, look: Callable[[], Any], what: str) -> Any:
        """Looks until there is something; meanwhile the bot is started again whenever it is dead."""
        deadline = time.monotonic() + PATIENCE
        while not (found := look()):
            self.see_to_it()
            if time.monotonic() > deadline:
                self.site.dump()
                raise Stuck(f"{what}: not seen within {PATIENCE:.0f} s")
            time.sleep(LOOK)
        return found

    def see_to_it(self) -> None:
        """The bot is up, or was a moment ago."""
        site = self.site
        if site.died():
            site.book.again()
            runs = [r["type"] for r in site.book.read() if r["type"] != "message.posted"]
            self.died_after.append(runs[-1] if runs else "nothing")
            self.meanwhile()
        if not site.alive:
            self.begin()

    def begin(self) -> None:
        """Starts the bot; in a while it is killed, perhaps before it is ready."""
        life = self.lives()
        if life is not None and life < 0:
            with suppress(Stuck):
                self.site.start(kill_after=-life)
            return
        self.site.start()
        if life is not None:
            self.site.kill_in(life)

    def types(self, user: str, text: str, done: Callable[[], Any]) -> Any:
        """Types a command, again where the bot died of it, until what it is for is on the ledger: that."""
        deadline = time.monotonic() + PATIENCE
        while not (found := done()):
            self.see_to_it()
            deaths = self.site.deaths
            before = len(self.site.desk.ephemerals(user))
            # Slack waits three seconds for a dead bot to acknowledge; whoever types knows sooner that it is dead.
            typing = threading.Thread(target=self._types, args=(user, text), daemon=True)
            typing.start()
            until = time.monotonic() + 5
            while not (found := done()) and time.monotonic() < until and self.site.deaths == deaths:
                self.see_to_it()
                time.sleep(LOOK)
            if not found and time.monotonic() > deadline:
                said = [message.text for message in self.site.desk.ephemerals(user)[before:]]
                raise Stuck(f"{text} had no effect: {said}")
        return found

    def _types(self, user: str, text: str) -> None:
        with suppress(DeskError):
            self.site.desk.types(user, text, CHANNEL)

    def asks(self, words: list[str], done: Callable[[], Any]) -> Any:
        """The same on the bot's own host, by `quarterdeck ctl`."""
        command = [sys.executable, "-P", "-m", "bot", "ctl", *words, "--config", str(self.site.config)]
        deadline = time.monotonic() + PATIENCE
        while not (found := done()):
            self.see_to_it()
            said = subprocess.run(command, capture_output=True, env=environment(), timeout=PATIENCE)
            if time.monotonic() > deadline:
                raise Stuck(f"{words} had no effect: {said}")
        return found

    def hands_off(self, archive: Path) -> str:
        """The release that the archive becomes."""
        source = str(archive)
        found = self.types(
            DEVELOPER, f"/handoff {archive}", lambda: self.site.book.of("package.handed_off", source=source)
        )
        return str(found[0]["data"]["release"])

    def begins(self, text: str, kind: str, user: str = ADMIN) -> int:
        """Types a command that begins a run of that kind: its number."""
        before = len(self.site.book.of("run.started", kind=kind))
        found = self.types(user, text, lambda: self.site.book.of("run.started", kind=kind)[before:])
        return int(found[0]["data"]["run"])

    def sees_through(self, run: int) -> Record:
        """Waits for the run's end and answers what it asks: the data of its end."""

        def look() -> list[Record]:
            book = self.site.book
            if asked := self.question(run):
                self.answers(run, asked)
            return book.of("run.finished", run=run)

        end: Record = self.wait(look, f"the end of run {run}")[0]["data"]
        return end

    def question(self, run: int) -> Record | None:
        """What the run waits for."""
        asked = [r for r in self.site.book.read() if r["data"].get("run") == run]
        last = next((r for r in reversed(asked) if r["type"] in ("run.paused", "run.decided", "run.finished")), None)
        return last["data"] if last is not None and last["type"] == "run.paused" else None

    def answers(self, run: int, asked: Record) -> None:
        choice = next(each for each in PREFERRED if each in asked["choices"])
        user = TESTER if asked["role"] == "testers" else ADMIN
        self.types(
            user,
            f"/stage answer {run} {choice}",
            lambda: len(self.site.book.of("run.decided", run=run)) >= asked["question"] or not self.question(run),
        )

    def is_told(self, due: Callable[[list[Record]], set[str]]) -> None:
        """Waits until everything that is due is posted."""

        def told() -> bool:
            posted = {r["data"]["key"] for r in self.site.book.of("message.posted")}
            return due(self.site.book.records) <= posted

        self.wait(told, "the last message")


def lives(dice: random.Random, most: int) -> Callable[[], float | None]:
    """At most so many lives that end by a kill: some before the bot is ready, most within a second after that."""
    left = most

    def life() -> float | None:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        return -dice.uniform(0.2, 1.0) if dice.random() < 0.15 else dice.expovariate(1 / 0.35)

    return life
