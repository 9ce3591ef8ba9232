"""Touches a process of its own that searches files: a pattern that never comes to its end holds up nobody else."""

import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

import msgspec

from plans.content import scan
from plans.errors import Refusal
from plans.findings import Finding

SECONDS = 10.0
"""What the search of one file may take of a processor; a second more for each megabyte of it."""
_MEGABYTE = 1_000_000
_LENGTH = struct.Struct(">I")

Scan = Callable[[str, Iterable[bytes]], tuple[Finding, ...]]
"""Given a file's path and its bytes: what is found in it. Raises Refusal `search_too_slow`, `search_ended`."""


class Order(msgspec.Struct, frozen=True):
    """What the process is told first."""

    forbidden: tuple[str, ...]
    seconds: float


class Answer(msgspec.Struct, frozen=True):
    """What it says of a file: `slow` is the pattern that took too long, and then it has ended."""

    findings: tuple[Finding, ...] = ()
    slow: str | None = None


@contextmanager
def searching(forbidden: tuple[re.Pattern[str], ...]) -> Iterator[Scan]:
    """A search for private keys and for these patterns; without any it needs no process, our own pattern is quick."""
    if not forbidden:
        yield scan
        return
    command = [sys.executable, "-P", "-m", "bot.archives.searching"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        asked = _Asked(process, Order(tuple(pattern.pattern for pattern in forbidden), SECONDS))
        try:
            yield asked
        finally:
            process.kill()
            asked.close()


class _Asked:
    """The process, as who needs it sees it. What it does not read any more is not sent: its answer says why."""

    def __init__(self, process: subprocess.Popen[bytes], order: Order) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self._seconds = order.seconds
        with suppress(BrokenPipeError):
            _send(self._to, msgspec.json.encode(order))

    def __call__(self, path: str, chunks: Iterable[bytes]) -> tuple[Finding, ...]:
        with suppress(BrokenPipeError):
            _send(self._to, path.encode())
            for chunk in filter(None, chunks):
                _send(self._to, chunk)
            _send(self._to, b"")
            self._to.flush()
        said = self._from.readline()
        if not said:
            hint = "Nothing was decided about the package. Try again; if it stays so, tell an admin."
            raise Refusal("search_ended", f"The search of {path} for forbidden content ended by itself.", hint)
        answer = msgspec.json.decode(said, type=Answer)
        if answer.slow is not None:
            message = f"The search of {path} for {answer.slow or 'private keys'} took more than {self._seconds:g} s."
            hint = "Nothing was decided about the package. An admin makes that pattern of packages.forbidden_content"
            raise Refusal("search_too_slow", message, f"{hint} simpler: no repetition in a repetition, as in (a+)+.")
        return answer.findings

    def close(self) -> None:
        """What is left in the buffer is for nobody any more."""
        with suppress(BrokenPipeError):
            self._to.close()


def _send(to: IO[bytes], data: bytes) -> None:
    to.write(_LENGTH.pack(len(data)))
    to.write(data)


def _received(source: IO[bytes]) -> bytes | None:
    """The next piece; None where there is none."""
    head = source.read(_LENGTH.size)
    return source.read(_LENGTH.unpack(head)[0]) if head else None


# What follows is the process.


class _Late(Exception):
    pass


def _too_late(*_: object) -> None:
    raise _Late


class _Searching:
    """One search after the other; `present` is the pattern that is looked for."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._forbidden = [re.compile(pattern, re.MULTILINE) for pattern in order.forbidden]
        self.present = ""

    def answer(self, path: str, chunks: Iterable[bytes]) -> Answer:
        signal.setitimer(signal.ITIMER_VIRTUAL, self._order.seconds)
        try:
            return Answer(scan(path, self._allowed(chunks), self._forbidden, self._search))
        except _Late:
            return Answer(slow=self.present)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _allowed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The more there is of a file, the longer it may take."""
        for chunk in chunks:
            left, _ = signal.getitimer(signal.ITIMER_VIRTUAL)
            signal.setitimer(signal.ITIMER_VIRTUAL, left + len(chunk) / _MEGABYTE)
            yield chunk

    def _search(self, pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
        self.present = pattern.pattern if pattern in self._forbidden else ""
        return pattern.search(text)


def _main(source: IO[bytes], to: IO[bytes]) -> None:
    signal.signal(signal.SIGVTALRM, _too_late)
    search = _Searching(msgspec.json.decode(_received(source) or b"", type=Order))
    while (path := _received(source)) is not None:
        answer = search.answer(path.decode(), iter(lambda: _received(source) or b"", b""))
        to.write(msgspec.json.encode(answer) + b"\n")
        to.flush()
        if answer.slow is not None:
            return


if __name__ == "__main__":
    _main(sys.stdin.buffer, sys.stdout.buffer)
