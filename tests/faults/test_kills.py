"""The bot killed at random instants of rehearsals and promotions: each ends as it should, and nothing is lost or twice.

`make test` runs a sample, `make faults` (QUARTERDECK_FAULTS=all) five hundred kills and more. QUARTERDECK_SEED repeats
what a failure named: that seed's evening comes first.
"""

import signal
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from faults import errands, scenes
from faults.harness import opened
from faults.plays import play, renew
from faults.seeds import APART, WHOLE
from faults.tally import Tally


class Death(NamedTuple):
    """How the bot dies, how often in a sample, how often in each of how many parts of the whole, and how probably the
    processes of a host die with it."""

    signal: signal.Signals
    sample: int
    whole: int
    parts: int = 1
    crashes: float = 0.0


DEATHS = {
    "the bot killed at a random instant of a run": Death(signal.SIGKILL, 6, 100, parts=5),
    "the bot killed, and what ran on a host too": Death(signal.SIGKILL, 3, 100, crashes=0.5),
    "the bot stopped at a random instant of a run": Death(signal.SIGTERM, 2, 100),
}

PARTS = [(fault, part) for fault, death in DEATHS.items() for part in range(death.parts if WHOLE else 1)]


@pytest.mark.parametrize(("fault", "part"), PARTS)
def test_dead_at_random_instants_of_rehearsals_and_promotions(
    tmp_path: Path, tally: Tally, seed: int, fault: str, part: int
) -> None:
    death, seed = DEATHS[fault], seed + part * APART
    bad: list[str] = []
    died: Counter[str] = Counter()
    labs = 0
    while died.total() < (wanted := death.whole if WHOLE else death.sample):
        labs += 1
        with opened(tmp_path / f"lab-{labs}", scenes.environments) as site:
            site.signal = death.signal
            while died.total() < wanted:
                print(f"QUARTERDECK_SEED={seed}, {died.total()} deaths so far", flush=True)
                died_after, findings = play(site, seed, kills=5, crashes=death.crashes)
                died.update(died_after)
                tally.count(fault, len(died_after), findings)
                bad += [f"QUARTERDECK_SEED={seed}: {finding.kind}: {finding.what}" for finding in findings]
                seed += 1
                if findings:  # what comes next is not to suffer from it
                    break
    print("died after:", dict(died.most_common()))
    assert not bad, "\n".join(bad)


def test_killed_while_a_machine_is_made_anew(tmp_path: Path, tally: Tally, seed: int) -> None:
    died = 0
    with opened(tmp_path / "lab", errands.furnished) as site:
        while died < (60 if WHOLE else 1):
            print(f"QUARTERDECK_SEED={seed}", flush=True)
            died_after, findings = renew(site, seed, kills=4)
            tally.count("the bot killed while a VM is made anew", len(died_after), findings)
            assert not findings, f"QUARTERDECK_SEED={seed}: {findings}"
            died, seed = died + len(died_after), seed + 1
