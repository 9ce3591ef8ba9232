"""Decides how lengths of time and sizes are written and read."""

import re
from typing import Annotated

import msgspec

Duration = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,6}(ms|s|m|h|d)\Z", description="30s, 10m, 2h, 7d")]
Size = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,9}(B|KB|MB|GB)\Z", description="500MB")]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3}


def seconds(text: Duration) -> float:
    """`10m` -> 600.0. The text has passed the pattern of Duration."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]
    return int(number) * _SECONDS[unit]


def size(text: Size) -> int:
    """`500MB` -> 500_000_000 bytes. The text has passed the pattern of Size."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]
    return int(number) * _BYTES[unit]


def spell(span: float) -> str:
    """Seconds as a person says them, two units at most: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 9 days.

    Less than none comes of a clock that was put back: 0.0 s.
    """
    span = max(0.0, span)
    if span < 10:
        return f"{span:.1f} s"
    if span < 60:
        return f"{span:.0f} s"
    whole = round(span)
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 2 * 86400:
        return _two(whole, 3600, "h", 60, "min")
    return f"{whole // 86400} days"


def _two(whole: int, large: int, name: str, small: int, rest: str) -> str:
    left = whole % large // small
    return f"{whole // large} {name}" + (f" {left} {rest}" if left else "")
