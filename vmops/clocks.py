"""Touches a machine's clock to look: how far it is from the bot's own."""

import re
from time import time as now

from plans.quantities import spell
from vmops.jobs import ask
from vmops.transport import Limit, Transport, Trouble

FAR = 300.0
"""Seconds that a machine's clock may differ from the bot's for a run to go on: what Kerberos allows, too."""


def ahead(clock: float, before: float, after: float) -> float:
    """How many seconds a clock is ahead that was read between two moments of ours, negative where it is behind."""
    return clock - after if clock > after else min(0.0, clock - before)


def compare_clocks(transport: Transport, limit: Limit) -> None:
    """Raises Trouble where the machine's clock is far from the bot's, or it tells none, and as `Transport.exec`."""
    before = now()
    code, said = ask(transport, transport.language.clock, limit)
    after = now()
    if code or not re.fullmatch(r"[0-9]{1,11}", said):
        raise Trouble(f"it does not tell the time: {said or f'exit code {code}'}")
    seconds = ahead(float(said), before, after)
    if abs(seconds) > FAR:
        way = "ahead of" if seconds > 0 else "behind"
        raise Trouble(
            f"its clock is {spell(abs(seconds))} {way} Quarterdeck's: let both machines take their time from the same "
            f"source (NTP; an isolated one from its ESXi host, by VMware Tools), then try again"
        )
