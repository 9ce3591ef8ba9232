"""The VMs of a whole lab: what is cloned there is a host like the others, and the sample's staging is isolated."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim
from test_world import login, run, said
from vcenter_room import done, until

from lab.world import GUEST_USER, VCENTER_USER, World, open_world


@contextmanager
def vcenter_of(world: World) -> Iterator[vim.ServiceInstance]:
    """A login at the vCenter of a lab."""
    trust = ssl.create_default_context(cafile=str(world.folder / "vcenter" / "ca.pem"))
    password = (world.folder / "keys" / "vcenter-password").read_text()
    si = SmartConnect(host="127.0.0.1", port=world.kept.vcenter_port, user=VCENTER_USER, pwd=password, sslContext=trust)
    yield si
    Disconnect(si)
    si._stub.DropConnections()


def by_path(si: vim.ServiceInstance, name: str) -> Any:
    """The VM or network of that path in the datacenter."""
    return si.content.searchIndex.FindByInventoryPath(f"lab/{name}")


def rebuild_staging(world: World) -> tuple[str, str]:
    """Makes staging-web anew from prod-web-1's snapshot, and removes the old one; the new one's id and address."""
    with vcenter_of(world) as si:
        prod, old = by_path(si, "vm/prod-web-1"), by_path(si, "vm/staging-web")
        snapshot = done(si, prod.CreateSnapshot_Task("qd", "", False, False))
        spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), snapshot=snapshot, powerOn=False, template=False)
        new = done(si, prod.CloneVM_Task(old.parent, "staging-web.new", spec))
        done(si, old.Destroy_Task())
        done(si, new.Rename_Task("staging-web"))
        done(si, new.PowerOnVM_Task())
        password = (world.folder / "keys" / "guest-password").read_text()
        login = vim.vm.guest.NamePasswordAuthentication(username=GUEST_USER, password=password)
        until(lambda: new.guest.guestOperationsReady, "VMware Tools")
        si.content.guestOperationsManager.authManager.ValidateCredentialsInGuest(new, login)
        return new._moId, new.guest.ipAddress


def test_a_clone_is_a_host_of_its_own_with_the_sources_host_key(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_world(tmp_path) as world:
            await said(world, "prod-web-1", "echo cloned >mark")
            moid, address = await asyncio.to_thread(rebuild_staging, world)
            assert await said(world, "staging-web", "cat mark; echo $LAB_ADDRESS") == f"cloned\n{address}"
            lines = (world.folder / "keys" / "known_hosts").read_text().splitlines()
            keys = {line.split()[0]: line.split()[1:3] for line in lines}
            port = world.kept.ssh_port
            assert keys[f"[{address}]:{port}"] == keys[f"[{world.inventory.find('prod-web-1').address}]:{port}"]
            assert await said(world, "qa-web", "getent hosts staging-web | cut -d' ' -f1") == address
            assert len(lines) == len(world.inventory.machines) == len(world.hosts)
        async with open_world(tmp_path) as world:
            again = world.inventory.find("staging-web")
            assert (again.moid, again.power) == (moid, "poweredOn")
            assert [machine.name for machine in world.inventory.machines].count("staging-web") == 1
            async with login(world, "staging-web") as ssh:
                assert (await ssh.run("cat mark")).stdout == "cloned\n"

    run(story)


def test_nothing_leads_out_of_the_samples_staging(tmp_path: Path) -> None:
    def look(world: World) -> None:
        with vcenter_of(world) as si:
            staging = by_path(si, "network/isolated-staging")
            assert [host.name for host in staging.host] == ["esxi-1.lab", "esxi-2.lab"]
            ways_out = {}
            for host in staging.host:
                network = host.config.network
                switches = {switch.key: switch for switch in network.vswitch}
                vmkernel = {vnic.portgroup for vnic in network.vnic}
                ways_out[host.name] = {
                    group.spec.name: (len(switches[group.vswitch].pnic), group.spec.name in vmkernel)
                    for group in network.portgroup
                }
            expected = {
                "Management Network": (2, True),
                "prod-lan": (2, False),
                "qa-lan": (1, False),
                "isolated-staging": (0, False),
            }
            assert ways_out == {"esxi-1.lab": expected, "esxi-2.lab": expected}
            assert {vm.name for vm in staging.vm} == {"staging-web", "staging-db", "staging-spare"}
            assert {vm.runtime.host.name for vm in staging.vm} == {"esxi-2.lab"}  # such a switch ends at its host
            assert {network.name for vm in staging.vm for network in vm.network} == {"isolated-staging"}

    async def story() -> None:
        async with open_world(tmp_path) as world:
            await asyncio.to_thread(look, world)

    run(story)
