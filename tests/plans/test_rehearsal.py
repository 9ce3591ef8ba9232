"""What a rehearsal, a check and a reset of the contract's example are made of, and in which order."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from builders import NOW, PACKAGE, drive, load_app, material, prod, site, staging
from msgspec.structs import replace

from plans.actions import At, Outcome, PutClone
from plans.comparing import CompareFacts, CompareSince, SeekForgotten
from plans.documents import load
from plans.environment import App, Policy
from plans.errors import Refusal
from plans.facts import Fact
from plans.isolation import Isolation
from plans.machinery import (
    GoBack,
    KeepSnapshot,
    ProbeIsolation,
    ProveIsolation,
    RemoveSnapshots,
    Reuse,
    Unpack,
)
from plans.package import Manifest
from plans.phases import Material, Plan
from plans.records import EnvironmentState, Kept
from plans.rehearsal import check, pairs, rehearsal, reset
from plans.restoring import CloneFrom, MakeAnew, RestoreClone, RestoreRun
from plans.steps import Run

POWER_ON = [
    "power_on: Go back to the last snapshot (web db)",
    "power_on: Prove isolation ()",
    "power_on: Power on (web db)",
    "power_on: Wait until it answers (web db)",
]
CONFIRM = [
    "restore: Restore the orders (db)",
    "confirm: Prove isolation ()",
    "confirm: The shop is up (web)",
    "confirm: The shop answers (web)",
    "confirm: Compare with prod ()",
]


def laid_out(plan: Plan) -> list[str]:
    return [f"{step.phase}: {step.name} ({' '.join(step.hosts)})" for step in plan.steps]


def kept(*runs: int) -> tuple[Kept, ...]:
    return tuple(Kept(run=run, reference=f"snapshot-{run}", name=f"run {run}", at="") for run in runs)


FORWARD_ONLY = Policy(rehearse_rollback=False)


def test_a_rehearsal_goes_through_all_six_phases_in_order_and_back() -> None:
    plan = rehearsal(material())
    assert plan.phases == ("power_on", "restore", "confirm", "snapshot", "deploy", "test", "undo")
    assert laid_out(plan) == [
        *POWER_ON,
        *CONFIRM,
        "snapshot: Take a snapshot (web db)",
        "deploy: Unpack the package (web db)",
        "deploy: Stop the shop (web)",
        "deploy: Migrate the orders table (db)",
        "deploy: Install the files (web)",
        "deploy: Tell the call centre ()",
        "test: Look for a forgotten change ()",
        "test: Search what was changed for forbidden content (web db)",
        "test: The shop is up (web)",
        "test: The shop answers (web)",
        "test: Orders can be archived (db)",
        "test: Buy one item as a guest ()",
        "test: Look for other hands on staging (web db)",
        "undo: Unpack the package (db)",
        "undo: Take the flag away (db)",
        "undo: Compare with before the deployment ()",
        "undo: The shop is up (web)",
        "undo: The shop answers (web)",
    ]
    assert [step.number for step in plan.steps] == list(range(1, len(plan.steps) + 1))
    assert plan.step(1).name == "Go back to the last snapshot"


def test_the_way_back_is_rehearsed_where_there_is_one_and_nobody_says_otherwise() -> None:
    bare = load(PACKAGE.split("rollback:")[0].encode(), Manifest, "handoff.yaml")
    for of in (material(manifest=bare), material(policy=FORWARD_ONLY)):
        assert rehearsal(of).phases[-1] == "test"
    (compare,) = [step.step for step in rehearsal(material()).steps if isinstance(step.step, CompareSince)]
    assert (compare.run, compare.phase, compare.kind) == (7, "confirm", "undo")
    assert [(fact.name, host) for fact, host in compare.facts] == [("schema", "db"), ("packages", "web")]


def test_a_check_is_the_first_three_phases_and_a_reset_the_first() -> None:
    assert laid_out(check(material())) == [*POWER_ON, *CONFIRM, "confirm: Take a snapshot (web db)"]
    assert check(material(), "restore_test").kind == "restore_test"
    state = EnvironmentState(name="staging", snapshots={"web": kept(1), "db": kept(1)})
    assert laid_out(reset(material(state=state))) == POWER_ON


def test_addresses_are_tried_from_inside_before_the_restore_and_again_before_the_deployment() -> None:
    isolation = Isolation(networks=("isolated-staging",), must_not_reach=("prod-db:5432",))
    steps = check(material(target=replace(staging(), isolation=isolation))).steps
    probes = [step for step in steps if isinstance(step.step, ProbeIsolation)]
    assert [step.phase for step in probes] == ["power_on", "confirm"]
    assert probes[0].step == ProbeIsolation(hosts={"web": "sh", "db": "sh"}, isolation=isolation)
    names = [step.name for step in steps]
    assert names.index("Wait until it answers") + 1 == names.index("Probe from inside")
    assert names.index("Probe from inside") + 1 == names.index("Restore the orders")


def test_isolation_is_proved_for_every_vm_before_any_is_powered_on_and_again_before_the_deployment() -> None:
    steps = rehearsal(material()).steps
    names = [step.name for step in steps]
    proofs = [step for step in steps if isinstance(step.step, ProveIsolation)]
    assert [step.phase for step in proofs] == ["power_on", "confirm"]
    for step in proofs:
        assert isinstance(step.step, ProveIsolation)
        assert step.step.hosts == ("web", "db")
        assert step.step.isolation.networks == ("isolated-staging",)
    assert names.index("Prove isolation") < names.index("Power on")


def test_what_is_written_and_what_is_not() -> None:
    own = [step.name for step in rehearsal(material()).steps if not step.written]
    assert own == [
        "Go back to the last snapshot",
        "Prove isolation",
        "Power on",
        "Wait until it answers",
        "Prove isolation",
        "Compare with prod",
        "Take a snapshot",
        "Unpack the package",
        "Look for a forgotten change",
        "Search what was changed for forbidden content",
        "Look for other hands on staging",
        "Unpack the package",
        "Compare with before the deployment",
        "The shop is up",
        "The shop answers",
    ]


def test_checks_are_in_groups_that_run_to_their_end() -> None:
    plan = rehearsal(material(policy=FORWARD_ONLY))
    groups = [(step.name, step.group) for step in plan.steps if step.group]
    assert groups == [
        ("The shop is up", "health"),
        ("The shop answers", "health"),
        ("The shop is up", "health"),
        ("The shop answers", "critical"),
        ("Orders can be archived", "critical"),
        ("Buy one item as a guest", "deep"),
    ]


def test_once_is_the_roles_first_host_and_serial_is_kept() -> None:
    host = staging().named()["db"]
    several = replace(staging(), hosts={**staging().hosts, "db": (host, replace(host, vm="staging-db-2"))})
    plan = rehearsal(material(target=several))
    assert "deploy: Unpack the package (web db)" in laid_out(plan)
    assert "deploy: Migrate the orders table (db)" in laid_out(plan)
    assert "restore: Restore the orders (db db/2)" in laid_out(plan)
    assert [step.serial for step in plan.steps if step.name == "Install the files"] == [1]


def test_it_goes_back_to_the_latest_snapshot_of_an_earlier_run_and_removes_the_older_ones() -> None:
    state = EnvironmentState(name="staging", snapshots={"web": kept(3, 5), "db": kept(5, 7)})
    plan = rehearsal(material(state=state))
    (back,) = [step.step for step in plan.steps if isinstance(step.step, GoBack)]
    (remove,) = [step.step for step in plan.steps if isinstance(step.step, RemoveSnapshots)]
    (take,) = [step.step for step in plan.steps if isinstance(step.step, KeepSnapshot)]
    assert back.snapshots == {"web": "snapshot-5", "db": "snapshot-5"}
    assert remove.older == {"web": ("snapshot-3", "snapshot-5"), "db": ("snapshot-5",)}
    assert take.older == {}


def test_the_old_snapshots_go_before_a_restore_fills_what_hangs_on_them() -> None:
    state = EnvironmentState(name="staging", snapshots={"web": (), "db": kept(5)})
    assert laid_out(check(material(state=state)))[4:6] == [
        "restore: Remove the old snapshot (db)",
        "restore: Restore the orders (db)",
    ]


def test_where_nothing_restores_the_new_snapshot_replaces_the_old_one_and_a_check_takes_none() -> None:
    state = EnvironmentState(name="staging", snapshots={"web": kept(5), "db": kept(5)})
    bare = material(state=state, target=replace(staging(), restore=()))
    (take,) = [step.step for step in rehearsal(bare).steps if isinstance(step.step, KeepSnapshot)]
    assert take == KeepSnapshot(older={"web": ("snapshot-5",), "db": ("snapshot-5",)})
    assert not any(step.phase == "restore" for step in rehearsal(bare).steps)
    assert not any(isinstance(step.step, KeepSnapshot) for step in check(bare).steps)


def test_the_packages_own_steps_start_in_the_package_and_no_check_between_them_does() -> None:
    of, plan = material(), rehearsal(material())
    assert of.manifest is not None
    own = [*(("deploy", step.name) for step in of.manifest.deploy), *(("undo", s.name) for s in of.manifest.rollback)]
    assert [(step.phase, step.name) for step in plan.steps if step.packaged] == own
    assert [step.name for step in plan.steps if step.phase == "undo" and not step.packaged] != []


class TestClones:
    CLONE = RestoreClone(name="Clone the database", on="db", clone=CloneFrom(from_="db"))

    def laid_out(self, *steps: Any, **more: Any) -> Plan:
        return check(material(target=replace(staging(), restore=steps or (self.CLONE,)), **more))

    def test_what_is_made_anew_stays_off_until_then_and_its_snapshots_go_with_it(self) -> None:
        state = EnvironmentState(name="staging", snapshots={"web": kept(5), "db": kept(5)})
        after = RestoreRun(name="Mask the customers", on="db", run="./mask.sh")
        plan = self.laid_out(self.CLONE, after, state=state)
        assert laid_out(plan)[:7] == [
            "power_on: Go back to the last snapshot (web db)",
            "power_on: Prove isolation ()",
            "power_on: Power on (web)",
            "power_on: Wait until it answers (web)",
            "restore: Remove the old snapshot (web)",
            "restore: Clone the database (db)",
            "restore: Mask the customers (db)",
        ]
        step = plan.step(6).step
        assert isinstance(step, MakeAnew)
        assert (step.sources, step.snapshot, step.timeout) == ({"db": At("prod", "db")}, "fresh", "4h")
        assert step.older["db"] == ("snapshot-5",)
        assert plan.step(6).written

    def test_every_address_is_tried_from_inside_once_the_last_clone_answers(self) -> None:
        isolation = Isolation(networks=("isolated-staging",), must_not_reach=("prod:443",), must_reach=("backup:22",))
        mask = RestoreRun(name="Mask the customers", on="db", run="./mask.sh")
        web = RestoreClone(name="Clone the web", on="web", clone=CloneFrom(from_="web"))
        target = replace(staging(), isolation=isolation, restore=(web, self.CLONE, mask))
        steps = [step for step in check(material(target=target)).steps if step.phase == "restore"]
        assert [step.name for step in steps][1:] == ["Clone the database", "Probe from inside", "Mask the customers"]
        assert steps[2].step == ProbeIsolation(hosts={"web": "sh", "db": "sh"}, isolation=isolation)

    @pytest.mark.parametrize(
        ("named", "sources"),
        [
            ("web", {"web": At("prod", "web"), "web/2": At("prod", "web/2"), "web/3": At("prod", "web")}),
            ("web/2", dict.fromkeys(("web", "web/2", "web/3"), At("prod", "web/2"))),
            ("/dc/vm/restored", dict.fromkeys(("web", "web/2", "web/3"), "/dc/vm/restored")),
        ],
    )
    def test_a_source_is_a_role_or_a_host_of_prod_or_any_vm(self, named: str, sources: dict[str, At | str]) -> None:
        host = staging().named()["web"]
        clone = RestoreClone(name="Clone it", on="web", clone=CloneFrom(from_=named, snapshot="latest"))
        target = replace(staging(), hosts={**staging().hosts, "web": (host,) * 3}, restore=(clone,))
        (step,) = [step.step for step in check(material(target=target)).steps if isinstance(step.step, MakeAnew)]
        assert (step.sources, step.snapshot) == (sources, "latest")

    def test_where_every_host_is_made_anew_none_is_powered_on_before(self) -> None:
        web = RestoreClone(name="Clone the web", on="web", clone=CloneFrom(from_="web"))
        plan = self.laid_out(web, self.CLONE)
        assert not any(step.name in ("Power on", "Wait until it answers") for step in plan.steps)


class TestAnEarlierRestore:
    """Run 7 begins at NOW; run 3 restored staging some hours before, and run 5 took the snapshots."""

    def restored(self, hours: float = 2.0, **changes: Any) -> Kept:
        (take,) = [step.step for step in check(material()).steps if isinstance(step.step, KeepSnapshot)]
        at = (NOW - timedelta(hours=hours)).isoformat()
        new = Kept(
            run=5,
            reference="snapshot-5",
            name="run 5",
            at=NOW.isoformat(),
            restored=at,
            restored_by=3,
            recipe=take.recipe,
        )
        return replace(new, **changes)

    def with_(self, web: Kept, db: Kept | None = None, **more: Any) -> Material:
        snapshots = {"web": (web,), "db": (db or web,)}
        return material(state=EnvironmentState(name="staging", snapshots=snapshots), **more)

    def test_is_gone_back_to_and_the_restore_is_for_the_case_that_prod_has_changed(self) -> None:
        plan = rehearsal(self.with_(self.restored()))
        assert plan.phases == ("power_on", "restore", "confirm", "snapshot", "deploy", "test", "undo")
        always = [step for step in plan.steps if step.given is None]
        changed = [step for step in plan.steps if step.given and step.given.skipped]
        agreed = [step for step in plan.steps if step.given and not step.given.skipped]
        assert laid_out(Plan("", tuple(always)))[4:9] == [
            "restore: Restored 2 h ago: reverted to, not restored again ()",
            *CONFIRM[1:],
        ]
        assert laid_out(Plan("", tuple(changed))) == [
            "restore: Remove the old snapshot (web db)",
            *CONFIRM,
            "snapshot: Take a snapshot (web db)",
        ]
        assert laid_out(Plan("", tuple(agreed))) == ["snapshot: Take a snapshot (web db)"]
        assert always[4].step == Reuse(of=3, restored=self.restored().restored)
        compared = [(step.number, step.step.reused) for step in plan.steps if isinstance(step.step, CompareFacts)]
        assert compared == [(9, True), (15, False)]
        assert {step.given.steps for step in (*changed, *agreed) if step.given} == {(9,)}
        older = {"web": ("snapshot-5",), "db": ("snapshot-5",)}
        takes = [step.step.older for step in plan.steps if isinstance(step.step, KeepSnapshot)]
        assert takes == [{}, older]

    def test_is_good_for_a_check_which_then_takes_no_snapshot(self) -> None:
        plan = check(self.with_(self.restored()))
        assert plan.phases == ("power_on", "restore", "confirm")
        assert not any(isinstance(step.step, KeepSnapshot) for step in plan.steps if step.given is None)

    def test_is_good_without_facts_too(self) -> None:
        subject = replace(material().subjects[0], app=load_app("tests: t\nstaging: staging\nprod: prod\n"))
        plan = rehearsal(self.with_(self.restored(), subjects=(subject,)))
        assert not any(step.name == "Restore the orders" for step in plan.steps)
        assert [step.name for step in plan.steps].count("Take a snapshot") == 1

    @pytest.mark.parametrize(
        ("web", "db"),
        [
            ({"hours": 25.0}, {"hours": 25.0}),
            ({"hours": 24.0}, {"hours": 24.0}),
            ({"restored": ""}, {"restored": ""}),
            ({}, {"hours": 3.0}),
            ({}, {"restored": ""}),
            ({"recipe": "other steps"}, {"recipe": "other steps"}),
            ({"run": 7}, {"run": 7}),
        ],
    )
    def test_is_not_gone_back_to(self, web: dict[str, Any], db: dict[str, Any]) -> None:
        """Too old, not known, not one restore, not by these steps, not of an earlier run."""
        plan = rehearsal(self.with_(self.restored(**web), self.restored(**db)))
        assert not any(isinstance(step.step, Reuse) or step.given for step in plan.steps)
        assert any(step.name == "Restore the orders" for step in plan.steps)

    def test_is_no_use_where_a_vm_has_no_snapshot_of_it(self) -> None:
        state = EnvironmentState(name="staging", snapshots={"web": (self.restored(),)})
        assert not any(isinstance(step.step, Reuse) for step in rehearsal(material(state=state)).steps)

    def test_is_as_old_as_may_be(self) -> None:
        def reused(age: str, **restored: Any) -> bool:
            target = replace(staging(), restore_max_age=age)
            steps = check(self.with_(self.restored(**restored), target=target)).steps
            return any(isinstance(step.step, Reuse) for step in steps)

        assert not reused("1h")
        assert reused("3h")
        assert not reused("0s", hours=0)
        assert reused("1h", hours=-1)  # the run waited for the one that restored

    def test_is_no_test_of_restoring(self) -> None:
        steps = check(self.with_(self.restored()), "restore_test").steps
        assert any(step.name == "Restore the orders" and step.given is None for step in steps)

    @pytest.mark.parametrize("lay_out", [rehearsal, check])
    @pytest.mark.parametrize("hours", [2.0, 30.0])
    def test_the_plan_stays_what_it_was_whatever_the_run_does(
        self, lay_out: Callable[[Material], Plan], hours: float
    ) -> None:
        old, new = self.restored(hours), replace(self.restored(0), run=7, reference="snapshot-9", restored_by=7)
        before = lay_out(self.with_(old))
        gone = {"web": (old,), "db": (old,)}
        begun = EnvironmentState(
            name="staging", snapshots={"web": (), "db": (old,)}, removed={7: {"web": (old,)}, 6: {"web": (old,)}}
        )
        ended = EnvironmentState(name="staging", snapshots={"web": (new,), "db": (new,)}, removed={7: gone})
        assert lay_out(material(state=begun)) == before
        assert lay_out(material(state=ended)) == before


class TestStartedOver:
    """Run 7 began at NOW, restored staging and starts over; `own` are the snapshots that it had taken by then."""

    def own(self, **changes: Any) -> dict[str, Kept]:
        (take,) = [step.step for step in check(material()).steps if isinstance(step.step, KeepSnapshot)]
        at = (NOW + timedelta(minutes=9)).isoformat()
        new = Kept(run=7, reference="own", name="run 7", at=at, restored=at, restored_by=7, recipe=take.recipe)
        return dict.fromkeys(("web", "db"), replace(new, **changes))

    def standing(self, own: dict[str, Kept]) -> EnvironmentState:
        return EnvironmentState(name="staging", snapshots={host: (kept,) for host, kept in own.items()})

    def test_it_goes_back_to_its_own_snapshot_keeps_it_and_restores_only_where_prod_has_changed(self) -> None:
        own = self.own()
        plan = rehearsal(material(state=self.standing(own), own=own, restarts=1))
        (back,) = [step.step for step in plan.steps if isinstance(step.step, GoBack)]
        assert back.snapshots == {"web": "own", "db": "own"}
        always = [step for step in plan.steps if step.given is None]
        assert laid_out(Plan("", tuple(always)))[1:9] == [
            *POWER_ON[1:],
            "restore: Restored by this run: reverted to, not restored again ()",
            *CONFIRM[1:],
        ]
        assert always[4].step == Reuse(of=7, restored=own["web"].restored)
        agreed = [step.step for step in plan.steps if step.given and not step.given.skipped]
        assert [step.older for step in agreed if isinstance(step, KeepSnapshot)] == [{"web": (), "db": ()}]
        (remove,) = [step.step for step in plan.steps if isinstance(step.step, RemoveSnapshots)]
        assert remove.older == {"web": ("own",), "db": ("own",)}

    def test_before_its_own_snapshot_it_begins_as_it_began(self) -> None:
        assert rehearsal(material(restarts=1)) == rehearsal(material())

    def test_what_it_had_removed_is_not_gone_back_to(self) -> None:
        plan = rehearsal(material(state=EnvironmentState(name="staging", removed={6: {"web": kept(5)}}), restarts=1))
        (back,) = [step.step for step in plan.steps if isinstance(step.step, GoBack)]
        assert back.snapshots == {}

    def test_where_nothing_restores_its_own_snapshot_is_kept_as_well(self) -> None:
        own = self.own(restored="", restored_by=0, recipe="")
        bare = material(
            state=self.standing(own), own=own, restarts=1, target=replace(staging(), restore=()), subjects=()
        )
        plan = rehearsal(bare)
        (back,) = [step.step for step in plan.steps if isinstance(step.step, GoBack)]
        (take,) = [step.step for step in plan.steps if isinstance(step.step, KeepSnapshot)]
        assert back.snapshots == {"web": "own", "db": "own"}
        assert take.older == {"web": (), "db": ()}

    def test_its_plan_stays_what_it_was_whatever_the_run_does(self) -> None:
        own = self.own()
        before = rehearsal(material(state=self.standing(own), own=own, restarts=1))
        gone = EnvironmentState(name="staging", removed={7: {"web": (own["web"],), "db": (own["db"],)}})
        assert rehearsal(material(state=gone, own=own, restarts=1)) == before
        new = {host: replace(one, reference="newer") for host, one in own.items()}
        assert rehearsal(material(state=self.standing(new), own=own, restarts=1)) == before

    def test_a_clone_is_made_another_time(self) -> None:
        clone = RestoreClone(name="Clone the database", on="db", clone=CloneFrom(from_="db"))
        plan = check(material(target=replace(staging(), restore=(clone,)), restarts=2))
        (step,) = [step.step for step in plan.steps if isinstance(step.step, MakeAnew)]
        lost = Outcome("errored", reason="no")
        tokens = [drive(one, site(host="db"), lost)[0][0] for one in (step, replace(step, restarts=0))]
        assert [one.token for one in tokens if isinstance(one, PutClone)] == [
            "quarterdeck-abc-run-7.2-db",
            "quarterdeck-abc-run-7-db",
        ]


@pytest.mark.parametrize(
    ("snapshots", "lacking"),
    [({}, "web, db"), ({"web": kept(1), "db": ()}, "db"), ({"web": kept(1), "db": kept(7)}, "db")],
)
def test_a_reset_without_a_snapshot_of_every_vm_is_refused(
    snapshots: dict[str, tuple[Kept, ...]], lacking: str
) -> None:
    with pytest.raises(Refusal) as refused:
        reset(material(state=EnvironmentState(name="staging", snapshots=snapshots)))
    assert refused.value.code == "no_snapshot"
    assert refused.value.message == f"staging has no rehearsal's snapshot to go back to: {lacking}."


@pytest.mark.parametrize("lay_out", [rehearsal, check])
def test_a_staging_that_does_not_say_its_networks_is_refused(lay_out: Callable[[Material], Plan]) -> None:
    with pytest.raises(Refusal) as refused:
        lay_out(material(target=replace(staging(), isolation=None)))
    assert refused.value.code == "no_isolation"


def test_a_rehearsal_without_a_release_is_refused() -> None:
    with pytest.raises(Refusal, match="no_package"):
        rehearsal(material(manifest=None))


@pytest.mark.parametrize("on", ["cache", "empty"])
def test_a_step_for_a_role_without_a_host_is_refused_before_anything_begins(on: str) -> None:
    manifest = material().manifest
    assert isinstance(manifest, Manifest)
    strange = replace(manifest, deploy=(Run(name="Warm it up", on=on, run="true"),))
    target = replace(staging(), hosts={**staging().hosts, "empty": ()})
    with pytest.raises(Refusal) as refused:
        rehearsal(material(manifest=strange, target=target))
    assert refused.value.code == "unknown_role"
    assert on in refused.value.message


def test_the_runner_is_a_host_of_every_environment() -> None:
    target = replace(staging(), restore=(Run(name="Fetch the backup", on="runner", run="fetch"),))
    assert "restore: Fetch the backup (runner)" in laid_out(check(material(target=target)))


def test_only_scripts_that_steps_name_are_made_executable() -> None:
    unpack, again = [step.step for step in rehearsal(material()).steps if isinstance(step.step, Unpack)]
    assert unpack == again
    assert unpack.executable == ("scripts/001-archived.sh", "scripts/undo.sh")


def test_what_was_forgotten_is_looked_for_before_anything_is_tested() -> None:
    app = replace(load_app(), qa="qa")
    (subject,) = material().subjects
    plan = rehearsal(material(subjects=(replace(subject, app=app, qa=prod()),)))
    first = next(step for step in plan.steps if step.phase == "test")
    assert isinstance(first.step, SeekForgotten)
    assert (first.step.qa, first.step.listed) == ("qa", ("database",))
    assert [(fact.name, here, there) for fact, here, there in first.step.pairs] == [
        ("schema", "db", "db"),
        ("packages", "web", "web"),
        ("packages", "web", "web/2"),
    ]


def test_without_a_qa_staging_is_compared_with_itself_before_the_deployment() -> None:
    first = next(step for step in rehearsal(material()).steps if step.phase == "test")
    assert isinstance(first.step, SeekForgotten)
    assert first.step.qa == ""


def test_waived_facts_may_differ_in_confirm() -> None:
    (compare,) = [s.step for s in rehearsal(material(waived=("schema",))).steps if isinstance(s.step, CompareFacts)]
    assert compare.waived == ("schema",)


def test_facts_are_compared_on_the_same_hosts_of_both_sides_and_none_is_left_out() -> None:
    (compare,) = [step.step for step in rehearsal(material()).steps if isinstance(step.step, CompareFacts)]
    assert compare.there == "prod"
    assert [(fact.name, here, there) for fact, here, there in compare.pairs] == [
        ("schema", "db", "db"),
        ("packages", "web", "web"),
        ("packages", "web", "web/2"),
    ]


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (1, 1, ["web-web"]),
        (2, 2, ["web-web", "web/2-web/2"]),
        (1, 3, ["web-web", "web-web/2", "web-web/3"]),
        (2, 3, ["web-web", "web/2-web/2", "web-web/3"]),
        (3, 1, ["web-web", "web/2-web", "web/3-web"]),
    ],
)
def test_every_host_has_a_partner_for_its_facts(here: int, there: int, expected: list[str]) -> None:
    fact = Fact(name="packages", on="web", run="dpkg-query -W")
    host = staging().named()["web"]
    ours, theirs = (replace(staging(), hosts={"web": (host,) * count}) for count in (here, there))
    assert [f"{a}-{b}" for _, a, b in pairs((fact,), ours, theirs)] == expected


def test_an_app_without_facts_compares_nothing() -> None:
    subject = replace(material().subjects[0], app=load_app("tests: t\nstaging: staging\nprod: prod\n"))
    assert isinstance(subject.app, App)
    assert "confirm: Compare with prod ()" not in laid_out(check(material(subjects=(subject,))))
