"""Decides whether a release may be promoted: the gates, each open or shut with what would open it."""

from collections.abc import Callable, Collection
from datetime import datetime

import msgspec

from plans.environment import Policy
from plans.quantities import seconds, spell
from plans.records import EnvironmentState, Freeze, Release, Run
from plans.rule_records import Approval, Difference, Escape, Outside

EMERGENCY_OPENS = frozenset({"frozen", "rehearsal_too_old", "approvals_missing"})
"""Gates that an admin may open in an emergency, with a reason and a review afterwards; never another one."""


class Moved(msgspec.Struct, frozen=True):
    """Prod's facts as they were last seen (`at`, UTC, ISO 8601) against those that the rehearsal saw: `facts` differ.

    Only facts that block are among them.
    """

    at: str
    facts: tuple[str, ...]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """All that the gates look at. `by` wants to promote; `plans` is the digest of the rehearsal's plans as of now;
    `busy` the run that holds prod; `later` a later release of the app that is on prod; times are UTC.

    `calendar` is a freeze by the calendar that holds now: its reason and its end. `moved` is None where prod was not
    looked at since the rehearsal; `differences` are the rehearsal's, `escapes` those of the app that are open.
    """

    release: Release
    rehearsal: Run | None
    prod: EnvironmentState
    policy: Policy
    plans: str
    by: str
    now: datetime
    freeze: Freeze | None = None
    busy: Run | None = None
    later: str | None = None
    calendar: tuple[str, datetime] | None = None
    moved: Moved | None = None
    outside: Outside | None = None
    differences: tuple[Difference, ...] = ()
    escapes: tuple[Escape, ...] = ()
    approval: Approval | None = None


class Gate(msgspec.Struct, frozen=True):
    """One gate's answer: `detail` says what was seen, `hint` what would open it; open when `shut` is false."""

    code: str
    shut: bool
    detail: str
    hint: str = ""


def moved(rehearsal: Run, prod: EnvironmentState, app: str, warn: Collection[str]) -> Moved | None:
    """How prod, as it was last seen, differs from what the rehearsal's confirm saw; None where nobody looked since.

    `warn` are the names of the app's facts that may change in between.
    """
    seen, then = prod.seen.get(app), rehearsal.facts.get(f"confirm/{prod.name}", {})
    if seen is None or seen.run == rehearsal.number:
        return None
    changed = (fact for fact, digest in then.items() if seen.digests.get(fact, digest) != digest)
    return Moved(seen.at, tuple(fact for fact in changed if fact.rpartition(" ")[0] not in warn))


def gates(case: Case) -> tuple[Gate, ...]:
    """Every gate in the order in which a person would mend them."""
    return tuple(gate(case) for gate in _GATES)


def shut(case: Case, *, emergency: bool = False) -> tuple[Gate, ...]:
    """Those that are shut: none means that the release may be promoted. `emergency`: but for those that it opens."""
    opened = EMERGENCY_OPENS if emergency else frozenset()
    return tuple(gate for gate in gates(case) if gate.shut and gate.code not in opened)


def _withdrawn(case: Case) -> Gate:
    reason = case.release.withdrawn
    detail = "not withdrawn" if reason is None else f"withdrawn: {reason or 'no reason given'}"
    return Gate("withdrawn", reason is not None, detail, "Hand a new package off: /handoff")


def _defective(case: Case) -> Gate:
    reason = case.release.defective
    detail = "not marked defective" if reason is None else f"marked defective: {reason}"
    return Gate("defective", reason is not None, detail, "Hand a mended package off: /handoff")


def _not_rehearsed(case: Case) -> Gate:
    detail = "no rehearsal has passed or failed yet"
    if case.rehearsal is not None:
        detail = f"rehearsed in run {case.rehearsal.number}"
    return Gate("not_rehearsed", case.rehearsal is None, detail, f"Rehearse it: /stage run {case.release.id}")


def _rehearsal_failed(case: Case) -> Gate:
    run = case.rehearsal
    failed = run is not None and run.verdict == "failed"
    detail = f"run {run.number} {run.verdict}" + (f": {run.reason}" if run.reason else "") if run else "none yet"
    hint = f"Mend the package, hand it off and rehearse that; or rehearse this again: /stage run {case.release.id}"
    return Gate("rehearsal_failed", failed, detail, hint)


def _rehearsal_not_clean(case: Case) -> Gate:
    unclean = case.rehearsal.unclean if case.rehearsal else ()
    detail = "; ".join(unclean) or "nothing retried after a failure, skipped or helped along"
    return Gate("rehearsal_not_clean", bool(unclean), detail, f"Rehearse it unassisted: /stage run {case.release.id}")


def _rehearsal_too_old(case: Case) -> Gate:
    most = case.policy.rehearsal_max_age
    if case.rehearsal is None:
        return Gate("rehearsal_too_old", False, "none yet")
    age = (case.now - datetime.fromisoformat(case.rehearsal.finished)).total_seconds()
    detail = f"{case.rehearsal.verdict} {spell(age)} ago, at most {spell(seconds(most))} allowed"
    return Gate("rehearsal_too_old", age > seconds(most), detail, f"Rehearse it again: /stage run {case.release.id}")


def _prod_changed_since(case: Case) -> Gate:
    """Prod was changed by hand since, or looks otherwise than it did to the rehearsal."""
    hint = f"Restore prod's present state and rehearse it again: /stage run {case.release.id}"
    rehearsal, outside = case.rehearsal, case.outside
    if rehearsal is not None and outside is not None and _time(outside.at) > _time(rehearsal.at):
        detail = (
            f"{outside.environment} was changed by hand {_ago(case, outside.at)} by <@{outside.by}>: {outside.reason}"
        )
        return Gate("prod_changed_since", True, detail, hint)
    if rehearsal is None or case.moved is None:
        return Gate("prod_changed_since", False, "not looked at since; the promotion looks before it begins")
    seen = f"prod's facts as of {_ago(case, case.moved.at)}"
    if case.moved.facts:
        detail = f"{', '.join(case.moved.facts)}: {seen} are not those that were rehearsed against"
        return Gate("prod_changed_since", True, detail, hint)
    return Gate("prod_changed_since", False, f"{seen} are those that were rehearsed against")


def _differences_open(case: Case) -> Gate:
    left = [difference for difference in case.differences if difference.open]
    detail = "nothing differed that should not"
    if case.differences:
        detail = f"all {len(case.differences)} differences of the rehearsal are disposed of"
    if left:
        detail = "; ".join(difference.brief.partition("\n")[0] for difference in left)
    first = left[0].key if left else "FACT"
    hint = f"Mend the package and rehearse that; or say why it may be: /stage dispose {case.release.id} {first} REASON"
    return Gate("differences_open", bool(left), detail, hint)


def _escape_open(case: Case) -> Gate:
    detail = f"no escaped defect of {case.release.app} is open"
    if case.escapes:
        detail = "; ".join(_told(escape) for escape in case.escapes)
    first = case.escapes[0].id if case.escapes else "E-1"
    hint = (
        f"Add a check to the test plan that names it (covers: [{first}]) and rehearse; "
        f"or accept it: /promote accept {first} REASON"
    )
    return Gate("escape_open", bool(case.escapes), detail, hint)


def _told(escape: Escape) -> str:
    said = f"{escape.id}, from {escape.release}: {escape.text}"
    tried = ", ".join(f"{each.outcome} on {release}" for release, each in escape.tried.items())
    return said + (f" (“{escape.check}”: {tried})" if tried else "")


def _ago(case: Case, at: str) -> str:
    return f"{spell(max(0.0, (case.now - _time(at)).total_seconds()))} ago"


def _time(at: str) -> datetime:
    return datetime.fromisoformat(at)


def _plans_changed_since(case: Case) -> Gate:
    changed = case.rehearsal is not None and case.rehearsal.plans != case.plans
    detail = "package, test plan, environment and policy are as they were rehearsed"
    if changed:
        detail = "the test plan, the environment or the policy is not what it was when this was rehearsed"
    return Gate("plans_changed_since", changed, detail, f"Rehearse it again: /stage run {case.release.id}")


def _older_than_prod(case: Case) -> Gate:
    detail = "no later release is on prod" if case.later is None else f"{case.later} is on prod, which is later"
    return Gate("older_than_prod", case.later is not None, detail, f"The way back is /promote rollback {case.later}")


def _same_person(case: Case) -> Gate:
    same = case.policy.separate_duties and case.by == case.release.by
    detail = f"handed off by <@{case.release.by}>"
    return Gate("same_person", same, detail, "Another admin must promote what you handed off.")


def counted(approval: Approval | None, release: Release, plans: str, policy: Policy, now: datetime) -> tuple[str, ...]:
    """Whose approvals hold now: of these bytes and plans, not expired, not by who handed it off; none once refused."""
    if approval is None or approval.refused or (approval.digest, approval.plans) != (release.digest, plans):
        return ()
    lasts = seconds(policy.approvals_expire)
    given = approval.given.items()
    young = (who for who, at in given if (now - _time(at)).total_seconds() < lasts)
    return tuple(who for who in young if who != release.by)


def _approvals_missing(case: Case) -> Gate:
    approval, policy = case.approval, case.policy
    hint = f"Further admins type /promote approve {case.release.id}"
    if policy.approvals and approval is not None and approval.refused:
        detail = f"refused by <@{approval.refused_by}>: {approval.refused}"
        return Gate("approvals_missing", True, detail, f"Talk about it; then ask anew: /promote {case.release.id}")
    holding = [who for who in counted(approval, case.release, case.plans, policy, case.now) if who != case.by]
    detail = f"{len(holding)} of {policy.approvals} needed"
    void = len(approval.given) - len(holding) if approval is not None else 0
    if void > 0:
        detail += f"; {void} do not count (expired, something was changed since, or of who hands off or promotes)"
    return Gate("approvals_missing", policy.approvals > len(holding), detail, hint)


def _frozen(case: Case) -> Gate:
    freeze = case.freeze
    over = freeze is None or (freeze.until is not None and datetime.fromisoformat(freeze.until) <= case.now)
    detail = "no freeze"
    if freeze is not None and not over:
        detail = f"frozen {'until ' + freeze.until if freeze.until else 'until lifted'}: {freeze.reason}"
    elif case.calendar is not None:
        reason, until = case.calendar
        detail = f"frozen by the calendar until {until.isoformat()}: {reason}"
        return Gate("frozen", True, detail, "Wait for its end; the calendar is policy.freezes in the configuration")
    return Gate("frozen", not over, detail, "Wait for its end, or an admin types /promote unfreeze")


def _locked(case: Case) -> Gate:
    reason = case.prod.locked
    detail = f"{case.prod.name} is not locked" if reason is None else f"{case.prod.name} is locked: {reason}"
    return Gate("locked", reason is not None, detail, f"An admin types /stage unlock {case.prod.name}")


def _busy(case: Case) -> Gate:
    run = case.busy
    detail = f"nothing runs on {case.prod.name}" if run is None else f"run {run.number} ({run.kind}) holds prod"
    return Gate("busy", run is not None, detail, "Wait for its end, or stop it: /promote abort")


_GATES: tuple[Callable[[Case], Gate], ...] = (
    _withdrawn,
    _defective,
    _not_rehearsed,
    _rehearsal_failed,
    _rehearsal_not_clean,
    _rehearsal_too_old,
    _differences_open,
    _plans_changed_since,
    _prod_changed_since,
    _older_than_prod,
    _escape_open,
    _same_person,
    _approvals_missing,
    _frozen,
    _locked,
    _busy,
)
