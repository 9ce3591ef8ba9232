"""What is told after Slack was out for long, or was stubborn: what first, how fast, and that nothing stays stale."""

import time
from collections.abc import Callable

import pytest
from scenes import Scene
from slack_room import DEADLINE, room
from teams import CHANNEL, Team, breaks, lost, once, refuses
from test_progress import scene, team

from bot.line.troubles import Trouble
from bot.telling.backlog import thread_of
from lab.slack.people import BOT_USER
from plans import events as e
from plans.records import Due

__all__ = ["scene", "team"]


def works(scene: Scene, run: int, steps: int) -> None:
    for _ in range(steps):
        number = len(scene.board.run(run).steps) + 1
        scene.does(run, number, "deploy", f"Step {number}", "web", written=True)


def asks(scene: Scene, run: int) -> None:
    number = len(scene.board.run(run).steps) + 1
    scene.starts(run, number, "test", "Buy one item", written=True)
    scene.asks(run, number, "Buy one item.", ("pass", "fail"), "testers")


# --- what first -------------------------------------------------------------------------------------------------------


def test_after_an_evening_an_open_question_goes_before_the_ends_of_other_runs(team: Team) -> None:
    """Four runs went on while Slack was out; three are over, one waits for somebody."""
    scene = team.scene
    team.goes()
    scene.hands_off()
    for run in (1, 2, 3, 4):
        scene.begins(run)
        works(scene, run, 40)
    for run in (1, 2, 3):
        scene.finishes(run, "passed")
    asks(scene, 4)
    team.comes()
    team.starts()
    while not scene.board.run(4).messages.get("run/4/question/1"):
        team.turns(1)
    assert team.passed < 45  # seconds, one a message: of 171 it is the 47th, the first ten are told at once
    assert [len(team.card(run).replies) for run in (1, 2, 3)] == [0, 0, 0]
    team.tells()
    assert [len(team.card(run).replies) for run in (1, 2, 3, 4)] == [41, 41, 41, 41]


def test_of_two_open_questions_the_one_that_has_less_before_it_is_told_first(team: Team) -> None:
    scene = team.scene
    team.goes()
    scene.hands_off()
    for run, steps in ((1, 15), (2, 3)):
        scene.begins(run)
        works(scene, run, steps)
        asks(scene, run)
    team.comes()
    team.starts()
    while not scene.board.run(2).messages.get("run/2/question/1"):
        team.turns(1)
    assert len(team.card(1).replies) == 0
    team.tells()
    assert team.card(1).replies[-1].buttons


def test_where_slack_is_slow_cards_do_not_wait_for_all_messages(team: Team) -> None:
    """An answer takes longer than Slack wants between two posts: there is always one that may be made."""
    scene = team.scene
    scene.hands_off()
    for run in (1, 2, 3, 4):
        scene.begins(run)
    team.tells()
    for run in (1, 2, 3, 4):
        works(scene, run, 15)
        scene.starts(run, 16, "deploy", "Migrate", "web")
    for _ in range(24):
        assert team.publisher.turn() == 0.0
        team.waits(1.2)
    assert all("“Migrate” on web" in team.card(run).text for run in (1, 2, 3, 4))


def test_four_busy_runs_share_slacks_rates_and_end_with_true_cards(team: Team) -> None:
    scene = team.scene
    scene.hands_off()
    for run in (1, 2, 3, 4):
        scene.begins(run)
    for _ in range(25):
        for run in (1, 2, 3, 4):
            works(scene, run, 1)
        team.turns(4)
    for run in (1, 2, 3, 4):
        scene.finishes(run, "passed")
    ended = team.passed
    team.tells()
    edits = [call["at"] for call in team.calls("chat.update")]
    assert all(len([at for at in edits if begin <= at < begin + 60]) <= 50 for begin in edits)
    assert team.passed - ended < 110  # seconds, for what was left of 109 messages
    assert {call["status"] for call in team.slack.desk.calls()} == {200}
    assert all("*Passed, clean*" in team.card(run).text for run in (1, 2, 3, 4))


# --- it looks before it posts again -----------------------------------------------------------------------------------


def loses_an_answer(team: Team, monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    """Of what is told next, Slack's answer never arrives."""
    with monkeypatch.context() as patch:
        breaks(patch, "chat.postMessage", once(lost))
        does()
        while not team.publisher._outbox.unsure:
            team.turns(1)


def test_a_message_is_found_again_behind_thousands_of_others(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, workspace = team.scene, team.slack.workspace
    scene.hands_off()
    team.tells()
    loses_an_answer(team, monkeypatch, lambda: scene.begins(1))
    team.slack.does(lambda: [workspace.post(CHANNEL, "U01DEV", f"lunch {n}?", []) for n in range(4500)])
    begun = team.passed
    team.tells()
    assert team.passed - begun < 30
    assert len(team.calls("chat.postMessage")) == 2
    assert {call["status"] for call in team.slack.desk.calls()} == {200}


def test_a_look_that_slack_slows_down_goes_on_where_it_was(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, workspace = team.scene, team.slack.workspace
    scene.hands_off()
    team.tells()
    loses_an_answer(team, monkeypatch, lambda: scene.begins(1))
    team.slack.does(lambda: [workspace.post(CHANNEL, "U01DEV", f"lunch {n}?", []) for n in range(700)])
    while not team.calls("conversations.history"):
        team.turns(1)
    team.slack.desk.breaks("429", method="conversations.history", times=2, seconds=5)
    team.slack.desk.breaks("500", method="conversations.history")
    team.tells()
    looks = [call for call in team.calls("conversations.history") if call["status"] == 200]
    assert len(looks) == 4
    assert len(team.calls("chat.postMessage")) == 2


def test_who_may_not_look_for_the_moment_posts_nothing_twice(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer was lost, then the bot was put out of the channel: it looks when it is back."""
    scene, members = team.scene, team.slack.workspace.channels[CHANNEL].members
    scene.hands_off()
    team.tells()
    loses_an_answer(team, monkeypatch, lambda: scene.begins(1))
    members.remove(BOT_USER)
    team.turns(4)
    assert team.troubles[-1] == Trouble("not_in_channel", CHANNEL)
    members.append(BOT_USER)
    team.tells()
    assert len(team.channel()) == 2


def test_who_has_no_scope_to_look_tells_everything_all_the_same(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = team.scene
    scene.hands_off()
    team.tells()
    refuses(monkeypatch, "conversations.history", "missing_scope")
    loses_an_answer(team, monkeypatch, lambda: scene.begins(1))
    team.tells()
    assert len(team.channel()) == 3
    assert not list(scene.board.table(Due))


@pytest.mark.parametrize("ahead", [7200, -7200])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_message_is_found_again_by_a_bot_whose_clock_is_wrong(
    team: Team, monkeypatch: pytest.MonkeyPatch, ahead: float, restarted: bool
) -> None:
    scene = team.scene
    scene.hands_off()
    team.tells()
    scene.passes(ahead)  # ours, not Slack's
    loses_an_answer(team, monkeypatch, lambda: scene.begins(1))
    if restarted:
        team.goes()
        team.comes()
        team.starts()
    team.tells()
    assert len(team.channel()) == 2


# --- nothing stays stale ----------------------------------------------------------------------------------------------


def is_killed(team: Team, *, told: bool) -> None:
    """Before anything was told, or after all was, but for the edits; the next start comes two hours later."""
    while told and any(team.scene.board.table(Due)):
        assert team.publisher.turn() == 0.0
    team.goes()
    team.waits(7200)
    team.comes()
    team.starts()
    team.tells()


@pytest.mark.parametrize("told", [False, True])
def test_the_card_of_a_run_that_ended_long_before_the_start_says_how(team: Team, told: bool) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    team.tells()
    scene.finishes(1, "passed")
    is_killed(team, told=told)
    assert "*Passed, clean*" in team.card(1).text


@pytest.mark.parametrize("told", [False, True])
def test_after_a_withdrawal_no_start_leaves_buttons_behind(team: Team, told: bool) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    scene.finishes(1, "passed")
    team.tells()
    team.waits(7200)
    scene.says(e.ReleaseWithdrawn(release="R-1", reason="wrong build"), "U01DEV")
    is_killed(team, told=told)
    assert team.channel()[0].buttons == []
    assert [button.label for button in team.card(1).replies[-1].buttons] == ["Report"]


def test_a_question_that_was_answered_while_slack_was_out_has_no_buttons_after_a_start(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many records ago that was."""
    monkeypatch.setattr("bot.telling.outbox.RECENT", 3)
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    asks(scene, 1)
    team.tells()
    works(scene, 1, 1)  # which nobody is told of any more
    scene.says(e.RunDecided(run=1, step=1, choice="pass"), "U03TESTER")
    works(scene, 1, 10)
    scene.finishes(1, "passed")
    is_killed(team, told=False)
    assert team.card(1).replies[0].buttons == []


def test_what_waits_since_long_ago_does_not_make_all_that_came_after_it_stale(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = team.scene
    for name, value in (("RECENT", 3), ("EVENING", 6)):
        monkeypatch.setattr(f"bot.telling.outbox.{name}", value)
    team.goes()
    scene.hands_off()
    team.comes()
    team.starts()
    for run in range(1, 9):
        scene.begins(run)
        scene.finishes(run, "passed")
    outbox = team.publisher._outbox
    outbox.take([])
    assert {key for key in outbox.edits if key == thread_of(key)} == {"run/6", "run/7", "run/8"}


# --- troubles end, and are noticed ------------------------------------------------------------------------------------


def test_a_trouble_is_over_when_slack_answers_whatever_it_answers(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left to tell was an edit, and the message is gone."""
    scene, members = team.scene, team.slack.workspace.channels[CHANNEL].members
    scene.hands_off()
    scene.begins(1)
    team.tells()
    members.remove(BOT_USER)
    scene.says(e.RunBegan(run=1))
    scene.starts(1, 1, "deploy", "Stop the shop")
    team.turns(4)
    assert team.troubles[-1] == Trouble("not_in_channel", CHANNEL)
    members.append(BOT_USER)
    scene.board.listeners.clear()
    scene.finishes(1, "passed")
    refuses(monkeypatch, "chat.update", "message_not_found")
    team.tells()
    assert team.troubles[-1] is None


def test_a_bot_that_has_nothing_to_say_notices_that_it_was_put_out_and_let_in_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.progress.ASK", 0.1)
    with room() as slack:
        team = Team(scene, slack, time.monotonic)
        team.publisher.start()
        slack.waits(lambda: team.troubles == [None])
        slack.desk.breaks("channel", channel=CHANNEL, member=False)
        slack.waits(lambda: team.troubles[-1] == Trouble("not_in_channel", CHANNEL))
        slack.desk.heals()
        slack.waits(lambda: team.troubles[-1] is None)
        slack.desk.breaks("revoke", tokens=["bot"])
        slack.waits(lambda: team.troubles[-1] == Trouble("token_revoked", CHANNEL))
        assert team.calls("chat.postMessage") == []
        team.publisher.stop(DEADLINE)


@pytest.mark.parametrize(
    ("standing", "code"), [({"member": False}, "not_in_channel"), ({"archived": True}, "is_archived")]
)
def test_a_channel_that_takes_nothing_is_told_everything_when_it_does_again(
    team: Team, standing: dict[str, bool], code: str
) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    team.tells()
    team.slack.desk.breaks("channel", channel=CHANNEL, **standing)
    works(scene, 1, 3)
    scene.finishes(1, "passed")
    team.turns(6)
    assert {trouble.code for trouble in team.troubles if trouble} == {code}
    team.slack.desk.heals()
    healed = team.passed
    while not scene.board.run(1).messages.get("run/1/step/1/1"):
        team.turns(1)
    assert team.passed - healed <= 90
    team.tells()
    assert len(team.card(1).replies) == 4
    assert "*Passed, clean*" in team.card(1).text


# --- one method, one message, one file that Slack refuses -------------------------------------------------------------


def test_edits_that_must_wait_hold_up_no_message(team: Team) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    team.tells()
    team.slack.desk.breaks("429", method="chat.update", seconds=30)
    works(scene, 1, 8)
    scene.finishes(1, "passed")
    begun = team.passed
    while not scene.board.run(1).messages.get("run/1/end"):
        team.turns(1)
    assert team.passed - begun < 10
    assert "*Passed, clean*" not in team.card(1).text
    team.tells()
    assert team.passed - begun >= 30
    assert "*Passed, clean*" in team.card(1).text


@pytest.mark.parametrize("kind", ["500", "garbage", "drop_after", "429"])
@pytest.mark.parametrize("step", ["files.getUploadURLExternal", "files.completeUploadExternal"])
def test_a_file_is_there_once_whichever_of_its_steps_fails(team: Team, step: str, kind: str) -> None:
    scene = team.scene
    scene.hands_off()
    scene.begins(1)
    scene.does(1, 1, "deploy", "One", "web", written=True, outcome="failed", output="no such service\n")
    team.slack.desk.breaks(kind, method=step, times=2)
    team.tells()
    assert [len(reply.files) for reply in team.card(1).replies if reply.files] == [1]


def test_messages_that_people_deleted_hold_nothing_up(team: Team) -> None:
    """A question before it was answered, and an end before its buttons went."""
    scene, workspace = team.scene, team.slack.workspace
    scene.hands_off()
    scene.begins(1)
    asks(scene, 1)
    team.tells()
    question = team.card(1).replies[0].ts
    team.slack.does(lambda: workspace.remove(workspace.message(CHANNEL, question)))
    scene.says(e.RunDecided(run=1, step=1, choice="pass"), "U03TESTER")
    scene.finishes(1, "passed")
    team.tells()
    end = team.card(1).replies[-1].ts
    team.slack.does(lambda: workspace.remove(workspace.message(CHANNEL, end)))
    scene.begins(2, "promotion")
    team.tells()
    assert "*Passed, clean*" in team.card(1).text
    assert "Promotion of webshop 2.4.0" in team.card(2).text
    assert team.troubles[-1] is None
