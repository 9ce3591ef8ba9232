"""The way back is rehearsed; and where a promotion goes wrong, prod goes back to its snapshot, or stays as it is."""

from typing import Any

import pytest
from stories.house import ADMIN, House, hand_off, outcomes, question

from bot.tales.story import Evening

CHANGES = [{"id": "SHOP-1", "kind": "database", "summary": "Parcels are counted", "paths": []}]
ADD = {"name": "Add the column", "on": "db", "run": "cd && sqlite3 shop.db 'alter table orders add column parcel text'"}
DROP = {"name": "Drop the column", "on": "db", "run": "cd && sqlite3 shop.db 'alter table orders drop column parcel'"}
FORGET = {"name": "Drop the column", "on": "db", "run": "true"}
ONLY_STAGING = {
    "name": "Restart one by one",
    "on": "web",
    "serial": 1,
    "run": '[ "$QUARTERDECK_ENVIRONMENT" = staging ] || [ -e "$HOME/may-go" ]',
}


def shop(house: House, **policy: Any) -> Evening:
    """The shop without a QA and with one check; on prod with a balancer that is told of every host."""

    def change(config: dict[str, Any]) -> None:
        config["policy"].update(watch=[], lookout="", **policy)
        del config["apps"]["webshop"]["qa"]
        told = house.folder / "balancer"

        def tell(name: str, word: str, **more: str) -> dict[str, str]:
            return {"name": name, "on": "runner", "run": f"echo {word} $QUARTERDECK_HOST >>{told}", **more}

        prod = config["environments"]["prod"]
        prod["drain"] = [tell("Take it out", "out", **{"for": "web"})]
        prod["undrain"] = [tell("Put it in", "in", **{"for": "web"})]
        prod["maintenance"] = {"begin": [tell("Silence the alarms", "quiet")], "end": [tell("Arm the alarms", "loud")]}
        (house.folder / "webshop.tests.yaml").write_text(
            "app: webshop\ncritical: [{name: Orders are there, on: db, prod: safe, before: 'true', "
            'run: sqlite3 shop.db "select count(*) from orders"}]\n'
        )

    return house.open(change)


def balancer(house: House) -> list[str]:
    path = house.folder / "balancer"
    return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []


def rehearsed(house: House, evening: Evening, deploy: list[dict[str, Any]], rollback: list[dict[str, Any]]) -> Any:
    """The release, its rehearsal's number, and how that ended."""
    archive = house.package("9.0", deploy, changes=CHANGES, rollback=rollback)
    release = hand_off(evening, archive)
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    return release, run, evening.finished(run)


# --- the way back is rehearsed ----------------------------------------------------------------------------------------


def test_a_rollback_that_brings_back_what_was_passes(house: House) -> None:
    evening = shop(house)
    _, run, end = rehearsed(house, evening, [ADD], [DROP])
    assert (end["verdict"], end["clean"]) == ("passed", True), end["reason"]
    assert outcomes(evening, run, "Drop the column") == {"db": "ok"}
    assert outcomes(evening, run, "Compare with before the deployment") == {None: "ok"}
    assert "parcel" not in evening.on_host("staging", "db", "sqlite3 shop.db .schema")


def test_a_rollback_that_forgets_something_fails_the_rehearsal_with_what_it_forgot(house: House) -> None:
    evening = shop(house)
    release, run, end = rehearsed(house, evening, [ADD], [FORGET])
    assert end["verdict"] == "failed"
    assert "after the rollback staging is not as it was before" in end["reason"]
    assert "parcel" in evening.told(run, "after the rollback staging is not as it was before").text
    assert "parcel" in evening.on_host("staging", "db", "sqlite3 shop.db .schema")
    assert "rehearsal_failed" in evening.types(ADMIN, f"/promote {release}")


def test_where_the_policy_says_so_the_way_back_is_not_rehearsed(house: House) -> None:
    evening = shop(house, rehearse_rollback="false")
    _, run, end = rehearsed(house, evening, [ADD], [FORGET])
    assert end["verdict"] == "passed", end["reason"]
    assert not evening.records("step.started", run=run, phase="undo")


# --- prod goes back ---------------------------------------------------------------------------------------------------


@pytest.fixture
def stranded(house: House) -> tuple[Evening, str, int]:
    """A promotion that stops half way on prod: the column is there, web/2 could not be restarted."""
    evening = shop(house)
    release, _, end = rehearsed(house, evening, [ADD, ONLY_STAGING], [DROP])
    assert end["verdict"] == "passed", end["reason"]
    evening.on_host("prod", "web", "touch may-go")
    run = evening.started(ADMIN, f"/promote {release}", "promotion")
    evening.desk.presses(ADMIN, question(evening, run), "answer:abort")
    return evening, release, run


def test_prod_goes_back_to_its_snapshot_when_an_admin_types_what_that_means(
    house: House, stranded: tuple[Evening, str, int]
) -> None:
    evening, release, run = stranded
    evening.desk.presses(ADMIN, question(evening, run, 2), "answer:undrain")
    evening.desk.presses(ADMIN, question(evening, run, 3), "answer:end")
    assert evening.finished(run)["verdict"] == "failed"
    assert balancer(house) == ["quiet", "out web", "in web", "out web/2", "in web/2", "loud"]
    called = evening.told(run, "an admin decides")
    assert "STILL" not in called.text
    evening.on_host("prod", "db", "touch written-since")

    count = len(evening.desk.ephemerals(ADMIN))
    evening.desk.presses(ADMIN, called, "revert")
    told = evening.soon(lambda: evening.desk.ephemerals(ADMIN)[count:], "the button says nothing")[0].text
    for words in ("not_confirmed", f"how run {run} found it", "web, web/2, db since then is lost"):
        assert words in told
    assert not evening.records("run.started", kind="revert")

    back = evening.started(ADMIN, f"/promote revert {release} 9.0", "revert")
    end = evening.finished(back)
    assert end["verdict"] == "passed", end["reason"]
    assert "parcel" not in evening.on_host("prod", "db", "sqlite3 shop.db .schema")
    assert evening.on_host("prod", "db", "ls").split().count("written-since") == 0
    assert "may-go" in evening.on_host("prod", "web", "ls"), "it was there before the promotion"
    before = evening.records("facts.collected", run=run, environment="prod")[0]["data"]["digests"]
    assert evening.records("facts.collected", run=back)[-1]["data"]["digests"] == before
    assert balancer(house)[6:] in (
        ["quiet", "out web", "out web/2", "in web", "in web/2", "loud"],
        ["quiet", "out web/2", "out web", "in web", "in web/2", "loud"],
        ["quiet", "out web", "out web/2", "in web/2", "in web", "loud"],
        ["quiet", "out web/2", "out web", "in web/2", "in web", "loud"],
    )
    assert "already_rolled_back" in evening.types(ADMIN, f"/promote revert {release} 9.0")


def test_a_snapshot_of_before_the_first_attempt_outlasts_the_second(
    house: House, stranded: tuple[Evening, str, int]
) -> None:
    evening, release, run = stranded
    for number, choice in ((2, "undrain"), (3, "leave")):
        evening.desk.presses(ADMIN, question(evening, run, number), f"answer:{choice}")
    evening.finished(run)
    assert "prod: it is STILL IN MAINTENANCE" in evening.told(run, "an admin decides").text
    again = evening.started(ADMIN, f"/promote {release}", "promotion")
    question(evening, again)
    evening.types(ADMIN, f"/promote abort {again}")
    assert evening.finished(again)["verdict"] == "failed"
    back = evening.started(ADMIN, f"/promote revert {release} prod", "revert")
    assert evening.finished(back)["verdict"] == "passed"
    assert "parcel" not in evening.on_host("prod", "db", "sqlite3 shop.db .schema")


def test_a_stop_leaves_hosts_drained_and_says_so_with_the_line_to_type(
    house: House, stranded: tuple[Evening, str, int]
) -> None:
    evening, release, run = stranded
    question(evening, run, 2)
    evening.types(ADMIN, f"/promote abort {run}")
    assert evening.finished(run)["verdict"] == "failed"
    assert balancer(house) == ["quiet", "out web", "in web", "out web/2"]
    told = evening.told(run, "an admin decides").text
    assert "prod: web/2 is STILL DRAINED and it is STILL IN MAINTENANCE. When that is to end, type:" in told
    assert "on runner: QUARTERDECK_HOST=web/2 echo in $QUARTERDECK_HOST" in told
    evening.types(ADMIN, f"/promote leave {release} the shop is closed until Monday")
    assert evening.records("promotion.left", release=release, run=run)

    def told_to_all() -> bool:
        words = f"leaves prod as run {run}, of {release}, has left it: the shop is closed until Monday."
        return any(words in message.text for message in evening.desk.messages(evening.channel))

    evening.soon(told_to_all, "the channel is not told")
