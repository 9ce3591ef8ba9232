"""What the records around a deployment make of what is known, and which of them the channel is told of."""

from datetime import datetime, timedelta

import pytest
from builders import DIGEST, Story, handed_off
from msgspec.structs import replace

from plans import rule_events as e
from plans.events import ApprovalGiven, FactsCollected
from plans.records import AnyDocument
from plans.rule_records import Approval, Assigned, Difference, Escape, Outside, Review, Waiver

FOUND = e.DifferenceFound(run=1, key="schema", fact="schema", host="db", kind="qa", brief="qa has orders.archived")
UNTIL = "2026-12-24T23:00:00.000Z"
ADMIN, OTHER, THIRD = "U02ADMIN", "U05OTHER", "U06THIRD"


def document(story: Story, table: str, key: str) -> AnyDocument | None:
    return story.documents.get((table, key))


class TestDifferences:
    def test_one_is_open_from_when_it_is_found_and_told_in_the_runs_thread(self) -> None:
        story = Story().begin().tell(FOUND)
        found = document(story, "differences", "1/schema")
        assert isinstance(found, Difference)
        assert (found.open, found.kind, found.brief, found.host) == (True, "qa", FOUND.brief, "db")
        assert "run/1/difference/schema" in story.outbox

    def test_an_admins_reason_closes_it_and_the_channel_is_told_who_gave_it(self) -> None:
        story = Story().begin().tell(FOUND, replace(FOUND, key="packages", fact="packages"))
        story.tell(e.DifferenceDisposed(run=1, release="R-1", key="schema", reason="next sprint"), by=ADMIN)
        disposed, left = (document(story, "differences", f"1/{key}") for key in ("schema", "packages"))
        assert isinstance(disposed, Difference)
        assert (disposed.open, disposed.disposed, disposed.disposed_by) == (False, "next sprint", ADMIN)
        assert disposed.disposed_at == story.entries[-1].at
        assert isinstance(left, Difference)
        assert left.open
        assert f"notice/{len(story.entries)}" in story.outbox

    def test_a_reason_for_what_nobody_found_changes_nothing(self) -> None:
        story = Story().begin().tell(FOUND)
        before = dict(story.documents)
        story.tell(e.DifferenceDisposed(run=1, release="R-1", key="packages", reason="why not"), by=ADMIN)
        assert story.documents == before


class TestWaivers:
    GIVEN = e.WaiverGiven(environment="staging", fact="schema", until=UNTIL, reason="the index is built by hand")
    USED = e.WaiverUsed(run=1, fact="schema", brief="schema differs")
    SAID = f"schema differs from prod, waived by <@{ADMIN}> until 2026-12-24: the index is built by hand"

    def test_a_run_that_used_one_shows_whose_it_is_and_until_when_once(self) -> None:
        story = Story().begin().tell(self.GIVEN, by=ADMIN).tell(self.USED, self.USED)
        assert story.run().cautions == (self.SAID,)
        assert story.run().clean

    def test_a_later_one_stands_in_its_place(self) -> None:
        story = Story().tell(self.GIVEN, by=ADMIN)
        taken_back = e.WaiverGiven(environment="staging", fact="schema", until="2020-01-01T00:00:00Z", reason="built")
        story.tell(taken_back, by=OTHER)
        waiver = document(story, "waivers", "staging/schema")
        assert isinstance(waiver, Waiver)
        assert (waiver.until, waiver.reason, waiver.by) == ("2020-01-01T00:00:00Z", "built", OTHER)

    @pytest.mark.parametrize(("environment", "fact"), [("crm-staging", "schema"), ("staging", "packages")])
    def test_one_of_another_environment_or_fact_is_not_shown(self, environment: str, fact: str) -> None:
        other = e.WaiverGiven(environment=environment, fact=fact, until=UNTIL, reason="something else")
        assert Story().begin().tell(other, by=ADMIN).tell(self.USED).run().cautions == ()


class TestHands:
    def test_one_that_was_seen_makes_the_run_not_clean_once(self) -> None:
        seen = e.HandSeen(run=1, host="web", what="deploy logged in from 10.9.0.1")
        story = Story().begin().tell(seen, seen)
        assert story.run().unclean == ("a hand on web: deploy logged in from 10.9.0.1",)
        assert not story.run().clean
        assert story.outbox.count("run/1/hands") == 1

    def test_what_cannot_be_told_is_said_and_forgives_and_blames_nothing(self) -> None:
        story = Story().begin().tell(e.HandsUnknown(run=1, host="db", why="its log cannot be read"))
        said = "whether anybody else was at work on db is not known: its log cannot be read"
        assert (story.run().cautions, story.run().clean) == ((said,), True)


class TestReviews:
    @pytest.mark.parametrize(
        ("event", "subject", "what"),
        [
            (e.ChangeOutside(environment="prod", reason="disk full"), "prod", "prod was changed by hand: disk full"),
            (
                e.PromotionForced(release="R-1", gates=("frozen", "approvals_missing"), reason="the shop is down"),
                "R-1",
                "R-1 was promoted past frozen, approvals_missing: the shop is down",
            ),
        ],
    )
    def test_what_was_done_past_the_rules_wants_one_within_two_days_until_it_has_it(
        self, event: e.RuleEvent, subject: str, what: str
    ) -> None:
        story = Story().tell(event, by=ADMIN)
        review = document(story, "reviews", subject)
        assert isinstance(review, Review)
        assert (review.what, review.by) == (what, ADMIN)
        assert datetime.fromisoformat(review.due) - datetime.fromisoformat(review.at) == timedelta(days=2)
        assert story.outbox == ["notice/1"]
        story.tell(e.ReviewGiven(subject=subject, text="the alarm is set earlier now"), by=OTHER)
        assert document(story, "reviews", subject) is None
        assert story.outbox == ["notice/1", "notice/2"]

    def test_one_that_nobody_wants_is_told_to_nobody(self) -> None:
        story = Story().tell(e.ReviewGiven(subject="R-9", text="all is well"), by=OTHER)
        assert story.documents == {}

    def test_after_a_change_by_hand_nobody_knows_any_more_what_prod_is(self) -> None:
        story = Story().begin("lookout", environment="prod")
        story.tell(FactsCollected(run=1, environment="prod", digests={"schema db": "a"}, log="", app="webshop"))
        assert "webshop" in story.environment("prod").settled
        story.tell(e.ChangeOutside(environment="prod", reason="disk full"), by=ADMIN)
        assert story.environment("prod").settled == {}
        outside = document(story, "outside", "prod")
        assert isinstance(outside, Outside)
        assert (outside.reason, outside.by) == ("disk full", ADMIN)


def asked(plans: str = "p") -> tuple[e.ApprovalAsked, str]:
    return e.ApprovalAsked(release="R-1", digest=DIGEST, plans=plans, until=UNTIL), ADMIN


def yes(by: str, plans: str = "p") -> tuple[ApprovalGiven, str]:
    return ApprovalGiven(release="R-1", digest=DIGEST, plans=plans), by


NO = e.ApprovalRefused(release="R-1", reason="not on a Friday"), THIRD


@pytest.mark.parametrize(
    ("told", "given", "refused", "plans"),
    [
        ([asked()], [], "", "p"),
        ([asked(), yes(OTHER), yes(THIRD)], [OTHER, THIRD], "", "p"),
        ([yes(OTHER)], [OTHER], "", "p"),
        ([yes(OTHER), asked()], [OTHER], "", "p"),
        ([asked(), yes(OTHER), yes(OTHER)], [OTHER], "", "p"),
        ([asked(), yes(OTHER), asked("changed")], [], "", "changed"),
        ([asked(), yes(OTHER), yes(THIRD, "changed")], [THIRD], "", "changed"),
        ([asked(), yes(OTHER), NO], [], "not on a Friday", "p"),
        ([NO], [], "not on a Friday", ""),
        ([asked(), yes(OTHER), NO, asked()], [], "", "p"),
        ([asked(), NO, yes(OTHER)], [OTHER], "", "p"),
    ],
)
def test_a_yes_is_of_what_there_was_and_a_no_ends_what_was_said_before(
    told: list[tuple[e.RuleEvent, str]], given: list[str], refused: str, plans: str
) -> None:
    story = Story().tell(handed_off(), by="U01DEV")
    for event, by in told:
        story.tell(event, by=by)
    approval = document(story, "approvals", "R-1")
    assert isinstance(approval, Approval)
    assert (list(approval.given), approval.refused, approval.plans) == (given, refused, plans)
    assert approval.refused_by == (THIRD if refused else "")
    assert story.outbox == ["release/R-1", *(f"notice/{number}" for number in range(2, len(told) + 2))]


class TestEscapes:
    RECORDED = e.EscapeRecorded(escape="E-1", app="webshop", release="R-1", text="totals are wrong")

    @pytest.mark.parametrize(
        ("closing", "how", "check", "reason"),
        [
            (
                e.EscapeClosed(escape="E-1", how="check", release="R-2", check="Totals", reason=""),
                "check",
                "Totals",
                "",
            ),
            (e.EscapeClosed(escape="E-1", how="accepted", release="", check="", reason="rare"), "accepted", "", "rare"),
        ],
    )
    def test_one_is_closed_once_by_its_check_or_by_a_reason(
        self, closing: e.EscapeClosed, how: str, check: str, reason: str
    ) -> None:
        story = Story().tell(self.RECORDED, closing, by=ADMIN)
        again = e.EscapeClosed(escape="E-1", how="accepted", release="R-9", check="", reason="once more")
        story.tell(again, by=OTHER)
        escape = document(story, "escapes", "E-1")
        assert isinstance(escape, Escape)
        assert (escape.open, escape.closed, escape.check, escape.reason) == (False, how, check, reason)
        assert (escape.closed_by, escape.closed_on) == (ADMIN, closing.release)
        assert escape.paid("R-1")
        assert story.outbox == ["notice/1", "notice/2"]

    def test_what_is_said_of_an_unknown_one_changes_nothing(self) -> None:
        tried = e.EscapeTried(escape="E-9", run=1, release="R-1", check="Totals", outcome="ok")
        closed = e.EscapeClosed(escape="E-9", how="accepted", release="", check="", reason="rare")
        assert Story().tell(tried, closed, by=ADMIN).documents == {}


def test_a_manual_check_is_whose_it_was_given_to_last() -> None:
    story = Story().begin().tell(e.CheckAssigned(run=1, step=7, to=OTHER), e.CheckAssigned(run=1, step=7, to=THIRD))
    assigned = document(story, "assigned", "1/7")
    assert isinstance(assigned, Assigned)
    assert assigned.to == THIRD
