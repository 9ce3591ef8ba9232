"""Touches a lab's bot for one evening: a package from its hand-off to prod, while something goes wrong all the time."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from faults import checker, scenes
from faults.accounts import Record, due
from faults.checker import WRONG, Finding
from faults.harness import Site, Stuck
from faults.people import Team, lives

Trouble = Callable[[Site, random.Random], AbstractContextManager[None]]
"""What goes wrong during a run, from its beginning until it is left."""

PASSED = ("passed",)


def calm(site: Site, dice: random.Random) -> AbstractContextManager[None]:
    return nullcontext()


def play(
    site: Site,
    seed: int,
    trouble: Trouble = calm,
    *,
    kills: int,
    verdicts: tuple[str, ...] = PASSED,
    crashes: float = 0.0,
) -> tuple[list[str], list[Finding]]:
    """One evening, in whose two runs the bot is killed at most so many times each.

    Each time, with the probability `crashes`, the processes of a host die too while the bot is dead. What the ledger's
    last record was at each kill, and what is not as it should be. A promotion is not tried where the rehearsal did not
    pass.
    """
    dice = random.Random(seed)
    team = Team(site)
    team.meanwhile = lambda: site.crash(dice.choice(list(scenes.VMS))) if dice.random() < crashes else None
    ends = {}
    try:
        release = team.hands_off(scenes.draft(site, f"1.{seed}.0", dice))
        for text, kind in ((f"/stage run {release}", "rehearsal"), (f"/promote {release}", "promotion")):
            with trouble(site, dice):
                run = team.begins(text, kind)
                ends[kind] = _dies(team, run, dice, kills) if kills else team.sees_through(run)
            if ends[kind]["verdict"] != "passed":
                break
        site.kill()
        team.is_told(due)
        site.kill()
    except Stuck as stuck:
        return team.died_after, [Finding(WRONG, f"{stuck}; the bot's log: {site.log}")]
    wrong = [
        f"the {kind} {end['verdict']}: {end['reason']}" for kind, end in ends.items() if end["verdict"] not in verdicts
    ]
    findings = [Finding(WRONG, line) for line in wrong + site.errors()]
    return team.died_after, findings + checker.check(scenes.evidence(site))


def renew(site: Site, seed: int, *, kills: int) -> tuple[list[str], list[Finding]]:
    """As `play`, while a VM of staging is made anew from one of prod's."""
    dice = random.Random(seed)
    team = Team(site)
    try:
        run = team.begins("/stage check anew", "check")
        end = _dies(team, run, dice, kills)
        site.kill()
        team.is_told(due)
        site.kill()
    except Stuck as stuck:
        return team.died_after, [Finding(WRONG, f"{stuck}; the bot's log: {site.log}")]
    wrong = [] if end["verdict"] == "passed" else [f"the check {end['verdict']}: {end['reason']}"]
    findings = [Finding(WRONG, line) for line in wrong + site.errors()]
    return team.died_after, findings + checker.check(scenes.evidence(site))


def _dies(team: Team, run: int, dice: random.Random, most: int) -> Record:
    """The end of a run that has begun, whose bot is killed at most so many times from now on."""
    team.lives = lives(dice, dice.randint(1, most) - 1)
    team.site.kill_in(dice.expovariate(1 / 0.4))
    end = team.sees_through(run)
    team.lives = lambda: None
    team.site.spare()
    return end


@contextmanager
def now_and_then(dice: random.Random, happens: Callable[[], object], *, mean: float) -> Iterator[None]:
    """It happens again and again, in seconds apart `mean` on the average."""
    over = threading.Event()
    pauses = [dice.expovariate(1 / mean) for _ in range(200)]

    def work() -> None:
        for pause in pauses:
            if over.wait(pause):
                return
            happens()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
