"""A staging that no network leads to: the bot reaches it through VMware Tools alone."""

import json
from typing import Any

from stories.house import ADMIN, TESTER, House, hand_off, outcomes

from bot.tales.story import PHASES


def _by_tools_alone(config: dict[str, Any]) -> None:
    """No host of staging has a way in over SSH any more, and nobody could tell the bot an address of it."""
    for host in config["environments"]["staging"]["hosts"].values():
        del host["ssh"]
        host["guest"] = {"username": "deploy", "password": "${file:keys/guest-password}"}


def test_a_whole_rehearsal_and_a_reset(house: House) -> None:
    evening = house.open(_by_tools_alone)
    release = hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    before = evening.on_host("prod", "db", "sqlite3 shop.db 'select count(*) from orders'")

    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.soon(lambda: evening.records("message.posted", key=f"run/{run}/question/1"), "the tester is not asked")
    assert evening.on_host("staging", "web", "curl -s http://127.0.0.1:8080/version").strip() == "2.4.1"
    evening.types(TESTER, f"/stage answer {run} pass")

    end = evening.finished(run)
    assert (end["verdict"], end["clean"]) == ("passed", True)
    assert {record["data"]["phase"] for record in evening.records("step.started", run=run)} == {*PHASES, "undo"}
    assert outcomes(evening, run, "Restore the orders") == {"db": "ok"}
    password = (house.folder / "keys" / "guest-password").read_text().strip()
    kept = [file for file in (house.folder / "var").rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if password.encode() in file.read_bytes()]

    reset = evening.started(ADMIN, "/stage reset staging", "reset")
    assert evening.finished(reset)["verdict"] == "passed"
    assert evening.on_host("staging", "db", "sqlite3 shop.db 'select count(*) from orders'") <= before
    assert "archived" not in evening.on_host("staging", "db", "sqlite3 shop.db .schema")


def test_a_wrong_password_is_the_machinerys_fault_and_says_what_to_set(house: House) -> None:
    def wrong(config: dict[str, Any]) -> None:
        _by_tools_alone(config)
        config["environments"]["staging"]["hosts"]["db"]["guest"]["password"] = "outdated"

    evening = house.open(wrong)
    run = evening.started(ADMIN, "/stage check staging", "check")
    end = evening.finished(run)
    assert end["verdict"] == "errored"
    assert "refuses the user deploy or its password" in end["reason"]
    assert "guest.password" in end["reason"]
    assert "outdated" not in json.dumps(evening.everything())
