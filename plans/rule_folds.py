"""Decides how the records around a deployment change the documents, and what the channel is to be told of them."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from plans import rule_events as e
from plans.events import ApprovalGiven, Entry
from plans.folds import Changes, Documents, Fold, change_environment, change_run, due, notice, run
from plans.rule_records import (
    Approval,
    Assigned,
    Difference,
    Escape,
    Inspection,
    Missed,
    Outside,
    Overdue,
    Report,
    Review,
    Tried,
    Waiver,
    Week,
)

REVIEWED_WITHIN = timedelta(days=2)
"""In which what was done past the rules must have its written review."""


def _difference_found(documents: Documents, entry: Entry, event: e.DifferenceFound) -> Changes:
    found = Difference(
        run=event.run,
        key=event.key,
        fact=event.fact,
        host=event.host,
        kind=event.kind,
        brief=event.brief,
        at=entry.at,
        app=event.app,
    )
    of = run(documents, event.run)
    changes: Changes = {("differences", f"{event.run}/{event.key}"): found}
    if of is not None and of.quiet:
        changes |= change_run(documents, event.run, quiet=False) | due(entry, f"run/{event.run}")
    return changes | due(entry, f"run/{event.run}/difference/{event.key}", of)


def _difference_disposed(documents: Documents, entry: Entry, event: e.DifferenceDisposed) -> Changes:
    key = ("differences", f"{event.run}/{event.key}")
    found = documents.get(key)
    if not isinstance(found, Difference):
        return {}
    disposed = replace(found, disposed=event.reason, disposed_by=entry.by, disposed_at=entry.at)
    return {key: disposed} | notice(entry)


def _waiver_given(documents: Documents, entry: Entry, event: e.WaiverGiven) -> Changes:
    waiver = Waiver(
        environment=event.environment,
        fact=event.fact,
        until=event.until,
        reason=event.reason,
        by=entry.by,
        at=entry.at,
    )
    return {("waivers", f"{event.environment}/{event.fact}"): waiver} | notice(entry)


def _waiver_used(documents: Documents, entry: Entry, event: e.WaiverUsed) -> Changes:
    found, waiver = run(documents, event.run), None
    if found is not None:
        waiver = documents.get(("waivers", f"{found.environment}/{event.fact}"))
    if found is None or not isinstance(waiver, Waiver):
        return {}
    said = f"{event.fact} differs from prod, waived by <@{waiver.by}> until {waiver.until[:10]}: {waiver.reason}"
    return {} if said in found.cautions else change_run(documents, event.run, cautions=(*found.cautions, said))


def _hand_seen(documents: Documents, entry: Entry, event: e.HandSeen) -> Changes:
    found = run(documents, event.run)
    said = f"a hand on {event.host}: {event.what}"
    if found is None or said in found.unclean:
        return {}
    changes = change_run(documents, event.run, unclean=(*found.unclean, said), hands=(*found.hands, said))
    return changes | due(entry, f"run/{event.run}/hands", found)


def _hands_unknown(documents: Documents, entry: Entry, event: e.HandsUnknown) -> Changes:
    found = run(documents, event.run)
    said = f"whether anybody else was at work on {event.host} is not known: {event.why}"
    if found is None or said in found.cautions:
        return {}
    return change_run(documents, event.run, cautions=(*found.cautions, said))


def _inspection_opened(documents: Documents, entry: Entry, event: e.InspectionOpened) -> Changes:
    opened = Inspection(environment=event.environment, run=event.run, until=event.until, at=entry.at)
    bundle = due(entry, f"run/{event.run}/end/log/1", run(documents, event.run))
    return {("inspections", event.environment): opened} | bundle


def _inspection_entered(documents: Documents, entry: Entry, event: e.InspectionEntered) -> Changes:
    key = ("inspections", event.environment)
    found = documents.get(key)
    if not isinstance(found, Inspection) or found.run != event.run:
        return {}
    people = tuple(dict.fromkeys((*found.people, *event.people)))
    hosts = tuple(dict.fromkeys((*found.hosts, *event.hosts)))
    told = due(entry, f"run/{event.run}/visit/{entry.seq}")
    return {key: replace(found, people=people, hosts=hosts)} | told


def _inspection_closed(documents: Documents, entry: Entry, event: e.InspectionClosed) -> Changes:
    key = ("inspections", event.environment)
    found = documents.get(key)
    return {key: None} if isinstance(found, Inspection) and found.run == event.run else {}


def _change_outside(documents: Documents, entry: Entry, event: e.ChangeOutside) -> Changes:
    outside = Outside(environment=event.environment, reason=event.reason, by=entry.by, at=entry.at)
    what = f"{event.environment} was changed by hand: {event.reason}"
    changes: Changes = {("outside", event.environment): outside}
    changes |= change_environment(documents, event.environment, settled={})
    return changes | _to_review(entry, event.environment, what) | notice(entry)


def _promotion_forced(documents: Documents, entry: Entry, event: e.PromotionForced) -> Changes:
    return _to_review(entry, event.release, forced(event)) | notice(entry)


def forced(event: e.PromotionForced) -> str:
    """What must be reviewed of an emergency."""
    return f"{event.release} was promoted past {', '.join(event.gates)}: {event.reason}"


def _promotion_left(documents: Documents, entry: Entry, event: e.PromotionLeft) -> Changes:
    if run(documents, event.run) is None:
        return {}
    return change_run(documents, event.run, left=event.reason, left_by=entry.by) | notice(entry)


def _to_review(entry: Entry, subject: str, what: str) -> Changes:
    by_then = (datetime.fromisoformat(entry.at) + REVIEWED_WITHIN).isoformat()
    return {("reviews", subject): Review(subject=subject, what=what, by=entry.by, at=entry.at, due=by_then)}


def _review_given(documents: Documents, entry: Entry, event: e.ReviewGiven) -> Changes:
    known = ("reviews", event.subject) in documents
    return {("reviews", event.subject): None} | notice(entry) if known else {}


def _approval_asked(documents: Documents, entry: Entry, event: e.ApprovalAsked) -> Changes:
    key = ("approvals", event.release)
    before = documents.get(key)
    same = isinstance(before, Approval) and (before.digest, before.plans) == (event.digest, event.plans)
    given = before.given if isinstance(before, Approval) and same else {}
    asked = Approval(
        release=event.release,
        digest=event.digest,
        plans=event.plans,
        asked_by=entry.by,
        at=entry.at,
        until=event.until,
        given=given,
    )
    return {key: asked} | notice(entry)


def _approval_given(documents: Documents, entry: Entry, event: ApprovalGiven) -> Changes:
    key = ("approvals", event.release)
    found = documents.get(key)
    same = isinstance(found, Approval) and (found.digest, found.plans) == (event.digest, event.plans)
    if not isinstance(found, Approval) or not same or found.refused:
        found = Approval(
            release=event.release, digest=event.digest, plans=event.plans, asked_by="", at=entry.at, until=""
        )
    return {key: replace(found, given=found.given | {entry.by: entry.at})} | notice(entry)


def _approval_refused(documents: Documents, entry: Entry, event: e.ApprovalRefused) -> Changes:
    key = ("approvals", event.release)
    found = documents.get(key)
    if not isinstance(found, Approval):
        found = Approval(release=event.release, digest="", plans="", asked_by="", at=entry.at, until="")
    return {key: replace(found, given={}, refused=event.reason, refused_by=entry.by)} | notice(entry)


def _escape_recorded(documents: Documents, entry: Entry, event: e.EscapeRecorded) -> Changes:
    escape = Escape(id=event.escape, app=event.app, release=event.release, text=event.text, by=entry.by, at=entry.at)
    return {("escapes", event.escape): escape} | notice(entry)


def _escape_tried(documents: Documents, entry: Entry, event: e.EscapeTried) -> Changes:
    key = ("escapes", event.escape)
    found = documents.get(key)
    if not isinstance(found, Escape):
        return {}
    before = found.tried.get(event.release)
    if before is not None and before.run == event.run and before.outcome != "ok":
        return {}
    tried = Tried(run=event.run, outcome=event.outcome)
    return {key: replace(found, tried=found.tried | {event.release: tried}, check=event.check)}


def _escape_closed(documents: Documents, entry: Entry, event: e.EscapeClosed) -> Changes:
    key = ("escapes", event.escape)
    found = documents.get(key)
    if not isinstance(found, Escape) or not found.open:
        return {}
    closed = replace(
        found,
        closed=event.how,
        check=event.check or found.check,
        closed_on=event.release,
        closed_by=entry.by,
        reason=event.reason,
    )
    return {key: closed} | notice(entry)


def _review_reminded(documents: Documents, entry: Entry, event: e.ReviewReminded) -> Changes:
    key = ("reviews", event.subject)
    found = documents.get(key)
    if not isinstance(found, Review):
        return {}
    return {key: replace(found, reminded=entry.at), **notice(entry)}


def _week_over(documents: Documents, entry: Entry, event: e.WeekOver) -> Changes:
    week = Week(since=event.since, until=event.until)
    key = f"digest/{entry.seq}"
    return {("weeks", "last"): week} | due(entry, key) | due(entry, f"{key}/log/1")


def _report_asked(documents: Documents, entry: Entry, event: e.ReportAsked) -> Changes:
    found = run(documents, event.run)
    report = Report(release=event.release, run=event.run, over=found is not None and not found.active)
    return {("reports", event.release): report} | due(entry, f"run/{event.run}/report/{entry.seq}/log/1")


def _check_assigned(documents: Documents, entry: Entry, event: e.CheckAssigned) -> Changes:
    assigned = Assigned(run=event.run, step=event.step, to=event.to, by=entry.by, at=entry.at)
    told = due(entry, f"run/{event.run}/assigned/{entry.seq}")
    return {("assigned", f"{event.run}/{event.step}"): assigned} | told


def _run_reminded(documents: Documents, entry: Entry, event: e.RunReminded) -> Changes:
    if run(documents, event.run) is None:
        return {}
    told = due(entry, f"run/{event.run}/reminder/{entry.seq}")
    return change_run(documents, event.run, reminded=entry.at) | told


def _restore_test_missed(documents: Documents, entry: Entry, event: e.RestoreTestMissed) -> Changes:
    missed = Missed(environment=event.environment, why=event.why, at=entry.at)
    return {("missed", f"{event.environment}/{entry.seq}"): missed}


def _restore_test_overdue(documents: Documents, entry: Entry, event: e.RestoreTestOverdue) -> Changes:
    return {("overdue", event.environment): Overdue(environment=event.environment, at=entry.at)} | notice(entry)


FOLDS: dict[type[Any], Fold] = {
    e.DifferenceFound: _difference_found,
    e.DifferenceDisposed: _difference_disposed,
    e.WaiverGiven: _waiver_given,
    e.WaiverUsed: _waiver_used,
    e.HandSeen: _hand_seen,
    e.HandsUnknown: _hands_unknown,
    e.InspectionOpened: _inspection_opened,
    e.InspectionEntered: _inspection_entered,
    e.InspectionClosed: _inspection_closed,
    e.ChangeOutside: _change_outside,
    e.PromotionForced: _promotion_forced,
    e.PromotionLeft: _promotion_left,
    e.ReviewGiven: _review_given,
    e.ApprovalAsked: _approval_asked,
    ApprovalGiven: _approval_given,
    e.ApprovalRefused: _approval_refused,
    e.EscapeRecorded: _escape_recorded,
    e.EscapeTried: _escape_tried,
    e.EscapeClosed: _escape_closed,
    e.CheckAssigned: _check_assigned,
    e.RunReminded: _run_reminded,
    e.ReviewReminded: _review_reminded,
    e.WeekOver: _week_over,
    e.ReportAsked: _report_asked,
    e.RestoreTestMissed: _restore_test_missed,
    e.RestoreTestOverdue: _restore_test_overdue,
}
