"""Touches a lab and the real bot, each a process of its own: starts, kills and restarts the bot, reads its ledger."""

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import yaml
from faults.accounts import Record

from bot.packages import pack
from lab import processes
from lab.desk import Desk

CHANNEL = "C01DEPLOYS"
HERE = Path(__file__).parent
STARTING, STOPPING, PATIENCE, LOOK = 30.0, 10.0, 150.0, 0.01
"""Seconds in which a process must be ready; in which a bot that is stopped must be gone; in which anything else must
come (a run that a vCenter keeps from going on is tried again after up to a minute and a half); between two looks at
the ledger."""

_ACT = """#!/bin/sh
# act VM JOB SECONDS [COMMAND]: notes down that it began, takes so long, runs the command, notes that it ended.
note() { echo "$(date +%s%3N) $1 $2 $3" >>'FILE'; }
note "$1" "$2" begin
sleep "$3"
if [ -n "${4-}" ]; then sh -c "$4" || { note "$1" "$2" failed; exit 1; }; fi
note "$1" "$2" end
"""


class Stuck(Exception):
    """What was waited for did not come."""


class Book:
    """The ledger as anybody can read it while the bot writes: whole lines, looked at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self._offset = 0

    def read(self) -> list[Record]:
        """All records so far."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self.records.append(json.loads(line))
        return self.records

    def again(self) -> None:
        """From the beginning: a bot that died may have left less than was seen."""
        self.records, self._offset = [], 0

    def of(self, kind: str, /, **wanted: Any) -> list[Record]:
        """The records of a type whose data has these values."""
        found = [record for record in self.read() if record["type"] == kind]
        return [r for r in found if all(r["data"].get(key) == value for key, value in wanted.items())]


class Site:
    """A lab that is kept, and a bot that is not: `folder` holds both. `change` edits the configuration."""

    def __init__(self, folder: Path, change: Callable[["Site", dict[str, Any]], object]) -> None:
        self.folder = folder
        self.config = folder / "quarterdeck.yaml"
        self.executed = folder / "executed.log"
        self.log = folder / "bot.log"
        self.deaths = 0
        self.signal = signal.SIGKILL
        self._change = change
        self._bot: subprocess.Popen[bytes] | None = None
        self._killer: threading.Timer | None = None
        self._lab: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)

    def open(self) -> None:
        lab_log = self.folder / "lab.log"
        self._lab = _spawn(HERE / "generous_lab.py", "--dir", str(self.folder), log=lab_log)
        _ready(self._lab, lab_log, 0)
        self._equip()
        self.configure(lambda config: self._change(self, config))
        self.desk = Desk(self.document["slack"]["api_url"].removesuffix("api/"))
        self.book = Book(self.folder / "var" / "ledger.jsonl")

    def configure(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Edits the configuration; the bot reads it at its next start."""
        self.document = yaml.load(self.config.read_text(), yaml.BaseLoader)
        change(self.document)
        self.config.write_text(json.dumps(self.document, indent=1))

    def close(self) -> None:
        for process in (self._bot, self._lab):
            if process is not None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if self._killer is not None:
            self._killer.cancel()

    def crash(self, vm: str) -> None:
        """Ends every process of a VM at once."""
        processes.send(self.vms()[vm]["instance_uuid"], signal.SIGKILL)

    def act(self, seconds: float, command: str = "") -> str:
        """A command for a host, that notes where no revert takes it back that it was executed, and by which job."""
        words = f'{self.folder}/act "$VM" "$QUARTERDECK_JOB" {seconds:.3f}'
        return f"{words} '{command}'" if command else words

    def vms(self) -> dict[str, dict[str, Any]]:
        """The VMs by their names, as the lab keeps them."""
        kept = [json.loads(file.read_text()) for file in (self.folder / "vms").glob("*/vm.json")]
        return {vm["name"]: vm for vm in kept}

    def _equip(self) -> None:
        """The hosts note what is executed on them and when they boot; beside that they do nothing by themselves."""
        tool = self.folder / "act"
        tool.write_text(_ACT.replace("FILE", str(self.executed)))
        tool.chmod(0o755)
        for file in (self.folder / "vms").glob("*/vm.json"):
            name, boot = json.loads(file.read_text())["name"], file.parent / "disk" / "boot"
            boot.unlink(missing_ok=True)
            boot.write_text(f"#!/bin/sh\nexec {tool} {name} host 0 >/dev/null\n")
            boot.chmod(0o755)
        self.executed.touch()

    def order(self, method: str, path: str, body: Any) -> None:
        """Lets something become so in the lab's vCenter (lab/vcenter/control.py)."""
        kept = self.document["vcenters"]["main"]
        trust = ssl.create_default_context(cafile=str(self.folder / kept["ca_file"]))
        connection = HTTPSConnection(kept["host"], int(kept["port"]), timeout=20, context=trust)
        connection.request(method, path, json.dumps(body))
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status >= 300:
            raise ValueError(said)

    # The bot.

    def strikes(self) -> bool:
        """Whether the doom that the bot was started with has struck, or does in a moment."""
        assert self._bot is not None
        with suppress(subprocess.TimeoutExpired):
            self._bot.wait(5)
        return self.died()

    def start(self, *doom: str, kill_after: float | None = None) -> None:
        """Starts the bot, with `doom` as one that dies at a record; a SIGKILL comes `kill_after` seconds from now."""
        begun = self.log.stat().st_size if self.log.exists() else 0
        program = [HERE / "doomed.py", *doom] if doom else ["-m", "bot"]
        self._bot = _spawn(*program, "serve", "--config", str(self.config), log=self.log)
        if kill_after is not None:
            self.kill_in(kill_after)
        _ready(self._bot, self.log, begun)
        self.book.again()

    def kill_in(self, seconds: float) -> None:
        """The bot gets `signal` then, if it still runs."""
        assert self._bot is not None
        self._killer = threading.Timer(seconds, self._end, (self._bot,))
        self._killer.daemon = True
        self._killer.start()

    def _end(self, bot: subprocess.Popen[bytes]) -> None:
        bot.send_signal(self.signal)
        self._ended_at = time.monotonic()

    def died(self) -> bool:
        """Whether the bot is dead since the last question; a death that nobody ordered is an error."""
        if self._bot is None or self._bot.poll() is None:
            return False
        code, self._bot = self._bot.returncode, None
        stopped = self.signal == signal.SIGTERM and code in (0, -signal.SIGTERM)  # the latter before it began anything
        if code != -signal.SIGKILL and not stopped:
            raise Stuck(f"the bot ended by itself with {code}: {self.log.read_text()[-2000:]}")
        if code == 0 and (took := time.monotonic() - self._ended_at) > STOPPING:
            raise Stuck(f"the bot took {took:.1f} s to stop")
        self.deaths += 1
        return True

    def stop(self) -> None:
        """By SIGTERM. Raises Stuck where the bot does not end well, or takes too long for it."""
        assert self._bot is not None
        self.signal, before = signal.SIGTERM, self.signal
        self._end(self._bot)
        self._bot.wait(STARTING)
        self.died()
        self.signal = before

    def spare(self) -> None:
        """Whoever was to kill the bot does not, unless it is too late."""
        if self._killer is not None:
            self._killer.cancel()
            self._killer.join()

    def dump(self) -> None:
        """Ends the bot in such a way that its log has what each of its threads was at."""
        self.spare()
        if self._bot is not None:
            self._bot.send_signal(signal.SIGABRT)
            self._bot.wait()
        self._bot = None

    def kill(self) -> None:
        """At once, and nobody kills it again."""
        self.spare()
        if self._bot is not None:
            self._bot.kill()
            self._bot.wait()
        self._bot = None

    @property
    def alive(self) -> bool:
        return self._bot is not None

    def errors(self) -> list[str]:
        """What the bot's log has that no fault outside accounts for."""
        text = self.log.read_text()
        return [line for line in text.splitlines() if line.startswith("Traceback") or "a fault in Quarterdeck" in line]


@contextmanager
def opened(folder: Path, change: Callable[[Site, dict[str, Any]], object]) -> Iterator[Site]:
    """A lab that runs, with nothing in it yet."""
    site = Site(folder, change)
    try:
        site.open()
        yield site
    finally:
        site.close()


def package(site: Site, version: str, steps: list[dict[str, Any]], **more: Any) -> Path:
    """An archive of these steps, as a developer would hand it off."""
    folder = site.folder / "drafts" / version
    folder.mkdir(parents=True)
    change = {"id": "SHOP-1", "kind": "code", "summary": "A change", "paths": []}
    manifest = {"app": "shop", "version": version, "summary": "Faults", "changes": [change], "deploy": steps, **more}
    (folder / "handoff.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    named = [*steps, *more.get("rollback", [])]
    (folder / "DEPLOY.md").write_text("".join(f"- {step['name']}: by hand\n" for step in named))
    archive = site.folder / "packages" / f"shop-{version}.tar.gz"
    pack(folder, archive)
    return archive


def _spawn(*words: Any, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen([sys.executable, "-P", *map(str, words)], stdout=out, stderr=out, env=environment())


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(HERE.parents[1]), "PYTHONFAULTHANDLER": "1"}


def _ready(process: subprocess.Popen[bytes], log: Path, begun: int) -> None:
    """Returns when the process says `ready`, or has been killed. Raises Stuck."""
    deadline = time.monotonic() + STARTING
    while b"ready\n" not in (said := log.read_bytes()[begun:]):
        if process.poll() == -signal.SIGKILL:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            process.send_signal(signal.SIGABRT)  # its stacks are in the log then
            process.wait()
            said = log.read_bytes()[begun:]
            raise Stuck(f"it is not ready: {said.decode(errors='replace')[-8000:]}")
        time.sleep(LOOK)
