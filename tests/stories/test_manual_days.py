"""Manual tests take days: one list, answered in any order, by whom it is assigned to, across restarts of the bot."""

from typing import Any

from stories.house import ADMIN, DEVELOPER, TESTER, House, hand_off, question

CHECKS = ("The list", "The letter", "The label")


def _by_hand(house: House, config: dict[str, Any]) -> None:
    checks = ", ".join(f"{{name: {name}, manual: Look at it.}}" for name in CHECKS)
    (house.folder / "crm.tests.yaml").write_text(f"app: crm\ndeep: [{checks}]\n")


def test_three_checks_are_one_list_and_the_verdict_waits_for_the_last(house: House) -> None:
    evening = house.open(lambda config: _by_hand(house, config))
    release = hand_off(evening, house.package("1.1.0", [{"name": "Touch", "on": "web", "run": "true"}], app="crm"))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.soon(lambda: len(evening.records("run.paused", run=run)) == 3, "not all three are asked")
    evening.soon(lambda: "3 manual checks: 3 open" in question(evening, run).text, "no list")
    listed = question(evening, run)
    assert [button.value for button in listed.buttons] == [f"{run}/{n}" for n in (1, 1, 2, 2, 3, 3)]
    assert [r["data"]["key"] for r in evening.records("message.posted") if "/question/" in r["data"]["key"]] == [
        f"run/{run}/question/1"
    ]

    assert "not_in_role" in evening.types(ADMIN, f"/stage assign {run} 2 <@{DEVELOPER}>")
    assert "is asked to make" in evening.types(ADMIN, f'/stage assign {run} "the letter" <@{TESTER}>')
    evening.told(run, f"<@{TESTER}>: <@{ADMIN}> asks you to make the check")
    evening.types(TESTER, f"/stage answer {run}/3 fail the label is torn")
    evening.soon(lambda: "1 failed, 2 open" in question(evening, run).text, "the list is not edited")
    assert not evening.records("run.finished", run=run)

    house.kill_bot()
    house.start_bot()
    evening.types(TESTER, f"/stage answer {run}/1 pass")
    evening.types(TESTER, f"/stage answer {run}/2 pass it reads well")
    end = evening.finished(run)
    assert (end["verdict"], end["reason"]) == ("failed", "“The label” failed: the label is torn")
    evening.soon(lambda: "2 passed, 1 failed" in question(evening, run).text, "the list is not edited")
    assert ">it reads well" in question(evening, run).text.replace("&gt;", ">")


def test_a_stop_closes_all_that_are_open(house: House) -> None:
    evening = house.open(lambda config: _by_hand(house, config))
    release = hand_off(evening, house.package("1.1.0", [{"name": "Touch", "on": "web", "run": "true"}], app="crm"))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.soon(lambda: len(evening.records("run.paused", run=run)) == 3, "not all three are asked")
    evening.types(TESTER, f"/stage answer {run}/2 pass")
    evening.types(ADMIN, f"/stage abort {run}")
    assert evening.finished(run)["verdict"] == "aborted"
    evening.soon(lambda: "1 passed, 2 not asked any more" in question(evening, run).text, "the list is not edited")
    assert not question(evening, run).buttons
