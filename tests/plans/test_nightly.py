"""Restore tests: when a night's may begin, what it waits for, what it is held against, when somebody is called."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from builders import NOW, Story
from msgspec.structs import replace

from plans.consistency import problems
from plans.documents import load
from plans.environment import App, Environment, Policy, VCenter
from plans.records import EnvironmentState, Measured, Question, Run
from plans.restore_tests import (
    RestoreTest,
    Trend,
    alarm,
    in_the_way,
    last_passed,
    latest,
    seen_to,
    trend,
)
from plans.rule_events import RestoreTestMissed, RestoreTestOverdue
from plans.rule_records import Missed, Overdue
from plans.testplan import TestPlan

TEST = RestoreTest(environment="staging", at="02:00", within="4h")
BERLIN, HOUR = ZoneInfo("Europe/Berlin"), timedelta(hours=1)
TONIGHT = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
"""02:00 in Berlin of the night after NOW, which is 22:00 there."""


def ran(number: int, kind: str = "restore_test", verdict: str = "passed", where: str = "staging", **more: Any) -> Run:
    at = (NOW + number * HOUR).isoformat()
    known = {"release": None, "app": "", "plans": "p", "by": "quarterdeck", "at": at, "finished": at if verdict else ""}
    restores = (measured("Restore", 60.0 * number, 3600.0 * number),)
    known["restores"] = restores if kind in ("restore_test", "check") else ()
    return Run(number=number, kind=kind, verdict=verdict, environment=where, **(known | more))


def measured(name: str, seconds: float, age: float | None, host: str = "db") -> Measured:
    return Measured(name=name, host=host, seconds=seconds, artifact_age=age)


def missed(hours: float, where: str = "staging") -> Missed:
    return Missed(environment=where, why="run 3 (rehearsal) is there", at=(NOW + hours * HOUR).isoformat())


class TestTheNight:
    @pytest.mark.parametrize(
        ("now", "begins"),
        [
            (NOW, TONIGHT),
            (TONIGHT, TONIGHT),
            (TONIGHT + 3.9 * HOUR, TONIGHT),
            (TONIGHT + 4 * HOUR, TONIGHT + 24 * HOUR),
        ],
    )
    def test_it_is_the_present_one_until_what_it_may_wait_is_over(self, now: datetime, begins: datetime) -> None:
        assert TEST.night(now, BERLIN) == (begins, begins + 4 * HOUR)

    @pytest.mark.parametrize("at", ["01:59", "02:00", "02:30", "03:00"])
    @pytest.mark.parametrize("first", ["2026-03-27", "2026-10-23"])
    def test_each_night_has_one_also_when_the_clocks_change(self, first: str, at: str) -> None:
        """Looked at every ten minutes from a Friday's noon to Tuesday's."""
        test = RestoreTest(environment="staging", at=at, within="4h")
        now, begun = datetime.fromisoformat(f"{first}T12:00:00+00:00"), []
        for _ in range(4 * 24 * 6):
            now += timedelta(minutes=10)
            begins, _ends = test.night(now, BERLIN)
            runs = [ran(number, at=then.isoformat()) for number, then in enumerate(begun)]
            if begins <= now and not seen_to(test, begins, runs, ()):
                begun.append(now)
        days = [then.astimezone(BERLIN).date().isoformat() for then in begun]
        assert len(set(days)) == len(days) == 4

    @pytest.mark.parametrize(("at", "within"), [("2", "4h"), ("02:00", "24h"), ("02:00", "1d")])
    def test_what_is_no_time_or_lasts_until_the_next_is_refused(self, at: str, within: str) -> None:
        with pytest.raises(ValueError, match=r"time of day|would have begun"):
            RestoreTest(environment="staging", at=at, within=within)

    @pytest.mark.parametrize(
        ("runs", "unable", "seen"),
        [
            ([], [], False),
            ([ran(4)], [], True),
            ([ran(4, verdict="")], [], True),
            ([ran(3)], [], False),
            ([ran(4, "check")], [], False),
            ([ran(4, where="other")], [], False),
            ([], [missed(8)], True),
            ([], [missed(-16)], False),
            ([], [missed(8, "other")], False),
        ],
    )
    def test_it_is_seen_to_once_by_a_run_or_a_word_why_not(
        self, runs: list[Run], unable: list[Missed], seen: bool
    ) -> None:
        assert seen_to(TEST, TONIGHT, runs, unable) is seen


ASKS = Question(number=1, step=1, host=None, why="Look.", choices=("pass", "fail"), role="testers", at="t")
LEFT = ran(1, "rehearsal", "failed", machines=("vm-1",))
ELSEWHERE = replace(LEFT, environment="crm-staging")


class TestInTheWay:
    """What it never disturbs, each of it there and elsewhere."""

    @pytest.mark.parametrize(
        ("runs", "states", "why"),
        [
            ([], [EnvironmentState(name="staging")], ""),
            ([ran(1, "rehearsal", "")], [], "run 1 (rehearsal) is on staging"),
            ([ran(1, "rehearsal", "", open=(ASKS,))], [], "run 1 (rehearsal) waits for an answer on staging"),
            ([ran(1, "rehearsal")], [], ""),
            ([ran(1, "rehearsal", "", "crm-staging", machines=("vm-1",))], [], "run 1 (rehearsal) is on crm-staging"),
            ([ran(1, "promotion", "", "prod")], [], "run 1 (promotion) is on prod"),
            ([ran(1, "promotion", "", "prod", phase="watch")], [], ""),
            ([ran(1, "lookout", "", "prod")], [], ""),
            ([ran(1, "promotion", "", "crm-prod")], [], ""),
            ([ran(1, "rehearsal", "", "crm-staging", machines=("vm-2",))], [], ""),
            (
                [],
                [EnvironmentState(name="staging", locked="disks", locked_by="U1")],
                "staging is locked by <@U1>: disks",
            ),
            ([], [EnvironmentState(name="prod", locked="disks", locked_by="U1")], ""),
            ([LEFT], [EnvironmentState(name="staging", inspection=1)], "staging is as run 1 left it, for inspection"),
            (
                [ELSEWHERE],
                [EnvironmentState(name="crm-staging", inspection=1)],
                "crm-staging is as run 1 left it, for inspection",
            ),
            ([replace(ELSEWHERE, machines=())], [EnvironmentState(name="crm-staging", inspection=1)], ""),
        ],
    )
    def test_it_waits_for_what_is_there(self, runs: list[Run], states: list[EnvironmentState], why: str) -> None:
        assert in_the_way("staging", {"prod"}, ("vm-1",), states, runs) == why


class TestTrend:
    def test_the_slowest_host_of_each_step_and_the_oldest_data_count(self) -> None:
        restores = (
            measured("Fetch", 10, None, "runner"),
            measured("Restore", 60, 3600, "db"),
            measured("Restore", 90, 7200, "db/2"),
        )
        assert trend(ran(1, restores=restores), []) == Trend(100, 7200, 0, 0.0, None)

    def test_the_seven_nights_before_it_that_passed_are_what_it_is_held_against(self) -> None:
        runs = [ran(n) for n in range(1, 10)]
        others = [ran(10, verdict="errored"), ran(11, "check"), ran(12, where="other"), ran(13, restores=()), ran(15)]
        assert trend(ran(14), [*runs, *others]) == Trend(
            took=14 * 60, age=14 * 3600, nights=7, took_before=6 * 60, age_before=6 * 3600
        )

    def test_where_no_artifact_tells_its_age_there_is_none(self) -> None:
        bare = {"restores": (measured("Restore", 60, None),)}
        assert trend(ran(2, **bare), [ran(1, **bare)]) == Trend(60, None, 1, 60, None)

    @pytest.mark.parametrize("run", [ran(2, restores=()), ran(2, "check"), ran(2, "rehearsal")])
    def test_what_restored_nothing_or_is_no_restore_test_has_none(self, run: Run) -> None:
        assert trend(run, [ran(1)]) is None


class TestAlarm:
    """`max_age` is two days; what is numbered n ended n hours after NOW."""

    @pytest.mark.parametrize(
        ("runs", "unable", "told", "due"),
        [
            ([], [], None, None),
            ([ran(1)], [], None, 49),
            ([ran(1), ran(2)], [], None, 50),
            ([ran(1), ran(2, verdict="errored")], [missed(30)], None, 49),
            ([ran(1), ran(2, "check")], [], None, 50),
            ([ran(1), ran(2, "check", restores=())], [], None, 49),
            ([ran(1), ran(2, where="other")], [], None, 49),
            ([ran(2, verdict="errored"), ran(3, verdict="")], [], None, 50),
            ([], [missed(5), missed(29)], None, 53),
            ([], [missed(5, "other")], None, None),
            ([ran(1)], [], 49.5, 73.5),
            ([ran(1)], [], 73.5, 97.5),
            ([ran(1), ran(80)], [], 73.5, 128),
        ],
    )
    def test_it_is_due_two_days_after_the_last_that_passed_and_then_daily(
        self, runs: list[Run], unable: list[Missed], told: float | None, due: float | None
    ) -> None:
        last = None if told is None else Overdue(environment="staging", at=(NOW + told * HOUR).isoformat())
        when = alarm(TEST, "48h", runs, unable, last)
        assert when == (None if due is None else NOW + due * HOUR)

    def test_two_days_is_what_holds_where_nothing_is_said(self) -> None:
        assert Policy().restore_test_max_age == "48h"

    def test_a_check_that_restored_shows_it_as_well(self) -> None:
        shown = last_passed("staging", [ran(1), ran(2, "check"), ran(3, "rehearsal"), ran(4, verdict="errored")])
        assert shown is not None
        assert shown.number == 2

    @pytest.mark.parametrize(
        ("runs", "unable", "said"),
        [
            ([], [], "none was begun"),
            ([ran(1)], [], "run 1 passed"),
            ([ran(1, verdict="")], [], "run 1 goes on"),
            (
                [ran(1), ran(2, verdict="errored", reason="“Restore” errored: no backup\nmore")],
                [],
                "run 2 errored: “Restore” errored: no backup",
            ),
            ([ran(1)], [missed(2)], "not done: run 3 (rehearsal) is there"),
            ([ran(3)], [missed(2)], "run 3 passed"),
        ],
    )
    def test_it_says_what_became_of_the_latest(self, runs: list[Run], unable: list[Missed], said: str) -> None:
        assert latest(TEST, runs, unable) == said


class TestWrittenDown:
    def test_a_night_without_is_kept_and_not_told_by_itself(self) -> None:
        story = Story().tell(RestoreTestMissed(environment="staging", why="locked"))
        story.tell(RestoreTestMissed(environment="staging", why="locked again"))
        assert [one.why for one in story.documents.values() if isinstance(one, Missed)] == ["locked", "locked again"]
        assert story.outbox == []

    def test_a_call_is_told_and_the_last_one_kept(self) -> None:
        story = Story()
        for _ in range(2):
            story.tell(RestoreTestOverdue(environment="staging", passed="", last="none was begun"))
        assert [one.at for one in story.documents.values() if isinstance(one, Overdue)] == ["2026-11-23T21:00:02.000Z"]
        assert story.outbox == ["notice/1", "notice/2"]


SSH = "ssh: {host: h, user: u, key_file: k, known_hosts: n}"
ENVIRONMENTS = {
    "staging": f"hosts: {{db: {{vcenter: main, vm: s, {SSH}}}}}\nisolation: {{networks: [i]}}\n"
    "restore: [{name: Restore, on: db, run: a}]\n",
    "bare": f"hosts: {{db: {{vcenter: main, vm: b, {SSH}}}}}\nisolation: {{networks: [i]}}\n",
    "prod": f"hosts: {{db: {{{SSH.replace('host: h', 'host: p')}}}}}\n",
}


@pytest.mark.parametrize(
    ("tested", "path", "message"),
    [
        (["staging"], "", ""),
        (["prod"], "restore_tests[0].environment", "prod is no app's staging"),
        (["nowhere"], "restore_tests[0].environment", "nowhere is no app's staging"),
        (["staging", "bare"], "restore_tests[1].environment", "bare has no restore"),
        (["staging", "staging"], "restore_tests[1].environment", "staging has a restore test already"),
    ],
)
def test_only_a_staging_with_a_restore_is_tested_and_once(tested: list[str], path: str, message: str) -> None:
    environments = {name: load(text.encode(), Environment, name) for name, text in ENVIRONMENTS.items()}
    apps = {
        "a": App(tests="t", staging="staging", prod="prod"),
        "b": App(tests="t", staging="bare", prod="prod"),
    }
    plans = {name: TestPlan(app=name) for name in apps}
    centers = {"main": VCenter(host="vc", username="u", password="p")}
    asked = [RestoreTest(environment=name) for name in tested]
    found = [(p.path, p.message) for p in problems(environments, apps, centers, plans, asked)]
    problem = found[0] if found else ("", "")
    assert problem[0] == path
    assert problem[1].startswith(message)
    assert len(found) == bool(message)
