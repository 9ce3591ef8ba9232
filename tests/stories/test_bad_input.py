"""Whatever is wrong out there: the run ends errored, never failed, and says where, why, and what to do."""

import json
import re
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim
from stories.house import ADMIN, House

from bot.config import load_config
from bot.tales.story import Evening


@dataclass
class Place:
    """A house that stands for all of these, and its vCenter in an admin's hands."""

    house: House
    evening: Evening
    tls: ssl.SSLContext
    admin: Any

    def checked(self) -> dict[str, Any]:
        """How a check of staging ends."""
        return self.evening.finished(self.evening.started(ADMIN, "/stage check staging", "check"))

    def vm(self, name: str) -> Any:
        return self.admin.content.searchIndex.FindByInventoryPath(f"/lab/vm/{name}")

    def sets(self, method: str, path: str, **what: Any) -> None:
        """Sets what the lab's vCenter or a VM is like."""
        vcenter = load_config(self.house.config).config.vcenters["main"]
        url = f"https://{vcenter.host}:{vcenter.port}/lab/{path}"
        request = urllib.request.Request(url, json.dumps(what).encode(), method=method)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls)
        )
        opener.open(request, timeout=10).close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    house = House(tmp_path_factory.mktemp("bad") / "lab")
    try:
        evening = house.open()
        vcenter = load_config(house.config).config.vcenters["main"]
        tls = ssl.create_default_context(cafile=vcenter.ca_file)
        login = {"user": vcenter.username, "pwd": vcenter.password, "sslContext": tls}
        admin = SmartConnect(host=vcenter.host, port=vcenter.port, **login)
        yield Place(house, evening, tls, admin)
        Disconnect(admin)
    finally:
        house.close()


@contextmanager
def known_hosts(place: Place, change: Callable[[list[str], int], None]) -> Iterator[None]:
    """The lines of known_hosts with that of staging-db changed."""
    file = place.house.folder / "keys" / "known_hosts"
    before = file.read_text()
    address = load_config(place.house.config).environments["staging"].named()["db"].ssh
    assert address
    lines = before.splitlines()
    change(lines, next(at for at, line in enumerate(lines) if f"[{address.host}]" in line))
    file.write_text("\n".join((*lines, "")))
    try:
        yield
    finally:
        file.write_text(before)


def changed_key(place: Place) -> AbstractContextManager[None]:
    def change(lines: list[str], at: int) -> None:
        other = lines[at - 1]
        lines[at] = f"{lines[at].split()[0]} {other.split(maxsplit=1)[1]}"

    return known_hosts(place, change)


def unknown_host(place: Place) -> AbstractContextManager[None]:
    return known_hosts(place, lambda lines, at: lines.__delitem__(at))


@contextmanager
def wrong_password(place: Place) -> Iterator[None]:
    file = place.house.folder / "keys" / "vcenter-password"
    right = file.read_text()

    def given(password: str) -> None:
        file.write_text(password)
        place.house.kill_bot()
        place.house.start_bot()

    given("outdated")
    try:
        yield
    finally:
        given(right)


@contextmanager
def full_datastore(place: Place) -> Iterator[None]:
    place.sets("PUT", "datastore", capacity=10**12, free_space=10**6)
    try:
        yield
    finally:
        place.sets("PUT", "datastore")


@contextmanager
def pending_question(place: Place) -> Iterator[None]:
    asked = {"id": "1", "text": "msg.hbacommon.outofspace: no space", "choices": {"0": "Retry", "1": "Cancel"}}
    place.sets("PATCH", "machines/staging-db", question=asked)
    try:
        yield
    finally:
        vm = place.vm("staging-db")
        vm.AnswerVM("1", "0")
        for task in vm.recentTask:
            WaitForTask(task)


@contextmanager
def wrong_network(place: Place) -> Iterator[None]:
    vm = place.vm("staging-db")
    before = [device for device in vm.config.hardware.device if hasattr(device, "macAddress")]
    network = next(one for one in vm.runtime.host.network if one.name == "prod-lan")
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="prod-lan", network=network)

    def edit(device: Any) -> None:
        change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
        WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))

    edit(vim.vm.device.VirtualVmxnet3(key=before[0].key, backing=backing, connectable=before[0].connectable))
    try:
        yield
        left = next(device for device in vm.config.hardware.device if hasattr(device, "macAddress"))
        assert (left.connectable.connected, left.connectable.startConnected) == (False, False)
    finally:
        edit(before[0])


@contextmanager
def wrong_clock(place: Place) -> Iterator[None]:
    date = place.house.folder / "tools" / "date"
    date.write_text(
        '#!/bin/sh\n[ "$LAB_NAME" = staging-db ] || exec /bin/date "$@"\necho $(($(/bin/date +%s) - 600))\n'
    )
    date.chmod(0o755)
    try:
        yield
    finally:
        date.unlink()


BAD: dict[str, tuple[Callable[[Place], AbstractContextManager[None]], str, str]] = {
    "a host key that changed": (changed_key, "its host key is not the one in", "ssh-keygen -R"),
    "an unknown host": (unknown_host, "its host key is unknown", "ssh-keyscan -p"),
    "a full datastore": (full_datastore, "no snapshot was taken: .*datastore", "make room|free"),
    "a pending question": (pending_question, "the VM waits for an answer to “msg.hbacommon", "answer it in vCenter"),
    "an NIC on a wrong network": (wrong_network, "isolation is violated: .*prod-lan", "disconnected Network adapter 1"),
    "a clock ten minutes off": (wrong_clock, "its clock is (10 min|9 min 59 s).* behind", "NTP"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_wrong_out_there_ends_the_run_errored_with_where_why_and_what_to_do(place: Place, bad: str) -> None:
    breaks, cause, mend = BAD[bad]
    with breaks(place):
        end = place.checked()
    assert end["verdict"] == "errored"
    assert re.search(cause, end["reason"]), end["reason"]
    assert re.search(mend, end["reason"]), end["reason"]
    assert re.search(r"\bstaging (db|web)\b|\bdb:|127\.", end["reason"])


def test_with_a_wrong_password_nothing_is_begun(place: Place) -> None:
    with wrong_password(place):
        answer = place.evening.types(ADMIN, "/stage check staging")
    assert "machine_unknown" in answer
    assert "staging web: vCenter 127.0.0.1 refuses the user quarterdeck@vsphere.local or its password: set" in answer
    assert "Nothing was begun. Mend that, and type the command again." in answer


def test_once_it_is_mended_the_next_run_passes_as_if_nothing_had_been(place: Place) -> None:
    assert place.checked()["verdict"] == "passed"
