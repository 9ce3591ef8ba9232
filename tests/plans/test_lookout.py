"""Prod is watched for other hands: what is compared with what, when, what is said of it once, and what gives way."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from builders import NOW, Story, begun, load_app, material, planned, prod, site
from builders import drive as driven
from msgspec.structs import replace

from plans import events as e
from plans.actions import Action, Outcome, Recalled, RecallFacts, Record, Together
from plans.comparing import CollectFacts, CompareSince
from plans.environment import Policy
from plans.facts import Fact
from plans.gates import moved
from plans.lookout import adrift, due, giving_way, lookout
from plans.phases import Material, Subject
from plans.records import EnvironmentState, Run, Seen
from plans.rule_events import ChangeOutside, DifferenceFound
from plans.rule_records import Difference
from plans.testplan import TestPlan

SCHEMA = Fact(name="schema", on="db", run="dump")
BERLIN = ZoneInfo("Europe/Berlin")


def seen(run: int, phase: str = "test", **digests: str) -> Seen:
    return Seen(run=run, phase=phase, at=NOW.isoformat(), digests=named(digests))


def named(digests: dict[str, str]) -> dict[str, str]:
    return {key.replace("_", " "): digest for key, digest in digests.items()}


class TestWhatIsCompared:
    def material(self, settled: dict[str, Seen], last: int = 0) -> Material:
        """Run 7, on the prod of two apps of which one has facts."""
        first = material("prod").subjects[0]
        second = Subject("crm", replace(load_app(), facts=()), TestPlan(app="crm"), prod())
        state = EnvironmentState(name="prod", settled=settled)
        whole: Material = replace(material("prod", state=state, lookout=last), manifest=None, subjects=(first, second))
        return whole

    def step(self, settled: dict[str, Seen], last: int = 0) -> Any:
        """The step of the app that has facts; the other has none."""
        plan = lookout(self.material(settled, last))
        assert (plan.kind, plan.phases) == ("lookout", ("lookout",))
        (step,) = plan.steps
        assert (step.number, step.hosts) == (1, ("",))
        return step.step

    def test_the_facts_of_every_host_with_those_after_the_last_promotion(self) -> None:
        step = self.step({"webshop": seen(3)})
        assert isinstance(step, CompareSince)
        assert (step.app, step.run, step.phase, step.kind, step.said) == ("webshop", 3, "test", "drift", 0)
        assert [(fact.name, host) for fact, host in step.facts] == [
            ("schema", "db"),
            ("packages", "web"),
            ("packages", "web/2"),
        ]

    @pytest.mark.parametrize(("last", "said"), [(0, 0), (2, 0), (4, 4), (6, 6)])
    def test_what_a_lookout_since_then_has_told_is_not_told_again(self, last: int, said: int) -> None:
        assert self.step({"webshop": seen(3)}, last).said == said

    def test_where_nothing_is_settled_what_is_there_now_is_written_down(self) -> None:
        step = self.step({"crm": seen(3)})
        assert isinstance(step, CollectFacts)
        assert len(step.facts) == 3

    def test_what_the_run_itself_settles_leaves_its_plan_as_it_is(self) -> None:
        assert isinstance(self.step({"webshop": seen(7, "lookout")}), CollectFacts)


class TestWhatIsSaid:
    def drive(self, now: str, said: dict[str, str] | None = None) -> list[Any]:
        """What is recorded where the schema was `s` after the promotion, and this is what the last lookout saw."""
        step = CompareSince(
            facts=((SCHEMA, "db"),), app="webshop", run=3, phase="test", kind="drift", said=6 if said else 0
        )

        def answer(action: Action) -> Outcome:
            match action:
                case Together():
                    return Outcome("ok", value=(Outcome("ok", exit=0, output=now),))
                case RecallFacts(run=3):
                    return Outcome("ok", value={"schema db": Recalled(sha("s"), "s")})
                case RecallFacts(6, "lookout", "prod", "webshop"):
                    return Outcome("ok", value={key: Recalled(sha(text), text) for key, text in (said or {}).items()})
            return Outcome("ok")

        asked, ended = driven(step, site(host=None, environment="prod", release=""), *[answer] * 20)
        assert ended.ok, "what moved on prod is no fault of the lookout"
        found = [action.event for action in asked if isinstance(action, Record)]
        return [event for event in found if isinstance(event, DifferenceFound)]

    def test_nothing_where_nothing_moved(self) -> None:
        assert self.drive("s") == []

    def test_what_moved_is_found_with_its_lines_and_its_app(self) -> None:
        (found,) = self.drive("s\nindex")
        assert (found.key, found.app, found.fact, found.host) == ("webshop/schema:drift", "webshop", "schema", "db")
        assert found.brief.splitlines()[0] == "schema on prod db has changed"
        assert "index" in found.brief

    @pytest.mark.parametrize(
        ("last", "again"),
        [("s\nindex", False), ("s", True), ("s\nanother", True)],
        ids=["the same", "it was back meanwhile", "it moved on"],
    )
    def test_the_same_difference_is_said_once(self, last: str, again: bool) -> None:
        assert bool(self.drive("s\nindex", {"schema db": last})) is again


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def collected(run: int, app: str = "webshop", where: str = "prod", **digests: str) -> e.FactsCollected:
    return e.FactsCollected(run=run, environment=where, digests=named(digests), log="l", app=app)


def found(run: int, fact: str = "schema", app: str = "webshop") -> DifferenceFound:
    brief = f"{fact} on prod db has changed"
    return DifferenceFound(run=run, key=f"{fact}:drift", fact=fact, host="db", kind="drift", brief=brief, app=app)


def looking(run: int) -> tuple[e.AnyEvent, ...]:
    """A lookout that has begun its first step."""
    begin = e.RunStarted(run=run, kind="lookout", release=None, environment="prod", plans="p")
    return (begin, begun(run, planned(1, "lookout", "", written=False), "", 1))


class TestSettled:
    """After what prod's facts are taken for what should be there."""

    def promoted(self) -> Story:
        story = Story().begin("promotion", environment="prod")
        story.tell(begun(1, planned(1, "deploy"), "web", 1), begun(1, planned(2, "test"), "", 1))
        return story.tell(collected(1, schema_db="a")).end("passed")

    def settled(self, story: Story) -> dict[str, tuple[int, dict[str, str]]]:
        return {app: (seen.run, seen.digests) for app, seen in story.environment("prod").settled.items()}

    def test_a_promotion_settles_them_and_a_lookout_after_it_does_not(self) -> None:
        story = self.promoted()
        story.tell(*looking(2), collected(2, schema_db="b")).end("passed", 2)
        assert self.settled(story) == {"webshop": (1, {"schema db": "a"})}
        assert story.environment("prod").seen["webshop"].digests == {"schema db": "b"}

    def test_the_first_lookout_settles_them_where_nothing_did(self) -> None:
        story = Story().tell(*looking(1), collected(1, schema_db="a"), collected(1, "crm", schema_db="c"))
        story.end("passed").tell(*looking(2), collected(2, schema_db="b"))
        assert self.settled(story) == {"webshop": (1, {"schema db": "a"}), "crm": (1, {"schema db": "c"})}

    def test_two_apps_of_one_name_for_a_fact_are_kept_apart(self) -> None:
        story = Story().tell(*looking(1), collected(1, schema_db="a"), collected(1, "crm", schema_db="c"))
        run = story.run()
        assert [run.collected("lookout", "prod", app) for app in ("webshop", "crm")] == [
            {"schema db": "a"},
            {"schema db": "c"},
        ]

    def test_after_a_change_by_hand_that_was_told_the_next_lookout_settles_them_anew(self) -> None:
        story = self.promoted().tell(ChangeOutside(environment="prod", reason="disk full"), by="U02ADMIN")
        assert self.settled(story) == {}
        story.tell(*looking(2), collected(2, schema_db="b"))
        assert self.settled(story) == {"webshop": (2, {"schema db": "b"})}

    @pytest.mark.parametrize(("kind", "phase"), [("promotion", "deploy"), ("rollback", "rollback")])
    def test_nothing_is_settled_from_when_prod_is_touched_until_it_is_written_down(self, kind: str, phase: str) -> None:
        story = self.promoted().begin(kind, number=2, environment="prod")
        story.tell(begun(2, planned(1, "protect"), "", 1), collected(2, schema_db="a"))
        assert self.settled(story) == {"webshop": (1, {"schema db": "a"})}
        story.tell(begun(2, planned(2, phase), "web", 1))
        assert self.settled(story) == {}
        story.tell(begun(2, planned(3, "test"), "", 1), collected(2, schema_db="b"))
        assert self.settled(story) == {"webshop": (2, {"schema db": "b"})}

    def test_what_a_lookout_sees_is_what_older_rehearsals_are_judged_by(self) -> None:
        story = Story().begin().tell(begun(1, planned(1, "confirm"), "", 1), collected(1, schema_db="a"))
        rehearsal = story.end("passed").run()
        story.tell(*looking(2), collected(2, schema_db="a"))
        same = moved(rehearsal, story.environment("prod"), "webshop", ())
        assert same is not None
        assert same.facts == ()
        story.end("passed", 2).tell(*looking(3), collected(3, schema_db="b"))
        changed = moved(rehearsal, story.environment("prod"), "webshop", ())
        assert changed is not None
        assert changed.facts == ("schema db",)


class TestQuiet:
    """The channel is told where something moved or went wrong, and of nothing else."""

    @pytest.mark.parametrize("verdict", ["passed", "aborted"])
    def test_a_lookout_that_finds_nothing_is_not_told_of(self, verdict: str) -> None:
        story = Story().tell(*looking(1), collected(1, schema_db="a"), finished()).end(verdict)
        assert story.outbox == []
        assert story.run().quiet

    @pytest.mark.parametrize("ended", [[], ["aborted"], ["errored"]])
    def test_one_that_gave_way_in_the_middle_of_its_look_is_not_told_of(self, ended: list[str]) -> None:
        story = Story().tell(*looking(1), *map(finished, ended)).end("aborted")
        assert story.outbox == []

    def test_what_moved_is_told_under_the_runs_message_and_so_is_its_end(self) -> None:
        story = Story().tell(*looking(1), found(1), found(1, "packages"), finished()).end("passed")
        assert story.outbox == [
            "run/1",
            "run/1/difference/schema:drift",
            "run/1/difference/packages:drift",
            "run/1/end",
        ]
        assert not story.run().quiet

    def test_one_that_errored_is_told_with_its_phase_and_its_end(self) -> None:
        story = Story().tell(*looking(1), finished("errored")).end("errored")
        assert story.outbox == ["run/1", "run/1/phase/lookout/1", "run/1/end"]
        assert not story.run().quiet

    def test_other_runs_are_told_of_from_their_start(self) -> None:
        assert "run/1" in Story().begin("promotion", environment="prod").outbox


def finished(outcome: str = "ok") -> e.StepFinished:
    return e.StepFinished(run=1, step=1, host=None, attempt=1, outcome=outcome, exit=None, seconds=1.0, log="l")


def run(number: int, kind: str, where: str = "prod", **more: Any) -> Run:
    known = {"release": None, "app": "", "plans": "p", "by": "quarterdeck", "at": NOW.isoformat()}
    return Run(number=number, kind=kind, environment=where, **(known | more))


class TestDue:
    """NOW is 21:00 UTC, 22:00 in Berlin."""

    def due(self, *looks: datetime, settled: datetime | None = None, clock: str = "03:00") -> datetime:
        runs = [run(i, "lookout", at=at.isoformat()) for i, at in enumerate(looks, 1)]
        others = [run(8, "lookout", "other", at=NOW.isoformat()), run(9, "promotion", at=NOW.isoformat())]
        known = {"webshop": replace(seen(1), at=settled.isoformat())} if settled else {}
        state = EnvironmentState(name="prod", settled=known)
        return due(clock, "prod", state, [*runs, *others], BERLIN, NOW)

    def test_it_is_the_next_nights_by_the_configured_zone(self) -> None:
        assert self.due() == datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
        assert self.due(NOW - timedelta(hours=19)) == datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
        assert self.due(NOW - timedelta(days=9), NOW - timedelta(hours=3)) == datetime(2026, 11, 24, 2, 0, tzinfo=UTC)

    def test_one_that_was_missed_is_due_at_once(self) -> None:
        assert self.due(NOW - timedelta(hours=20)) == NOW
        assert self.due(settled=NOW - timedelta(hours=20)) == NOW

    def test_a_promotion_since_the_last_one_counts_for_it(self) -> None:
        assert self.due(NOW - timedelta(days=3), settled=NOW - timedelta(hours=2)) > NOW

    def test_the_second_may_matter(self) -> None:
        assert self.due(clock="22:00:30") == NOW + timedelta(seconds=30)

    @pytest.mark.parametrize("clock", ["3", "24:00", "03:60", "03:00:60", "03:00:", "soon"])
    def test_what_is_no_time_of_day_is_refused(self, clock: str) -> None:
        with pytest.raises(ValueError, match="is no time of day"):
            Policy(lookout=clock)

    def test_it_is_at_three_where_nothing_is_said_and_empty_is_never(self) -> None:
        assert Policy().lookout == "03:00"
        assert Policy(lookout="").lookout == ""


class TestGivingWay:
    HERE = run(1, "lookout", machines=("vm-1",))

    @pytest.mark.parametrize(
        ("kind", "environment", "machines", "gives_way"),
        [
            ("promotion", "prod", (), True),
            ("rollback", "other", ("vm-1", "vm-2"), True),
            ("promotion", "other", ("vm-2",), False),
            ("lookout", "other", ("vm-1",), False),
        ],
    )
    def test_to_what_begins_there(
        self, kind: str, environment: str, machines: tuple[str, ...], gives_way: bool
    ) -> None:
        others = [run(2, "promotion", machines=("vm-1",)), run(3, "lookout", verdict="passed")]
        assert giving_way(kind, environment, machines, [self.HERE, *others]) == ([self.HERE] if gives_way else [])

    def test_nobody_waits_for_it(self) -> None:
        assert not self.HERE.holds
        assert run(2, "promotion").holds


class TestAdrift:
    def state(self, now: dict[str, str], settled: int = 3) -> EnvironmentState:
        known = {"webshop": seen(settled, schema_db="a", packages_web="a")}
        return EnvironmentState(name="prod", settled=known, seen={"webshop": seen(9, "lookout", **now)})

    def differences(self, *runs: int, **more: str) -> list[Difference]:
        known = {"key": "schema:drift", "fact": "schema", "host": "db", "kind": "drift", "brief": "b", "at": "t"}
        return [Difference(run=run, app="webshop", **(known | more)) for run in runs]

    def adrift(self, state: EnvironmentState, found: list[Difference]) -> list[int]:
        return [difference.run for difference in adrift(state, "webshop", found)]

    def test_what_was_found_since_and_still_is_so(self) -> None:
        assert self.adrift(self.state({"schema_db": "b"}), self.differences(4)) == [4]

    def test_the_latest_word_of_each_fact(self) -> None:
        assert self.adrift(self.state({"schema_db": "b"}), self.differences(6, 4, 5)) == [6]

    def test_not_what_is_as_it_was_again(self) -> None:
        assert self.adrift(self.state({"schema_db": "a"}), self.differences(4)) == []

    def test_not_what_was_before_the_last_promotion(self) -> None:
        assert self.adrift(self.state({"schema_db": "b"}, settled=5), self.differences(4)) == []

    @pytest.mark.parametrize("other", [{"kind": "qa"}, {"host": "db/2"}, {"fact": "packages"}])
    def test_not_what_is_another_matter(self, other: dict[str, str]) -> None:
        assert self.adrift(self.state({"schema_db": "b"}), self.differences(4, **other)) == []

    def test_not_where_nothing_is_settled_as_after_a_change_that_was_told(self) -> None:
        story = Story().begin("promotion", environment="prod").tell(begun(1, planned(1, "test"), "", 1))
        story.tell(collected(1, schema_db="a")).end("passed")
        story.tell(*looking(2), collected(2, schema_db="b"), found(2)).end("passed", 2)

        def rows() -> list[int]:
            differences = [one for one in story.documents.values() if isinstance(one, Difference)]
            return self.adrift(story.environment("prod"), differences)

        assert rows() == [2]
        story.tell(ChangeOutside(environment="prod", reason="disk full"), by="U02ADMIN")
        assert rows() == []
        story.tell(*looking(3), collected(3, schema_db="b")).end("passed", 3)
        assert rows() == []
