"""Manual checks of a run: several open at once, answered in any order, and each somebody's."""

import pytest
from deck_room import ADMIN, DEV, TESTER, DeckRoom


@pytest.fixture(autouse=True)
def checks(deck: DeckRoom) -> None:
    deck.release()
    deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-1")
    deck.checks(1, 1, 2, 3)


def test_an_answer_says_which_of_several_it_is_for(deck: DeckRoom) -> None:
    told = deck.types(TESTER, "/stage answer 1 pass it looks right")
    assert "which_question" in told
    assert "1/2 for “Look 2”" in told
    assert not deck.records("run.decided")
    assert "It waits for 2 more." in deck.types(TESTER, "/stage answer 1/2 pass it looks right")
    assert [(r["step"], r["question"]) for r in deck.records("run.decided")] == [(22, 2)]
    assert "already_answered" in deck.types(TESTER, "/stage answer 1/2 fail")
    assert "It waits for 1 more." in deck.types(TESTER, "/stage answer 1/3 fail")


@pytest.mark.parametrize("typed", ["1 2", '1 "look 2"', "1/2"])
@pytest.mark.parametrize("who", [ADMIN, TESTER])
def test_a_check_is_assigned_by_its_number_or_its_name(deck: DeckRoom, who: str, typed: str) -> None:
    assert "Look 2" in deck.types(who, f"/stage assign {typed} <@{TESTER}|tess>")
    (assigned,) = deck.records("check.assigned")
    assert (assigned["run"], assigned["step"], assigned["to"]) == (1, 22, TESTER)


@pytest.mark.parametrize(
    ("who", "typed", "code"),
    [
        (ADMIN, f"1 2 <@{DEV}>", "not_in_role"),
        (DEV, f"1 2 <@{TESTER}>", "role_needed"),
        (ADMIN, f"1 4 <@{TESTER}>", "no_check"),
        (ADMIN, f"1 Look <@{TESTER}>", "no_check"),
        (ADMIN, "1 2 tess", "bad_person"),
        (ADMIN, "1 2", "missing_word"),
        (ADMIN, f"9 2 <@{TESTER}>", "unknown_run"),
    ],
)
def test_what_is_not_assigned(deck: DeckRoom, who: str, typed: str, code: str) -> None:
    assert f"`{code}`" in deck.types(who, f"/stage assign {typed}")
    assert not deck.records("check.assigned")
