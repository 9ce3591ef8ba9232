"""Decides how a run is laid out: phases of numbered steps, each with the hosts that it runs on."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from plans.checks import Check, Healthy, ManualCheck, RunCheck
from plans.environment import App, Environment, Host, Policy
from plans.errors import Refusal
from plans.escapes import Covering, escapes_of
from plans.hooks import Hook, Hooked
from plans.machinery import Mark, Unpack
from plans.package import Manifest
from plans.quantities import Duration, seconds
from plans.records import Attested, EnvironmentState, Kept
from plans.restoring import MakeAnew, RestoreClone, RestoreRun
from plans.site import Written
from plans.steps import PackageStep, Run, Step
from plans.testplan import TestPlan


class Given(msgspec.Struct, frozen=True):
    """A step is left out unless one of these steps (by number) was skipped, or where `skipped` is false if one was."""

    steps: tuple[int, ...]
    skipped: bool = True


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run. `hosts` has the empty name alone where the step has no host; `serial` 0 is all at once.

    The checks of a `group` all run to its end before a failure counts; `after` is in seconds from the phase's
    beginning; `written` says that somebody wrote the step, so that it is told of by itself, `packaged` that it is one
    of the package's, and starts there; `given` is what must have come before, where it is not for every case.
    `takes_back` are the steps (by number) that this one undoes: a host that is in use again, maintenance that is over.
    """

    number: int
    phase: str
    name: str
    step: Step
    hosts: tuple[str, ...]
    serial: int = 0
    group: str = ""
    written: bool = False
    packaged: bool = False
    after: float = 0.0
    given: Given | None = None
    takes_back: tuple[int, ...] = ()

    @property
    def repeatable(self) -> bool:
        """Whether it may be done again where nobody knows how it ended.

        The machinery's own steps look first, a request only looks, a watch repeats its checks anyway; of all other
        commands whoever wrote them must say so.
        """
        if isinstance(self.step, Written):
            return self.step.rerun == "safe"
        step = self.step.check if isinstance(self.step, Covering) else self.step
        return self.phase == "watch" or not isinstance(step, RunCheck)

    @property
    def by_hand(self) -> bool:
        """Whether it is a manual check of a group: it waits for its answer, and its neighbours are asked meanwhile."""
        step = self.step.check if isinstance(self.step, Covering | Healthy) else self.step
        return bool(self.group) and isinstance(step, ManualCheck)


class Plan(msgspec.Struct, frozen=True):
    """All steps of a run, in order, numbered from 1."""

    kind: str
    steps: tuple[Planned, ...]

    @property
    def phases(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.phase for step in self.steps))

    @property
    def outline(self) -> str:
        """A digest of what its steps are known by in the ledger: two plans that share it mean the same by a number."""
        known = [(step.number, step.phase, step.name, step.hosts, step.serial, step.group) for step in self.steps]
        return hashlib.sha256(msgspec.json.encode(known)).hexdigest()[:16]

    def step(self, number: int) -> Planned:
        return self.steps[number - 1]


class Subject(msgspec.Struct, frozen=True):
    """An app on the environment: what the admins say of it, its tests, its prod and its QA where it has one."""

    name: str
    app: App
    tests: TestPlan
    prod: Environment
    qa: Environment | None = None


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is made of: the release's package (None for a check or a reset), the admins' files, what is known.

    `subjects` is the release's app alone, or every app that lives on the environment where there is no release.
    `attested` is the word of an admin that holds now for what cannot be seen of its isolation; `violated` says that
    this run saw its isolation violated before it was interrupted.
    `executable` are the paths of the package that unpacking makes executable. `at` is when the run began, ISO
    8601: what is judged by its age is judged as of then, and stays so.
    `restarts`: how often the run has started over; `own` are its snapshots that stood then, by host.
    `attempts` are the promotions of the release that have changed this prod since it was last taken back, the first
    first. `rehearsal` is the release's that counts, and `waived` are the facts that may differ from prod's now. `paid`
    are the escaped defects that it pays back, each with the check that names it. `forbidden` are regular expressions
    that nothing may match that a package brings to prod. `lookout` is the last one that passed here, 0 where none did.
    """

    run: int
    at: str
    environment: str
    target: Environment
    state: EnvironmentState
    attested: Attested | None = None
    violated: bool = False
    subjects: tuple[Subject, ...]
    policy: Policy
    manifest: Manifest | None = None
    executable: tuple[str, ...] = ()
    restarts: int = 0
    own: dict[str, Kept] = {}
    attempts: tuple[int, ...] = ()
    rehearsal: int | None = None
    waived: tuple[str, ...] = ()
    lookout: int = 0
    paid: tuple[tuple[str, str], ...] = ()
    forbidden: tuple[str, ...] = ()

    def older(self) -> dict[str, tuple[str, ...]]:
        """References of our snapshots to go back to, by host, the latest last."""
        return {host: tuple(k.reference for k in kept) for host, kept in self.kept().items()}

    def kept(self) -> dict[str, tuple[Kept, ...]]:
        """Our snapshots as they were when this run began, or last started over, by host, the latest last."""
        removed = self.state.removed.get(self.run, {})
        found = {}
        for host in dict.fromkeys((*removed, *self.state.snapshots, *self.own)):
            all_of_it = (*removed.get(host, ()), *self.state.snapshots.get(host, ()))
            earlier = sorted((k for k in all_of_it if k.run < self.run), key=lambda k: k.run)
            found[host] = (*earlier, *((self.own[host],) if host in self.own else ()))
        return found


class Draft:
    """A plan being laid out: every call adds steps to the end of a phase."""

    def __init__(self, kind: str, target: Environment) -> None:
        self.kind = kind
        self.target = target
        self.steps: list[Planned] = []
        self._given: Given | None = None
        self._maintenance: tuple[int, ...] = ()

    @contextmanager
    def given(self, given: Given) -> Iterator[None]:
        """The steps that are added meanwhile are for that case alone."""
        self._given = given
        try:
            yield
        finally:
            self._given = None

    def own(self, phase: str, name: str, step: Step, hosts: Iterable[str] = ("",)) -> None:
        """A step of the machinery, on these hosts at once; without a host, once."""
        where = tuple(hosts)
        if where:
            self._add(phase, name, step, where)

    def mark(self, mark: Duration, checks: Iterable[Check]) -> None:
        """One mark of the watch: its checks, that long after the watch began, and what they said."""
        after, group = seconds(mark), f"mark {mark}"
        self.checks("watch", group, checks, after=after)
        self._add("watch", f"Mark {mark}", Mark(mark=mark), ("",), group=group, after=after)

    def admins(self, phase: str, steps: Iterable[Run | RestoreRun]) -> None:
        """Steps that the admins wrote in the configuration."""
        for step in steps:
            self._add(phase, step.name, step, self._hosts(step), serial=step.serial, written=True)

    def clone(self, phase: str, step: RestoreClone, anew: MakeAnew) -> None:
        """A step that the admins wrote, as it is done."""
        self._add(phase, step.name, anew, self._hosts(step), serial=step.serial, written=True)

    def package(self, phase: str, steps: Iterable[PackageStep], executable: tuple[str, ...]) -> tuple[str, ...]:
        """The package unpacked on every host that a step names, which are returned, then its steps in order.

        The hosts of a role are drained before the first step that names it and undrained after the last. Where all
        steps that name it are `serial`, so that the others go on serving, each of them drains those hosts alone that
        it is about to change, and undrains them before it comes to the next.
        """
        listed = list(steps)
        named = dict.fromkeys(host for step in listed for host in self._hosts(step) if host)
        self.own(phase, "Unpack the package", Unpack(executable=executable), named)
        drains: dict[str, tuple[int, ...]] = {}
        for i, step in enumerate(listed):
            hosts = self._hosts(step)
            of_role = [other for other in listed if other.on == step.on]
            everywhere = tuple(dict.fromkeys(host for other in of_role for host in self._hosts(other)))
            if self._hooked(hosts) and all(other.serial for other in of_role):
                for first in range(0, len(hosts), step.serial):
                    with self.drained(phase, hosts[first : first + step.serial]) as few:
                        self._add(phase, step.name, step, few, serial=step.serial, written=True, packaged=True)
                continue
            if step.on not in drains:
                drains[step.on] = self._drain(phase, everywhere)
            self._add(phase, step.name, step, hosts, serial=step.serial, written=True, packaged=True)
            if step.on not in (other.on for other in listed[i + 1 :]):
                self._undrain(phase, everywhere, drains[step.on])
        return tuple(named)

    @contextmanager
    def drained(self, phase: str, hosts: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """The steps that are added meanwhile find these hosts drained; afterwards they are undrained."""
        few = tuple(hosts)
        drains = self._drain(phase, few)
        yield few
        self._undrain(phase, few, drains)

    def maintenance_begins(self, phase: str) -> None:
        """From here on the environment is in maintenance, where it has such steps."""
        begin = self.target.maintenance.begin if self.target.maintenance else ()
        self._maintenance = tuple(self._hook(phase, hook, ("",)) for hook in begin)

    def maintenance_ends(self) -> None:
        """After the last step so far, in its phase."""
        for hook in self.target.maintenance.end if self.target.maintenance else ():
            self._hook(self.steps[-1].phase, hook, ("",), takes_back=self._maintenance)

    def health(self, phase: str, checks: Iterable[Check], *, written: bool = True) -> None:
        """Checks of what may still be coming up after a start, with patience; told of by themselves if `written`."""
        for check in checks:
            hosts = role(self.target, check.on) if check.on else ("",)
            self._add(phase, check.name, Healthy(check), hosts, group="health", written=written)

    def checks(self, phase: str, group: str, checks: Iterable[Check], *, after: float = 0.0) -> None:
        """A group of checks, each on every host of its role."""
        for check in checks:
            hosts = role(self.target, check.on) if check.on else ("",)
            step = Covering(check) if self.kind == "rehearsal" and escapes_of(check) else check
            self._add(phase, check.name, step, hosts, group=group, written=True, after=after)

    def plan(self) -> Plan:
        return Plan(self.kind, tuple(self.steps))

    def _hooked(self, hosts: tuple[str, ...]) -> bool:
        return any(self._about(hook, hosts) for hook in self.target.drain)

    def _about(self, hook: Hook, hosts: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the hosts that a hook is for."""
        meant = role(self.target, hook.for_) if hook.for_ else tuple(self.target.named())
        return tuple(host for host in hosts if host in meant)

    def _drain(self, phase: str, hosts: tuple[str, ...]) -> tuple[int, ...]:
        """The numbers of the steps that do."""
        hooks = [(hook, about) for hook in self.target.drain if (about := self._about(hook, hosts))]
        return tuple(self._hook(phase, hook, about) for hook, about in hooks)

    def _undrain(self, phase: str, hosts: tuple[str, ...], drains: tuple[int, ...]) -> None:
        for hook in self.target.undrain:
            if drains and (about := self._about(hook, hosts)):
                self._hook(phase, hook, about, takes_back=drains)

    def _hook(self, phase: str, hook: Hook, about: tuple[str, ...], takes_back: tuple[int, ...] = ()) -> int:
        """Its number."""
        places = on(self.target, hook) if hook.on else ()
        step = Hooked(name=hook.name, run=hook.run, timeout=hook.timeout, rerun=hook.rerun, at=places)
        self._add(phase, hook.name, step, about, written=True, takes_back=takes_back)
        return len(self.steps)

    def _hosts(self, step: Written) -> tuple[str, ...]:
        if not step.on:
            return ("",)
        return on(self.target, step)

    def _add(
        self,
        phase: str,
        name: str,
        step: Step,
        hosts: tuple[str, ...],
        *,
        serial: int = 0,
        group: str = "",
        written: bool = False,
        packaged: bool = False,
        after: float = 0.0,
        takes_back: tuple[int, ...] = (),
    ) -> None:
        self.steps.append(
            Planned(
                number=len(self.steps) + 1,
                phase=phase,
                name=name,
                step=step,
                hosts=hosts,
                serial=serial,
                group=group,
                written=written,
                packaged=packaged,
                after=after,
                given=self._given,
                takes_back=takes_back,
            )
        )


def on(environment: Environment, step: Written) -> tuple[str, ...]:
    """The hosts that a step is for. Raises Refusal `unknown_role`."""
    hosts = role(environment, step.on)
    return hosts[:1] if step.once else hosts


def role(environment: Environment, name: str) -> tuple[str, ...]:
    """The names of a role's hosts. Raises Refusal `unknown_role`: a step without a host would never end."""
    if name != "runner" and not environment.hosts.get(name):
        raise Refusal(
            "unknown_role",
            f"A step is for {name}, and this environment has no host of that role.",
            f"It has: {', '.join(environment.hosts)}. Add the role to the configuration, or mend the step.",
        )
    return environment.role(name)


def with_vm(environment: Environment) -> dict[str, Host]:
    """The hosts of an environment that are VMs known to vCenter, by name."""
    return {name: host for name, host in environment.named().items() if host.vm}
