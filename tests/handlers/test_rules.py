"""What admins say about differences, waivers, changes by hand, reviews and escaped defects, and what they are told."""

import pytest
from deck_room import ADMIN, ADMIN2, DEV, TESTER, DeckRoom

from plans.rule_events import DifferenceFound, EscapeTried


def pointed_out(deck: DeckRoom, *keys: str) -> None:
    deck.release()
    deck.rehearsed("R-1")
    for key in keys:
        brief = f"qa has {key}, staging after 2.4.1 does not\nschema: staging db and qa db differ"
        deck.happens(DifferenceFound(run=1, key=key, fact=key.partition(":")[0], host="db", kind="qa", brief=brief))


def promoted(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    run = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")
    deck.ends(run.number)


class TestDifferences:
    def test_an_open_difference_keeps_the_release_off_prod_until_somebody_says_why_it_may_be(
        self, deck: DeckRoom
    ) -> None:
        pointed_out(deck, "schema", "crontab")
        refused = deck.types(ADMIN, "/promote R-1")
        assert "differences_open" in refused
        assert "/stage dispose R-1 schema REASON" in refused
        told = deck.types(ADMIN, '/stage dispose R-1 schema "next sprint"')
        assert "schema of R-1 is disposed of, with your reason. Still open: crontab." in told
        assert "differences_open" in deck.types(ADMIN, "/promote R-1")
        assert "Nothing is open any more." in deck.types(ADMIN2, "/stage dispose R-1 crontab as ever")
        assert "Run 2 started" in deck.types(ADMIN, "/promote R-1")
        disposed = deck.records("difference.disposed")
        assert [(d["key"], d["reason"], d["by"]) for d in disposed] == [
            ("schema", '"next sprint"', ADMIN),
            ("crontab", "as ever", ADMIN2),
        ]

    def test_one_word_disposes_of_all_that_was_said_of_a_fact(self, deck: DeckRoom) -> None:
        pointed_out(deck, "schema", "schema:unlisted")
        assert "Nothing is open any more." in deck.types(ADMIN, "/stage dispose R-1 Schema known")
        assert len(deck.records("difference.disposed")) == 2

    def test_what_was_not_pointed_out_cannot_be_disposed_of(self, deck: DeckRoom) -> None:
        pointed_out(deck, "schema")
        told = deck.types(ADMIN, "/stage dispose R-1 packages soon")
        assert "no_difference" in told
        assert "but: schema" in told
        assert "missing_word" in deck.types(ADMIN, "/stage dispose R-1 schema")

    def test_everybody_sees_them_again(self, deck: DeckRoom) -> None:
        pointed_out(deck, "schema", "crontab")
        deck.types(ADMIN, "/stage dispose R-1 crontab as ever")
        rows = deck.types(DEV, "/stage compare R-1")
        assert "2 entries" in rows

    def test_a_later_rehearsal_begins_without_them(self, deck: DeckRoom) -> None:
        pointed_out(deck, "schema")
        deck.rehearsed("R-1")
        assert "Run 3 started" in deck.types(ADMIN, "/promote R-1")


class TestWaivers:
    def test_a_fact_may_differ_until_the_end_of_a_day(self, deck: DeckRoom) -> None:
        told = deck.types(ADMIN, "/stage waive schema until 2030-07-01 the index is built by hand")
        assert "schema of staging may differ from prod until" in told
        (waiver,) = deck.records("waiver.given")
        assert (waiver["environment"], waiver["fact"]) == ("staging", "schema")
        assert waiver["until"] == "2030-07-01T22:00:00.000Z"  # the end of that day in Berlin

    @pytest.mark.parametrize(
        ("typed", "code"),
        [
            ("/stage waive nothing until 2030-07-01 reason", "no_fact"),
            ("/stage waive prod schema until 2030-07-01 reason", "no_fact"),
            ("/stage waive schema until 2020-07-01 reason", "bad_time"),
            ("/stage waive schema until 2030-02-30 reason", "bad_time"),
            ("/stage waive schema until soon reason", "bad_time"),
            ("/stage waive schema reason", "missing_word"),
            ("/stage waive schema until 2030-07-01", "missing_word"),
        ],
    )
    def test_what_cannot_be_waived_is_refused(self, deck: DeckRoom, typed: str, code: str) -> None:
        assert code in deck.types(ADMIN, typed)
        assert deck.records("waiver.given") == []


class TestByHand:
    def test_a_change_by_hand_makes_older_rehearsals_worthless_and_wants_a_review(self, deck: DeckRoom) -> None:
        deck.release()
        deck.rehearsed("R-1")
        told = deck.types(ADMIN, "/promote outside prod the disk was full")
        assert "may not be promoted: rehearse it again" in told
        assert "prod_changed_since" in deck.types(ADMIN, "/promote R-1")
        assert "Your review of prod is on the ledger" in deck.types(ADMIN2, "/promote review prod logs rotate now")
        deck.rehearsed("R-1")
        assert "Run 3 started" in deck.types(ADMIN, "/promote R-1")

    def test_which_prod_must_be_said_where_there_are_several(self, deck: DeckRoom) -> None:
        assert "which_environment" in deck.types(ADMIN, "/promote outside the disk was full")
        assert "wrong_environment" in deck.types(ADMIN, "/promote outside staging the disk was full")

    def test_a_review_that_nobody_wants_is_refused_with_those_that_are_wanted(self, deck: DeckRoom) -> None:
        deck.types(ADMIN, "/promote outside prod the disk was full")
        told = deck.types(ADMIN, "/promote review R-7 all is well")
        assert "nothing_to_review" in told
        assert "prod was changed by hand: the disk was full" in told


class TestEscapes:
    def test_an_escape_stops_the_app_until_it_is_accepted(self, deck: DeckRoom) -> None:
        promoted(deck)
        assert "It is E-1." in deck.types(ADMIN, "/promote escape R-1 totals are wrong")
        refused = deck.types(ADMIN, "/promote R-1")
        assert "escape_open" in refused
        assert "covers: [E-1]" in refused
        assert "E-1 is accepted" in deck.types(ADMIN2, "/promote accept e-1 nobody uses it")
        assert "Run 3 started" in deck.types(ADMIN, "/promote R-1")

    @pytest.mark.parametrize(("outcome", "open_"), [("ok", True), ("failed", False)])
    def test_or_until_its_check_has_passed_on_the_release(self, deck: DeckRoom, outcome: str, open_: bool) -> None:
        promoted(deck)
        deck.types(ADMIN, "/promote escape R-1 totals are wrong")
        deck.happens(EscapeTried(escape="E-1", run=1, release="R-1", check="Totals", outcome=outcome))
        assert ("Run 3 started" in deck.types(ADMIN, "/promote R-1")) is open_

    def test_nothing_escapes_from_what_was_never_on_prod(self, deck: DeckRoom) -> None:
        deck.release()
        assert "not_on_prod" in deck.types(ADMIN, "/promote escape R-1 totals are wrong")
        assert "no_escape" in deck.types(ADMIN, "/promote accept E-1 whatever")
        assert "bad_escape" in deck.types(ADMIN, "/promote accept R-1 whatever")


@pytest.mark.parametrize(
    "typed",
    [
        "/stage dispose R-1 schema soon",
        "/stage waive schema until 2030-07-01 soon",
        "/promote outside prod the disk was full",
        "/promote review prod all is well",
        "/promote escape R-1 totals are wrong",
        "/promote accept E-1 rare",
    ],
)
def test_what_admins_do_nobody_else_does(deck: DeckRoom, typed: str) -> None:
    deck.release()
    for user in (DEV, TESTER):
        assert "role_needed" in deck.types(user, typed)
    assert [denied["command"] for denied in deck.records("access.denied")] == [typed, typed]
