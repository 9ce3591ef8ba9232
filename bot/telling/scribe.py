"""Touches the board, the ledger and the logs, to write what a key of the outbox stands for, secrets masked."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from bot import ledger
from bot.board import Board
from bot.inspections import inspection
from bot.line.blocks import EDITABLE, Message, cut
from bot.masking import Masker
from bot.telling import checklist, replies
from bot.telling.cards import release_card, run_card
from bot.telling.digest import digest_message
from bot.telling.notices import notice
from bot.telling.onlookers import hands_reply, visit_reply
from bot.telling.pointed import difference_reply
from bot.telling.ways_back import stranded
from bot.texts import end_of
from plans import board as fold
from plans.errors import Refusal
from plans.events import Entry, MessagePosted
from plans.figures import weekly
from plans.phases import Planned
from plans.records import CHANGE_PROD, Key, Release, Run
from plans.restore_tests import trend
from plans.reverting import Ways
from plans.rule_events import CheckAssigned, InspectionEntered, WeekOver
from plans.rule_records import Assigned, Difference, Escape, Missed

SHOWN_TAILS = 3
TAIL_BYTES = 64 * 1024
_COMMAND = re.compile(r"(?<![\w/.:-])/(handoff|stage|promote)(?= )")


class Noted(msgspec.Struct, frozen=True):
    """A record, its run as it was right after it, and the ts of what had been told last by then."""

    entry: Entry
    run: Run | None
    told: str = ""


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
        ways_of: Callable[[str, str], Ways] | None,
        standing_of: Callable[[Run], tuple[Planned, ...]],
        commands: Mapping[str, str],
        timezone: ZoneInfo,
    ) -> None:
        self._board = board
        self._data_dir = data_dir
        self._masker = masker
        self._plan_of = plan_of
        self._audience = audience
        self._waits_for = waits_for
        self._ways_of = ways_of
        self._standing_of = standing_of
        self._commands = commands
        self._timezone = timezone
        self._phases: dict[int, tuple[str, ...]] = {}

    def write(self, key: str, noted: Noted | None, *, rung: str, plain: bool) -> Message:
        """The message of a key as it should read now. `noted`: the record that called for it and its run as of then;
        what an edit needs is all on the board. `plain`: without blocks."""
        message = self._outward(self._message(key.split("/"), noted, rung))
        return Message(cut(message.text, EDITABLE), broadcast=message.broadcast) if plain else message

    def _message(self, key: list[str], noted: Noted | None, rung: str) -> Message:
        match key:
            case ["release", name]:
                return release_card(self._board.release(name))
            case ["notice", _] if noted:
                return notice(noted.entry, self._audience("admins"))
            case ["digest", _] if noted and isinstance(noted.entry.event, WeekOver):
                return self._digest(datetime.fromisoformat(noted.entry.event.until))
            case ["run", number]:
                return self._card(self._board.run(int(number)), rung)
            case ["run", number, *reply]:
                return self._reply(self._board.run(int(number)), reply, noted)
        raise ValueError(f"no message is called {'/'.join(key)}")

    def _reply(self, run: Run, key: list[str], noted: Noted | None) -> Message:
        match key:
            case ["question" | "assigned" | "reminder", _]:
                return self._asking(run, key, noted)
            case ["difference", *name]:
                return self._difference(run, "/".join(name))
            case ["visit" | "hands", *_]:
                return self._onlookers(run, noted)
            case ["end"]:
                return self._end(run, noted)
            case ["restart", count]:
                return replies.restart_reply(run, int(count))
            case ["phase", phase, last] if noted and noted.run:
                return replies.phase_reply(noted.run, phase, int(last))
            case ["step", step, _] if noted and noted.run:
                return replies.step_reply(noted.run, int(step), self._tails(noted.run, int(step)))
            case ["mark", mark] if noted and noted.run:
                return replies.mark_reply(noted.run, mark)
        raise ValueError(f"no reply in a thread is called {'/'.join(key)}")

    def _asking(self, run: Run, key: list[str], noted: Noted | None) -> Message:
        """A question, or the list of checks that begins with it; to whom one is assigned; who is reminded."""
        assigned = {one.step: one.to for one in self._board.table(Assigned) if one.run == run.number}
        match key, noted:
            case ["reminder", _], Noted(run=then) if then:
                return checklist.reminder_reply(then, self._audience, assigned)
            case ["assigned", _], Noted(entry=Entry(event=CheckAssigned(step=step, to=to), by=by)):
                return checklist.assigned_reply(run, step, to, by)
        asked = next(one for one in run.questions if one.number == int(key[1]))
        audience, listed = self._audience(asked.role), run.asked(asked.number)
        if len(listed) > 1:
            return checklist.checks_reply(run, listed, asked=audience, assigned=assigned)
        whom = (assigned[asked.step],) if asked.step in assigned else audience
        return replies.question_reply(run, asked.number, asked=whom)

    def _difference(self, run: Run, name: str) -> Message:
        found = next(d for d in self._board.table(Difference) if (d.run, d.key) == (run.number, name))
        asked = () if run.kind == "promotion" or found.disposed else self._audience("admins")
        return difference_reply(run, found, self._release(run), asked)

    def _onlookers(self, run: Run, noted: Noted | None) -> Message:
        """Who was let in to look, or else whose hands were there."""
        if noted is not None and isinstance(noted.entry.event, InspectionEntered):
            return visit_reply(noted.entry.by, noted.entry.event, self._until(run))
        return hands_reply(run)

    def _digest(self, until: datetime) -> Message:
        escaped = [(escape.release, escape.at) for escape in self._board.table(Escape)]
        weeks = weekly(self._board.table(Release), self._board.table(Run), until, 2, escaped)
        begin = until - timedelta(weeks=1)
        missed = [m for m in self._board.table(Missed) if begin <= datetime.fromisoformat(m.at) < until]
        return digest_message(weeks, len(missed), self._timezone)

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
            ways=self._ways(run),
            standing=self._standing_of(run),
        )

    def _ways(self, run: Run) -> Ways | None:
        """None where there is nothing to go back from, or where the package or the configuration is gone."""
        if self._ways_of is None or not run.release or not stranded(run):
            return None
        try:
            return self._ways_of(run.release, run.environment)
        except (Refusal, LookupError):
            return None

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
        prod = run.kind in CHANGE_PROD
        if run.verdict == "errored" or (prod and run.verdict != "passed"):
            return self._audience("admins")
        return ()

    def _settled(self, run: Run, release: Release | None) -> bool:
        """Whether what the end's buttons offer was done, or is not to be done any more."""
        if release is None or (run.kind == "rehearsal" and release.rehearsal != run.number):
            return True
        return any(
            later.release == release.id and later.number > run.number and later.kind in CHANGE_PROD
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
        logs = {name: self._data_dir / hosts[name].log for name in shown if hosts[name].log}
        return {
            name: replies.tail(end_of(path, TAIL_BYTES, self._masker), hosts[name].outcome)
            for name, path in logs.items()
        }

    def _outward(self, message: Message) -> Message:
        """Secrets masked, commands called what they are called here."""
        blocks = tuple(_within(block, self._said) for block in message.blocks)
        return Message(self._said(message.text), blocks, message.broadcast)

    def _said(self, text: str) -> str:
        text = self._masker.text(text)
        return _COMMAND.sub(lambda found: self._commands.get(found[1], found[0]), text)


def as_they_were(path: Path, seqs: set[int]) -> dict[int, Noted]:
    """The records with these numbers, each with what there was as of then: the ledger folded anew. Raises Damaged."""
    documents: dict[Key, Any] = {}
    found: dict[int, Noted] = {}
    told = ""
    for record, _ in ledger.read(path):
        entry = ledger.entry(record)
        changes = fold.apply(documents, entry)
        documents |= changes
        if isinstance(entry.event, MessagePosted):
            told = max(told, entry.event.ts)
        if entry.seq in seqs:
            number = getattr(entry.event, "run", None)
            found[entry.seq] = Noted(entry, fold.run(documents, number) if number else None, told)
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
