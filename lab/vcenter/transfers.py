"""Touches the files that are on their way into a guest or out of it: one-time addresses, and what is asked of them."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from lab.machines import Machine

LIFETIME = 300.0
"""Seconds for which an address that nobody used is good."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Transfer:
    """One file of `size` bytes, into the guest or out of it; `finish` does the rest once all bytes are there."""

    machine: Machine
    boot_id: str
    file: Path
    size: int
    upload: bool
    finish: Callable[[], None]
    until: float


class Transfers:
    """The transfers that were begun, by the secret of their address."""

    def __init__(self) -> None:
        self._offered: dict[str, Transfer] = {}

    def offer(
        self, machine: Machine, file: Path, size: int, *, upload: bool, finish: Callable[[], None] = lambda: None
    ) -> str:
        """The address of a new transfer; its host is left to the client, which knows where it is connected."""
        token = secrets.token_hex(20)
        until = time.monotonic() + LIFETIME
        self._offered[token] = Transfer(machine, machine.boot_id, file, size, upload, finish, until)
        return f"https://*/guestFile?id={len(self._offered)}&token={token}"

    def take(self, token: str, *, upload: bool) -> Transfer | None:
        """The transfer of that secret, which nobody else can have meanwhile; None where it is not good (any more)."""
        transfer = self._offered.get(token)
        if transfer is None or transfer.upload != upload:
            return None
        del self._offered[token]
        good = transfer.boot_id == transfer.machine.boot_id and transfer.machine.power == "poweredOn"
        return transfer if good and time.monotonic() < transfer.until else None

    def give_back(self, token: str, transfer: Transfer) -> None:
        """The transfer failed, and may be tried again."""
        self._offered[token] = transfer


async def put(http: Request) -> Response:
    """Takes a file, of exactly the size that was said; what came of one that was cut off is left, as it is in vSphere.

    The address is good once.
    """
    transfers: Transfers = http.app.state.vcenter.state.transfers
    token = http.query_params.get("token", "")
    if (transfer := transfers.take(token, upload=True)) is None:
        return Response("no such transfer", 404)
    length = http.headers.get("Content-Length")
    if length is None or int(length) != transfer.size:
        transfers.give_back(token, transfer)
        return Response(f"{transfer.size} bytes were announced, not {length}", 400 if length else 411)
    try:
        with transfer.file.open("wb") as file:
            async for chunk in http.stream():
                if transfer.boot_id != transfer.machine.boot_id or transfer.machine.power != "poweredOn":
                    return Response("the VM was powered off or restarted", 500)
                file.write(chunk)
        transfer.finish()
    except ClientDisconnect:
        transfers.give_back(token, transfer)
        return Response(status_code=400)
    except OSError as problem:
        return Response(f"{problem.strerror}", 500)
    return Response()


async def get(http: Request) -> Response:
    """Gives a file, as long as it was when that was asked. The address is good once."""
    transfers: Transfers = http.app.state.vcenter.state.transfers
    transfer = transfers.take(http.query_params.get("token", ""), upload=False)
    if transfer is None:
        return Response("no such transfer", 404)
    try:
        file = transfer.file.open("rb")
    except OSError as problem:
        return Response(f"{problem.strerror}", 500)
    if os.fstat(file.fileno()).st_size < transfer.size:
        file.close()
        return Response("the file is shorter than it was", 500)
    return StreamingResponse(
        _pieces(file, transfer.size),
        headers={"Content-Length": str(transfer.size)},
        media_type="application/octet-stream",
    )


async def _pieces(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    with file:
        while size and (piece := await asyncio.to_thread(file.read, min(size, _CHUNK))):
            size -= len(piece)
            yield piece


ROUTES = [Route("/guestFile", put, methods=["PUT"]), Route("/guestFile", get, methods=["GET"])]
