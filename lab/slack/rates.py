"""Decides how often a method may be called: one token bucket a method, or a method and channel."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rate:
    """`per_minute` calls on the long run, `burst` at once; `by_channel` counts each channel for itself."""

    per_minute: float
    burst: int
    by_channel: bool = False


TIERS = {1: Rate(1, 10), 2: Rate(20, 10), 3: Rate(50, 10), 4: Rate(100, 20)}
FREE = Rate(6000, 1000)  # "special" methods, allowed hundreds of times a minute
POSTS = Rate(60, 10, by_channel=True)


@dataclass
class _Bucket:
    tokens: float
    since: float


@dataclass
class Limiter:
    """Keeps the buckets; `overrides` replaces the rate of a method by name."""

    overrides: Mapping[str, Rate] = field(default_factory=dict)
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)

    def take(self, method: str, channel: str, rate: Rate, now: float) -> int:
        """Take one call's worth at `now` (seconds); 0 when it was there, else the seconds to wait, at least 1."""
        rate = self.overrides.get(method, rate)
        key = (method, channel if rate.by_channel else "")
        bucket = self._buckets.setdefault(key, _Bucket(rate.burst, now))
        per_second = rate.per_minute / 60
        bucket.tokens = min(rate.burst, bucket.tokens + (now - bucket.since) * per_second)
        bucket.since = now
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0
        return max(1, math.ceil((1 - bucket.tokens) / per_second))
