"""Decides whether two sides agree on a fact, line by line, and how a difference is shown."""

import difflib
import hashlib
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from plans import posix_facts, windows_facts

SHOWN = 12
WIDTH = 150
"""Lines of all differences together, and characters of a line, that are shown in the thread; the log has them all."""

LEAST = 3
"""Lines that a difference needs: which sides differ, and a line of each."""


Collected = Literal[
    "packages",
    "services",
    "files",
    "environment",
    "crontabs",
    "listening_ports",
    "authorized_keys",
    "sudoers",
    "sqlite",
    "postgresql",
    "mysql",
    "sqlserver",
    "system",
    "hardware",
    "clock",
    "",
]
"""What is collected without a command of the admins' own (docs/facts.md)."""

_WANTED = {"files": "path", "sqlite": "path", "postgresql": "database", "mysql": "database", "sqlserver": "database"}
_TAKEN = {"environment": ("path",), "postgresql": ("user",), "mysql": ("user",)}
_ABOUT = {
    "packages": "infrastructure",
    "services": "infrastructure",
    "crontabs": "infrastructure",
    "listening_ports": "infrastructure",
    "authorized_keys": "infrastructure",
    "sudoers": "infrastructure",
    "environment": "config",
    "sqlite": "database",
    "postgresql": "database",
    "mysql": "database",
    "sqlserver": "database",
}
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be the same on two sides, but for lines that match one of `ignore`.

    `run` is a command whose output it is; `collect` names one that Quarterdeck has ready, with the `path` or the
    `database` that it is about. `user`: the host's user that asks the database, through sudo. `kind`: the kind of
    change that it shows; one that changes on staging although no listed change is of its kind is pointed out.
    """

    name: str
    on: str
    run: str = ""
    collect: Collected = ""
    path: str = ""
    database: str = ""
    user: str = ""
    ignore: tuple[str, ...] = ()
    change: Literal["block", "warn"] = "block"
    kind: Literal["code", "database", "config", "infrastructure", ""] = ""

    def __post_init__(self) -> None:
        if bool(self.run) == bool(self.collect):
            raise ValueError("exactly one of run and collect is wanted")
        wanted = _WANTED.get(self.collect, "")
        if wanted and not getattr(self, wanted):
            raise ValueError(f"collect: {self.collect} needs the {wanted} that it is about")
        for key in ("path", "database", "user"):
            if getattr(self, key) and key != wanted and key not in _TAKEN.get(self.collect, ()):
                raise ValueError(f"{key} has no meaning for {f'collect: {self.collect}' if self.collect else 'run'}")
        if self.user and not _USER.fullmatch(self.user):
            raise ValueError(f"{self.user} is not the name of a user")

    @property
    def about(self) -> str:
        """The kind of change that it shows, where that is known."""
        return self.kind or _ABOUT.get(self.collect, "")

    def lacks(self, shell: str) -> bool:
        """Whether hosts of this shell (sh or powershell) have nothing ready to collect it with."""
        return shell == "powershell" and bool(self.collect) and self.collect not in windows_facts.COLLECTED

    def spelled(self, shell: str) -> "Fact":
        """The same fact with the command that collects it on a host of this shell."""
        if self.run:
            return self
        keys = (_WANTED.get(self.collect, ""), *_TAKEN.get(self.collect, ()))
        told = {key: getattr(self, key) for key in keys if key}
        facts = windows_facts if shell == "powershell" else posix_facts
        run = facts.command(self.collect, told)
        return msgspec.structs.replace(self, run=run, kind=self.about, collect="", path="", database="", user="")


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
