"""Touches one host for one attempt of a step: drives the step's generator, performs what it yields, keeps its log."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from bot import durable
from bot.board import Board
from bot.masking import Masker
from bot.texts import Texts
from plans.actions import (
    Action,
    Ask,
    KeepText,
    Note,
    Outcome,
    Pause,
    RecallFacts,
    RecallWindow,
    Record,
    Restart,
    Shell,
    Together,
)
from plans.engine import outcome_in
from plans.events import AnyEvent, JobStarted, RunPaused, StepFinished
from plans.hands import window
from plans.phases import Planned
from plans.records import HostStep, Run
from plans.site import OK, Site
from vmops.perform import Performer

AFTER_CRASH = 3.0
"""Seconds that a command which is past its time is still given, after a restart, to tell that it has ended."""


SHOWN = 5
"""Lines of output that are shown with a question about a command of which nobody knows how it ended."""

TAIL = 2000
"""Bytes of a log in which they are looked for."""


class Left(Exception):
    """The attempt goes on later: a person must answer first."""


class Attempt:
    """One step on one host. `run()` returns when the step's end is on the ledger, or when it must wait for a person.

    An attempt that an earlier process began (`resume`) goes the same way: its generator starts anew, and what is done
    already is found done. `overdue` then says why somebody must be asked about a command that still runs.
    """

    def __init__(
        self,
        board: Board,
        performer: Performer,
        step: Planned,
        site: Site,
        *,
        attempt: int,
        resume: bool,
        cancel: threading.Event,
        data_dir: Path,
        masker: Masker,
    ) -> None:
        self._board = board
        self._performer = performer
        self._step = step
        self._site = site
        self._attempt = attempt
        self._resume = resume
        self._cancel = cancel
        self._path = data_dir / site.log
        self._masker = masker
        self._texts = Texts(data_dir, masker)
        self._jobs = 0
        self._unknown = False
        self.overdue = ""
        self._before = max(0.0, self._since(self._known(board.run(site.run)).started)) if resume else 0.0
        self._clock = time.monotonic()

    def run(self) -> None:
        with suppress(Left):
            with _Log(self._path, self._masker) as log:
                outcome = self._drive(log)
            self._finish(outcome)

    def _drive(self, log: "_Log") -> Outcome:
        steps = self._step.step.actions(self._site)
        try:
            action = next(steps)
            while True:
                action = steps.send(self._perform(action, log))
        except StopIteration as end:
            ended: Outcome = end.value
            return ended
        finally:
            steps.close()

    def _perform(self, action: Action, log: "_Log") -> Outcome:
        match action:
            case Record(event):
                log.keep()
                return self._record(event)
            case Note(text):
                log.write(text.encode())
                return OK
            case KeepText(digest, text):
                self._texts.keep(digest, text)
                return OK
            case RecallFacts(run, phase, environment, app):
                digests = self._board.run(run).collected(phase, environment, app)
                return Outcome("ok", value={fact: self._texts.recall(digest) for fact, digest in digests.items()})
            case RecallWindow():
                here = self._board.run(self._site.run), self._board.environment(self._site.environment)
                return Outcome("ok", value=window(*here, self._site.host))
            case Pause(seconds):
                return Outcome("aborted") if self._cancel.wait(seconds) else OK
            case Ask():
                return self._ask(action)
            case Together(shells):
                return self._together(shells, log.write)
            case _:
                return self._on_machine(action, self._job(), log.write)

    def _record(self, event: AnyEvent) -> Outcome:
        """What happened, written down; of a run that somebody has ended meanwhile nothing more is."""
        with self._board.deciding:
            if not self._board.run(self._site.run).active:
                raise Left
            self._board.record("quarterdeck", event)
        return OK

    def _on_machine(self, action: Action, job: str, sink: Callable[[bytes], None]) -> Outcome:
        deadline, stop = None, False
        if isinstance(action, Shell):
            deadline, stop = self._deadline(action.timeout)
        known = job in self._known(self._board.run(self._site.run)).jobs
        once = isinstance(action, Shell | Restart) and not self._step.repeatable and not known
        outcome = self._performer.perform(
            action,
            job=job,
            sink=sink,
            cancel=self._cancel,
            deadline=deadline,
            resume=self._resume,
            stop=stop,
            known=known,
            started=(lambda: self._started(job)) if once else None,
        )
        if outcome.overdue:
            self.overdue = outcome.reason
            raise Left
        if deadline == AFTER_CRASH and not stop and outcome.result == "failed" and outcome.exit is None:
            why = "past its time when Quarterdeck came back, and its clock may have been set meanwhile"
            outcome = replace(outcome, result="errored", reason=f"{outcome.reason}: {why}", unknown=True)
        self._unknown |= outcome.unknown
        ended = self._board.now().timestamp()
        return replace(outcome, began=ended - self._took(), ended=ended)

    def _started(self, job: str) -> None:
        """The host has begun it: if nothing is left of it there one day, it is not because it never began."""
        run, step, host = self._site.run, self._step.number, self._site.host
        self._record(JobStarted(run=run, step=step, host=host, attempt=self._attempt, job=job))

    def _took(self) -> float:
        """Seconds since the attempt began, whatever was done to the clock while this process was at it."""
        return self._before + time.monotonic() - self._clock

    def _since(self, at: str) -> float:
        return (self._board.now() - datetime.fromisoformat(at)).total_seconds()

    def _job(self) -> str:
        """A name known beforehand: run, step, attempt, host (one machine may be two), and a number for further ones."""
        self._jobs += 1
        more = f"-{self._jobs}" if self._jobs > 1 else ""
        host = (self._site.host or "all").replace("/", ".")
        return f"{self._site.run}-{self._step.number}-{self._attempt}-{host}{more}"

    def _deadline(self, timeout: float) -> tuple[float | None, bool]:
        """Seconds left from now for a command that was begun before or that somebody let go on; whether to stop it."""
        run = self._board.run(self._site.run)
        answer = run.answers.get(self._step.number)
        since = self._known(run).started
        if answer is not None and answer.choice == "wait":
            since = answer.at
        elif not self._resume:
            return None, False
        passed = max(0.0, self._since(since))
        return max(timeout - passed, AFTER_CRASH), answer is not None and answer.choice == "stop"

    def _together(self, shells: tuple[Shell, ...], sink: Callable[[bytes], None]) -> Outcome:
        """Commands at once, each with its output in one piece in the log."""
        outcomes: list[Outcome] = [OK] * len(shells)
        pieces: list[list[bytes]] = [[] for _ in shells]
        jobs = [self._job() for _ in shells]

        def one(index: int) -> None:
            outcomes[index] = self._on_machine(shells[index], jobs[index], pieces[index].append)

        threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(len(shells))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for shell, piece in zip(shells, pieces, strict=True):
            sink(f"# {shell.at}: {shell.command}\n".encode())
            sink(b"".join(piece))
        return Outcome("ok", value=tuple(outcomes))

    def _ask(self, action: Ask) -> Outcome:
        with self._board.deciding:
            run = self._board.run(self._site.run)
            answer = run.answers.get(self._step.number)
            if answer is not None and answer.choice in action.choices:
                return Outcome("ok", value=answer.choice, reason=answer.note)
            if run.aborting:
                return Outcome("aborted", reason="stopped before it was answered")
            self._pause(action.question, action.choices, action.role)
        raise Left

    def _pause(self, why: str, choices: tuple[str, ...], role: str) -> None:
        with self._board.deciding:
            run = self._board.run(self._site.run)
            if not any(open_.step == self._step.number for open_ in run.open):
                why = self._masker.text(why)
                pause(self._board, run, self._step.number, why, choices, role, self._site.host)

    def _known(self, run: Run) -> HostStep:
        return run.steps[self._step.number].hosts[self._site.host or ""]

    def _finish(self, outcome: Outcome) -> None:
        result = outcome_in(self._step.phase, outcome.result)
        interrupted = self._resume and self._unknown and result == "errored"
        reason = outcome.reason + self._last_words() if interrupted else outcome.reason
        self._record(
            StepFinished(
                run=self._site.run,
                step=self._step.number,
                host=self._site.host,
                attempt=self._attempt,
                outcome=result,
                exit=outcome.exit,
                seconds=round(self._took(), 3),
                log=self._site.log,
                reason=self._masker.text(reason)[:2000] if result != "ok" else "",
                interrupted=interrupted,
            ),
        )

    def _last_words(self) -> str:
        """The end of what it printed, as the log has it."""
        with self._path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL))
            lines = log.read().decode(errors="replace").splitlines()[-SHOWN:]
        return "\n".join(["\nIts output ends:", *(f"| {line}" for line in lines)]) if lines else "\nIt printed nothing."


class _Log:
    """What an attempt printed: secrets masked, to be read while it grows, and on disk before a record speaks of it.

    What an earlier process had written stays until the host tells it again: it may not be able to.
    """

    def __init__(self, path: Path, masker: Masker) -> None:
        durable.folder(path.parent)
        self._folder = path.parent
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666), "wb")
        self._earlier = True
        self._masked = masker.writer(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._masked.close()
            self.keep()

    def write(self, data: bytes) -> None:
        if self._earlier:
            self._file.truncate(0)
            self._earlier = False
        self._masked.write(data)
        self._masked.flush()

    def keep(self) -> None:
        """All of it outlasts a power cut, but for what may be the beginning of a secret."""
        os.fsync(self._file.fileno())
        durable.names(self._folder)


def pause(
    board: Board, run: Run, step: int, why: str, choices: tuple[str, ...], role: str, host: str | None = None
) -> None:
    """Writes down what the run now waits for; its question's number counts from 1. The board's lock is held."""
    board.record(
        "quarterdeck",
        RunPaused(
            run=run.number,
            step=step,
            why=why,
            question=len(run.questions) + 1,
            host=host,
            choices=choices,
            role=role,
        ),
    )
