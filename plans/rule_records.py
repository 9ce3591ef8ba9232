"""Decides what is known of differences, waivers, inspections, reviews, approvals and escapes."""

from plans.bases import Document


class Difference(Document, frozen=True, kw_only=True):
    """Something that a run found and somebody must look at; open until `disposed` has an admin's reason."""

    run: int
    key: str
    fact: str
    host: str
    kind: str
    brief: str
    at: str
    app: str = ""
    disposed: str = ""
    disposed_by: str = ""
    disposed_at: str = ""

    @property
    def open(self) -> bool:
        return not self.disposed


class Waiver(Document, frozen=True, kw_only=True):
    """An admin's word that a fact of an environment may differ, until a time."""

    environment: str
    fact: str
    until: str
    reason: str
    by: str
    at: str


class Inspection(Document, frozen=True, kw_only=True):
    """A failed staging that may be looked at until then; `people` were let in on `hosts`, by their keys."""

    environment: str
    run: int
    until: str
    at: str
    people: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class Outside(Document, frozen=True, kw_only=True):
    """The latest change of a prod that was made by hand."""

    environment: str
    reason: str
    by: str
    at: str


class Review(Document, frozen=True, kw_only=True):
    """What somebody must still write a review of; `subject` as it is typed, `due` in UTC, ISO 8601.

    `reminded`: when it was last said that it is overdue.
    """

    subject: str
    what: str
    by: str
    at: str
    due: str
    reminded: str = ""


class Approval(Document, frozen=True, kw_only=True):
    """What further admins say to a promotion: of these bytes, with these plans (the digest of what was rehearsed).

    `asked_by` and `until`, where they were asked; `given`: who said yes, and when; `refused` the reason of who said no,
    which ends it.
    """

    release: str
    digest: str
    plans: str
    asked_by: str
    at: str
    until: str
    given: dict[str, str] = {}
    refused: str = ""
    refused_by: str = ""


class Tried(Document, frozen=True, kw_only=True):
    """What the check that names an escape said in a run; the worst of its hosts."""

    run: int
    outcome: str


class Escape(Document, frozen=True, kw_only=True):
    """A defect that slipped through. `tried`: what its check said, by release; `closed`: how it was paid back."""

    id: str
    app: str
    release: str
    text: str
    by: str
    at: str
    tried: dict[str, Tried] = {}
    closed: str = ""
    check: str = ""
    closed_on: str = ""
    closed_by: str = ""
    reason: str = ""

    @property
    def open(self) -> bool:
        return not self.closed

    def paid(self, release: str) -> bool:
        """Whether it does not stand in the way of this release: closed, or its check passed on it."""
        return not self.open or (release in self.tried and self.tried[release].outcome == "ok")


class Assigned(Document, frozen=True, kw_only=True):
    """Who is to do a manual check of a run."""

    run: int
    step: int
    to: str
    by: str
    at: str


class Report(Document, frozen=True, kw_only=True):
    """The last time that the evidence of a release was asked for: in which run's thread, and whether that was over."""

    release: str
    run: int
    over: bool


class Week(Document, frozen=True, kw_only=True):
    """The last week that was told of."""

    since: str
    until: str


class Missed(Document, frozen=True, kw_only=True):
    """A night on which an environment's restore test was not done, and why."""

    environment: str
    why: str
    at: str


class Overdue(Document, frozen=True, kw_only=True):
    """When the admins were last called because no restore test of an environment had passed."""

    environment: str
    at: str


RuleDocument = (
    Week
    | Report
    | Difference
    | Waiver
    | Inspection
    | Outside
    | Review
    | Approval
    | Escape
    | Assigned
    | Missed
    | Overdue
)

RULE_TABLES: dict[str, type[Document]] = {
    "differences": Difference,
    "waivers": Waiver,
    "inspections": Inspection,
    "outside": Outside,
    "reviews": Review,
    "approvals": Approval,
    "escapes": Escape,
    "assigned": Assigned,
    "weeks": Week,
    "reports": Report,
    "missed": Missed,
    "overdue": Overdue,
}
