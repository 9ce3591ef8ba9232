"""Decides whether two sides agree on a fact, line by line, and how a difference is shown."""

import difflib
import hashlib
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

SHOWN = 12
WIDTH = 150
"""Lines of all differences together, and characters of a line, that are shown in the thread; the log has them all."""

LEAST = 3
"""Lines that a difference needs: which sides differ, and a line of each."""


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

    def brief(self, most: int) -> list[str]:
        """A few lines, `most` of them (LEAST or more), that say which side has what."""
        lines = [f"{self.fact}: {self.here} and {self.there} differ"]
        if not self.only_here and not self.only_there:
            return [*lines, "  the same lines, in another order or another number of times"]
        room = most - 1
        ours = max(room - len(self.only_there), (room + 1) // 2)
        lines += _some(f"  only on {self.here}: ", self.only_here, ours)
        return lines + _some(f"  only on {self.there}: ", self.only_there, most - len(lines))


def brief(differences: Sequence[Difference]) -> str:
    """All differences in SHOWN lines: something of each, where there are not too many of them."""
    shown = differences if len(differences) * LEAST <= SHOWN else differences[: SHOWN // LEAST - 1]
    lines = [line for one in shown for line in one.brief(SHOWN // len(shown))]
    if len(shown) < len(differences):
        lines.append(f"{len(differences) - len(shown)} facts more differ: see the log")
    return "\n".join(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines)


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


def _some(lead: str, lines: tuple[str, ...], most: int) -> list[str]:
    if len(lines) <= most:
        return [lead + line for line in lines]
    return [lead + line for line in lines[: most - 1]] + [f"{lead}{len(lines) - most + 1} lines more, in the log"]
