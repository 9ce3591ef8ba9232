"""Touches one vCenter to read where a VM's network cards lead: its networks, their switches and who else is there."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyVmomi import vim

from plans.networks import EVERY_VLAN, Network, Nic, Segment, View, Vlans, Vm
from vmops.vcenter import Session

Card = vim.vm.device.VirtualEthernetCard
Group = vim.dvs.DistributedVirtualPortgroup
Vds = vim.dvs.VmwareDistributedVirtualSwitch

_VM = ("name", "config.template", "config.hardware.device", "network")
_NETWORK = ("name", "host", "vm")
_GROUP = (*_NETWORK, "config.distributedVirtualSwitch", "config.defaultPortConfig", "config.policy")
_SWITCH = ("name", "uuid", "portgroup", "config.host", "config.uplinkPortgroup")
_HOST = (
    "name",
    "network",
    "config.network.vswitch",
    "config.network.portgroup",
    "config.network.proxySwitch",
    "config.network.vnic",
)

_TRUNK = 4095
"""How a standard port group says that its guests see every VLAN."""

_PASSED_THROUGH = (
    vim.vm.device.VirtualPCIPassthrough,
    vim.vm.device.VirtualSCSIPassthrough,
    vim.vm.device.VirtualUSB,
    vim.vm.device.VirtualSriovEthernetCard,
)


def look(session: Session, vm: vim.VirtualMachine, vcenter: str) -> View:
    """What vCenter tells of a VM's cards, of the networks behind them on every host, and of the other VMs there.

    `vcenter` is its instance UUID. Raises as `Session.properties`.
    """
    return _Look(session, vm).view(vcenter)


def cards(devices: Iterable[Any]) -> list[Any]:
    """The network cards among a VM's devices."""
    return [device for device in devices if isinstance(device, Card)]


def passing(devices: Iterable[Any]) -> list[Any]:
    """The network cards through which something passes, or could from the next power-on or by the guest's hand."""
    return [card for card in cards(devices) if _nic(card, None).reach != "no"]


def shut(card: Any) -> vim.vm.device.VirtualDeviceSpec:
    """The change after which nothing passes through that card."""
    card.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
        connected=False, startConnected=False, allowGuestControl=False
    )
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)


def label(device: Any) -> str:
    return str(device.deviceInfo.label if device.deviceInfo else f"device {device.key}")


class _Look:
    """One look: reads things of one kind in one call each, and keeps what was told of them, by reference."""

    def __init__(self, session: Session, vm: vim.VirtualMachine) -> None:
        self._session, self._vm = session, vm
        self._told: dict[str, dict[str, Any]] = {}

    def view(self, vcenter: str) -> View:
        self._read_vms([self._vm])
        own = _unique(self._behind(self._vm))
        self._read_networks(own)
        self._read((self._tell(one, "config.distributedVirtualSwitch") for one in own), _SWITCH)
        self._read((host for one in own for host in self._hosts(one) or ()), _HOST)
        beside = {one._moId: self._beside(one) for one in own}
        near = _unique([*own, *(other for others in beside.values() for other in others or ())])
        self._read_networks(near)
        vms = _unique([self._vm, *(vm for one in near for vm in self._tell(one, "vm") or ())])
        self._read_vms(vms)
        everywhere = _unique([*near, *(one for vm in vms for one in self._behind(vm))])
        self._read(everywhere, ("name",))
        return View(
            vcenter=vcenter,
            vm=self._vm._moId,
            vms={vm._moId: self._machine(vm) for vm in vms},
            networks={one._moId: self._network(one, beside) for one in everywhere},
        )

    # Asking.

    def _read(self, things: Iterable[Any], paths: Sequence[str]) -> None:
        """Asks for what was not told yet, the things of each type in one call."""
        by_type: dict[type, list[Any]] = {}
        for thing in _unique(things):
            if not self._told.get(thing._moId, {}).keys() >= set(paths):
                by_type.setdefault(type(thing), []).append(thing)
        for alike in by_type.values():
            for moid, told in self._session.properties_of(alike, paths).items():
                self._told.setdefault(moid, {}).update(told)

    def _read_vms(self, vms: Sequence[Any]) -> None:
        self._read(vms, _VM)
        seen = (one for vm in vms for one in self._tell(vm, "network") or ())
        self._read((one for one in seen if isinstance(one, vim.OpaqueNetwork)), ("name", "summary"))

    def _read_networks(self, networks: Sequence[Any]) -> None:
        self._read((one for one in networks if isinstance(one, Group)), _GROUP)
        self._read((one for one in networks if not isinstance(one, Group)), _NETWORK)

    def _tell(self, thing: Any, path: str) -> Any:
        """What was told, None where it was not, or where there is nothing that it could be told of."""
        return None if thing is None else self._told.get(thing._moId, {}).get(path)

    # VMs.

    def _behind(self, vm: Any) -> list[Any]:
        """The networks behind a VM's cards, those alone that are known."""
        found = cards(self._tell(vm, "config.hardware.device") or ())
        return [one for card in found if (one := self._leads_to(vm, card.backing))]

    def _leads_to(self, vm: Any, backing: Any) -> Any:
        match backing:
            case Card.NetworkBackingInfo():
                return backing.network
            case Card.DistributedVirtualPortBackingInfo() if backing.port.portgroupKey:
                return Group(backing.port.portgroupKey)
            case Card.OpaqueNetworkBackingInfo():
                for one in self._tell(vm, "network") or ():
                    summary = self._tell(one, "summary")
                    if summary and summary.opaqueNetworkId == backing.opaqueNetworkId:
                        return one
        return None

    def _machine(self, vm: Any) -> Vm:
        name, template = self._tell(vm, "name"), bool(self._tell(vm, "config.template"))
        if (devices := self._tell(vm, "config.hardware.device")) is None:
            return Vm(name=name, template=template)
        return Vm(
            name=name,
            template=template,
            nics=tuple(_nic(card, self._leads_to(vm, card.backing)) for card in cards(devices)),
            devices=tuple(label(device) for device in devices if isinstance(device, _PASSED_THROUGH)),
            shared=tuple(_shared(devices)),
        )

    # Networks.

    def _network(self, one: Any, beside: dict[str, Any]) -> Network:
        name, hosts = self._tell(one, "name"), self._hosts(one)
        if isinstance(one, vim.OpaqueNetwork):
            return Network(name=name, kind="opaque", vms=self._references(one, "vm"), beside=())
        others = beside.get(one._moId)
        setting, policy = self._tell(one, "config.defaultPortConfig"), self._tell(one, "config.policy")
        group = isinstance(one, Group)
        return Network(
            name=name,
            kind="distributed" if group else "standard",
            vlans=_vlans(setting) if group else self._standard_vlans(one),
            detached=group and _detached(setting, policy),
            segments=None if hosts is None else tuple(self._segment(one, host) for host in hosts),
            beside=None if others is None else tuple(other._moId for other in others),
            vms=self._references(one, "vm"),
        )

    def _references(self, thing: Any, path: str) -> tuple[str, ...] | None:
        there = self._tell(thing, path)
        return None if there is None else tuple(one._moId for one in there)

    def _hosts(self, one: Any) -> list[Any] | None:
        """Every host that has the network, the members of its distributed switch too."""
        hosts = self._tell(one, "host")
        if not isinstance(one, Group) or hosts is None:
            return None if hosts is None else list(hosts)
        members = self._tell(self._tell(one, "config.distributedVirtualSwitch"), "config.host")
        return None if members is None else _unique([*hosts, *(member.config.host for member in members)])

    def _beside(self, one: Any) -> list[Any] | None:
        """The other networks on the same switches; None where that was not told."""
        if isinstance(one, Group):
            switch = self._tell(one, "config.distributedVirtualSwitch")
            groups, uplinks = self._tell(switch, "portgroup"), self._tell(switch, "config.uplinkPortgroup")
            if groups is None or uplinks is None:
                return None
            return [group for group in groups if group not in uplinks and group._moId != one._moId]
        found: list[Any] = []
        for host in self._hosts(one) or ():
            there, port_groups = self._tell(host, "network"), self._tell(host, "config.network.portgroup")
            own = self._port_group(one, host)
            if there is None or own is None:
                return None
            names = {each.spec.name for each in port_groups if each.spec.vswitchName == own.spec.vswitchName}
            if names := names - {own.spec.name}:
                standard = [each for each in there if type(each) is vim.Network]
                self._read(standard, ("name",))
                found += [each for each in standard if self._tell(each, "name") in names]
        return _unique(found)

    def _port_group(self, one: Any, host: Any) -> Any:
        """A standard network as a host has it."""
        name = self._tell(one, "name")
        groups = self._tell(host, "config.network.portgroup") or ()
        return next((group for group in groups if group.spec.name == name), None)

    def _standard_vlans(self, one: Any) -> Vlans | None:
        """Those of all hosts that were read, which are those of the network that is looked at."""
        hosts = [moid for moid, told in self._told.items() if "config.network.portgroup" in told]
        groups = [group for moid in hosts if (group := self._port_group(one, vim.HostSystem(moid)))]
        ids = sorted({group.spec.vlanId for group in groups})
        return tuple(EVERY_VLAN[0] if each == _TRUNK else (each, each) for each in ids) or None

    def _segment(self, one: Any, host: Any) -> Segment:
        name = self._tell(host, "name") or host._moId
        if isinstance(one, Group):
            return self._distributed(self._tell(one, "config.distributedVirtualSwitch"), host, name)
        group = self._port_group(one, host)
        switches = self._tell(host, "config.network.vswitch") or ()
        switch = next((each for each in switches if group and each.name == group.spec.vswitchName), None)
        if switch is None:
            return Segment(host=name)
        groups = self._tell(host, "config.network.portgroup")
        on_it = {each.spec.name for each in groups if each.spec.vswitchName == switch.name}
        ports = self._tell(host, "config.network.vnic")
        kernel = None if ports is None else tuple(_port(port) for port in ports if port.portgroup in on_it)
        return Segment(host=name, switch=switch.name, uplinks=tuple(map(_device, switch.pnic)), kernel=kernel)

    def _distributed(self, switch: Any, host: Any, name: str) -> Segment:
        uuid = self._tell(switch, "uuid")
        members = [each for each in self._tell(switch, "config.host") or () if each.config.host == host]
        proxies = [
            each for each in self._tell(host, "config.network.proxySwitch") or () if uuid and each.dvsUuid == uuid
        ]
        pnics = [spec.pnicDevice for each in members for spec in getattr(each.config.backing, "pnicSpec", ())]
        pnics += [_device(key) for each in proxies for key in each.pnic]
        ports = self._tell(host, "config.network.vnic")
        on_it = [port for port in ports or () if (to := port.spec.distributedVirtualPort) and to.switchUuid == uuid]
        return Segment(
            host=name,
            switch=self._tell(switch, "name"),
            # The host says it itself; what vCenter has on file of a member comes on top.
            uplinks=tuple(dict.fromkeys(pnics)) if proxies else None,
            kernel=None if ports is None else tuple(map(_port, on_it)),
        )


def _unique(things: Iterable[Any]) -> list[Any]:
    return list({thing._moId: thing for thing in things if thing is not None}.values())


def _nic(card: Any, network: Any) -> Nic:
    now = card.connectable
    return Nic(
        label=label(card),
        network=network and network._moId,
        connected=now and now.connected,
        start_connected=now and now.startConnected,
        guest_control=now and now.allowGuestControl,
    )


def _shared(devices: Iterable[Any]) -> Iterator[str]:
    """The storage that other machines may write to, too."""
    for device in devices:
        backing = device.backing
        if isinstance(device, vim.vm.device.VirtualSCSIController) and device.sharedBus != "noSharing":
            yield f"{label(device)} shares its bus ({device.sharedBus})"
        elif isinstance(backing, vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo):
            yield f"{label(device)} is mapped from a LUN of the storage"
        elif getattr(backing, "sharing", None) not in (None, "sharingNone"):
            yield f"{label(device)} is shared ({backing.sharing})"


def _vlans(setting: Any) -> Vlans | None:
    """The VLANs of a distributed port group; a private one is not told apart from any."""
    match getattr(setting, "vlan", None):
        case Vds.VlanIdSpec() as one:
            return ((one.vlanId, one.vlanId),)
        case Vds.TrunkVlanSpec() as trunk:
            return tuple((each.start, each.end) for each in trunk.vlanId)
    return None


def _detached(setting: Any, policy: Any) -> bool:
    """Whether no uplink is active or standby for the port group, nor may be, or another VLAN, for a port of it."""
    order: Any = getattr(getattr(setting, "uplinkTeamingPolicy", None), "uplinkPortOrder", None)
    overrides = [getattr(policy, name, True) for name in ("uplinkTeamingOverrideAllowed", "vlanOverrideAllowed")]
    return order is not None and not [*order.activeUplinkPort, *order.standbyUplinkPort] and not any(overrides)


def _device(key: str) -> str:
    """`key-vim.host.PhysicalNic-vmnic0` -> `vmnic0`."""
    return key.rpartition("PhysicalNic-")[2]


def _port(port: Any) -> str:
    return f"{port.device} ({port.portgroup})" if port.portgroup else str(port.device)
