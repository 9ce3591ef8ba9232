"""Slack fails while the real bot works, by a schedule drawn from a seed: everybody is told once, in order, afterwards.

`make test` plays a sample, `make faults` (QUARTERDECK_FAULTS=all) two hundred. QUARTERDECK_SEED repeats what a failure
named: that seed's schedule comes first.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import checker, scenes
from faults.checker import TWICE, WRONG, Finding
from faults.harness import CHANNEL, Site, Stuck, opened
from faults.people import ADMIN, Team
from faults.seeds import APART, WHOLE
from faults.tally import Tally

PARTS, SCHEDULES = (4, 50) if WHOLE else (1, 5)
A_LAB, A_BOT = 50, 4
"""Schedules that one lab, and one bot, live through: a bot that is cut off ever again waits ever longer before it
connects."""

METHODS = ("chat.postMessage", "chat.postMessage", "chat.update", "conversations.replies", "conversations.history")
Order = tuple[float, str, dict[str, Any]]


def drawn(dice: random.Random) -> list[Order]:
    """What goes wrong when: seconds since the beginning, the fault, and what it is ordered with."""
    return sorted(
        ((dice.choice((0, 0, dice.uniform(0, 4))), *one_fault(dice)) for _ in range(dice.randint(2, 5))),
        key=lambda order: order[0],
    )


def one_fault(dice: random.Random) -> tuple[str, dict[str, Any]]:
    call = {"method": dice.choice(METHODS), "times": dice.choice((1, 1, 2))}
    done, brief = {"done": dice.random() < 0.5}, {"seconds": dice.uniform(0.1, 1.5)}
    faults: list[tuple[str, dict[str, Any]]] = [
        ("429", call | {"seconds": dice.choice((1, 2))}),
        ("500", call | done),
        ("garbage", call | done),
        ("nothing", call | done | brief),
        ("late", call | brief),
        ("drop_after", call),
        ("error", call | {"error": dice.choice(("internal_error", "fatal_error", "service_unavailable"))}),
        ("twice", {"times": 2}),
        ("hold", brief),
        ("drop_socket", {"reset": dice.random() < 0.5}),
        ("disconnect", {}),
        ("no_socket", brief),
        ("out", brief),
    ]
    return dice.choice(faults)


@pytest.mark.parametrize("part", range(PARTS))
def test_everybody_is_told_once_and_in_order_whatever_slack_does(
    tmp_path: Path, tally: Tally, seed: int, part: int
) -> None:
    bad: list[str] = []
    seed += part * APART
    struck: Counter[str] = Counter()
    played = labs = 0
    while played < SCHEDULES:
        labs += 1
        with opened(tmp_path / f"lab-{labs}", scenes.environments) as site:
            team = Team(site)
            while played < min(SCHEDULES, labs * A_LAB):
                print(f"QUARTERDECK_SEED={seed}", flush=True)
                if played % A_BOT == 0:
                    site.kill()
                team.see_to_it()
                dice = random.Random(seed)
                schedule = drawn(dice)
                struck.update(kind for _, kind, _ in schedule)
                findings = play(team, schedule, dice, seed)
                tally.count("a schedule of Slack's faults", 1, findings)
                found = [f"QUARTERDECK_SEED={seed}: {finding.kind}: {finding.what}" for finding in findings]
                for line in found:
                    print(line, flush=True)
                bad += found
                played, seed = played + 1, seed + 1
                if findings:  # what comes next is not to suffer from it
                    break
    print("struck by:", dict(struck.most_common()))
    assert not bad, "\n".join(bad)


def play(team: Team, schedule: list[Order], dice: random.Random, seed: int) -> list[Finding]:
    """A little work, with all that goes wrong meanwhile; then all is well, and what is not as it should be."""
    site, over = team.site, threading.Event()

    def order() -> None:
        passed = 0.0
        for at, kind, more in schedule:
            if over.wait(at - passed):
                return
            passed = at
            site.desk.breaks(kind, **more)

    ordering = threading.Thread(target=order, daemon=True)
    ordering.start()
    try:
        dice.choice((checks, checks, hands_off, locks, rehearses))(team, dice, seed)
        over.set()
        ordering.join()
        site.desk.heals()
        team.is_told(checker.due)
        cards_are_true(team)
    except Stuck as stuck:
        return [Finding(WRONG, f"{stuck}; the bot's log: {site.log}")]
    finally:
        over.set()
        ordering.join()
        site.desk.heals()
    wrong = [Finding(WRONG, line) for line in site.errors()]
    return [*wrong, *done_once(site), *checker.check(scenes.evidence(site))]


def checks(team: Team, dice: random.Random, seed: int) -> None:
    team.sees_through(team.begins("/stage check staging", "check"))


def hands_off(team: Team, dice: random.Random, seed: int) -> None:
    team.hands_off(scenes.draft(team.site, f"2.{seed}.0", dice))


def locks(team: Team, dice: random.Random, seed: int) -> None:
    book = team.site.book
    for word, kind in (("lock", "environment.locked"), ("unlock", "environment.unlocked")):
        before = len(book.of(kind))
        reason = f" schedule {seed}" if word == "lock" else ""
        team.types(ADMIN, f"/stage {word} prod{reason}", lambda k=kind, b=before: book.of(k)[b:])  # type: ignore[misc]


def rehearses(team: Team, dice: random.Random, seed: int) -> None:
    """A new package, with a question on the way, as often as not."""
    release = team.hands_off(scenes.draft(team.site, f"2.{seed}.0", dice))
    team.sees_through(team.begins(f"/stage run {release}", "rehearsal"))


def cards_are_true(team: Team) -> None:
    """Waits until every run's card says how the run ended: no edit is lost for good."""
    site = team.site
    ends = {r["data"]["run"]: r["data"]["verdict"] for r in site.book.of("run.finished")}

    def all_say_so() -> bool:
        said = {message.ts: message.text.lower() for message in site.desk.messages(CHANNEL)}
        cards = {run: site.book.of("message.posted", key=f"run/{run}")[-1]["data"]["ts"] for run in ends}
        return all(verdict in said[cards[run]] for run, verdict in ends.items())

    team.wait(all_say_so, "a card that says how its run ended")


def done_once(site: Site) -> list[Finding]:
    """No more runs, locks and releases than were typed for, however often an envelope came."""
    typed = Counter(
        " ".join(str(one["payload"]["text"]).split()[:2])
        for one in site.desk.envelopes()
        if one["type"] == "slash_commands"
    )
    effects: list[tuple[str, Callable[[], int]]] = [
        ("check staging", lambda: len(site.book.of("run.started", kind="check"))),
        ("lock prod", lambda: len(site.book.of("environment.locked"))),
        ("unlock prod", lambda: len(site.book.of("environment.unlocked"))),
    ]
    more = [(words, count()) for words, count in effects if count() > typed[words]]
    return [Finding(TWICE, f"{words} was typed {typed[words]} times and done {count} times") for words, count in more]
