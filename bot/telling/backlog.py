"""Decides what is told next, and which messages a record makes stale."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

import msgspec

from bot.telling.scribe import Noted
from plans import events as e
from plans.records import CHANGE_PROD, Question, Run
from plans.rule_events import (
    CheckAssigned,
    DifferenceDisposed,
    HandSeen,
    InspectionClosed,
    InspectionOpened,
    PromotionLeft,
)

SKEW = 86400.0
"""Seconds by which our clock may be wrong: with one that is further off no certificate would hold."""


class Post(msgspec.Struct, frozen=True):
    """A message that is to be posted: `seq`, `at` and `record` are of the ledger's record that calls for it.

    `noted` is absent where a message is posted anew in place of one that cannot be edited any more.
    """

    key: str
    seq: int
    at: str
    record: str
    noted: Noted | None = None

    @property
    def thread(self) -> str:
        return thread_of(self.key)

    @property
    def under(self) -> str:
        """The key of the message that this one replies to; empty where it stands in the channel itself."""
        return "" if self.thread == self.key else self.thread

    @property
    def since(self) -> float:
        """Epoch seconds, by Slack's clock, before which it was not posted: what was told before it came before it.

        Our own clock is asked only where that was long ago: it may be wrong.
        """
        told = self.noted.told if self.noted else ""
        return max(float(told or 0), datetime.fromisoformat(self.at).timestamp() - SKEW)

    @property
    def is_file(self) -> bool:
        """Whether it is a whole output or a run's bundle, uploaded under the thread's message after its reply."""
        return "/log/" in self.key

    @property
    def reply(self) -> str:
        """The key of the reply that a file belongs to: `run/3/step/5/1` for `run/3/step/5/1/log/2`."""
        return self.key.partition("/log/")[0]

    @property
    def urgent(self) -> bool:
        """Questions, ends, and what stands in the channel itself go before the steps of other runs."""
        return not self.under or self.key.endswith("/end") or "/question/" in self.key


def thread_of(key: str) -> str:
    """The key of the message that a message stands under: `run/3` for `run/3/end`; its own where it stands alone."""
    return "/".join(key.split("/")[:2]) if key.startswith("run/") else key


def asked_now(runs: Iterable[Run]) -> set[str]:
    """Keys of the questions that wait for an answer."""
    return {f"run/{run.number}/question/{asked.among}" for run in runs for asked in run.open}


def in_order(posts: Iterable[Post], asked: Collection[str]) -> list[Post]:
    """The next post of each thread, the most wanted first; within a thread the ledger's order is kept. Files apart.

    `asked`: keys of the questions that wait for an answer. Of two threads that are wanted alike, the one that has less
    to tell before what is wanted of it goes first.
    """
    threads: dict[str, list[Post]] = {}
    for post in sorted(posts, key=lambda post: (post.seq, post.key.endswith("/end"))):
        if not post.is_file:
            threads.setdefault(post.thread, []).append(post)
    return [thread[0] for thread in sorted(threads.values(), key=lambda thread: _wanted(thread, asked))]


def _wanted(thread: list[Post], asked: Collection[str]) -> tuple[int, int, int]:
    """A thread's place among others, lowest first: one that begins with what is urgent, one with an open question, one
    with an end or with a question that was answered, one with neither."""
    open_ = [place for place, post in enumerate(thread) if post.key in asked]
    urgent = open_ or [place for place, post in enumerate(thread) if post.urgent]
    if not urgent:
        return 3, 0, thread[0].seq
    rank = 0 if thread[0].urgent else 1 if open_ else 2
    return rank, urgent[0], thread[0].seq


def files_in_order(posts: Iterable[Post]) -> list[Post]:
    """Files whose reply is not to be posted any more, as the ledger has them."""
    waiting = {post.key: post for post in posts}
    files = [post for post in waiting.values() if post.is_file and post.reply not in waiting]
    return sorted(files, key=lambda post: (post.seq, post.key))


def changes(key: str) -> bool:
    """Whether a message is edited after it was posted: cards, questions, differences, hands and ends are."""
    return key == thread_of(key) or key.endswith(("/end", "/hands")) or "/question/" in key or "/difference/" in key


def edits_in_order(keys: Iterable[str], runs: Iterable[Run]) -> list[str]:
    """Messages of runs that have ended first, then questions, the rest as they became stale."""
    ended = {f"run/{run.number}" for run in runs if run.verdict}
    return sorted(keys, key=lambda key: (thread_of(key) not in ended, "/question/" not in key))


def stale(noted: Noted, runs: Iterable[Run]) -> Iterator[str]:
    """Keys of messages that read differently after a record; whether they were ever posted is not looked at."""
    run, event = noted.run, noted.entry.event
    if run is not None:
        yield f"run/{run.number}"
        yield from dict.fromkeys(f"run/{run.number}/question/{asked.among}" for asked in _concerned(run, event))
    match event:
        case DifferenceDisposed(run=number, key=key):
            yield f"run/{number}/difference/{key}"
        case InspectionOpened(run=number) | InspectionClosed(run=number):
            yield f"run/{number}"
            yield f"run/{number}/end"
        case PromotionLeft(run=number):
            yield f"run/{number}/end"
        case HandSeen(run=number):
            yield f"run/{number}/hands"
        case e.RunStarted() if run and run.kind in CHANGE_PROD:
            yield from _ends(run.release, runs)
        case e.RunFinished():
            yield from (f"run/{other.number}" for other in runs if other.active and not other.steps)
            yield from _ends(run.release if run else None, runs)
        case e.ReleaseWithdrawn(release=release) | e.ReleaseDefective(release=release):
            yield f"release/{release}"
            yield from _ends(release, runs)


def _concerned(run: Run, event: e.AnyEvent) -> Iterable[Question]:
    """The questions of a run that read differently after that."""
    match event:
        case e.RunPaused(step=step) | e.RunDecided(step=step) | CheckAssigned(step=step):
            return [asked for asked in run.questions if asked.step == step][-1:]
        case e.RunFinished() | e.RunRestarted():
            answered = {answer.question for answer in run.answered}
            return [asked for asked in run.questions if asked.number not in answered]
    return ()


def _ends(release: str | None, runs: Iterable[Run]) -> Iterator[str]:
    """The ends of a release's runs: their buttons may not apply any more."""
    yield from (f"run/{run.number}/end" for run in runs if run.verdict and release and run.release == release)
