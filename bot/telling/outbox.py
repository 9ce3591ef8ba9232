"""Touches the board to know what the channel is to be told, each message with what was known when it was called for."""

import logging
from collections.abc import Callable

from bot.board import Board
from bot.ledger import Damaged, stamp
from bot.reading import latest
from bot.telling.backlog import Post, changes, stale
from bot.telling.scribe import Noted, as_they_were
from plans.events import Entry, MessagePosted
from plans.records import Due, Release, Run

log = logging.getLogger(__name__)

RECENT, EVENING = 500, 5000
"""Records before a start whose messages may not have been brought up to date, though they were told; and those that are
looked through at most where something waits since long ago: Slack takes few edits a minute."""


class Outbox:
    """Messages to post and to edit, by key, and `unsure`: those of the posts whose fate is not known.

    `heard` is called, under the board's lock, with each record that somebody may have to be told of.
    """

    def __init__(self, board: Board, heard: Callable[[Noted], None]) -> None:
        self.posts: dict[str, Post] = {}
        self.edits: dict[str, None] = {}
        self.unsure: set[str] = set()
        self._board = board
        self._heard = heard
        self._before: dict[str, int] | None = None
        self._newest = ""

    def listen(self) -> None:
        """From here on it knows of everything: what was not told before, and what is recorded from now on."""
        with self._board.deciding:
            self._board.listeners.append(self._hear)
            known = [run.messages for run in self._board.table(Run)]
            known += [release.messages for release in self._board.table(Release)]
            self._newest = max((ts for messages in known for ts in messages.values()), default="")
            self._before = {due.key: due.seq for due in self._board.table(Due)}

    def take(self, heard: list[Noted]) -> None:
        """What was heard becomes posts and edits; at first also what was due before this start."""
        if self._before is not None:
            before, self._before = self._before, None
            self._remember(before)
            self._bring_up_to_date(before)
        if not heard:
            return
        with self._board.deciding:
            due = list(self._board.table(Due))
            runs = list(self._board.table(Run))
        by_seq = {noted.entry.seq: noted for noted in heard}
        self.posts |= {one.key: _post(one.key, by_seq[one.seq]) for one in due if one.seq in by_seq}
        for noted in heard:
            self.edits |= dict.fromkeys(stale(noted, runs))

    def editable(self) -> list[str]:
        """Keys of stale messages that are posted; one that is yet to be posted will not be stale then."""
        self.edits = {key: None for key in self.edits if key not in self.posts and self.ts(key)}
        return list(self.edits)

    def ts(self, key: str) -> str | None:
        """Where a message stands, as the ledger says; None while it was not posted."""
        table, name = key.split("/")[:2]
        owner = self._board.documents.get(("runs" if table == "run" else "releases", name))
        return owner.messages.get(key) if isinstance(owner, Run | Release) else None

    def again(self, key: str) -> None:
        """A message is to be posted anew: the one that was there cannot serve any more."""
        with self._board.deciding:
            self.posts[key] = Post(key, 0, stamp(self._board.now()), self._board.ledger.tail.hash)

    def told(self, post: Post, channel: str, ts: str) -> None:
        """Written down as posted. Raises OSError where the ledger does not take it: its fate is unsure then."""
        try:
            self._board.record("quarterdeck", MessagePosted(key=post.key, channel=channel, ts=ts))
        except OSError:
            self.unsure.add(post.key)
            raise
        del self.posts[post.key]
        self.unsure.discard(post.key)

    def _hear(self, entry: Entry) -> None:
        if isinstance(entry.event, MessagePosted):
            self._newest = max(self._newest, entry.event.ts)
            return
        number = getattr(entry.event, "run", None)
        self._heard(Noted(entry, self._board.run(number) if number else None, self._newest))

    def _remember(self, before: dict[str, int]) -> None:
        """What was due before this start, as it was then. Each may have been posted by a process that was killed
        before it could write that down."""
        if not before:
            return
        try:
            found = as_they_were(self._board.ledger.path, set(before.values()))
        except Damaged as damaged:
            log.error("%d messages from before this start cannot be told: %s", len(before), damaged)
            return
        self.posts |= {key: _post(key, found[seq]) for key, seq in before.items()}
        self.unsure |= before.keys()

    def _bring_up_to_date(self, before: dict[str, int]) -> None:
        """Messages that were posted before this start may show what was true long before: while Slack was told
        nothing nobody edited them either."""
        with self._board.deciding:
            path, last = self._board.ledger.path, self._board.ledger.tail.seq
            runs = list(self._board.table(Run))
        known = {run.number: run for run in runs}
        first = max(last - EVENING, min([last - RECENT, *before.values()]))
        for entry in latest(path, first):
            noted = Noted(entry, known.get(getattr(entry.event, "run", None) or 0))
            self.edits |= dict.fromkeys(stale(noted, runs))
        for run in runs:
            if run.active:
                self.edits |= dict.fromkeys(filter(changes, run.messages))


def _post(key: str, noted: Noted) -> Post:
    return Post(key, noted.entry.seq, noted.entry.at, noted.entry.hash, noted)
