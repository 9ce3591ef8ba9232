"""Decides how simply a message must be written: as richly as this workspace was seen to take it."""

import logging

from bot.line.blocks import Message
from bot.telling.backlog import Post, thread_of
from bot.telling.cards import RUNGS
from bot.telling.scribe import Noted, Scribe

log = logging.getLogger(__name__)


class Drafts:
    """What the scribe writes, one rung lower for all runs, or without blocks for one message, once that was refused."""

    def __init__(self, scribe: Scribe) -> None:
        self._scribe = scribe
        self._plain: set[str] = set()
        self._rung = 0

    def first(self, post: Post) -> Message:
        """A message that is to be posted. One that cannot be written must not keep all others back."""
        try:
            return self.again(post.key, post.noted)
        except Exception:
            log.exception("%s could not be written", post.key)
            return Message(f"Record {post.seq} of the ledger: see `quarterdeck ledger show` ({post.key}).")

    def again(self, key: str, noted: Noted | None = None) -> Message:
        """A message as it should read now."""
        return self._scribe.write(key, noted, rung=RUNGS[self._rung], plain=key in self._plain)

    def simpler(self, key: str, error: str) -> bool:
        """Whether a simpler way is left: no plan block for any run from now on, or no blocks for this one message."""
        if key in self._plain:
            return False
        if key.startswith("run/") and key == thread_of(key) and RUNGS[self._rung] == "plan":
            self._rung += 1
            log.warning("this workspace refuses the plan block (%s): runs are shown in sections from now on", error)
        else:
            self._plain.add(key)
            log.warning("%s is told in plain text: %s", key, error)
        return True
