"""The bot killed at random instants of rehearsals and promotions: each ends as it should, and nothing is lost or twice.

`make test` runs a sample, `make faults` (QUARTERDECK_FAULTS=all) five hundred kills. QUARTERDECK_SEED repeats what a
failure named: that seed's evening comes first.
"""

from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from faults import scenes
from faults.harness import opened
from faults.plays import play
from faults.seeds import WHOLE
from faults.tally import Tally

KILLS = 500 if WHOLE else 12


def test_killed_at_random_instants_of_rehearsals_and_promotions(tmp_path: Path, tally: Tally, seed: int) -> None:
    bad: list[str] = []
    killed: Counter[str] = Counter()
    labs = 0
    while killed.total() < KILLS:
        labs += 1
        with opened(tmp_path / f"lab-{labs}", scenes.environments) as site:
            while killed.total() < KILLS:
                print(f"QUARTERDECK_SEED={seed}, {killed.total()} kills so far", flush=True)
                died_after, findings = play(site, seed, lambda site, dice: nullcontext(), kills=5)
                killed.update(died_after)
                tally.count("the bot killed at a random instant of a run", len(died_after), findings)
                bad += [f"QUARTERDECK_SEED={seed}: {finding.kind}: {finding.what}" for finding in findings]
                seed += 1
                if findings:  # what comes next is not to suffer from it
                    break
    print("killed after:", dict(killed.most_common()))
    assert not bad, "\n".join(bad)
