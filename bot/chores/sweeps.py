"""Touches old snapshots: removes ours from the machines when `snapshot_max_age` is over, while no run is there."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from bot.board import Board
from bot.config import Settings
from bot.material import Materials
from bot.runs import Runs
from plans.actions import At, RemoveSnapshot
from plans.events import SnapshotRemoved
from plans.quantities import seconds
from plans.records import Kept
from vmops.perform import Performer

AGAIN = timedelta(hours=1)
"""After which what could not be removed is tried again."""

log = logging.getLogger(__name__)


class Sweeper:
    """What is to be removed, and when, is on the board alone."""

    def __init__(
        self, board: Board, settings: Settings, materials: Materials, performer: Performer, runs: Runs
    ) -> None:
        self._board = board
        self._settings = settings
        self._materials = materials
        self._performer = performer
        self._runs = runs
        self._cancel = threading.Event()

    def due(self, environment: str) -> datetime | None:
        """When the environment's oldest snapshot of ours is to go; None where there is none."""
        return min((at for at, _, _ in self._standing(environment)), default=None)

    def sweep(self, environment: str) -> datetime | None:
        """Removes what is due; when to look again, None where nothing is left or a run's end or an unlock will tell.

        Nothing is removed while a run holds the environment, a failed staging may be looked at, or an admin locked it.
        """
        state = self._board.environment(environment)
        if state.inspection is not None or state.locked is not None:
            return None
        over = [(host, kept) for at, host, kept in self._standing(environment) if at <= self._board.now()]
        if not over:
            return self.due(environment)
        with self._alone(environment) as alone:
            removed = [self._removed(environment, host, kept) for host, kept in over if alone]
        return self.due(environment) if removed and all(removed) else self._board.now() + AGAIN

    def stop(self) -> None:
        """What vCenter is removing it goes on removing; the next start finds it gone."""
        self._cancel.set()

    @contextmanager
    def _alone(self, environment: str) -> Iterator[bool]:
        """Whether no run holds the environment; those that start meanwhile wait."""
        machines = self._materials.machines(environment, self._performer, strict=False)
        with self._board.deciding:
            alone = self._runs.holder(environment, machines) is None
            if alone:
                self._runs.aside[environment] = machines
        try:
            yield alone
        finally:
            with self._board.deciding:
                self._runs.aside.pop(environment, None)
            self._runs.enter_all()

    def _standing(self, environment: str) -> Iterator[tuple[datetime, str, Kept]]:
        configured = self._settings.environments.get(environment)
        age = timedelta(seconds=seconds(self._settings.policy.snapshot_max_age))
        for host, snapshots in self._board.environment(environment).snapshots.items():
            if configured is not None and host in configured.named():
                yield from ((datetime.fromisoformat(kept.at) + age, host, kept) for kept in snapshots)

    def _removed(self, environment: str, host: str, kept: Kept) -> bool:
        outcome = self._performer.perform(
            RemoveSnapshot(At(environment, host), kept.reference),
            job="",
            sink=lambda _: None,
            cancel=self._cancel,
        )
        if not outcome.ok:
            log.warning("the snapshot %s of run %d is too old and still there: %s", kept.name, kept.run, outcome.reason)
            return False
        event = SnapshotRemoved(run=kept.run, host=host, environment=environment, snapshot=kept.reference)
        self._board.record("quarterdeck", event)
        return True
