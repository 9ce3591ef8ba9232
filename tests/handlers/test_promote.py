"""What admins say and are told with `/promote`."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from deck_room import ADMIN, ADMIN2, DEV, TESTER, DeckRoom

from bot.line.blocks import actions, button
from bot.material import Materials
from plans.errors import Refusal
from plans.events import StepStarted
from plans.phases import Plan
from plans.records import Run


def test_a_release_that_passed_is_promoted(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    told = deck.types(ADMIN, "/promote r-1")
    assert "Run 2 started: promotion of webshop 2.4.1 to prod (R-1)." in told
    assert "busy" in deck.types(ADMIN2, "/promote R-1")


def test_a_shut_gate_is_told_with_what_opens_it_and_the_others(deck: DeckRoom) -> None:
    deck.release("webshop-2.4.0", by=ADMIN)
    assert "not_rehearsed" in deck.types(ADMIN, "/promote R-1")
    deck.rehearsed("R-1", "failed")
    told = deck.types(ADMIN, "/promote R-1")
    assert "rehearsal_failed" in told
    assert "same_person" in told
    assert "/promote check R-1" in told
    assert deck.records("promotion.refused")[1]["gates"] == ["rehearsal_failed", "same_person"]


@pytest.mark.parametrize(
    "typed",
    [
        "/promote R-1",
        "/promote R-1 at 22:00",
        "/promote rollback R-1",
        "/promote approve R-1",
        "/promote defective R-1 bad",
        "/promote freeze holidays",
        "/promote unfreeze",
        "/promote abort",
    ],
)
def test_what_admins_do_nobody_else_does_and_the_ledger_has_it(deck: DeckRoom, typed: str) -> None:
    deck.release()
    for user in (DEV, TESTER):
        assert "is for admins" in deck.types(user, typed)
    assert deck.records("access.denied") == [{"command": typed, "role": "admins", "by": user} for user in (DEV, TESTER)]
    assert not deck.records("run.started") + deck.records("freeze.set") + deck.records("promotion.scheduled")


def test_check_shows_each_gate_with_its_age_to_everybody(deck: DeckRoom) -> None:
    deck.release()
    told = deck.types(DEV, "/promote check R-1")
    assert re.search(r"R-1, webshop 2.4.1: 2 of \d+ gates are shut", told)
    assert "✕ *shut* `not_rehearsed`" in told
    assert "Rehearse it: /stage run R-1" in told
    assert "✓ open `frozen`: no freeze" in told
    assert "no host was asked" in told
    deck.rehearsed("R-1")
    deck.ahead = timedelta(days=2)
    later = deck.types(ADMIN, "/promote check R-1")
    assert re.search(r"all \d+ gates are open", later)
    assert re.search(r"`not_rehearsed`: rehearsed in run 1 _\(recorded 2 days ago\)_", later)


def test_a_later_promotion_is_said_back_and_can_be_taken_off(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    told = deck.types(ADMIN, "/promote R-1 at 2030-07-01 22:00")
    assert "2030-07-01 22:00 CEST (UTC+02:00)" in told
    assert deck.records("promotion.scheduled")[0]["at"] == "2030-07-01T20:00:00.000Z"
    assert "2030-07-01 22:00 CEST" in deck.types(DEV, "/promote status")
    assert "not scheduled any more" in deck.types(ADMIN2, "/promote abort R-1")
    assert "not_scheduled" in deck.types(ADMIN2, "/promote abort R-1")
    assert "bad_time" in deck.types(ADMIN, "/promote R-1 at 2026-03-29 02:30")


def test_a_promotion_is_rolled_back_which_ends_its_watch(deck: DeckRoom) -> None:
    deck.release()
    assert "not_on_prod" in deck.types(ADMIN, "/promote rollback R-1")
    deck.rehearsed("R-1")
    deck.types(ADMIN, "/promote R-1")
    assert "busy" in deck.types(ADMIN, "/promote rollback R-1")
    deck.happens(StepStarted(run=2, phase="watch", step=9, name="Mark 10m", host=None, attempt=1))
    assert "Watching" in deck.types(DEV, "/promote status")
    assert "Run 3 started: rollback of webshop 2.4.1 on prod (R-1)." in deck.types(ADMIN, "/promote rollback R-1")
    history = deck.types(DEV, "/promote history")
    assert history.index("Run 3") < history.index("Run 2")
    assert f"<@{ADMIN}> began a rollback" in history.replace("&lt;", "<").replace("&gt;", ">")
    assert "rehearsal" not in history


def test_approvals_of_further_admins_count_once_each(opened: Callable[[str], DeckRoom]) -> None:
    deck = opened("policy: {approvals: 1}\n")
    deck.release()
    deck.release("webshop-2.4.0", by=ADMIN2)
    deck.rehearsed("R-1")
    assert "approvals_missing" in deck.types(ADMIN, "/promote R-1")
    assert "1 of 1 are given" in deck.types(ADMIN, "/promote approve R-1")
    assert "it counts once" in deck.types(ADMIN, "/promote approve R-1")
    assert "approvals_missing" in deck.types(ADMIN, "/promote R-1"), "who promotes is no further admin"
    assert "does not count" in deck.types(ADMIN2, "/promote approve R-2")
    deck.types(ADMIN2, "/promote approve R-1")
    assert [(one["release"], one["by"]) for one in deck.records("approval.given")] == [
        ("R-1", ADMIN),
        ("R-1", ADMIN2),
    ]
    assert "Run 2 started" in deck.types(ADMIN, "/promote R-1")


def test_a_defective_release_stays_off_prod(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    assert "missing_word" in deck.types(ADMIN, "/promote defective R-1")
    assert "is marked defective" in deck.types(ADMIN, "/promote defective R-1 loses orders")
    assert "already_defective" in deck.types(ADMIN2, "/promote defective R-1 again")
    assert "marked defective: loses orders" in deck.types(ADMIN, "/promote R-1")
    assert "defective: loses orders" in deck.types(ADMIN, "/promote approve R-1")


def test_a_freeze_holds_until_it_is_over_or_lifted(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    assert "until it is lifted" in deck.types(ADMIN, "/promote freeze month end")
    assert "frozen" in deck.types(ADMIN, "/promote R-1")
    assert "*Frozen* until it is lifted" in deck.types(DEV, "/promote status")
    told = deck.types(ADMIN2, "/promote freeze until 2030-12-27 08:00 holidays")
    assert "2030-12-27 08:00 CET (UTC+01:00)" in told
    assert f"in place of that by <@{ADMIN}>" in told
    assert deck.records("freeze.set")[1]["until"] == "2030-12-27T07:00:00.000Z"
    assert "The freeze is lifted" in deck.types(ADMIN, "/promote unfreeze")
    assert "not_frozen" in deck.types(ADMIN, "/promote unfreeze")
    assert "Run 2 started" in deck.types(ADMIN, "/promote R-1")


def test_a_promotion_is_stopped(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    assert "nothing_runs" in deck.types(ADMIN, "/promote abort")
    deck.types(ADMIN, "/promote R-1")
    deck.types(ADMIN, "/stage check staging")
    assert "Run 2 (promotion of webshop 2.4.1 to prod (R-1)) stops" in deck.types(ADMIN, "/promote abort")
    assert "stopped at once" in deck.types(ADMIN, "/promote abort 2 now")


def test_a_no_ends_what_was_approved_and_is_asked_anew(opened: Callable[[str], DeckRoom]) -> None:
    deck = opened("policy: {approvals: 1}\n")
    deck.release()
    deck.rehearsed("R-1")
    deck.types(ADMIN2, "/promote approve R-1")
    deck.types(ADMIN, "/promote R-1 at 2030-07-01 22:00")
    told = deck.types(ADMIN2, "/promote refuse R-1 not on a Friday")
    assert "is refused, with your reason. It is not scheduled any more." in told
    assert deck.records("promotion.unscheduled")[0]["reason"] == f"refused by <@{ADMIN2}>: not on a Friday"
    assert "was_refused" in deck.types(ADMIN2, "/promote approve R-1")
    assert len(deck.records("approval.given")) == 1
    assert "refused by" in deck.types(ADMIN, "/promote R-1")  # which asks anew
    deck.types(ADMIN2, "/promote approve R-1")
    assert "Run 2 started" in deck.types(ADMIN, "/promote R-1")


def test_who_promotes_asks_for_the_approvals_once_and_only_where_nothing_else_is_shut(
    opened: Callable[[str], DeckRoom],
) -> None:
    deck = opened("policy: {approvals: 1}\n")
    deck.release()
    assert "not_rehearsed" in deck.types(ADMIN, "/promote R-1")
    assert deck.records("approval.asked") == []
    deck.rehearsed("R-1")
    deck.types(ADMIN, "/promote R-1")
    deck.types(ADMIN, "/promote R-1")
    (asked,) = deck.records("approval.asked")
    assert (asked["release"], asked["by"]) == ("R-1", ADMIN)


def test_the_button_of_a_question_that_is_void_approves_nothing(opened: Callable[[str], DeckRoom]) -> None:
    deck = opened("policy: {approvals: 1}\n")
    deck.release()
    deck.rehearsed("R-1")
    old = deck.shows(actions(button("Approve", "approve", "R-1 0123456789ab")))
    assert "question_void" in deck.presses(ADMIN2, old, "approve")
    now = deck.deck.promotions.plans("R-1")[:12]
    present = deck.shows(actions(button("Approve", "approve", f"R-1 {now}")))
    assert "1 of 1 are given" in deck.presses(ADMIN2, present, "approve")


def test_an_approval_expires(opened: Callable[[str], DeckRoom]) -> None:
    deck = opened("policy: {approvals: 1, approvals_expire: 1h}\n")
    deck.release()
    deck.rehearsed("R-1")
    deck.types(ADMIN2, "/promote approve R-1")
    deck.ahead += timedelta(hours=2)
    assert "0 of 1 needed; 1 do not count" in deck.types(ADMIN, "/promote R-1")


def test_an_emergency_goes_past_a_freeze_and_wants_a_review(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    deck.types(ADMIN, "/promote freeze holidays")
    assert "frozen" in deck.types(ADMIN, "/promote R-1")
    assert "missing_word" in deck.types(ADMIN, "/promote R-1 emergency")
    assert "Run 2 started" in deck.types(ADMIN, "/promote R-1 emergency customers cannot pay")
    (forced,) = deck.records("promotion.forced")
    assert (forced["gates"], forced["reason"], forced["by"]) == (["frozen"], "customers cannot pay", ADMIN)
    assert "R-1 was promoted past frozen" in deck.types(ADMIN2, "/promote review prod well done")
    assert "is on the ledger" in deck.types(ADMIN2, "/promote review R-1 the freeze had a hole")


def test_a_promotion_says_by_itself_which_gates_an_emergency_opened(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")
    deck.types(ADMIN, "/promote freeze holidays")
    deck.runs.start("lookout", by="quarterdeck", environment="prod")
    deck.types(ADMIN, "/promote R-1 emergency customers cannot pay")
    assert deck.records("run.finished")[-1]["reason"] == "it gave way to a promotion"
    assert deck.records("run.started")[-1]["forced"] == ["frozen"]


def test_an_emergency_in_which_nothing_can_begin_is_not_told(deck: DeckRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    deck.release()
    deck.rehearsed("R-1")
    deck.types(ADMIN, "/promote freeze holidays")

    def refused(materials: Materials, run: Run) -> Plan:
        raise Refusal("unknown_role", "A step is for cache, and this environment has no host of that role.")

    monkeypatch.setattr(Materials, "plan", refused)
    assert "unknown_role" in deck.types(ADMIN, "/promote R-1 emergency customers cannot pay")
    assert deck.records("promotion.forced") == []
    assert "Wanted: none" in deck.types(ADMIN2, "/promote review R-1 it was right")


def test_an_emergency_goes_past_nothing_else(deck: DeckRoom) -> None:
    deck.release()
    assert "not_rehearsed" in deck.types(ADMIN, "/promote R-1 emergency customers cannot pay")
    deck.rehearsed("R-1", "failed")
    assert "rehearsal_failed" in deck.types(ADMIN, "/promote R-1 emergency customers cannot pay")
    assert deck.records("promotion.forced") == []


def test_the_calendar_freezes_too(opened: Callable[[str], DeckRoom]) -> None:
    deck = opened("policy: {freezes: [{weekly: mon 00:00 - mon 00:00, reason: closed for good}]}\n")
    deck.release()
    deck.rehearsed("R-1")
    assert "closed for good" in deck.types(ADMIN, "/promote R-1")
