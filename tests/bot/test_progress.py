"""What stands in the channel when the publisher has told everything, whatever Slack did meanwhile."""

import random
import time
from collections.abc import Callable, Iterator
from http.client import HTTPMessage as HttpHeaders
from http.client import RemoteDisconnected
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
from scenes import Scene
from slack_room import DEADLINE, room
from slack_sdk.web.base_client import BaseClient
from teams import CHANNEL, Team, breaks, first_lines, lost, once, refuses

from bot.line.troubles import Trouble
from lab.slack import Rate
from lab.slack.blocks import _SURFACES
from lab.slack.people import BOT_USER
from plans import events as e
from plans.records import Due


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.board.close()


@pytest.fixture
def team(scene: Scene) -> Iterator[Team]:
    with room() as slack:
        team = Team(scene, slack)
        team.starts()
        yield team


# --- the ordinary way -------------------------------------------------------------------------------------------------


def test_a_rehearsal_as_the_team_reads_it(team: Team) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    scene.reaches_deploy()
    scene.starts(1, 8, "deploy", "Stop the shop", "web", "web/2", written=True)
    team.tells()
    assert "step 8 of 12, “Stop the shop” on web, web/2" in team.card(1).text
    scene.ends(1, 8, "web")
    scene.ends(1, 8, "web/2", "failed", code=3, reason="exit 3", output="no such service\n")
    scene.asks(1, 8, "“Stop the shop” failed on web/2: exit 3")
    team.tells()
    (release, _) = team.channel()
    card = team.card(1)
    assert release.text.startswith("webshop 2.4.0 was handed off as R-1")
    assert "Waiting for an answer" in card.text
    question = card.replies[5]
    assert [button.label for button in question.buttons] == ["Retry", "Skip", "Abort"]
    scene.says(e.RunDecided(run=1, step=8, choice="abort"), "U02ADMIN")
    scene.finishes(1, "failed", "“Stop the shop” failed on web/2: exit 3")
    team.tells()
    card = team.card(1)
    assert first_lines(card)[:4] == [
        "Power on: ok, isolation proved, 3 steps, 6.0 s.",
        "Run 1, “Restore the orders”: ok, 2.0 s, on db.",
        "Confirm: ok, isolation proved, 1 step, 2.0 s.",
        "Snapshot: ok, 1 step, 2.0 s.",
    ]
    assert card.replies[4].text.startswith("Run 1, “Stop the shop”: failed")
    assert "no such service" in card.replies[4].text
    assert "<@U02ADMIN> answered *abort* about “Stop the shop”" in card.replies[5].text
    assert card.replies[5].buttons == []
    assert [file["title"] for file in card.replies[6].files] == ["Stop the shop on web/2, attempt 1: all output"]
    assert card.replies[7].text.startswith("Deploy: ok, 1 step, 2.0 s.")
    assert "failed on web/2: exit 3. It took" in card.replies[8].text
    assert card.replies[8].raw["subtype"] == "thread_broadcast"
    assert "*Failed*: “Stop the shop”" in card.text
    assert card.buttons == []
    assert not list(scene.board.table(Due))
    posted = scene.board.run(1).messages
    assert posted["run/1/end"] == card.replies[8].ts


def test_every_post_is_marked_unfurls_nothing_and_calls_commands_what_they_are_called_here(team: Team) -> None:
    team.scene.hands_off()
    team.tells()
    (call,) = team.calls("chat.postMessage")
    assert "`/rehearse run R-1`" in team.channel()[0].text
    assert call["args"]["metadata"]["event_payload"]["key"] == "release/R-1"
    assert call["args"]["unfurl_links"] is False
    assert call["args"]["unfurl_media"] is False


def test_the_end_carries_the_hash_of_its_record(team: Team) -> None:
    team.scene.hands_off()
    team.scene.begins(1)
    head = team.scene.says(e.RunFinished(run=1, verdict="passed", clean=True, reason=""))
    team.tells()
    assert f"Ledger {head.seq}, head {head.hash}" in team.card(1).replies[-1].text


def test_buttons_go_when_they_no_longer_apply(team: Team) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    scene.finishes(1, "passed")
    team.tells()
    assert [button.label for button in team.card(1).replies[-1].buttons] == ["Promote", "Report"]
    scene.begins(2, "promotion")
    team.tells()
    assert [button.label for button in team.card(1).replies[-1].buttons] == ["Report"]
    scene.does(2, 1, "deploy", "Restart the shop", "web", written=True)
    scene.finishes(2, "failed", "“The shop answers” failed on web")
    team.tells()
    end = team.card(2).replies[-1]
    assert [button.label for button in end.buttons] == ["Roll back", "Report"]
    assert "Next, for <!subteam^S01ADMINS>:* an admin looks at prod" in end.text
    scene.begins(3, "rollback")
    scene.says(e.ReleaseWithdrawn(release="R-1", reason="wrong build"), "U01DEV")
    team.tells()
    assert [button.label for button in team.card(2).replies[-1].buttons] == ["Report"]
    assert team.channel()[0].buttons == []
    assert team.channel()[-1].text.startswith("<@U01DEV> withdrew R-1: wrong build.")


def test_secrets_are_masked_wherever_they_turn_up(team: Team) -> None:
    scene = team.scene
    scene.hands_off(summary="with hunter22 in it")
    scene.begins(1)
    output = "x" * 70_000 + " hunter22\npassword=hunter22\n"
    scene.does(1, 1, "deploy", "Use hunter22", "web", written=True, outcome="failed", output=output)
    team.tells()
    (upload,) = [file for reply in team.card(1).replies for file in reply.files]
    assert "password=[masked]" in team.card(1).replies[0].text
    assert "hunter22" not in "".join(message.text for message in [*team.channel(), *team.card(1).replies])
    assert b"hunter22" not in team.slack.desk.downloads(upload["id"])
    assert "hunter22" not in str(team.slack.desk.calls())


# --- the order and the rates ------------------------------------------------------------------------------------------


def test_questions_and_ends_go_before_other_runs_steps(team: Team) -> None:
    scene = team.scene
    scene.hands_off()
    for number in (1, 2):
        scene.begins(number)
    team.tells()
    for step in range(1, 6):
        scene.does(1, step, "deploy", f"Step {step}", "web", written=True)
    scene.does(2, 1, "deploy", "Stop", "web", written=True, outcome="failed")
    scene.asks(2, 1, "“Stop” failed")
    team.turns(2)
    assert len(team.card(1).replies) == 0
    assert [bool(reply.buttons) for reply in team.card(2).replies if not reply.files] == [False, True]
    team.tells()
    assert len(team.card(1).replies) == 5


def test_it_keeps_to_slacks_rates_and_edits_only_what_it_must(team: Team) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1, total=60)
    begun = team.passed
    for step in range(1, 61):
        scene.does(1, step, "deploy", f"Step {step}", "web", written=True)
        team.turns(1)
    scene.finishes(1, "passed")
    team.tells()
    minutes = (team.passed - begun) / 60
    assert len(team.card(1).replies) == 61
    assert {call["status"] for call in team.slack.desk.calls()} == {200}
    assert len(team.calls("chat.update")) <= 5 + 45 * minutes
    assert len(team.calls("chat.postMessage")) <= 10 + 60 * minutes + 1
    assert "*Passed, clean*" in team.card(1).text


def test_a_429_is_obeyed_and_holds_nothing_else_up(scene: Scene) -> None:
    with room(rates={"chat.postMessage": Rate(6, 2, by_channel=True)}) as slack:
        team = Team(scene, slack)
        team.starts()
        scene.hands_off()
        scene.begins(1)
        scene.does(1, 1, "deploy", "One", "web", written=True)
        team.turns(3)
        scene.does(1, 2, "deploy", "Two", "web", written=True)
        team.turns(1)
        assert [call["status"] for call in team.calls("chat.postMessage")] == [200, 200, 429]
        assert team.calls("chat.update")
        team.tells()
        assert first_lines(team.card(1)) == ["Run 1, “One”: ok, 2.0 s, on web.", "Run 1, “Two”: ok, 2.0 s, on web."]
        refused = [call for call in team.calls("chat.postMessage") if call["status"] == 429]
        assert len(refused) <= 3


# --- when Slack fails -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["release", "run", "step"])
def test_a_lost_answer_posts_nothing_twice(team: Team, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = team.scene
    if key != "release":
        scene.hands_off()
    if key == "step":
        scene.begins(1)
    team.tells()
    breaks(monkeypatch, "chat.postMessage", once(lost))
    if key == "release":
        scene.hands_off()
    elif key == "run":
        scene.begins(1)
    else:
        scene.does(1, 1, "deploy", "One", "web", written=True)
    team.tells()
    assert len(team.calls("chat.postMessage")) == {"release": 1, "run": 2, "step": 3}[key]
    assert not list(scene.board.table(Due))
    if key == "step":
        assert len(team.card(1).replies) == 1


def test_a_card_that_was_found_again_is_brought_up_to_date(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the run came to while nobody knew whether its card was there."""
    scene = team.scene
    scene.hands_off()
    team.tells()

    def lost_while_it_ends(call: Callable[[], Any]) -> Any:
        call()
        scene.finishes(1, "passed")
        raise RemoteDisconnected("the answer was lost")

    breaks(monkeypatch, "chat.postMessage", once(lost_while_it_ends))
    scene.begins(1)
    team.tells()
    assert "passed" in team.card(1).text.lower()


def unreachable(call: Callable[[], Any]) -> Any:
    raise URLError("connection refused")


def overloaded(call: Callable[[], Any]) -> Any:
    raise HTTPError("http://slack", 503, "overloaded", HttpHeaders(), BytesIO(b"<html>try later</html>"))


def login_page(call: Callable[[], Any]) -> Any:
    return {"status": 200, "headers": {}, "body": "<html>Who are you?</html>"}


@pytest.mark.parametrize("fault", [unreachable, overloaded, login_page])
def test_what_never_arrived_is_posted_after_a_look(
    team: Team, fault: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = breaks(monkeypatch, "chat.postMessage", once(fault))
    team.scene.hands_off()
    team.tells()
    assert seen == ["chat.postMessage", "conversations.history", "chat.postMessage"]
    assert len(team.channel()) == 1


def test_an_evening_without_slack_ends_with_everything_told(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(self: BaseClient, url: str, request: Any) -> Any:
        tries.append(team.passed)
        raise URLError("connection refused")

    tries: list[float] = []
    whole = BaseClient._perform_urllib_http_request_internal
    monkeypatch.setattr(BaseClient, "_perform_urllib_http_request_internal", down)
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    scene.reaches_deploy()
    while team.passed < 3600:
        team.turns(1)
    assert len(tries) < 120
    assert team.troubles[-1] == Trouble("unreachable", "URLError: <urlopen error connection refused>")
    monkeypatch.setattr(BaseClient, "_perform_urllib_http_request_internal", whole)
    scene.finishes(1, "passed")
    team.tells()
    assert len(team.channel()) == 2
    assert len(team.card(1).replies) == 6
    assert team.troubles[-1] is None


def test_slack_that_is_back_is_told_at_once(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.scene.hands_off()
    with monkeypatch.context() as patch:
        breaks(patch, "chat.postMessage", unreachable)
        while (wait := team.publisher.turn() or 0.0) < 20:
            team.waits(wait)
    team.publisher.hurry()
    while not team.channel():
        assert team.publisher.turn() == 0


def test_a_full_disk_after_slack_took_it_posts_nothing_twice(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    record = team.scene.board.record

    def full(by: str, event: e.AnyEvent) -> Any:
        if isinstance(event, e.MessagePosted) and not spoilt:
            spoilt.append(event)
            raise OSError(28, "no space left on device")
        return record(by, event)

    spoilt: list[e.AnyEvent] = []
    monkeypatch.setattr(team.scene.board, "record", full)
    team.scene.hands_off()
    team.tells()
    assert spoilt
    assert len(team.calls("chat.postMessage")) == 1
    assert not list(team.scene.board.table(Due))


def test_killed_between_slacks_answer_and_the_ledger_it_finds_its_message(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(by: str, event: e.AnyEvent) -> Any:
        raise Killed

    team.scene.hands_off()
    with monkeypatch.context() as patch:
        patch.setattr(team.scene.board, "record", kill)
        with pytest.raises(Killed):
            team.turns(1)
    team.goes()
    team.comes()
    team.starts()
    team.tells()
    assert len(team.channel()) == 1
    assert team.scene.board.release("R-1").messages == {"release/R-1": team.channel()[0].ts}


def test_a_start_tells_what_was_not_told_as_it_was_then(team: Team) -> None:
    team.goes()
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    scene.does(1, 1, "deploy", "Stop", "web", written=True, outcome="failed", reason="exit 3")
    scene.asks(1, 1, "“Stop” failed on web: exit 3")
    scene.says(e.RunDecided(run=1, step=1, choice="retry"), "U02ADMIN")
    scene.starts(1, 1, "deploy", "Stop", "web", written=True, attempt=2)
    scene.ends(1, 1, "web", attempt=2)
    team.comes()
    team.starts()
    team.tells()
    first, question, second = [reply for reply in team.card(1).replies if not reply.files]
    assert first.text.startswith("Run 1, “Stop”: failed, 2.0 s, on web.")
    assert "answered *retry*" in question.text
    assert second.text.startswith("Run 1, “Stop”: ok, 0.0 s, attempt 2, on web.")


def test_a_start_brings_messages_up_to_date_that_changed_meanwhile(team: Team) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    scene.starts(1, 1, "test", "Buy one item", written=True)
    scene.asks(1, 1, "Buy one item.", ("pass", "fail"), "testers")
    team.tells()
    team.goes()
    scene.says(e.RunDecided(run=1, step=1, choice="pass"), "U03TESTER")
    team.comes()
    team.starts()
    team.tells()
    assert "Running" in team.card(1).text
    assert team.card(1).replies[0].buttons == []


# --- when Slack refuses -----------------------------------------------------------------------------------------------


def test_a_workspace_without_plans_gets_sections(
    team: Team, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(_SURFACES["message"], "plan")
    team.scene.hands_off()
    for number in (1, 2):
        team.scene.begins(number)
    team.tells()
    assert "○ Power on: to come" in team.card(1).text
    assert "○ Power on: to come" in team.card(2).text
    refused = [call for call in team.calls("chat.postMessage") if not call["answer"]["ok"]]
    assert len(refused) == 1
    assert "refuses the plan block" in caplog.text


def test_blocks_that_nobody_takes_leave_the_text(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(_SURFACES["message"], "section")
    team.scene.hands_off()
    team.scene.begins(1)
    team.tells()
    assert "Rehearsal of webshop 2.4.0 on staging (R-1 · run 1): about to begin." in team.card(1).text
    assert team.card(1).blocks == []


def test_out_of_the_channel_nothing_is_lost(team: Team) -> None:
    members = team.slack.workspace.channels[CHANNEL].members
    members.remove(BOT_USER)
    team.scene.hands_off()
    team.scene.begins(1)
    while team.passed < 3600:
        team.turns(1)
    assert set(team.troubles) == {Trouble("not_in_channel", CHANNEL)}
    assert len(team.calls("chat.postMessage")) < 120
    members.append(BOT_USER)
    team.tells()
    assert len(team.channel()) == 2
    assert team.troubles[-1] is None


@pytest.mark.parametrize("error", ["edit_window_closed", "block_mismatch", "message_not_found"])
def test_the_card_of_a_run_that_goes_on_is_posted_anew(team: Team, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    team.scene.hands_off()
    team.scene.begins(1)
    team.tells()
    first = team.card(1)
    with monkeypatch.context() as patch:
        refuses(patch, "chat.update", error)
        team.scene.starts(1, 1, "deploy", "One", "web", written=True)
        team.tells()
    assert team.card(1).ts != first.ts
    assert "“One” on web" in team.card(1).text
    team.scene.ends(1, 1, "web")
    team.tells()
    assert len(team.card(1).replies) == 1


def test_a_card_that_somebody_deleted_comes_back_with_its_thread(team: Team) -> None:
    team.scene.hands_off()
    team.scene.begins(1)
    team.tells()
    workspace, ts = team.slack.workspace, team.card(1).ts
    team.slack.does(lambda: workspace.remove(workspace.message(CHANNEL, ts)))
    team.scene.does(1, 1, "deploy", "One", "web", written=True)
    team.tells()
    assert first_lines(team.card(1)) == ["Run 1, “One”: ok, 2.0 s, on web."]


def test_where_files_are_forbidden_the_reply_is_enough(
    team: Team, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuses(monkeypatch, "files.getUploadURLExternal", "file_uploads_disabled")
    team.scene.hands_off()
    team.scene.begins(1)
    team.scene.does(1, 1, "deploy", "One", "web", written=True, outcome="failed", output="no such service\n")
    team.tells()
    (reply,) = team.card(1).replies
    assert "no such service" in reply.text
    assert "file_uploads_disabled" in caplog.text
    assert not list(team.scene.board.table(Due))


def files(team: Team) -> list[str]:
    return [file["name"] for reply in team.card(1).replies for file in reply.files]


def fails_a_step(team: Team) -> None:
    team.scene.hands_off()
    team.scene.begins(1)
    team.scene.does(1, 1, "deploy", "One", "web", "db", written=True, outcome="failed", output="no such service\n")


def test_a_kill_between_a_reply_and_its_files_loses_none(team: Team) -> None:
    fails_a_step(team)
    while not team.publisher._outbox.ts("run/1/step/1/1"):
        team.turns(1)
    assert files(team) == []
    team.goes()
    team.comes()
    team.starts()
    team.tells()
    assert files(team) == ["run-1-01-web-1.log", "run-1-01-db-1.log"]
    assert not list(team.scene.board.table(Due))


@pytest.mark.parametrize("how", ["killed", "lost"])
def test_a_file_whose_answer_is_lost_is_not_uploaded_twice(
    team: Team, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_a_step(team)
    while not team.publisher._outbox.ts("run/1/step/1/1"):
        team.turns(1)
    with monkeypatch.context() as patch:
        breaks(patch, "files.completeUploadExternal", once(lost))
        while not files(team):
            team.turns(1)
    if how == "killed":
        team.goes()
        team.comes()
        team.starts()
    team.tells()
    assert files(team) == ["run-1-01-web-1.log", "run-1-01-db-1.log"]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_slack_does_a_thread_is_told_once_and_in_the_ledgers_order(team: Team, seed: int) -> None:
    chance = random.Random(seed)
    methods = ["chat.postMessage", "chat.update", "files.completeUploadExternal", "conversations.replies", ""]
    ways = ["429", "500", "garbage", "drop_after", "nothing", "error"]
    scene, made = team.scene, 0
    scene.hands_off()
    for number in (1, 2):
        scene.begins(number)
    for _ in range(40):
        kind = chance.choice(ways)
        more: dict[str, Any] = {"method": chance.choice(methods), "times": chance.randint(1, 3)}
        if kind in ("429", "nothing"):
            more["seconds"] = 0.05
        if kind == "error":
            more["error"] = "internal_error"
        elif kind not in ("429", "drop_after"):
            more["done"] = chance.random() < 0.5
        team.slack.desk.breaks(kind, **more)
        if chance.random() < 0.4:
            made += 1
            run, outcome = chance.choice((1, 2)), chance.choice(("ok", "failed"))
            step = len(scene.board.run(run).steps) + 1
            scene.does(run, step, "deploy", f"Step {step}", "web", written=True, outcome=outcome, output="out\n")
        team.turns(chance.randint(0, 4))
        if chance.random() < 0.2:
            team.goes()
            team.comes()
            team.starts()
    team.slack.desk.heals()
    for number in (1, 2):
        scene.finishes(number, "passed")
    team.tells()
    posted = [
        (run, message["ts"], message["metadata"]["event_payload"]["key"])
        for run in (1, 2)
        for message in [team.card(run).raw, *(reply.raw for reply in team.card(run).replies)]
        if "metadata" in message
    ]
    for run in (1, 2):
        keys = [key for of, _, key in posted if of == run]
        assert keys == [f"run/{run}", *(f"run/{run}/step/{n}/1" for n in scene.board.run(run).steps), f"run/{run}/end"]
        failed = [n for n, step in scene.board.run(run).steps.items() if step.outcome == "failed"]
        shown = [file["name"] for reply in team.card(run).replies for file in reply.files]
        assert sorted(shown) == [f"run-{run}-{n:02}-web-1.log" for n in failed]
    assert len(posted) == made + 4
    assert not list(scene.board.table(Due))


def test_a_message_that_cannot_be_written_keeps_no_other_back(
    team: Team, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(run: Any, *more: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("bot.telling.replies.step_reply", broken)
    team.scene.hands_off()
    team.scene.begins(1)
    team.scene.does(1, 1, "deploy", "One", "web", written=True)
    team.scene.finishes(1, "passed")
    team.tells()
    assert "quarterdeck ledger show" in team.card(1).replies[0].text
    assert "Passed, clean" in team.card(1).replies[1].text


# --- its thread -------------------------------------------------------------------------------------------------------


def test_it_works_in_a_thread_of_its_own_and_stops(scene: Scene) -> None:
    with room() as slack:
        team = Team(scene, slack, time.monotonic)
        team.publisher.start()
        assert team.publisher.flush(DEADLINE)
        scene.hands_off()
        assert not team.publisher.idle.is_set()
        scene.begins(1)
        scene.reaches_deploy()
        assert team.publisher.flush(DEADLINE)
        assert len(team.card(1).replies) == 4
        team.publisher.stop(DEADLINE)
        assert not team.publisher._thread.is_alive()
