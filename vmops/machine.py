"""Touches one VM through its vCenter: finds it, powers it, snapshots and reverts it, reads its network cards."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from pyVmomi import vim, vmodl

from plans.networks import View
from vmops import snapshots
from vmops.networks import cards, label, look, passing, shut
from vmops.tasks import INFO, OPEN, Say, quiet
from vmops.transport import Limit, Trouble, Unreachable
from vmops.vcenter import PATIENCE, AnswerLost, Forgotten, Found, Properties, Session, words

ARRIVING = 15.0
"""Seconds after a lost answer in which the change it was for must show, if it ever arrived."""

_POWER = "runtime.powerState"


class Seen(NamedTuple):
    """One look at a VM: its properties, its datastores' by their ids, and its latest tasks."""

    told: Properties
    datastores: dict[str, Properties]
    tasks: list[tuple[vim.Task, Properties]]


class Change(NamedTuple):
    """One change of a VM. `kind` is part of its task's `descriptionId`, in small letters, in every vSphere.

    `made`: what a look tells of it: something true, where it is made; None where no look can tell.
    """

    kind: str
    start: Callable[[Seen], vim.Task]
    made: Callable[[Seen], Any] | None


class Machine:
    """One VM. Each method looks before it changes anything, so that it may be called again.

    A lost answer is never met by asking for the change again, but by looking whether it was made. All raise Trouble,
    with what vCenter says, and the Unreachable, Refused, Cancelled of a `Session`. Only snapshots that
    carry the name of `ledger` are touched. `say` is told how far a change is.
    """

    def __init__(self, session: Session, named: str, found: Found, identity: str) -> None:
        self._session, self._named = session, named
        self.vm, self._uuid = found
        self.identity = identity

    def power(self, on: bool, limit: Limit, say: Say = quiet) -> None:
        """Powers it on, or off as if the plug were pulled; nothing where it is so already."""
        wanted = "poweredOn" if on else "poweredOff"
        switch = self.vm.PowerOnVM_Task if on else self.vm.PowerOffVM_Task
        kind = "poweron" if on else "poweroff"
        self.make(Change(kind, lambda _: switch(), lambda seen: str(seen.told[_POWER]) == wanted), limit, say)

    def networks(self) -> View:
        """Where its network cards lead, and who else is there, as vCenter tells it now."""
        with in_words():
            self.look()
            return look(self._session, self.vm, self.identity.partition("/")[0])

    def disconnect(self, limit: Limit, say: Say = quiet) -> list[str]:
        """Lets nothing pass through any of its network cards, now and at power-on: the labels of all of them."""

        def start(_: Seen) -> vim.Task:
            changes = [shut(card) for card in passing(self._devices())]
            task: vim.Task = self.vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=changes))
            return task

        with in_words():
            if passing(self._devices()):
                self.make(Change("reconfig", start, lambda _: not passing(self._devices())), limit, say)
            return [label(card) for card in cards(self._devices())]

    def _devices(self) -> Sequence[Any]:
        devices: Sequence[Any] | None = self.look("config.hardware.device").told["config.hardware.device"]
        if devices is None:
            raise Trouble("vCenter does not tell its hardware")
        return devices

    def take_snapshot(self, name: str, description: str, ledger: str, limit: Limit, say: Say = quiet) -> str:
        """Its snapshot of that name, taken now unless it has one: the disks alone, without memory; the reference.

        Raises Trouble where it should have none now: what stands in the way is looked at first.
        """
        if not name.startswith(ours := snapshots.token(ledger)):
            raise Trouble(f"the snapshot {name} would not be known as Quarterdeck's")

        def made(seen: Seen) -> Any:
            found = [each for each in snapshots.tree(seen.told) if each.name == name]
            return self._one(found, name, seen).snapshot if found else None

        def start(_: Seen) -> vim.Task:
            task: vim.Task = self.vm.CreateSnapshot_Task(name, description, memory=False, quiesce=False)
            return task

        def fit(seen: Seen) -> None:
            if why := "; ".join(snapshots.obstacles(seen.told, seen.datastores, ours)):
                raise Trouble(f"no snapshot was taken: {why}")

        taken = self.make(Change("createsnapshot", start, made), limit, say, snapshots.VM, fit)
        return str(taken._moId)

    def revert(self, snapshot: str, ledger: str, limit: Limit, say: Say = quiet) -> None:
        """Brings it back to our snapshot of that reference or name, and leaves it off."""

        def start(seen: Seen) -> vim.Task:
            task: vim.Task = self._our(snapshot, ledger, seen).RevertToSnapshot_Task(None, suppressPowerOn=True)
            return task

        self.make(Change("revert", start, None), limit, say, ("snapshot",))
        self.power(False, limit, say)

    def remove_snapshot(self, snapshot: str, ledger: str, limit: Limit, say: Say = quiet) -> None:
        """Removes our snapshot of that reference or name, and keeps its disks' changes and what grew from it."""
        paths = ("snapshot", "runtime.consolidationNeeded")

        def start(seen: Seen) -> vim.Task:
            task: vim.Task = self._our(snapshot, ledger, seen).RemoveSnapshot_Task(False, consolidate=True)
            return task

        def gone(seen: Seen) -> bool:
            return not any(snapshot in (each.name, each.snapshot._moId) for each in snapshots.tree(seen.told))

        self.make(Change("remove", start, gone), limit, say, paths)
        joined = Change("consolidate", lambda _: self.vm.ConsolidateVMDisks_Task(), _consolidated)
        self.make(joined, limit, say, paths)

    def make(
        self,
        change: Change,
        limit: Limit,
        say: Say,
        paths: Sequence[str] = (),
        fit: Callable[[Seen], None] = lambda seen: None,
    ) -> Any:
        """Makes a change unless it is made already; what its task came to, or what a look at `paths` told.

        `fit` may refuse it, by a look. What is under way on the VM already ends first: it may be this
        very change, begun before a crash.
        """
        with in_words():
            while True:
                limit.check()
                seen = self.look(_POWER, *paths)
                if change.made and (made := change.made(seen)):
                    return made
                if under_way := next((task for task, info in seen.tasks if info.get("info.state") in OPEN), None):
                    self._let_end(under_way, limit, say)
                    continue
                fit(seen)
                try:
                    result = self._started(change, seen, limit, say)
                except vim.fault.TaskInProgress as busy:  # said at once, or by the task that was refused
                    self._let_end(busy.task, limit, say)
                    continue
                except (vmodl.MethodFault, Forgotten):  # somebody was faster, or a word was lost: what it is now tells
                    if change.made and (made := change.made(self.look(_POWER, *paths))):
                        return made
                    raise
                return result if result or not change.made else self._shown(change, paths)

    def _shown(self, change: Change, paths: Sequence[str]) -> Any:
        if made := change.made and change.made(self.look(_POWER, *paths)):
            return made
        raise Trouble("vCenter says that it was done, but the VM does not show it; look at it in vCenter")

    def _started(self, change: Change, seen: Seen, limit: Limit, say: Say) -> Any:
        """What the change's task came to."""
        try:
            task = self._session.change(lambda: change.start(seen))
        except AnswerLost as lost:
            say(str(lost))
            known = {task._moId for task, _ in seen.tasks}
            if (arrived := self._arrived(change, known, lost, limit)) is None:
                return None
            task = arrived
        return self._session.wait(task, self.vm, limit, say)

    def _arrived(self, change: Change, known: set[str], lost: AnswerLost, limit: Limit) -> vim.Task | None:
        """The task that came of a change whose answer was lost; None where the VM shows that it was made.

        Raises Trouble where neither comes to light; a silence of vCenter's is outlived, as by any wait for a task.
        """
        arriving, patience = Limit.of(ARRIVING), Limit.of(PATIENCE)
        while True:
            try:
                seen = self.look(_POWER, "snapshot", "runtime.consolidationNeeded")
            except Unreachable as gone:
                if not patience.left:
                    raise Trouble(f"{lost}, and then {gone}; look at the VM, then let the step run again") from gone
                limit.pause(1.0)
                arriving = Limit.of(ARRIVING)
                continue
            for task, info in seen.tasks:
                if task._moId not in known and change.kind in str(info.get("info.descriptionId")).lower():
                    return task
            if change.made and change.made(seen):
                return None
            if not arriving.left:
                raise Trouble(
                    f"{lost}; nothing came of it so far. Look at the VM, then let the step run again"
                ) from lost
            limit.pause(0.5)

    def _let_end(self, task: vim.Task | None, limit: Limit, say: Say) -> None:
        say("something else is under way on the VM: waiting for its end")
        limit.pause(0.1)
        if task is None:
            return limit.pause(1.0)
        with suppress(vmodl.MethodFault, Forgotten):  # how another's task ends is not ours to judge
            self._session.wait(task, self.vm, limit, say)

    def look(self, *paths: str) -> Seen:
        """These properties, and more that is in the same answer. Raises Trouble where the VM is another one now."""
        wanted: dict[type, Sequence[str]] = {
            vim.VirtualMachine: tuple(dict.fromkeys((*paths, "name", "config.instanceUuid"))),
            vim.Datastore: snapshots.DATASTORE,
            vim.Task: INFO,
        }
        try:
            found = self._session.around(self.vm, ("datastore", "recentTask"), wanted)
        except vmodl.fault.ManagedObjectNotFound as gone:
            raise self._another("is gone") from gone
        told = next(told for thing, told in found if thing._moId == self.vm._moId)
        uuid = told.get("config.instanceUuid")
        if uuid != self._uuid:
            raise self._another(f"has the instance UUID {uuid} now")
        if self._named.lower() != uuid and told.get("name") != self._named.rpartition("/")[2]:
            raise self._another(f"is called {told.get('name')} now")
        return Seen(
            {path: told.get(path) for path in wanted[vim.VirtualMachine]},
            {thing._moId: told for thing, told in found if isinstance(thing, vim.Datastore)},
            [(thing, told) for thing, told in found if isinstance(thing, vim.Task)],
        )

    def _another(self, what: str) -> Trouble:
        return Trouble(
            f"the VM {self._named} ({self._uuid}) that was found in {self._session.name} {what}: nothing more is done "
            "to it. The next run looks for it anew"
        )

    def _our(self, wanted: str, ledger: str, seen: Seen) -> vim.vm.Snapshot:
        found = [each for each in snapshots.tree(seen.told) if wanted in (each.name, each.snapshot._moId)]
        one = self._one(found, wanted, seen)
        if not one.name.startswith(snapshots.token(ledger)):
            raise Trouble(
                f"the snapshot {wanted} is called “{one.name}”: it is not ours to touch. See to it in vCenter"
            )
        return one.snapshot

    @staticmethod
    def _one(found: Sequence[vim.vm.SnapshotTree], wanted: str, seen: Seen) -> vim.vm.SnapshotTree:
        if len(found) == 1:
            return found[0]
        there = ", ".join(f"{each.name} ({each.snapshot._moId})" for each in snapshots.tree(seen.told)) or "none"
        raise Trouble(f"{len(found)} snapshots are {wanted} instead of one; there are: {there}")


def find(session: Session, named: str) -> Machine:
    """The one VM of that instance UUID, inventory path or name. Raises Trouble, with what was found instead."""
    with in_words():
        found = _find(session, named)
        if len(found) != 1:
            there = ": " + ", ".join(sorted(_path(session, vm) for vm, _ in found)) if found else ""
            mend = "give its inventory path or instance UUID" if found else "see what the user may see in vCenter"
            raise Trouble(f"{session.name} has {len(found) or 'no'} VMs {named}{there}; {mend}")
        if not found[0].uuid:  # a VM that is being made, or that its host does not tell of
            raise Trouble(f"{session.name} does not tell the instance UUID of {named}")
        session.found[named] = found[0]
        return known(session, named)


def known(session: Session, named: str) -> Machine:
    """The VM that was found by that name, path or UUID last; found now where none was.

    Each of its methods sees to it that it is still that one: only `find` takes another one for it.
    """
    if named not in session.found:
        return find(session, named)
    center = session.read(lambda content: content.about.instanceUuid)
    return Machine(session, named, session.found[named], f"{center}/{session.found[named].uuid}")


def _find(session: Session, named: str) -> list[Found]:
    uuid = "config.instanceUuid"
    if "/" not in named:
        each = session.each_vm(["name", uuid])
        return [
            Found(vm, told.get(uuid))
            for vm, told in each
            if named.lower() == told.get(uuid) or named == told.get("name")
        ]
    path = named.strip("/")
    found = session.read(lambda content: content.searchIndex.FindByInventoryPath(path))
    if not isinstance(found, vim.VirtualMachine):
        return []
    return [Found(found, session.properties(found, [uuid])[uuid])]


def _path(session: Session, thing: Any) -> str:
    """Where something is in the inventory: /datacenter/vm/folder/name."""
    steps: list[str] = []
    while thing is not None:
        told = session.properties(thing, ["name", "parent"])
        steps.append(told["name"] or "?")
        thing = told["parent"]
    return "/" + "/".join(reversed(steps[:-1]))


def _consolidated(seen: Seen) -> bool:
    return not seen.told["runtime.consolidationNeeded"]


@contextmanager
def in_words() -> Iterator[None]:
    """What vSphere refuses, as a sentence."""
    try:
        yield
    except vim.fault.NoPermission as fault:
        raise Trouble(f"vCenter refuses: the user lacks the privilege {fault.privilegeId}") from fault
    except vmodl.MethodFault as fault:
        raise Trouble(f"vCenter refuses: {words(fault)}") from fault
