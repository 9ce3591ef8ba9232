"""Keeps what happened in the workspace: changes that a page waits for, API calls and Socket Mode envelopes."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

KEPT = 20_000


@dataclass
class CallRecord:
    """One Web API call: its arguments without the token, its answer, when (epoch seconds)."""

    n: int
    at: float
    method: str
    args: dict[str, Any]
    status: int
    answer: dict[str, Any]


@dataclass
class EnvelopeRecord:
    """One Socket Mode envelope; `ack_ms` is None while, or if never, acknowledged; `late` means after the limit."""

    n: int
    at: float
    type: str
    envelope_id: str
    payload: dict[str, Any]
    connection: int | None = None
    ack_ms: float | None = None
    late: bool = False
    error: str = ""
    answer: dict[str, Any] = field(default_factory=dict)


class Journal:
    """The record; the newest `KEPT` entries of each kind. To be used from one event loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._news = asyncio.Event()
        self._closed = False
        self.count = 0
        self.events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.calls: deque[CallRecord] = deque(maxlen=KEPT)
        self.envelopes: deque[EnvelopeRecord] = deque(maxlen=KEPT)

    def tell(self, kind: str, **data: Any) -> None:
        """Append a change and wake everybody who waits for one."""
        self.count += 1
        self.events.append({"n": self.count, "at": self._clock(), "type": kind, **data})
        self._wake()

    def note_call(self, method: str, args: dict[str, Any], status: int, answer: dict[str, Any]) -> None:
        """Append an API call."""
        self.tell("call", method=method, ok=answer.get("ok", False), error=answer.get("error", ""))
        self.calls.append(CallRecord(self.count, self._clock(), method, args, status, answer))

    def note_envelope(self, kind: str, envelope_id: str, payload: dict[str, Any]) -> EnvelopeRecord:
        """Append an envelope that is about to go out; the caller fills in how it went."""
        self.tell("envelope", envelope=kind, envelope_id=envelope_id)
        record = EnvelopeRecord(self.count, self._clock(), kind, envelope_id, payload)
        self.envelopes.append(record)
        return record

    async def after(self, n: int, seconds: float) -> list[dict[str, Any]]:
        """The changes past the `n`th, at once if there are any, else as soon as there are; empty after `seconds`."""
        if self.count <= n and not self._closed and seconds > 0:
            try:
                await asyncio.wait_for(self._news.wait(), seconds)
            except TimeoutError:
                return []
        return [event for event in self.events if event["n"] > n]

    def close(self) -> None:
        """Let everybody who waits go, now and from now on."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def as_json(record: CallRecord | EnvelopeRecord) -> dict[str, Any]:
    """The record as plain data."""
    return asdict(record)
