"""What tells whether a network is isolated, as the lab's vCenter tells it."""

from pyVmomi import vim
from vcenter_room import Server


def test_isolation_can_be_judged_from_the_hosts_network(server: Server, si: vim.ServiceInstance) -> None:
    [host] = si.content.viewManager.CreateContainerView(si.content.rootFolder, [vim.HostSystem], True).view
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
