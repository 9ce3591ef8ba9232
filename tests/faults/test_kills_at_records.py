"""The bot killed before and after every type of ledger record: what was written stands, what was not is done again.

`make test` draws a few; `make faults` (QUARTERDECK_FAULTS=all) takes every type at every point. QUARTERDECK_SEED draws
what was drawn before.
"""

import random
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import get_args

import pytest
from faults import checker, errands, scenes
from faults.accounts import due
from faults.checker import WRONG, Finding
from faults.doomed import POINTS
from faults.errands import AGED, ERRANDS, OFTEN
from faults.harness import Site, Stuck, opened
from faults.people import Team
from faults.seeds import WHOLE
from faults.tally import Tally

from plans.events import AnyEvent

SAMPLE = 3
SHARDS = 4
"""In how many parts, which may be done at once, the whole is done."""

EVERY = [(kind, point) for kind in ERRANDS for point in POINTS]

WHEN = {
    "before": "before a record",
    "torn": "in a record that is torn",
    "unsynced": "after a record, before its fsync",
    "synced": "after a record, before anybody is told",
}


def test_every_type_of_record_has_an_errand() -> None:
    """Where this fails there is a new type: give it an errand."""
    assert {event.__struct_config__.tag for event in get_args(AnyEvent)} == ERRANDS.keys()


@pytest.mark.parametrize("shard", range(SHARDS if WHOLE else 1))
def test_killed_at_a_record(tmp_path: Path, tally: Tally, seed: int, shard: int) -> None:
    print(f"QUARTERDECK_SEED={seed}, shard {shard}")
    dice, labs, bad = random.Random(f"{seed}/{shard}"), count(1), []
    for draws in _sharing(EVERY[shard::SHARDS] if WHOLE else dice.sample(EVERY, SAMPLE)):
        while draws:
            with opened(tmp_path / f"lab-{next(labs)}", errands.furnished) as site:
                AGED.get(draws[0][0], lambda site: None)(site)
                bad += _until_one_is_found(site, draws, dice, tally)
    assert not bad, "\n".join([f"QUARTERDECK_SEED={seed}", *bad])


def _until_one_is_found(site: Site, draws: list[tuple[str, str]], dice: random.Random, tally: Tally) -> list[str]:
    """Takes the draws one by one, and leaves those that come after a finding: they are not to suffer from it."""
    as_it_was = {file: file.read_text() for file in site.folder.glob("*.yaml")}
    while draws:
        kind, point = draws.pop(0)
        nth = dice.randint(1, OFTEN.get(kind, 1))
        print(f"{point} {kind}, number {nth}", flush=True)
        findings = struck(site, kind, nth, point)
        tally.count(f"the bot killed {WHEN[point]}", 1, findings)
        if findings:
            return [f"{point} {kind}, number {nth}: {found.kind}: {found.what}" for found in findings]
        for file, text in as_it_was.items():
            file.write_text(text)
    return []


def _sharing(draws: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The draws, in parts that are done one after the other in the same lab: what is aged has one of its own."""
    return [[draw for draw in draws if draw[0] not in AGED], *([draw] for draw in draws if draw[0] in AGED)]


def struck(site: Site, kind: str, nth: int, point: str) -> list[Finding]:
    """What is not as it should be after an errand whose bot died at that record."""
    team = Team(site)
    errand = ERRANDS[kind](team)
    try:
        next(errand)
        if site.alive:
            team.is_told(due)
        site.kill()
        deaths = site.deaths
        site.start(kind, str(nth), point)
        with suppress(StopIteration):
            next(errand)
        if site.deaths == deaths and not site.strikes():
            return [Finding(WRONG, f"{kind} was not reached")]
        site.kill()
        team.is_told(due)
        site.kill()
    except (Stuck, AssertionError) as wrong:
        return [Finding(WRONG, f"{type(wrong).__name__}: {wrong}; the bot's log: {site.log}")]
    return [Finding(WRONG, line) for line in site.errors()] + checker.check(scenes.evidence(site))
