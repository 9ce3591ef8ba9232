"""Decides how vSphere says what a VM of the lab refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyVmomi import vim, vmodl

from lab.inventory import NameTaken
from lab.machines import InvalidPower, Machine, SnapshotRefused
from lab.vm import SnapshotGone

_WORDS = {"poweredOn": "Powered on", "poweredOff": "Powered off"}


@contextmanager
def as_faults(machine: Machine, wanted: str | None = None) -> Iterator[None]:
    """What the VM refuses, as vSphere's fault; `wanted` is the power state that an InvalidPowerState names."""
    try:
        yield
    except InvalidPower as refused:
        raise vim.fault.InvalidPowerState(
            msg=f"The attempted operation cannot be performed in the current state ({_WORDS[refused.existing]}).",
            requestedState=wanted,
            existingState=refused.existing,
        ) from None
    except SnapshotGone as gone:
        raise vmodl.fault.ManagedObjectNotFound(
            msg=f"The snapshot {gone} of {machine.name} has already been deleted.", obj=vim.vm.Snapshot(str(gone))
        ) from None
    except SnapshotRefused as refused:
        raise vim.fault.SnapshotFault(msg=f"Cannot take a snapshot of {machine.name}: {refused}.") from None
    except NameTaken as taken:
        raise vim.fault.DuplicateName(
            msg=f"The name '{taken}' already exists.", name=str(taken), object=vim.VirtualMachine(taken.other.moid)
        ) from None
