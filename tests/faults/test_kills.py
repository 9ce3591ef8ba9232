"""The bot killed at random instants of rehearsals and promotions: each ends as it should, and nothing is lost or twice.

`make test` runs a sample, `make faults` (QUARTERDECK_FAULTS=all) five hundred kills. QUARTERDECK_SEED repeats what a
failure named: that seed's round comes first.
"""

import random
from collections import Counter
from pathlib import Path

from faults import checker, scenes
from faults.checker import WRONG, Finding
from faults.harness import Site, Stuck, Team, lives, opened
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
                print(f"QUARTERDECK_SEED={seed}", flush=True)
                died_after, findings = play(site, seed)
                killed.update(died_after)
                tally.count("the bot killed at a random instant", len(died_after), findings)
                bad += [f"QUARTERDECK_SEED={seed}: {finding.kind}: {finding.what}" for finding in findings]
                seed += 1
                if findings:  # what comes next is not to suffer from it
                    break
    print("killed after:", dict(killed.most_common()))
    assert not bad, "\n".join(bad)


def play(site: Site, seed: int) -> tuple[list[str], list[Finding]]:
    """One package from its hand-off to prod, by a bot that is killed again and again: what the ledger's last record was
    at each kill, and what is not as it should be."""
    dice = random.Random(seed)
    team = Team(site)
    try:
        release = team.hands_off(scenes.draft(site, f"1.{seed}.0", dice))
        ends = {}
        for text, kind in ((f"/stage run {release}", "rehearsal"), (f"/promote {release}", "promotion")):
            team.lives = lives(dice, dice.randint(1, 5))
            site.kill_in(dice.expovariate(1 / 0.4))
            ends[kind] = team.sees_through(team.begins(text, kind))
        team.lives = lambda: None
        site.kill()
        team.is_told(checker.due)
        site.kill()
    except Stuck as stuck:
        return team.died_after, [Finding(WRONG, f"{stuck}; the bot's log: {site.log}")]
    wrong = [Finding(WRONG, f"the {kind} {end['verdict']}: {end['reason']}") for kind, end in ends.items()]
    wrong = [one for one, end in zip(wrong, ends.values(), strict=True) if end["verdict"] != "passed"]
    wrong += [Finding(WRONG, line) for line in site.errors()]
    return team.died_after, wrong + checker.check(scenes.evidence(site))
