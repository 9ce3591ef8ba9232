"""Only what passed a clean rehearsal reaches prod."""

from stories.house import ADMIN, DEVELOPER, OTHER_ADMIN, TESTER, House, hand_off, question

from bot.tales.story import Evening


def shut(evening: Evening, release: str) -> list[str]:
    refused = evening.records("promotion.refused", release=release)
    return list(refused[-1]["data"]["gates"])


def test_what_was_never_rehearsed(house: House) -> None:
    evening = house.open()
    release = hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    answer = evening.types(ADMIN, f"/promote {release}")
    assert "not_rehearsed" in answer
    assert f"/stage run {release}" in answer
    assert shut(evening, release) == ["not_rehearsed"]
    assert not evening.records("run.started")


def test_what_failed(house: House) -> None:
    evening = house.open()
    release = hand_off(
        evening, house.package("9.0", [{"name": "Cannot work", "on": "web", "run": "exit 3"}], app="crm")
    )
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    asked = question(evening, run)
    assert "Cannot work" in asked.text
    assert "exit code 3" in asked.text
    evening.desk.presses(ADMIN, asked, "answer:abort")
    assert evening.finished(run)["verdict"] == "failed"
    assert "rehearsal_failed" in evening.types(ADMIN, f"/promote {release}")
    assert shut(evening, release) == ["rehearsal_failed"]


def test_what_was_skipped_through_and_passed(house: House) -> None:
    evening = house.open(house.untested)
    steps = [{"name": "Cannot work", "on": "web", "run": "exit 3"}]
    release = hand_off(evening, house.package("9.0", steps, app="crm"))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.desk.presses(ADMIN, question(evening, run), "answer:skip")
    end = evening.finished(run)
    assert (end["verdict"], end["clean"]) == ("passed", False)
    answer = evening.types(ADMIN, f"/promote {release}")
    assert "rehearsal_not_clean" in answer
    assert shut(evening, release) == ["rehearsal_not_clean"]
    assert not evening.records("run.started", kind="promotion")


def test_what_that_same_admin_handed_off(house: House) -> None:
    evening = house.open(lambda config: config["roles"].update(developers=[DEVELOPER, ADMIN]))
    release = hand_off(evening, evening.packages / "crm-1.0.0.zip", by=ADMIN)
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    assert evening.finished(run)["verdict"] == "passed"
    assert "same_person" in evening.types(ADMIN, f"/promote {release}")
    assert shut(evening, release) == ["same_person"]
    run = evening.started(OTHER_ADMIN, f"/promote {release}", "promotion")
    assert evening.finished(run)["verdict"] == "passed"


def test_a_freeze_a_lock_and_missing_approvals(house: House) -> None:
    evening = house.open(lambda config: config["policy"].update(approvals="1"))
    release = hand_off(evening, evening.packages / "crm-1.0.0.zip")
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    assert evening.finished(run)["verdict"] == "passed"
    evening.types(ADMIN, "/promote freeze the auditors are here")
    evening.types(OTHER_ADMIN, "/stage lock crm-prod the disk is being changed")
    evening.types(ADMIN, f"/promote {release}")
    assert shut(evening, release) == ["approvals_missing", "frozen", "locked"]
    checked = evening.types(TESTER, f"/promote check {release}")
    for words in ("the auditors are here", "the disk is being changed", "0 of 1"):
        assert words in checked
    evening.types(ADMIN, "/promote unfreeze")
    evening.types(ADMIN, "/stage unlock crm-prod")
    evening.types(OTHER_ADMIN, f"/promote approve {release}")
    run = evening.started(ADMIN, f"/promote {release}", "promotion")
    assert evening.finished(run)["verdict"] == "passed"
