"""Silence is not success: prod is looked at after a promotion, and a mark that fails calls the admins."""

import json
from typing import Any

from stories.house import ADMIN, TESTER, House, hand_off, question

from bot.tales.story import Evening

WEB = ("web", "web/2")


def watched(config: dict[str, Any]) -> None:
    config["policy"].update(watch=["1s", "12s", "14s"], lookout="")
    del config["apps"]["webshop"]["qa"]


def on_prod(evening: Evening) -> tuple[str, int]:
    """webshop 2.4.1, rehearsed, deployed, and watched: its first mark has passed."""
    release = hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.desk.presses(TESTER, question(evening, run), "answer:pass")
    assert evening.finished(run)["verdict"] == "passed"
    promotion = evening.started(ADMIN, f"/promote {release}", "promotion")
    evening.soon(lambda: evening.records("watch.checked", run=promotion, ok=True), "the first mark does not pass")
    return release, promotion


def facts(evening: Evening, run: int) -> dict[str, str]:
    """What of prod a run wrote down last."""
    return dict(evening.records("facts.collected", run=run, environment="prod")[-1]["data"]["digests"])


def test_a_mark_that_fails_calls_the_admins_who_roll_back_from_the_button(house: House) -> None:
    evening = house.open(watched)
    before = {host: evening.version("prod", host) for host in WEB}
    release, run = on_prod(evening)
    untouched = evening.records("facts.collected", run=run, environment="prod")[0]["data"]["digests"]
    evening.on_host("prod", "web/2", "./shopctl stop")
    end = evening.finished(run)
    assert (end["verdict"], "The shop answers" in end["reason"]) == ("failed", True)
    assert [(r["data"]["mark"], r["data"]["ok"]) for r in evening.records("watch.checked", run=run)] == [
        ("1s", True),
        ("12s", False),
    ]
    evening.told(run, "12s after the promotion: failed")
    called = evening.told(run, "an admin decides")
    assert f"<@{ADMIN}>" in called.text
    for line in (f"/promote {release}", f"/promote rollback {release}", f"/promote revert {release} prod"):
        assert f"`{line}`" in called.text
    assert {"Try again", "Roll back", "Back to the snapshot …", "Leave it"} <= {b.label for b in called.buttons}

    evening.desk.presses(ADMIN, called, "rollback")
    started = evening.soon(lambda: evening.records("run.started", kind="rollback"), "nothing is rolled back")
    back = started[0]["data"]["run"]
    assert evening.finished(back)["verdict"] == "passed"
    assert {host: evening.version("prod", host) for host in WEB} == before
    assert facts(evening, back) == untouched
    assert [button.label for button in evening.told(run, "a later run has taken it on from here").buttons] == ["Report"]


def test_the_snapshot_of_a_failed_promotion_goes_when_it_is_too_old(house: House) -> None:
    evening = house.open(watched)
    _, run = on_prod(evening)
    evening.on_host("prod", "web", "./shopctl stop")
    assert evening.finished(run)["verdict"] == "failed"
    taken = {r["data"]["snapshot"] for r in evening.records("snapshot.taken", run=run)}
    assert len(taken) == 3
    assert not taken & {r["data"]["snapshot"] for r in evening.records("snapshot.removed")}
    config = json.loads(house.config.read_text())
    config["policy"]["snapshot_max_age"] = "1s"
    house.config.write_text(json.dumps(config))
    house.restart_bot()

    def gone() -> bool:
        return taken <= {r["data"]["snapshot"] for r in evening.records("snapshot.removed")}

    evening.soon(gone, "the snapshots stay")
    assert "no_snapshot" in evening.types(ADMIN, "/promote revert R-1 prod")
