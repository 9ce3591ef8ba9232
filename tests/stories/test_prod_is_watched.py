"""Somebody changes prod by hand: the nightly lookout names it to the admins, once."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from stories.house import ADMIN, DEVELOPER, House, hand_off

from bot.tales.story import Evening

BERLIN = ZoneInfo("Europe/Berlin")


def simple(house: House, config: dict[str, Any]) -> None:
    """The shop with checks that always hold, no QA to be like, no watch, and no lookout yet."""
    del config["apps"]["webshop"]["qa"]
    (house.folder / "webshop.tests.yaml").write_text("app: webshop\ncritical: [{name: Up, on: db, run: 'true'}]\n")
    config["policy"] |= {"watch": [], "lookout": ""}


def missed(evening: Evening) -> str:
    """A time of day that has come since prod was looked at: the bot was off then, and looks at its start."""
    last = datetime.fromisoformat(evening.records("facts.collected", environment="prod")[-1]["at"])
    return f"{last.astimezone(BERLIN) + timedelta(seconds=1):%H:%M:%S}"


def night(house: House, evening: Evening) -> int:
    """A night goes by: the bot comes back after the time at which prod was to be looked at. The lookout's number."""
    looks = evening.records("run.started", kind="lookout")
    house.reconfigure(lambda config: config["policy"].update(lookout=missed(evening)))
    found = evening.soon(lambda: evening.records("run.started", kind="lookout")[len(looks) :], "nobody looks at prod")
    run = int(found[0]["data"]["run"])
    assert evening.finished(run)["verdict"] == "passed"
    return run


def told(evening: Evening, run: int) -> list[str]:
    """The keys of what the channel was told of a run, once it was told all there is."""
    ended = evening.records("run.finished", run=run)[-1]["seq"]
    evening.types(ADMIN, f"/stage lock crm-staging after {ended}")
    evening.types(ADMIN, "/stage unlock crm-staging")
    posted = evening.records("environment.unlocked")[-1]["seq"]
    evening.soon(lambda: evening.records("message.posted", key=f"notice/{posted}"), "the channel is not told")
    if evening.records("message.posted", key=f"run/{run}"):  # what stands in the channel is told before any thread
        evening.soon(lambda: evening.records("message.posted", key=f"run/{run}/end"), "its end is not told")
    return [r["data"]["key"] for r in evening.records("message.posted") if r["data"]["key"].startswith(f"run/{run}")]


def passed(evening: Evening, text: str, kind: str) -> None:
    end = evening.finished(evening.started(ADMIN, text, kind))
    assert end["verdict"] == "passed", end["reason"]


def test_a_change_by_hand_is_named_to_the_admins_once_and_shuts_the_gate(house: House) -> None:
    evening = house.open(lambda config: simple(house, config))
    deploy = [{"name": "Deploy", "on": "web", "run": "true"}]
    first, second = (hand_off(evening, house.package(version, deploy)) for version in ("9.0", "9.1"))
    passed(evening, f"/stage run {first}", "rehearsal")
    passed(evening, f"/promote {first}", "promotion")
    passed(evening, f"/stage run {second}", "rehearsal")

    quiet = night(house, evening)
    assert told(evening, quiet) == []
    assert not evening.records("difference.found")

    evening.on_host("prod", "db", "sqlite3 shop.db 'create index by_customer on orders (customer)'")
    looked = night(house, evening)
    (found,) = evening.records("difference.found", run=looked)
    assert (found["data"]["kind"], found["data"]["fact"], found["data"]["host"]) == ("drift", "schema", "db")
    keys = told(evening, looked)
    assert keys[:2] == [f"run/{looked}", f"run/{looked}/difference/webshop/schema:drift"]
    assert keys[2:] == [f"run/{looked}/end"]
    said = evening.told(looked, "schema on prod db has changed").text
    assert "by_customer" in said
    assert f"<@{ADMIN}>" in said
    assert "/promote outside prod REASON" in said
    named = "prod was changed without a promotion"
    evening.soon(lambda: named in evening.thread(looked).text, "the run's message does not say what it came to")

    assert "schema on prod db has changed" in evening.types(DEVELOPER, "/promote status")
    answer = evening.types(ADMIN, f"/promote {second}")
    assert "prod_changed_since" in answer
    assert evening.records("promotion.refused", release=second)[-1]["data"]["gates"] == ["prod_changed_since"]

    assert told(evening, night(house, evening)) == []
    assert evening.records("difference.found") == [found]
    assert "schema on prod db has changed" in evening.types(DEVELOPER, "/promote status")

    evening.types(ADMIN, "/promote outside prod the report took an hour without that index")
    assert "has changed" not in evening.types(DEVELOPER, "/promote status")
    assert told(evening, night(house, evening)) == []
    assert evening.records("difference.found") == [found]
    assert "prod_changed_since" in evening.types(ADMIN, f"/promote {second}")
    assert "by_customer" in evening.on_host("prod", "db", "sqlite3 shop.db .schema"), "a lookout changes nothing"

    evening.on_host("prod", "db", "sqlite3 shop.db 'drop index by_customer'")
    (gone,) = [r["data"] for r in evening.records("difference.found", run=night(house, evening))]
    assert "by_customer" in gone["brief"]


def test_a_prod_that_does_not_answer_is_told_of(house: House) -> None:
    evening = house.open(lambda config: simple(house, config))
    release = hand_off(evening, house.package("9.0", [{"name": "Deploy", "on": "web", "run": "true"}]))
    passed(evening, f"/stage run {release}", "rehearsal")
    passed(evening, f"/promote {release}", "promotion")
    evening.on_host("prod", "db", "mv shop.db elsewhere.db")
    house.reconfigure(lambda config: config["policy"].update(lookout=missed(evening)))
    found = evening.soon(lambda: evening.records("run.started", kind="lookout"), "nobody looks at prod")
    run = int(found[0]["data"]["run"])
    end = evening.finished(run)
    assert end["verdict"] == "errored"
    assert "fact schema on prod db" in end["reason"]
    evening.told(run, "prod is looked at again the next night")
