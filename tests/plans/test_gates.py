"""Prod's gates: each of them open and shut, with what is said and what would open it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import DIGEST, NOW
from msgspec.structs import replace

from plans.environment import Policy
from plans.gates import EMERGENCY_OPENS, Case, Gate, Moved, gates, moved, shut
from plans.records import EnvironmentState, Freeze, Release, Run, Seen
from plans.rule_records import Approval, Difference, Escape, Outside


def at(ago: timedelta) -> str:
    return (NOW - ago).isoformat()


RELEASE = Release(
    id="R-2", app="webshop", version="2.4.1", digest=DIGEST, bytes=1, source="/srv", by="U01DEV", at=at(timedelta(2))
)
REHEARSAL = Run(
    number=3,
    kind="rehearsal",
    release="R-2",
    app="webshop",
    environment="staging",
    plans="plans",
    by="U02ADMIN",
    at=at(timedelta(hours=3)),
    verdict="passed",
    finished=at(timedelta(hours=2)),
)
CASE = Case(
    release=RELEASE,
    rehearsal=REHEARSAL,
    prod=EnvironmentState(name="prod"),
    policy=Policy(),
    plans="plans",
    by="U02ADMIN",
    now=NOW,
)
AGAIN = "/stage run R-2"


def case(**changes: Any) -> Case:
    return replace(CASE, **changes)


def released(**changes: Any) -> Case:
    return case(release=replace(RELEASE, **changes))


def rehearsed(**changes: Any) -> Case:
    return case(rehearsal=replace(REHEARSAL, **changes))


def ruled(**changes: Any) -> Case:
    return case(policy=replace(Policy(), **changes))


def frozen(until: timedelta | None) -> Case:
    end = None if until is None else (NOW + until).isoformat()
    return case(freeze=Freeze(until=end, reason="Christmas sale", by="U02ADMIN", at=at(timedelta(1))))


def difference(key: str, disposed: str = "") -> Difference:
    brief = f"qa db has {key}, staging after 2.4.1 does not\n  and more"
    return Difference(
        run=3, key=key, fact="schema", host="db", kind="qa", brief=brief, at=at(timedelta(1)), disposed=disposed
    )


def by_hand(ago: timedelta) -> Case:
    return case(outside=Outside(environment="prod", reason="disk full", by="U05OTHER", at=at(ago)))


def looked_at(*facts: str) -> Case:
    return case(moved=Moved(at(timedelta(hours=1)), facts))


ESCAPE = Escape(id="E-1", app="webshop", release="R-1", text="totals wrong", by="U02ADMIN", at=at(timedelta(1)))
NEW_YEAR = datetime.fromisoformat("2027-01-04T00:00:00+00:00")
PROMOTION = replace(REHEARSAL, number=9, kind="promotion", environment="prod", verdict="")

# code, a case in which it is shut, what is said of it, a part of what would open it
SHUT = [
    ("withdrawn", released(withdrawn="wrong file"), "withdrawn: wrong file", "/handoff"),
    ("withdrawn", released(withdrawn=""), "withdrawn: no reason given", "/handoff"),
    ("defective", released(defective="eats orders"), "marked defective: eats orders", "/handoff"),
    ("not_rehearsed", case(rehearsal=None), "no rehearsal has passed or failed yet", AGAIN),
    ("rehearsal_failed", rehearsed(verdict="failed", reason="“X” failed"), "run 3 failed: “X” failed", AGAIN),
    ("rehearsal_failed", rehearsed(verdict="failed"), "run 3 failed", AGAIN),
    ("rehearsal_not_clean", rehearsed(unclean=("“X” was skipped", "“Y” too")), "“X” was skipped; “Y” too", AGAIN),
    ("rehearsal_too_old", rehearsed(finished=at(timedelta(9))), "passed 9 days ago, at most 7 days allowed", AGAIN),
    ("rehearsal_too_old", ruled(rehearsal_max_age="1h"), "passed 2 h ago, at most 1 h allowed", AGAIN),
    (
        "plans_changed_since",
        case(plans="others"),
        "the test plan, the environment or the policy is not what it was when this was rehearsed",
        AGAIN,
    ),
    ("older_than_prod", case(later="R-5"), "R-5 is on prod, which is later", "/promote rollback R-5"),
    ("same_person", case(by="U01DEV"), "handed off by <@U01DEV>", "Another admin"),
    ("approvals_missing", ruled(approvals=1), "0 of 1 needed", "/promote approve R-2"),
    ("frozen", frozen(None), "frozen until lifted: Christmas sale", "/promote unfreeze"),
    ("frozen", frozen(timedelta(hours=1)), "frozen until 2026-11-23T22:00:00+00:00: Christmas sale", "Wait"),
    (
        "frozen",
        case(calendar=("holidays", NEW_YEAR)),
        "frozen by the calendar until 2027-01-04T00:00:00+00:00: holidays",
        "policy.freezes",
    ),
    (
        "differences_open",
        case(differences=(difference("orders.archived"), difference("crontab"), difference("old", "next sprint"))),
        "qa db has orders.archived, staging after 2.4.1 does not; qa db has crontab, staging after 2.4.1 does not",
        "/stage dispose R-2 orders.archived REASON",
    ),
    (
        "prod_changed_since",
        by_hand(timedelta(hours=1)),
        "prod was changed by hand 1 h ago by <@U05OTHER>: disk full",
        AGAIN,
    ),
    (
        "prod_changed_since",
        looked_at("schema db", "config web"),
        "schema db, config web: prod's facts as of 1 h ago are not those that were rehearsed against",
        AGAIN,
    ),
    ("escape_open", case(escapes=(ESCAPE,)), "E-1, from R-1: totals wrong", "covers: [E-1]"),
    ("escape_open", case(escapes=(ESCAPE,)), "E-1, from R-1: totals wrong", "/promote accept E-1 REASON"),
    ("locked", case(prod=EnvironmentState(name="prod", locked="audit")), "prod is locked: audit", "/stage unlock prod"),
    ("busy", case(busy=PROMOTION), "run 9 (promotion) holds prod", "/promote abort"),
]

# code, a case in which it is open, what is said of it
OPEN = [
    ("withdrawn", CASE, "not withdrawn"),
    ("defective", CASE, "not marked defective"),
    ("not_rehearsed", CASE, "rehearsed in run 3"),
    ("rehearsal_failed", CASE, "run 3 passed"),
    ("rehearsal_failed", case(rehearsal=None), "none yet"),
    ("rehearsal_not_clean", CASE, "nothing retried after a failure, skipped or helped along"),
    ("rehearsal_not_clean", case(rehearsal=None), "nothing retried after a failure, skipped or helped along"),
    ("rehearsal_too_old", CASE, "passed 2 h ago, at most 7 days allowed"),
    ("rehearsal_too_old", case(rehearsal=None), "none yet"),
    (
        "rehearsal_too_old",
        rehearsed(finished=at(timedelta(7))),
        "passed 7 days ago, at most 7 days allowed",
    ),
    ("plans_changed_since", CASE, "package, test plan, environment and policy are as they were rehearsed"),
    ("older_than_prod", CASE, "no later release is on prod"),
    ("same_person", CASE, "handed off by <@U01DEV>"),
    ("same_person", replace(ruled(separate_duties=False), by="U01DEV"), "handed off by <@U01DEV>"),
    ("approvals_missing", CASE, "0 of 0 needed"),
    ("frozen", CASE, "no freeze"),
    ("frozen", frozen(timedelta(0)), "no freeze"),
    ("frozen", frozen(timedelta(hours=-1)), "no freeze"),
    ("differences_open", CASE, "nothing differed that should not"),
    (
        "differences_open",
        case(differences=(difference("a", "known"), difference("b", "next sprint"))),
        "all 2 differences of the rehearsal are disposed of",
    ),
    ("prod_changed_since", CASE, "not looked at since; the promotion looks before it begins"),
    ("prod_changed_since", looked_at(), "prod's facts as of 1 h ago are those that were rehearsed against"),
    ("prod_changed_since", by_hand(timedelta(hours=4)), "not looked at since; the promotion looks before it begins"),
    ("escape_open", CASE, "no escaped defect of webshop is open"),
    ("locked", CASE, "prod is not locked"),
    ("busy", CASE, "nothing runs on prod"),
]


def gate(code: str, of: Case) -> Gate:
    (found,) = [gate for gate in gates(of) if gate.code == code]
    return found


@pytest.mark.parametrize(("code", "of", "detail", "hint"), SHUT)
def test_shut_and_what_would_open_it(code: str, of: Case, detail: str, hint: str) -> None:
    found = gate(code, of)
    assert found.shut
    assert found.detail == detail
    assert hint in found.hint


@pytest.mark.parametrize(("code", "of", "detail"), OPEN)
def test_open_and_what_was_seen(code: str, of: Case, detail: str) -> None:
    found = gate(code, of)
    assert not found.shut
    assert found.detail == detail


def test_each_gate_is_in_both_tables_and_is_the_only_one_shut_in_its_case() -> None:
    codes = [gate.code for gate in gates(CASE)]
    assert {code for code, *_ in SHUT} == {code for code, *_ in OPEN} == set(codes)
    assert len(codes) == len(set(codes))
    for code, of, *_ in SHUT:
        assert [gate.code for gate in shut(of)] == [code]


def test_what_may_be_promoted_has_no_gate_shut() -> None:
    assert shut(CASE) == ()


def approved(*given: str, **changes: Any) -> Case:
    """A policy that asks for two, and who gave theirs an hour ago."""
    hour = at(timedelta(hours=1))
    approval = Approval(
        release="R-2",
        digest=DIGEST,
        plans="plans",
        asked_by="U02ADMIN",
        at=hour,
        until="",
        given=dict.fromkeys(given, hour),
    )
    return replace(ruled(approvals=2), approval=replace(approval, **changes))


@pytest.mark.parametrize(
    ("of", "said", "shut_"),
    [
        (approved("U05OTHER"), "1 of 2 needed", True),
        (approved("U05OTHER", "U06THIRD"), "2 of 2 needed", False),
        (approved("U02ADMIN", "U05OTHER"), "1 of 2 needed; 1 do not count", True),  # who promotes
        (approved("U01DEV", "U05OTHER"), "1 of 2 needed; 1 do not count", True),  # who handed it off
        (approved("U05OTHER", "U06THIRD", digest="other bytes"), "0 of 2 needed; 2 do not count", True),
        (approved("U05OTHER", "U06THIRD", plans="before"), "0 of 2 needed; 2 do not count", True),
        (approved(given={"U05OTHER": at(timedelta(hours=25)), "U06THIRD": at(timedelta(hours=23))}), "1 of 2", True),
        (approved(refused="not on a Friday", refused_by="U06THIRD"), "refused by <@U06THIRD>: not on a Friday", True),
    ],
)
def test_whose_yes_counts(of: Case, said: str, shut_: bool) -> None:
    found = gate("approvals_missing", of)
    assert said in found.detail
    assert found.shut is shut_


def test_where_none_is_asked_for_a_no_shuts_nothing() -> None:
    of = replace(approved(refused="no", refused_by="U06THIRD"), policy=Policy())
    assert not gate("approvals_missing", of).shut


@pytest.mark.parametrize(("code", "of", "detail", "hint"), SHUT)
def test_an_emergency_opens_the_three_gates_that_it_may_and_no_other(
    code: str, of: Case, detail: str, hint: str
) -> None:
    assert {"frozen", "rehearsal_too_old", "approvals_missing"} == EMERGENCY_OPENS
    assert [gate.code for gate in shut(of, emergency=True)] == ([] if code in EMERGENCY_OPENS else [code])


THEN = {"schema db": "a", "packages web": "p", "packages web/2": "p"}


@pytest.mark.parametrize(
    ("run", "now", "warn", "expected"),
    [
        (9, THEN, (), ()),
        (9, THEN | {"schema db": "b"}, (), ("schema db",)),
        (9, THEN | {"schema db": "b", "packages web/2": "q"}, ("packages",), ("schema db",)),
        (9, THEN | {"packages web": "q", "packages web/2": "q"}, ("packages",), ()),
        (9, {"schema db": "a"}, (), ()),  # what was not asked for since has not moved
        (9, THEN | {"crontabs web": "new"}, (), ()),  # nor has what the rehearsal did not ask for
        (3, THEN | {"schema db": "b"}, (), None),  # nobody has looked since the rehearsal itself
    ],
)
def test_prod_has_moved_where_a_fact_that_blocks_is_not_what_the_rehearsal_saw(
    run: int, now: dict[str, str], warn: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    rehearsal = replace(REHEARSAL, facts={"confirm/prod": THEN})
    seen = Seen(run=run, phase="lookout", at=at(timedelta(hours=1)), digests=now)
    found = moved(rehearsal, EnvironmentState(name="prod", seen={"webshop": seen}), "webshop", warn)
    assert (None if found is None else found.facts) == expected


def test_of_a_prod_that_nobody_has_looked_at_nothing_is_said() -> None:
    assert moved(REHEARSAL, EnvironmentState(name="prod"), "webshop", ()) is None
