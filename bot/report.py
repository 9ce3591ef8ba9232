"""Decides how the evidence of one release looks: one HTML file that needs nothing else, on a screen and on paper."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from bot.line.blocks import amount
from bot.telling.cards import PHASES
from plans.evidence import Attempt, Evidence, RunEvidence
from plans.gates import Gate
from plans.quantities import spell
from plans.records import Run

if TYPE_CHECKING:
    from jinja2 import Environment


class Standing(msgspec.Struct, frozen=True):
    """Where a release stands, in a sentence; `tone` is ok, bad or odd."""

    words: str
    tone: str


class Span(msgspec.Struct, frozen=True):
    """How long a phase took, in seconds; `share` is its part of the run's time, for drawing."""

    name: str
    seconds: float
    share: float
    tone: str


def report(
    evidence: Evidence,
    *,
    made: datetime,
    timezone: ZoneInfo,
    gates: Iterable[Gate] = (),
    names: Mapping[str, str] | None = None,
) -> str:
    """The report as HTML. `gates` are shown where they were judged; `names`: people's names by their Slack ids."""
    page = _page(timezone, names or {})
    template = page.from_string(files("bot").joinpath("report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        release=evidence.release,
        standing=standing(evidence),
        runs=evidence.runs,
        noted=evidence.noted,
        head=evidence.head,
        gates=tuple(gates),
        made=made,
        timezone=timezone.key,
    )


def _page(timezone: ZoneInfo, names: Mapping[str, str]) -> "Environment":
    """What a template may use."""
    from jinja2 import Environment, StrictUndefined

    def local(at: datetime | str) -> datetime:
        return (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(timezone)

    def person(user: str) -> str:
        return f"{names[user]} ({user})" if user in names else user

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["groupby_in_order"] = _by_phase
    page.globals |= {
        "moment": lambda at: f"{local(at):%Y-%m-%d %H:%M:%S}",
        "clock": lambda at: f"{local(at):%H:%M:%S}",
        "person": person,
        "named": lambda text: re.sub(r"<@(\w+)>", lambda found: person(found[1]), text),
        "amount": amount,
        "spell": spell,
        "took": lambda run: spell(_seconds(run.at, run.finished)),
        "tone": _tone,
        "ending": _ending,
        "phases": _spans,
        "phase_name": lambda phase: PHASES.get(phase, phase.replace("_", " ").capitalize()),
    }
    return page


def standing(evidence: Evidence) -> Standing:
    """Where the release stands, by its latest promotion, rollback or rehearsal that says something about it."""
    release = evidence.release
    if release.withdrawn is not None:
        return Standing(f"Withdrawn: {release.withdrawn or 'no reason given'}", "bad")
    if release.defective is not None:
        return Standing(f"Defective: {release.defective}", "bad")
    for one in reversed(evidence.runs):
        run = one.run
        if run.active:
            return Standing(f"Run {run.number}, a {run.kind}, is under way", "odd")
        if run.verdict in ("passed", "failed") and run.kind in _SAYS:
            return Standing(f"{_SAYS[run.kind][run.verdict]} (run {run.number})", _tone(run))
    return Standing("Handed off; no rehearsal has passed or failed yet", "odd")


_SAYS = {
    "rehearsal": {"passed": "Passed its latest rehearsal", "failed": "Failed its latest rehearsal"},
    "promotion": {"passed": "On prod: deployed, tested and watched", "failed": "Its promotion failed"},
    "rollback": {"passed": "Rolled back", "failed": "Its rollback failed"},
    "revert": {"passed": "Taken back by the snapshot of before it", "failed": "Its revert failed"},
}


def _ending(run: Run) -> str:
    if run.active:
        return "Under way"
    clean = "" if run.kind != "rehearsal" or run.verdict != "passed" else ", clean" if run.clean else ", not clean"
    return f"{run.verdict.capitalize()}{clean}" + (f": {run.reason}" if run.reason else "")


def _tone(run: Run) -> str:
    if run.verdict == "passed":
        return "ok" if run.clean else "odd"
    return "bad" if run.verdict in ("failed", "errored") else "odd"


def _by_phase(attempts: Iterable[Attempt]) -> list[tuple[str, list[Attempt]]]:
    return [(phase, list(its)) for phase, its in groupby(attempts, key=lambda attempt: attempt.phase)]


def _spans(one: RunEvidence) -> list[Span]:
    """How the run's time went, phase by phase in the order of their beginnings."""
    found = []
    for phase, attempts in _by_phase(one.attempts):
        ended = [attempt.ended for attempt in attempts if attempt.ended]
        seconds = _seconds(attempts[0].started, max(ended)) if ended else 0.0
        worst = next((tone for tone in ("bad", "odd") if tone in map(_outcome_tone, attempts)), "")
        found.append(Span(PHASES.get(phase, phase), seconds, 0.0, worst))
    whole = sum(span.seconds for span in found) or 1.0
    return [msgspec.structs.replace(span, share=round(max(span.seconds / whole, 0.004), 4)) for span in found]


def _outcome_tone(attempt: Attempt) -> str:
    return {"ok": "", "failed": "bad", "errored": "bad"}.get(attempt.outcome, "odd")


def _seconds(begun: str, ended: str) -> float:
    return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds())
