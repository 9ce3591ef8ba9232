"""What the doctor looks for on a VM beside staging's hosts."""

from bot.examinations.privileges import needed
from plans.environment import Guest, Neighbour


def test_it_needs_no_snapshot_and_is_not_powered_off() -> None:
    dc = Neighbour(name="dc", vcenter="main", vm="staging-dc")
    assert needed(dc, staging=True, prod=False).keys() == {
        "VirtualMachine.Interact.PowerOn",
        "VirtualMachine.Config.EditDevice",
        "VirtualMachine.Interact.DeviceConnection",
    }


def test_a_way_in_through_vmware_tools_needs_its_own() -> None:
    dc = Neighbour(name="dc", vcenter="main", vm="staging-dc", guest=Guest(username="u", password="p"))
    assert "VirtualMachine.GuestOperations.Execute" in needed(dc, staging=True, prod=False)
