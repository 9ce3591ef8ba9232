"""What is looked at and never changed, over every vCenter that the contract holds for."""

from datetime import UTC, datetime, timedelta

from vcenters import Center

from vmops import inspect
from vmops.machine import find
from vmops.vcenter import Session


def test_a_vcenter_and_a_vm_are_told_without_a_change(center: Center) -> None:
    session = Session(center.vcenter())
    try:
        about = inspect.about(session)
        assert abs(about.now - datetime.now(UTC)) < timedelta(seconds=30)
        assert int(about.api.split(".")[0]) >= 6
        vm = find(session, center.vm)
        seen = inspect.look(session, vm)
        assert (seen.power, seen.tools, seen.obstacles) == ("poweredOff", "guestToolsNotRunning", ())
        assert inspect.lacking(session, vm.vm, ["VirtualMachine.Interact.PowerOn"]) == ()
        places = {one.kind: one for one in inspect.around(session, vm)}
        assert {"folder", "resource pool", "datastore", "network"} == places.keys()
        assert (places["folder"].name, places["resource pool"].name) == ("vm", "Resources")
        assert center.tell("config.files.vmPathName").startswith(f"[{places['datastore'].name}]")
        assert inspect.lacking(session, places["network"].ref, ["Network.Assign"]) == ()
        assert inspect.networks(session)["isolated-staging" if center.name == "lab" else "VM Network"] == 1
    finally:
        session.close()
    assert not [call for call in center.wire.calls if call.endswith("_Task")]
