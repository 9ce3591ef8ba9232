"""Touches logs, facts and the ledger to make the files that go into a thread, secrets masked."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from bot import ledger
from bot.board import Board
from bot.line.blocks import flat
from bot.masking import Masker
from bot.report import report
from bot.telling.bundles import bundle
from bot.telling.chart import chart
from bot.telling.scribe import Noted
from bot.texts import end_of
from plans.evidence import evidence
from plans.figures import weekly
from plans.records import Release, Run
from plans.rule_events import ReportAsked, WeekOver
from plans.rule_records import Difference, Escape, Missed

SNIPPET = 1_000_000
"""Bytes of a log that are shown as a file: Slack takes a snippet of one megabyte."""

WEEKS = 12
"""Weeks that the digest's chart has side by side."""


class Attached(msgspec.Struct, frozen=True):
    """A file: its name, by which it is found again, its title, and what makes its content: empty where it has none."""

    name: str
    title: str
    content: Callable[[], str | bytes]


class Attachments:
    """What a key of the outbox that has `/log/` in it stands for."""

    def __init__(self, board: Board, data_dir: Path, masker: Masker, timezone: ZoneInfo) -> None:
        self._board = board
        self._data_dir = data_dir
        self._masker = masker
        self._timezone = timezone

    def file(self, key: str, noted: Noted) -> Attached:
        """The file of a key. Raises ValueError for a key that is none's."""
        match key.split("/"), noted.entry.event:
            case ["run", _, "step", step, _, "log", number], _ if noted.run:
                return self._log(noted.run, int(step), int(number))
            case ["run", _, "end", "log", _], _ if noted.run:
                return self._bundle(noted.run)
            case ["run", _, "report", seq, "log", _], ReportAsked(release=release):
                return self._report(release, seq)
            case ["digest", seq, "log", _], WeekOver(until=until):
                return self._chart(datetime.fromisoformat(until), seq)
        raise ValueError(f"no file is called {key}")

    def _log(self, run: Run, step: int, number: int) -> Attached:
        """The log of a written step on the `number`th (1, 2, …) of the hosts whose output is shown whole."""
        record = run.steps[step]
        place, host = record.shown_logs[number - 1]
        where = f" on {place}" if place else ""
        title = f"{flat(record.name, 100)}{where}, attempt {host.attempt}: all output"
        name = f"run-{run.number}-{Path(host.log).name}"
        path = self._data_dir / host.log
        return Attached(name, self._masker.text(title), lambda: end_of(path, SNIPPET, self._masker))

    def _bundle(self, run: Run) -> Attached:
        """All that a failed rehearsal left to be looked at, as one archive."""

        def packed() -> bytes:
            found = [difference for difference in self._board.table(Difference) if difference.run == run.number]
            return bundle(run, found, self._data_dir, self._masker)

        return Attached(f"run-{run.number}.zip", f"Run {run.number}: logs, facts and differences", packed)

    def _report(self, release: str, seq: str) -> Attached:
        """The evidence of a release as it is now."""

        def page() -> bytes:
            records = (ledger.entry(record) for record, _ in ledger.read(self._board.ledger.path))
            html = report(evidence(records, release), made=self._board.now(), timezone=self._timezone)
            return self._masker.text(html).encode()

        return Attached(f"{release}-{seq}.html", f"{release}: the evidence", page)

    def _chart(self, until: datetime, seq: str) -> Attached:
        """The last weeks side by side."""

        def drawn() -> bytes:
            escaped = [(escape.release, escape.at) for escape in self._board.table(Escape)]
            missed = [night.at for night in self._board.table(Missed)]
            releases, runs = self._board.table(Release), self._board.table(Run)
            return chart(weekly(releases, runs, until, WEEKS, escaped, missed), self._timezone)

        return Attached(f"deployments-{seq}.png", f"Deployments of the last {WEEKS} weeks", drawn)
