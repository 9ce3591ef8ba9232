"""Decides what a bench reports: Quarterdeck's times beside what a user would have instead, measured in one run."""

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plans.errors import Refusal

Say = Callable[[str], None]


def machines(say: Say) -> dict[str, Any]:
    """What touching machines costs, in milliseconds, as medians; ratios are Quarterdeck's time over the other's.

    An sshd of its own on loopback, with keys of its own, takes commands from both sides in turn. What is not installed
    is null. `say` is told what is being measured. Raises Refusal (`needs_sshd`).
    """
    from bot.benches.hosts import steps, ten_by_ten, uploads
    from bot.benches.sshd import open_sshd

    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as folder, open_sshd(Path(folder)) as sshd:
        say("a warm step, and the bare command over OpenSSH's ControlMaster, in turn")
        result = steps(sshd)
        say("ten steps on ten hosts, each as a process of its own")
        result |= ten_by_ten(sshd)
        say("64 MiB up")
        result |= uploads(sshd)
    if importlib.util.find_spec("asyncssh") is None:
        say("no vCenter: the extra lab is not installed")
        return {**result, "vcenter": None}
    from bot.benches.vms import virtual_machines

    say("1,000 and 5,000 VMs, and snapshots, in a vCenter of the lab's")
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as folder:
        return {**result, "vcenter": virtual_machines(Path(folder))}


def ledger(say: Say) -> dict[str, Any]:
    """What the ledger costs when it is short and when years are in it, beside TinyDB as it comes and SQLite.

    Times are medians; ratios are the long ledger's time over the short one's. `say` is told what is being measured.
    """
    from bot.benches.ledger import appends, others, starts

    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as folder:
        say("appends behind 100 records and behind 100,000, in turn, and while the read model is written")
        result = appends(Path(folder))
        say("starts behind 100,000 records, each in a process of its own")
        result |= starts(Path(folder))
        say("the same records into TinyDB and into SQLite")
        return result | others(Path(folder))


def commands(say: Say, seconds: int) -> dict[str, Any]:
    """What becomes of 50 commands a second while four runs go on, beside an idle bot and Bolt as it comes.

    `ok` tells whether every aim was met. `say` is told what is being measured. Raises Refusal (`needs_lab`).
    """
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "asyncssh")):
        raise Refusal("needs_lab", "The extra lab is not installed.", "pip install 'quarterdeck[lab]'")
    from bot.benches.commands import commands as measured

    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as folder:
        return measured(Path(folder), seconds, say)
