"""Nobody brings anything to prod alone, or at a time when nobody should; and in an emergency everybody knows."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from stories.house import ADMIN, DEVELOPER, OTHER_ADMIN, TESTER, House, hand_off

from bot.tales.story import Evening
from lab.desk import Message

CRM = "crm-1.0.0.zip"


def rehearsed(evening: Evening, release: str) -> None:
    end = evening.finished(evening.started(ADMIN, f"/stage run {release}", "rehearsal"))
    assert (end["verdict"], end["clean"]) == ("passed", True), end["reason"]


def shut(evening: Evening, release: str, *gates: str) -> str:
    """Types /promote, which is refused for these gates: the answer."""
    answer = evening.types(ADMIN, f"/promote {release}")
    assert evening.records("promotion.refused", release=release)[-1]["data"]["gates"] == list(gates), answer
    return answer


def in_channel(evening: Evening, words: str, count: int = 1) -> Message:
    """Waits until so many messages in the channel have these words: the last."""

    def look() -> Message | None:
        found = [message for message in evening.desk.messages(evening.channel) if words in message.text]
        return found[-1] if len(found) >= count else None

    said: Message = evening.soon(look, f"the channel is not told “{words}”")
    return said


def in_a_minute() -> str:
    """The next full minute, as it is typed: at least ten seconds from now."""
    now = datetime.now(ZoneInfo("Europe/Berlin"))
    return f"{now + timedelta(seconds=70):%Y-%m-%d %H:%M}"


def test_a_further_admin_says_yes_or_no_to_what_there_is_now(house: House) -> None:
    def two_developers(config: dict[str, Any]) -> None:
        config["policy"].update(approvals="1")
        config["roles"].update(developers=[DEVELOPER, OTHER_ADMIN])

    evening = house.open(two_developers)
    release = hand_off(evening, evening.packages / CRM, by=DEVELOPER)
    rehearsed(evening, release)
    assert "0 of 1 needed" in shut(evening, release, "approvals_missing")
    asked = in_channel(evening, "asks further admins to approve the promotion")
    count = len(evening.desk.ephemerals(TESTER))
    evening.desk.presses(TESTER, asked, "Approve")
    evening.soon(lambda: evening.desk.ephemerals(TESTER)[count:], "the tester is not refused")
    assert not evening.records("approval.given")
    evening.desk.presses(OTHER_ADMIN, asked, "Approve")
    evening.soon(lambda: evening.records("approval.given", release=release), "the approval is not written down")
    evening.types(ADMIN, f"/promote approve {release}")  # that of who promotes it does not count

    tests = house.folder / "crm.tests.yaml"  # something changes: the test plan
    tests.write_text(tests.read_text().replace("The report counts the companies", "Companies are counted"))
    house.restart_bot()
    answer = shut(evening, release, "plans_changed_since", "approvals_missing")
    assert "plans_changed_since" in answer
    assert "2 do not count" in evening.types(TESTER, f"/promote check {release}")
    count = len(evening.desk.ephemerals(OTHER_ADMIN))
    evening.desk.presses(OTHER_ADMIN, asked, "Approve")
    void = evening.soon(lambda: evening.desk.ephemerals(OTHER_ADMIN)[count:], "the old button says nothing")
    assert "question_void" in void[-1].text

    rehearsed(evening, release)
    shut(evening, release, "approvals_missing")
    in_channel(evening, "asks further admins to approve the promotion", 2)
    evening.types(OTHER_ADMIN, f"/promote refuse {release} not on a Friday")
    in_channel(evening, "refused the promotion of R-1: not on a Friday.")
    assert "was_refused" in evening.types(OTHER_ADMIN, f"/promote approve {release}")
    assert "not on a Friday" in shut(evening, release, "approvals_missing")  # which asks anew
    evening.types(OTHER_ADMIN, f"/promote approve {release}")
    end = evening.finished(evening.started(ADMIN, f"/promote {release}", "promotion"))
    assert end["verdict"] == "passed"
    assert evening.on_host("crm-prod", "web", "cat crm/VERSION").strip() == "1.0.0"


def test_who_handed_it_off_neither_promotes_nor_approves_it(house: House) -> None:
    def admins_develop(config: dict[str, Any]) -> None:
        config["policy"].update(approvals="1")
        config["roles"].update(developers=[DEVELOPER, ADMIN])

    evening = house.open(admins_develop)
    release = hand_off(evening, evening.packages / CRM, by=ADMIN)
    rehearsed(evening, release)
    assert "same_person" in shut(evening, release, "same_person", "approvals_missing")
    assert "same_person" in evening.types(ADMIN, f"/promote approve {release}")
    assert not evening.records("approval.given")


def test_a_freeze_of_the_calendar_holds_when_its_time_comes_and_only_an_emergency_goes_past_it(house: House) -> None:
    freeze = {"from": "2020-01-01", "until": "2099-12-31", "reason": "the stocktaking"}
    evening = house.open(lambda config: config["policy"].update(freezes=[freeze], approvals="1", approvals_expire="1s"))
    release = hand_off(evening, evening.packages / CRM)
    assert "not_rehearsed" in evening.types(ADMIN, f"/promote {release} emergency the report is wanted now")
    assert not evening.records("promotion.forced")
    rehearsed(evening, release)
    answer = evening.types(ADMIN, f"/promote {release} at {in_a_minute()}")
    assert "the gates are judged again then" in answer
    evening.types(OTHER_ADMIN, f"/promote approve {release}")
    assert evening.records("approval.given", release=release)

    def expired() -> bool:
        return "1 do not count" in evening.types(TESTER, f"/promote check {release}")

    evening.soon(expired, "the approval does not expire")
    evening.desk.wait(lambda: evening.records("promotion.unscheduled", release=release), 90)
    (over,) = evening.records("promotion.unscheduled", release=release)
    assert over["by"] == "quarterdeck"
    assert "approvals_missing" in over["data"]["reason"]
    assert evening.records("promotion.refused", release=release)[-1]["data"]["gates"] == ["approvals_missing", "frozen"]
    in_channel(evening, "Nothing was done, and it is not scheduled any more")
    assert "frozen by the calendar until" in evening.types(TESTER, f"/promote check {release}")
    assert evening.on_host("crm-prod", "web", "cat crm/VERSION").strip() == "0.9.0"

    run = evening.started(ADMIN, f"/promote {release} emergency the report is wanted now", "promotion")
    (forced,) = evening.records("promotion.forced", release=release)
    assert forced["data"]["gates"] == ["approvals_missing", "frozen"]
    told = in_channel(evening, "in an emergency")
    assert "the report is wanted now" in told.text
    assert f"/promote review {release} TEXT" in told.text
    assert evening.finished(run)["verdict"] == "passed"
    assert evening.on_host("crm-prod", "web", "cat crm/VERSION").strip() == "1.0.0"
    assert "Review wanted" in evening.types(TESTER, "/promote status")
    evening.types(OTHER_ADMIN, f"/promote review {release} the report was wanted indeed")
    (review,) = evening.records("review.given", subject=release)
    assert review["by"] == OTHER_ADMIN
    assert "Review wanted" not in evening.types(TESTER, "/promote status")
