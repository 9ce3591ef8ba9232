"""Whose hands were on staging: what the records of logins and vCenter's events say of it, each way."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from builders import Story, drive, site

from plans import events as e
from plans.actions import Action, Outcome, ReadHappenings, ReadLogins, RecallWindow, Record, Window
from plans.hands import SHOWN, Hand, Happening, LookForHands, Seen, happenings, logins, window
from plans.records import Due
from plans.rule_events import HandSeen, HandsUnknown

SINCE = 1_800_000_000
"""When the snapshot was taken, by everybody's clock."""

HEAD = f"clock {SINCE + 100} {SINCE} 10.0.0.5 40001 10.0.0.9 22"


def wtmp(kind: int, at: float, user: str = "", line: str = "pts/0", source: str = "") -> str:
    """A record as utmpdump prints it."""
    when = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S},000000+00:00"
    return f"wtmp [{kind}] [01234] [ts/0] [{user:<8}] [{line:<12}] [{source:<20}] [{source:<15}] [{when}]"


def accepted(at: float, user: str = "deploy", key: str = "own", port: int = 40002, source: str = "10.0.0.5") -> str:
    said = f"Accepted publickey for {user} from {source} port {port} ssh2: ED25519 SHA256:{key}"
    return f"journal {at:.6f} web sshd[8]: {said}"


BOOT = wtmp(2, SINCE - 500, "reboot", "~")
OWN = accepted(SINCE - 400, port=40001)


def found(*lines: str, head: str = HEAD) -> Seen:
    return logins("\n".join([head, *lines]), now=SINCE + 100)


@dataclass
class Case:
    lines: tuple[str, ...]
    who: tuple[str, ...] = ()
    unread: str = ""


CASES = {
    "nobody": Case((BOOT, OWN)),
    "quarterdeck's own other connections": Case(
        (BOOT, OWN, accepted(SINCE + 5), accepted(SINCE + 6, source="10.0.0.6"))
    ),
    "a terminal, with whatever key": Case(
        (BOOT, wtmp(7, SINCE + 5, "deploy", source="10.0.0.5"), OWN, accepted(SINCE + 5)),
        ("deploy logged in from 10.0.0.5",),
    ),
    "a terminal that was closed again": Case(
        (BOOT, wtmp(7, SINCE + 5, "ann", source="10.0.0.7"), wtmp(8, SINCE + 9)), ("ann logged in from 10.0.0.7",)
    ),
    "a console": Case((BOOT, wtmp(7, SINCE + 5, "root", "tty1")), ("root logged in from tty1",)),
    "who was there already at the snapshot": Case(
        (BOOT, wtmp(7, SINCE - 50, "ann", source="10.0.0.7")), ("ann logged in from 10.0.0.7",)
    ),
    "who had gone by the snapshot": Case((BOOT, wtmp(7, SINCE - 50, "ann"), wtmp(8, SINCE - 5))),
    "who was cut off by the boot before it": Case((wtmp(7, SINCE - 900, "ann"), BOOT)),
    "who was cut off by a boot after it": Case(
        (BOOT, wtmp(7, SINCE - 50, "ann", source="10.0.0.7"), wtmp(2, SINCE + 5, "reboot", "~")),
        ("ann logged in from 10.0.0.7",),
    ),
    "another key without a terminal": Case(
        (OWN, accepted(SINCE + 5, key="ann's")), ("deploy logged in from 10.0.0.5",)
    ),
    "another user with quarterdeck's key": Case(
        (OWN, accepted(SINCE + 5, user="root")), ("root logged in from 10.0.0.5",)
    ),
    "another key before the snapshot": Case((OWN, accepted(SINCE - 5, key="ann's"))),
    "a password": Case(
        (OWN, f"journal {SINCE + 5}.0 web sshd-session[8]: Accepted password for ann from ::1 port 5 ssh2"),
        ("ann logged in from ::1",),
    ),
    "login at the console, in the journal": Case(
        (OWN, f"journal {SINCE + 5}.0 web login[9]: ROOT LOGIN ON tty1"), ("root logged in from tty1",)
    ),
    "one login in both records is one": Case(
        (BOOT, wtmp(7, SINCE + 6, "ann", source="laptop"), OWN, accepted(SINCE + 5, "ann", "ann's", source="10.0.0.7")),
        ("ann logged in from 10.0.0.7",),
    ),
    "a log that does not show quarterdeck's own login": Case(
        (accepted(SINCE + 5, key="ann's"),), unread="its journal: Quarterdeck's own login is not in it"
    ),
    "a key of quarterdeck's that is not named": Case(
        ("journal 1800000000.0 web sshd[7]: Accepted publickey for deploy from 10.0.0.5 port 40001 ssh2",),
        unread="its journal",
    ),
    "a record without a boot": Case((wtmp(7, SINCE + 5, "ann"),), unread="its wtmp: not even a boot is in it"),
    "no record at all": Case(("nowtmp there is no utmpdump",), unread="its wtmp: there is no utmpdump"),
    "a desktop on Windows": Case(
        ("logon", f"logon {SINCE + 5} 10 SHOP\\ann 10.0.0.7"), ("SHOP\\ann logged on by remote desktop from 10.0.0.7",)
    ),
    "the console of Windows": Case(
        ("logon", f"logon {SINCE + 5} 2 SHOP\\ann -"), ("SHOP\\ann logged on at the console",)
    ),
    "a log that Windows does not show": Case(
        ("nologon Attempted to perform an unauthorized operation.",), unread="its security log: Attempted"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_who_logged_in(case: Case) -> None:
    seen = found(*case.lines)
    assert tuple(hand.what for hand in seen.hands) == case.who
    assert bool(seen.read) is (not case.unread)
    assert case.unread in "; ".join(seen.unread)


def test_over_vmware_tools_there_is_no_login_of_quarterdecks_to_look_for() -> None:
    seen = found(accepted(SINCE + 5, key="ann's"), head=f"clock {SINCE + 100} {SINCE}")
    assert [hand.who for hand in seen.hands] == ["deploy"]
    assert not found("journal", head=f"clock {SINCE + 100} {SINCE}").read


def happening(user: str, said: str = "VmPoweredOffEvent", chain: int = 1, task: bool = False) -> Happening:
    return Happening(user, said, SINCE + 5.0, chain, task)


def test_what_others_did_in_vcenter_is_each_deed_once() -> None:
    mine = [happening("VSPHERE.LOCAL\\Quarterdeck"), happening(""), happening("vpxuser"), happening("User")]
    theirs = [
        happening("ann", "Task: Power Off", 2, task=True),
        happening("ann", "staging-db was powered off", 2),
        happening("ann", "Task: Create snapshot", 3, task=True),
        happening("bob", "Remote console", 4),
    ]
    seen = happenings([*mine, *theirs], "vsphere.local\\quarterdeck", 7.0)
    assert [hand.what for hand in seen.hands] == [
        "ann in vCenter: staging-db was powered off",
        "ann in vCenter: Task: Create snapshot",
        "bob in vCenter: Remote console",
    ]
    assert seen.ahead == 7.0


OPEN = Window(float(SINCE), ((SINCE + 10.0, SINCE + 20.0),))
ANN = Hand("ann logged in from 10.0.0.7", SINCE + 5.0, "ann")


def looked(*answers: Outcome) -> tuple[list[Action], Outcome, list[Any]]:
    asked, end = drive(LookForHands(), site(host="web"), Outcome("ok", value=OPEN), *answers_in(answers))
    return asked, end, [action.event for action in asked if isinstance(action, Record)]


def answers_in(answers: tuple[Outcome, ...]) -> list[Outcome | Callable[[Action], Outcome]]:
    """Each answer where its question comes, whatever is noted in between."""
    left = list(answers)

    def answer(action: Action) -> Outcome:
        return left.pop(0) if isinstance(action, ReadLogins | ReadHappenings) else Outcome("ok")

    return [answer] * 40


NOTHING = Outcome("ok", value=Seen((), ("its wtmp",)))


def test_nobody_was_there() -> None:
    asked, end, events = looked(NOTHING, NOTHING)
    assert end.ok
    assert not events
    assert isinstance(asked[0], RecallWindow)
    assert [action for action in asked if isinstance(action, ReadLogins)] == [ReadLogins(site().at, float(SINCE))]


def test_each_hand_is_written_down() -> None:
    _, end, events = looked(Outcome("ok", value=Seen((ANN,), ("its wtmp",))), NOTHING)
    at = datetime.fromtimestamp(SINCE + 5, UTC).isoformat()
    assert end.ok
    assert events == [HandSeen(run=7, host="web", what=f"ann logged in from 10.0.0.7 at {at[11:19]} UTC", at=at)]


@pytest.mark.parametrize(
    ("at", "ahead", "counts"), [(15.0, 0.0, False), (25.0, 0.0, True), (75.0, 60.0, False), (15.0, 60.0, True)]
)
def test_a_step_that_is_done_by_hand_is_done_by_hand(at: float, ahead: float, counts: bool) -> None:
    seen = Seen((Hand("ann logged in", SINCE + at, "ann"),), ("its wtmp",), ahead=ahead)
    _, _, events = looked(Outcome("ok", value=seen), NOTHING)
    assert [type(event) for event in events] == ([HandSeen] if counts else [])


def test_many_hands_are_some_and_how_many_more() -> None:
    hands = tuple(Hand(f"ann logged in {n}", SINCE + 30.0 + n) for n in range(SHOWN + 5))
    _, _, events = looked(Outcome("ok", value=Seen(hands, ("its wtmp",))), NOTHING)
    assert len(events) == SHOWN + 1
    assert "and 5 times more" in events[-1].what


@pytest.mark.parametrize(
    "answer", [Outcome("errored", reason="no way in"), Outcome("ok", value=Seen((), (), ("its wtmp: none",)))]
)
def test_what_cannot_be_read_is_said_and_stops_nothing(answer: Outcome) -> None:
    _, end, events = looked(answer, NOTHING)
    assert end.ok
    (event,) = events
    assert isinstance(event, HandsUnknown)
    assert event.why in ("no way in", "its wtmp: none")


def test_who_stops_the_run_stops_the_look() -> None:
    asked, end, events = looked(Outcome("aborted"), NOTHING)
    assert end.result == "aborted"
    assert not events
    assert len(asked) == 2


class TestOnTheBoard:
    def test_a_hand_makes_the_run_not_clean_once_and_is_told(self) -> None:
        story = Story().begin()
        seen = HandSeen(run=1, host="web", what="ann logged in at 21:00:05 UTC")
        story.tell(seen, seen)
        run = story.run(1)
        assert not run.clean
        assert run.hands == run.unclean == ("a hand on web: ann logged in at 21:00:05 UTC",)
        assert "run/1/hands" in story.outbox

    def test_two_hands_are_one_message_that_the_first_of_them_called_for(self) -> None:
        """By that record's mark it is found again: the second may have come between the post and the end of the bot."""
        story = Story().begin()
        story.tell(HandSeen(run=1, host="web", what="ann logged in"), HandSeen(run=1, host="db", what="bob logged in"))
        owed = story.documents["outbox", "run/1/hands"]
        assert isinstance(owed, Due)
        assert owed.seq == len(story.entries) - 1

    def test_what_is_not_known_is_a_caution_and_the_run_stays_clean(self) -> None:
        story = Story().begin().tell(HandsUnknown(run=1, host="web", why="its wtmp: none"))
        assert story.run(1).clean
        assert story.run(1).cautions == ("whether anybody else was at work on web is not known: its wtmp: none",)

    def test_the_window_begins_with_the_snapshot_of_this_run_and_has_the_steps_done_by_hand(self) -> None:
        story = Story().begin()
        story.tell(e.SnapshotTaken(run=1, host="web", snapshot="s-1", environment="staging", name="s"))
        taken = story.now.timestamp()
        began = e.StepStarted(run=1, phase="deploy", step=3, name="By hand", host=None, attempt=1, written=True)
        paused = e.RunPaused(run=1, step=3, why="?", question=1, choices=("done", "done_with_help"), role="admins")
        story.tell(began, paused)
        asked = story.now.timestamp()
        story.tell(e.RunDecided(run=1, step=3, choice="done", note=""), by="U02ADMIN")
        run, state = story.run(1), story.environment()
        assert window(run, state, "web") == Window(taken, ((asked, story.now.timestamp()),))
        assert window(run, state, "db").since < taken
