"""Plays what runs write down, on a real board, for tests of what is told of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.board import Board
from bot.ledger import Ledger
from plans import events as e
from plans.records import CHANGE_PROD, Release, Run

REHEARSAL = ("power_on", "restore", "confirm", "snapshot", "deploy", "test")


class Scene:
    """A board whose clock stands at 21:00 until somebody moves it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.time = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
        self.board = Board(Ledger.open(data_dir), lambda: self.time)

    def passes(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def says(self, event: e.AnyEvent, by: str = "quarterdeck") -> e.Entry:
        return self.board.record(by, event)

    def hands_off(self, name: str = "R-1", version: str = "2.4.0", summary: str = "Order history") -> Release:
        self.says(
            e.PackageHandedOff(
                release=name,
                app="webshop",
                version=version,
                digest="ab" * 32,
                bytes=81_234,
                source="slack",
                summary=summary,
                changes=("SHOP-101 database: Orders get an archived flag",),
                warnings=("no check covers SHOP-101",),
                notes="Works on QA.",
            ),
            by="U01DEV",
        )
        return self.board.release(name)

    def begins(self, number: int, kind: str = "rehearsal", release: str | None = "R-1", total: int = 12) -> Run:
        where = "prod" if kind in CHANGE_PROD else "staging"
        self.says(
            e.RunStarted(
                run=number, kind=kind, release=release, environment=where, plans="p", app="webshop", total=total
            ),
            by="U02ADMIN",
        )
        return self.board.run(number)

    def starts(
        self, run: int, step: int, phase: str, name: str, *hosts: str, written: bool = False, attempt: int = 1
    ) -> None:
        for host in hosts or ("",):
            self.says(
                e.StepStarted(
                    run=run,
                    phase=phase,
                    step=step,
                    name=name,
                    host=host or None,
                    attempt=attempt,
                    written=written,
                    of=len(hosts) or 1,
                )
            )

    def ends(
        self,
        run: int,
        step: int,
        host: str = "",
        outcome: str = "ok",
        *,
        code: int | None = 0,
        reason: str = "",
        output: str = "",
        attempt: int = 1,
    ) -> None:
        record = self.board.run(run).steps[step].hosts[host]
        path = f"logs/run-{run}/{step:02}-{host.replace('/', '-') or 'run'}-{attempt}.log"
        (self.data_dir / path).parent.mkdir(parents=True, exist_ok=True)
        (self.data_dir / path).write_text(output)
        self.says(
            e.StepFinished(
                run=run,
                step=step,
                host=host or None,
                attempt=attempt,
                outcome=outcome,
                exit=code,
                seconds=(self.time - datetime.fromisoformat(record.started)).total_seconds(),
                log=path,
                reason=reason,
            )
        )

    def does(self, run: int, step: int, phase: str, name: str, *hosts: str, written: bool = False, **how: str) -> None:
        """A step from beginning to end, two seconds of it, the same on all its hosts."""
        self.starts(run, step, phase, name, *hosts, written=written)
        self.passes(2)
        for host in hosts or ("",):
            self.ends(run, step, host, **how)  # type: ignore[arg-type]

    def asks(
        self,
        run: int,
        step: int,
        why: str,
        choices: tuple[str, ...] = ("retry", "skip", "abort"),
        role: str = "admins",
    ) -> None:
        number = len(self.board.run(run).questions) + 1
        self.says(e.RunPaused(run=run, step=step, why=why, question=number, choices=choices, role=role))

    def finishes(self, number: int, verdict: str, reason: str = "") -> Run:
        run = self.board.run(number)
        self.says(e.RunFinished(run=number, verdict=verdict, clean=run.clean, reason=reason))
        return self.board.run(number)

    def reaches_deploy(self, run: int = 1) -> None:
        """The machinery's own steps before the package's: power-on, confirm, a snapshot, unpacked."""
        self.does(run, 1, "power_on", "Go back to the last snapshot", "web", "db")
        self.does(run, 2, "power_on", "Prove isolation")
        self.says(e.IsolationJudged(run=run, verdict="proved", evidence=("web: eth0 is on isolated-staging",)))
        self.does(run, 3, "power_on", "Power on", "web", "db")
        self.does(run, 4, "restore", "Restore the orders", "db", written=True, output="restored 120 orders\n")
        self.does(run, 5, "confirm", "Prove isolation")
        self.does(run, 6, "snapshot", "Take a snapshot", "web", "db")
        self.does(run, 7, "deploy", "Unpack the package", "web", "db")
