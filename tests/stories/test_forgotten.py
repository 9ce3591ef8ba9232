"""What a package forgets, changes unlisted or leaves behind is pointed out, and keeps it off prod until settled."""

from typing import Any

from stories.house import ADMIN, DEVELOPER, OTHER_ADMIN, House, hand_off

from bot.tales.story import Evening

SCHEMA = "sqlite3 shop.db .schema"


def lenient(house: House, config: dict[str, Any]) -> None:
    """The shop's test plan does not look at what was forgotten: nothing but QA tells."""
    (house.folder / "webshop.tests.yaml").write_text(
        "app: webshop\ncritical: [{name: It lives, on: web, run: 'true', covers: [SHOP-1]}]\n"
    )


def passed(evening: Evening, kind: str, release: str) -> int:
    typed = f"/stage run {release}" if kind == "rehearsal" else f"/promote {release}"
    run = evening.started(ADMIN, typed, kind)
    end = evening.finished(run)
    assert end["verdict"] == "passed", end["reason"]
    return run


def refused(evening: Evening, release: str) -> str:
    answer = evening.types(ADMIN, f"/promote {release}")
    assert evening.records("promotion.refused", release=release)[-1]["data"]["gates"] == ["differences_open"]
    assert "differences_open" in answer
    return answer


def test_what_qa_has_and_the_package_forgot(house: House) -> None:
    evening = house.open(lambda config: lenient(house, config))
    release = hand_off(evening, evening.packages / "webshop-2.4.0.zip")
    run = passed(evening, "rehearsal", release)
    assert "archived" in evening.on_host("qa", "db", SCHEMA)
    assert "archived" not in evening.on_host("staging", "db", SCHEMA)

    (found,) = evening.records("difference.found", run=run)
    assert (found["data"]["kind"], found["data"]["fact"], found["data"]["host"]) == ("qa", "schema", "db")
    sentence = "qa has column orders.archived: INTEGER not null default 0, staging after 2.4.0 does not"
    told = evening.told(run, sentence)
    assert "only on qa db: column orders.archived" in told.text
    assert f"/stage dispose {release} schema REASON" in told.text
    assert sentence in refused(evening, release)

    assert sentence in evening.types(DEVELOPER, f"/stage compare {release}")
    evening.types(DEVELOPER, f"/stage dispose {release} schema I am sure")
    assert not evening.records("difference.disposed")
    assert "Nothing is open any more" in evening.types(OTHER_ADMIN, f"/stage dispose {release} schema next sprint")
    (disposed,) = evening.records("difference.disposed", release=release)
    assert (disposed["by"], disposed["data"]["reason"]) == (OTHER_ADMIN, "next sprint")
    evening.told(run, "disposed of it")
    assert "next sprint" in evening.types(DEVELOPER, f"/stage compare {release}")

    passed(evening, "promotion", release)
    assert evening.version("prod", "web") == "2.4.0"
    assert "archived" not in evening.on_host("prod", "db", SCHEMA)


def test_what_no_listed_change_is_about_and_test_data_that_a_step_leaves_behind(house: House) -> None:
    evening = house.open(lambda config: lenient(house, config))
    steps = [
        {"name": "Be quick", "on": "db", "run": 'sqlite3 "$HOME/shop.db" "create index quick on orders(customer)"'},
        {"name": "Fill it", "on": "web", "run": """printf 'a\\nTest %s 7\\n' Customer >"$HOME/app/fixtures.txt\""""},
    ]
    release = hand_off(evening, house.package("9.0", steps))
    run = passed(evening, "rehearsal", release)
    assert "quick" in evening.on_host("staging", "db", SCHEMA)
    assert "Test Customer 7" in evening.on_host("staging", "web", "cat app/fixtures.txt")

    found = {f["data"]["kind"]: f["data"] for f in evening.records("difference.found", run=run)}
    assert found.keys() == {"qa", "unlisted", "content"}
    unlisted = evening.told(run, "schema changed on staging db, and no listed change is of kind database")
    assert "quick" in unlisted.text
    content = evening.told(run, "on staging web the deployment left")
    assert "app/fixtures.txt, line 2" in content.text
    assert "Test Customer 7" not in content.text

    refused(evening, release)
    assert "Still open: content." in evening.types(ADMIN, f"/stage dispose {release} schema wanted, and forgotten")
    refused(evening, release)
    assert "Nothing is open any more" in evening.types(ADMIN, f"/stage dispose {release} content of the old shop")
    passed(evening, "promotion", release)
    assert "quick" in evening.on_host("prod", "db", SCHEMA)
