"""What holds for every vCenter: the lab's, and govmomi's simulator, over connections that are cut at the worst time."""

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyVim.task import WaitForTask
from vcenters import TOKEN, WEB, Bot, Center

from plans.actions import FindVm, Power, RemoveSnapshot, RevertTo, TakeSnapshot
from vmops import machine, vcenter

ROUNDS = 60 if os.environ.get("QUARTERDECK_FAULTS") == "all" else 12
"""Of four changes each, at about a cut a change: with all of them well beyond 200 cuts."""

RUN = TOKEN + "run-7"
TAKE = TakeSnapshot(WEB, RUN, "R-1 run 7 on staging")
ON, OFF = Power(WEB, on=True), Power(WEB, on=False)


@pytest.fixture
def make(center: Center) -> Iterator[Callable[..., Bot]]:
    made: list[Bot] = []

    def one(*args: Any, **options: Any) -> Bot:
        made.append(Bot(center, *args, **options))
        return made[-1]

    yield one
    center.wire.heal()
    for bot in made:
        bot.performer.close()


@pytest.fixture
def bot(make: Callable[..., Bot]) -> Bot:
    return make()


def test_a_vm_is_found_by_name_path_and_uuid_and_is_the_same(center: Center, make: Callable[..., Bot]) -> None:
    identity = make()(FindVm(WEB)).value
    own, _, uuid = identity.partition("/")
    assert (own, uuid) == (center.admin.content.about.instanceUuid, center.tell("config.instanceUuid"))
    for vm in (center.path, center.path.strip("/"), uuid, uuid.upper()):
        assert make(vm)(FindVm(WEB)).value == identity, vm


@pytest.mark.parametrize("vm", ["nothing", "/lab/vm/nothing", "/lab", "12345678-1234-1234-1234-123456789abc"])
def test_a_vm_that_is_not_there_is_a_sentence(make: Callable[..., Bot], vm: str) -> None:
    outcome = make(vm)(ON)
    assert outcome.result == "errored"
    assert outcome.reason == f"staging web: vCenter 127.0.0.1 has no VMs {vm}; see what the user may see in vCenter"


def test_one_name_of_two_vms_is_refused_with_both_their_paths(center: Center, make: Callable[..., Bot]) -> None:
    outcome = make("twin")(ON)
    assert outcome.result == "errored"
    said = f"staging web: vCenter 127.0.0.1 has 2 VMs twin: {', '.join(center.twins)}; give its inventory path"
    assert outcome.reason.startswith(said)
    identities = {make(path)(FindVm(WEB)).value for path in center.twins}
    assert len(identities) == 2


def test_power_is_what_was_asked_for_and_asking_again_changes_nothing(center: Center, bot: Bot) -> None:
    for _ in range(2):
        assert bot(ON).ok
        assert center.power == "poweredOn"
    for _ in range(2):
        assert bot(OFF).ok
        assert center.power == "poweredOff"
    assert (center.wire.count("PowerOnVM_Task"), center.wire.count("PowerOffVM_Task")) == (1, 1)


def test_a_snapshot_is_taken_once_and_removed_with_nobody_elses_touched(center: Center, bot: Bot) -> None:
    taken = bot(TAKE)
    assert taken.ok, taken.reason
    assert bot(TAKE).value == taken.value
    assert center.snapshots() == [RUN]
    WaitForTask(center.own.CreateSnapshot_Task("backup-product", "", False, False))
    for action in (RemoveSnapshot(WEB, "backup-product"), RevertTo(WEB, "backup-product")):
        refused = bot(action)
        assert refused.result == "errored"
        assert "it is not ours to touch" in refused.reason
    assert sorted(center.snapshots()) == ["backup-product", RUN]
    for _ in range(2):
        assert bot(RemoveSnapshot(WEB, taken.value)).ok
    assert center.snapshots() == ["backup-product"]
    assert center.wire.count("RemoveSnapshot_Task") == 1
    gone = bot(RevertTo(WEB, taken.value))
    assert f"0 snapshots are {taken.value} instead of one; there are: backup-product (" in gone.reason


def test_a_warm_snapshot_takes_four_calls(center: Center, bot: Bot) -> None:
    assert bot(TakeSnapshot(WEB, TOKEN + "first", "")).ok
    center.wire.calls.clear()
    assert bot(TAKE).ok
    # The simulator tells no VM's tasks, so that the task itself is read; it has ended by then.
    assert len(center.wire.calls) <= (5 if "tasks" in center.cannot else 4), center.wire.calls


@pytest.mark.needs("revert")
def test_a_revert_leaves_the_vm_off(center: Center, bot: Bot) -> None:
    assert bot(TAKE).ok
    assert bot(ON).ok
    center.wire.calls.clear()
    assert bot(RevertTo(WEB, RUN)).ok
    assert center.power == "poweredOff"
    assert center.wire.count("PowerOffVM_Task") == 0


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("PowerOnVM_Task", ON),
        ("CreateSnapshot_Task", TAKE),
        ("RemoveSnapshot_Task", RemoveSnapshot(WEB, TOKEN + "kept")),
        pytest.param("RevertToSnapshot_Task", RevertTo(WEB, TOKEN + "kept"), marks=pytest.mark.needs("tasks")),
    ],
)
def test_a_change_whose_answer_was_lost_is_not_made_twice(
    center: Center, bot: Bot, method: str, action: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ARRIVING", 5.0)
    assert bot(TakeSnapshot(WEB, TOKEN + "kept", "")).ok
    center.wire.calls.clear()
    center.wire.order("cut after", method)
    outcome = bot(action)
    assert outcome.ok, outcome.reason
    assert center.wire.count(method) == 1
    wanted = {"CreateSnapshot_Task": [TOKEN + "kept", RUN], "RemoveSnapshot_Task": []}
    assert center.snapshots() == wanted.get(method, [TOKEN + "kept"])


def test_a_silence_after_a_lost_answer_is_outlived(center: Center, bot: Bot) -> None:
    center.wire.order("cut after", "CreateSnapshot_Task")
    center.wire.before("CreateSnapshot_Task", lambda: center.wire.order("503", "RetrievePropertiesEx", 4))
    taken = bot(TAKE)
    assert taken.ok, taken.reason
    assert center.snapshots() == [RUN]
    assert center.wire.count("CreateSnapshot_Task") == 1


@pytest.mark.parametrize("how", ["cut before", "503", "page"])
def test_a_change_that_never_arrived_is_said_not_repeated(
    center: Center, bot: Bot, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ARRIVING", 0.6)
    center.wire.order(how, "CreateSnapshot_Task")
    outcome = bot(TAKE)
    assert outcome.result == "errored"
    assert "its answer was lost" in outcome.reason
    assert "nothing came of it so far. Look at the VM, then let the step run again" in outcome.reason
    assert center.snapshots() == []
    assert bot(TAKE).ok
    assert center.snapshots() == [RUN]


@pytest.mark.parametrize("method", ["RetrievePropertiesEx", "WaitForUpdatesEx", "CreateFilter"])
@pytest.mark.parametrize("how", ["cut before", "cut after", "503", "page", "broken"])
def test_what_changes_nothing_is_asked_again(center: Center, bot: Bot, method: str, how: str) -> None:
    center.wire.order(how, method)
    taken = bot(TAKE)
    assert taken.ok, taken.reason
    assert center.snapshots() == [RUN]
    assert center.wire.count("CreateSnapshot_Task") == 1


def test_whatever_is_cut_nothing_is_done_twice(
    center: Center, bot: Bot, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Any call, before it arrives or after it was made; who is told that nothing came of it asks again."""
    monkeypatch.setattr(machine, "ARRIVING", 0.2)
    chance = random.Random(request.node.name)
    cuts = 0
    for number in range(ROUNDS):
        name = f"{TOKEN}run-{number}"
        for action in (ON, TakeSnapshot(WEB, name, ""), RemoveSnapshot(WEB, name), OFF):
            for call in range(8):
                if chance.random() < 0.12:
                    center.wire.order(chance.choice(["cut before", "cut after"]), "", after=call)
                    cuts += 1
            while not (outcome := bot(action)).ok:
                assert "lost" in outcome.reason or "cannot be reached" in outcome.reason, outcome.reason
            center.wire.heal()
            expected = [name] if isinstance(action, TakeSnapshot) else []
            assert center.snapshots() == expected
    made = [method for method in center.wire.calls if method.endswith("_Task")]
    assert {method: made.count(method) for method in set(made)} == dict.fromkeys(
        ["PowerOnVM_Task", "PowerOffVM_Task", "CreateSnapshot_Task", "RemoveSnapshot_Task"], ROUNDS
    )
    assert cuts > 2 * ROUNDS


@pytest.mark.parametrize("method", ["RetrievePropertiesEx", "CreateSnapshot_Task", "WaitForUpdatesEx"])
def test_a_session_that_died_is_opened_again_wherever_it_died(center: Center, bot: Bot, method: str) -> None:
    assert bot(OFF).ok
    center.wire.calls.clear()
    center.wire.before(method, center.kill_sessions)
    taken = bot(TAKE)
    assert taken.ok, taken.reason
    assert center.snapshots() == [RUN]
    assert center.wire.count("Login") == 1


@pytest.mark.parametrize("method", ["RetrievePropertiesEx", "CreateSnapshot_Task", "WaitForUpdatesEx"])
def test_sessions_may_die_one_after_the_other(center: Center, bot: Bot, method: str) -> None:
    die_each_time(center, method, 3)
    taken = bot(TAKE)
    assert taken.ok, taken.reason
    assert center.snapshots() == [RUN]


def test_a_vcenter_that_ends_every_session_at_once_is_a_sentence(center: Center, bot: Bot) -> None:
    die_each_time(center, "RetrievePropertiesEx", 100)
    assert "ends the session as soon as it has begun" in bot(TAKE).reason
    center.wire.heal()
    assert bot(TAKE).ok


def die_each_time(center: Center, method: str, times: int) -> None:
    """Every session ends before each of the next calls of `method` arrives."""

    def die() -> None:
        center.kill_sessions()
        if times > 1:
            die_each_time(center, method, times - 1)

    center.wire.before(method, die)


def test_a_vcenter_that_accepts_and_never_answers_is_given_up(
    center: Center, make: Callable[..., Bot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vcenter, "SECONDS", 0.3)
    monkeypatch.setattr(machine, "ARRIVING", 0.1)
    bot = make()
    center.wire.order("silence", "", 2)
    begun = time.monotonic()
    outcome = bot(FindVm(WEB))
    assert "vCenter 127.0.0.1 at port" in outcome.reason
    assert "cannot be reached: no answer within 0.3 s" in outcome.reason
    assert time.monotonic() - begun < 10
    center.wire.heal()
    assert bot(FindVm(WEB)).ok
    center.wire.order("silence", "CreateSnapshot_Task")
    assert "its answer was lost: no answer within 0.3 s" in bot(TAKE).reason


def test_no_session_is_left_behind(center: Center, make: Callable[..., Bot]) -> None:
    before = set(center.sessions())
    bot = make()
    assert bot(TAKE).ok
    assert len(set(center.sessions()) - before) == 1
    bot.performer.close()
    assert set(center.sessions()) == before
    assert "it is stopping" in bot(FindVm(WEB)).reason
    assert set(center.sessions()) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"password": "wrong"}, "refuses the user quarterdeck or its password"),
        ({"ca_file": ""}, "its certificate is not trusted"),
        ({"ca_file": "/nowhere.pem"}, "ca_file /nowhere.pem cannot be used: No such file or directory"),
        ({"host": "127.0.0.2"}, "cannot be reached"),
    ],
)
def test_a_vcenter_that_cannot_be_used_is_a_sentence(make: Callable[..., Bot], options: Any, said: str) -> None:
    outcome = make(**options)(FindVm(WEB))
    assert outcome.result == "errored"
    assert said in outcome.reason


@pytest.mark.needs("faults")
def test_the_end_of_a_task_is_seen_at_once(center: Center, bot: Bot) -> None:
    late, looks = [], []
    for _ in range(5):
        for action in (ON, OFF):
            assert bot(action).ok
            seen = time.time()
            late.append(seen - max(task.info.completeTime.timestamp() for task in center.own.recentTask))
            looks.append(time.time() - seen)
    # By news, not by asking now and then: as late as a few looks at the tasks take on this machine just now.
    assert statistics.median(late) < 0.05 + 5 * statistics.median(looks), (late, looks)
