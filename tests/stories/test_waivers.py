"""A staging that is not like prod stops the rehearsal, unless an admin has let that fact differ, until then."""

from datetime import UTC, datetime
from typing import Any

from stories.house import ADMIN, DEVELOPER, House, hand_off, outcomes

from bot.ledger import Ledger, Tail
from bot.tales.story import Evening
from plans.rule_events import WaiverGiven

SCHEMA = "sqlite3 shop.db .schema"


def rehearsed(evening: Evening, release: str) -> tuple[int, dict[str, Any]]:
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    return run, evening.finished(run)


def stopped(evening: Evening, release: str) -> None:
    """The rehearsal ends in confirm, by the machinery's fault, with the diff; and says nothing about the package."""
    run, end = rehearsed(evening, release)
    assert end["verdict"] == "errored"
    assert outcomes(evening, run, "Compare with prod") == {None: "errored"}
    assert not evening.records("step.started", run=run, phase="deploy")
    assert not evening.records("waiver.used", run=run)
    assert "index quick" in evening.told(run, "schema: staging db and prod db differ").text
    assert "not_rehearsed" in evening.types(ADMIN, f"/promote {release}")


def waived_long_ago(house: House) -> None:
    """What the ledger of an older installation says: the waiver is over by now."""
    ledger = Ledger.open(house.folder / "var")
    assert list(ledger.entries(Tail()))
    event = WaiverGiven(
        environment="staging", fact="schema", until="2020-01-01T00:00:00.000Z", reason="until the new year"
    )
    ledger.append(ADMIN, event, datetime.now(UTC))
    ledger.close()


def test_a_difference_is_waived_until_a_day_and_every_run_that_needs_it_says_so(house: House) -> None:
    evening = house.open()
    (house.folder / "webshop.tests.yaml").write_text(
        "app: webshop\ncritical: [{name: It lives, on: web, run: 'true'}]\n"
    )
    house.restart_bot(lambda: waived_long_ago(house))
    evening.on_host("prod", "db", "sqlite3 shop.db 'create index quick on orders(customer)'")
    release = hand_off(evening, house.package("9.0", [{"name": "Nothing much", "on": "web", "run": "true"}]))
    stopped(evening, release)

    evening.types(DEVELOPER, "/stage waive schema until 2099-12-24 I am in a hurry")
    assert len(evening.records("waiver.given")) == 1
    told = evening.types(ADMIN, "/stage waive schema until 2099-12-24 the index is built by hand")
    assert "every run that needs it says so" in told
    assert "schema of staging until" in evening.types(DEVELOPER, "/stage status")

    run, end = rehearsed(evening, release)
    assert (end["verdict"], end["clean"]) == ("passed", True)
    (used,) = evening.records("waiver.used", run=run)
    assert used["data"]["fact"] == "schema"
    assert "index quick" in used["data"]["brief"]
    said = "schema differs from prod, waived by"
    card = evening.soon(lambda: said in (shown := evening.thread(run).text) and shown, "the card does not say so")
    assert "until 2099-12-24: the index is built by hand" in card
    assert "quick" in evening.on_host("prod", "db", SCHEMA)
    assert "quick" not in evening.on_host("staging", "db", SCHEMA)
