"""Staging is never let near prod: what leads out is cut off before a VM is powered on; what cannot be seen asks."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim
from stories.house import ADMIN, DEVELOPER, House, hand_off, outcomes

from bot.tales.story import Evening

Card = vim.vm.device.VirtualEthernetCard


def kept(house: House) -> dict[str, Any]:
    return dict(json.loads((house.folder / "lab.json").read_text()))


def trust(house: House) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(house.folder / "vcenter" / "ca.pem"))


@contextmanager
def vsphere(house: House, name: str) -> Iterator[vim.VirtualMachine]:
    """A VM at the desk of a vSphere administrator."""
    port, password = kept(house)["vcenter_port"], kept(house)["vcenter_password"]
    user = "quarterdeck@vsphere.local"
    si = SmartConnect(host="127.0.0.1", port=port, user=user, pwd=password, sslContext=trust(house))
    yield si.content.searchIndex.FindByInventoryPath(f"/lab/vm/{name}")
    Disconnect(si)
    si._stub.DropConnections()


def wire(house: House, name: str, network: str) -> None:
    """Puts a VM's card on a network, connected at power-on."""
    with vsphere(house, name) as vm:
        [card] = [device for device in vm.config.hardware.device if isinstance(device, Card)]
        card.backing = Card.NetworkBackingInfo(deviceName=network)
        card.connectable.startConnected = card.connectable.allowGuestControl = True
        card.connectable.connected = vm.runtime.powerState == "poweredOn"
        edit = vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)
        WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[edit])))


def wires(house: House, name: str) -> tuple[str, list[tuple[str, bool, bool]]]:
    """A VM's power, and of each card its network, whether it is connected, and whether at power-on."""
    with vsphere(house, name) as vm:
        cards = [device for device in vm.config.hardware.device if isinstance(device, Card)]
        told = [(c.backing.deviceName, c.connectable.connected, c.connectable.startConnected) for c in cards]
        return vm.runtime.powerState, told


def becomes(house: House, name: str, **changes: Any) -> None:
    """Makes a VM of the lab be like that."""
    connection = http.client.HTTPSConnection("127.0.0.1", kept(house)["vcenter_port"], timeout=20, context=trust(house))
    connection.request("PATCH", f"/lab/machines/{name}", json.dumps(changes))
    assert connection.getresponse().status == 204
    connection.close()


def judged(evening: Evening, run: int) -> list[dict[str, Any]]:
    return [record["data"] for record in evening.records("isolation.judged", run=run)]


def test_a_staging_card_on_prods_network_is_cut_off_before_anything_is_powered_on(house: House) -> None:
    evening = house.open()
    release = hand_off(evening, evening.packages / "crm-1.0.0.zip")
    wire(house, "staging-web", "prod-lan")

    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    ended = evening.finished(run)
    wrong = "web: Network adapter 1 is on prod-lan, which is not one of isolated-staging"
    assert ended["verdict"] == "errored"
    assert wrong in ended["reason"]
    assert {judgement["verdict"] for judgement in judged(evening, run)} == {"violated"}
    assert judged(evening, run)[-1]["evidence"][-1] == "web: disconnected Network adapter 1"
    assert not evening.records("step.started", run=run, name="Power on")
    assert wires(house, "staging-web") == ("poweredOff", [("prod-lan", False, False)])
    told = evening.told(run, wrong).text
    assert "In vCenter, put Network adapter 1 of web on isolated-staging and connect it again" in told

    wire(house, "staging-web", "isolated-staging")
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    assert evening.finished(run)["verdict"] == "passed"
    assert {judgement["verdict"] for judgement in judged(evening, run)} == {"proved"}


def test_a_way_out_that_vcenter_does_not_know_is_found_from_inside_before_the_restore(house: House) -> None:
    def close_to_the_lab(config: dict[str, Any]) -> None:
        config["environments"]["staging"]["isolation"]["must_not_reach"].append(f"{kept(house)['block']}.1:7420")

    evening = house.open(close_to_the_lab)
    run = evening.started(ADMIN, "/stage check staging", "check")
    ended = evening.finished(run)
    assert ended["verdict"] == "errored"
    assert ":7420 answers (tried with nc); it must not be reached" in ended["reason"]
    assert [judgement["verdict"] for judgement in judged(evening, run)] == ["proved", "violated", "violated"]
    inside = judged(evening, run)[-1]["evidence"]
    assert "web: prod-web-1:8080 does not answer (tried with nc)" in inside
    for name, vm in (("web", "staging-web"), ("db", "staging-db")):
        assert f"{name}: disconnected Network adapter 1" in inside
        assert wires(house, vm)[1] == [("isolated-staging", False, False)]
    assert not outcomes(evening, run, "Restore the orders")


def test_what_cannot_be_seen_an_admin_attests_to_and_to_nothing_else(house: House) -> None:
    evening = house.open()
    assert "nothing_to_attest" in evening.types(ADMIN, "/stage attest crm-staging it is fine")
    becomes(house, "staging-web", passthrough=["vmnic9"])
    run = evening.started(ADMIN, "/stage check crm-staging", "check")
    doubt = "web: its PCI device 0 is passed through: where that leads vCenter does not know"
    assert evening.finished(run)["verdict"] == "errored"
    assert "/stage attest crm-staging REASON" in evening.told(run, doubt).text

    assert "admins" in evening.types(DEVELOPER, "/stage attest crm-staging trust me")
    answer = evening.types(ADMIN, "/stage attest crm-staging it is a GPU")
    assert doubt in answer
    word = evening.records("isolation.attested")[0]
    assert (word["by"], word["data"]["environment"], word["data"]["reason"], word["data"]["covers"]) == (
        ADMIN,
        "crm-staging",
        "it is a GPU",
        [doubt],
    )
    run = evening.started(ADMIN, "/stage check crm-staging", "check")
    assert evening.finished(run)["verdict"] == "passed"
    assert {judgement["verdict"] for judgement in judged(evening, run)} == {"attested"}
    assert "it is a GPU" in judged(evening, run)[0]["evidence"][-1]
    evening.told(run, "isolation attested")

    becomes(house, "staging-web", shared_bus="virtualSharing")
    run = evening.started(ADMIN, "/stage check crm-staging", "check")
    ended = evening.finished(run)
    assert ended["verdict"] == "errored"
    assert "SCSI controller 0 shares its bus" in ended["reason"]
