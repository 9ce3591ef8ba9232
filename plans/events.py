"""Decides what can happen: every type of ledger record, with the data it carries."""

import msgspec

from plans.bases import Event
from plans.rule_events import RuleEvent


class ConfigLoaded(Event, frozen=True, kw_only=True, tag="config.loaded"):
    digest: str
    changed: tuple[str, ...]
    keys: dict[str, str] = {}


class PackageHandedOff(Event, frozen=True, kw_only=True, tag="package.handed_off"):
    release: str
    app: str
    version: str
    digest: str
    bytes: int
    source: str
    summary: str = ""
    changes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: str = ""


class PackageRefused(Event, frozen=True, kw_only=True, tag="package.refused"):
    source: str
    findings: tuple[str, ...]


class ReleaseWithdrawn(Event, frozen=True, kw_only=True, tag="release.withdrawn"):
    release: str
    reason: str


class ReleaseDefective(Event, frozen=True, kw_only=True, tag="release.defective"):
    release: str
    reason: str


class AccessDenied(Event, frozen=True, kw_only=True, tag="access.denied"):
    command: str
    role: str


class CtlUsed(Event, frozen=True, kw_only=True, tag="ctl.used"):
    """An admin typed `command` on the bot's own host as its user `user`: what follows by them may come of that."""

    user: str
    command: str


class RunStarted(Event, frozen=True, kw_only=True, tag="run.started"):
    """`machines` are the identities that the run holds; `total` the number of its steps; `cautions` what weakens it.

    `forced`: the gates that an emergency opened for it; all others were open. `waived`: the facts that may differ from
    prod's in it; `paid`: the escaped defects that its release pays back, each with the check that names it.
    """

    run: int
    kind: str
    release: str | None
    environment: str
    plans: str
    app: str = ""
    machines: tuple[str, ...] = ()
    total: int = 0
    cautions: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    waived: tuple[str, ...] = ()
    paid: tuple[tuple[str, str], ...] = ()


class RunAborting(Event, frozen=True, kw_only=True, tag="run.aborting"):
    run: int
    now: bool


class RunBegan(Event, frozen=True, kw_only=True, tag="run.began"):
    """What it had to wait for is free: from here on its plan stays what it is."""

    run: int


class RunRestarted(Event, frozen=True, kw_only=True, tag="run.restarted"):
    """A run of staging starts over by itself, from its snapshot; `why`: what was interrupted, what the host says."""

    run: int
    why: str


class StepStarted(Event, frozen=True, kw_only=True, tag="step.started"):
    """`outline`: that of the plan which the step is one of (plans/phases.py)."""

    run: int
    phase: str
    step: int
    name: str
    host: str | None
    attempt: int
    written: bool = False
    of: int = 1
    outline: str = ""


class JobStarted(Event, frozen=True, kw_only=True, tag="job.started"):
    """A command that may not be run twice has begun on its host: where nothing is left of it, it is not begun anew."""

    run: int
    step: int
    host: str | None
    attempt: int
    job: str


class StepFinished(Event, frozen=True, kw_only=True, tag="step.finished"):
    """`interrupted`: Quarterdeck was off while it ran, and nobody can know how it ended."""

    run: int
    step: int
    host: str | None
    attempt: int
    outcome: str
    exit: int | None
    seconds: float
    log: str
    reason: str = ""
    interrupted: bool = False


class RunPaused(Event, frozen=True, kw_only=True, tag="run.paused"):
    run: int
    step: int
    why: str
    question: int = 0
    host: str | None = None
    choices: tuple[str, ...] = ()
    role: str = "admins"


class RunDecided(Event, frozen=True, kw_only=True, tag="run.decided"):
    """`question`: the number of the one that it answers; 0 is the step's."""

    run: int
    step: int
    choice: str
    note: str = ""
    question: int = 0


class RunFinished(Event, frozen=True, kw_only=True, tag="run.finished"):
    run: int
    verdict: str
    clean: bool
    reason: str


class PromotionRefused(Event, frozen=True, kw_only=True, tag="promotion.refused"):
    release: str
    gates: tuple[str, ...]


class PromotionScheduled(Event, frozen=True, kw_only=True, tag="promotion.scheduled"):
    release: str
    at: str


class PromotionUnscheduled(Event, frozen=True, kw_only=True, tag="promotion.unscheduled"):
    """`asked`: who had scheduled it and must see to it now; empty where somebody took it back."""

    release: str
    at: str
    reason: str = ""
    asked: str = ""


class SnapshotTaken(Event, frozen=True, kw_only=True, tag="snapshot.taken"):
    """`recipe`: the digest of the steps that restored what it holds."""

    run: int
    host: str
    snapshot: str
    environment: str = ""
    name: str = ""
    recipe: str = ""


class SnapshotRemoved(Event, frozen=True, kw_only=True, tag="snapshot.removed"):
    run: int
    host: str
    snapshot: str
    environment: str = ""


class RestoreMeasured(Event, frozen=True, kw_only=True, tag="restore.measured"):
    """One restore step on one host: how old what it restored was by then, where that is known, and what it took."""

    run: int
    host: str
    artifact_age_seconds: float | None
    seconds: float
    name: str = ""


class RestoreReused(Event, frozen=True, kw_only=True, tag="restore.reused"):
    """The run stands on an earlier restore: that which run `of` had ended at `restored`."""

    run: int
    of: int
    restored: str


class MachineReplaced(Event, frozen=True, kw_only=True, tag="machine.replaced"):
    """A clone has taken a machine's place: the runs that hold the old one's identity hold the new one's too."""

    run: int
    environment: str
    host: str
    old: str
    new: str


class FactsCollected(Event, frozen=True, kw_only=True, tag="facts.collected"):
    """`digests`: by "fact host"; the text of each is in the logs under its digest."""

    run: int
    environment: str
    digests: dict[str, str]
    log: str
    app: str = ""


class IsolationJudged(Event, frozen=True, kw_only=True, tag="isolation.judged"):
    """`doubts`: those of the evidence that only an admin's word can settle, settled or not."""

    run: int
    verdict: str
    evidence: tuple[str, ...]
    doubts: tuple[str, ...] = ()


class IsolationAttested(Event, frozen=True, kw_only=True, tag="isolation.attested"):
    """`covers`: the doubts that it settles; `digest`: of the environment's configuration, for which it is given."""

    environment: str
    reason: str
    covers: tuple[str, ...] = ()
    digest: str = ""


class MessagePosted(Event, frozen=True, kw_only=True, tag="message.posted"):
    """`ts`: the message's; of a step's whole output (`…/log/1`), for whose own Slack gives none, that of the step's."""

    key: str
    channel: str
    ts: str


class EnvironmentLocked(Event, frozen=True, kw_only=True, tag="environment.locked"):
    environment: str
    reason: str


class EnvironmentUnlocked(Event, frozen=True, kw_only=True, tag="environment.unlocked"):
    environment: str
    reason: str = ""


class FreezeSet(Event, frozen=True, kw_only=True, tag="freeze.set"):
    until: str | None
    reason: str


class FreezeLifted(Event, frozen=True, kw_only=True, tag="freeze.lifted"):
    until: str | None = None
    reason: str = ""


class ApprovalGiven(Event, frozen=True, kw_only=True, tag="approval.given"):
    """`plans`: the digest of what was rehearsed, as it was then: an approval is of nothing else."""

    release: str
    digest: str
    plans: str = ""


class WatchChecked(Event, frozen=True, kw_only=True, tag="watch.checked"):
    """`late`: seconds by which the mark's checks began after their time, because the bot was off then."""

    run: int
    mark: str
    ok: bool
    late: float = 0.0


AnyEvent = (
    ConfigLoaded | PackageHandedOff | PackageRefused | ReleaseWithdrawn | ReleaseDefective | AccessDenied | CtlUsed
    | RunStarted | RunBegan | RunAborting | RunRestarted | RunPaused | RunDecided | RunFinished
    | StepStarted | JobStarted | StepFinished
    | PromotionRefused | PromotionScheduled | PromotionUnscheduled | SnapshotTaken | SnapshotRemoved
    | RestoreMeasured | RestoreReused | MachineReplaced
    | FactsCollected | IsolationJudged | IsolationAttested | MessagePosted | EnvironmentLocked | EnvironmentUnlocked
    | FreezeSet | FreezeLifted | ApprovalGiven | WatchChecked
    | RuleEvent
)  # fmt: skip


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger: `at` is UTC, ISO 8601 with milliseconds; `hash` is SHA-256 in hex (CONTRACT.md, 7)."""

    seq: int
    at: str
    by: str
    event: AnyEvent
    prev: str
    hash: str
