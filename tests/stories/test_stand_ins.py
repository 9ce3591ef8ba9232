"""What cannot come along to staging is stood in for: up before the rehearsal needs it, stopped at its end, and said."""

import json
from typing import Any

from stories.house import ADMIN, House, hand_off, outcomes

LOOP = "sleep 86413"


def _beside(house: House, config: dict[str, Any]) -> None:
    """crm's staging with a domain controller beside it, and a bank on its web host."""
    staging = config["environments"]["crm-staging"]
    web = staging["hosts"]["web"]
    addresses = dict(reversed(line.split()) for line in (house.folder / "hosts").read_text().splitlines())
    staging["infrastructure"] = [
        web
        | {
            "name": "dc",
            "vm": "staging-spare",
            "ssh": web["ssh"] | {"host": addresses["staging-spare"]},
            "health": [{"name": "It answers", "on": "dc", "run": "echo asked >>asked-of-dc"}],
        }
    ]
    staging["emulators"] = [
        {
            "name": "bank",
            "stands_for": "the bank's API",
            "on": "web",
            "start": f"nohup {LOOP} >/dev/null 2>&1 & echo $! >bank.pid",
            "stop": "kill $(cat bank.pid)",
            "health": [{"name": "It is up", "on": "web", "run": "kill -0 $(cat bank.pid)"}],
        }
    ]
    check = "{name: The bank answers, on: web, run: 'kill -0 $(cat bank.pid)'}"
    (house.folder / "crm.tests.yaml").write_text(f"app: crm\ncritical: [{check}]\n")


def test_they_are_up_before_the_hosts_and_the_restore_stopped_at_the_end_and_said_of_the_run(house: House) -> None:
    evening = house.open(lambda config: _beside(house, config))
    release = hand_off(evening, house.package("1.1.0", [{"name": "Touch", "on": "web", "run": "true"}], app="crm"))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    end = evening.finished(run)
    assert (end["verdict"], end["clean"]) == ("passed", True), end

    order = list(dict.fromkeys(record["data"]["name"] for record in evening.records("step.started", run=run)))
    wanted = [
        "Prove isolation",
        "Power on the infrastructure",
        "Wait until the infrastructure answers",
        "dc: It answers",
        "Power on",
        "Wait until it answers",
        "Start the emulator bank",
        "Take a snapshot",
        "The bank answers",
        "Look for other hands on staging",
        "Stop the emulator bank",
    ]
    assert [name for name in order if name in wanted] == wanted
    (judged, *_) = evening.records("isolation.judged", run=run)
    assert any("dc" in said for said in judged["data"]["evidence"])
    assert outcomes(evening, run, "Stop the emulator bank") == {"web": "ok"}
    assert not house.processes(LOOP)
    assert [found.read_text() for found in house.folder.rglob("asked-of-dc")] == ["asked\n"]
    assert json.loads((house.folder / "vms" / "staging-spare" / "vm.json").read_text())["power"] == "poweredOff"
    card = evening.thread(run).text
    assert "Emulated: bank stands for the bank's API." in card
    assert "Not prod's: dc is staging's own VM staging-spare, not restored." in card
