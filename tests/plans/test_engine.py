"""From a plan and what happened so far to the next move: tables of what a run does next."""

from datetime import timedelta
from typing import Any

import pytest
from builders import Command, Story, begun, finished, paused, plan, planned

from plans import events as e
from plans.checks import Healthy, Http, HttpCheck, ManualCheck, RunCheck
from plans.engine import Ask, Finish, Move, Perform, StartOver, Wait, WaitUntil, outcome_in
from plans.machinery import PowerOn
from plans.phases import Given, Plan, Planned

ABORT = e.RunAborting(run=1, now=False)
ABORT_NOW = e.RunAborting(run=1, now=True)


def said(move: Move) -> str:
    """A move as one line: `2 web#1 db#1` performs step 2 on two hosts, `~` marks what an earlier process began."""
    match move:
        case Perform(step, places):
            hosts = (f"{'~' if place.resume else ''}{place.host}#{place.attempt}" for place in places)
            return " ".join([str(step.number), *hosts])
        case Ask(step, why, choices):
            return f"ask {step.number}: {why} ({' '.join(choices)})"
        case Finish(verdict, reason):
            return f"{verdict}" + (f": {reason}" if reason else "")
        case WaitUntil(at):
            return f"until {at.isoformat()}"
        case StartOver(why):
            return f"over: {why}"
        case Wait():
            return "wait"


def begin(kind: str = "rehearsal") -> Story:
    return Story().begin(kind)


class TestOrder:
    def test_steps_follow_each_other_and_the_hosts_of_one_run_at_once(self) -> None:
        steps = plan(planned(1, "restore", "web", "web/2"), planned(2), planned(3, "test", ""))
        story = begin()
        seen = []
        while not isinstance(move := story.move(steps), Finish):
            seen.append(said(move))
            story.step(steps)
        assert seen == ["1 web#1 web/2#1", "2 web#1", "3 #1"]
        assert said(move) == "passed"

    @pytest.mark.parametrize(("outcome", "expected"), [("ok", [1, 3, 4]), ("skipped", [1, 2, 4])])
    def test_a_step_for_the_other_case_is_left_out(self, outcome: str, expected: list[int]) -> None:
        steps = plan(
            planned(1, "confirm", ""),
            planned(2, "restore", "db", given=Given((1,))),
            planned(3, "snapshot", "db", given=Given((1,), skipped=False)),
            planned(4),
        )
        story, seen = begin().step(steps, outcome), [1]
        while isinstance(move := story.move(steps), Perform):
            seen.append(move.step.number)
            story.step(steps)
        assert (seen, said(move)) == (expected, "passed")

    @pytest.mark.parametrize(
        ("serial", "expected"),
        [
            (0, ["1 a#1 b#1 c#1"]),
            (1, ["1 a#1", "1 b#1", "1 c#1"]),
            (2, ["1 a#1 b#1", "1 c#1"]),
            (9, ["1 a#1 b#1 c#1"]),
        ],
    )
    def test_serial_goes_through_the_hosts_so_many_at_a_time(self, serial: int, expected: list[str]) -> None:
        steps = plan(planned(1, "deploy", "a", "b", "c", serial=serial))
        story, seen = begin(), []
        while not isinstance(move := story.move(steps), Finish):
            seen.append(said(move))
            story.step(steps)
        assert seen == expected

    def test_serial_stops_at_the_first_bad_host_and_touches_no_other(self) -> None:
        steps = plan(planned(1, "deploy", "a", "b", "c", serial=1), planned(2))
        story = begin().step(steps).step(steps, "failed")
        assert said(story.move(steps)) == "ask 1: “Step 1” failed on b: exit 1 (retry skip abort)"

    def test_a_plan_without_steps_is_over(self) -> None:
        assert said(begin().move(plan())) == "passed"


@pytest.mark.parametrize(
    ("phase", "outcome", "expected"),
    [
        ("deploy", "failed", "ask 1: “Step 1” failed on web: exit 1 (retry skip abort)"),
        ("deploy", "errored", "ask 1: “Step 1” errored on web (retry skip abort)"),
        ("rollback", "failed", "ask 1: “Step 1” failed on web: exit 1 (retry skip abort)"),
        ("test", "failed", "failed: “Step 1” failed on web: exit 1"),
        ("test", "errored", "errored: “Step 1” errored on web"),
        ("watch", "failed", "failed: “Step 1” failed on web: exit 1"),
        ("restore", "errored", "errored: “Step 1” errored on web"),
        ("confirm", "errored", "errored: “Step 1” errored on web"),
        ("protect", "errored", "errored: “Step 1” errored on web"),
        ("deploy", "aborted", "aborted: “Step 1” aborted on web"),
    ],
)
def test_a_bad_ending_asks_where_the_package_is_put_in_place_and_ends_the_run_elsewhere(
    phase: str, outcome: str, expected: str
) -> None:
    steps = plan(planned(1, phase), planned(2, phase))
    assert said(begin().step(steps, outcome).move(steps)) == expected


def test_what_the_machinery_does_itself_never_asks() -> None:
    steps = plan(planned(1, "deploy", written=False))
    assert said(begin().step(steps, "errored").move(steps)) == "errored: “Step 1” errored on web"


@pytest.mark.parametrize("phase", ["power_on", "restore", "confirm", "snapshot", "protect"])
def test_nothing_fails_before_the_package_is_touched(phase: str) -> None:
    assert outcome_in(phase, "failed") == "errored"
    assert outcome_in(phase, "ok") == "ok"


@pytest.mark.parametrize("phase", ["deploy", "test", "watch", "rollback"])
def test_a_failure_is_the_packages_where_the_package_is_at_work(phase: str) -> None:
    assert outcome_in(phase, "failed") == "failed"
    assert outcome_in(phase, "errored") == "errored"


class TestGroups:
    STEPS = plan(
        planned(1, "test", "a", "b", group="critical"),
        planned(2, "test", group="critical"),
        planned(3, "test", group="deep"),
    )

    def test_a_group_runs_to_its_end_before_a_failure_counts_and_the_next_does_not_begin(self) -> None:
        story = begin().step(self.STEPS, {"b": "failed"})
        assert said(story.move(self.STEPS)) == "2 web#1"
        assert said(story.step(self.STEPS).move(self.STEPS)) == "failed: “Step 1” failed on b: exit 1"

    def test_a_group_in_which_something_errored_says_nothing_about_the_package(self) -> None:
        story = begin().step(self.STEPS, {"a": "failed"}).step(self.STEPS, "errored", reason="no route")
        assert said(story.move(self.STEPS)) == "errored: “Step 2” errored on web: no route"

    def test_a_step_of_a_group_is_told_whether_all_before_it_in_the_group_was_ok(self) -> None:
        story = begin().step(self.STEPS)
        first = story.move(self.STEPS)
        assert isinstance(first, Perform)
        assert first.group_ok
        later = begin().step(self.STEPS, {"b": "failed"}).move(self.STEPS)
        assert isinstance(later, Perform)
        assert not later.group_ok

    def test_a_host_that_a_crash_left_out_is_still_asked_after_another_failed(self) -> None:
        story = begin().tell(begun(1, self.STEPS.step(1), "a", 1), finished(1, 1, "a", 1, "failed"))
        assert said(story.move(self.STEPS)) == "1 b#1"

    def test_the_last_group_ends_the_run(self) -> None:
        story = begin().step(self.STEPS).step(self.STEPS).step(self.STEPS, "failed")
        assert said(story.move(self.STEPS)) == "failed: “Step 3” failed on web: exit 1"


class TestChecksByHand:
    """Manual checks of a group that stand next to each other are open together."""

    LOOK = ManualCheck(name="Look", manual="Look at it.")
    STEPS = plan(
        planned(1, "test", group="deep"),
        planned(2, "test", "", group="deep", step=LOOK),
        planned(3, "test", "", group="deep", step=Healthy(LOOK)),
        planned(4, "test", group="deep"),
        planned(5, "test", "", group="deep", step=LOOK),
        planned(6, "test", "", group="later", step=LOOK),
    )

    def asked(self, *numbers: int) -> Story:
        """The first check is done, and these are asked."""
        story = begin().step(self.STEPS)
        for number in numbers:
            move = story.move(self.STEPS)
            assert isinstance(move, Perform)
            assert move.step.number == number
            story.start(move).tell(paused(1, number, number - 1, ("pass", "fail"), "testers"))
        return story

    def answered(self, story: Story, number: int, choice: str = "pass") -> Story:
        return story.tell(e.RunDecided(run=1, step=number, choice=choice, question=number - 1))

    def done(self, story: Story, number: int, outcome: str = "ok") -> Story:
        return story.tell(finished(1, number, "", 1, outcome))

    def test_the_next_one_is_asked_while_the_first_waits_and_what_is_no_check_by_hand_waits(self) -> None:
        assert said(self.asked(2).move(self.STEPS)) == "3 #1"
        assert said(self.asked(2, 3).move(self.STEPS)) == "wait"

    @pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2)])
    def test_they_are_answered_in_any_order(self, first: int, second: int) -> None:
        story = self.answered(self.asked(2, 3), first)
        assert said(story.move(self.STEPS)) == f"{first} ~#1"
        assert said(self.done(story, first).move(self.STEPS)) == "wait"
        assert said(self.answered(story, second).move(self.STEPS)) == f"{second} ~#1"
        assert said(self.done(story, second).move(self.STEPS)) == "4 web#1"

    def test_two_answers_at_once_are_both_gone_on_with(self) -> None:
        story = self.answered(self.answered(self.asked(2, 3), 3, "fail"), 2)
        assert said(story.move(self.STEPS)) == "2 ~#1"
        assert said(self.done(story, 2).move(self.STEPS)) == "3 ~#1"

    def test_the_verdict_of_the_group_waits_for_all_of_them(self) -> None:
        story = self.done(self.answered(self.asked(2, 3), 2, "fail"), 2, "failed")
        assert said(story.move(self.STEPS)) == "wait"
        self.done(self.answered(story, 3), 3).step(self.STEPS)
        assert said(story.move(self.STEPS)) == "5 #1"
        story.step(self.STEPS)
        assert said(story.move(self.STEPS)) == "failed: “Step 2” failed: exit 1"

    def test_the_next_group_is_not_asked_before_its_time(self) -> None:
        story = self.asked(2)
        self.done(self.answered(story, 2), 2).step(self.STEPS).step(self.STEPS)
        move = story.move(self.STEPS)
        assert isinstance(move, Perform)
        story.start(move).tell(paused(1, 5, 2, ("pass", "fail"), "testers"))
        assert said(story.move(self.STEPS)) == "wait"

    def test_what_a_crash_left_between_its_beginning_and_its_question_is_asked(self) -> None:
        story = self.asked(2)
        move = story.move(self.STEPS)
        assert isinstance(move, Perform)
        assert said(story.start(move).move(self.STEPS)) == "3 ~#1"

    def test_a_stop_ends_all_of_them(self) -> None:
        story = self.asked(2, 3).tell(ABORT)
        assert said(story.move(self.STEPS)) == "2 ~#1"
        assert said(self.done(story, 2, "aborted").move(self.STEPS)) == "3 ~#1"
        assert said(self.done(story, 3, "aborted").move(self.STEPS)) == "aborted: “Step 2” aborted"

    def test_on_several_hosts_one_answer_is_enough(self) -> None:
        steps = plan(planned(1, "test", "web", "web/2", group="deep", step=self.LOOK))
        story = begin()
        move = story.move(steps)
        assert isinstance(move, Perform)
        story.start(move).tell(paused(1, 1, 1, ("pass", "fail"), "testers"))
        assert said(story.move(steps)) == "wait"
        assert said(story.answer("pass").move(steps)) == "1 ~web#1 ~web/2#1"

    def test_one_role_has_one_list_and_another_role_another(self) -> None:
        story = self.asked(2, 3).tell(paused(1, 5, 3, ("pass", "fail"), "admins"))
        assert [(question.number, question.among) for question in story.run().open] == [(1, 1), (2, 1), (3, 3)]
        assert [key for key in story.outbox if "/question/" in key] == ["run/1/question/1", "run/1/question/3"]


class TestAnswers:
    STEPS = plan(planned(1, "deploy", "a", "b", "c"), planned(2))

    def asked(self, outcome: str = "failed") -> Story:
        return begin().step(self.STEPS, {"b": outcome}).ask(self.STEPS)

    def test_a_question_is_waited_for(self) -> None:
        assert said(self.asked().move(self.STEPS)) == "wait"

    def test_retry_is_for_the_bad_hosts_alone_and_is_another_attempt(self) -> None:
        story = self.asked().answer("retry")
        assert said(story.move(self.STEPS)) == "1 b#2"
        assert said(story.step(self.STEPS).move(self.STEPS)) == "2 web#1"

    def test_every_retry_that_goes_wrong_asks_again(self) -> None:
        story = self.asked().answer("retry").step(self.STEPS, "failed").ask(self.STEPS).answer("retry")
        assert said(story.move(self.STEPS)) == "1 b#3"

    def test_skip_goes_on_with_the_next_step(self) -> None:
        assert said(self.asked().answer("skip").move(self.STEPS)) == "2 web#1"

    @pytest.mark.parametrize("outcome", ["failed", "errored"])
    def test_abort_makes_the_steps_outcome_the_verdict(self, outcome: str) -> None:
        story = self.asked(outcome).answer("abort")
        assert said(story.move(self.STEPS)).startswith(f"{outcome}: “Step 1” {outcome} on b")

    def test_in_a_serial_step_a_retry_goes_on_to_the_hosts_behind_it_in_the_same_attempt(self) -> None:
        steps = plan(planned(1, "deploy", "a", "b", "c", serial=1))
        story = begin().step(steps, "failed").ask(steps).answer("retry")
        assert said(story.move(steps)) == "1 a#2"
        assert said(story.step(steps).move(steps)) == "1 b#2"
        story.step(steps, "failed").ask(steps).answer("retry")
        assert said(story.move(steps)) == "1 b#3"
        assert said(story.step(steps).move(steps)) == "1 c#3"

    @pytest.mark.parametrize(
        ("outcome", "choice", "unclean"),
        [
            ("failed", "retry", ("“Step 1” was retried after it had failed",)),
            ("errored", "retry", ()),
            ("failed", "skip", ("“Step 1” was skipped after it had failed",)),
            ("errored", "skip", ("“Step 1” was skipped",)),
            ("failed", "abort", ()),
        ],
    )
    def test_what_makes_a_run_unclean(self, outcome: str, choice: str, unclean: tuple[str, ...]) -> None:
        story = self.asked(outcome).answer(choice)
        assert story.run().unclean == unclean
        assert story.run().clean is not bool(unclean)

    @pytest.mark.parametrize(("choice", "clean"), [("done", True), ("done_with_help", False)])
    def test_a_step_by_hand_is_clean_unless_it_took_help(self, choice: str, clean: bool) -> None:
        steps = plan(planned(1, "deploy", ""))
        story = begin()
        move = story.move(steps)
        assert isinstance(move, Perform)
        story.start(move).tell(paused(1, 1, 1, ("done", "done_with_help", "failed")))
        assert said(story.move(steps)) == "wait"
        story.answer(choice)
        assert said(story.move(steps)) == "1 ~#1"
        assert story.run().clean is clean


class TestStops:
    STEPS = plan(planned(1), planned(2), planned(3))

    def test_a_run_that_has_not_begun_ends_at_once(self) -> None:
        story = begin().tell(ABORT, by="U02ADMIN")
        assert said(story.move(self.STEPS)) == "aborted: stopped by <@U02ADMIN> before “Step 1”"

    def test_after_this_step(self) -> None:
        story = begin()
        move = story.move(self.STEPS)
        assert isinstance(move, Perform)
        story.start(move).tell(ABORT, by="U02ADMIN")
        assert said(story.move(self.STEPS)) == "1 ~web#1"
        story.tell(finished(1, 1, "web", 1, "ok"))
        assert said(story.move(self.STEPS)) == "aborted: stopped by <@U02ADMIN> before “Step 2”"

    def test_at_once_ends_the_step_and_with_it_the_run(self) -> None:
        story = begin()
        move = story.move(self.STEPS)
        assert isinstance(move, Perform)
        story.start(move).tell(ABORT_NOW, by="U02ADMIN")
        story.tell(finished(1, 1, "web", 1, "aborted", reason="ended on request"))
        assert said(story.move(self.STEPS)) == "aborted: “Step 1” aborted on web: ended on request"

    def test_a_run_whose_last_step_was_under_way_and_went_well_has_passed(self) -> None:
        story = begin().step(self.STEPS).step(self.STEPS)
        move = story.move(self.STEPS)
        assert isinstance(move, Perform)
        story.start(move).tell(ABORT, by="U02ADMIN").tell(finished(1, 3, "web", 1, "ok"))
        assert said(story.move(self.STEPS)) == "passed"

    @pytest.mark.parametrize("abort", [ABORT, ABORT_NOW])
    def test_a_stop_does_not_make_a_failed_step_an_aborted_run(self, abort: e.RunAborting) -> None:
        story = begin().step(self.STEPS, "failed").ask(self.STEPS).tell(abort, by="U02ADMIN")
        assert said(story.move(self.STEPS)) == "failed: “Step 1” failed on web: exit 1"

    def test_nor_where_one_host_had_failed_and_the_other_was_stopped(self) -> None:
        steps = plan(planned(1, "deploy", "a", "b"))
        story = begin()
        move = story.move(steps)
        assert isinstance(move, Perform)
        story.start(move).tell(finished(1, 1, "a", 1, "failed")).tell(ABORT_NOW).tell(finished(1, 1, "b", 1, "aborted"))
        assert said(story.move(steps)) == "failed: “Step 1” failed on a: exit 1"

    def test_nor_where_a_check_had_failed_and_the_next_waited_for_a_person(self) -> None:
        steps = plan(planned(1, "test", group="deep"), planned(2, "test", "", group="deep"))
        story = begin().step(steps, "failed")
        move = story.move(steps)
        assert isinstance(move, Perform)
        story.start(move).tell(paused(1, 2, 1, ("pass", "fail"), "testers")).tell(ABORT, by="U02ADMIN")
        assert said(story.move(steps)) == "2 ~#1"
        story.tell(finished(1, 2, "", 1, "aborted"))
        assert said(story.move(steps)) == "failed: “Step 1” failed on web: exit 1"

    @pytest.mark.parametrize("choice", ["retry", "skip"])
    def test_nor_where_the_failure_had_been_given_another_chance(self, choice: str) -> None:
        story = begin().step(self.STEPS, "failed").ask(self.STEPS).answer(choice).tell(ABORT, by="U02ADMIN")
        move = story.move(self.STEPS)
        assert said(move).startswith("failed: “Step 1” was ")
        assert said(move).endswith("after it had failed, then stopped by <@U02ADMIN> before “Step " + (
            "1”" if choice == "retry" else "2”"
        ))  # fmt: skip

    def test_what_had_errored_and_was_retried_may_be_stopped(self) -> None:
        story = begin().step(self.STEPS, "errored").ask(self.STEPS).answer("retry").tell(ABORT, by="U02ADMIN")
        assert said(story.move(self.STEPS)).startswith("aborted: ")


class TestCrashes:
    STEPS = plan(planned(1, "deploy", "a", "b"), planned(2))

    def test_a_step_that_began_and_has_no_end_is_taken_up_again_as_the_same_attempt(self) -> None:
        story = begin()
        move = story.move(self.STEPS)
        assert isinstance(move, Perform)
        assert said(story.start(move).move(self.STEPS)) == "1 ~a#1 ~b#1"

    def test_only_on_the_hosts_that_have_no_end(self) -> None:
        story = begin()
        move = story.move(self.STEPS)
        assert isinstance(move, Perform)
        story.start(move).tell(finished(1, 1, "b", 1, "failed"))
        assert said(story.move(self.STEPS)) == "1 ~a#1"
        story.tell(finished(1, 1, "a", 1, "ok"))
        assert said(story.move(self.STEPS)).startswith("ask 1: “Step 1” failed on b")

    def test_a_host_that_had_not_begun_begins(self) -> None:
        story = begin().tell(begun(1, self.STEPS.step(1), "a", 1), finished(1, 1, "a", 1, "ok"))
        assert said(story.move(self.STEPS)) == "1 b#1"

    def test_a_retry_that_had_begun_on_one_host_goes_on_on_the_other_in_the_same_attempt(self) -> None:
        story = begin().step(self.STEPS, "errored").ask(self.STEPS).answer("retry")
        story.tell(begun(1, self.STEPS.step(1), "a", 2))
        assert said(story.move(self.STEPS)) == "1 ~a#2"
        assert said(story.tell(finished(1, 1, "a", 2, "ok")).move(self.STEPS)) == "1 b#2"


class TestRunAgain:
    """A step that is `rerun: safe` is begun again by itself where nobody knows how it ended."""

    SAFE = plan(planned(1, "deploy", "a", "b", step=Command(name="Step 1", on="web", run="true", rerun="safe")))

    def test_only_on_the_hosts_where_it_was_interrupted(self) -> None:
        story = begin()
        move = story.move(self.SAFE)
        assert isinstance(move, Perform)
        story.start(move).tell(finished(1, 1, "a", 1, "ok"), finished(1, 1, "b", 1, "errored"))
        assert said(story.move(self.SAFE)) == "1 b#2"

    def test_three_times_and_then_somebody_is_asked(self) -> None:
        story, seen = begin(), []
        while isinstance(move := story.move(self.SAFE), Perform):
            seen.append(said(move))
            story.step(self.SAFE, "errored")
        assert seen == ["1 a#1 b#1", "1 a#2 b#2", "1 a#3 b#3"]
        assert said(move).startswith("ask 1")
        assert story.run().clean

    @pytest.mark.parametrize(("outcome", "code"), [("failed", 3), ("errored", 3)])
    def test_never_where_it_is_known_how_it_ended(self, outcome: str, code: int) -> None:
        story = begin()
        move = story.move(self.SAFE)
        assert isinstance(move, Perform)
        ended = [finished(1, 1, host, 1, outcome, exit=code) for host in ("a", "b")]
        assert said(story.start(move).tell(*ended).move(self.SAFE)).startswith("ask 1")


REBOOTED = "staging web: outcome unknown: the host was restarted while the command ran"
CHECK = RunCheck(name="Step 2", on="web", run="true")
PAGE = HttpCheck(name="Step 2", on="web", http=Http(url="http://127.0.0.1/"))
RESTORE = Command(name="Step 1", on="web", run="./restore")


class TestInterrupted:
    """What an earlier process of the bot began, and nobody can know how it ended."""

    STEPS = plan(planned(1, "power_on", written=False), planned(2, "deploy", "a", "b"), planned(3, "test"))

    def interrupt(self, story: Story, steps: Plan, *hosts: str, reason: str = REBOOTED, **more: Any) -> Story:
        """The next step begins everywhere, and these hosts' ends cannot be known after a restart."""
        move = story.move(steps)
        assert isinstance(move, Perform), move
        story.start(move)
        for place in move.places:
            gone = place.host in hosts
            told: dict[str, Any] = {"interrupted": True, "reason": reason} | more if gone else {}
            outcome = "errored" if gone else "ok"
            story.tell(finished(1, move.step.number, place.host, place.attempt, outcome, **told))
        return story

    def restart(self, story: Story, steps: Plan) -> Story:
        move = story.move(steps)
        assert isinstance(move, StartOver), move
        return story.tell(e.RunRestarted(run=1, why=move.why))

    @pytest.mark.parametrize("kind", ["rehearsal", "check", "restore_test", "reset"])
    def test_a_run_of_staging_starts_over_and_says_what_was_interrupted_where_and_why(self, kind: str) -> None:
        story = self.interrupt(begin(kind).step(self.STEPS), self.STEPS, "a")
        assert said(story.move(self.STEPS)) == f"over: “Step 2” was interrupted on a: {REBOOTED}"

    def test_only_the_first_line_of_what_is_known_is_the_reason(self) -> None:
        story = self.interrupt(begin().step(self.STEPS), self.STEPS, "a", "b", reason="gone\nIts output ends:\n12 %")
        assert said(story.move(self.STEPS)) == "over: “Step 2” was interrupted on a, b: gone"

    def test_every_step_is_done_again_as_an_attempt_that_there_never_was(self) -> None:
        story = self.interrupt(begin().step(self.STEPS), self.STEPS, "a")
        seen = []
        self.restart(story, self.STEPS)
        while not isinstance(move := story.move(self.STEPS), Finish):
            seen.append(said(move))
            story.step(self.STEPS)
        assert seen == ["1 web#2", "2 a#2 b#2", "3 web#1"]
        assert said(move) == "passed"
        assert story.run().clean
        jobs = [
            (x.event.step, x.event.host, x.event.attempt) for x in story.entries if isinstance(x.event, e.StepStarted)
        ]
        assert len(jobs) == len(set(jobs))

    def test_at_most_twice_and_then_somebody_is_asked(self) -> None:
        story = begin()
        for _ in range(2):
            self.restart(self.interrupt(story.step(self.STEPS), self.STEPS, "a"), self.STEPS)
        self.interrupt(story.step(self.STEPS), self.STEPS, "a")
        assert len(story.run().restarts) == 2
        move = story.move(self.STEPS)
        assert isinstance(move, Ask)
        assert move.choices == ("retry", "skip", "abort")
        story.ask(self.STEPS).answer("retry")
        assert said(story.move(self.STEPS)) == "2 a#4"

    def test_what_had_failed_and_was_forgiven_stays_with_the_run(self) -> None:
        story = begin().step(self.STEPS).step(self.STEPS, "failed").ask(self.STEPS).answer("skip")
        steps = plan(*self.STEPS.steps[:2], planned(3, "deploy"))
        self.restart(self.interrupt(story, steps, "web"), steps)
        assert story.run().unclean == story.run().forgiven == ("“Step 2” was skipped after it had failed",)

    def test_a_known_failure_beside_it_is_not_started_over_from(self) -> None:
        story = begin().step(self.STEPS)
        move = story.move(self.STEPS)
        assert isinstance(move, Perform)
        story.start(move).tell(
            finished(1, 2, "a", 1, "failed"), finished(1, 2, "b", 1, "errored", interrupted=True, reason=REBOOTED)
        )
        assert said(story.move(self.STEPS)).startswith("ask 2")

    def test_a_failed_check_before_it_is_not_started_over_from(self) -> None:
        steps = plan(planned(1, "test", group="deep"), planned(2, "test", group="deep", step=CHECK))
        story = self.interrupt(begin().step(steps, "failed"), steps, "web")
        assert said(story.move(steps)).startswith("ask 2")

    @pytest.mark.parametrize("phase", ["restore", "confirm", "test"])
    def test_nor_does_a_third_one_outside_the_deployment_end_the_run_unasked(self, phase: str) -> None:
        steps = plan(planned(1, phase))
        story = begin()
        for _ in range(2):
            self.restart(self.interrupt(story, steps, "web"), steps)
        assert isinstance(self.interrupt(story, steps, "web").move(steps), Ask)

    @pytest.mark.parametrize(
        ("phase", "choices"),
        [
            ("protect", "retry abort"),
            ("deploy", "retry skip abort"),
            ("rollback", "retry skip abort"),
            ("test", "retry skip abort"),
        ],
    )
    def test_on_prod_an_admin_is_asked_with_the_evidence(self, phase: str, choices: str) -> None:
        steps = plan(planned(1, phase, step=RESTORE), kind="promotion")
        reason = f"{REBOOTED}\nIts output ends:\n> 12 of 40 tables"
        story = self.interrupt(begin("promotion"), steps, "web", reason=reason)
        story.now += timedelta(minutes=20)
        move = story.move(steps)
        assert isinstance(move, Ask)
        assert move.why.splitlines() == [
            "Quarterdeck was off while “Step 1” ran, and nobody can tell how it ended:",
            "web: attempt 1 began 20 min 1 s ago (2026-11-23 21:00:03 UTC).",
            REBOOTED,
            "Its output ends:",
            "> 12 of 40 tables",
            "Look there before you answer: retry does it once more from its beginning, also what it had done.",
        ]
        assert " ".join(move.choices) == choices
        story.ask(steps).answer("retry")
        assert said(story.move(steps)) == "1 web#2"
        assert story.run().clean

    def test_whoever_aborts_makes_it_errored(self) -> None:
        steps = plan(planned(1, "test", group="deep"), planned(2, "test", group="deep"), kind="promotion")
        story = self.interrupt(begin("promotion"), steps, "web").ask(steps).answer("abort")
        assert said(story.move(steps)) == "2 web#1"
        assert said(story.step(steps).move(steps)) == f"errored: “Step 1” errored on web: {REBOOTED}"

    @pytest.mark.parametrize(
        "step",
        [
            planned(1, "deploy", step=Command(name="Step 1", on="web", run="true", rerun="safe")),
            planned(1, "power_on", step=PowerOn(), written=False),
            planned(1, "test", step=PAGE, group="critical"),
            planned(1, "watch", step=CHECK, group="mark 10m"),
        ],
    )
    @pytest.mark.parametrize("kind", ["rehearsal", "promotion"])
    def test_what_may_be_done_again_is_without_a_word(self, kind: str, step: Planned) -> None:
        steps = plan(step, kind=kind)
        story = self.interrupt(begin(kind), steps, "web")
        assert said(story.move(steps)) == "1 web#2"
        assert said(story.step(steps).move(steps)) == "passed"
        assert story.run().clean

    def test_what_the_machinery_cannot_find_out_three_times_is_errored(self) -> None:
        steps = plan(planned(1, "protect", step=PowerOn(), written=False), kind="promotion")
        story = begin("promotion")
        for attempt in (1, 2, 3):
            story.tell(begun(1, steps.step(1), "web", attempt))
            story.tell(finished(1, 1, "web", attempt, "errored", interrupted=True, reason=REBOOTED))
        assert said(story.move(steps)) == f"errored: “Step 1” errored on web: {REBOOTED}"

    def test_who_stops_the_run_meanwhile_has_it_stopped(self) -> None:
        story = self.interrupt(begin().step(self.STEPS), self.STEPS, "a").tell(ABORT, by="U02ADMIN")
        assert said(story.move(self.STEPS)) == f"errored: “Step 2” errored on a: {REBOOTED}"

    def test_a_safe_step_has_all_its_tries_again_after_a_restart(self) -> None:
        safe = Command(name="Step 1", on="web", run="true", rerun="safe")
        steps = plan(planned(1, step=safe), planned(2, "deploy"))
        story = begin().step(steps, "errored").step(steps, "errored").step(steps)
        self.restart(self.interrupt(story, steps, "web"), steps)
        for attempt in (4, 5, 6):
            assert said(story.move(steps)) == f"1 web#{attempt}"
            story.step(steps, "errored")
        assert isinstance(story.move(steps), Ask)


class TestOverdue:
    """On prod a step past its time is left running until somebody says wait or stop."""

    @pytest.mark.parametrize("choice", ["wait", "stop"])
    def test_the_answer_lets_the_same_attempt_go_on(self, choice: str) -> None:
        steps = plan(planned(1), kind="promotion")
        story = begin("promotion")
        move = story.move(steps)
        assert isinstance(move, Perform)
        story.start(move).tell(paused(1, 1, 1, ("wait", "stop")))
        assert said(story.move(steps)) == "wait"
        story.answer(choice)
        assert said(story.move(steps)) == "1 ~web#1"
        assert story.run().answers[1].choice == choice
        assert story.run().clean


class TestWatch:
    STEPS = plan(
        planned(1, "watch", "", written=False),
        planned(2, "watch", group="mark 10m", after=600.0),
        planned(3, "watch", "", group="mark 10m", after=600.0, written=False),
        planned(4, "watch", group="mark 30m", after=1800.0),
        kind="promotion",
    )

    def test_a_mark_is_waited_for_from_the_watchs_beginning(self) -> None:
        story = begin("promotion").step(self.STEPS)
        began = story.now - timedelta(seconds=1)
        assert story.move(self.STEPS) == WaitUntil(began + timedelta(minutes=10))
        story.now = began + timedelta(minutes=10)
        assert said(story.move(self.STEPS)) == "2 web#1"
        story.step(self.STEPS).step(self.STEPS)
        assert story.move(self.STEPS) == WaitUntil(began + timedelta(minutes=30))

    def test_a_failing_mark_is_written_down_and_ends_the_promotion_failed(self) -> None:
        story = begin("promotion").step(self.STEPS)
        story.now += timedelta(hours=1)
        story.step(self.STEPS, "failed")
        move = story.move(self.STEPS)
        assert said(move) == "3 #1"
        assert isinstance(move, Perform)
        assert not move.group_ok
        assert said(story.step(self.STEPS).move(self.STEPS)) == "failed: “Step 2” failed on web: exit 1"

    def test_marks_that_came_while_the_bot_was_off_are_each_done_once_and_late(self) -> None:
        story = begin("promotion").step(self.STEPS)
        began = story.now - timedelta(seconds=1)
        story.now = began + timedelta(hours=1)
        seen = []
        while isinstance(move := story.move(self.STEPS), Perform):
            seen.append((said(move), round(move.late)))
            story.step(self.STEPS)
        assert seen == [("2 web#1", 3000), ("3 #1", 3001), ("4 web#1", 1804)]
        assert said(move) == "passed"

    def test_a_watch_holds_nothing(self) -> None:
        story = begin("promotion")
        assert story.run().holds
        assert not story.step(self.STEPS).run().holds

    def test_a_clock_that_was_set_back_is_waited_for(self) -> None:
        story = begin("promotion")
        story.now -= timedelta(hours=1)
        assert isinstance(story.move(self.STEPS), WaitUntil)


OUTLINED = (planned(1, "deploy", "web", "web/2"), planned(2, "test", "db"))


@pytest.mark.parametrize(
    "other",
    [
        OUTLINED[:1],
        (planned(1, "deploy", "web", "web/2"), planned(2, "test", "db", name="Something else")),
        (planned(1, "deploy", "web"), planned(2, "test", "db")),
        (planned(1, "deploy", "web/2", "web"), planned(2, "test", "db")),
        (planned(1, "protect", "web", "web/2"), planned(2, "test", "db")),
        (planned(1, "deploy", "web", "web/2", serial=1), planned(2, "test", "db")),
        (planned(1, "deploy", "web", "web/2"), planned(2, "test", "db", group="critical")),
    ],
    ids=["shorter", "name", "fewer hosts", "order of hosts", "phase", "serial", "group"],
)
def test_plans_in_which_a_number_means_something_else_have_other_outlines(other: tuple[Planned, ...]) -> None:
    assert plan(*OUTLINED).outline == plan(*OUTLINED).outline
    assert plan(*other).outline != plan(*OUTLINED).outline
