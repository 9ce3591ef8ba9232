"""Decides what a way into a machine must be able to do, and what can go wrong on it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vmops.languages import Language

Sink = Callable[[bytes], None]

LOOK = 0.25
"""Seconds between two looks at whether somebody wants to stop: no wait is longer."""

TICK = 0.2
"""Seconds after which a script that waits for news is told to look again."""


class Trouble(Exception):
    """Something out there went wrong; the text is a sentence for people, with the machine, the cause and the mend."""


class Unreachable(Trouble):
    """No connection at present: it may come back by itself, or with the machine."""


class Refused(Trouble):
    """A wrong host key, a refused login: trying again cannot help before somebody has mended it."""


class LoginRefused(Refused):
    """The machine is the right one but does not let us in."""


class Lost(Trouble):
    """The connection broke while something was under way: whether that went on is not known."""


class Cancelled(Exception):
    """Somebody asked to stop."""


class Overdue(Exception):
    """The time is over."""


@dataclass
class Limit:
    """How long somebody is willing to wait: until a moment of `time.monotonic()`, or until `cancel` is set."""

    until: float
    cancel: threading.Event

    @classmethod
    def of(cls, seconds: float, cancel: threading.Event | None = None) -> "Limit":
        """That many seconds from now; without `cancel` nothing else ends the wait."""
        return cls(time.monotonic() + seconds, cancel or threading.Event())

    @property
    def left(self) -> float:
        """Seconds left, 0 at least."""
        return max(0.0, self.until - time.monotonic())

    def check(self) -> float:
        """The seconds to wait for before looking again. Raises Cancelled or Overdue."""
        if self.cancel.is_set():
            raise Cancelled
        if not self.left:
            raise Overdue
        return min(LOOK, self.left)

    def pause(self, seconds: float) -> None:
        """Waits that long, or until the limit. Raises Cancelled or Overdue."""
        self.check()
        self.cancel.wait(min(seconds, self.left))
        self.check()


class Attention(Limit):
    """A limit that ends sooner, with Lost, where nothing was heard for so many seconds: a frozen network is silent."""

    def __init__(self, limit: Limit, seconds: float) -> None:
        super().__init__(limit.until, limit.cancel)
        self._limit, self._seconds = limit, seconds
        self._last = time.monotonic()
        self.heard = False
        """Whether anything was heard at all."""

    def to(self, sink: Sink) -> Sink:
        """The sink, as one whose bytes are heard."""

        def hear(data: bytes) -> None:
            sink(data)
            self.hear()

        return hear

    def hear(self) -> None:
        """Something was heard, or taken, just now."""
        self.heard, self._last = True, time.monotonic()

    def check(self) -> float:
        """As the limit's own. Raises Lost as well."""
        pause = self._limit.check()
        if time.monotonic() - self._last > self._seconds:
            raise Lost(f"nothing was heard for {self._seconds:.0f} s")
        return pause


class Transport(Protocol):
    """A way into one machine, used by many threads at once.

    Starting, following and stopping a job is the same over all of them: `vmops.jobs`, by scripts in its language.
    """

    language: "Language"
    """That of the machine's shell."""

    def exec(self, script: str, out: Sink, err: Sink, limit: Limit) -> int:
        """Runs a script in its language and hands its output over as it comes, or once it has ended; its exit code.

        One for /bin/sh begins in the login directory, after `vmops.scripts.LIBRARY`. Its standard input is a pipe,
        where a line `:` comes whenever TICK has passed, and `exit` when nobody listens any more. The script does not
        show in the machine's list of processes, and is not run at all unless it arrives whole. Raises Unreachable,
        Refused, Lost, Cancelled, Overdue.
        """
        ...

    def put(self, source: Path, target: str, limit: Limit) -> None:
        """Writes the file's bytes to `target`, in a directory that is there. Raises as `exec`, and Trouble."""
        ...

    def get(self, source: str, sink: Sink, limit: Limit) -> None:
        """Hands the bytes of a file there over as they come. Raises as `exec`, and Trouble."""
        ...

    def close(self) -> None:
        """Lets go of all connections; what runs on the machine is left running."""
        ...
