"""Touches the board, the ledger and the logs, to write what a key of the outbox stands for, secrets masked."""

import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bot import ledger, replies
from bot.blocks import EDITABLE, Message, cut, flat
from bot.board import Board
from bot.bundles import bundle
from bot.cards import release_card, run_card
from bot.inspections import inspection
from bot.masking import Masker
from bot.notices import notice
from bot.onlookers import hands_reply, visit_reply
from bot.pointed import difference_reply
from plans import board as fold
from plans.errors import Refusal
from plans.events import Entry
from plans.records import Key, Release, Run
from plans.restore_tests import trend
from plans.rule_events import InspectionEntered
from plans.rule_records import Difference

SHOWN_TAILS = 3
TAIL_BYTES = 64 * 1024
SNIPPET = 1_000_000
"""Bytes of a log that are shown as a file: Slack takes a snippet of one megabyte."""

_COMMAND = re.compile(r"(?<![\w/.:-])/(handoff|stage|promote)(?= )")


class Noted(msgspec.Struct, frozen=True):
    """A record, and its run as it was right after it."""

    entry: Entry
    run: Run | None


class LogFile(msgspec.Struct, frozen=True):
    """The whole output of a step on one host that went wrong."""

    path: str
    name: str
    title: str


class Scribe:
    """`plan_of`: the phases of a run, in order; `waits_for`: the run that one waits for; `commands`:
    what handoff, stage and promote are called in this workspace, where it is anything else."""

    def __init__(
        self,
        board: Board,
        data_dir: Path,
        masker: Masker,
        *,
        plan_of: Callable[[Run], tuple[str, ...]],
        audience: Callable[[str], tuple[str, ...]],
        waits_for: Callable[[Run], Run | None],
        commands: Mapping[str, str],
    ) -> None:
        self._board = board
        self._data_dir = data_dir
        self._masker = masker
        self._plan_of = plan_of
        self._audience = audience
        self._waits_for = waits_for
        self._commands = commands
        self._phases: dict[int, tuple[str, ...]] = {}

    def write(self, key: str, noted: Noted | None, *, rung: str, plain: bool) -> Message:
        """The message of a key as it should read now. `noted`: the record that called for it and its run as of then;
        what an edit needs is all on the board. `plain`: without blocks."""
        message = self._outward(self._message(key.split("/"), noted, rung))
        return Message(cut(message.text, EDITABLE), broadcast=message.broadcast) if plain else message

    def log(self, run: Run, step: int, number: int) -> LogFile:
        """The log of a written step on the `number`th (1, 2, …) of the hosts whose output is shown whole."""
        record = run.steps[step]
        place, host = record.shown_logs[number - 1]
        where = f" on {place}" if place else ""
        title = f"{flat(record.name, 100)}{where}, attempt {host.attempt}: all output"
        return LogFile(host.log, f"run-{run.number}-{Path(host.log).name}", self._masker.text(title))

    def bundle(self, run: Run) -> LogFile:
        """All that a failed rehearsal left to be looked at, as one archive."""
        return LogFile("", f"run-{run.number}.zip", f"Run {run.number}: logs, facts and differences")

    def content(self, log: LogFile, run: Run) -> str | bytes:
        """A log's text, its end where it is too long; empty where there is none. Or the run's bundle."""
        if log.path:
            return self._read(log.path, SNIPPET)
        found = [difference for difference in self._board.table(Difference) if difference.run == run.number]
        return bundle(run, found, self._data_dir, self._masker)

    def _message(self, key: list[str], noted: Noted | None, rung: str) -> Message:
        match key:
            case ["release", name]:
                return release_card(self._board.release(name))
            case ["notice", _] if noted:
                return notice(noted.entry, self._audience("admins"))
            case ["run", number]:
                return self._card(self._board.run(int(number)), rung)
            case ["run", number, "question", question]:
                run = self._board.run(int(number))
                asked = next(one for one in run.questions if one.number == int(question))
                return replies.question_reply(run, asked.number, asked=self._audience(asked.role))
            case ["run", number, "difference", *name]:
                return self._difference(self._board.run(int(number)), "/".join(name))
            case ["run", number, "visit" | "hands", *_]:
                return self._onlookers(self._board.run(int(number)), noted)
            case ["run", number, "end"]:
                return self._end(self._board.run(int(number)), noted)
            case ["run", number, "restart", count]:
                return replies.restart_reply(self._board.run(int(number)), int(count))
            case ["run", _, "phase", phase, last] if noted and noted.run:
                return replies.phase_reply(noted.run, phase, int(last))
            case ["run", _, "step", step, _] if noted and noted.run:
                return replies.step_reply(noted.run, int(step), self._tails(noted.run, int(step)))
            case ["run", _, "mark", mark] if noted and noted.run:
                return replies.mark_reply(noted.run, mark)
        raise ValueError(f"no message is called {'/'.join(key)}")

    def _difference(self, run: Run, name: str) -> Message:
        found = next(d for d in self._board.table(Difference) if (d.run, d.key) == (run.number, name))
        asked = () if run.kind == "promotion" or found.disposed else self._audience("admins")
        return difference_reply(run, found, self._release(run), asked)

    def _onlookers(self, run: Run, noted: Noted | None) -> Message:
        """Who was let in to look, or else whose hands were there."""
        if noted is not None and isinstance(noted.entry.event, InspectionEntered):
            return visit_reply(noted.entry.by, noted.entry.event, self._until(run))
        return hands_reply(run)

    def _card(self, run: Run, rung: str) -> Message:
        return run_card(
            run,
            self._phases_of(run),
            release=self._release(run),
            waits_for=self._waits_for(run),
            now=self._board.now(),
            until=self._until(run),
            rung=rung,
        )

    def _end(self, run: Run, noted: Noted | None) -> Message:
        release = self._release(run)
        ended = noted.entry if noted else self._ending(run)
        return replies.end_reply(
            run,
            release=release,
            seq=ended.seq,
            digest=ended.hash,
            asked=self._must_act(run, release),
            until=self._until(run),
            settled=self._settled(run, release),
            trend=trend(run, self._board.table(Run)),
        )

    def _release(self, run: Run) -> Release | None:
        return self._board.release(run.release) if run.release else None

    def _phases_of(self, run: Run) -> tuple[str, ...]:
        """Laid out once a run; where the package or the configuration is gone, what was reached is all there is."""
        if run.number not in self._phases:
            try:
                self._phases[run.number] = self._plan_of(run)
            except (Refusal, LookupError):
                return ()
        return self._phases[run.number]

    def _until(self, run: Run) -> datetime | None:
        """When the look at a failed staging ends."""
        opened = inspection(self._board, run.environment)
        return datetime.fromisoformat(opened.until) if opened and opened.run == run.number else None

    def _must_act(self, run: Run, release: Release | None) -> tuple[str, ...]:
        """Whom the end of a run calls: nobody where nobody need do anything."""
        if run.kind == "rehearsal" and run.verdict == "failed" and release:
            return (release.by,)
        if run.kind == "rehearsal" and run.verdict == "passed" and run.by != "quarterdeck":
            return (run.by,)
        prod = run.kind in ("promotion", "rollback")
        if run.verdict == "errored" or (prod and run.verdict != "passed"):
            return self._audience("admins")
        return ()

    def _settled(self, run: Run, release: Release | None) -> bool:
        """Whether what the end's buttons offer was done, or is not to be done any more."""
        if release is None or (run.kind == "rehearsal" and release.rehearsal != run.number):
            return True
        return any(
            later.release == release.id and later.number > run.number and later.kind in ("promotion", "rollback")
            for later in self._board.table(Run)
        )

    def _ending(self, run: Run) -> Entry:
        """The record of a run's end, from the ledger."""
        for record, _ in ledger.read(self._board.ledger.path):
            if record["type"] == "run.finished" and record["data"]["run"] == run.number:
                return ledger.entry(record)
        raise ValueError(f"run {run.number} has not ended")

    def _tails(self, run: Run, step: int) -> dict[str, str]:
        hosts = run.steps[step].hosts
        bad = [name for name, host in hosts.items() if host.outcome not in ("ok", "skipped")]
        shown = (bad or list(hosts))[:SHOWN_TAILS]
        return {n: replies.tail(self._read(hosts[n].log, TAIL_BYTES), hosts[n].outcome) for n in shown if hosts[n].log}

    def _read(self, path: str, most: int) -> str:
        """The end of a log, masked. A line whose beginning was cut off is left out: it may begin with half a secret."""
        try:
            with (self._data_dir / path).open("rb") as file:
                begin = max(0, file.seek(0, os.SEEK_END) - most)
                file.seek(begin)
                text = file.read(most).decode(errors="replace")
        except OSError:
            return ""
        return self._masker.text(text.partition("\n")[2] if begin else text)

    def _outward(self, message: Message) -> Message:
        """Secrets masked, commands called what they are called here."""
        blocks = tuple(_within(block, self._said) for block in message.blocks)
        return Message(self._said(message.text), blocks, message.broadcast)

    def _said(self, text: str) -> str:
        text = self._masker.text(text)
        return _COMMAND.sub(lambda found: self._commands.get(found[1], found[0]), text)


def as_they_were(path: Path, seqs: set[int]) -> dict[int, Noted]:
    """The records with these numbers, each with its run as of then: the ledger folded anew. Raises Damaged."""
    documents: dict[Key, Any] = {}
    found: dict[int, Noted] = {}
    for record, _ in ledger.read(path):
        entry = ledger.entry(record)
        changes = fold.apply(documents, entry)
        documents |= changes
        if entry.seq in seqs:
            number = getattr(entry.event, "run", None)
            found[entry.seq] = Noted(entry, fold.run(documents, number) if number else None)
        if entry.seq >= max(seqs):
            break
    return found


def _within(value: Any, said: Callable[[str], str]) -> Any:
    """Blocks with every text that they show as `said` makes it."""
    if isinstance(value, list):
        return [_within(item, said) for item in value]
    if isinstance(value, dict):
        shown = ("text", "title")
        return {k: said(v) if k in shown and isinstance(v, str) else _within(v, said) for k, v in value.items()}
    return value
