"""What restores staging, and when a rehearsal goes back to what was restored instead."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stories.house import ADMIN, House, hand_off, outcomes

from bot.tales.story import Evening

SPOIL = [
    {
        "name": "Lose the orders",
        "on": "db",
        "run": "cd; [ $(sqlite3 shop.db 'select count(*) from orders') -gt 0 ] && sqlite3 shop.db 'delete from orders'",
    }
]
"""A package that works only where the orders are there, and loses them."""


def shop(house: House, more: Callable[[dict[str, Any]], object] = lambda config: None, **staging: Any) -> Evening:
    """The lab's shop with a restore that keeps a record of its runs where no revert takes it back."""

    def change(config: dict[str, Any]) -> None:
        more(config)
        (house.folder / "webshop.tests.yaml").write_text("app: webshop\ncritical: [{name: Up, on: db, run: 'true'}]\n")
        restore = f"echo $QUARTERDECK_RUN >>{house.folder}/restores && ./restore-latest.sh"
        step = {"name": "Restore the orders", "on": "db", "run": restore, "artifact_age": "echo 3h"}
        config["environments"]["staging"].update({"restore": [step]} | staging)

    return house.open(change)


def restores(house: House) -> list[int]:
    """The runs that ran the restore, as it recorded them itself."""
    return [int(line) for line in (house.folder / "restores").read_text().split()]


def vms(house: House) -> dict[str, dict[str, Any]]:
    """The VMs by their names, as the lab keeps them."""
    kept = [json.loads(file.read_text()) for file in (house.folder / "vms").glob("*/vm.json")]
    return {vm["name"]: vm for vm in kept}


def snapshots(house: House, vm: str) -> list[str]:
    """The names of a VM's snapshots."""
    return [snapshot["name"] for snapshot in vms(house)[vm]["snapshots"]]


def orders(evening: Evening, environment: str = "staging") -> int:
    return int(evening.on_host(environment, "db", "sqlite3 shop.db 'select count(*) from orders'"))


def rehearse(evening: Evening, release: str) -> int:
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    end = evening.finished(run)
    assert end["verdict"] == "passed", end["reason"]
    return run


def check(evening: Evening) -> int:
    run = evening.started(ADMIN, "/stage check staging", "check")
    end = evening.finished(run)
    assert end["verdict"] == "passed", end["reason"]
    return run


def seq(evening: Evening, of_type: str, **wanted: Any) -> int:
    return int(evening.records(of_type, **wanted)[-1]["seq"])


def test_a_second_rehearsal_goes_back_to_what_was_restored(house: House) -> None:
    evening = shop(house)
    release = hand_off(evening, house.package("9.0", SPOIL))
    first = rehearse(evening, release)
    assert orders(evening) == 0
    measured = evening.records("restore.measured", run=first)[0]["data"]
    assert (measured["host"], measured["artifact_age_seconds"]) == ("db", 3 * 3600)
    assert 0 < measured["seconds"] < 60
    evening.told(first, "data 3 h old")
    evening.told(first, "from data 3 h old")

    second = rehearse(evening, release)
    assert restores(house) == [first]
    assert not evening.records("step.started", run=second, name="Restore the orders")
    (reused,) = evening.records("restore.reused", run=second)
    assert reused["data"]["of"] == first
    assert len(snapshots(house, "staging-db")) == len(snapshots(house, "staging-web")) == 1
    assert snapshots(house, "staging-db")[0].endswith(f"run-{second}")
    evening.told(second, f"On the data that run {first} restored")

    third = check(evening)
    assert restores(house) == [first]
    assert orders(evening) == orders(evening, "prod") > 0
    assert snapshots(house, "staging-db")[0].endswith(f"run-{second}")
    assert evening.records("restore.reused", run=third)[0]["data"]["of"] == first


def test_what_a_check_restored_is_good_for_the_rehearsal(house: House) -> None:
    evening = shop(house)
    first = check(evening)
    release = hand_off(evening, house.package("9.0", SPOIL))
    rehearse(evening, release)
    assert restores(house) == [first]


def test_after_restore_max_age_it_is_restored_again_and_the_old_snapshot_goes_first(house: House) -> None:
    evening = shop(house, restore_max_age="1s")
    first = check(evening)
    ended = time.monotonic()
    evening.soon(lambda: time.monotonic() > ended + 1, "time stands still")
    second = check(evening)
    assert restores(house) == [first, second]
    removed = seq(evening, "snapshot.removed", run=second)
    begun = seq(evening, "step.started", run=second, name="Restore the orders")
    assert removed < begun < seq(evening, "snapshot.taken", run=second)
    assert [name.rpartition("-")[2] for name in snapshots(house, "staging-db")] == [str(second)]


def test_where_prod_has_changed_since_staging_is_restored_anew(house: House) -> None:
    evening = shop(house)
    release = hand_off(evening, house.package("9.0", SPOIL))
    first = rehearse(evening, release)
    evening.on_host("prod", "db", "sqlite3 shop.db 'alter table orders add column parcel text' && ./backup-now.sh")
    second = rehearse(evening, release)
    assert restores(house) == [first, second]
    assert list(outcomes(evening, second, "Compare with prod").values()) == ["ok"]
    compared = evening.records("step.finished", run=second, outcome="skipped")
    assert [record["data"]["reason"].splitlines()[0] for record in compared] == [
        "Restored anew: prod has changed since."
    ]
    told = evening.told(second, "Restored anew: prod has changed since.")
    assert "only on prod db: " in told.text
    assert "parcel" in told.text
    assert "parcel" in evening.on_host("staging", "db", "sqlite3 shop.db .schema")
    assert [name.rpartition("-")[2] for name in snapshots(house, "staging-db")] == [str(second)]
    third = rehearse(evening, release)
    assert restores(house) == [first, second]
    assert evening.records("restore.reused", run=third)[0]["data"]["of"] == second


def test_a_bot_that_is_killed_after_it_removed_the_old_snapshot_goes_on_with_the_same_plan(house: House) -> None:
    go = house.folder / "go"
    waiting = f"echo $QUARTERDECK_RUN >>{house.folder}/restores; until [ -e {go} ]; do sleep 0.05; done; rm {go}"
    step = {"name": "Restore the orders", "on": "db", "run": f"{waiting}; ./restore-latest.sh"}
    evening = shop(house, restore=[step])
    go.touch()
    first = check(evening)
    evening.on_host("prod", "db", "sqlite3 shop.db 'alter table orders add column parcel text' && ./backup-now.sh")
    second = evening.started(ADMIN, "/stage check staging", "check")
    evening.soon(lambda: restores(house) == [first, second], "it is not restored anew")
    assert evening.records("snapshot.removed", run=second)
    house.kill_bot()
    house.start_bot()
    go.touch()
    end = evening.finished(second)
    assert end["verdict"] == "passed", end["reason"]
    assert restores(house) == [first, second]
    assert len(evening.records("step.started", run=second)) == len(evening.records("step.finished", run=second))
    assert [name.rpartition("-")[2] for name in snapshots(house, "staging-db")] == [str(second)]


def cloned(house: House, snapshot: str = "fresh") -> Evening:
    """Staging's database is made anew from prod's, and reached through VMware Tools: it has prod's address inside."""

    def change(config: dict[str, Any]) -> None:
        db = config["environments"]["staging"]["hosts"]["db"]
        del db["ssh"]
        db["guest"] = {"username": "deploy", "password": "${file:keys/guest-password}"}

    clone = {"from": "db", "snapshot": snapshot}
    steps = [
        {"name": "Clone the database", "on": "db", "clone": clone},
        {"name": "Write it down", "on": "db", "run": f"echo $QUARTERDECK_RUN >>{house.folder}/restores"},
        {"name": "Let the shop find it", "on": "web", "run": "./shopctl stop; ./shopctl start"},
    ]
    return shop(house, change, restore=steps)


def test_staging_is_made_anew_from_a_snapshot_of_prods_vm(house: House) -> None:
    evening = cloned(house)
    before = vms(house)["staging-db"]
    evening.on_host("prod", "db", "sqlite3 shop.db 'alter table orders add column parcel text'")
    first = check(evening)
    after = vms(house)["staging-db"]
    assert after["instance_uuid"] != before["instance_uuid"]
    assert [nic["network"] for nic in after["nics"]] == ["isolated-staging"]
    assert (vms(house)["prod-db"]["snapshots"], vms(house)["prod-db"]["power"]) == ([], "poweredOn")
    assert not [name for name in vms(house) if name.startswith("quarterdeck-")]
    assert "parcel" in evening.on_host("staging", "db", "sqlite3 shop.db .schema")
    judged = [r["seq"] for r in evening.records("isolation.judged", run=first, verdict="proved")]
    replaced = evening.records("machine.replaced", run=first)[0]
    assert replaced["data"]["new"].endswith(after["instance_uuid"])
    assert any(seq > replaced["seq"] for seq in judged)
    measured = evening.records("restore.measured", run=first, name="Clone the database")[0]["data"]
    assert 0 <= measured["artifact_age_seconds"] < 60
    assert [snapshot["name"].rpartition("-")[2] for snapshot in after["snapshots"]] == [str(first)]

    second = check(evening)
    assert vms(house)["staging-db"]["instance_uuid"] == after["instance_uuid"]
    assert restores(house) == [first]
    assert evening.records("restore.reused", run=second)


def test_a_clone_that_cannot_be_made_leaves_staging_as_it_was(house: House) -> None:
    evening = cloned(house, "latest")
    before = vms(house)["staging-db"]
    run = evening.started(ADMIN, "/stage check staging", "check")
    end = evening.finished(run)
    assert end["verdict"] == "errored"
    assert "has no snapshot; take one there, or say snapshot: fresh" in end["reason"]
    assert "the VM before it is in its place again" in end["reason"]
    assert vms(house)["staging-db"]["instance_uuid"] == before["instance_uuid"]
    assert vms(house)["staging-db"]["power"] == "poweredOff"


def test_a_backup_servers_script_on_the_bots_own_machine_restores(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    disk, share = house.folder / "vms" / "staging-db" / "disk", house.folder / "share" / "backups"
    newest = f"{share}/$(ls {share} | tail -n 1)"
    steps = [
        {
            "name": "Push the newest backup",
            "on": "runner",
            "run": f"pwd >where && cp {newest} {disk}/pushed.db",
            "artifact_age": f"stat -c %Y {newest}",
        },
        {"name": "Take it over", "on": "db", "run": "./ordersctl stop; mv pushed.db shop.db; ./ordersctl start"},
    ]
    evening = shop(house, restore=steps)
    run = check(evening)
    assert (home / "where").read_text() == f"{home}\n"
    assert orders(evening) == orders(evening, "prod") > 0
    measured = {r["data"]["name"]: r["data"] for r in evening.records("restore.measured", run=run)}
    assert measured["Push the newest backup"]["host"] == "runner"
    assert 0 <= measured["Push the newest backup"]["artifact_age_seconds"] < 300
    assert measured["Take it over"]["artifact_age_seconds"] is None
    assert outcomes(evening, run, "Push the newest backup") == {"runner": "ok"}
