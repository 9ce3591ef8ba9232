"""Touches the machine that the bot itself runs on."""

import os
import pwd
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from vmops.languages import SH, Language
from vmops.scripts import LIBRARY
from vmops.transport import TICK, Limit, Sink, Trouble

CHUNK = 64 * 1024

_PASSED_ON = ("PATH", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR")


class LocalTransport:
    """The verbs of `Transport` by subprocesses, in the home directory of the bot's user.

    Of the bot's own environment only what any login has is passed on: the rest may hold its secrets.
    """

    language: Language = SH

    def __init__(self) -> None:
        self._home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir

    def exec(self, script: str, out: Sink, err: Sink, limit: Limit) -> int:
        # In a session of its own, so that a Ctrl-C for the bot is not one for what it looks after.
        with subprocess.Popen(
            ["/bin/sh", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=self._home,
            env=self._environment(),
            start_new_session=True,
        ) as child:
            try:
                _say(child, f"{LIBRARY}{script}exit\n".encode())
                _pump(child, {child.stdout: out, child.stderr: err}, limit)  # type: ignore[dict-item]
                return child.wait()
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)

    def put(self, source: Path, target: str, limit: Limit) -> None:
        limit.check()
        try:
            shutil.copyfile(source, Path(self._home, target))
        except OSError as error:
            raise Trouble(f"cannot write {shlex.quote(target)}: {error.strerror}") from error

    def get(self, source: str, sink: Sink, limit: Limit) -> None:
        try:
            with Path(self._home, source).open("rb") as data:
                while chunk := data.read(CHUNK):
                    limit.check()
                    sink(chunk)
        except OSError as error:
            raise Trouble(f"cannot read {shlex.quote(source)}: {error.strerror}") from error

    def close(self) -> None:
        """There is nothing to let go of."""

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")}
        return {"HOME": self._home, **kept}


def _say(child: "subprocess.Popen[bytes]", data: bytes) -> None:
    assert child.stdin
    view = memoryview(data)
    with suppress(BrokenPipeError):  # it ended, and its exit code tells more
        while view:
            view = view[child.stdin.write(view) :]


def _pump(child: "subprocess.Popen[bytes]", streams: dict[IO[bytes], Sink], limit: Limit) -> None:
    with selectors.DefaultSelector() as selector:
        for stream, sink in streams.items():
            selector.register(stream, selectors.EVENT_READ, sink)
        tick = time.monotonic() + TICK
        while selector.get_map():
            for key, _ in selector.select(min(limit.check(), TICK)):
                data = os.read(key.fd, CHUNK)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)
            if time.monotonic() > tick:
                _say(child, b":\n")
                tick = time.monotonic() + TICK
