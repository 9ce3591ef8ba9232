"""Touches processes and the terminal: starts the lab and the bot, plays the story through Slack, shows the thread."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bot.config import load_config
from bot.ledger import read
from bot.tales.bad_day import BAD_DAY
from bot.tales.story import FIRST_DEPLOYMENT, Evening, NotAsTold, ledger_lines
from lab.desk import Desk, Message
from plans.errors import Refusal

STARTING = 60.0
"""Seconds that the lab or the bot may take to be ready."""

STORIES = {"first-deployment": FIRST_DEPLOYMENT, "bad-day": BAD_DAY}

NAMES = {"U01DEV": "developer", "U02ADMIN": "admin", "U03TESTER": "tester"}


def demo(*, plain: bool, as_json: bool, keep: bool, story: str) -> int:
    """Plays a story on an embedded lab. Exit code 0 when every beat came out as told."""
    if story not in STORIES:
        raise Refusal("unknown_story", f"There is no story {story}.", f"There are: {', '.join(STORIES)}.")
    console = Console(stderr=as_json, no_color=plain or None, highlight=False, soft_wrap=True)
    folder = Path(tempfile.mkdtemp(prefix="quarterdeck-demo-"))
    begun = time.monotonic()
    with ExitStack() as lab, Bot(folder / "quarterdeck.yaml") as bot:
        console.print("Starting a Slack, a vCenter and nine hosts on this machine …")
        lab.enter_context(process("lab", "--dir", str(folder)))
        STORIES[story].prepare(bot.config)
        settings = load_config(bot.config)
        page = settings.config.slack.api_url.removesuffix("api/")
        bot.start()
        desk = Desk(page)
        console.print(f"The bot is ready after {time.monotonic() - begun:.1f} s. Watch it in a browser too: {page}\n")
        evening = Evening(settings, desk, folder / "packages", bot.restart)
        lab.callback(evening.close)
        with _shown(console, desk, settings.config.slack.channel, quiet=as_json):
            good = _play(console, evening, story)
        took, work = time.monotonic() - begun, bot.worked
        if keep:
            _stay(console, page, folder)
        bot.stop()  # what is read from here on is the ledger's end
        ledger = settings.data_dir / "ledger.jsonl"
        count = sum(1 for _ in read(ledger))
        if as_json:
            sys.stdout.writelines(line + "\n" for line in ledger_lines(ledger))
        console.print(f"\n{took:.1f} s in all; the bot itself worked {work:.1f} s of them ({work / took:.0%}).")
        console.print(f"{count} records are in the ledger, each chained to the one before. Prove it yourself:")
        console.print(f"  quarterdeck ledger verify --data {settings.data_dir}")
    return 0 if good else 1


def _play(console: Console, evening: Evening, story: str) -> bool:
    for number, (told, play) in enumerate(STORIES[story].beats, 1):
        console.print(f"[bold]{number}. {escape(told)}[/bold]")
        begun = time.monotonic()
        try:
            seen = play(evening)
        except (NotAsTold, TimeoutError) as why:
            console.print(f"   [red]not as told[/red]: {escape(str(why))}")
            return False
        first = _plain(seen).strip().splitlines()[0]
        console.print(f"   [green]as told[/green] ({time.monotonic() - begun:.1f} s): {escape(first)}\n")
    return True


class Bot:
    """The bot as a process that may be ended and begun anew."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self._served = ExitStack()
        self._spent = 0.0
        self._pid = 0

    def __enter__(self) -> "Bot":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def worked(self) -> float:
        """Seconds of processor time so far, those before a restart too."""
        return self._spent + (_cpu_seconds(self._pid) if self._pid else 0.0)

    def start(self) -> None:
        self._pid = self._served.enter_context(process("serve", "--config", str(self.config))).pid

    def stop(self) -> None:
        self._spent, self._pid = self.worked, 0
        self._served.close()

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def process(*words: str, code: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """One of Quarterdeck's own commands, or `code`, as a process of its own, ready when it says so; ended with this."""
    command = [sys.executable, "-P", *(("-c", code) if code else ("-m", "bot")), *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    said: list[bytes] = []
    ready = threading.Event()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if b"ready" in line:
                ready.set()
        ready.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        if not ready.wait(STARTING) or process.poll() is not None:
            words_said = b"".join(said[-5:]).decode(errors="replace").strip()
            raise Refusal("not_ready", f"quarterdeck {words[0]} did not start: {words_said or 'it said nothing'}")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


@contextmanager
def _shown(console: Console, desk: Desk, channel: str, *, quiet: bool) -> Iterator[None]:
    """What the channel says, printed as it is posted; in a terminal the run's own message moves below it."""
    if quiet:
        yield
        return
    over = threading.Event()
    moving = console.status("") if console.is_terminal and not console.no_color else None

    def follow() -> None:
        seen: set[str] = set()
        cursor, last = 0, False
        while not last:
            last = over.is_set()
            for message in desk.messages(channel):
                _print_new(console, message, seen, "")
                for reply in message.replies:
                    _print_new(console, reply, seen, "    ")
                if moving is not None:
                    moving.update(escape(_shortened(message, console.width - 6)))
            cursor, _ = desk.changes(cursor, 0.5)

    thread = threading.Thread(target=follow, daemon=True)
    with moving if moving is not None else nullcontext():
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(10)


def _shortened(message: Message, width: int) -> str:
    line = _plain(message.raw["text"]).splitlines()[0]
    return line if len(line) <= width else line[: width - 1] + "…"


def _print_new(console: Console, message: Message, seen: set[str], indent: str) -> None:
    if message.ts in seen:
        return
    seen.add(message.ts)
    lead = f"   {indent}[cyan]#deploys[/cyan] " if not indent else f"   {indent}"
    for line in _plain(message.raw["text"]).splitlines():
        console.print(lead + escape(line))
        lead = f"   {indent}  "


def _plain(text: str) -> str:
    """Slack's marks as a terminal shows them."""
    text = re.sub(r"<@(\w+)(\|[^>]*)?>", lambda found: "@" + NAMES.get(found[1], found[1]), text)
    text = re.sub(r"<!date\^\d+\^[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<#\w+\|?([^>]*)>", r"#\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stay(console: Console, page: str, folder: Path) -> None:
    console.print(f"\nEverything stays up. Be the developer, the admin or the tester: {page}")
    console.print(f"The configuration is {folder / 'quarterdeck.yaml'}. Ctrl-C ends it all.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("Ending.")
