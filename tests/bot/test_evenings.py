"""What is told after Slack was out for long, or was stubborn: what first, how fast, and that nothing stays stale."""

import pytest
from scenes import Scene
from teams import Team
from test_progress import scene, team

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
