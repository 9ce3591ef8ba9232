"""Touches HTTP under /lab: lets tests of another process order faults, and set what the VMs are like."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lab.records import Disk, Guest, Question, SharedBus
from lab.vcenter.faults import Fault


class Patch(msgspec.Struct, forbid_unknown_fields=True):
    """What of a VM is to become so; what is left out stays."""

    guest: Guest | msgspec.UnsetType = msgspec.UNSET
    disks: list[Disk] | msgspec.UnsetType = msgspec.UNSET
    shared_bus: SharedBus | msgspec.UnsetType = msgspec.UNSET
    passthrough: list[str] | msgspec.UnsetType = msgspec.UNSET
    consolidation_needed: bool | msgspec.UnsetType = msgspec.UNSET
    question: Question | msgspec.UnsetType | None = msgspec.UNSET


class Store(msgspec.Struct, forbid_unknown_fields=True):
    """The datastore's sizes in bytes; null for those of the file system."""

    capacity: int | None = None
    free_space: int | None = None


async def order(http: Request) -> Response:
    """POST: one fault. DELETE: no fault any more. GET: those that are still to come."""
    faults = http.app.state.vcenter.faults
    try:
        if http.method == "POST":
            faults.add(msgspec.json.decode(await http.body(), type=Fault))
        elif http.method == "DELETE":
            faults.clear()
    except ValueError as problem:  # msgspec's are, too
        return Response(str(problem), 400)
    return Response(msgspec.json.encode(faults.pending), media_type="application/json")


async def set_machine(http: Request) -> Response:
    """PATCH: a Patch of the VM of that name, moid or instance UUID."""
    try:
        machine = http.app.state.vcenter.state.inventory.find(http.path_params["key"])
        patch = msgspec.json.decode(await http.body(), type=Patch)
    except KeyError as unknown:
        return Response(f"no VM {unknown}", 404)
    except ValueError as problem:
        return Response(str(problem), 400)
    _lay_over(machine, patch)
    machine.save()
    return Response(status_code=204)


async def set_store(http: Request) -> Response:
    """PUT: a Store."""
    try:
        store = msgspec.json.decode(await http.body(), type=Store)
    except ValueError as problem:
        return Response(str(problem), 400)
    state = http.app.state.vcenter.state
    _lay_over(state.inventory, store)
    state.changes.touch()
    return Response(status_code=204)


def _lay_over(target: Any, given: msgspec.Struct) -> None:
    for name in given.__struct_fields__:
        if (value := getattr(given, name)) is not msgspec.UNSET:
            setattr(target, name, value)


ROUTES = [
    Route("/lab/faults", order, methods=["GET", "POST", "DELETE"]),
    Route("/lab/machines/{key}", set_machine, methods=["PATCH"]),
    Route("/lab/datastore", set_store, methods=["PUT"]),
]
