"""What is refused of a way back, and that both ways back end a watch."""

import pytest
from deck_room import ADMIN, DEV, DeckRoom
from wishes import promoted, rehearsed, released, stranded

from plans.events import SnapshotRemoved, SnapshotTaken, StepStarted


@pytest.mark.parametrize("word", ["", "staging", "R-1", "2.4"])
def test_another_word_does_not_confirm(deck: DeckRoom, word: str) -> None:
    stranded(deck)
    assert "not_confirmed" in deck.types(ADMIN, f"/promote revert R-1 {word}")
    assert not [run for run in deck.records("run.started") if run["kind"] == "revert"]


@pytest.mark.parametrize("word", ["prod", "PROD", "2.4.1", "“prod”"])
def test_the_environments_name_or_the_version_does(deck: DeckRoom, word: str) -> None:
    stranded(deck)
    assert "started: revert of prod to before webshop 2.4.1" in deck.types(ADMIN, f"/promote revert R-1 {word}")


def test_who_is_no_admin_does_neither(deck: DeckRoom) -> None:
    stranded(deck)
    for line in ("revert R-1 prod", "leave R-1 so be it"):
        assert "role_needed" in deck.types(DEV, f"/promote {line}")


def test_a_snapshot_that_is_gone_is_not_gone_back_to(deck: DeckRoom) -> None:
    stranded(deck)
    deck.happens(SnapshotRemoved(run=2, host="web", snapshot="web", environment="prod"))
    told = deck.types(ADMIN, "/promote revert R-1 prod")
    assert "no_snapshot" in told
    assert "/promote rollback R-1" in told


def test_what_another_release_has_overtaken_is_neither_gone_back_to_nor_left(deck: DeckRoom) -> None:
    stranded(deck)
    deck.release("webshop-2.4.0")
    deck.rehearsed("R-2")
    number = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-2").number
    deck.happens(StepStarted(run=number, phase="deploy", step=4, name="Stop the shop", host="web", attempt=1))
    deck.ends(number, "errored")
    for line in ("revert R-1 prod", "leave R-1"):
        told = deck.types(ADMIN, f"/promote {line}")
        assert "overtaken" in told
        assert f"Run {number}, a promotion of R-2, has been on prod since R-1." in told


def test_what_was_taken_back_is_not_taken_back_again(deck: DeckRoom) -> None:
    stranded(deck)
    deck.types(ADMIN, "/promote revert R-1 prod")
    deck.happens(StepStarted(run=3, phase="revert", step=1, name="Go back", host="web", attempt=1))
    deck.ends(3)
    for line in ("revert R-1 prod", "rollback R-1"):
        told = deck.types(ADMIN, f"/promote {line}")
        assert "already_rolled_back" in told
        assert "Run 3, a revert started by" in told
    assert deck.board.environment("prod").deployed.get("webshop", ()) == ()


def test_a_revert_ends_the_watch(deck: DeckRoom) -> None:
    promoted(deck)
    deck.happens(SnapshotTaken(run=2, host="web", snapshot="web", environment="prod", name="s"))
    deck.happens(StepStarted(run=2, phase="deploy", step=4, name="Stop the shop", host="web", attempt=1))
    deck.happens(StepStarted(run=2, phase="watch", step=10, name="Mark 30m", host=None, attempt=1))
    assert "started" in deck.types(ADMIN, "/promote revert R-1 prod")
    (ended,) = [end for end in deck.records("run.finished") if end["run"] == 2]
    assert (ended["verdict"], ended["reason"]) == ("aborted", f"<@{ADMIN}> began a revert")


@pytest.mark.parametrize("given", [released, rehearsed, promoted])
def test_there_is_nothing_to_leave_where_no_run_went_wrong(deck: DeckRoom, given: object) -> None:
    given(deck)  # type: ignore[operator]
    assert "nothing_to_leave" in deck.types(ADMIN, "/promote leave R-1 all is well")


def test_what_is_left_is_told_to_the_channel_with_the_reason(deck: DeckRoom) -> None:
    stranded(deck)
    deck.types(ADMIN, "/promote leave R-1 the shop is closed anyway")
    assert deck.records("promotion.left") == [
        {"release": "R-1", "run": 2, "reason": "the shop is closed anyway", "by": ADMIN}
    ]
    assert deck.board.run(2).left == "the shop is closed anyway"
