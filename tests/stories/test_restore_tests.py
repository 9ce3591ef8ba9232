"""Backups are tested every night: what was restored is looked at on the hosts, and who is told what."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from stories.house import ADMIN, DEVELOPER, House, hand_off

from bot.tales.story import Evening

BERLIN = ZoneInfo("Europe/Berlin")
TESTS = """\
app: webshop
critical:
  - name: The newest order is of the last two days
    on: db
    run: sqlite3 shop.db "select max(placed) > datetime('now', '-2 days') from orders"
    expect: {stdout: "^1$"}
    before: true
"""
"""What the documentation shows for the age of the newest row."""


def shop(house: House, config: dict[str, Any]) -> None:
    """The shop whose restore keeps a record of its runs, and tells how old the backup is."""
    (house.folder / "webshop.tests.yaml").write_text(TESTS)
    run = f"echo $QUARTERDECK_RUN >>{house.folder}/restores && ./restore-latest.sh"
    step = {"name": "Restore the orders", "on": "db", "run": run, "artifact_age": "echo 6h"}
    config["environments"]["staging"]["restore"] = [step]
    config["policy"]["lookout"] = ""


def comes(house: House, evening: Evening, **policy: str) -> None:
    """A night comes: the bot is back in the hours in which a restore test of staging may begin."""
    tests = evening.records("run.started", kind="restore_test")
    last = datetime.fromisoformat(tests[-1]["at"]) + timedelta(seconds=1) if tests else datetime.now(UTC)
    at = last.astimezone(BERLIN)

    def change(config: dict[str, Any]) -> None:
        config["restore_tests"] = [{"environment": "staging", "at": f"{at:%H:%M:%S}", "within": "1h"}]
        config["policy"] |= policy

    house.reconfigure(change)


def night(evening: Evening, number: int) -> tuple[int, dict[str, Any]]:
    """Waits for the end of the restore test of that number: its run, and the data of its end."""
    look = evening.soon(lambda: evening.records("run.started", kind="restore_test")[number - 1 :], "nothing is tested")
    run = int(look[0]["data"]["run"])
    return run, evening.finished(run)


def orders(evening: Evening, environment: str) -> str:
    return evening.on_host(environment, "db", "sqlite3 shop.db 'select count(*), max(placed) from orders'")


def test_a_restore_test_every_night_and_the_call_when_none_passes(house: House) -> None:
    evening = house.open(lambda config: shop(house, config))
    evening.on_host("prod", "db", "./backup-now.sh")
    comes(house, evening)
    first, end = night(evening, 1)
    assert end["verdict"] == "passed", end["reason"]
    assert orders(evening, "staging") == orders(evening, "prod")
    (measured,) = evening.records("restore.measured", run=first)
    assert measured["data"]["artifact_age_seconds"] == 6 * 3600
    evening.told(first, "from data 6 h old; the first restore test that did")
    evening.told(first, "The newest order is of the last two days")

    comes(house, evening)
    second, end = night(evening, 2)
    assert end["verdict"] == "passed", end["reason"]
    evening.told(second, "from data 6 h old; the night before: in")
    assert (house.folder / "restores").read_text().split() == [str(first), str(second)]

    release = hand_off(evening, house.package("9.0", [{"name": "Deploy", "on": "web", "run": "true"}]))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    assert evening.finished(run)["verdict"] == "passed"
    evening.told(run, f"On the data that run {second} restored")
    assert (house.folder / "restores").read_text().split() == [str(first), str(second)]

    for backup in (house.folder / "share" / "backups").iterdir():
        backup.write_bytes(b"no database")
    comes(house, evening, restore_test_max_age="1s")
    third, end = night(evening, 3)
    assert end["verdict"] == "errored"
    assert "Restore the orders" in end["reason"]
    (call,) = evening.soon(lambda: evening.records("restore_test.overdue"), "nobody is called")
    posted = evening.soon(lambda: evening.records("message.posted", key=f"notice/{call['seq']}"), "they are not told")
    said = evening.desk.thread(evening.channel, posted[0]["data"]["ts"]).text
    assert "no restore test on staging has passed since" in said
    assert "/stage check staging" in said
    evening.told(third, "errored")
    house.reconfigure(lambda config: None)
    evening.types(ADMIN, "/stage status")
    assert evening.records("restore_test.overdue") == [call], "they are called once a day"


def test_an_inspection_that_is_open_is_not_disturbed(house: House) -> None:
    evening = house.open(lambda config: shop(house, config))
    evening.on_host("prod", "db", "./backup-now.sh")
    steps = [{"name": "Break it", "on": "db", "run": "cd; echo broken >evidence; exit 3"}]
    release = hand_off(evening, house.package("9.0", steps))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.soon(lambda: evening.records("run.paused", run=run), "it asks nothing")
    evening.types(ADMIN, f"/stage answer {run} abort")
    assert evening.finished(run)["verdict"] == "failed"

    comes(house, evening)
    assert "for inspection" in evening.types(DEVELOPER, "/stage status")
    assert evening.on_host("staging", "db", "cat evidence") == "broken\n"
    assert not evening.records("run.started", kind="restore_test")

    reset = evening.started(ADMIN, "/stage reset staging", "reset")
    assert evening.finished(reset)["verdict"] == "passed"
    test, end = night(evening, 1)
    assert test > reset
    assert end["verdict"] == "passed", end["reason"]
    assert evening.on_host("staging", "db", "ls evidence 2>/dev/null || echo gone") == "gone\n"
