"""Decides which privileges of vCenter Quarterdeck needs on what, and says what for (docs/vcenter-role.md)."""

from plans.environment import Host, Neighbour

STAGING = {
    "VirtualMachine.Interact.PowerOn": "staging is powered on once it is proved isolated",
    "VirtualMachine.Interact.PowerOff": "a VM is off before it is reverted, and stays off until it is proved isolated",
    "VirtualMachine.State.CreateSnapshot": "the snapshot before each deployment",
    "VirtualMachine.State.RevertToSnapshot": "the way back to it",
    "VirtualMachine.State.RemoveSnapshot": "it goes when the next one is taken; disks are consolidated",
    "VirtualMachine.Config.EditDevice": "a network card on a wrong network is taken off it",
    "VirtualMachine.Interact.DeviceConnection": "that card is disconnected, now and at power-on",
}
BESIDE = {
    "VirtualMachine.Interact.PowerOn", "VirtualMachine.Config.EditDevice", "VirtualMachine.Interact.DeviceConnection"
}  # fmt: skip
"""What is needed of those on a VM beside staging's hosts: it is not reverted."""
PROD = {
    "VirtualMachine.State.CreateSnapshot": "the snapshot before each promotion",
    "VirtualMachine.State.RemoveSnapshot": "it goes before it is too old; disks are consolidated",
}
CLONED = {
    "VirtualMachine.Config.Rename": "the clone gets the name of the VM that it replaces",
    "VirtualMachine.Config.Annotation": "the clone says of which run and of which time it is",
    "VirtualMachine.Inventory.Delete": "the VM that was replaced is destroyed",
}
SOURCE = {
    "VirtualMachine.Provisioning.Clone": "staging is made anew from it",
    "VirtualMachine.State.CreateSnapshot": "the snapshot that a clone is made of",
    "VirtualMachine.State.RemoveSnapshot": "it goes when the clone is made; disks are consolidated",
}
AROUND = {
    "folder": {
        "VirtualMachine.Inventory.CreateFromExisting": "the clone is made in it",
        "VirtualMachine.Inventory.Delete": "the VM that was replaced is destroyed in it",
    },
    "resource pool": {"Resource.AssignVMToPool": "the clone is put into it"},
    "datastore": {"Datastore.AllocateSpace": "the clone's disks lie on it"},
    "network": {"Network.Assign": "the clone's network cards are put on it"},
}
"""Of a VM that is cloned anew: where the clone will be."""
GUEST = {
    "VirtualMachine.GuestOperations.Execute": "steps are started and stopped through VMware Tools",
    "VirtualMachine.GuestOperations.Modify": "archives are uploaded, and each step's files written",
    "VirtualMachine.GuestOperations.Query": "output and exit codes are read back",
}


def needed(host: Host, *, staging: bool, prod: bool, cloned: bool = False, source: bool = False) -> dict[str, str]:
    """What is needed on the host's VM, and why, by privilege id; it may be `cloned` anew, or be a clone's `source`."""
    beside = isinstance(host, Neighbour)
    return {
        **(SOURCE if source else {}),
        **{name: why for name, why in STAGING.items() if staging and (name in BESIDE or not beside)},
        **(PROD if prod and host.protection == "snapshot" else {}),
        **(CLONED if cloned else {}),
        **(GUEST if host.guest else {}),
    }
