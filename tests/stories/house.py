"""A lab and a bot of a story's own, each a process, and packages made for the story."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from bot.config import load_config
from bot.demo import process
from bot.packages import pack
from bot.tales.story import PATIENCE, Evening
from lab.desk import Desk, Message

DEVELOPER, ADMIN, OTHER_ADMIN, TESTER = "U01DEV", "U02ADMIN", "U06ADMIN2", "U03TESTER"


class House:
    """`open()` brings a lab and its bot up; `prepare` and `change` edit the configuration before the bot reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "quarterdeck.yaml"
        self._lab = ExitStack()
        self._bot = ExitStack()

    def open(
        self,
        change: Callable[[dict[str, Any]], object] = lambda config: None,
        prepare: Callable[[Path], object] = lambda config: None,
    ) -> Evening:
        self._lab.enter_context(process("lab", "--dir", str(self.folder)))
        prepare(self.config)
        document = yaml.load(self.config.read_text(), yaml.BaseLoader)
        change(document)
        self.config.write_text(json.dumps(document, indent=1))  # which is YAML too, and has no aliases
        settings = load_config(self.config)
        self.start_bot()
        page = settings.config.slack.api_url.removesuffix("api/")
        self.evening = Evening(settings, Desk(page), self.folder / "packages", self.restart_bot)
        self._lab.callback(self.evening.close)
        return self.evening

    def untested(self, config: dict[str, Any]) -> None:
        """For packages that change nothing of crm: its test plan asks only whether the host lives."""
        (self.folder / "crm.tests.yaml").write_text("app: crm\ncritical: [{name: It lives, on: web, run: 'true'}]\n")

    def start_bot(self) -> None:
        self.bot: subprocess.Popen[bytes] = self._bot.enter_context(process("serve", "--config", str(self.config)))

    def restart_bot(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """As an admin does after an edit of the configuration; `meanwhile` is done while it is down."""
        self._bot.close()
        meanwhile()
        self.start_bot()

    def kill_bot(self) -> None:
        """As a power cut would end it."""
        self.bot.send_signal(signal.SIGKILL)
        self.bot.wait()
        self._bot.close()

    def close(self) -> None:
        self._bot.close()
        self._lab.close()

    def reconfigure(self, change: Callable[[dict[str, Any]], object]) -> None:
        """It is killed, and comes back with another configuration."""
        self.kill_bot()
        document = json.loads(self.config.read_text())
        change(document)
        self.config.write_text(json.dumps(document, indent=1))
        self.start_bot()

    def processes(self, words: str) -> list[int]:
        """The processes of this machine whose command line has these words."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if entry.name.isdigit() and words in line and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found

    def package(self, version: str, deploy: list[dict[str, Any]], *, app: str = "webshop", **more: Any) -> Path:
        """A package of these steps, as a developer would hand it off; `files` are paths to their text."""
        folder = self.folder / "drafts" / version
        files: dict[str, str] = more.pop("files", {})
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
            (folder / path).chmod(0o755)
        change = {"id": "SHOP-1", "kind": "code", "summary": "A change", "paths": sorted(files)}
        manifest = {"app": app, "version": version, "summary": "A story", "changes": [change], "deploy": deploy, **more}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "handoff.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
        steps = [*deploy, *more.get("rollback", [])]
        (folder / "DEPLOY.md").write_text("".join(f"- {step['name']}: by hand\n" for step in steps))
        archive = self.folder / "packages" / f"{app}-{version}.tar.gz"
        pack(folder, archive)
        return archive


def hand_off(evening: Evening, archive: Path, *, by: str = DEVELOPER) -> str:
    """Hands an archive off by its path: the release's name."""
    before = len(evening.records("package.handed_off"))
    answer = evening.types(by, f"/handoff {archive}")
    found = evening.soon(lambda: evening.records("package.handed_off")[before:], f"not handed off: {answer}")
    return str(found[0]["data"]["release"])


def ctl(house: House, *words: str, code: int = 0) -> str:
    """Types a line on the bot's host: what the terminal shows."""
    command = [sys.executable, "-P", "-m", "bot", "ctl", *words, "--config", str(house.config)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == code, (words, ran)
    assert not (ran.stdout if code else ran.stderr), ran
    return ran.stderr if code else ran.stdout


def slack(evening: Evening, method: str, **fault: object) -> None:
    """Orders a fault of the lab's Slack, or that all is well again."""
    body = json.dumps(fault).encode() if fault else None
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{evening.page}lab/faults", body, headers, method=method)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()


def question(evening: Evening, run: int, number: int = 1) -> Message:
    """Waits for a run's question, in its thread."""
    return evening.question(run, number)


def outcomes(evening: Evening, run: int, name: str) -> dict[str | None, str]:
    """How a step ended on each host: the last attempt."""
    numbers = {r["data"]["step"] for r in evening.records("step.started", run=run, name=name)}
    ended = [r["data"] for r in evening.records("step.finished", run=run) if r["data"]["step"] in numbers]
    return {data["host"]: data["outcome"] for data in ended}


def code(answer: str) -> str:
    """The reason code that a refusal names first."""
    found = re.search(r"\b[a-z]+(?:_[a-z]+)*\b", answer)
    return found[0] if found else ""
