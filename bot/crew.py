"""Touches the hosts of one step, all at once: an attempt for each, in a thread of its own."""

import threading
from collections.abc import Callable

from bot.attempt import Attempt, pause
from bot.board import Board
from bot.config import Settings
from bot.masking import Masker
from bot.material import Materials
from plans.actions import At
from plans.engine import Perform, Place
from plans.quantities import spell
from plans.records import CHANGE_PROD, Run
from plans.site import Site
from vmops.perform import Performer


class Crew:
    """Performs one move of the engine; what an attempt needs to know of its run and host is put together here."""

    def __init__(
        self, board: Board, settings: Settings, materials: Materials, performer: Performer, masker: Masker
    ) -> None:
        self._board = board
        self._settings = settings
        self._materials = materials
        self._performer = performer
        self._masker = masker

    def perform(self, run: Run, move: Perform, cancel: threading.Event) -> None:
        """Returns when the step has ended on each of its places, or waits there for a person. Raises their fault."""
        attempts, workers = [], []
        for place in move.places:
            attempt = Attempt(
                self._board,
                self._performer,
                move.step,
                self._site(run, move, place),
                attempt=place.attempt,
                resume=place.resume,
                cancel=cancel,
                data_dir=self._settings.data_dir,
                masker=self._masker,
            )
            attempts.append(attempt)
            workers.append(_Worker(attempt.run, f"run-{run.number}-{move.step.number}-{place.host}"))
        for worker in workers:
            worker.join()
        for worker in workers:
            if worker.fault is not None:
                raise worker.fault
        if late := [attempt.overdue for attempt in attempts if attempt.overdue]:
            self._ask_whether_to_wait(run, move, late)

    def _ask_whether_to_wait(self, run: Run, move: Perform, late: list[str]) -> None:
        """One question for all hosts where the step is past its time: when it is asked the others have ended."""
        why = f"{'; '.join(late)}{self._rehearsed(run, move)}"
        host = move.places[0].host if len(move.places) == 1 else None
        with self._board.deciding:
            run = self._board.run(run.number)
            if run.active and run.question is None:
                why = self._masker.text(why)
                pause(self._board, run, move.step.number, why, ("wait", "stop"), "admins", host)

    def _rehearsed(self, run: Run, move: Perform) -> str:
        """How long the same step took in the rehearsal that counts, for whoever must decide whether to wait."""
        number = self._board.release(run.release).rehearsal if run.release else None
        steps = self._board.run(number).steps.values() if number else ()
        same = (step for step in steps if (step.phase, step.name) == (move.step.phase, move.step.name))
        took = max((host.seconds for step in same for host in step.hosts.values()), default=None)
        return "" if took is None else f"; in the rehearsal it took {spell(took)}"

    def _site(self, run: Run, move: Perform, place: Place) -> Site:
        host = place.host or None
        release = self._board.release(run.release) if run.release else None
        name = f"{move.step.number:02}-{(place.host or 'run').replace('/', '-')}-{place.attempt}.log"
        return Site(
            run=run.number,
            environment=run.environment,
            host=host,
            base=self._performer.base(At(run.environment, place.host)) if host else "",
            ledger=self._materials.ledger_name,
            log=f"logs/run-{run.number}/{name}",
            release=release.id if release else "",
            version=release.version if release else "",
            digest=release.digest if release else "",
            suffix=self._materials.suffix(release.digest) if release else "",
            production=run.kind in CHANGE_PROD,
            in_package=move.step.packaged,
            group_ok=move.group_ok,
            late=move.late,
            shell_of_host=self._materials.shell(At(run.environment, host)) if host else "sh",
        )


class _Worker(threading.Thread):
    """A thread whose fault is raised where it is joined."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self.fault: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except Exception as fault:  # noqa: BLE001 - raised again where the run's loop joins it
            self.fault = fault
