"""What the ledger folds into, and what the channel is told of it, in which order."""

import typing

import msgspec
import pytest
from builders import DIGEST, Story, begun, fold, handed_off, paused, plan, planned, started
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from plans import events as e
from plans.board import apply
from plans.engine import Perform
from plans.records import TABLES, AnyDocument, Due, Kept, Key
from plans.rule_events import ApprovalAsked, ApprovalRefused
from plans.rule_records import Approval
from plans.steps import Run as Command

OWN = plan(
    planned(1, "power_on", "web", "db", written=False),
    planned(2, "power_on", written=False),
    planned(3, "restore"),
    planned(4, "confirm", written=False),
    planned(5, "snapshot", written=False),
    planned(6, "deploy", written=False),
    planned(7, "deploy"),
)


def told(story: Story) -> list[str]:
    return [key for key in story.outbox if key.startswith("run/1/")]


class TestTold:
    def test_a_run_tells_each_phase_of_its_own_steps_and_each_written_step_in_order(self) -> None:
        story = Story().begin()
        while isinstance(story.move(OWN), Perform):
            story.step(OWN)
        story.finish(OWN)
        assert story.outbox == [
            "release/R-1",
            "run/1",
            "run/1/phase/power_on/2",
            "run/1/step/3/1",
            "run/1/phase/confirm/4",
            "run/1/phase/snapshot/5",
            "run/1/step/7/1",
            "run/1/phase/deploy/6",
            "run/1/end",
        ]
        seqs = [document.seq for document in story.documents.values() if isinstance(document, Due)]
        assert seqs == sorted(seqs)

    def test_the_phase_in_which_a_run_ends_is_told_before_its_end(self) -> None:
        story = Story().begin().step(OWN).step(OWN, "errored")
        assert told(story.finish(OWN)) == ["run/1/phase/power_on/2", "run/1/end"]

    def test_a_step_is_told_once_all_its_hosts_have_ended(self) -> None:
        steps = plan(planned(1, "deploy", "a", "b"))
        story = Story().begin()
        move = story.move(steps)
        assert isinstance(move, Perform)
        story.start(move).tell(_finished("a", "failed"))
        assert told(story) == []
        assert told(story.tell(_finished("b", "ok"))) == ["run/1/step/1/1"]

    def test_every_attempt_is_told_under_a_key_of_its_own(self) -> None:
        steps = plan(planned(1, "deploy", "a", "b", serial=1))
        story = Story().begin().step(steps, "failed").ask(steps).answer("retry")
        story.step(steps).step(steps, "failed").ask(steps).answer("retry").step(steps)
        assert told(story) == [
            "run/1/step/1/1",
            "run/1/step/1/1/log/1",
            "run/1/question/1",
            "run/1/step/1/2",
            "run/1/step/1/2/log/1",
            "run/1/question/2",
            "run/1/step/1/3",
        ]

    def test_a_mark_is_told_and_its_checks_are_not(self) -> None:
        steps = plan(planned(1, "watch", "", written=False), planned(2, "watch", group="mark 10m"))
        story = Story().begin("promotion").step(steps).step(steps)
        assert told(story.tell(e.WatchChecked(run=1, mark="10m", ok=True))) == ["run/1/mark/10m"]
        assert story.run().marks == {"10m": True}

    def test_a_mark_that_was_posted_is_not_told_again_when_a_crash_repeats_it(self) -> None:
        mark = e.WatchChecked(run=1, mark="10m", ok=True)
        story = Story().begin().tell(mark)
        for key in story.outbox:
            story.tell(e.MessagePosted(key=key, channel="C1", ts="1.1"))
        assert story.tell(mark).outbox == []

    def test_a_mark_that_a_crash_repeats_is_told_for_its_first_record_which_may_be_posted_already(self) -> None:
        mark = e.WatchChecked(run=1, mark="10m", ok=True)
        story = Story().begin().tell(mark)
        due = {key: document for key, document in story.documents.items() if key[0] == "outbox"}
        story.tell(mark)
        assert {key: document for key, document in story.documents.items() if key[0] == "outbox"} == due

    def test_a_posted_message_leaves_the_outbox_and_its_place_is_kept(self) -> None:
        story = Story().begin()
        story.tell(e.MessagePosted(key="release/R-1", channel="C1", ts="1.1"))
        story.tell(e.MessagePosted(key="run/1", channel="C1", ts="1.2"))
        assert story.outbox == []
        assert story.release().messages == {"release/R-1": "1.1"}
        assert story.run().messages == {"run/1": "1.2"}

    @pytest.mark.parametrize(
        "event",
        [
            e.ReleaseWithdrawn(release="R-1", reason=""),
            e.ReleaseDefective(release="R-1", reason="it eats orders"),
            e.PromotionScheduled(release="R-1", at="2026-11-23T22:00:00.000Z"),
            e.PromotionUnscheduled(release="R-1", at="2026-11-23T22:00:00.000Z"),
            e.EnvironmentLocked(environment="staging", reason="disk"),
            e.EnvironmentUnlocked(environment="staging"),
            e.FreezeSet(until=None, reason="sale"),
            e.FreezeLifted(),
            e.ApprovalGiven(release="R-1", digest=DIGEST),
            e.ConfigLoaded(digest="c", changed=("policy.watch",)),
        ],
    )
    def test_the_channel_is_told_what_somebody_decided(self, event: e.AnyEvent) -> None:
        story = Story().tell(handed_off()).tell(event)
        assert story.outbox == ["release/R-1", "notice/2"]

    @pytest.mark.parametrize(
        "event",
        [
            e.ConfigLoaded(digest="c", changed=()),
            e.AccessDenied(command="/stage run R-1", role="admins"),
            e.PackageRefused(source="x", findings=("no_manifest",)),
            e.PromotionRefused(release="R-1", gates=("not_rehearsed",)),
        ],
    )
    def test_the_channel_is_not_told_what_concerns_one_person(self, event: e.AnyEvent) -> None:
        assert Story().tell(event).outbox == []


class TestReleases:
    @pytest.mark.parametrize(
        ("verdict", "counts"), [("passed", 1), ("failed", 1), ("errored", None), ("aborted", None)]
    )
    def test_a_rehearsal_counts_when_it_passed_or_failed(self, verdict: str, counts: int | None) -> None:
        assert Story().begin().end(verdict).release().rehearsal == counts

    def test_the_latest_that_counts_is_the_one(self) -> None:
        story = Story().begin().end("failed").begin(number=2).end("passed", 2).begin(number=3).end("errored", 3)
        assert story.release().rehearsal == 2

    @pytest.mark.parametrize(("verdict", "inspected"), [("failed", 1), ("passed", None), ("errored", None)])
    def test_a_failed_staging_is_left_for_inspection_until_a_run_begins_there(
        self, verdict: str, inspected: int | None
    ) -> None:
        story = Story().begin().end(verdict)
        assert story.environment().inspection == inspected
        assert story.begin("reset", number=2).environment().inspection is None

    def test_what_is_withdrawn_or_defective_or_promoted_is_not_scheduled_any_more(self) -> None:
        for event in (
            e.ReleaseWithdrawn(release="R-1", reason=""),
            e.ReleaseDefective(release="R-1", reason="x"),
            started(1, "promotion", environment="prod"),
            e.PromotionUnscheduled(release="R-1", at=""),
        ):
            story = Story().tell(handed_off()).tell(e.PromotionScheduled(release="R-1", at="x"), by="U02ADMIN")
            assert (story.release().scheduled, story.release().scheduled_by) == ("x", "U02ADMIN")
            assert story.tell(event).release().scheduled is None

    def test_an_approval_is_of_the_bytes_and_of_a_person(self) -> None:
        given = e.ApprovalGiven(release="R-1", digest=DIGEST, plans="p")
        story = Story().tell(handed_off()).tell(given, by="U05OTHER").tell(given, by="U06ADMIN2")
        approval = story.documents["approvals", "R-1"]
        assert isinstance(approval, Approval)
        assert (approval.digest, approval.plans, list(approval.given)) == (DIGEST, "p", ["U05OTHER", "U06ADMIN2"])

    @pytest.mark.parametrize(
        "event",
        [
            e.ApprovalGiven(release="R-1", digest=DIGEST, plans="other"),
            ApprovalAsked(release="R-1", digest=DIGEST, plans="other", until=""),
            ApprovalRefused(release="R-1", reason="not now"),
        ],
    )
    def test_an_approval_is_void_when_something_changed_and_when_somebody_refuses(self, event: e.AnyEvent) -> None:
        given = e.ApprovalGiven(release="R-1", digest=DIGEST, plans="p")
        story = Story().tell(handed_off()).tell(given, by="U05OTHER").tell(event, by="U06ADMIN2")
        approval = story.documents["approvals", "R-1"]
        assert isinstance(approval, Approval)
        assert "U05OTHER" not in approval.given


class TestProd:
    STEPS = plan(
        planned(1, "protect"), planned(2, "deploy"), planned(3, "test"), planned(4, "watch", "", written=False)
    )

    def deployed(self, story: Story) -> tuple[str, ...]:
        return story.environment("prod").deployed.get("webshop", ())

    def promoted(self, release: str = "R-1", number: int = 1, steps: int = 4) -> Story:
        story = Story().tell(handed_off("R-1"), handed_off("R-2", "2.5.0"))
        return self.promote(story, release, number, steps)

    def promote(self, story: Story, release: str, number: int, steps: int = 4) -> Story:
        story.tell(started(number, "promotion", environment="prod", release=release))
        for _ in range(steps):
            story.step(self.STEPS, number=number)
        return story

    @pytest.mark.parametrize(("steps", "there"), [(1, ()), (2, ()), (3, ("R-1",)), (4, ("R-1",))])
    def test_a_release_is_on_prod_as_soon_as_its_deployment_is_through(
        self, steps: int, there: tuple[str, ...]
    ) -> None:
        assert self.deployed(self.promoted(steps=steps)) == there

    @pytest.mark.parametrize("verdict", ["failed", "errored", "aborted", "passed"])
    def test_it_stays_there_whatever_its_watch_comes_to(self, verdict: str) -> None:
        assert self.deployed(self.promoted().end(verdict)) == ("R-1",)

    def test_a_promotion_without_tests_and_watch_is_there_when_it_passed(self) -> None:
        steps = plan(planned(1, "deploy"))
        story = Story().tell(handed_off(), started(1, "promotion", environment="prod")).step(steps).finish(steps)
        assert self.deployed(story) == ("R-1",)

    @pytest.mark.parametrize("kind", ["rollback", "revert"])
    def test_the_one_before_is_there_again_after_either_way_back(self, kind: str) -> None:
        story = self.promote(self.promoted().end("passed"), "R-2", 2).end("aborted", 2)
        assert self.deployed(story) == ("R-1", "R-2")
        story.tell(started(3, kind, environment="prod", release="R-2"))
        assert self.deployed(story.end("passed", 3)) == ("R-1",)

    def test_a_rollback_that_failed_brings_nothing_back(self) -> None:
        story = self.promoted().end("failed").tell(started(2, "rollback", environment="prod"))
        assert self.deployed(story.end("failed", 2)) == ("R-1",)

    def test_the_same_release_again_is_there_once(self) -> None:
        assert self.deployed(self.promote(self.promoted().end("failed"), "R-1", 2).end("passed", 2)) == ("R-1",)


class TestEnvironments:
    def test_snapshots_are_kept_by_host_until_they_are_removed(self) -> None:
        taken = e.SnapshotTaken(run=1, host="web", snapshot="snapshot-9", environment="staging", name="qd-run-1")
        story = Story().begin().tell(taken).tell(taken)
        (kept,) = story.environment().snapshots["web"]
        assert kept == Kept(run=1, reference="snapshot-9", name="qd-run-1", at=story.entries[-1].at)
        story.tell(e.SnapshotRemoved(run=2, host="web", snapshot="snapshot-9", environment="staging"))
        assert story.environment().snapshots == {"web": ()}

    def test_what_a_run_removes_is_known_to_its_own_plan_until_it_ends(self) -> None:
        taken = e.SnapshotTaken(run=1, host="web", snapshot="snapshot-9", environment="staging", name="qd-run-1")
        story = Story().begin().tell(taken).end("passed").begin(number=2).begin(number=3)
        (kept,) = story.environment().snapshots["web"]
        story.tell(e.SnapshotRemoved(run=2, host="web", snapshot="snapshot-9", environment="staging"))
        assert (story.environment().snapshots, story.environment().removed) == ({"web": ()}, {2: {"web": (kept,)}})
        assert story.end("aborted", 3).environment().removed == {2: {"web": (kept,)}}
        assert story.end("failed", 2).environment().removed == {}
        assert story.environment().inspection == 2

    def test_a_snapshot_holds_what_its_run_restored_or_stood_on(self) -> None:
        def taken(run: int) -> e.SnapshotTaken:
            return e.SnapshotTaken(run=run, host="web", snapshot=f"snapshot-{run}", environment="staging", recipe="r")

        def measured(name: str, host: str, age: float | None, seconds: float) -> e.RestoreMeasured:
            return e.RestoreMeasured(run=1, host=host, name=name, artifact_age_seconds=age, seconds=seconds)

        story = Story().begin().tell(measured("Restore", "db", None, 5.0), measured("Restore", "db/2", 60.0, 6.0))
        story.tell(measured("Restore", "db", 30.0, 7.0))
        at = story.entries[-1].at
        assert [(one.host, one.artifact_age, one.seconds) for one in story.run().restores] == [
            ("db/2", 60.0, 6.0),
            ("db", 30.0, 7.0),
        ]
        story.tell(taken(1)).end("passed").begin(number=2)
        story.tell(e.RestoreReused(run=2, of=1, restored=at), taken(2))
        kept = story.environment().snapshots["web"]
        assert [(k.run, k.restored, k.restored_by, k.recipe) for k in kept] == [(1, at, 1, "r"), (2, at, 1, "r")]

    def test_a_clone_is_held_by_whoever_held_the_machine_before_it(self) -> None:
        def machines(number: int, *held: str) -> e.RunStarted:
            return replace(started(number, "check"), machines=held)

        story = Story().tell(machines(1, "vc/old", "vc/web"), machines(2, "vc/old"), machines(3, "vc/web"))
        story.tell(machines(4, "vc/old")).end("passed", 4)
        replaced = e.MachineReplaced(run=1, environment="staging", host="db", old="vc/old", new="vc/new")
        story.tell(replaced, replaced)
        held = [story.run(number).machines for number in (1, 2, 3, 4)]
        assert held == [("vc/new", "vc/old", "vc/web"), ("vc/new", "vc/old"), ("vc/web",), ("vc/old",)]

    def test_a_lock_has_an_owner_and_a_reason_until_it_is_taken_off(self) -> None:
        story = Story().tell(e.EnvironmentLocked(environment="prod", reason="audit"), by="U02ADMIN")
        assert (story.environment("prod").locked, story.environment("prod").locked_by) == ("audit", "U02ADMIN")
        assert story.tell(e.EnvironmentUnlocked(environment="prod")).environment("prod").locked is None


_NAMES = st.sampled_from(["R-1", "R-2", "staging", "prod", "web", "", "R-99", "run/1", "run/1/end", "run/x", "a", "ok"])
_VALUES: dict[type, st.SearchStrategy[object]] = {
    str: _NAMES | st.sampled_from(["failed", "errored", "passed", "retry", "skip", "abort", "rehearsal", "promotion"]),
    int: st.integers(0, 4),
    float: st.floats(0, 9),
    bool: st.booleans(),
}


def _told(kind: type[e.Event]) -> st.SearchStrategy[e.Event]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: _VALUES.get(hint, st.from_type(hint)) for name, hint in hints.items()})


@given(st.lists(st.one_of(*(_told(kind) for kind in typing.get_args(e.AnyEvent))), max_size=40))
def test_any_records_in_any_order_fold_and_change_nothing_that_was_folded_before(events: list[e.AnyEvent]) -> None:
    documents: dict[Key, AnyDocument] = {}
    for seq, event in enumerate(events, 1):
        entry = e.Entry(seq=seq, at="2026-11-23T21:00:00.000Z", by="U1", event=event, prev="", hash="")
        before = msgspec.json.encode(list(documents.items()))
        changes = apply(documents, entry)
        assert msgspec.json.encode(list(documents.items())) == before
        for table, name in changes:
            document = changes[table, name]
            assert document is None or isinstance(document, TABLES[table])
            assert isinstance(name, str)
        fold(documents, entry)


def test_nothing_is_made_of_what_the_ledger_never_began() -> None:
    story = Story().tell(
        begun(9, planned(1, step=Command(name="x", on="web", run="true")), "web", 1),
        _finished("web", "ok", run=9),
        paused(9, 1, 1, ("retry",)),
        e.RunDecided(run=9, step=1, choice="retry"),
        e.RunFinished(run=9, verdict="passed", clean=True, reason=""),
        e.RunAborting(run=9, now=True),
        e.WatchChecked(run=9, mark="10m", ok=True),
        e.ReleaseWithdrawn(release="R-9", reason=""),
        e.ApprovalGiven(release="R-9", digest="x"),
    )
    assert not [key for key in story.documents if key[0] in ("runs", "releases")]


def _finished(host: str, outcome: str, run: int = 1) -> e.StepFinished:
    return e.StepFinished(run=run, step=1, host=host, attempt=1, outcome=outcome, exit=None, seconds=1.0, log="")


class TestStartedOver:
    STEPS = plan(planned(1, "power_on", "web", "db", written=False), planned(2, "restore"), planned(3, "snapshot"))

    def story(self) -> Story:
        story = Story().begin().step(self.STEPS).step(self.STEPS)
        old = e.SnapshotTaken(run=0, host="web", snapshot="s-0", environment="staging", name="q")
        gone = e.SnapshotRemoved(run=1, host="web", snapshot="s-0", environment="staging")
        measured = e.RestoreMeasured(run=1, host="db", artifact_age_seconds=None, seconds=1.0, name="Restore")
        return story.tell(old, gone, measured)

    def restart(self, story: Story) -> Story:
        return story.tell(e.RunRestarted(run=1, why="“Step 2” was interrupted on web: gone"))

    def test_its_steps_and_answers_are_gone_and_their_attempts_are_not(self) -> None:
        story = self.restart(self.story())
        run = story.run()
        assert (run.steps, run.phase, run.answers, run.question) == ({}, "", {}, None)
        assert run.spent == {1: 1, 2: 1}
        assert run.begun
        assert told(story)[-1] == "run/1/restart/1"
        assert self.restart(story.step(self.STEPS)).run().spent == {1: 2, 2: 1}

    def test_before_its_own_snapshot_there_is_nothing_to_go_back_to_but_what_stands(self) -> None:
        story = self.restart(self.story())
        assert (story.run().own, story.run().restored, story.run().restores) == ({}, "", ())
        assert story.environment().removed == {}

    def test_its_own_snapshot_is_known_whatever_becomes_of_it(self) -> None:
        taken = e.SnapshotTaken(run=1, host="web", snapshot="s-1", environment="staging", name="q", recipe="r")
        story = self.restart(self.story().tell(taken))
        own = story.run().own["web"]
        assert (own.reference, own.run, own.restored, own.recipe) == ("s-1", 1, story.run().restored, "r")
        story.tell(e.SnapshotRemoved(run=1, host="web", snapshot="s-1", environment="staging"))
        assert story.run().own["web"] == own

    def test_no_step_is_beyond_the_last(self) -> None:
        story = Story().begin()
        assert story.tell(begun(1, planned(9), "web", 1)).run().total == 9


def test_a_command_that_has_begun_is_known_as_long_as_its_attempt() -> None:
    story = Story().begin().tell(begun(1, planned(1), "web", 1))
    story.tell(e.JobStarted(run=1, step=1, host="web", attempt=1, job="1-1-1-web"))
    assert story.run().steps[1].hosts["web"].jobs == ("1-1-1-web",)
    assert story.tell(begun(1, planned(1), "web", 2)).run().steps[1].hosts["web"].jobs == ()
