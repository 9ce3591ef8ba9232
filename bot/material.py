"""Touches the package store and the settings to gather what a run's plan is made of."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

import msgspec

from bot.board import Board
from bot.config import Settings
from bot.packages import Store
from plans import lookout, promotion, rehearsal, reverting
from plans.actions import At
from plans.engine import standing
from plans.environment import Environment
from plans.errors import Refusal
from plans.events import RunStarted
from plans.isolation import holds
from plans.package import Package
from plans.phases import Material, Plan, Planned, Subject
from plans.records import Run
from plans.restoring import MakeAnew
from plans.reverting import Ways, attempts
from plans.rule_records import Escape, Waiver
from plans.stand_ins import limits
from vmops.perform import Performer
from vmops.transport import Trouble


class Materials:
    """Plans of runs, made anew whenever they are wanted: the same run has the same plan as long as its digest holds."""

    def __init__(self, board: Board, settings: Settings, store: Store) -> None:
        self._board = board
        self._settings = settings
        self._store = store
        self._package = lru_cache(maxsize=16)(self._read)

    @property
    def ledger_name(self) -> str:
        """The short name of this ledger, carried by what it leaves on machines."""
        return self._board.ledger.name

    def plan(self, run: Run) -> Plan:
        """Raises Refusal where the run cannot be laid out (no snapshot to go back to, no rollback …)."""
        material = self._material(run)
        match run.kind:
            case "rehearsal":
                return rehearsal.rehearsal(material)
            case "check" | "restore_test":
                return rehearsal.check(material, run.kind)
            case "reset":
                return rehearsal.reset(material)
            case "promotion":
                return promotion.promotion(material)
            case "rollback":
                return promotion.rollback(material)
            case "revert":
                return reverting.revert(material)
            case "lookout":
                return lookout.lookout(material)
        raise Refusal("unknown_kind", f"There is no kind of run called {run.kind}.")

    def beginning(
        self,
        kind: str,
        machines: tuple[str, ...],
        by: str,
        environment: str,
        release: str | None,
        forced: tuple[str, ...],
    ) -> RunStarted:
        """What is written down of a run that begins now. Raises Refusal as `plan`.

        What is waived and paid back by now stays so for the run, whatever is said later.
        """
        number = 1 + max((run.number for run in self._board.table(Run)), default=0)
        app = self._board.release(release).app if release else ""
        at = self._board.now().isoformat()
        draft = Run(number=number, kind=kind, release=release, app=app, environment=environment, plans="", by=by, at=at)
        draft = msgspec.structs.replace(draft, waived=self._waived(draft), paid=self._paid(draft))
        return RunStarted(
            run=number,
            kind=kind,
            release=release,
            environment=environment,
            plans=self.digest(draft),
            app=app,
            machines=machines,
            total=len(self.plan(draft).steps),
            cautions=self.cautions(environment),
            forced=forced,
            waived=draft.waived,
            paid=draft.paid,
        )

    def phases(self, run: Run) -> tuple[str, ...]:
        """The phases of a run, those seen so far where its plan cannot be made any more."""
        try:
            return self.plan(run).phases
        except Refusal:
            return tuple(dict.fromkeys(step.phase for step in run.steps.values()))

    def ways(self, release: str, prod: str) -> Ways:
        """The ways back from a release on its prod, as things are now."""
        found = attempts(self._board.table(Run), release, prod)
        manifest = self._package(self._board.release(release).digest).manifest
        back = manifest is not None and bool(manifest.rollback)
        return reverting.ways(found, self.target(prod), self._board.environment(prod), rollback=back)

    def standing(self, run: Run) -> tuple[Planned, ...]:
        """What would take back what the run's hooks began and nothing has ended; by its plan as it would be now."""
        try:
            found = standing(run, self.plan(run))
        except (Refusal, LookupError):
            return ()
        same = (run.steps[number].name == self.plan(run).step(number).name for s in found for number in s.takes_back)
        return found if all(same) else ()

    def digest(self, run: Run) -> str:
        """What `plans` of run.started says: package, test plans, environment and policy, as they are now."""
        package = self._board.release(run.release).digest if run.release else ""
        return self._settings.digest_of_plans(self._apps(run), package, run.environment)

    def cautions(self, environment: str) -> tuple[str, ...]:
        """What weakens every run on an environment, said on each one's message."""
        return (*self._settings.unverified(environment), *limits(self.target(environment)))

    def shell(self, at: At) -> str:
        """The shell of a host: sh or powershell."""
        host = self.target(at.environment).machines().get(at.host)
        return host.shell if host else "sh"

    def suffix(self, digest: str) -> str:
        """.zip or .tar.gz, of an archive in the store."""
        return ".zip" if self._store.path(digest).name.endswith(".zip") else ".tar.gz"

    def machines(self, environment: str, performer: Performer, *, strict: bool = True) -> tuple[str, ...]:
        """The identities of an environment's machines, by which runs exclude each other.

        Where vCenter does not tell one: Refusal `machine_unknown`, or with `strict` off the configuration's words for
        it instead. Refusal `staging_is_prod` where what is to be reverted has a machine of any prod, whatever its name.
        """
        found = self._identities(environment, performer, strict)
        if strict and any(app.staging == environment for app in self._settings.apps.values()):
            for prod in dict.fromkeys(app.prod for app in self._settings.apps.values()):
                self._refuse_prod(environment, found, prod, self._identities(prod, performer, strict))
        return tuple(sorted(found))

    def recognise(self, run: Run, steps: Iterable[Planned], performer: Performer) -> None:
        """Refusal `another_machine` where a host is none of those that the run holds any more, `machine_unknown` where
        that is not to be found out now. `steps` are those of its plan: a host that a clone is taking the place of, at
        this very moment, is neither the one nor the other.
        """
        clones = [
            run.steps[step.number] for step in steps if isinstance(step.step, MakeAnew) and step.number in run.steps
        ]
        changing = {name for record in clones for name, host in record.hosts.items() if not host.outcome}
        for name, host in self.target(run.environment).machines().items():
            if name in changing or f"{host.vcenter}/{host.vm}" in run.machines:
                continue
            try:
                identity = performer.identity(At(run.environment, name))
            except Trouble as trouble:
                why = f"{run.environment} {name}: whether it is still the same machine is not known: {trouble}"
                raise Refusal("machine_unknown", why) from None
            if identity not in run.machines:
                raise Refusal(
                    "another_machine",
                    f"{run.environment} {name} is another machine now ({identity}) than the run began with: "
                    "nothing was done to it",
                )

    def _identities(self, environment: str, performer: Performer, strict: bool) -> dict[str, str]:
        """The names of the environment's hosts, by their machines' identities."""
        found = {}
        for name, host in self.target(environment).machines().items():
            try:
                found[performer.identity(At(environment, name))] = name
            except Trouble as trouble:
                if strict:
                    raise Refusal(
                        "machine_unknown",
                        f"{environment} {name}: {trouble}",
                        "Nothing was begun. Mend that, and type the command again.",
                    ) from None
                found[f"{host.vcenter}/{host.vm}"] = name
        return found

    @staticmethod
    def _refuse_prod(environment: str, own: dict[str, str], prod: str, theirs: dict[str, str]) -> None:
        for identity in own.keys() & theirs.keys():
            raise Refusal(
                "staging_is_prod",
                f"{environment} {own[identity]} and {prod} {theirs[identity]} are the same machine ({identity}).",
                f"Nothing was begun. Name the VM of {environment} in the configuration: it will be reverted.",
            )

    def target(self, environment: str) -> Environment:
        """Raises Refusal `unknown_environment`."""
        found = self._settings.environments.get(environment)
        if found is None:
            known = ", ".join(self._settings.environments)
            raise Refusal("unknown_environment", f"There is no environment {environment}.", f"There are: {known}.")
        return found

    def _apps(self, run: Run) -> tuple[str, ...]:
        """The release's app, or every app that is rehearsed on the environment; of a lookout those that live there."""
        if run.release:
            return (run.app,)
        apps = self._settings.apps.items()
        prod = run.kind == "lookout"
        return tuple(name for name, app in apps if (app.prod if prod else app.staging) == run.environment)

    def _material(self, run: Run) -> Material:
        package = self._package(self._board.release(run.release).digest) if run.release else None
        target, state = self.target(run.environment), self._board.environment(run.environment)
        digest, runs = self._settings.digest_of_environment(run.environment), self._board.table(Run)
        return Material(
            run=run.number,
            at=run.began or run.at,
            environment=run.environment,
            target=target,
            state=state,
            violated=run.isolation == "violated",
            attested=state.attested if holds(state.attested, digest, self._board.now()) else None,
            subjects=tuple(self._subject(name) for name in self._apps(run)),
            policy=self._settings.policy,
            manifest=package.manifest if package else None,
            executable=package.executable if package else (),
            restarts=len(run.restarts),
            own=run.own,
            attempts=attempts(runs, run.release, run.environment, run.number) if run.release else (),
            rehearsal=self.baseline(run.release, run.environment, run.number) if run.release else None,
            waived=run.waived,
            lookout=self._lookout(run),
            paid=run.paid,
            forbidden=self._settings.config.packages.forbidden_content,
        )

    def baseline(self, release: str, prod: str, before: float = float("inf")) -> int | None:
        """The rehearsal whose prod a promotion starts from; None where this release has been at prod since.

        `before`: for the run of that number, whose own doings do not change what it is made of.
        """
        found = attempts(self._board.table(Run), release, prod, before)
        over = any(self._board.run(number).finished for number in found)
        return None if over else self._board.release(release).rehearsal

    def _subject(self, name: str) -> Subject:
        app = self._settings.apps[name]
        qa = self.target(app.qa) if app.qa else None
        return Subject(name, app, self._settings.tests[name], self.target(app.prod), qa)

    def _paid(self, run: Run) -> tuple[tuple[str, str], ...]:
        escapes = (e for e in self._board.table(Escape) if e.app == run.app and e.open)
        return tuple(sorted((e.id, e.check) for e in escapes if e.paid(run.release or "")))

    def _lookout(self, run: Run) -> int:
        """The last lookout before a run that passed there."""
        runs = (other for other in self._board.table(Run) if other.kind == "lookout" and other.verdict == "passed")
        return max((o.number for o in runs if o.environment == run.environment and o.number < run.number), default=0)

    def _waived(self, run: Run) -> tuple[str, ...]:
        """The facts of the environment that an admin lets differ."""
        waivers = (waiver for waiver in self._board.table(Waiver) if waiver.environment == run.environment)
        return tuple(sorted(w.fact for w in waivers if self._board.now() < datetime.fromisoformat(w.until)))

    def _read(self, digest: str) -> Package:
        return self._store.package(digest)
