"""Touches its own life: does what `quarterdeck` does, and kills itself at one record of the ledger.

`doomed.py TYPE NTH POINT serve --config FILE`. POINT says when: `before` the record is written; `torn`, with half of
its line on disk, as a power cut leaves it; `unsynced`, written but not synced; `synced`, before anybody is told.
"""

import os
import signal
import sys
from datetime import datetime
from typing import Any

import msgspec

from bot.ledger import Ledger
from plans.events import AnyEvent, Entry

POINTS = ("before", "torn", "unsynced", "synced")

_append, _fdatasync = Ledger.append, os.fdatasync


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def doom(kind: str, nth: int, point: str) -> None:
    """From here on this process dies at the Nth record of that type."""
    seen = 0

    def append(ledger: Ledger, by: str, event: AnyEvent, now: datetime) -> Entry:
        nonlocal seen
        seen += (hit := msgspec.to_builtins(event)["type"] == kind)
        if not hit or seen != nth:
            return _append(ledger, by, event, now)
        begun = ledger.tail.offset

        def fdatasync(file: int) -> None:
            if point == "torn":
                os.ftruncate(file, (begun + os.fstat(file).st_size) // 2)
            if point in ("torn", "unsynced"):
                die()
            _fdatasync(file)

        if point == "before":
            die()
        os.fdatasync = fdatasync
        _append(ledger, by, event, now)
        die()
        raise AssertionError("it lives")

    changed: Any = Ledger
    changed.append = append


if __name__ == "__main__":
    of_type, number, when = sys.argv[1:4]
    doom(of_type, int(number), when)
    sys.argv[1:4] = []
    from bot.__main__ import main

    raise SystemExit(main())
