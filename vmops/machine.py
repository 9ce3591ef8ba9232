"""Touches one VM through its vCenter: finds it, powers it, snapshots and reverts it, reads its network cards."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pyVmomi import vim, vmodl

from plans.networks import View
from vmops.networks import cards, label, look, passing, shut
from vmops.transport import Limit, Trouble
from vmops.vcenter import AnswerLost, Session, words

ARRIVING = 15.0
"""Seconds after a lost answer in which the change it was for must show, if it ever arrived."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Machine:
    """One VM. Each method looks before it changes anything, so that it may be called again, and looks after it.

    A lost answer is never met by asking for the change again, but by looking for its task. All raise Trouble, with
    what vCenter says, and the Unreachable, Refused, Cancelled, Overdue of a `Session`.
    """

    def __init__(self, session: Session, vm: vim.VirtualMachine, identity: str) -> None:
        self._session, self._vm = session, vm
        self.identity = identity

    def power(self, on: bool, limit: Limit) -> None:
        """Powers it on, or off as if the plug were pulled; nothing where it is so already."""
        wanted = "poweredOn" if on else "poweredOff"
        with _in_words():
            if self._state() == wanted:
                return
            with suppress(vim.fault.InvalidPowerState):  # somebody was faster: what it is now tells
                self._change(self._vm.PowerOnVM_Task if on else self._vm.PowerOffVM_Task, limit)
            if (state := self._state()) != wanted:
                raise Trouble(f"it is {state or 'in a state that vCenter does not tell'} instead of {wanted}")

    def networks(self) -> View:
        """Where its network cards lead, and who else is there, as vCenter tells it now."""
        with _in_words():
            return look(self._session, self._vm, self.identity.partition("/")[0])

    def disconnect(self, limit: Limit) -> list[str]:
        """Lets nothing pass through any of its network cards, now and at power-on: the labels of all of them."""
        with _in_words():
            if open_ := passing(self._devices()):
                spec = vim.vm.ConfigSpec(deviceChange=[shut(card) for card in open_])
                self._change(lambda: self._vm.ReconfigVM_Task(spec), limit)
            if left := passing(self._devices()):
                raise Trouble(f"{', '.join(map(label, left))} could not be disconnected, though vCenter says so")
            return [label(card) for card in cards(self._devices())]

    def _devices(self) -> Sequence[Any]:
        devices: Sequence[Any] | None
        devices = self._session.properties(self._vm, ["config.hardware.device"])["config.hardware.device"]
        if devices is None:
            raise Trouble("vCenter does not tell its hardware")
        return devices

    def take_snapshot(self, name: str, description: str, limit: Limit) -> str:
        """Its snapshot of that name, taken now unless it has one: the disks alone, without memory; the reference."""
        with _in_words():
            if not (found := self._snapshots(name)):
                self._change(
                    lambda: self._vm.CreateSnapshot_Task(name, description, memory=False, quiesce=False), limit
                )
                found = self._snapshots(name)
            return str(self._one(found, name)._moId)

    def revert(self, snapshot: str, limit: Limit) -> None:
        """Brings it back to the snapshot of that reference or name, and leaves it off."""
        with _in_words():
            to = self._one(self._snapshots(snapshot), snapshot)
            self._change(lambda: to.RevertToSnapshot_Task(None, suppressPowerOn=True), limit)
        self.power(False, limit)

    def remove_snapshot(self, snapshot: str, limit: Limit) -> None:
        """Removes the snapshot of that reference or name, and keeps its disks' changes and what grew from it."""
        with _in_words():
            if not (found := self._snapshots(snapshot)):
                return
            gone = self._one(found, snapshot)
            self._change(lambda: gone.RemoveSnapshot_Task(removeChildren=False, consolidate=True), limit)
            if self._snapshots(snapshot):
                raise Trouble(f"the snapshot {snapshot} is still there though vCenter says that it was removed")

    def _state(self) -> str | None:
        state = self._session.properties(self._vm, ["runtime.powerState"])["runtime.powerState"]
        return state and str(state)

    def _change(self, start: Callable[[], vim.Task], limit: Limit) -> None:
        """Starts a task and waits for its good end; one that is under way on the VM already is waited for first."""
        while True:
            before = {task._moId for task in self._tasks()}
            try:
                try:
                    task = self._session.change(start)
                except AnswerLost as lost:
                    task = self._arrived(before, lost, limit)
                self._session.wait(task, self._vm, limit)
                return
            except vim.fault.TaskInProgress as busy:  # said at once, or by the task that was refused
                self._let_end(busy.task, limit)

    def _arrived(self, before: set[str], lost: AnswerLost, limit: Limit) -> vim.Task:
        """The task that came of a change whose answer was lost. Raises `lost` where none did."""
        arriving = Limit.of(ARRIVING)
        while arriving.left:
            if new := [task for task in self._tasks() if task._moId not in before]:
                return new[-1]
            limit.pause(0.5)
        raise Trouble(f"{lost}; no task came of it. Look at the VM, then let the step run again") from lost

    def _tasks(self) -> Sequence[vim.Task]:
        return self._session.properties(self._vm, ["recentTask"])["recentTask"] or ()

    def _let_end(self, task: vim.Task | None, limit: Limit) -> None:
        if task is None:
            return limit.pause(1.0)
        with suppress(vmodl.MethodFault):  # how another's task ends is not ours to judge
            self._session.wait(task, self._vm, limit)

    def _snapshots(self, wanted: str) -> list[vim.vm.Snapshot]:
        """Those of that name, or the one of that reference."""
        return [each.snapshot for each in self._tree() if wanted in (each.name, each.snapshot._moId)]

    def _one(self, found: Sequence[vim.vm.Snapshot], wanted: str) -> vim.vm.Snapshot:
        if len(found) == 1:
            return found[0]
        there = ", ".join(f"{each.name} ({each.snapshot._moId})" for each in self._tree()) or "none"
        raise Trouble(f"{len(found)} snapshots are {wanted} instead of one; there are: {there}")

    def _tree(self) -> list[vim.vm.SnapshotTree]:
        roots = self._session.properties(self._vm, ["snapshot.rootSnapshotList"])["snapshot.rootSnapshotList"]
        return list(_walk(roots or ()))


def find(session: Session, named: str) -> Machine:
    """The one VM of that instance UUID, inventory path or name. Raises Trouble, with what was found instead."""
    with _in_words():
        found = _find(session, named)
        if len(found) != 1:
            there = ": " + ", ".join(sorted(_path(session, vm) for vm in found)) if found else ""
            mend = "give its inventory path or instance UUID" if found else "see what the user may see in vCenter"
            raise Trouble(f"{session.name} has {len(found) or 'no'} VMs {named}{there}; {mend}")
        uuid = session.properties(found[0], ["config.instanceUuid"])["config.instanceUuid"]
        if not uuid:
            raise Trouble(f"{session.name} does not tell the instance UUID of {named}")
        own = session.read(lambda content: content.about.instanceUuid)
        return Machine(session, found[0], f"{own}/{uuid}")


def _find(session: Session, named: str) -> list[vim.VirtualMachine]:
    if _UUID.fullmatch(named):
        return session.read(
            lambda content: list(content.searchIndex.FindAllByUuid(None, named, vmSearch=True, instanceUuid=True))
        )
    if "/" in named:
        path = named.strip("/")
        found = session.read(lambda content: content.searchIndex.FindByInventoryPath(path))
        return [found] if isinstance(found, vim.VirtualMachine) else []
    return [vm for vm, told in session.each_vm(["name"]) if told.get("name") == named]


def _path(session: Session, thing: Any) -> str:
    """Where something is in the inventory: /datacenter/vm/folder/name."""
    steps: list[str] = []
    while thing is not None:
        told = session.properties(thing, ["name", "parent"])
        steps.append(told["name"] or "?")
        thing = told["parent"]
    return "/" + "/".join(reversed(steps[:-1]))


def _walk(trees: Sequence[vim.vm.SnapshotTree]) -> Iterator[vim.vm.SnapshotTree]:
    for tree in trees:
        yield tree
        yield from _walk(tree.childSnapshotList)


@contextmanager
def _in_words() -> Iterator[None]:
    """What vSphere refuses, as a sentence."""
    try:
        yield
    except vim.fault.NoPermission as fault:
        raise Trouble(f"vCenter refuses: the user lacks the privilege {fault.privilegeId}") from fault
    except vmodl.MethodFault as fault:
        raise Trouble(f"vCenter refuses: {words(fault)}") from fault
