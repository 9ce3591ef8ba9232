"""Touches this machine's processes: finds those of one VM by the mark that each of them carries, and signals them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "LAB_VM"


def of_vm(instance_uuid: str) -> list[int]:
    """The ids of the VM's processes: all that carry its mark, however they detached themselves."""
    mark = f"{MARK}={instance_uuid}".encode()
    return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if mark in _environ(pid)]


def send(instance_uuid: str, number: signal.Signals) -> bool:
    """Signals every process of the VM; whether there was one."""
    found = of_vm(instance_uuid)
    for pid in found:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    return bool(found)


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has fetched yet after its end does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def kill(instance_uuid: str) -> None:
    """Ends every process of the VM; returns when none is left."""
    # A process shows an empty environment for a moment while it executes another program, so that one look that finds
    # nothing proves nothing.
    quiet = 0
    while quiet < 2:
        quiet = 0 if send(instance_uuid, signal.SIGKILL) else quiet + 1
        await asyncio.sleep(0.01)


@contextmanager
def standing_still(instance_uuid: str) -> Iterator[None]:
    """No process of the VM runs inside of this."""
    send(instance_uuid, signal.SIGSTOP)
    try:
        yield
    finally:
        send(instance_uuid, signal.SIGCONT)


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is somebody else's
        return []
