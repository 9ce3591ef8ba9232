"""Decides what can happen around a deployment: differences, waivers, other hands, inspections, reviews, escapes."""

from plans.bases import Event


class DifferenceFound(Event, frozen=True, kw_only=True, tag="difference.found"):
    """What somebody must look at. `key` is what an admin types: the fact, or the fact and the host.

    `kind`: `qa` (QA has what staging lacks, or the other way round), `unlisted` (the package changed what none of its
    listed changes is about), `content` (forbidden content in what it changed), `prod` (prod is not as it was when this
    was rehearsed), `drift` (prod moved without a promotion), `undo` (the rollback does not bring back what was).
    """

    run: int
    key: str
    fact: str
    host: str
    kind: str
    brief: str
    app: str = ""


class DifferenceDisposed(Event, frozen=True, kw_only=True, tag="difference.disposed"):
    run: int
    release: str
    key: str
    reason: str


class WaiverGiven(Event, frozen=True, kw_only=True, tag="waiver.given"):
    """A fact of an environment may differ from prod until then (UTC, ISO 8601); a time that is over takes it back."""

    environment: str
    fact: str
    until: str
    reason: str


class WaiverUsed(Event, frozen=True, kw_only=True, tag="waiver.used"):
    """A run went on although this fact differed; `brief` says how."""

    run: int
    fact: str
    brief: str


class HandSeen(Event, frozen=True, kw_only=True, tag="hand.seen"):
    """Somebody else was at work on staging between snapshot and verdict: a login on a guest, or an event of vCenter.

    `at`: when, in UTC (ISO 8601), by the clock of who tells it.
    """

    run: int
    host: str
    what: str
    at: str = ""


class HandsUnknown(Event, frozen=True, kw_only=True, tag="hands.unknown"):
    """Whether anybody else was at work on a host cannot be told, and why."""

    run: int
    host: str
    why: str


class InspectionOpened(Event, frozen=True, kw_only=True, tag="inspection.opened"):
    """A failed staging may be looked at until then (UTC, ISO 8601)."""

    run: int
    environment: str
    until: str


class InspectionEntered(Event, frozen=True, kw_only=True, tag="inspection.entered"):
    """These people's public keys were put on these hosts of staging; `ways` are what they type to get in to each."""

    run: int
    environment: str
    people: tuple[str, ...]
    hosts: tuple[str, ...]
    ways: tuple[str, ...] = ()


class InspectionClosed(Event, frozen=True, kw_only=True, tag="inspection.closed"):
    run: int
    environment: str
    why: str


class ChangeOutside(Event, frozen=True, kw_only=True, tag="change.outside"):
    """A change of prod that had to be made by hand."""

    environment: str
    reason: str


class PromotionForced(Event, frozen=True, kw_only=True, tag="promotion.forced"):
    """Break-glass: these gates were shut, and an admin opened them."""

    release: str
    gates: tuple[str, ...]
    reason: str


class PromotionLeft(Event, frozen=True, kw_only=True, tag="promotion.left"):
    """An admin leaves prod as run `run`, which did not pass, has left it."""

    release: str
    run: int
    reason: str = ""


class ReviewGiven(Event, frozen=True, kw_only=True, tag="review.given"):
    """What had to be reviewed (`subject`, as R-1 or prod), and what came of it."""

    subject: str
    text: str


class ApprovalAsked(Event, frozen=True, kw_only=True, tag="approval.asked"):
    """Further admins are asked to approve these bytes with these plans; their yes counts until then (UTC, ISO 8601)."""

    release: str
    digest: str
    plans: str
    until: str


class ApprovalRefused(Event, frozen=True, kw_only=True, tag="approval.refused"):
    release: str
    reason: str


class EscapeRecorded(Event, frozen=True, kw_only=True, tag="escape.recorded"):
    """A defect that slipped through the rehearsal of a release to prod: E-1, E-2 …"""

    escape: str
    app: str
    release: str
    text: str


class EscapeTried(Event, frozen=True, kw_only=True, tag="escape.tried"):
    """The check that names an escape ran in a rehearsal of `release`; `outcome` as of any check."""

    escape: str
    run: int
    release: str
    check: str
    outcome: str


class EscapeClosed(Event, frozen=True, kw_only=True, tag="escape.closed"):
    """`how`: `check` (it passes on `release`) or `accepted` (an admin's reason)."""

    escape: str
    how: str
    release: str
    check: str
    reason: str


class ReviewReminded(Event, frozen=True, kw_only=True, tag="review.reminded"):
    """A review is overdue, and everybody was told so."""

    subject: str


class ReportAsked(Event, frozen=True, kw_only=True, tag="report.asked"):
    """The evidence of a release is wanted in the thread of this run."""

    release: str
    run: int


class WeekOver(Event, frozen=True, kw_only=True, tag="week.over"):
    """A week that is told of in the channel: from and until (UTC, ISO 8601)."""

    since: str
    until: str


class CheckAssigned(Event, frozen=True, kw_only=True, tag="check.assigned"):
    run: int
    step: int
    to: str


class RestoreTestMissed(Event, frozen=True, kw_only=True, tag="restore_test.missed"):
    """A night's restore test was not done: what was in the way all the time that it had."""

    environment: str
    why: str


class RestoreTestOverdue(Event, frozen=True, kw_only=True, tag="restore_test.overdue"):
    """No restore test has passed for longer than the policy allows: since `passed` (UTC, ISO 8601; empty where none
    ever did). `last`: what became of the latest.
    """

    environment: str
    passed: str
    last: str


class RunReminded(Event, frozen=True, kw_only=True, tag="run.reminded"):
    """People were called again to answer what a run had asked them on an earlier day."""

    run: int
    questions: tuple[int, ...]


RuleEvent = (
    DifferenceFound | DifferenceDisposed | WaiverGiven | WaiverUsed | HandSeen | HandsUnknown
    | InspectionOpened | InspectionEntered | InspectionClosed | ChangeOutside | PromotionForced | PromotionLeft
    | ReviewGiven
    | ApprovalAsked | ApprovalRefused | EscapeRecorded | EscapeTried | EscapeClosed | CheckAssigned | RunReminded
    | ReviewReminded | WeekOver | ReportAsked
    | RestoreTestMissed | RestoreTestOverdue
)  # fmt: skip
