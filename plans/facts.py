"""Decides whether two sides agree on a fact, line by line, and how a difference is shown."""

import difflib
import hashlib
import re
from typing import Literal

import msgspec

SHOWN = 12
"""Lines of a difference that are shown where there is little room; the log has them all."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command whose output must be the same on two sides, but for lines that match one of `ignore`."""

    name: str
    on: str
    run: str
    ignore: tuple[str, ...] = ()
    change: Literal["block", "warn"] = "block"


class Difference(msgspec.Struct, frozen=True):
    """One fact on which two sides differ: `only_here` and `only_there` are the lines that the other lacks."""

    fact: str
    here: str
    there: str
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    full: str

    def brief(self) -> str:
        """A few lines that say which side has what."""
        lines = [f"{self.fact}: {self.here} and {self.there} differ"]
        lines += _some(f"  only on {self.here}: ", self.only_here)
        lines += _some(f"  only on {self.there}: ", self.only_there)
        if not self.only_here and not self.only_there:
            lines.append("  the same lines, in another order or another number of times")
        return "\n".join(lines)


def compare(fact: Fact, here: str, ours: str, there: str, theirs: str) -> Difference | None:
    """None where the two outputs agree but for the lines that `fact.ignore` matches; `here`, `there` name the sides."""
    mine, other = relevant(fact, ours), relevant(fact, theirs)
    if mine == other:
        return None
    full = "\n".join(difflib.unified_diff(mine, other, here, there, lineterm="", n=2))
    return Difference(fact.name, here, there, _lacking(other, mine), _lacking(mine, other), full)


def relevant(fact: Fact, output: str) -> list[str]:
    """The lines of an output that count, without trailing white space."""
    lines = (line.rstrip() for line in output.strip("\n").split("\n"))
    return [line for line in lines if not any(re.search(pattern, line) for pattern in fact.ignore)]


def digest(fact: Fact, output: str) -> str:
    """SHA-256 in hex of the lines that count."""
    return hashlib.sha256("\n".join(relevant(fact, output)).encode()).hexdigest()


def _lacking(lines: list[str], others: list[str]) -> tuple[str, ...]:
    """Those of `others` that are not among `lines`."""
    known = set(lines)
    return tuple(line for line in others if line not in known)


def _some(lead: str, lines: tuple[str, ...]) -> list[str]:
    shown = [lead + line for line in lines[:SHOWN]]
    return shown + ([f"{lead}{len(lines) - SHOWN} lines more, in the log"] if len(lines) > SHOWN else [])
