"""What a rehearsal, a check and a reset of the contract's example are made of, and in which order."""

from collections.abc import Callable

import pytest
from builders import load_app, material, staging
from msgspec.structs import replace

from plans.environment import App
from plans.errors import Refusal
from plans.facts import Fact
from plans.machinery import CompareFacts, GoBack, KeepSnapshot, ProveIsolation, Unpack
from plans.package import Manifest
from plans.phases import Material, Plan
from plans.records import EnvironmentState, Kept
from plans.rehearsal import check, pairs, rehearsal, reset
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


def test_a_rehearsal_goes_through_all_six_phases_in_order() -> None:
    plan = rehearsal(material())
    assert plan.phases == ("power_on", "restore", "confirm", "snapshot", "deploy", "test")
    assert laid_out(plan) == [
        *POWER_ON,
        *CONFIRM,
        "snapshot: Take a snapshot (web db)",
        "deploy: Unpack the package (web db)",
        "deploy: Stop the shop (web)",
        "deploy: Migrate the orders table (db)",
        "deploy: Install the files (web)",
        "deploy: Tell the call centre ()",
        "test: The shop answers (web)",
        "test: Orders can be archived (db)",
        "test: Buy one item as a guest ()",
    ]
    assert [step.number for step in plan.steps] == list(range(1, len(plan.steps) + 1))
    assert plan.step(1).name == "Go back to the last snapshot"


def test_a_check_is_the_first_three_phases_and_a_reset_the_first() -> None:
    assert laid_out(check(material())) == POWER_ON + CONFIRM
    assert check(material(), "restore_test").kind == "restore_test"
    state = EnvironmentState(name="staging", snapshots={"web": kept(1), "db": kept(1)})
    assert laid_out(reset(material(state=state))) == POWER_ON


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
    ]


def test_checks_are_in_groups_that_run_to_their_end() -> None:
    groups = [(step.name, step.group) for step in rehearsal(material()).steps if step.group]
    assert groups == [
        ("The shop is up", "health"),
        ("The shop answers", "health"),
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
    (take,) = [step.step for step in plan.steps if isinstance(step.step, KeepSnapshot)]
    assert back.snapshots == {"web": "snapshot-5", "db": "snapshot-5"}
    assert take.older == {"web": ("snapshot-3", "snapshot-5"), "db": ("snapshot-5",)}


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
    (unpack,) = [step.step for step in rehearsal(material()).steps if isinstance(step.step, Unpack)]
    assert unpack.executable == ("scripts/001-archived.sh", "scripts/undo.sh")


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
