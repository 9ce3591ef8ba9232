"""Developers never touch staging or prod, whatever they type."""

import pytest
from stories.house import ADMIN, DEVELOPER, TESTER, House, hand_off, question

ADMINS_ONLY = (
    "/stage run R-1",
    "/stage run",
    "/stage check staging",
    "/stage reset staging",
    "/stage abort 1",
    "/stage abort 1 now",
    "/stage lock staging because",
    "/stage attest staging because",
    "/stage unlock staging",
    "/promote R-1",
    "/promote R-1 at 22:00",
    "/promote rollback R-1",
    "/promote approve R-1",
    "/promote defective R-1 because",
    "/promote freeze because",
    "/promote freeze until 23:00 because",
    "/promote unfreeze",
    "/promote abort",
)


def test_a_developer_tries_every_admin_command(house: House) -> None:
    evening = house.open()
    hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    for count, command in enumerate(ADMINS_ONLY, 1):
        answer = evening.types(DEVELOPER, command)
        denied = evening.records("access.denied", role="admins")
        assert len(denied) == count, f"{command}: {answer}"
        assert denied[-1]["by"] == DEVELOPER
        assert "admins" in answer
    done = {record["type"] for record in evening.everything()}
    assert done <= {"config.loaded", "package.handed_off", "message.posted", "access.denied"}


@pytest.mark.parametrize(("user", "channel"), [("U04GUEST", "C01DEPLOYS"), ("U05OTHER", "C04SHARED")])
def test_guests_and_people_from_elsewhere_see_nothing(house: House, user: str, channel: str) -> None:
    evening = house.open(lambda config: config["roles"].update(developers="everybody"))
    hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    for command in (f"/handoff {evening.packages}/webshop-2.4.0.zip", "/handoff list", "/stage status"):
        evening.types(user, command, channel)
    assert {record["by"] for record in evening.records("access.denied")} == {user}
    assert len(evening.records("package.handed_off")) == 1


def test_a_tester_is_no_admin_and_an_admin_no_tester(house: House) -> None:
    evening = house.open()
    hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    run = evening.started(ADMIN, "/stage run R-1", "rehearsal")
    question(evening, run)
    answer = evening.types(ADMIN, f"/stage answer {run} pass")
    assert "testers" in answer
    assert not evening.records("run.decided", run=run)
    evening.types(TESTER, f"/stage answer {run} pass looked at it twice")
    assert evening.finished(run)["verdict"] == "passed"
    assert evening.records("run.decided", run=run)[0]["data"]["note"] == "looked at it twice"
