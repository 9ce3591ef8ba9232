"""What stands in the way of a change of a VM, in the lab's vCenter: each met with a sentence, and nothing half done."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from far_ends import until
from pyVim.task import WaitForTask
from vcenters import TOKEN, WEB, Bot, Center

from lab.machines import Machine
from lab.records import Disk, Question
from lab.vcenter.faults import Ask, FailTasks
from plans.actions import FindVm, Power, RemoveSnapshot, RevertTo, TakeSnapshot

pytestmark = pytest.mark.parametrize("centers", ["lab"], indirect=True)

RUN = TOKEN + "run-7"
TAKE = TakeSnapshot(WEB, RUN, "")
ON = Power(WEB, on=True)
SPACE = Question(
    "msg.hbacommon.outofspace", "There is no more space for virtual disk web.vmdk.", {"0": "Retry", "1": "Abort"}
)


@pytest.fixture
def bot(center: Center) -> Iterator[Bot]:
    one = Bot(center)
    yield one
    one.performer.close()


@pytest.fixture
def vm(center: Center) -> Iterator[Machine]:
    """The VM from inside the lab; what a test changes of it is as before afterwards."""
    assert center.lab
    inventory = center.lab.state.inventory
    machine = inventory.find(center.vm)
    kept = {name: getattr(machine, name) for name in ("disks", "shared_bus", "passthrough", "template")}
    yield machine
    for name, value in kept.items():
        setattr(machine, name, value)
    machine.consolidation_needed, machine.question = False, None
    inventory.capacity = inventory.free_space = None
    center.lab.faults.clear()


MENDED = "take that off, or on prod say protect: backup"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"disks": [Disk(), Disk(mode="independent_persistent")]},
            f"Hard disk 2 is independent, so no snapshot holds what is on it; {MENDED}",
        ),
        (
            {"disks": [Disk(raw="physicalMode")]},
            f"Hard disk 1 is a raw device in physical compatibility mode, which no snapshot can hold; {MENDED}",
        ),
        (
            {"disks": [Disk(sharing="sharingMultiWriter")]},
            f"Hard disk 1 is shared with other VMs, which forbids snapshots; {MENDED}",
        ),
        (
            {"shared_bus": "physicalSharing"},
            f"SCSI controller 0 shares its bus with other VMs, which forbids snapshots; {MENDED}",
        ),
        (
            {"passthrough": ["gpu"]},
            f"PCI device 0 is a device of the ESXi host that is passed through, which forbids snapshots; {MENDED}",
        ),
        ({"template": True}, "it is a template, which has no snapshots; make it a VM, or name another one"),
        (
            {"consolidation_needed": True},
            "its disks need consolidation after a snapshot that was removed; in vCenter: Snapshots, Consolidate",
        ),
        (
            {"question": SPACE},
            f"the VM waits for an answer to “{SPACE.text}” (Retry, Abort); answer it in vCenter, then try again",
        ),
        (
            {"disks": [Disk(mode="independent_nonpersistent", sharing="sharingMultiWriter")]},
            "Hard disk 1 is independent",
        ),
    ],
)
def test_what_forbids_a_snapshot_is_said_before_it_is_tried(
    center: Center, bot: Bot, vm: Machine, change: dict[str, Any], said: str
) -> None:
    for name, value in change.items():
        setattr(vm, name, value)
    outcome = bot(TAKE)
    assert outcome.result == "errored"
    assert outcome.reason.startswith(f"staging web: no snapshot was taken: {said}")
    assert center.wire.count("CreateSnapshot_Task") == 0


def test_every_obstacle_is_told_at_once(center: Center, bot: Bot, vm: Machine) -> None:
    vm.disks, vm.consolidation_needed = [Disk(raw="physicalMode"), Disk(mode="independent_persistent")], True
    reason = bot(TAKE).reason
    assert all(word in reason for word in ("consolidation", "Hard disk 1", "Hard disk 2"))


def test_a_full_datastore_is_said_with_what_is_wanted(center: Center, bot: Bot, vm: Machine) -> None:
    assert center.lab
    inventory = center.lab.state.inventory
    vm.disks = [Disk(capacity=50 * 1000**3), Disk(capacity=50 * 1000**3)]
    inventory.capacity, inventory.free_space = 500 * 1000**3, 9 * 1000**3
    wanted = "a snapshot wants 10.0 GB (10% of the VM's 100.0 GB there); make room"
    assert bot(TAKE).reason.endswith(f": the datastore datastore1 has 9.0 GB free, and {wanted}")
    inventory.free_space = 11 * 1000**3
    assert bot(TAKE).ok


def test_a_fourth_snapshot_upon_three_is_refused(center: Center, bot: Bot, vm: Machine) -> None:
    for number in range(3):
        assert bot(TakeSnapshot(WEB, f"{TOKEN}{number}", "")).ok
    outcome = bot(TAKE)
    assert f"3 snapshots stand upon each other already (“{TOKEN}0”, “{TOKEN}1”, “{TOKEN}2”)" in outcome.reason
    assert bot(RemoveSnapshot(WEB, f"{TOKEN}1")).ok
    assert bot(TAKE).ok


def test_anothers_old_snapshot_is_named_and_our_own_is_not(center: Center, bot: Bot, vm: Machine) -> None:
    WaitForTask(center.own.CreateSnapshot_Task("before the upgrade", "", False, False))
    vm.snapshots[0].created = datetime.now(UTC) - timedelta(days=5)
    assert "its snapshot “before the upgrade” is 5 days old, and none should be older than 3 days" in bot(TAKE).reason
    vm.snapshots[0].created, vm.snapshots[0].name = datetime.now(UTC) - timedelta(days=5), TOKEN + "run-1"
    assert bot(TAKE).ok


def test_a_question_ends_the_wait_and_its_answer_lets_the_task_end(center: Center, bot: Bot, vm: Machine) -> None:
    center.order(Ask("CreateSnapshot_Task", SPACE))
    asked = bot(TAKE)
    assert asked.result == "errored"
    assert (
        "answer to “There is no more space for virtual disk web.vmdk.” (Retry, Abort); answer it in vCenter"
        in asked.reason
    )
    assert bot(TAKE).reason == asked.reason.replace("no snapshot was taken: ", "")
    center.own.AnswerVM(SPACE.id, "0")
    assert bot(TAKE).ok
    assert center.snapshots() == [RUN]
    assert center.wire.count("CreateSnapshot_Task") == 1


def test_what_is_under_way_is_waited_for_and_not_begun_again(center: Center, bot: Bot, vm: Machine) -> None:
    center.order(Ask("CreateSnapshot_Task", SPACE))
    under_way = center.own.CreateSnapshot_Task(RUN, "by a bot that was killed", False, False)
    until(lambda: vm.question)
    vm.question = None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bot, TAKE)
        until(lambda: "something else is under way on the VM: waiting for its end" in bot.lines)
        center.soon(vm.answer)
        taken = waiting.result()
    assert taken.ok, taken.reason
    WaitForTask(under_way)
    assert center.snapshots() == [RUN]
    assert center.wire.count("CreateSnapshot_Task") == 0


def test_changes_at_once_wait_for_each_other(center: Center, bot: Bot) -> None:
    with ThreadPoolExecutor(4) as pool:
        taken = list(
            pool.map(bot, [TAKE, TAKE, TakeSnapshot(WEB, TOKEN + "a", ""), TakeSnapshot(WEB, TOKEN + "b", "")])
        )
    assert all(one.ok for one in taken), taken
    assert sorted(center.snapshots()) == sorted([RUN, TOKEN + "a", TOKEN + "b"])


@pytest.mark.parametrize("fault", ["HostCommunication", "SnapshotFault", "FileFault"])
def test_a_task_that_fails_is_said_and_not_repeated(center: Center, bot: Bot, vm: Machine, fault: str) -> None:
    center.order(FailTasks("CreateSnapshot_Task", fault, "the host does not answer"))
    outcome = bot(TAKE)
    assert (outcome.result, outcome.reason) == ("errored", "staging web: vCenter refuses: the host does not answer")
    assert center.wire.count("CreateSnapshot_Task") == 1
    assert bot(TAKE).ok
    assert center.snapshots() == [RUN]


def test_disks_are_joined_after_a_removal_where_they_need_it(center: Center, bot: Bot, vm: Machine) -> None:
    assert bot(TAKE).ok
    vm.consolidation_needed = True
    assert bot(RemoveSnapshot(WEB, RUN)).ok
    assert center.wire.count("ConsolidateVMDisks_Task") == 1
    assert not vm.consolidation_needed
    assert bot(RemoveSnapshot(WEB, RUN)).ok
    assert center.wire.count("ConsolidateVMDisks_Task") == 1


def test_a_privilege_that_lacks_is_named(center: Center, bot: Bot, vm: Machine) -> None:
    assert center.lab
    center.lab.state.denied.add("VirtualMachine.State.CreateSnapshot")
    try:
        said = "vCenter refuses: the user lacks the privilege VirtualMachine.State.CreateSnapshot"
        assert bot(TAKE).reason == f"staging web: {said}"
    finally:
        center.lab.state.denied.clear()


def test_a_vm_that_was_replaced_is_not_touched_before_it_is_looked_for_anew(center: Center, bot: Bot) -> None:
    assert bot(FindVm(WEB)).ok
    vm = center.own
    WaitForTask(vm.Rename_Task("put aside"))
    try:
        said = f"the VM {center.vm} ("
        for action in (ON, TAKE, RevertTo(WEB, RUN)):
            reason = bot(action).reason
            assert reason.startswith(f"staging web: {said}")
            assert "is called put aside now: nothing more is done to it. The next run looks for it anew" in reason
        assert "has no VMs staging-web" in bot(FindVm(WEB)).reason
    finally:
        WaitForTask(vm.Rename_Task(center.vm))
    assert bot(FindVm(WEB)).ok
    assert bot(ON).ok
    assert [method for method in center.wire.calls if method.endswith("_Task")] == ["PowerOnVM_Task"]


def test_a_short_silence_is_outlived_by_a_wait(center: Center, bot: Bot, vm: Machine) -> None:
    center.order(Ask("CreateSnapshot_Task", SPACE))
    center.wire.before("WaitForUpdatesEx", lambda: _silence(center, vm))
    assert bot(TAKE).ok
    assert center.snapshots() == [RUN]


def test_a_task_that_vcenter_forgot_is_told_by_what_it_made(center: Center, bot: Bot, vm: Machine) -> None:
    center.wire.before("WaitForUpdatesEx", lambda: _forget(center))
    taken = bot(TAKE)
    assert taken.ok, taken.reason
    assert center.snapshots() == [RUN]
    assert center.wire.count("CreateSnapshot_Task") == 1


def test_a_task_that_vcenter_forgot_and_that_shows_nowhere_is_said(center: Center, bot: Bot, vm: Machine) -> None:
    assert bot(TAKE).ok
    center.wire.before("WaitForUpdatesEx", lambda: _forget(center))
    assert "has forgotten the task: how it ended is unknown; look there" in bot(RevertTo(WEB, RUN)).reason


def test_anothers_task_that_vcenter_forgot_is_over(center: Center, bot: Bot, vm: Machine) -> None:
    center.order(Ask("PowerOnVM_Task", SPACE))
    center.own.PowerOnVM_Task()
    until(lambda: vm.question)
    vm.question = None
    center.wire.before("WaitForUpdatesEx", lambda: _answered_and_forgotten(center, vm))
    taken = bot(TAKE)
    assert taken.ok, taken.reason


def _answered_and_forgotten(center: Center, vm: Machine) -> None:
    center.soon(vm.answer)
    until(lambda: center.power == "poweredOn")
    _forget(center)


def _forget(center: Center) -> None:
    """As a vCenter that was started again: nothing is known of any task, though each was seen to its end."""
    assert center.lab
    infos = center.lab.state.tasks.infos
    until(lambda: all(info.completeTime for info in infos.values()))
    center.soon(infos.clear)


def _silence(center: Center, vm: Machine) -> None:
    """The VM's question is answered while nobody can be told of anything."""
    until(lambda: vm.question)
    center.soon(vm.answer)
    for method in ("WaitForUpdatesEx", "CreatePropertyCollector", "CreateFilter"):
        center.wire.order("503", method, 4)


@pytest.fixture
def unverified(center: Center) -> Iterator[Callable[[], Bot]]:
    made: list[Bot] = []
    yield lambda: made.append(Bot(center, ca_file="", verify=False)) or made[-1]
    for bot in made:
        bot.performer.close()


def test_an_unverified_vcenter_is_said_loudly(unverified: Callable[[], Bot], caplog: pytest.LogCaptureFixture) -> None:
    assert unverified()(FindVm(WEB)).ok
    assert "NOT VERIFIED" in caplog.text
