"""A defect that slipped through keeps its app off prod until a check that names it passes, or an admin lets it be."""

from stories.house import ADMIN, DEVELOPER, OTHER_ADMIN, House, hand_off

from bot.tales.bad_day import CHECK
from bot.tales.story import Evening

CHECK_NAME = "A company counts once, however it is written"


def passed(evening: Evening, kind: str, release: str) -> int:
    typed = f"/stage run {release}" if kind == "rehearsal" else f"/promote {release}"
    run = evening.started(ADMIN, typed, kind)
    end = evening.finished(run)
    assert end["verdict"] == "passed", end["reason"]
    return run


def shut(evening: Evening, release: str, *gates: str) -> str:
    answer = evening.types(ADMIN, f"/promote {release}")
    assert evening.records("promotion.refused", release=release)[-1]["data"]["gates"] == list(gates), answer
    return answer


def version(evening: Evening) -> str:
    return evening.on_host("crm-prod", "web", "cat crm/VERSION").strip()


def test_an_escaped_defect_is_paid_back_by_a_check_that_failed_on_the_release_it_escaped_from(house: House) -> None:
    evening = house.open()
    first = hand_off(evening, evening.packages / "crm-1.0.0.zip")
    passed(evening, "rehearsal", first)
    assert "not_on_prod" in evening.types(ADMIN, f"/promote escape {first} nobody has it yet")
    passed(evening, "promotion", first)
    evening.types(DEVELOPER, f"/promote escape {first} companies count twice")
    assert not evening.records("escape.recorded")
    told = evening.types(OTHER_ADMIN, f"/promote escape {first} companies count twice")
    assert "It is E-1." in told
    assert "covers: [E-1]" in told
    assert "already_recorded" in evening.types(ADMIN, f"/promote escape {first} companies count twice")

    mended = hand_off(evening, evening.packages / "crm-1.0.1.zip")
    passed(evening, "rehearsal", mended)  # which proves nothing: no check looks
    assert "companies count twice" in shut(evening, mended, "escape_open")
    assert "no check of the test plan names it yet" in evening.types(DEVELOPER, "/promote status")

    tests = house.folder / "crm.tests.yaml"
    tests.write_text(tests.read_text() + CHECK)
    house.restart_bot()
    run = evening.started(ADMIN, f"/stage run {first}", "rehearsal")  # would it have been found?
    assert evening.finished(run)["verdict"] == "failed"
    assert "2 companies" in evening.told(run, CHECK_NAME).text
    shut(evening, mended, "plans_changed_since", "escape_open")
    assert f"failed on {first}" in evening.types(DEVELOPER, f"/promote check {mended}")

    passed(evening, "rehearsal", mended)
    tried = [(t["data"]["release"], t["data"]["outcome"]) for t in evening.records("escape.tried", escape="E-1")]
    assert tried == [(first, "failed"), (mended, "ok")]
    passed(evening, "promotion", mended)
    assert version(evening) == "1.0.1"
    (closed,) = evening.records("escape.closed", escape="E-1")
    assert (closed["data"]["how"], closed["data"]["release"], closed["data"]["check"]) == ("check", mended, CHECK_NAME)
    assert "E-1" not in evening.types(DEVELOPER, "/promote status")


def test_an_escaped_defect_that_is_let_be_with_a_reason_stands_in_nobodys_way(house: House) -> None:
    evening = house.open()
    release = hand_off(evening, evening.packages / "crm-1.0.0.zip")
    passed(evening, "rehearsal", release)
    passed(evening, "promotion", release)
    evening.types(ADMIN, f"/promote escape {release} the column is too narrow")
    mended = hand_off(evening, evening.packages / "crm-1.0.1.zip")
    passed(evening, "rehearsal", mended)
    shut(evening, mended, "escape_open")
    evening.types(OTHER_ADMIN, "/promote accept E-1 nobody prints it")
    (closed,) = evening.records("escape.closed", escape="E-1", how="accepted")
    assert (closed["by"], closed["data"]["reason"]) == (OTHER_ADMIN, "nobody prints it")
    passed(evening, "promotion", mended)
    assert version(evening) == "1.0.1"
