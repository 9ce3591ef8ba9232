"""What stands on staging for neighbours that cannot come along: where it comes up, where it ends, how it fits."""

from typing import Any

import pytest
from builders import STAGING, drive, material, prod, site, staging
from msgspec.structs import replace

from plans.actions import At, Outcome, Power, Shell
from plans.checks import RunCheck
from plans.consistency import problems
from plans.documents import load
from plans.environment import Environment, Neighbour, VCenter
from plans.errors import Refusal
from plans.machinery import PowerOff, ProveIsolation
from plans.neighbours import Emulator, StartEmulator, StopEmulator
from plans.phases import Plan
from plans.records import EnvironmentState, Kept
from plans.rehearsal import check, rehearsal, reset
from plans.restoring import CloneFrom, RestoreClone
from plans.stand_ins import limits

UP = RunCheck(name="It is up", on="web", run="bankctl status")
BANK = Emulator(
    name="bank", stands_for="the bank's API", on="web", start="bankctl start", stop="bankctl stop", health=(UP,)
)
DC = Neighbour(name="dc", vcenter="main", vm="staging-dc")
OK, FAILED = Outcome("ok", exit=0), Outcome("failed", exit=1)


def beside(**changes: Any) -> Environment:
    return replace(staging(), **({"infrastructure": (DC,), "emulators": (BANK,)} | changes))


def laid_out(plan: Plan, *words: str) -> list[str]:
    return [f"{s.phase}: {s.name} ({' '.join(s.hosts)})" for s in plan.steps if any(word in s.name for word in words)]


@pytest.mark.parametrize("lay_out", [rehearsal, check, reset])
def test_isolation_is_proved_for_them_before_anything_is_powered_on_and_they_are_up_first(lay_out: Any) -> None:
    plan = lay_out(material(target=beside(), state=_with_snapshots()))
    found = laid_out(plan, "Prove", "Power on", "Restore")
    assert found[:3] == [
        "power_on: Prove isolation ()",
        "power_on: Power on the infrastructure (dc)",
        "power_on: Power on (web db)",
    ]
    proofs = [step.step for step in plan.steps if isinstance(step.step, ProveIsolation)]
    assert all(proof.hosts == ("web", "db", "dc") for proof in proofs)


def _with_snapshots() -> EnvironmentState:
    kept = (Kept(run=0, reference="s", name="s", at=""),)
    return EnvironmentState(name="staging", snapshots={"web": kept, "db": kept})


def test_an_emulator_is_up_before_the_restore_and_stopped_last() -> None:
    plan = rehearsal(material(target=beside()))
    found = laid_out(plan, "emulator", "Restore the orders", "hands")
    assert found == [
        "power_on: Start the emulator bank (web)",
        "restore: Restore the orders (db)",
        "test: Look for other hands on staging (web db)",
        "undo: Stop the emulator bank (web)",
    ]
    assert [step.name for step in plan.steps[-2:]] == ["Stop the emulator bank", "Power off the infrastructure"]


def test_on_a_host_that_is_made_anew_it_is_started_once_that_is_there() -> None:
    anew = RestoreClone(name="Anew", on="web", clone=CloneFrom(from_="web"))
    plan = check(material(target=beside(restore=(anew,))))
    assert laid_out(plan, "emulator", "Anew") == [
        "restore: Anew (web)",
        "restore: Start the emulator bank (web)",
        "confirm: Stop the emulator bank (web)",
    ]


@pytest.mark.parametrize(
    ("answers", "asked", "result"),
    [
        ([OK], ["bankctl status"], "ok"),
        ([FAILED, OK, OK], ["bankctl status", "bankctl start", "bankctl status"], "ok"),
        ([FAILED, FAILED], ["bankctl status", "bankctl start"], "failed"),
        ([Outcome("aborted")], ["bankctl status"], "aborted"),
    ],
)
def test_it_is_started_unless_it_is_up(answers: list[Outcome], asked: list[str], result: str) -> None:
    actions, outcome = drive(StartEmulator(emulator=BANK), site(host="web"), *answers)
    assert [action.command for action in actions if isinstance(action, Shell)] == asked
    assert outcome.result == result


@pytest.mark.parametrize(
    ("answer", "result", "reason"),
    [
        (OK, "ok", ""),
        (FAILED, "skipped", "bank did not stop: exit 1"),
        (Outcome("errored", reason="lost"), "skipped", "bank did not stop: lost"),
        (Outcome("aborted"), "aborted", ""),
    ],
)
def test_one_that_does_not_stop_spoils_no_verdict(answer: Outcome, result: str, reason: str) -> None:
    _, outcome = drive(StopEmulator(emulator=BANK), site(host="web"), answer)
    assert (outcome.result, outcome.reason) == (result, reason)


def test_they_are_the_limits_of_every_run_there() -> None:
    assert limits(beside()) == (
        "Emulated: bank stands for the bank's API",
        "Not prod's: dc is staging's own VM staging-dc, not restored",
    )
    assert limits(prod()) == ()


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"infrastructure": (replace(DC, name="web"),)}, "infrastructure[0].name", "called web there already"),
        ({"infrastructure": (DC, DC)}, "infrastructure[1].name", "called dc there already"),
        ({"infrastructure": (DC, replace(DC, name="dns"))}, "infrastructure[1].vm", "a machine of staging already"),
        ({"infrastructure": (replace(DC, vcenter="other"),)}, "infrastructure[0].vcenter", "there is no vCenter other"),
        ({"emulators": (BANK, BANK)}, "emulators[1].name", "two emulators are called bank"),
        ({"emulators": (replace(BANK, on="app", health=(replace(UP, on="app"),)),)}, "emulators[0].on", "no role app"),
    ],
)
def test_what_does_not_fit(changes: dict[str, Any], path: str, words: str) -> None:
    main = VCenter(host="vc", username="u", password="p")
    found = list(problems({"staging": beside(**changes)}, {}, {"main": main}, {}))
    assert any(problem.path == f"environments.staging.{path}" and words in problem.message for problem in found), found


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("infrastructure: [{name: dc}]", "infrastructure is a VM"),
        ("infrastructure: [{name: dc, vcenter: main, vm: dc, protect: backup}]", "protect is for hosts of prod"),
        (
            "infrastructure: [{name: dc, vcenter: main, vm: dc, health: [{name: Up, on: dc, run: 'true'}]}]",
            "it needs a way in",
        ),
        (
            "emulators: [{name: b, stands_for: x, on: web, start: a, stop: b, health: [{name: U, on: db, run: a}]}]",
            "where it runs",
        ),
        ("emulators: [{name: b, stands_for: b, on: web, start: a, stop: b, health: []}]", "health is missing"),
    ],
)
def test_what_is_refused_where_it_is_read(key: str, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        load(f"{STAGING.rstrip()}\n{key}\n".encode(), Environment, "quarterdeck.yaml")


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome("ok"), "ok"),
        (Outcome("errored", reason="no route"), "skipped"),
        (Outcome("aborted"), "aborted"),
    ],
)
def test_what_stood_beside_staging_is_powered_off_and_spoils_no_verdict(outcome: Outcome, result: str) -> None:
    asked, ended = drive(PowerOff(), site(host="dc"), outcome)
    assert asked == [Power(At("staging", "dc"), on=False)]
    assert ended.result == result
    assert ended.reason == ("staging dc is still on: no route" if result == "skipped" else "")
