"""Which ways back there are from a promotion, what they cost, and what going back to its snapshot is made of."""

from typing import Any

import pytest
from builders import PROD, TESTS, drive, material, prod, site
from msgspec.structs import replace

from plans.actions import Ask, Outcome
from plans.comparing import CollectFacts
from plans.documents import load
from plans.errors import Refusal
from plans.machinery import BroughtBack, GoBack, KeepSnapshot
from plans.phases import Plan
from plans.promotion import promotion
from plans.records import EnvironmentState, HostStep, Kept, Run, StepRecord
from plans.reverting import Ways, attempts, price, revert, ways
from plans.testplan import TestPlan

AT = "2026-11-23T20:00:00Z"


def ran(
    number: int, kind: str = "promotion", release: str = "R-2", verdict: str = "failed", *, phase: str = "deploy"
) -> Run:
    """A run on prod that has come to that phase."""
    steps = {
        1: StepRecord(number=1, phase=phase, name="x", written=True, of=1, hosts={"": HostStep(attempt=1, started=AT)})
    }
    return Run(
        number=number, kind=kind, release=release, app="webshop", environment="prod", plans="", by="U02ADMIN", at=AT,
        steps=steps, verdict=verdict, finished=AT if verdict else "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], ()),
        ([ran(3)], (3,)),
        ([ran(3, phase="protect")], ()),
        ([ran(3), ran(4)], (3, 4)),
        ([ran(3), ran(4, "rollback", phase="rollback")], (3,)),
        ([ran(3), ran(4, "rollback", verdict="passed", phase="rollback")], ()),
        ([ran(3), ran(4, "revert", verdict="passed", phase="revert"), ran(5)], (5,)),
        ([ran(3), ran(4, "revert", verdict="errored", phase="revert")], (3,)),
        ([ran(3), ran(4, release="R-3")], ()),
        ([ran(3), ran(4, release="R-3", phase="protect")], (3,)),
        ([ran(3, release="R-1"), ran(4)], (4,)),
        ([ran(3), replace(ran(4, release="R-3"), environment="crm-prod")], (3,)),
        ([ran(3), ran(4, "rehearsal", "R-3"), ran(5, "lookout", "R-3", phase="lookout")], (3,)),
        ([ran(3), ran(4, verdict="")], (3, 4)),
    ],
)
def test_the_attempts_of_a_release_that_prod_still_bears(runs: list[Run], expected: tuple[int, ...]) -> None:
    assert attempts(reversed(runs), "R-2", "prod") == expected
    assert attempts([*runs, ran(9)], "R-2", "prod", before=9) == expected


def kept(run: int, *hosts: str) -> dict[str, tuple[Kept, ...]]:
    return {host: (Kept(run=run, reference=f"{host}-{run}", name="ours", at=AT),) for host in hosts}


def state(snapshots: dict[str, tuple[Kept, ...]]) -> EnvironmentState:
    return EnvironmentState(name="prod", snapshots=snapshots)


def test_only_what_its_first_attempt_has_snapshotted_is_gone_back_to() -> None:
    both = kept(3, "web", "web/2") | {"web": (*kept(3, "web")["web"], *kept(4, "web")["web"])}
    found = ways((3, 4), prod(), state(both), rollback=True)
    assert {host: each.reference for host, each in found.kept.items()} == {"web": "web-3", "web/2": "web/2-3"}
    assert (found.of, found.lacking, found.rollback) == (3, ("db",), True)
    assert ways((3, 4), prod(), state(kept(4, "web")), rollback=False).kept == {}
    assert ways((), prod(), state(kept(3, "web")), rollback=False) == Ways(rollback=False)


def test_the_snapshot_of_before_the_first_attempt_outlasts_the_next() -> None:
    def removed(number: int, tried: tuple[int, ...]) -> list[str]:
        plan = promotion(material("prod", run=number, attempts=tried, state=state(kept(2, "web") | kept(3, "web/2"))))
        (step,) = [each.step for each in plan.steps if isinstance(each.step, KeepSnapshot)]
        return [reference for references in step.older.values() for reference in references]

    assert removed(7, ()) == ["web-2", "web/2-3"]
    assert removed(7, (3, 5)) == ["web-2"]


def test_the_price_names_the_age_what_is_lost_and_what_is_done_by_hand() -> None:
    found = ways((3,), prod(), state(kept(3, "web", "web/2")), rollback=False)
    assert price("prod", found, 3 * 3600 + 120) == (
        "prod goes back to how run 3 found it 3 h 2 min ago. Everything that was written on web, web/2 since then is "
        "lost. db has no snapshot: bring it back by hand when the run asks for it."
    )


def going_back(**more: Any) -> Plan:
    tests = load(TESTS.replace("before: true", "before: true, prod: safe").encode(), TestPlan, "tests")
    subjects = (replace(material().subjects[0], tests=tests),)
    found = {"attempts": (3,), "state": state(kept(3, "web", "web/2")), "subjects": subjects}
    return revert(material("prod", **(found | more)))


def test_a_revert_goes_back_asks_for_the_rest_powers_on_and_tests() -> None:
    plan = going_back()
    assert plan.phases == ("revert", "test")
    assert [f"{step.phase}: {step.name} ({' '.join(step.hosts)})" for step in plan.steps] == [
        "revert: Go back to the snapshot (web web/2)",
        "revert: Bring db back by hand (db)",
        "revert: Power on (web web/2)",
        "revert: Wait until it answers (web web/2 db)",
        "test: The shop is up (web web/2)",
        "test: The shop answers (web web/2)",
        "test: Write down prod's facts ()",
    ]
    assert isinstance(plan.steps[0].step, GoBack)
    assert plan.steps[0].step.snapshots == {"web": "web-3", "web/2": "web/2-3"}
    assert isinstance(plan.steps[-1].step, CollectFacts)


def test_hooks_stand_around_a_revert_too() -> None:
    hooks = "drain: [{name: Out, for: web, run: a}]\nundrain: [{name: In, for: web, run: b}]\n"
    hooks += "maintenance: {begin: [{name: Begin, on: runner, run: c}], end: [{name: End, on: runner, run: d}]}\n"
    names = [step.name for step in going_back(target=prod(PROD + hooks)).steps]
    assert names[:3] == ["Begin", "Out", "Go back to the snapshot"]
    assert names[5:7] == ["Wait until it answers", "In"]
    assert names[-1] == "End"


@pytest.mark.parametrize("more", [{"attempts": ()}, {"state": state({})}, {"state": state(kept(2, "web"))}])
def test_without_its_own_snapshot_a_revert_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="no_snapshot"):
        going_back(**more)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Outcome("ok", value="done"), "ok"),
        (Outcome("ok", value="failed", reason="the tape is torn"), "errored"),
        (Outcome("aborted"), "aborted"),
    ],
)
def test_a_host_without_a_snapshot_waits_for_an_admin(answer: Outcome, expected: str) -> None:
    ((asked,), ended) = drive(BroughtBack(), site(host="db", environment="prod"), answer)
    assert isinstance(asked, Ask)
    assert "prod db has no snapshot of before R-1" in asked.question
    assert (asked.choices, asked.role) == (("done", "failed"), "admins")
    assert (ended.result, ended.reason) == (expected, answer.reason)
