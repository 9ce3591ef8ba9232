"""Speaks Socket Mode: hello, envelopes to one of at most ten connections, their acks, disconnects."""

import asyncio
import json
import secrets
import socket
import struct
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from lab.slack.faults import Faults, Hold, Twice
from lab.slack.journal import EnvelopeRecord, Journal
from lab.slack.people import APP

CONNECTIONS = 10
HOST = "applink-lab-1"
TRANSPORT = "lab.transport"
"""Where the scope of a socket has the connection itself: what no frame can do is done to it."""


@dataclass(frozen=True)
class Ack:
    """How an envelope ended: its payload within the limit, or Slack's name for what went wrong."""

    ms: float
    payload: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass
class _Waiting:
    record: EnvelopeRecord
    sent: float
    answer: "asyncio.Future[dict[str, Any]]"


@dataclass(eq=False)
class _Connection:
    """One that the app opened; without a `socket` a ghost, which swallows what it is given. So does a `dead` one."""

    number: int
    socket: WebSocket | None
    dead: bool = False


class Link:
    """The app's Socket Mode connections. `ack_seconds` is real time."""

    def __init__(self, journal: Journal, ack_seconds: float, faults: Faults) -> None:
        self._journal = journal
        self._ack_seconds = ack_seconds
        self._faults = faults
        self._tickets: set[str] = set()
        self._open: list[_Connection] = []
        self._waiting: dict[str, _Waiting] = {}
        self._count = 0

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def new_ticket(self) -> str:
        """What one connection is let in with."""
        ticket = secrets.token_urlsafe(18)
        self._tickets.add(ticket)
        return ticket

    async def serve(self, door: WebSocket) -> None:
        """One connection from its handshake to its end."""
        ticket = door.query_params.get("ticket", "")
        if ticket not in self._tickets:
            await door.close(4001)
            return
        self._tickets.discard(ticket)
        if self._faults.no_sockets == "refused":
            await door.close()
            return
        await door.accept()
        if len(self._open) >= CONNECTIONS or self._faults.no_sockets:
            await self._say(_Connection(0, door), {"type": "disconnect", "reason": "too_many_websockets"})
            await door.close()
            return
        self._count += 1
        entry = _Connection(self._count, door)
        self._open.append(entry)
        try:
            await self._say(
                entry,
                {"type": "hello", "num_connections": len(self._open), "connection_info": {"app_id": APP}},
            )
            while True:
                self._acked(await door.receive_text())
        except WebSocketDisconnect:
            pass
        finally:
            if entry in self._open:
                self._open.remove(entry)

    async def deliver(self, kind: str, payload: dict[str, Any], accepts: bool) -> Ack:
        """Send an envelope (`slash_commands`, `interactive`, `events_api`) to one connection and wait for its ack.

        Every envelope goes through here. The connections take turns. Without one the error is `dispatch_failed`,
        without an ack in time `operation_timeout`; a late ack is only recorded.
        """
        if hold := self._faults.envelope(Hold, kind):
            await asyncio.sleep(hold.seconds)
        envelope_id = str(uuid.uuid4())
        record = self._journal.note_envelope(kind, envelope_id, payload)
        if not self._open:
            record.error = "dispatch_failed"
            return Ack(0.0, error=record.error)
        entry = self._open.pop(0)
        self._open.append(entry)
        record.connection = entry.number
        frame = {"envelope_id": envelope_id, "type": kind, "payload": payload, "accepts_response_payload": accepts}
        if kind == "events_api":
            frame |= {"retry_attempt": 0, "retry_reason": ""}
        waiting = _Waiting(record, time.perf_counter(), asyncio.get_running_loop().create_future())
        self._waiting[envelope_id] = waiting
        await self._say(entry, frame)
        if self._faults.envelope(Twice, kind):
            await self._say(self._open[0], frame)
        try:
            answer = await asyncio.wait_for(waiting.answer, self._ack_seconds)
        except TimeoutError:
            record.error = "operation_timeout"
            return Ack(self._ack_seconds * 1000, error=record.error)
        return Ack(record.ack_ms or 0.0, answer)

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Ask every connection to be replaced, as Slack does every few hours; ends the old ones."""
        for entry in list(self._open):
            await self._say(entry, {"type": "disconnect", "reason": reason})
            await self._end(entry)

    def drop(self, reset: bool) -> None:
        """Cut every connection, the dead ones too, with a reset or a mere end; no ghost is left."""
        for entry in self._open:
            if entry.socket is not None:
                transport = entry.socket.scope[TRANSPORT]
                if reset:
                    linger = struct.pack("ii", 1, 0)
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                transport.abort()
        self._open.clear()

    def silence(self) -> None:
        """Let the connections that there are be dead: open, unread, and nothing reaches the app by them."""
        for entry in self._open:
            if entry.socket is not None:
                entry.socket.scope[TRANSPORT].pause_reading()
                entry.dead = True

    def haunt(self, count: int) -> None:
        """Let there be so many ghosts."""
        self._open = [entry for entry in self._open if entry.socket is not None]
        for _ in range(count):
            self._count += 1
            self._open.insert(0, _Connection(self._count, None, dead=True))

    def exorcise(self) -> None:
        """Let nothing dead be left: no ghost, no silenced connection."""
        for entry in [entry for entry in self._open if entry.dead]:
            self._open.remove(entry)
            if entry.socket is not None:
                entry.socket.scope[TRANSPORT].abort()

    async def close(self) -> None:
        """End every connection without a word."""
        self.exorcise()
        for entry in list(self._open):
            await self._end(entry)

    async def _end(self, entry: _Connection) -> None:
        if entry in self._open:
            self._open.remove(entry)
        if entry.socket is not None and not entry.dead:
            with suppress(WebSocketDisconnect, RuntimeError):  # the far end was faster
                await entry.socket.close()

    def _acked(self, frame: str) -> None:
        try:
            message = json.loads(frame)
        except ValueError:
            return
        waiting = self._waiting.pop(message.get("envelope_id", ""), None)
        if waiting is None:
            return
        record = waiting.record
        record.ack_ms = round((time.perf_counter() - waiting.sent) * 1000, 2)
        record.late = waiting.answer.done()
        payload = message.get("payload")
        record.answer = payload if isinstance(payload, dict) else {}
        if not waiting.answer.done():
            waiting.answer.set_result(record.answer)

    async def _say(self, entry: _Connection, frame: dict[str, Any]) -> None:
        frame = {**frame, "debug_info": {"host": HOST}} if frame["type"] in ("hello", "disconnect") else frame
        door = entry.socket
        if door is not None and not entry.dead and door.application_state is WebSocketState.CONNECTED:
            with suppress(WebSocketDisconnect, RuntimeError):  # gone in the meantime: the ack will be missing
                await door.send_text(json.dumps(frame))
