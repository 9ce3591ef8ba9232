"""Decides what an examination tells, and keeps what several of them ask for the same answer."""

import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Finding(msgspec.Struct, frozen=True):
    """What was found: `check` is a snake_case word, `subject` what was looked at, `mend` how to make it good.

    A finding that is ok and has a mend all the same is a warning: a run works, but somebody should know.
    """

    check: str
    subject: str
    ok: bool
    detail: str
    mend: str = ""

    @property
    def word(self) -> str:
        return "NOT OK" if not self.ok else "warning" if self.mend else "ok"


class Examination(msgspec.Struct, frozen=True):
    """Something to look at; `check` is what is said of `subject` where looking itself comes to nothing."""

    check: str
    subject: str
    look: Callable[[], Iterator[Finding]]


def good(check: str, subject: str, detail: str) -> Finding:
    return Finding(check, subject, True, detail)


def warning(check: str, subject: str, detail: str, mend: str) -> Finding:
    return Finding(check, subject, True, detail, mend)


def bad(check: str, subject: str, detail: str, mend: str) -> Finding:
    return Finding(check, subject, False, detail, mend)


class Once(Generic[K, V]):
    """Asks for each key once, for any number of threads: all get the one answer, or what it raised."""

    def __init__(self, ask: Callable[[K], V]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answers: dict[K, Future[V]] = {}

    def __call__(self, key: K) -> V:
        with self._lock:
            asked = key in self._answers
            answer = self._answers.setdefault(key, Future())
        if not asked:
            try:
                answer.set_result(self._ask(key))
            except Exception as error:  # noqa: BLE001 - it is raised wherever the answer is wanted
                answer.set_exception(error)
        return answer.result()


def gigabytes(size: int) -> str:
    """Bytes as a person says them: 0.05 GB, 1.2 GB, 78 GB."""
    amount = size / 1000**3
    return f"{amount:.2f} GB" if amount < 1 else f"{amount:.1f} GB" if amount < 10 else f"{amount:.0f} GB"
