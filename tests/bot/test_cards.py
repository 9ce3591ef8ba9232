"""What a user reads in the channel and in a run's thread."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import planned
from msgspec.structs import replace
from scenes import REHEARSAL, Scene
from slack_sdk.models.blocks import Block

from bot.line.blocks import Message, amount, clean, escape, fitting, flat, line, mentions, quoted
from bot.telling import replies
from bot.telling.cards import RUNGS, emphasised, release_card, run_card, state, uncapitalised
from bot.telling.notices import notice
from bot.telling.pointed import difference_reply
from lab.desk import readable
from lab.slack.blocks import complaints
from plans import events as e
from plans.hooks import Hooked
from plans.records import Kept, Run
from plans.restore_tests import Trend
from plans.reverting import Ways
from plans.rule_events import PromotionLeft
from plans.rule_records import Difference

NASTY = "<!channel> <@U02ADMIN> & ```` <!date^0^{date}|now> \x1b[31mred\x1b[0m \u202e" + '"\\' * 1500
HASH = "0123456789abcdef" * 4


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    scene = Scene(tmp_path)
    scene.hands_off()
    yield scene
    scene.board.close()


def card(scene: Scene, number: int, rung: str = "plan", waits_for: Run | None = None) -> Message:
    run = scene.board.run(number)
    release = scene.board.release(run.release) if run.release else None
    phases = REHEARSAL if run.kind == "rehearsal" else ("protect", "deploy", "test", "watch")
    return run_card(run, phases, release=release, waits_for=waits_for, now=scene.time, rung=rung)


def end(scene: Scene, number: int, **more: Any) -> Message:
    run = scene.board.run(number)
    release = scene.board.release(run.release) if run.release else None
    return replies.end_reply(run, release=release, seq=123, digest=HASH, asked=(), **more)


def shown(message: Message) -> str:
    return readable(list(message.blocks))


def buttons(message: Message) -> list[dict[str, Any]]:
    """What may be pressed; of an end's, what is to be done next: its report may always be had."""
    pressed = [one for block in message.blocks if block["type"] == "actions" for one in block["elements"]]
    return [one for one in pressed if one["action_id"] != "report"]


def fits(message: Message) -> None:
    """Slack takes it: the SDK's own validation, the lab's, and the budget."""
    assert message.text.strip()
    assert len(message.text) < 40_000
    assert complaints(list(message.blocks), "message") == []
    assert len(json.dumps(message.blocks, ensure_ascii=False)) < 9_300
    for block in message.blocks:
        Block.parse(block).validate_json()  # type: ignore[union-attr]


# --- the message of a run ---------------------------------------------------------------------------------------------


def test_a_running_card_answers_what_where_who_how_far_and_what_next(scene: Scene) -> None:
    scene.begins(1)
    scene.reaches_deploy()
    scene.starts(1, 8, "deploy", "Stop the shop", "web", "web/2", written=True)
    message = card(scene, 1)
    said = shown(message)
    assert "Rehearsal of webshop 2.4.0 on staging" in said
    assert "*Running*\nR-1 · run 1" in said
    assert "Power on: done, 6.0 s: complete" in said
    assert "Deploy: step 8 of 12, “Stop the shop” on web, web/2: in_progress" in said
    assert "Test: to come: pending" in said
    assert "*Next:* nothing to do; its thread tells each step. To stop it: `/stage abort 1`." in said
    assert "Started by <@U02ADMIN> <!date^" in said
    assert "14 s so far" in said
    assert "Deploy: step 8 of 12, “Stop the shop” on web, web/2." in message.text
    (abort,) = buttons(message)
    assert (abort["action_id"], abort["value"], abort["style"]) == ("abort", "1", "danger")
    assert "says nothing about the package" in readable(abort["confirm"])
    fits(message)


@pytest.mark.parametrize("rung", RUNGS)
def test_every_rung_says_the_same_words(scene: Scene, rung: str) -> None:
    scene.begins(1)
    scene.reaches_deploy()
    scene.does(1, 8, "deploy", "Stop the shop", "web", written=True, outcome="failed", reason="exit 3")
    scene.finishes(1, "failed", "“Stop the shop” failed on web: exit 3")
    message = card(scene, 1, rung)
    for words in (
        "ailed: “Stop the shop” failed on web: exit 3",
        "Deploy: failed at “Stop the shop”",
        "Test: not reached",
        "the package is mended and handed off anew",
        "took 16 s",
    ):
        assert words in message.text + shown(message)
    assert bool(message.blocks) == (rung != "text")
    assert not buttons(message)
    fits(message)


@pytest.mark.parametrize(
    ("play", "state", "following"),
    [
        (lambda s: None, "About to begin", "nothing to do"),
        (
            lambda s: (s.does(1, 1, "deploy", "X", "web", outcome="failed"), s.asks(1, 1, "X failed")),
            "Waiting for an answer",
            "one of the admins answers in the thread (retry, skip, abort), or types `/stage answer 1 retry`.",
        ),
        (
            lambda s: s.says(e.RunAborting(run=1, now=False), "U02ADMIN"),
            "Stopping after the present step",
            "`/stage abort 1 now`",
        ),
        (lambda s: s.finishes(1, "passed"), "Passed, clean", "`/promote R-1`"),
        (
            lambda s: s.finishes(1, "errored", "“Restore” errored on db: exit 2"),
            "Errored: “Restore” errored on db: exit 2. It says nothing about the package",
            "mends what is named here and runs it again: `/stage run R-1`",
        ),
        (
            lambda s: (
                s.says(e.RunAborting(run=1, now=False), "U02ADMIN"),
                s.finishes(1, "aborted", "stopped by <@U02ADMIN> before “X <@U01DEV>”"),
            ),
            "Aborted: stopped by <@U02ADMIN> before “X &lt;@U01DEV&gt;”",
            "to start over: `/stage run R-1`",
        ),
    ],
)
def test_the_state_in_words(scene: Scene, play: Callable[[Scene], object], state: str, following: str) -> None:
    scene.begins(1)
    play(scene)
    for message in (card(scene, 1), card(scene, 1, "sections")):
        assert f"{emphasised(state)}\nR-1 · run 1" in shown(message) + "\n"
        assert following in shown(message)
        assert uncapitalised(state) in message.text
        assert following in message.text
        fits(message)


def test_a_run_that_waits_says_for_which(scene: Scene) -> None:
    first, _ = scene.begins(1), scene.begins(2)
    message = card(scene, 2, waits_for=first)
    assert "Waiting for run 1" in shown(message)
    assert "it begins by itself when run 1 (rehearsal) has ended" in shown(message)


@pytest.mark.parametrize("rung", ["plan", "sections", "text"])
def test_a_run_against_a_vcenter_that_is_not_verified_says_so_loudly(scene: Scene, rung: str) -> None:
    scene.says(
        e.RunStarted(
            run=1,
            kind="check",
            release=None,
            environment="staging",
            plans="p",
            cautions=("vCenter main (vc.example.com) is NOT VERIFIED",),
        )
    )
    message = card(scene, 1, rung)
    assert "Warning: vCenter main (vc.example.com) is NOT VERIFIED." in message.text
    assert rung == "text" or "*Warning:* vCenter main (vc.example.com) is NOT VERIFIED." in shown(message)


def test_not_clean_says_why(scene: Scene) -> None:
    scene.begins(1)
    scene.does(1, 1, "deploy", "Stop the shop", "web", written=True, outcome="failed")
    scene.asks(1, 1, "“Stop the shop” failed")
    scene.says(e.RunDecided(run=1, step=1, choice="skip"), "U02ADMIN")
    scene.finishes(1, "passed")
    assert "*Passed, not clean*: “Stop the shop” was skipped" in shown(card(scene, 1))
    assert "*Passed, not clean*: “Stop the shop” was skipped" in shown(end(scene, 1))
    assert buttons(end(scene, 1)) == []
    assert end(scene, 1).blocks[-2]["elements"][-1]["action_id"] == "report"


def test_a_watch_shows_its_marks(scene: Scene) -> None:
    scene.begins(1, "promotion")
    scene.does(1, 1, "deploy", "Stop the shop", "web", written=True)
    scene.does(1, 2, "watch", "Begin the watch")
    scene.says(e.WatchChecked(run=1, mark="10m", ok=True))
    message = card(scene, 1)
    assert "Promotion of webshop 2.4.0 to prod" in shown(message)
    assert "Watch: 10m ok: in_progress" in shown(message)
    assert "`/promote rollback R-1`" in shown(message)


# --- the thread -------------------------------------------------------------------------------------------------------


def test_a_phase_of_the_machinery_is_one_reply(scene: Scene) -> None:
    scene.begins(1)
    scene.reaches_deploy()
    message = replies.phase_reply(scene.board.run(1), "power_on", 3)
    assert "*Power on*: ok, isolation proved · 3 steps, 6.0 s" in shown(message)
    assert "Go back to the last snapshot on web, db: ok, 2.0 s" in shown(message)
    assert message.text == "Power on: ok, isolation proved, 3 steps, 6.0 s."
    fits(message)


def test_a_difference_between_staging_and_prod_is_readable_in_the_thread(scene: Scene) -> None:
    scene.begins(1)
    diff = "schema: staging db and prod db differ\n  only on staging db: create table <a>\n  only on prod db: ```"
    scene.starts(1, 1, "confirm", "Compare with prod")
    scene.ends(1, 1, "", "errored", code=None, reason=diff)
    message = replies.phase_reply(scene.board.run(1), "confirm", 1)
    assert diff in shown(message)
    assert "  only on staging db: create table &lt;a&gt;\n" in message.text
    fits(message)


def test_a_phase_that_the_run_came_back_to_tells_only_what_is_new(scene: Scene) -> None:
    scene.begins(1)
    for number, (phase, name) in enumerate([("confirm", "First"), ("restore", "Again"), ("confirm", "Second")], 1):
        scene.does(1, number, phase, name)
    assert "Second" in shown(replies.phase_reply(scene.board.run(1), "confirm", 3))
    assert "First" not in shown(replies.phase_reply(scene.board.run(1), "confirm", 3))
    assert "First" in shown(replies.phase_reply(scene.board.run(1), "confirm", 1))


def test_a_restore_says_how_old_its_data_was_and_the_end_what_it_took(scene: Scene) -> None:
    scene.begins(1)
    scene.starts(1, 1, "restore", "Restore the orders", "db", "db/2", written=True)
    for host, age, seconds in (("db", 3600.0, 100.0), ("db/2", 7200.0, 80.0)):
        scene.says(
            e.RestoreMeasured(run=1, host=host, name="Restore the orders", artifact_age_seconds=age, seconds=seconds)
        )
        scene.ends(1, 1, host)
    scene.says(e.RestoreMeasured(run=1, host="runner", name="Tidy", artifact_age_seconds=None, seconds=20.0))
    step = replies.step_reply(scene.board.run(1), 1, {})
    assert "· db, db/2 · data 2 h old" in shown(step)
    assert "on db, db/2 · data 2 h old." in step.text
    scene.finishes(1, "passed")
    for text in (shown(end(scene, 1)), end(scene, 1).text):
        assert "Restored in 2 min from data 2 h old" in text
    fits(end(scene, 1))


@pytest.mark.parametrize(
    ("trend", "said"),
    [
        (Trend(720, 3600, 0, 0.0, None), "Restored in 2 min from data 2 h old; the first restore test that did"),
        (Trend(120, 7200, 1, 60, None), "Restored in 2 min from data 2 h old; the night before: in 1 min"),
        (
            Trend(120, 7200, 7, 660, 18000),
            "Restored in 2 min from data 2 h old; on average of the last 7 nights: in 11 min from data 5 h old",
        ),
    ],
)
def test_the_end_of_a_restore_test_holds_it_against_the_nights_before(scene: Scene, trend: Trend, said: str) -> None:
    scene.begins(1, "restore_test", None)
    scene.starts(1, 1, "restore", "Restore", "db", written=True)
    scene.says(e.RestoreMeasured(run=1, host="db", name="Restore", artifact_age_seconds=7200.0, seconds=120.0))
    scene.ends(1, 1, "db")
    scene.finishes(1, "passed")
    for text in (shown(end(scene, 1, trend=trend)), end(scene, 1, trend=trend).text):
        assert said in text


def test_a_lookout_says_what_it_came_to(scene: Scene) -> None:
    scene.begins(1, "lookout", None)
    scene.starts(1, 1, "lookout", "Compare webshop with after its last promotion")
    scene.ends(1, 1)
    quiet = scene.finishes(1, "passed")
    assert state(quiet, None) == "Nothing has moved"
    moved = replace(quiet, quiet=False)
    card = run_card(moved, ("lookout",), release=None, waits_for=None, now=scene.time)
    assert "was changed without a promotion" in shown(card)
    assert "/promote outside" in shown(card)
    errored = replace(quiet, quiet=False, verdict="errored", reason="fact schema on prod db: no such file")
    assert "looked at again the next night" in shown(
        run_card(errored, ("lookout",), release=None, waits_for=None, now=scene.time)
    )


def test_the_end_names_the_restore_that_it_stood_on(scene: Scene) -> None:
    before = (scene.time - timedelta(hours=2)).isoformat()
    scene.begins(4)
    scene.says(e.RestoreReused(run=4, of=3, restored=before))
    scene.finishes(4, "passed")
    assert "On the data that run 3 restored 2 h before" in shown(end(scene, 4))


def test_a_step_that_went_well_shows_a_little_of_its_output(scene: Scene) -> None:
    scene.begins(1)
    scene.does(1, 1, "deploy", "Migrate", "db", written=True)
    output = "\n".join(f"line {number}" for number in range(10))
    message = replies.step_reply(scene.board.run(1), 1, {"db": replies.tail(output, "ok")})
    assert "*Migrate*: ok · 2.0 s · db" in shown(message)
    assert "line 7\nline 8\nline 9" in shown(message)
    assert "line 6" not in shown(message)
    assert message.text.startswith("Run 1, “Migrate”: ok, 2.0 s, on db.\n```\nline 7")
    fits(message)


def test_a_step_that_failed_says_where_why_and_shows_more(scene: Scene) -> None:
    scene.begins(1)
    scene.starts(1, 1, "deploy", "Stop the shop", "web", "web/2", written=True)
    scene.ends(1, 1, "web")
    scene.ends(1, 1, "web/2", "failed", code=3, reason="exit 3")
    output = "\n".join(f"line {number}" for number in range(30)) + "\n```\n<!channel>"
    message = replies.step_reply(scene.board.run(1), 1, {"web/2": replies.tail(output, "failed")})
    assert "*Stop the shop*: failed" in shown(message)
    assert "failed on web/2: exit 3" in shown(message)
    assert "line 29\n```\n<!channel>" in shown(message)
    assert "line 11" not in shown(message)
    assert message.blocks[-1]["elements"][0]["type"] == "rich_text_preformatted"
    assert message.text.count("```") == 2
    assert "<!channel>" not in message.text
    fits(message)


def test_a_question_names_people_choices_costs_and_what_to_type(scene: Scene) -> None:
    scene.begins(3)
    scene.does(3, 1, "deploy", "Stop the shop", "web", written=True, outcome="failed")
    scene.asks(3, 1, "“Stop the shop” failed on web: exit 3\n<!channel>")
    message = replies.question_reply(scene.board.run(3), 1, asked=("U02ADMIN", "S01ADMINS"))
    assert "<@U02ADMIN> <!subteam^S01ADMINS>: run 3 waits for your answer about “Stop the shop”" in shown(message)
    assert ">“Stop the shop” failed on web: exit 3\n>&lt;!channel&gt;" in shown(message)
    assert "`/stage answer 3 retry`" in shown(message)
    assert "`/stage answer 3 retry`" in message.text
    retry, skip, abort = buttons(message)
    assert [retry["action_id"], skip["action_id"], abort["action_id"]] == [
        "answer:retry",
        "answer:skip",
        "answer:abort",
    ]
    assert {one["value"] for one in (retry, skip, abort)} == {"3/1"}
    assert [one.get("style") for one in (retry, skip, abort)] == ["primary", "danger", "danger"]
    assert "R-1 could then not be promoted: rehearsal_not_clean" in readable(skip["confirm"])
    for said in (message.text, shown(message)):
        assert "After *retry or skip* the rehearsal goes on, but it does not count: R-1 may not be promoted" in said
    assert "Run 3 ends as failed" in readable(abort["confirm"])
    fits(message)


def test_a_retry_of_what_errored_costs_nothing(scene: Scene) -> None:
    scene.begins(3)
    scene.does(3, 1, "deploy", "Stop the shop", "web", written=True, outcome="errored")
    scene.asks(3, 1, "“Stop the shop” errored on web: the connection was lost")
    message = replies.question_reply(scene.board.run(3), 1, asked=())
    retry, _, _ = buttons(message)
    assert "confirm" not in retry
    assert "After *skip* the rehearsal goes on, but it does not count" in message.text


def test_an_answered_question_says_who_answered_and_has_no_buttons(scene: Scene) -> None:
    scene.begins(3)
    scene.starts(3, 1, "test", "Buy one item", written=True)
    scene.asks(3, 1, "Open the shop, buy one item.", ("pass", "fail"), "testers")
    assert [one["text"]["text"] for one in buttons(replies.question_reply(scene.board.run(3), 1, asked=()))] == [
        "Pass",
        "Fail",
    ]
    scene.says(e.RunDecided(run=3, step=1, choice="pass", note="looks <b>fine</b>"), "U03TESTER")
    message = replies.question_reply(scene.board.run(3), 1, asked=("U03TESTER",))
    assert "<@U03TESTER> answered *pass* about “Buy one item”" in shown(message)
    assert ">looks &lt;b&gt;fine&lt;/b&gt;" in shown(message)
    assert buttons(message) == []
    fits(message)


def test_a_question_that_was_never_answered_is_closed_with_its_run(scene: Scene) -> None:
    scene.begins(3)
    scene.starts(3, 1, "test", "Buy one item", written=True)
    scene.asks(3, 1, "Open the shop", ("pass", "fail"), "testers")
    scene.finishes(3, "aborted", "stopped")
    message = replies.question_reply(scene.board.run(3), 1, asked=())
    assert "Run 3 does not ask about “Buy one item” any more" in shown(message)
    assert buttons(message) == []


def test_a_mark_of_the_watch_names_its_checks(scene: Scene) -> None:
    scene.begins(1, "promotion")
    scene.does(1, 1, "watch", "Begin the watch")
    scene.does(1, 2, "watch", "The shop answers", "web", written=True)
    scene.starts(1, 3, "watch", "Mark 10m")
    scene.says(e.WatchChecked(run=1, mark="10m", ok=True))
    scene.ends(1, 3)
    scene.does(1, 4, "watch", "The shop answers", "web", written=True, outcome="failed", reason="no answer")
    scene.starts(1, 5, "watch", "Mark 30m")
    scene.says(e.WatchChecked(run=1, mark="30m", ok=False))
    run = scene.board.run(1)
    assert "Watch of prod, 10m after the promotion: ok" in shown(replies.mark_reply(run, "10m"))
    assert "The shop answers on web: ok, 2.0 s" in shown(replies.mark_reply(run, "10m"))
    late = replies.mark_reply(run, "30m")
    assert late.text == ("Watch of prod, 30m after the promotion: failed. “The shop answers” failed on web: no answer")
    assert "The shop answers on web: failed, 2.0 s" in shown(late)
    fits(late)
    scene.says(e.WatchChecked(run=run.number, mark="45m", ok=True, late=1500.0))
    overslept = replies.mark_reply(scene.board.run(run.number), "45m")
    assert "45m after the promotion (25 min late: Quarterdeck was off, or its clock was wrong): ok" in overslept.text


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_passed_rehearsal_offers_the_promotion(scene: Scene) -> None:
    scene.begins(1)
    scene.finishes(1, "passed")
    message = end(scene, 1)
    assert "*Passed, clean*" in shown(message)
    assert f"Ledger 123 · `{HASH}`" in shown(message)
    assert HASH in message.text
    assert "`/promote check R-1`" in shown(message)
    (promote,) = buttons(message)
    assert (promote["action_id"], promote["value"], promote["style"]) == ("promote", "R-1", "primary")
    assert "backed up and snapshotted" in readable(promote["confirm"])
    assert not message.broadcast
    assert buttons(end(scene, 1, settled=True)) == []
    fits(message)


def test_a_failure_is_told_to_the_whole_channel(scene: Scene) -> None:
    scene.begins(1)
    run = scene.finishes(1, "failed", "“Orders can be archived” failed on db: exit 1, wanted 0")
    release = scene.board.release("R-1")
    message = replies.end_reply(run, release=release, seq=9, digest=HASH, asked=("U01DEV",), until=scene.time)
    assert message.broadcast
    assert "run 1: failed: “Orders can be archived” failed on db: exit 1, wanted 0" in message.text
    assert (
        "*Next, for <@U01DEV>:* the package is mended and handed off anew (staging is left for a look until <!date^"
        in shown(message)
    )
    assert "`/stage reset staging`" in shown(message)
    assert buttons(message) == []
    fits(message)


def test_a_failed_promotion_offers_the_way_back(scene: Scene) -> None:
    stranded(scene)
    message = end(scene, 2, ways=Ways(rollback=True))
    again, back, leave = offered(message)
    assert [(one["action_id"], one["value"]) for one in (again, leave)] == [("promote", "R-1"), ("leave", "R-1")]
    assert (back["action_id"], back["value"], back["style"]) == ("rollback", "R-1", "danger")
    for typed in ("`/promote R-1`", "`/promote rollback R-1`", "`/promote leave R-1 REASON`"):
        assert typed in message.text
    assert "no snapshot of before it stands" in message.text
    assert message.broadcast
    fits(message)


def offered(message: Message) -> list[dict[str, Any]]:
    """What can be done, next to the report."""
    return [one for one in buttons(message) if one["action_id"] != "report"]


def stranded(scene: Scene, kind: str = "promotion") -> None:
    """Run 2 fails on prod when it has deployed."""
    scene.begins(2, kind)
    scene.does(2, 1, "deploy", "Restart the shop", "web", written=True)
    scene.finishes(2, "failed", "“The shop answers” failed on web")


def kept(*hosts: str) -> dict[str, Kept]:
    return {host: Kept(run=2, reference=host, name="ours", at="2026-11-23T20:00:00Z") for host in hosts}


def test_a_promotion_that_has_deployed_nothing_is_only_promoted_again(scene: Scene) -> None:
    scene.begins(2, "promotion")
    scene.finishes(2, "errored", "“Back up the orders” errored on db")
    message = end(scene, 2)
    assert "nothing was deployed. An admin mends what is named here and promotes it again" in message.text
    assert offered(message) == []


def test_the_snapshot_is_offered_with_what_it_would_lose(scene: Scene) -> None:
    stranded(scene)
    message = end(scene, 2, ways=Ways(rollback=False, of=2, kept=kept("web", "web/2"), lacking=("db",)))
    assert [one["action_id"] for one in offered(message)] == ["promote", "revert", "leave"]
    said = readable(list(message.blocks))
    assert "its package has no rollback" in message.text.lower()
    assert "`/promote revert R-1 prod`, which loses all that was written on web, web/2 since" in said
    assert "db must be brought back by hand" in said
    revert = offered(message)[1]
    assert "confirm" not in revert, "it only answers with what to type"
    fits(message)


def test_what_is_defective_is_not_tried_again(scene: Scene) -> None:
    stranded(scene)
    scene.says(e.ReleaseDefective(release="R-1", reason="loses orders"), "U02ADMIN")
    message = end(scene, 2, ways=Ways(rollback=True))
    assert [one["action_id"] for one in offered(message)] == ["rollback", "leave"]
    assert "`/promote R-1`" not in message.text


def test_what_was_left_is_said_with_who_and_why_and_may_still_be_taken_back(scene: Scene) -> None:
    stranded(scene)
    scene.says(PromotionLeft(release="R-1", run=2, reason="the shop is closed anyway"), "U02ADMIN")
    message = end(scene, 2, ways=Ways(rollback=True))
    assert "<@U02ADMIN> leaves prod as it is: the shop is closed anyway." in message.text
    assert [one["action_id"] for one in offered(message)] == ["promote", "rollback"]
    assert "/promote leave" not in message.text


def test_the_end_of_what_a_later_run_took_on_has_nothing_to_press(scene: Scene) -> None:
    stranded(scene)
    message = end(scene, 2, settled=True)
    assert offered(message) == []
    assert "nothing here; a later run has taken it on from here" in message.text


def test_what_is_still_drained_is_said_loudly_with_the_line_to_type(scene: Scene) -> None:
    stranded(scene)
    undrain = Hooked(name="Put it back", run='lb enable "$QUARTERDECK_HOST"', at=("runner",))
    finished = Hooked(name="It is over", run="monitor resume", at=("runner",))
    standing = (
        planned(7, "deploy", "web", "web/2", step=undrain, takes_back=(3,)),
        planned(9, "test", "", step=finished, takes_back=(2,)),
    )
    message = end(scene, 2, ways=Ways(rollback=True), standing=standing)
    for said in (message.text, readable(list(message.blocks))):
        assert "prod: web, web/2 are STILL DRAINED and it is STILL IN MAINTENANCE. When that is to end, type" in said
        assert 'on runner: QUARTERDECK_HOST=web/2 lb enable "$QUARTERDECK_HOST"' in said
        assert "on runner: monitor resume" in said
    fits(message)


def test_an_end_with_much_to_take_back_can_still_be_edited_and_names_the_ledgers_head(scene: Scene) -> None:
    stranded(scene)
    undrain = Hooked(name="Put it back", run="lb enable " + "x&" * 200, at=("runner",))
    standing = (planned(7, "deploy", *(f"web/{n}" for n in range(30)), step=undrain, takes_back=(3,)),)
    message = end(scene, 2, ways=Ways(rollback=True), standing=standing)
    assert len(message.text) <= 4_000
    assert message.text.endswith(f"\nLedger 123, head {HASH}")
    assert offered(message)
    fits(message)


def test_a_difference_of_many_lines_can_still_be_edited(scene: Scene) -> None:
    scene.begins(1)
    found = Difference(
        run=1, key="1", fact="hosts", host="web", kind="drift", brief="hosts on web\n" + "<>" * 900, at=""
    )
    message = difference_reply(scene.board.run(1), found, None, ("S01ADMINS",))
    assert len(message.text) <= 4_000
    assert "/promote outside" in message.text
    fits(message)


# --- a release, and notices -------------------------------------------------------------------------------------------


def test_a_hand_off_is_announced_with_what_it_changes(scene: Scene) -> None:
    message = release_card(scene.board.release("R-1"))
    said = shown(message)
    for words in (
        "webshop 2.4.0 was handed off",
        "*R-1*: Order history",
        "SHOP-101 database: Orders get an archived flag",
        "no check covers SHOP-101",
        ">Works on QA.",
        "Handed off by <@U01DEV>",
        "sha256 `abababababab` · 81 kB",
        "`/stage run R-1`",
    ):
        assert words in said
    (rehearse,) = buttons(message)
    assert (rehearse["action_id"], rehearse["value"]) == ("rehearse", "R-1")
    fits(message)
    scene.says(e.ReleaseWithdrawn(release="R-1", reason="wrong build"), "U01DEV")
    gone = release_card(scene.board.release("R-1"))
    assert "it was withdrawn: wrong build" in shown(gone)
    assert buttons(gone) == []


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (e.ReleaseWithdrawn(release="R-1", reason="wrong build"), "<@U02ADMIN> withdrew R-1: wrong build."),
        (e.ReleaseDefective(release="R-1", reason="<!here>"), "marked R-1 as defective: &lt;!here&gt;."),
        (e.PromotionScheduled(release="R-1", at="2026-11-23T21:00:00.000Z"), "for <!date^1795467600^"),
        (e.PromotionUnscheduled(release="R-1", at="", reason="frozen"), "took the scheduled promotion of R-1 back: f"),
        (e.EnvironmentLocked(environment="prod", reason="audit"), "locked prod: audit. Nothing begins there"),
        (e.EnvironmentUnlocked(environment="prod"), "<@U02ADMIN> unlocked prod."),
        (
            e.IsolationAttested(environment="staging", reason="a GPU", covers=("web: <PCI>", "db: disk")),
            "<@U02ADMIN> attests that staging is cut off from the network: a GPU. vCenter cannot tell:"
            "\n• web: &lt;PCI&gt;\n• db: disk",
        ),
        (e.FreezeSet(until=None, reason="holidays"), "froze promotions until it is lifted with `/promote unfreeze`: h"),
        (e.FreezeLifted(), "lifted the freeze"),
        (e.ApprovalGiven(release="R-1", digest="ab"), "approved the promotion of R-1"),
        (e.ConfigLoaded(digest="d", changed=("roles.admins",)), "since the last start: `roles.admins`."),
    ],
)
def test_a_notice_is_one_sentence(scene: Scene, event: e.AnyEvent, said: str) -> None:
    message = notice(scene.says(event, "U02ADMIN"))
    assert said in message.text
    fits(message)


def test_a_promotion_that_was_missed_asks_who_wanted_it(scene: Scene) -> None:
    why = "missed: It was missed by 40 min: Quarterdeck was off when it was due, or its clock was wrong."
    missed = e.PromotionUnscheduled(release="R-1", at="2026-11-23T21:00:00.000Z", reason=why, asked="U02ADMIN")
    message = notice(scene.says(missed))
    assert message.text.startswith("<@U02ADMIN>: the promotion of R-1, scheduled for <!date^1795467600^")
    assert "or its clock was wrong. Nothing was done" in message.text
    assert "`/promote R-1 at 22:00`" in message.text
    assert [button["text"]["text"] for button in buttons(message)] == ["Promote now"]
    fits(message)


def test_a_run_that_starts_over_says_why_and_from_what(scene: Scene) -> None:
    scene.begins(1)
    scene.reaches_deploy()
    scene.says(e.RunRestarted(run=1, why="“Migrate” was interrupted on <web>: gone"))
    message = replies.restart_reply(scene.board.run(1), 1)
    assert message.text == (
        "Run 1 starts over by itself, from what it began with (1 of 2): “Migrate” was interrupted on &lt;web&gt;: "
        "gone. Nothing is to be done."
    )
    fits(message)


# --- what comes from outside ------------------------------------------------------------------------------------------


def test_nothing_from_outside_mentions_anybody_or_breaks_a_limit(scene: Scene) -> None:
    """Long and hostile names, summaries, notes and outputs; sixty steps; forty hosts."""
    scene.says(
        e.PackageHandedOff(
            release="R-9",
            app="webshop",
            version=NASTY,
            digest="ab" * 32,
            bytes=1,
            source="x",
            summary=NASTY,
            changes=(NASTY,) * 60,
            warnings=(NASTY,) * 60,
            notes=NASTY * 3,
        ),
        by="U01DEV",
    )
    scene.begins(9, release="R-9", total=60)
    hosts = [f"web/{number}{NASTY[:60]}" for number in range(40)]
    for step in range(1, 59):
        scene.does(9, step, REHEARSAL[step % 6], NASTY, *hosts[:2], written=step > 30)
    scene.does(9, 59, "deploy", NASTY, *hosts, written=True, outcome="failed", reason=NASTY, output="x")
    scene.asks(9, 59, NASTY)
    scene.passes(1)
    going = scene.board.run(9)
    tails = {host: replies.tail(NASTY * 5, "failed") for host in hosts}
    messages = [
        *(card(scene, 9, rung) for rung in RUNGS),
        release_card(scene.board.release("R-9")),
        replies.question_reply(going, 1, asked=("S01ADMINS",)),
        replies.step_reply(going, 59, tails),
        replies.phase_reply(going, "deploy", 28),
    ]
    scene.says(e.RunDecided(run=9, step=59, choice="skip", note=NASTY), "U02ADMIN")
    messages.append(replies.question_reply(scene.board.run(9), 1, asked=()))
    scene.finishes(9, "failed", NASTY)
    messages += [card(scene, 9), end(scene, 9)]
    for message in messages:
        fits(message)
        assert "<!channel" not in message.text
        for block in message.blocks:
            if block["type"] in ("section", "context"):
                assert "<!channel" not in readable(block)
                assert "\x1b" not in readable(block)
    assert all(len(one.text) <= 4000 for one in [*messages[:3], messages[4], *messages[7:]])


def test_small_things() -> None:
    assert escape("a<b>&c") == "a&lt;b&gt;&amp;c"
    assert line("&" * 100, 20) == "&amp;&amp;&amp;…"
    assert flat("one\n  two\tthree") == "one two three"
    assert clean("10%\r50%\r100%\r\ndone\x1b[0m\x07") == "100%\ndone"
    assert quoted("a\n*Passed*") == ">a\n>*Passed*"
    assert mentions(("U1", "S2", "W3")) == "<@U1> <!subteam^S2> <@W3>"
    assert [amount(count) for count in (812, 81_234, 3_400_000, 999_999, 52_000_000_000)] == [
        "812 bytes",
        "81 kB",
        "3.4 MB",
        "1.0 MB",
        "52 GB",
    ]
    assert len(fitting([{"type": "divider", "block_id": "x" * 200}] * 100)) < 50
