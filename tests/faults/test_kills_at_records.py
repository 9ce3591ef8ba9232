"""The bot killed before and after every type of ledger record: what was written stands, what was not is done again.

`make test` draws a few; `make faults` (QUARTERDECK_FAULTS=all) takes every type at every point. QUARTERDECK_SEED draws
what was drawn before.
"""

import random
from contextlib import suppress
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
    dice, bad, labs = random.Random(f"{seed}/{shard}"), [], 0
    left = EVERY[shard::SHARDS] if WHOLE else dice.sample(EVERY, SAMPLE)
    for kinds in _sharing(left):
        while kinds:
            labs += 1
            with opened(tmp_path / f"lab-{labs}", errands.furnished) as site:
                AGED.get(kinds[0][0], lambda site: None)(site)
                as_it_was = {file: file.read_text() for file in site.folder.glob("*.yaml")}
                findings: list[Finding] = []
                while kinds and not findings:  # what comes next is not to suffer from it
                    (kind, point), *kinds = kinds
                    nth = dice.randint(1, OFTEN.get(kind, 1))
                    print(f"{point} {kind}, number {nth}", flush=True)
                    findings = struck(site, kind, nth, point)
                    for file, text in as_it_was.items():
                        file.write_text(text)
                    tally.count(f"the bot killed {WHEN[point]}", 1, findings)
                    bad += [f"{point} {kind}, number {nth}: {found.kind}: {found.what}" for found in findings]
    assert not bad, "\n".join([f"QUARTERDECK_SEED={seed}", *bad])


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
