"""What a promotion and a rollback of the contract's example are made of, and in which order."""

from typing import Any

import pytest
from builders import PACKAGE, PROD, TESTS, material, prod
from msgspec.structs import replace

from plans.comparing import CollectFacts, CompareSince
from plans.documents import load
from plans.environment import Environment, Policy
from plans.errors import Refusal
from plans.machinery import KeepSnapshot
from plans.package import Manifest
from plans.phases import Plan
from plans.promotion import promotion, rollback
from plans.rehearsal import rehearsal
from plans.testplan import TestPlan


def laid_out(plan: Plan) -> list[str]:
    return [f"{step.phase}: {step.name} ({' '.join(step.hosts)})" for step in plan.steps]


def with_tests(text: str) -> Any:
    return (replace(material().subjects[0], tests=load(text.encode(), TestPlan, "tests")),)


def test_a_promotion_protects_prod_then_does_what_was_rehearsed_then_watches() -> None:
    plan = promotion(material("prod", rehearsal=3))
    assert plan.phases == ("protect", "deploy", "test", "watch")
    assert laid_out(plan) == [
        "protect: Compare prod with when this was rehearsed ()",
        "protect: Back up the orders (db)",
        "protect: Take a snapshot (web web/2)",
        "protect: Attest that db can be brought back (db)",
        "deploy: Unpack the package (web web/2 db)",
        "deploy: Stop the shop (web web/2)",
        "deploy: Migrate the orders table (db)",
        "deploy: Install the files (web web/2)",
        "deploy: Tell the call centre ()",
        "test: The shop is up (web web/2)",
        "test: Orders can be archived (db)",
        "test: Write down prod's facts ()",
        "watch: Begin the watch ()",
        *(
            f"watch: {name}"
            for mark in ("10m", "30m", "45m")
            for name in ("The shop is up (web web/2)", "Orders can be archived (db)", f"Mark {mark} ()")
        ),
    ]


def test_the_deployment_is_the_rehearsals_step_by_step() -> None:
    def deployed(plan: Plan) -> list[object]:
        return [(step.name, step.step, step.serial) for step in plan.steps if step.phase == "deploy"]

    assert deployed(promotion(material("prod"))) == deployed(rehearsal(material()))


def test_a_check_that_is_not_safe_on_prod_is_not_run_there() -> None:
    names = {step.name for step in promotion(material("prod")).steps}
    assert "The shop answers" not in names
    assert "Buy one item as a guest" not in names
    assert "Orders can be archived" in names


def test_what_a_person_checks_on_prod_is_tested_once_and_not_watched() -> None:
    for where in ("", "on: web, "):
        text = TESTS.replace("manual: Buy one item.,", f"manual: Buy one item., {where}prod: safe,")
        plan = promotion(material("prod", subjects=with_tests(text)))
        assert [step.phase for step in plan.steps if step.name == "Buy one item as a guest"] == ["test"]


@pytest.mark.parametrize(
    ("watch", "after"),
    [((), []), (("5s",), [5.0]), (("10m", "30m", "45m"), [600.0, 1800.0, 2700.0])],
)
def test_the_watch_has_the_policys_marks(watch: tuple[str, ...], after: list[float]) -> None:
    plan = promotion(material("prod", policy=Policy(watch=watch)))
    marks = [step for step in plan.steps if step.name.startswith("Mark ")]
    assert [step.after for step in marks] == after
    assert ("watch" in plan.phases) is bool(watch)
    for mark in marks:
        assert {step.after for step in plan.steps if step.group == mark.group} == {mark.after}


SSH = "ssh: {host: h, user: u, key_file: k, known_hosts: k}"
VM = f"vcenter: main, vm: prod-web, {SSH}"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (VM, ["Take a snapshot (web)"]),
        (f"{VM}, protect: snapshot", ["Take a snapshot (web)"]),
        (f"{VM}, protect: backup", []),
        (f"{VM}, protect: attested", ["Attest that web can be brought back (web)"]),
        (SSH, ["Attest that web can be brought back (web)"]),
        (f"{SSH}, protect: backup", []),
        (f"{SSH}, protect: attested", ["Attest that web can be brought back (web)"]),
    ],
)
def test_how_each_host_is_protected(host: str, expected: list[str]) -> None:
    text = f"hosts: {{web: {{{host}}}}}\nbackup: [{{name: Back it up, on: web, run: backup}}]"
    manifest = PACKAGE.replace("on: db", "on: web")
    tests = TESTS.replace("on: db", "on: web")
    subject = replace(with_tests(tests)[0], app=replace(material().subjects[0].app, facts=()))
    plan = promotion(
        material(
            "prod", target=prod(text), subjects=(subject,), manifest=load(manifest.encode(), Manifest, "handoff.yaml")
        )
    )
    protect = [f"{step.name} ({' '.join(step.hosts)})" for step in plan.steps if step.phase == "protect"]
    assert protect == ["Back it up (web)", *expected]


def test_a_host_protected_by_a_backup_that_nobody_makes_is_refused() -> None:
    web = PROD.replace("vm: prod-web-2,", "vm: prod-web-2, protect: backup,")
    target = replace(load(web.encode(), Environment, "prod"), backup=())
    with pytest.raises(Refusal) as refused:
        promotion(material("prod", target=target))
    assert refused.value.code == "no_backup"
    assert refused.value.message == "web/2: protected by a backup, and prod has none."


EVERY_HOST = [("schema", "db"), ("packages", "web"), ("packages", "web/2")]


def test_prod_is_compared_with_what_the_rehearsal_saw_before_anything_else() -> None:
    first = promotion(material("prod", rehearsal=3)).steps[0]
    assert (first.phase, first.name) == ("protect", "Compare prod with when this was rehearsed")
    assert isinstance(first.step, CompareSince)
    assert (first.step.run, first.step.phase, first.step.kind) == (3, "confirm", "prod")
    assert [(fact.name, host) for fact, host in first.step.facts] == EVERY_HOST


def test_a_promotion_that_has_been_at_prod_already_compares_with_nothing() -> None:
    assert not [s for s in promotion(material("prod", rehearsal=None)).steps if isinstance(s.step, CompareSince)]


def test_what_prod_is_from_now_on_is_written_down_after_the_tests_and_after_a_rollback() -> None:
    for plan in (promotion(material("prod")), rollback(material("prod"))):
        last = [step for step in plan.steps if step.phase == "test"][-1]
        assert isinstance(last.step, CollectFacts)
        assert [(fact.name, host) for fact, host in last.step.facts] == EVERY_HOST


def test_a_rollback_backs_up_undoes_and_checks_and_needs_no_vcenter() -> None:
    tests = TESTS.replace("before: true", "before: true, prod: safe")
    plan = rollback(material("prod", subjects=with_tests(tests)))
    assert plan.phases == ("protect", "rollback", "test")
    assert laid_out(plan) == [
        "protect: Back up the orders (db)",
        "rollback: Unpack the package (db)",
        "rollback: Take the flag away (db)",
        "test: The shop is up (web web/2)",
        "test: The shop answers (web web/2)",
        "test: Write down prod's facts ()",
    ]
    assert not any(isinstance(step.step, KeepSnapshot) for step in plan.steps)


def test_a_package_without_a_rollback_cannot_be_rolled_back() -> None:
    manifest = load(PACKAGE.split("rollback:")[0].encode(), Manifest, "handoff.yaml")
    for none in (manifest, None):
        with pytest.raises(Refusal, match="no_rollback"):
            rollback(material("prod", manifest=none))


def test_a_promotion_without_a_release_is_refused() -> None:
    with pytest.raises(Refusal, match="no_package"):
        promotion(material("prod", manifest=None))
