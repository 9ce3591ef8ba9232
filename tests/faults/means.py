"""Touches a lab as several errands do: makes releases, sees runs through, types until something is on the ledger."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from faults import scenes
from faults.accounts import Record
from faults.harness import Site, package
from faults.people import ADMIN, Team

Errand = Callable[[Team], Iterator[None]]
"""What comes before its `yield` is done by a bot that nobody kills, what comes after it by one that is doomed."""


def usual(site: Site) -> tuple[dict[str, Any], ...]:
    """Steps that do something on each host."""
    return (
        {"name": scenes.STOP, "on": "web", "run": site.act(0)},
        {"name": scenes.CHANGE, "on": "web", "serial": 1, "run": site.act(0.05)},
    )


def fresh(site: Site, *steps: dict[str, Any]) -> Path:
    """An archive that was not handed off yet, of these steps, or else of the usual ones."""
    number = len(list((site.folder / "drafts").glob("*"))) if (site.folder / "drafts").exists() else 0
    return package(site, f"2.{number}.0", list(steps or usual(site)))


def released(team: Team, *steps: dict[str, Any]) -> str:
    return team.hands_off(fresh(team.site, *steps))


def passed(team: Team, text: str, kind: str) -> int:
    run = team.begins(text, kind)
    end = team.sees_through(run)
    assert end["verdict"] == "passed", end
    return run


def rehearsed(team: Team, *steps: dict[str, Any]) -> str:
    release = released(team, *steps)
    passed(team, f"/stage run {release}", "rehearsal")
    return release


def does(team: Team, text: str, kind: str, user: str = ADMIN, /, **wanted: Any) -> list[Record]:
    """Types it until there is one more such record."""
    before = len(team.site.book.of(kind, **wanted))
    found: list[Record] = team.types(user, text, lambda: team.site.book.of(kind, **wanted)[before:])
    return found


def configured(team: Team, change: Callable[[dict[str, Any]], object]) -> None:
    """The bot is off, and finds another configuration when it comes back."""
    team.site.kill()
    team.site.configure(change)


def ruled(team: Team, **policy: Any) -> None:
    configured(team, lambda config: config["policy"].update(policy))


def tested(team: Team, checks: str) -> None:
    """The bot is off, and finds another test plan when it comes back."""
    team.site.kill()
    (team.site.folder / "shop.tests.yaml").write_text(f"app: shop\n{checks}\n")


def reason(team: Team) -> str:
    """Words that nobody used before."""
    return f"for reason {len(team.site.book.read())}"


def waiting(site: Site) -> tuple[dict[str, Any], Path]:
    """A step that waits for a file, and that file."""
    go = site.folder / f"go-{len(site.book.read())}"
    return {"name": "Wait", "on": "web", "run": f"until [ -e {go} ]; do sleep 0.05; done"}, go


def clock(site: Site, seconds: float) -> datetime:
    """What the office's clock shows so many seconds from now."""
    return datetime.now(ZoneInfo(site.document["timezone"])) + timedelta(seconds=seconds)


def tomorrow(site: Site) -> str:
    return f"{clock(site, 86400):%Y-%m-%d}"
