"""Touches a machine's own records of who logged in on it, to look."""

import math
import re
from time import time as now

from plans.hands import Seen, logins
from vmops.jobs import ask
from vmops.transport import Limit, Transport, Trouble

_CLOCK = re.compile(r"clock [0-9]{1,11} [0-9]{1,11}( |\n|$)")
"""What the answer begins with: the clock there, since when it looked, and whence Quarterdeck itself came."""


def read_logins(transport: Transport, since: float, limit: Limit) -> Seen:
    """Who logged in since then (a Unix time by our clock). Raises as `Transport.exec`, and Trouble."""
    ago = max(0, math.ceil(now() - since)) + 1
    code, said = ask(transport, transport.language.logins(ago), limit)
    if code or not _CLOCK.match(said):
        raise Trouble(f"it does not tell who logged in: {said or f'exit code {code}'}")
    return logins(said, now())
