"""A house of one app: its plans, its people, and the real board, loop and gates, whose machines are the test's."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from builders import plan, planned

from bot.board import Board
from bot.ledger import Ledger
from bot.promotions import Promotions
from bot.runs import Runs
from plans.checks import ManualCheck
from plans.engine import Perform
from plans.environment import App, Policy
from plans.phases import Planned
from plans.steps import Manual
from plans.steps import Run as Command

TELL = Manual(name="Tell", manual="Tell them.")
LOOK = ManualCheck(name="Look", manual="Look at it.", by="admins")
SAFE = Command(name="Step 4", on="web", run="true", rerun="safe")
DEPLOY = (
    planned(3, "deploy", "web", "web/2", serial=1),
    planned(4, "deploy", "web", "web/2", step=SAFE),
    planned(5, "deploy", "", step=TELL),
)
TEST = (
    planned(6, "test", "web", "web/2", group="critical"),
    planned(7, "test", "web", group="critical"),
    planned(8, "test", "", group="deep", step=LOOK),
    planned(9, "test", "", group="deep", step=LOOK),
)
WATCH = (
    planned(10, "watch", "", written=False),
    planned(11, "watch", "web", group="mark 10m", after=600.0),
    planned(12, "watch", "", group="mark 10m", after=600.0, written=False),
)
FIT = (planned(1, "power_on", "web", written=False), planned(2, "restore", "web"))
PLANS = {
    "rehearsal": plan(*FIT, *DEPLOY, *TEST),
    "check": plan(*FIT),
    "reset": plan(FIT[0]),
    "promotion": plan(planned(1, "protect"), planned(2, "protect", "", step=TELL), *DEPLOY, *TEST, *WATCH),
    "rollback": plan(planned(1, "protect"), planned(2, "rollback", "web", "web/2"), planned(3, "test", group="health")),
}
MACHINES = {"staging": ("m1",), "staging-2": ("m1", "m2"), "prod": ("p1",)}
DEV, ADMIN, OTHER = "U01DEV", "U02ADMIN", "U04OTHER"


def harmless(step: Planned) -> bool:
    """Whether a step may be done again without anybody being asked."""
    return step.phase == "watch" or step.step in (SAFE, TELL, LOOK)


class Hand(Runs):
    """The loop's decisions, one at a time, each when the test says so."""

    def enter(self, number: int) -> None:
        """Nothing goes on by itself."""

    def decision(self, number: int) -> Perform | None:
        found = self._next(number, None)
        return found[1] if found else None


class Office:
    """A bot that has just started, from the ledger in its folder."""

    def __init__(self, folder: Path, policy: Policy, now: Callable[[], datetime]) -> None:
        self.board = Board(Ledger.open(folder), now)
        materials: Any = SimpleNamespace(
            plan=lambda run: PLANS[run.kind],
            digest=lambda run: "plans",
            cautions=lambda environment: (),
            baseline=lambda release, environment: None,
            machines=lambda environment, performer, strict=True: MACHINES[environment],
        )
        config: Any = SimpleNamespace(
            apps={"webshop": App(tests="t", staging="staging", prod="prod")},
            policy=policy,
            timezone=ZoneInfo("Europe/Berlin"),
        )
        roles: Any = SimpleNamespace(allowed=lambda user, role: True)
        masker: Any = SimpleNamespace(text=lambda text: text)
        nobody: Any = None
        self.runs = Hand(self.board, config, materials, nobody, roles, masker)
        self.promotions = Promotions(self.board, config, materials, nobody, self.runs)
