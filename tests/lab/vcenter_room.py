"""A lab's vCenter in a thread of the tests' own process, and how a client reads it."""

import asyncio
import http.client
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from pyVim.connect import SmartConnect
from pyVmomi import vim, vmodl

from lab.inventory import Inventory
from lab.machines import Machine
from lab.records import Guest
from lab.vcenter import create_app, make_certificates
from lab.vcenter.core import VCenter

DEADLINE = 20
USER, PASSWORD = "bot@vsphere.local", "s3cret <&>"
GUEST, SECRET = "root", "in & out"
Query = vmodl.query.PropertyCollector


class Server:
    """A lab's vCenter in a thread of its own: `ask` runs something in its event loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = Inventory(folder, tools=folder / "tools")
        isolated = self.inventory.add_port_group("isolated-staging", self.inventory.add_switch("vSwitch1"))
        uplinked = self.inventory.add_switch("vSwitch0", uplinks=["vmnic0"])
        lan = self.inventory.add_port_group("prod-lan", uplinked)
        self.inventory.add_port_group("Management", uplinked, vmkernel={"vmk0": "192.0.2.1"})
        self.web = self.inventory.add(
            "staging-web", address="127.0.0.2", networks=[isolated], power="poweredOff", guest=Guest(GUEST, SECRET)
        )
        self.db = self.inventory.add("staging-db", address="127.0.0.3", networks=[isolated], power="poweredOff")
        self.prod = self.inventory.add("prod-web-1", address="127.0.0.4", networks=[lan], guest=Guest(GUEST, SECRET))
        self.inventory.add("prod-db", address="127.0.0.5", networks=[lan])
        self.ca_file, cert_file, key_file = make_certificates(folder / "tls")
        app = create_app(self.inventory, USER, PASSWORD)
        self.vcenter: VCenter = app.state.vcenter
        self.server = uvicorn.Server(
            uvicorn.Config(
                app,
                port=0,
                ssl_certfile=cert_file,
                ssl_keyfile=key_file,
                timeout_keep_alive=1000,
                timeout_graceful_shutdown=1,
                lifespan="off",
                log_config=None,
            )
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),))
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]

    async def _serve(self) -> None:
        await self.inventory.start()
        await self.server.serve()

    def ask(self, what: Any) -> Any:
        """The result of a coroutine of the server's loop."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(DEADLINE)

    def connect(self) -> vim.ServiceInstance:
        """A new login, verified by the lab's own CA."""
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        return SmartConnect(host="127.0.0.1", port=self.port, user=USER, pwd=PASSWORD, sslContext=trust)

    def http(self, method: str, url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """The status and the body of one request; the host of `url` is filled in where it is `*` or missing."""
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        path = url.removeprefix("https://*")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=DEADLINE, context=trust)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """Ends the server and every process of its VMs."""
        self.ask(self.vcenter.close())
        self.ask(self.inventory.stop())
        self.server.should_exit = True
        self.thread.join(DEADLINE)
        self.loop.close()


def vm_of(si: vim.ServiceInstance, machine: Machine) -> vim.VirtualMachine:
    """The VM of a machine, by its instance UUID."""
    [vm] = si.content.searchIndex.FindAllByUuid(None, machine.instance_uuid, True, True)
    return vm


def watch(si: vim.ServiceInstance, obj: Any, paths: list[str]) -> Query:
    """A collector of its own with a filter on some properties of one object."""
    collector = si.content.propertyCollector.CreatePropertyCollector()
    spec = Query.FilterSpec(
        objectSet=[Query.ObjectSpec(obj=obj)], propSet=[Query.PropertySpec(type=type(obj), pathSet=paths)]
    )
    collector.CreateFilter(spec, False)
    return collector


def changes(update: Any) -> dict[str, Any]:
    """The properties in an UpdateSet about one object."""
    return {change.name: change.val for one in update.filterSet for obj in one.objectSet for change in obj.changeSet}


def finish(si: vim.ServiceInstance, task: vim.Task) -> vim.TaskInfo:
    """The info of a task that has ended, awaited by WaitForUpdatesEx."""
    collector = watch(si, task, ["info.state"])
    version, end = "", time.monotonic() + DEADLINE
    while time.monotonic() < end:
        update = collector.WaitForUpdatesEx(version, Query.WaitOptions(maxWaitSeconds=DEADLINE))
        version = update.version
        if changes(update)["info.state"] in ("success", "error"):
            collector.DestroyPropertyCollector()
            return task.info
    raise AssertionError("the task never ended")


def done(si: vim.ServiceInstance, task: vim.Task) -> Any:
    """The result of a task that must succeed."""
    info = finish(si, task)
    assert (info.state, info.error) == ("success", None)
    return info.result


def read(si: vim.ServiceInstance, objects: list[Any], paths: list[str]) -> dict[str, dict[str, Any]]:
    """Exactly these properties of these VMs in one call, by MoID."""
    spec = Query.FilterSpec(
        objectSet=[Query.ObjectSpec(obj=obj) for obj in objects],
        propSet=[Query.PropertySpec(type=vim.VirtualMachine, pathSet=paths)],
    )
    result = si.content.propertyCollector.RetrievePropertiesEx([spec], Query.RetrieveOptions())
    return {content.obj._moId: {prop.name: prop.val for prop in content.propSet} for content in result.objects}


def edit(device: Any) -> vim.vm.device.VirtualDeviceSpec:
    """The change of one device."""
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)


def cards_of(vm: vim.VirtualMachine) -> list[vim.vm.device.VirtualEthernetCard]:
    """The network cards of a VM."""
    return [device for device in vm.config.hardware.device if isinstance(device, vim.vm.device.VirtualEthernetCard)]


def until(true: Any, what: str) -> None:
    """Returns once `true()` is."""
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)
