"""Decides what a step may ask of the world: actions as data, and the outcome that comes back."""

from typing import Any, Literal

import msgspec

from plans.events import AnyEvent

Result = Literal["ok", "failed", "errored", "skipped", "aborted"]
"""`failed`: a known exit code or answer that is not the wanted one. `errored`: the machinery, or an unknown outcome."""


class At(msgspec.Struct, frozen=True):
    """A host of an environment, by its name there: `web`, `web/2`, or `runner` (the bot's own machine)."""

    environment: str
    host: str

    def __str__(self) -> str:
        return f"{self.environment} {self.host}"


class Outcome(msgspec.Struct, frozen=True):
    """How an action or a step ended.

    `exit` is the remote exit code where one is known; `output` the first bytes of standard output, as text (`keep` of
    Shell says how many), and `cut` whether there were more; `reason` one sentence for people where the result is not
    ok; `value` what a machine action found. `overdue` is true where a command is past its time and was left running,
    because somebody must be asked first; `unknown` where a command has begun and nobody can tell how it ended. `began`
    and `ended` are Unix times by the bot's clock: when the step began on that machine, and when this action of it had
    ended.
    """

    result: Result
    exit: int | None = None
    output: str = ""
    reason: str = ""
    value: Any = None
    overdue: bool = False
    unknown: bool = False
    cut: bool = False
    began: float = 0.0
    ended: float = 0.0

    @property
    def ok(self) -> bool:
        return self.result == "ok"


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """Run `command` under /bin/sh -c (or PowerShell where the host says so) as a job that outlives its connection.

    `cwd` None is the login directory; a relative one is relative to it. `timeout` in seconds: past it the job is
    stopped and has failed, or, with `ask_when_overdue`, is left running and reported overdue. `keep`: the bytes of
    standard output that the outcome brings back.
    """

    at: At
    command: str
    cwd: str | None = None
    env: dict[str, str] = {}
    timeout: float = 600.0
    ask_when_overdue: bool = False
    keep: int = 64 * 1024


class Together(msgspec.Struct, frozen=True):
    """Run these commands at once: the value is the tuple of their outcomes, in order."""

    shells: tuple[Shell, ...]


class Upload(msgspec.Struct, frozen=True):
    """Put the archive with this SHA-256 (hex) on the host at `to`, unless a file with that digest is there."""

    at: At
    digest: str
    to: str


class Power(msgspec.Struct, frozen=True):
    """Power the VM on or off; ok as well where it is in that state already."""

    at: At
    on: bool


class ReadNetworks(msgspec.Struct, frozen=True):
    """Read the VM's network cards and what they lead to: the value is a `plans.networks.View`."""

    at: At


class Disconnect(msgspec.Struct, frozen=True):
    """Disconnect every network card of the VM, now and at power-on: the value is their labels, those off before too."""

    at: At


class TakeSnapshot(msgspec.Struct, frozen=True):
    """Snapshot the VM under this name, unless it has one of that name: the value is the snapshot's reference, a str."""

    at: At
    name: str
    description: str


class RevertTo(msgspec.Struct, frozen=True):
    """Bring the VM back to that snapshot (a reference or a name of ours) and leave it powered off."""

    at: At
    snapshot: str


class RemoveSnapshot(msgspec.Struct, frozen=True):
    """Remove that snapshot, its changes kept; ok as well where it is gone already."""

    at: At
    snapshot: str


class Cloned(msgspec.Struct, frozen=True):
    """A VM that was made anew: its identity, that of the VM before it, and of when its data are (a Unix time)."""

    identity: str
    before: str
    as_of: float


class PutClone(msgspec.Struct, frozen=True):
    """Put a clone of `source` (a host, or a VM's name, path or UUID in the same vCenter) in the place of the host's VM.

    It is made of a snapshot of `source`: `fresh`, taken for it and removed after it, or the `latest`. It is off, and
    its network cards are where those of the VM were, which is kept aside. `token` marks both: the value is Cloned.
    """

    at: At
    source: At | str
    snapshot: Literal["fresh", "latest"]
    token: str
    timeout: float


class TakeCloneBack(msgspec.Struct, frozen=True):
    """Put the VM that was kept aside in its place again, and destroy the clone; ok as well where there is none."""

    at: At
    source: At | str
    token: str


class EndFormer(msgspec.Struct, frozen=True):
    """Destroy the VM that was kept aside for a clone; ok as well where it is gone already."""

    at: At
    token: str


class FindVm(msgspec.Struct, frozen=True):
    """Find the host's VM, exactly one: the value is its identity, `<vCenter's instance UUID>/<VM's instance UUID>`."""

    at: At


class AwaitHost(msgspec.Struct, frozen=True):
    """Wait until the host runs a command, `timeout` seconds at most: the value is its boot id, a str.

    Errored as well where its clock is far from the bot's.
    """

    at: At
    timeout: float


class Restart(msgspec.Struct, frozen=True):
    """Reboot the host from inside, once, and wait until it answers with another boot id, `timeout` seconds at most."""

    at: At
    timeout: float


class Pause(msgspec.Struct, frozen=True):
    """Wait these seconds before the next action."""

    seconds: float


class Ask(msgspec.Struct, frozen=True):
    """Ask a person; the run leaves and comes back with the answer: the value is the choice, `reason` the note."""

    question: str
    choices: tuple[str, ...]
    role: str


class Record(msgspec.Struct, frozen=True):
    """Write an event down in the ledger."""

    event: AnyEvent


class KeepText(msgspec.Struct, frozen=True):
    """Keep a text with the logs, under this SHA-256 in hex: what a fact was, to be compared with later."""

    digest: str
    text: str


class Recalled(msgspec.Struct, frozen=True):
    """A fact as it was: its digest, and its text where that is still kept."""

    digest: str
    text: str | None


class RecallFacts(msgspec.Struct, frozen=True):
    """What a run had collected of an environment in a phase, of one app: the value is a dict of Recalled, by
    "fact host"."""

    run: int
    phase: str
    environment: str
    app: str


class Window(msgspec.Struct, frozen=True):
    """Since when nobody else is to be at work on a host, and when that was the plan: Unix times by the bot's clock."""

    since: float
    by_hand: tuple[tuple[float, float], ...] = ()


class RecallWindow(msgspec.Struct, frozen=True):
    """Since when the step's host is under test: the value is a Window."""


class ReadLogins(msgspec.Struct, frozen=True):
    """Read who logged in on the host since then (a Unix time by the bot's clock): the value is `plans.hands.Seen`."""

    at: At
    since: float


class ReadHappenings(msgspec.Struct, frozen=True):
    """Read what others did to the host's VM in vCenter since then: the value is a `plans.hands.Seen`."""

    at: At
    since: float


class Note(msgspec.Struct, frozen=True):
    """Add text to the step's log."""

    text: str


Action = (
    Shell | Together | Upload | Power | ReadNetworks | Disconnect | TakeSnapshot | RevertTo | RemoveSnapshot
    | PutClone | TakeCloneBack | EndFormer | FindVm | AwaitHost | Restart | Pause | Ask | Record | KeepText
    | RecallFacts | RecallWindow | ReadLogins | ReadHappenings | Note
)  # fmt: skip
