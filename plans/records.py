"""Decides what is known of releases, runs and environments: the documents that the ledger folds into."""

from datetime import datetime

from plans.bases import Document
from plans.rule_records import RULE_TABLES, RuleDocument

WAYS_BACK = frozenset({"rollback", "revert"})
"""Kinds of runs that take a release off its prod again."""

CHANGE_PROD = WAYS_BACK | {"promotion"}
"""Kinds of runs that change a prod."""

TOUCHES_PROD = frozenset({"deploy", "rollback", "revert"})
"""Phases from whose beginning on nobody knows what prod is, until its facts are written down again."""


class Release(Document, frozen=True, kw_only=True):
    """A package that was handed off. `rehearsal` is the latest run of it that counts (passed or failed)."""

    id: str
    app: str
    version: str
    digest: str
    bytes: int
    source: str
    by: str
    at: str
    summary: str = ""
    notes: str = ""
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    withdrawn: str | None = None
    defective: str | None = None
    rehearsal: int | None = None
    promotion: int | None = None
    scheduled: str | None = None
    scheduled_by: str = ""
    messages: dict[str, str] = {}

    @property
    def number(self) -> int:
        return int(self.id.removeprefix("R-"))


class HostStep(Document, frozen=True, kw_only=True):
    """A step on one host: the latest attempt. `outcome` is empty while it is under way.

    `jobs`: its commands that are known to have begun on the host; `interrupted`: nobody can know how it ended.
    """

    attempt: int
    started: str
    outcome: str = ""
    exit: int | None = None
    seconds: float = 0.0
    log: str = ""
    reason: str = ""
    again: bool = False
    jobs: tuple[str, ...] = ()
    interrupted: bool = False


class StepRecord(Document, frozen=True, kw_only=True):
    """What happened of a step so far; `hosts` by name, the empty name where the step has no host."""

    number: int
    phase: str
    name: str
    written: bool
    of: int
    hosts: dict[str, HostStep] = {}

    @property
    def outcome(self) -> str:
        """The worst of the hosts' outcomes; empty while one is under way or has not begun."""
        outcomes = [h.outcome for h in self.hosts.values() if not h.again]
        for bad in ("errored", "failed", "aborted"):
            if bad in outcomes:
                return bad
        if len(outcomes) < self.of or "" in outcomes:
            return ""
        return "skipped" if "skipped" in outcomes else "ok"

    @property
    def attempt(self) -> int:
        return max((h.attempt for h in self.hosts.values()), default=1)

    @property
    def shown_logs(self) -> tuple[tuple[str, HostStep], ...]:
        """The hosts whose whole output the channel is shown: where it failed or errored, a few of many."""
        bad = [(name, h) for name, h in self.hosts.items() if h.outcome in ("failed", "errored") and h.log]
        return tuple(bad[:3])


CHECKED = ("pass", "fail")
"""The answers to a manual check: several of those may be open at once, as one list."""


class Question(Document, frozen=True, kw_only=True):
    """What a run waits for somebody to answer. `number` counts the questions of the run; `among` is that of the first
    question of its list, in whose message it is asked: its own, unless it is a manual check that came to an open one.
    """

    number: int
    step: int
    host: str | None
    why: str
    choices: tuple[str, ...]
    role: str
    at: str
    among: int = 0


class Answered(Document, frozen=True, kw_only=True):
    choice: str
    note: str
    by: str
    at: str
    question: int


class Measured(Document, frozen=True, kw_only=True):
    """A restore step on a host: `seconds` that it took, and how old its artifact was by then, where that is known."""

    name: str
    host: str
    seconds: float
    artifact_age: float | None


class Kept(Document, frozen=True, kw_only=True):
    """A snapshot of ours. `restored`: when what it holds was restored, by which run, by which steps (their digest)."""

    run: int
    reference: str
    name: str
    at: str
    restored: str = ""
    restored_by: int = 0
    recipe: str = ""


class Run(Document, frozen=True, kw_only=True):
    """One run. `unclean` says why it is not clean; `hands` are those of it that were somebody else's on staging;
    `verdict` is empty while it goes on.

    `forgiven`: what had failed and was retried or skipped; where the run is stopped after that, it counts again.
    `isolation` is the worst verdict on it so far, and `doubts` what could only be attested to.
    `restored`: when the data that it stands on was restored, by the run `restored_by`; `restores` are its own.
    `forced` are the gates that an emergency opened for it; all others were open. `waived` are the facts that may differ
    in it and `paid` the escaped defects that its release pays back, each as of when it was started.
    `at` is when somebody started it, `began` when it had to wait for nothing any more. `outline`: of the plan that its
    steps are of.
    `restarts`: why it started over, each time. Its steps are those since then; `spent` are the attempts that each step,
    by its number, had before, and `own` the run's own snapshots that it went back to, by host.
    `late`: by how many seconds a mark of the watch came late. `facts`: by "phase/environment", the digest of each fact
    that was collected there, by "fact host"; of a run without an app by "phase/environment/app".
    `quiet`: the channel is not told of it until there is something to tell. `left_by`: who leaves prod as a promotion
    left it that did not pass, and `left` why.
    `open` are those of its `questions` that wait for an answer; `reminded` is when people were last reminded of them.
    """

    number: int
    kind: str
    release: str | None
    app: str
    environment: str
    plans: str
    by: str
    at: str
    began: str = ""
    machines: tuple[str, ...] = ()
    total: int = 0
    cautions: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    waived: tuple[str, ...] = ()
    paid: tuple[tuple[str, str], ...] = ()
    phase: str = ""
    steps: dict[int, StepRecord] = {}
    outline: str = ""
    questions: tuple[Question, ...] = ()
    open: tuple[Question, ...] = ()
    answers: dict[int, Answered] = {}
    answered: tuple[Answered, ...] = ()
    unclean: tuple[str, ...] = ()
    hands: tuple[str, ...] = ()
    forgiven: tuple[str, ...] = ()
    aborting: str = ""
    aborted_by: str = ""
    isolation: str = ""
    doubts: tuple[str, ...] = ()
    restored: str = ""
    restored_by: int = 0
    restores: tuple[Measured, ...] = ()
    marks: dict[str, bool] = {}
    late: dict[str, float] = {}
    restarts: tuple[str, ...] = ()
    spent: dict[int, int] = {}
    own: dict[str, Kept] = {}
    facts: dict[str, dict[str, str]] = {}
    quiet: bool = False
    reminded: str = ""
    verdict: str = ""
    reason: str = ""
    finished: str = ""
    left: str = ""
    left_by: str = ""
    messages: dict[str, str] = {}

    @property
    def active(self) -> bool:
        return not self.verdict

    @property
    def question(self) -> Question | None:
        """The first of those that are open."""
        return self.open[0] if self.open else None

    def asked(self, number: int) -> tuple[Question, ...]:
        """The list of questions that begins with that one."""
        return tuple(question for question in self.questions if question.among == number)

    @property
    def begun(self) -> bool:
        """Whether any of its steps was ever begun."""
        return bool(self.steps or self.restarts)

    @property
    def touched(self) -> bool:
        """Whether it has begun to change its environment."""
        return any(step.phase in TOUCHES_PROD for step in self.steps.values())

    @property
    def holds(self) -> bool:
        """Whether others must wait for its environment and machines: a watch holds nothing, a lookout gives way."""
        return self.active and self.phase != "watch" and self.kind != "lookout"

    @property
    def clean(self) -> bool:
        return not self.unclean

    def collected(self, phase: str, environment: str, app: str) -> dict[str, str]:
        """The digest of each of an app's facts as it was collected there, by "fact host"."""
        return self.facts.get(facts_of(self.app, phase, environment, app), {})


def facts_of(app: str, phase: str, environment: str, about: str) -> str:
    """Where a run of `app`, or of none, keeps what it collected there about an app."""
    return f"{phase}/{environment}" if about in (app, "") else f"{phase}/{environment}/{about}"


class Attested(Document, frozen=True, kw_only=True):
    """An admin's word that an environment is cut off, where vCenter cannot tell: `covers` are the doubts it settles.

    `digest` is that of the environment's configuration at that time.
    """

    by: str
    at: str
    reason: str
    covers: tuple[str, ...]
    digest: str


class Seen(Document, frozen=True, kw_only=True):
    """An app's facts as a run saw them: the digest of each, by "fact host"."""

    run: int
    phase: str
    at: str
    digests: dict[str, str]


class EnvironmentState(Document, frozen=True, kw_only=True):
    """What is known of an environment. `deployed`: app to the releases put on it, the present one last.

    `snapshots` are ours that stand, by host; `removed` those that a run took away which still goes on, by that run: its
    plan was made with them, and stays what it was. `seen`: each app's facts as they were last seen; `settled`: as they
    were after its last promotion or rollback, or since then when the first lookout wrote them down.
    """

    name: str
    locked: str | None = None
    locked_by: str = ""
    attested: Attested | None = None
    snapshots: dict[str, tuple[Kept, ...]] = {}
    removed: dict[int, dict[str, tuple[Kept, ...]]] = {}
    deployed: dict[str, tuple[str, ...]] = {}
    inspection: int | None = None
    seen: dict[str, Seen] = {}
    settled: dict[str, Seen] = {}


class Freeze(Document, frozen=True, kw_only=True):
    """The freeze by command: `until` ISO 8601 UTC, None until it is lifted."""

    until: str | None
    reason: str
    by: str
    at: str


class Loaded(Document, frozen=True, kw_only=True):
    """The configuration that the bot last started with; `at`: when it first did (UTC, ISO 8601)."""

    digest: str
    at: str
    keys: dict[str, str] = {}

    def by(self, time: datetime) -> bool:
        """Whether it was in force then."""
        return datetime.fromisoformat(self.at) <= time


class Due(Document, frozen=True, kw_only=True):
    """A message that the ledger calls for and that Slack was not told yet; `seq` is the record that calls for it."""

    key: str
    seq: int


AnyDocument = Release | Run | EnvironmentState | Freeze | Loaded | Due | RuleDocument
Key = tuple[str, str]
"""A document's table and its name there: ("releases", "R-1"), ("runs", "3"), ("outbox", "run/3/end")."""

TABLES: dict[str, type[Document]] = {
    "releases": Release,
    "runs": Run,
    "environments": EnvironmentState,
    "freezes": Freeze,
    "configs": Loaded,
    "outbox": Due,
    **RULE_TABLES,
}
