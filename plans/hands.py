"""Decides whose hands were on staging between its snapshot and the verdict, by its logins and by vCenter's events."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from plans.actions import Note, ReadHappenings, ReadLogins, RecallWindow, Record, Window
from plans.records import EnvironmentState, Run
from plans.rule_events import HandSeen, HandsUnknown
from plans.site import OK, Actions, Own, Site

SHOWN = 20
"""Hands on one host that are written down each by itself."""

SAME = 5.0
"""Seconds within which a login in both of a host's records is one."""

_OWN_MACHINES = frozenset({"", "user", "system", "vpxuser"})
"""Who vCenter and ESXi themselves are in events: what a guest did to itself, DRS, HA, an alarm."""

_WTMP = re.compile(
    r"\[(\d)\] \[\d*\] \[[^]]*\] \[([^]]*)\] \[([^]]*)\] \[([^]]*)\] \[[^]]*\] \[(2\d{3}-[^]]+)\]", re.ASCII
)
_JOURNAL = re.compile(r"(\d{1,11})\.\d+ \S+ (?:sshd|sshd-session|login)\[\d+\]: (.*)", re.ASCII)
_ACCEPTED = re.compile(r"Accepted \S+ for (\S+) from (\S+) port (\d+)(?: ssh2)?(?:: (.*))?")
_CONSOLE = re.compile(r"(?:ROOT )?LOGIN ON (\S+)(?: BY (\S+))?")
_LOGON = re.compile(r"(\d{1,11}) (2|7|10) (\S+) (\S*)", re.ASCII)
_LOGONS = {"2": "at the console", "7": "by unlocking the screen", "10": "by remote desktop"}


class Hand(msgspec.Struct, frozen=True):
    """Somebody at work on a host: what they did, and when, in seconds since 1970 by the clock of who tells it."""

    what: str
    at: float
    who: str = ""

    @property
    def told(self) -> str:
        return f"{self.what} at {datetime.fromtimestamp(self.at, UTC):%H:%M:%S} UTC"


class Seen(msgspec.Struct, frozen=True):
    """What a look found; `read` says what was looked at, and `unread` what could not be, and why.

    `ahead`: by how many seconds the clock of who tells it is ahead of the bot's.
    """

    hands: tuple[Hand, ...]
    read: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    ahead: float = 0.0


class LookForHands(Own, frozen=True):
    """Who else was at work on this host since the run's snapshot of it: each is written down, and ends the cleanness.

    A login is somebody's whose session had a terminal (Quarterdeck's own have none), or who came with another key. An
    event of vCenter is somebody's who is not the user that Quarterdeck logs in with; one who uses that very user, or
    Quarterdeck's key without a terminal, cannot be told from it. What was done while a step of the package that is
    done by hand was open, and was then answered with Done, belongs to that step: it is only noted.

    Where nothing can be read that is said of the run, as a caution, and it stays clean: most systems show their log of
    logins to root alone, and who rehearses without that is told, not stopped.
    """

    def actions(self, site: Site) -> Actions:
        window: Window = (yield RecallWindow()).value
        for looked in (ReadLogins(site.at, window.since), ReadHappenings(site.at, window.since)):
            outcome = yield looked
            if outcome.result == "aborted":
                return outcome
            if not outcome.ok:
                yield Note(f"not known: {outcome.reason}\n")
                yield Record(HandsUnknown(run=site.run, host=site.host or "", why=outcome.reason))
                continue
            seen: Seen = outcome.value
            yield Note("".join(f"{line}\n" for line in _evidence(seen, window)))
            if not seen.read:
                why = "; ".join(seen.unread)
                yield Record(HandsUnknown(run=site.run, host=site.host or "", why=why))
            hands = [hand for hand in seen.hands if not _by_the_plan(hand, seen.ahead, window)]
            for hand in _few(hands):
                at = datetime.fromtimestamp(hand.at, UTC).isoformat()
                yield Record(HandSeen(run=site.run, host=site.host or "", what=hand.told, at=at))
        return OK


def window(run: Run, state: EnvironmentState, host: str | None) -> Window:
    """Since when nobody but Quarterdeck is to be at a host: its snapshot of this run, or else the run's beginning.

    With the times in which a step of the package was done by hand.
    """
    kept = [kept.at for kept in state.snapshots.get(host or "", ()) if kept.run == run.number]
    asked = {question.number: question for question in run.questions}
    by_hand = []
    for answer in run.answered:
        question = asked[answer.question]
        step = run.steps.get(question.step)
        if answer.choice == "done" and step is not None and step.written and step.phase == "deploy":
            by_hand.append((_moment(question.at), _moment(answer.at)))
    return Window(_moment(max(kept, default=run.began or run.at)), tuple(by_hand))


def logins(output: str, now: float) -> Seen:
    """What a host told of its logins (`vmops.login_scripts`): those since then that are not Quarterdeck's own.

    `now` is the bot's clock when it told it.
    """
    told: dict[str, list[str]] = {}
    for word, _, rest in (line.partition(" ") for line in output.splitlines()):
        told.setdefault(word, []).append(rest)
    clock, since, *own = told["clock"][0].split()
    looked = {
        "logon": [hand for rest in told.get("logon", ()) if (hand := _logon(rest)) is not None],
        "journal": _journal(told.get("journal", ()), float(since), own),
        "wtmp": _wtmp(told.get("wtmp", ()), float(since)),
    }
    unread = [f"{_RECORDS[word][0]}: {why}" for word in _RECORDS for why in told.get(f"no{word}", ())]
    unread += [f"{_RECORDS[word][0]}: {_RECORDS[word][1]}" for word in looked if word in told and looked[word] is None]
    hands: list[Hand] = []
    for word in looked:
        hands += [hand for hand in looked[word] or () if not any(_same(hand, other) for other in hands)]
    return Seen(
        hands=tuple(sorted(hands, key=lambda hand: (hand.at, hand.what))),
        read=tuple(_RECORDS[word][0] for word in looked if word in told and looked[word] is not None),
        unread=tuple(unread),
        ahead=float(clock) - now,
    )


_RECORDS = {
    "logon": ("its security log", ""),
    "journal": ("its journal", "Quarterdeck's own login is not in it, so that it does not show all"),
    "wtmp": ("its wtmp", "not even a boot is in it"),
}
"""The records of logins that a host may keep: what they are called, and how it shows that they are not kept whole."""


def _wtmp(records: Iterable[str], since: float) -> list[Hand] | None:
    """The sessions with a terminal that went on at some time since then; None where nobody keeps that record."""
    booted, found = False, []
    present: dict[str, Hand] = {}
    for record in records:
        match = _WTMP.match(record)
        if match is None:
            continue
        kind, user, line, source, written = (part.strip() for part in match.groups())
        try:
            at = datetime.fromisoformat(written.replace(",", ".")).timestamp()
        except ValueError:  # half a record, say
            continue
        ended = [present.pop(line, None)] if kind in "78" else [*present.values()] if kind == "2" else []
        found += [hand for hand in ended if hand is not None and at >= since]
        if kind == "2":
            booted, present = True, {}
        if kind == "7":
            present[line] = Hand(f"{user} logged in from {source or line}", at, user)
    return [*found, *present.values()] if booted else None


def _journal(lines: Iterable[str], since: float, own: list[str]) -> list[Hand] | None:
    """What sshd and login let in since then but for Quarterdeck itself.

    `own`: the address and port that its present connection came from, empty where it came through no sshd. What does
    not show that login does not show others either: None.
    """
    entries = [(float(m[1]), m[2]) for line in lines if (m := _JOURNAL.match(line))]
    accepted = [(at, m) for at, said in entries if (m := _ACCEPTED.fullmatch(said))]
    ours = {(m[1], m[4]) for _, m in accepted if own and [m[2], m[3]] == own[:2] and m[4]}
    if not (ours if own else entries):
        return None
    found = [
        Hand(f"{m[1]} logged in from {m[2]}", at, m[1])
        for at, m in accepted
        if at >= since and (m[1], m[4]) not in ours
    ]
    consoles = [(at, m) for at, said in entries if (m := _CONSOLE.match(said)) and at >= since]
    return found + [Hand(f"{m[2] or 'root'} logged in from {m[1]}", at, m[2] or "root") for at, m in consoles]


def _logon(rest: str) -> Hand | None:
    found = _LOGON.fullmatch(rest.strip())
    if found is None:
        return None
    source = f" from {found[4]}" if found[4] not in ("", "-") else ""
    return Hand(f"{found[3]} logged on {_LOGONS[found[2]]}{source}", float(found[1]), found[3])


def _same(one: Hand, other: Hand) -> bool:
    return one.who == other.who and abs(one.at - other.at) <= SAME


class Happening(msgspec.Struct, frozen=True):
    """An event of vCenter about a VM; those of one `chain` are of one deed. `task`: it says only that one was begun."""

    user: str
    said: str
    at: float
    chain: int
    task: bool


def happenings(found: Iterable[Happening], own: str, ahead: float) -> Seen:
    """What others than Quarterdeck (vCenter calls it `own`) did to a VM; `ahead` is vCenter's clock, in seconds."""
    deeds: dict[tuple[str, int], Happening] = {}
    for one in found:
        if one.user.casefold() in _OWN_MACHINES or one.user.casefold() == own.casefold():
            continue
        before = deeds.get((one.user, one.chain))
        if before is None or (before.task and not one.task):
            deeds[one.user, one.chain] = one
    hands = (Hand(f"{one.user} in vCenter: {one.said}", one.at, one.user) for one in deeds.values())
    return Seen(tuple(sorted(hands, key=lambda hand: hand.at)), ("vCenter's events",), ahead=ahead)


def _evidence(seen: Seen, window: Window) -> Iterator[str]:
    """One sentence for each thing looked at, and for each that could not be."""
    if seen.read:
        yield f"looked at {' and '.join(seen.read)}: {len(seen.hands) or 'nobody'} found"
    yield from (f"not known: {why}" for why in seen.unread)
    for hand in seen.hands:
        listed = " (while a step was open that is done by hand)" if _by_the_plan(hand, seen.ahead, window) else ""
        yield f"{hand.told}{listed}"


def _by_the_plan(hand: Hand, ahead: float, window: Window) -> bool:
    return any(begin <= hand.at - ahead <= end for begin, end in window.by_hand)


def _few(hands: list[Hand]) -> list[Hand]:
    """Each, where there are not too many; else the first, and how many more."""
    if len(hands) <= SHOWN:
        return hands
    return [*hands[:SHOWN], Hand(f"and {len(hands) - SHOWN} times more, the last one", hands[-1].at)]


def _moment(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
