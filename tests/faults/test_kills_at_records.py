"""The bot killed before and after every type of ledger record: what was written stands, what was not is done again.

`make test` draws a few; `make faults` (QUARTERDECK_FAULTS=all) takes every type at every point. QUARTERDECK_SEED draws
what was drawn before.
"""

import random
from contextlib import suppress
from pathlib import Path
from typing import get_args

from faults import checker, errands, scenes
from faults.accounts import due
from faults.checker import WRONG, Finding
from faults.doomed import POINTS
from faults.errands import ERRANDS, OFTEN, WITHOUT
from faults.harness import Site, Stuck, opened
from faults.people import Team
from faults.seeds import WHOLE
from faults.tally import Tally

from plans.events import AnyEvent

SAMPLE = 3
EVERY = [(kind, point) for kind in ERRANDS for point in POINTS]

WHEN = {
    "before": "before a record",
    "torn": "in a record that is torn",
    "unsynced": "after a record, before its fsync",
    "synced": "after a record, before anybody is told",
}


def test_every_type_of_record_has_an_errand() -> None:
    """Where this fails there is a new type: give it an errand in errands.py, or say there why it needs none."""
    kinds = {event.__struct_config__.tag for event in get_args(AnyEvent)}
    assert kinds == ERRANDS.keys() | WITHOUT.keys()
    assert not ERRANDS.keys() & WITHOUT.keys()


def test_killed_at_a_record(tmp_path: Path, tally: Tally, seed: int) -> None:
    print(f"QUARTERDECK_SEED={seed}")
    dice, bad, labs = random.Random(seed), [], 0
    left = EVERY if WHOLE else dice.sample(EVERY, SAMPLE)
    while left:
        labs += 1
        with opened(tmp_path / f"lab-{labs}", errands.furnished) as site:
            findings: list[Finding] = []
            while left and not findings:  # what comes next is not to suffer from it
                (kind, point), *left = left
                nth = dice.randint(1, OFTEN.get(kind, 1))
                print(f"{point} {kind}, number {nth}", flush=True)
                findings = struck(site, kind, nth, point)
                tally.count(f"the bot killed {WHEN[point]}", 1, findings)
                bad += [f"{point} {kind}, number {nth}: {found.kind}: {found.what}" for found in findings]
    assert not bad, "\n".join([f"QUARTERDECK_SEED={seed}", *bad])


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
