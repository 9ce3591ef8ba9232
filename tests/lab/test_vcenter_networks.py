"""What tells whether a network is isolated, as the lab's vCenter tells it."""

from typing import Any

import pytest
from pyVmomi import vim
from vcenter_room import Server, cards_of, done, edit, finish, vm_of

from lab.networks import DistributedSwitch

Card = vim.vm.device.VirtualEthernetCard


def hosts_of(si: vim.ServiceInstance) -> list[vim.HostSystem]:
    """All ESXi hosts."""
    return list(si.content.viewManager.CreateContainerView(si.content.rootFolder, [vim.HostSystem], True).view)


def network_of(si: vim.ServiceInstance, name: str) -> Any:
    """The network of that name."""
    return si.content.searchIndex.FindByInventoryPath(f"lab/network/{name}")


def put_on(si: vim.ServiceInstance, vm: vim.VirtualMachine, backing: Any) -> vim.TaskInfo:
    """The end of the task that gives a VM's only card another backing."""
    [card] = cards_of(vm)
    card.backing = backing
    return finish(si, vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[edit(card)])))


def test_isolation_can_be_judged_from_the_hosts_network(server: Server, si: vim.ServiceInstance) -> None:
    [host] = hosts_of(si)
    network = host.config.network
    switches = {switch.key: switch for switch in network.vswitch}
    uplinks = {group.spec.name: [*switches[group.vswitch].pnic] for group in network.portgroup}
    assert uplinks["isolated-staging"] == []
    assert uplinks["prod-lan"] == [pnic.key for pnic in network.pnic]
    assert [(vnic.device, vnic.portgroup, vnic.spec.ip.ipAddress) for vnic in network.vnic] == [
        ("vmk0", "Management", "192.0.2.1")
    ]
    [isolated] = [one for one in host.network if one.name == "isolated-staging"]
    assert [vm.name for vm in isolated.vm] == ["staging-web", "staging-db"]


def test_a_port_group_of_one_name_on_two_hosts_is_one_network_with_two_ways_out(
    server: Server, si: vim.ServiceInstance
) -> None:
    second = server.inventory.add_host("esxi-2.lab", pnics=["vmnic7"])
    leak = server.inventory.add_switch("vSwitch5", uplinks=["vmnic3", "vmnic4"], host=second)
    server.inventory.add_port_group("isolated-staging", leak, vlan=99, active=["vmnic4"])
    names = [host.name for host in hosts_of(si)]
    assert names == ["esxi-1.lab", "esxi-2.lab"]
    isolated = network_of(si, "isolated-staging")
    assert isolated.host == hosts_of(si)
    assert [network.name for network in isolated.parent.childEntity].count("isolated-staging") == 1
    away = hosts_of(si)[1].config.network
    [group] = away.portgroup
    assert (group.spec.vlanId, group.spec.vswitchName) == (99, "vSwitch5")
    assert group.computedPolicy.nicTeaming.nicOrder.activeNic == ["vmnic4"]
    assert [pnic.device for pnic in away.pnic] == ["vmnic3", "vmnic4", "vmnic7"]
    assert away.vnic == []
    assert hosts_of(si)[1].network == [isolated]
    assert (hosts_of(si)[1].vm, vm_of(si, server.web).runtime.host.name) == ([], "esxi-1.lab")
    [_, cluster_host] = hosts_of(si)[0].parent.host
    assert cluster_host.name == "esxi-2.lab"


@pytest.fixture
def switch(server: Server) -> DistributedSwitch:
    """A distributed switch with a network without uplinks, one with, one that is a trunk; a VMkernel port on one."""
    inventory = server.inventory
    second = inventory.add_host("esxi-2.lab")
    switch = inventory.add_distributed_switch(
        "DSwitch", {inventory.hosts[0]: [], second: ["vmnic5"]}, uplinks=["Uplink 1", "Uplink 2"]
    )
    inventory.add_distributed_port_group("dv-dark", switch, vlan=1234, active=[])
    inventory.add_distributed_port_group("dv-lan", switch).vmkernel.append((second.moid, "vmk9", "192.0.2.9"))
    inventory.add_distributed_port_group("dv-trunk", switch, vlan=[(1, 99), (200, 300)])
    return switch


def test_a_distributed_switch_tells_its_uplinks_members_and_vlans(
    server: Server, si: vim.ServiceInstance, switch: DistributedSwitch
) -> None:
    dvs = network_of(si, "DSwitch")
    assert isinstance(dvs, vim.dvs.VmwareDistributedVirtualSwitch)
    assert (dvs.uuid, dvs.config.uuid, dvs.summary.numHosts) == (switch.uuid, switch.uuid, 2)
    assert dvs.config.uplinkPortPolicy.uplinkPortName == ["Uplink 1", "Uplink 2"]
    members = {
        one.config.host.name: [pnic.pnicDevice for pnic in one.config.backing.pnicSpec] for one in dvs.config.host
    }
    assert members == {"esxi-1.lab": [], "esxi-2.lab": ["vmnic5"]}
    [uplinks] = dvs.config.uplinkPortgroup
    assert uplinks.config.uplink is True
    groups = {group.name: group.config.defaultPortConfig for group in dvs.portgroup if group != uplinks}
    orders = {name: list(one.uplinkTeamingPolicy.uplinkPortOrder.activeUplinkPort) for name, one in groups.items()}
    both = ["Uplink 1", "Uplink 2"]
    assert orders == {"dv-dark": [], "dv-lan": both, "dv-trunk": both}
    assert groups["dv-dark"].vlan.vlanId == 1234
    assert [(span.start, span.end) for span in groups["dv-trunk"].vlan.vlanId] == [(1, 99), (200, 300)]
    assert all(group.config.distributedVirtualSwitch == dvs for group in dvs.portgroup)

    first, second = (host.config.network for host in hosts_of(si))
    assert [(proxy.dvsUuid, [*proxy.pnic]) for proxy in first.proxySwitch] == [(switch.uuid, [])]
    assert [[*proxy.pnic] for proxy in second.proxySwitch] == [[pnic.key for pnic in second.pnic]]
    [vmkernel] = second.vnic
    assert (vmkernel.device, vmkernel.portgroup) == ("vmk9", "")
    assert vmkernel.spec.distributedVirtualPort.portgroupKey == network_of(si, "dv-lan").key


def test_a_card_moves_to_a_distributed_port_group_and_to_an_opaque_network(
    server: Server, si: vim.ServiceInstance, switch: DistributedSwitch
) -> None:
    vm, dark = vm_of(si, server.web), network_of(si, "dv-dark")
    port = vim.dvs.PortConnection(switchUuid=switch.uuid, portgroupKey=dark.key)
    assert put_on(si, vm, Card.DistributedVirtualPortBackingInfo(port=port)).state == "success"
    [card] = cards_of(vm)
    assert (card.backing.port.portgroupKey, card.backing.port.switchUuid) == (dark.key, switch.uuid)
    assert (list(vm.network), list(dark.vm)) == ([dark], [vm])
    assert list(network_of(si, "DSwitch").summary.vm) == [vm]

    nsx = server.inventory.add_opaque_network("segment-7")
    backing = Card.OpaqueNetworkBackingInfo(opaqueNetworkId=nsx.id, opaqueNetworkType=nsx.kind)
    assert put_on(si, vm, backing).state == "success"
    [card] = cards_of(vm)
    assert card.backing.opaqueNetworkId == nsx.id
    [opaque] = vm.network
    assert isinstance(opaque, vim.OpaqueNetwork)
    assert (opaque.summary.opaqueNetworkId, list(opaque.vm)) == (nsx.id, [vm])
    [told] = hosts_of(si)[0].config.network.opaqueNetwork
    assert (told.opaqueNetworkName, told.opaqueNetworkType) == ("segment-7", "nsx.LogicalSwitch")

    lost = vim.dvs.PortConnection(switchUuid=switch.uuid, portgroupKey="dvportgroup-0")
    error = put_on(si, vm, Card.DistributedVirtualPortBackingInfo(port=lost)).error
    assert isinstance(error, vim.fault.InvalidDeviceBacking)


def test_a_vm_that_stands_in_two_networks_is_found_from_both(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.prod)
    second = vim.vm.device.VirtualVmxnet3(key=-1, backing=Card.NetworkBackingInfo(deviceName="isolated-staging"))
    add = vim.vm.device.VirtualDeviceSpec(operation="add", device=second)
    done(si, vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[add])))
    assert vm in network_of(si, "isolated-staging").vm
    assert vm in network_of(si, "prod-lan").vm
    assert len({card.macAddress for card in cards_of(vm)}) == 2
