"""Decides when something may be tried again: rates by name, and pauses after what went wrong."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

LONGEST = 60.0
"""Seconds of back-off at most."""


class Rate(msgspec.Struct, frozen=True):
    """`burst` at once, and `each` seconds for every further one."""

    each: float
    burst: int


@dataclass
class _Bucket:
    tokens: float
    since: float


@dataclass
class Pace:
    """Names are of methods, threads or the whole far end. `now` gives seconds that only grow."""

    rates: Mapping[str, Rate]
    now: Callable[[], float]
    jitter: Callable[[], float] = random.random
    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)

    def wait(self, *names: str) -> float:
        """Seconds until all of these allow it; 0 when they do."""
        return max(self._waiting(name) for name in names)

    def spend(self, name: str) -> None:
        """One of its rate was used."""
        if name in self.rates:
            self._filled(name).tokens -= 1

    def pause(self, name: str, seconds: float) -> None:
        self._until[name] = max(self._until.get(name, 0.0), self.now() + seconds)

    def fail(self, name: str) -> float:
        """Back off: 1 s, 2 s, 4 s … each with up to half of it more or less; the seconds that it is now."""
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        seconds: float = min(LONGEST, 2.0 ** min(failures, 10)) * (0.5 + self.jitter())
        self.pause(name, seconds)
        return seconds

    def good(self, *names: str) -> None:
        """They work again: the next failure begins at the first back-off."""
        for name in names:
            self._failures.pop(name, None)
            self._until.pop(name, None)

    def _waiting(self, name: str) -> float:
        waits = [self._until.get(name, 0.0) - self.now()]
        if name in self.rates:
            waits.append((1 - self._filled(name).tokens) * self.rates[name].each)
        longest = max(waits)
        return longest if longest > 1e-6 else 0.0

    def _filled(self, name: str) -> _Bucket:
        rate, now = self.rates[name], self.now()
        bucket = self._buckets.setdefault(name, _Bucket(rate.burst, now))
        bucket.tokens = min(rate.burst, bucket.tokens + (now - bucket.since) / rate.each)
        bucket.since = now
        return bucket
