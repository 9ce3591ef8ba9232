"""Touches a vCenter of the lab's own, with thousands of VMs, as the bot does, and counts its calls and its time."""

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from lab.inventory import Inventory
from lab.vcenter import create_app, make_certificates
from plans.environment import VCenter
from vmops.machine import Machine, find
from vmops.snapshots import token
from vmops.transport import Limit
from vmops.vcenter import Session

SIZES = (1_000, 5_000)
LOOKS = 5
SNAPSHOTS = 20

_USER, _PASSWORD, _LEDGER = "bench@vsphere.local", "bench", "bench"


class Counted:
    """An application, and how many calls it took."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        await self._app(scope, receive, send)


def virtual_machines(folder: Path) -> dict[str, Any]:
    """Power states of all VMs in one call, by how many there are; calls and time of a snapshot, how late its end is
    seen. Milliseconds, medians.
    """
    inventory = Inventory(folder, tools=folder / "tools")
    network = inventory.add_port_group("bench", inventory.add_switch("vSwitch1"))
    result: dict[str, Any] = {}
    with _serving(inventory, folder) as (session, counted):
        for size in SIZES:
            for number in range(len(inventory.machines), size):
                inventory.add(f"vm-{number}", address="127.0.0.1", networks=[network], power="poweredOff")
            session.each_vm(["name", "runtime.powerState"])
            result[f"power_states_{size}_ms"] = _median([_power_states(session, size) for _ in range(LOOKS)])
        machine = find(session, "vm-0")
        first, *_ = _snapshot(session, machine, counted, SNAPSHOTS)
        calls, took, late = zip(*(_snapshot(session, machine, counted, n) for n in range(SNAPSHOTS)), strict=True)
    return result | {
        "snapshot_calls_first": first,
        "snapshot_calls": statistics.median(calls),
        "snapshot_ms": _median(took),
        "task_end_seen_late_ms": _median(late),
        "task_end_seen_late_worst_ms": round(max(late), 1),
    }


def _power_states(session: Session, size: int) -> float:
    began = time.perf_counter()
    states = session.each_vm(["name", "runtime.powerState"])
    took = time.perf_counter() - began
    if len(states) != size or not all(told["runtime.powerState"] == "poweredOff" for _, told in states):
        raise RuntimeError(f"the bench's own vCenter told {len(states)} VMs of {size}")
    return took * 1000


def _snapshot(session: Session, machine: Machine, counted: Counted, number: int) -> tuple[int, float, float]:
    """Calls, milliseconds, and milliseconds from the task's end to its return, by the one clock of this machine."""
    before, began = counted.calls, time.perf_counter()
    name = machine.take_snapshot(f"{token(_LEDGER)}{number}", "", _LEDGER, Limit.of(60.0))
    ended, took = datetime.now(UTC), time.perf_counter() - began
    calls = counted.calls - before
    task = session.properties(machine.vm, ["recentTask"])["recentTask"][-1]
    finished = session.properties(task, ["info.completeTime"])["info.completeTime"]
    machine.remove_snapshot(name, _LEDGER, Limit.of(60.0))
    return calls, took * 1000, (ended - finished).total_seconds() * 1000


@contextmanager
def _serving(inventory: Inventory, folder: Path) -> Iterator[tuple[Session, Counted]]:
    ca_file, cert_file, key_file = make_certificates(folder / "tls")
    app = create_app(inventory, _USER, _PASSWORD)
    counted = Counted(app)
    server = uvicorn.Server(
        uvicorn.Config(
            counted,
            port=0,
            ssl_certfile=cert_file,
            ssl_keyfile=key_file,
            timeout_keep_alive=1000,
            timeout_graceful_shutdown=1,
            lifespan="off",
            log_config=None,
        )
    )

    async def serve() -> None:
        await server.serve()
        await app.state.vcenter.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="vcenter")
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the bench's own vCenter did not start")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    session = Session(VCenter(host="127.0.0.1", port=port, username=_USER, password=_PASSWORD, ca_file=str(ca_file)))
    try:
        yield session, counted
    finally:
        session.close()
        server.should_exit = True
        thread.join()


def _median(times: Sequence[float]) -> float:
    return round(statistics.median(times), 1)
