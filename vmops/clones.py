"""Touches a staging VM and a clone of another: makes the clone, puts it in the place of the VM, or takes it back."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pyVmomi import vim

from plans.actions import Cloned
from vmops import snapshots
from vmops.machine import Change, Machine, Seen, find, in_words, known
from vmops.networks import cards
from vmops.tasks import OPEN, Say
from vmops.transport import Limit, Trouble
from vmops.vcenter import Found, Session

_WHOLE = "moveAllDiskBackingsAndDisallowSharing"
"""Disks of the clone's own: it depends on nothing of the VM that it was made from."""

_OURS = ("parent", "resourcePool", "runtime.host", "datastore", "config.files.vmPathName", "config.hardware.device")


class Family(NamedTuple):
    """The VM that has the name, the clone while it waits for it, and the VM that had it; None where there is none."""

    present: Machine | None
    clone: Machine | None
    before: Machine | None


class Clones:
    """The making of one VM anew. `named`: its name or inventory path; `token`: what the clone is called until then.

    Nothing is powered on here. Each method looks how far it is, so that it may be called again after a crash; only VMs
    whose names carry the token are destroyed. All raise Trouble, Unreachable, Refused, Cancelled.
    """

    def __init__(self, session: Session, named: str, token: str) -> None:
        self._session, self._named, self._token = session, named, token
        self._name, self._before = named.rstrip("/").rpartition("/")[2], f"{token}-before"

    def put(self, source: str, fresh: bool, ledger: str, limit: Limit, say: Say) -> Cloned:
        """A clone of the VM `source` has the name, off and on the networks of the VM that had it, which is kept aside.

        Whichever of them runs is powered off first. The clone is made of a snapshot: one taken for it and removed after
        it (`fresh`), or the latest that there is.
        """
        family = self._family()
        for each in family:
            if each is not None:
                each.power(False, limit, say)
        old = family.before or family.present
        if not family.before and not self._is_clone(family.present):
            if family.clone is None:
                self._make(find(self._session, source), family.present, fresh, ledger, limit, say)
            self._rename(self._found(self._named), self._before, limit, say)
        if (clone := self._family().clone) is not None:
            self._rename(clone, self._name, limit, say)
        if fresh:
            find(self._session, source).remove_snapshot(self._token, ledger, limit, say)
        new = self._found(self._named)
        return Cloned(new.identity, old.identity if old else "", self._as_of(new))

    def take_back(self, source: str, ledger: str, limit: Limit, say: Say) -> None:
        """The VM that had the name has it again, and the clone is gone, as is the snapshot that was taken for it."""
        try:
            family = self._family()
            if family.before and family.present:
                if not self._is_clone(family.present):
                    raise Trouble(f"{self._name} is not the clone that was put there")
                self._rename(family.present, self._token, limit, say)
            if family.before:
                self._rename(family.before, self._name, limit, say)
            origin = find(self._session, source)
            if any(_cloning(info) for _, info in origin.look().tasks):
                raise Trouble(f"vCenter is still making a clone of {source}: delete {self._token} when it has ended")
            if clone := self._family().clone:
                self._destroy(clone, limit, say)
            origin.remove_snapshot(self._token, ledger, limit, say)
        except Trouble as trouble:
            raise Trouble(f"{trouble}. There are: {self._there()}") from trouble

    def end(self, limit: Limit, say: Say) -> None:
        """The VM that had the name is destroyed, with its disks and snapshots."""
        if before := self._family().before:
            self._destroy(before, limit, say)

    def _make(self, source: Machine, present: Machine | None, fresh: bool, ledger: str, limit: Limit, say: Say) -> None:
        if present is None or source.identity == present.identity:
            raise Trouble(f"{self._named} cannot be made anew from itself" if present else f"there is no {self._named}")
        if fresh:
            source.take_snapshot(self._token, f"for a clone as {self._named}", ledger, limit, say)
        with in_words():
            snapshot = self._snapshot(source, fresh)
            ours = self._session.properties(present.vm, _OURS)
            theirs = self._session.properties(snapshot.snapshot, ["config.hardware.device"])["config.hardware.device"]
            datastore = self._datastore(ours)
        if not ours["parent"] or ours["config.hardware.device"] is None or theirs is None:
            raise Trouble(f"vCenter does not tell enough of {self._named} and of what it is to be made from")
        spec = vim.vm.CloneSpec(
            location=vim.vm.RelocateSpec(
                host=ours["runtime.host"], pool=ours["resourcePool"], datastore=datastore, diskMoveType=_WHOLE
            ),
            snapshot=snapshot.snapshot,
            powerOn=False,
            template=False,
            config=vim.vm.ConfigSpec(
                annotation=f"{self._token}: a clone, as of {_utc(snapshot.createTime).isoformat()}",
                deviceChange=list(_moved(cards(theirs), cards(ours["config.hardware.device"]))),
            ),
        )

        def made(seen: Seen) -> Any:
            return None if any(_cloning(info) for _, info in seen.tasks) else self._family().clone

        def start(_: Seen) -> vim.Task:
            task: vim.Task = source.vm.CloneVM_Task(ours["parent"], self._token, spec)
            return task

        source.make(Change("clone", start, made), limit, say)

    def _snapshot(self, source: Machine, fresh: bool) -> vim.vm.SnapshotTree:
        found = snapshots.tree(source.look("snapshot").told)
        if fresh:
            return next(each for each in found if each.name == self._token)
        if not found:
            raise Trouble("what it is to be made from has no snapshot; take one there, or say snapshot: fresh")
        return max(found, key=lambda each: _utc(each.createTime))

    def _datastore(self, ours: Any) -> Any:
        """The datastore where the VM's own definition lies: its clone goes there too, not to where prod's disks are."""
        names = self._session.properties_of(ours["datastore"] or (), ["name"])
        path = ours["config.files.vmPathName"] or ""
        here = [one for one in ours["datastore"] or () if path.startswith(f"[{names[one._moId]['name']}]")]
        return here[0] if here else None

    def _rename(self, machine: Machine, name: str, limit: Limit, say: Say) -> None:
        say(f"{machine.identity.partition('/')[2]} is called {name} from now on")

        def start(_: Seen) -> vim.Task:
            task: vim.Task = machine.vm.Rename_Task(name)
            return task

        by_uuid = self._known(Found(machine.vm, machine.identity.partition("/")[2]))
        by_uuid.make(Change("rename", start, lambda seen: seen.told["name"] == name), limit, say)

    def _destroy(self, machine: Machine, limit: Limit, say: Say) -> None:
        machine.power(False, limit, say)
        say(f"{machine.identity.partition('/')[2]} is destroyed")

        def start(_: Seen) -> vim.Task:
            task: vim.Task = machine.vm.Destroy_Task()
            return task

        try:
            machine.make(Change("destroy", start, None), limit, say)
        except Trouble:  # a VM that is gone tells nothing any more
            family = self._family()
            if machine.identity in [each.identity for each in (family.clone, family.before) if each]:
                raise

    def _family(self) -> Family:
        uuid = "config.instanceUuid"
        with in_words():
            each = self._session.each_vm(["name", uuid])
        by_name: dict[str, list[Machine]] = {}
        for vm, told in each:
            if told.get("name") in (self._token, self._before) and told.get(uuid):
                by_name.setdefault(told["name"], []).append(self._known(Found(vm, told[uuid])))
        for name, found in by_name.items():
            if len(found) > 1:
                raise Trouble(f"there are {len(found)} VMs {name}: remove those that nobody needs")
        clone, before = (next(iter(by_name.get(name, ())), None) for name in (self._token, self._before))
        between = clone is not None and before is not None
        return Family(None if between else self._found(self._named), clone, before)

    def _found(self, named: str) -> Machine:
        found = find(self._session, named)
        return self._known(Found(found.vm, found.identity.partition("/")[2]))

    def _known(self, found: Found) -> Machine:
        """The VM by its instance UUID, whatever it is called."""
        assert found.uuid
        self._session.found[found.uuid] = found
        return known(self._session, found.uuid)

    def _annotation(self, machine: Machine) -> str:
        with in_words():
            return str(self._session.properties(machine.vm, ["config.annotation"])["config.annotation"] or "")

    def _is_clone(self, machine: Machine | None) -> bool:
        return machine is not None and self._annotation(machine).startswith(f"{self._token}:")

    def _as_of(self, machine: Machine) -> float:
        told = re.search(r"as of (\S+)$", self._annotation(machine))
        return datetime.fromisoformat(told[1]).timestamp() if told else 0.0

    def _there(self) -> str:
        """What is called by one of the names now."""
        with in_words():
            each = [told.get("name") for _, told in self._session.each_vm(["name"])]
        return ", ".join(name for name in each if name in (self._name, self._token, self._before)) or "none of its VMs"


def _moved(theirs: list[Any], ours: list[Any]) -> Iterator[vim.vm.device.VirtualDeviceSpec]:
    """The cards of what is cloned, each on the network of the staging VM's own card, and connected as that was.

    A card more than staging had is taken out.
    """
    for at, card in enumerate(theirs):
        if at >= len(ours):
            yield vim.vm.device.VirtualDeviceSpec(operation="remove", device=card)
            continue
        own = ours[at]
        card.backing = own.backing
        if isinstance(own.backing, vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo):
            port = own.backing.port
            fresh = vim.dvs.PortConnection(switchUuid=port.switchUuid, portgroupKey=port.portgroupKey)
            card.backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=fresh)
        card.addressType, card.macAddress = "generated", None
        was = own.connectable
        card.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
            connected=bool(was and was.startConnected),
            startConnected=bool(was and was.startConnected),
            allowGuestControl=bool(was and was.allowGuestControl),
        )
        yield vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)


def _cloning(info: Any) -> bool:
    return info.get("info.state") in OPEN and "clone" in str(info.get("info.descriptionId")).lower()


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
