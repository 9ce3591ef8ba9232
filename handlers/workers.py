"""Touches threads: a bounded pool for the work that a command asks for, after it was acknowledged."""

import logging
import queue
import threading
import time
from collections.abc import Callable

from plans.errors import Refusal

log = logging.getLogger(__name__)


class Workers:
    """`threads` at work and at most `waiting` jobs in line. Daemons: they keep no process from ending."""

    def __init__(self, threads: int = 8, waiting: int = 64) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._waiting = waiting
        self._closed = False
        self._taking = threading.Lock()
        self._threads = [threading.Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Lines a job up. Raises Refusal `stopping` after `close`, `overloaded` when too many wait already."""
        with self._taking:
            if self._closed:
                raise Refusal("stopping", "Quarterdeck is stopping; nothing was done.", "Try again when it is back.")
            if self._jobs.qsize() >= self._waiting:
                message = "Too many requests are waiting, so this one was not taken and nothing was done."
                raise Refusal("overloaded", message, "Try again in a minute.")
            self._jobs.put(job)

    def close(self, within: float = 2.0) -> None:
        """Takes nothing more, and gives what was taken `within` seconds to end."""
        with self._taking:
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)
        until = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            log.warning("not every request that was taken has ended")

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                log.exception("a job left its own boundary")
