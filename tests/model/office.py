"""A house of one app: its plans and people, the real board, loop, gates and clock; its machines are the test's."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from builders import plan, planned

from bot.board import Board
from bot.clock import Clock
from bot.ledger import Ledger
from bot.material import Materials
from bot.promotions import Promotions
from bot.runs import Runs
from plans.checks import ManualCheck
from plans.comparing import CollectFacts
from plans.engine import Perform
from plans.environment import App, Policy
from plans.errors import Refusal
from plans.facts import Fact
from plans.hooks import Hooked
from plans.machinery import BeginWatch, GoBack, Mark, PowerOn
from plans.phases import Plan, Planned
from plans.records import Kept, Run
from plans.restore_tests import RestoreTest
from plans.reverting import Ways, attempts
from plans.steps import Manual
from plans.steps import Run as Command

TELL = Manual(name="Tell", manual="Tell them.")
LOOK = ManualCheck(name="Look", manual="Look at it.", by="admins")
SAFE = Command(name="Safe", on="web", run="true", rerun="safe")
FACTS = CollectFacts(facts=(), app="webshop")
DRAIN, UNDRAIN = (Hooked(name=name, run="true", at=("web",)) for name in ("Drain", "Undrain"))

Line = dict[str, Any]


def laid_out(*lines: tuple[str, tuple[str, ...], Line]) -> tuple[Planned, ...]:
    """Steps numbered from 1; a step that takes another back names it by its distance."""
    steps = []
    for number, (phase, hosts, more) in enumerate(lines, 1):
        back = tuple(number - distance for distance in more.get("takes_back", ()))
        steps.append(planned(number, phase, *hosts, **(more | {"takes_back": back})))
    return tuple(steps)


def own(phase: str, step: Any, **more: Any) -> tuple[str, tuple[str, ...], Line]:
    return phase, ("",), {"step": step, "name": type(step).__name__, "written": False, **more}


FIT = (own("power_on", PowerOn()), ("restore", ("web",), {}), own("confirm", FACTS, name="Compare with prod"))
DEPLOY: tuple[Any, ...] = (
    ("deploy", ("web", "web/2"), {"serial": 1}),
    ("deploy", ("web",), {"step": DRAIN, "name": "Drain"}),
    ("deploy", ("web", "web/2"), {"step": SAFE, "name": "Safe"}),
    ("deploy", ("web",), {"step": UNDRAIN, "name": "Undrain", "takes_back": (2,)}),
    ("deploy", ("",), {"step": TELL, "name": "Tell"}),
)
TEST: tuple[Any, ...] = (
    ("test", ("web", "web/2"), {"group": "critical"}),
    ("test", ("web",), {"group": "critical"}),
    ("test", ("",), {"group": "deep", "step": LOOK, "name": "Look"}),
    ("test", ("",), {"group": "deep", "step": LOOK, "name": "Look again"}),
)
SEEK = own("test", FACTS, name="Look for a forgotten change")
WRITE_DOWN = own("test", FACTS, name="Write down prod's facts")
WATCH = (
    own("watch", BeginWatch()),
    ("watch", ("web",), {"group": "mark 10m", "after": 600.0}),
    own("watch", Mark(mark="10m"), group="mark 10m", after=600.0),
)
PROTECT = (own("protect", FACTS, name="Compare prod"), ("protect", ("web",), {}))
BACK = (("test", ("web",), {"group": "health"}), WRITE_DOWN)
PLANS = {
    "rehearsal": plan(*laid_out(*FIT, *DEPLOY, *TEST, SEEK)),
    "check": plan(*laid_out(*FIT)),
    "restore_test": plan(*laid_out(*FIT)),
    "reset": plan(*laid_out(FIT[0])),
    "promotion": plan(*laid_out(*PROTECT, *DEPLOY, *TEST, WRITE_DOWN, *WATCH)),
    "rollback": plan(*laid_out(PROTECT[1], ("rollback", ("web", "web/2"), {}), *BACK)),
    "revert": plan(*laid_out(own("revert", GoBack(snapshots={})), *BACK)),
    "lookout": plan(*laid_out(own("lookout", FACTS, name="Look at prod"))),
}
MACHINES = {"staging": ("m1",), "staging-2": ("m1", "m2"), "prod": ("p1",)}
DEV, ADMIN, OTHER = "U01DEV", "U02ADMIN", "U04OTHER"


def harmless(step: Planned) -> bool:
    """Whether a step may be done again without anybody being asked."""
    return not step.written or step.phase == "watch" or step.step in (SAFE, TELL, LOOK)


class Hand(Runs):
    """The loop's decisions, one at a time, each when the test says so."""

    def enter(self, number: int) -> None:
        """Nothing goes on by itself."""

    def decision(self, number: int) -> Perform | None:
        try:
            found = self._next(number, None)
        except Refusal as refusal:
            self._give_up(number, refusal.message)
            return None
        return found[1] if found else None


class Alarms(Clock):
    """A clock that strikes when the test says so: what it would do, by its name, and when."""

    def __init__(self, board: Board, settings: Any, runs: Runs, promotions: Promotions) -> None:
        sweeper: Any = SimpleNamespace(due=lambda environment: None, stop=lambda: None)
        super().__init__(board, settings, runs, promotions, sweeper)
        self.set: dict[str, tuple[datetime, Callable[[], object]]] = {}
        self._scheduler = SimpleNamespace(start=lambda: None, running=False)
        self._stopping.set()
        self.start()

    def _at(self, name: str, at: datetime, work: Callable[[], object]) -> None:
        self.set[name] = (at, work)

    @property
    def next(self) -> str:
        """What it strikes for next."""
        return min(self.set, key=lambda name: (self.set[name][0], name))

    def strike(self, name: str) -> None:
        _, work = self.set.pop(name)
        with suppress(Refusal):
            work()


class Stock(Materials):
    """Plans that are always at hand. `edition` says which test plan the admins have written by now; `fits` whether the
    package can be laid out on prod."""

    def __init__(self, board: Board, settings: Any, edition: Callable[[], str], fits: Callable[[], bool]) -> None:
        nothing: Any = None
        super().__init__(board, settings, nothing)
        self._edition, self._fits = edition, fits

    def plan(self, run: Run) -> Plan:
        if run.kind == "promotion" and not self._fits():
            raise Refusal("unknown_role", "A step is for cache, and prod has no host of that role.")
        return PLANS[run.kind]

    def digest(self, run: Run) -> str:
        return self._edition()

    def cautions(self, environment: str) -> tuple[str, ...]:
        return ()

    def machines(self, environment: str, performer: Any, *, strict: bool = True) -> tuple[str, ...]:
        return MACHINES[environment]

    def ways(self, release: str, prod: str) -> Ways:
        found = attempts(self._board.table(Run), release, prod)
        if not found:
            return Ways(rollback=True)
        kept = Kept(run=found[0], reference="s", name="s", at=self._board.run(found[0]).at)
        return Ways(rollback=True, of=found[0], kept={"web": kept})


class Office:
    """A bot that has just started, from the ledger in its folder."""

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        now: Callable[[], datetime],
        edition: Callable[[], str],
        fits: Callable[[], bool],
    ) -> None:
        self.board = Board(Ledger.open(folder), now)

        app = App(tests="t", staging="staging", prod="prod", facts=(Fact(name="schema", on="web", run="true"),))
        config: Any = SimpleNamespace(
            apps={"webshop": app},
            policy=policy,
            timezone=ZoneInfo("Europe/Berlin"),
            config=SimpleNamespace(restore_tests=(RestoreTest(environment="staging"),)),
        )
        materials = Stock(self.board, config, edition, fits)
        roles: Any = SimpleNamespace(allowed=lambda user, role: True)
        masker: Any = SimpleNamespace(text=lambda text: text)
        nobody: Any = None
        self.runs = Hand(self.board, config, materials, nobody, roles, masker)
        self.promotions = Promotions(self.board, config, materials, nobody, self.runs)
        self.alarms = lambda: Alarms(self.board, config, self.runs, self.promotions)
