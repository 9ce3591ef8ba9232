"""What is told after Slack was out for long, or was stubborn: what first, how fast, and that nothing stays stale."""

from scenes import Scene
from teams import Team
from test_progress import scene, team

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
