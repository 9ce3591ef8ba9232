"""Decides what is to go wrong in the lab's Slack: faults that tests order, each for so many calls or seconds."""

import math
import time
from typing import Annotated, ClassVar, Literal, TypeVar

import msgspec

Token = Literal["bot", "app"]
Times = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Limit(msgspec.Struct, tag="429", tag_field="kind"):
    """Calls of `method`, or of any, are not made and answered with 429 and this Retry-After."""

    done: ClassVar[bool] = False
    method: str = ""
    times: Times = 1
    seconds: Seconds = 1.0


class Fail(msgspec.Struct, tag="500", tag_field="kind"):
    """Calls are answered with status 500 and a page; `done`: they are made first."""

    method: str = ""
    times: Times = 1
    done: bool = False


class Garbage(msgspec.Struct, tag="garbage", tag_field="kind"):
    """Calls are answered with status 200 and what is no JSON; `done`: they are made first."""

    method: str = ""
    times: Times = 1
    done: bool = False


class Nothing(msgspec.Struct, tag="nothing", tag_field="kind"):
    """Calls are not answered for so many seconds, and then cut; `done`: they are made first."""

    method: str = ""
    times: Times = 1
    seconds: Seconds = 1.0
    done: bool = False


class Late(msgspec.Struct, tag="late", tag_field="kind"):
    """Calls are made at once and answered so many seconds later."""

    done: ClassVar[bool] = True
    method: str = ""
    times: Times = 1
    seconds: Seconds = 1.0


class DropAfter(msgspec.Struct, tag="drop_after", tag_field="kind"):
    """Calls are made, and then the connection is cut instead of an answer."""

    done: ClassVar[bool] = True
    method: str = ""
    times: Times = 1


class Error(msgspec.Struct, tag="error", tag_field="kind"):
    """Calls are not made and refused with `error`."""

    done: ClassVar[bool] = False
    error: str
    method: str = ""
    times: Times = 1


class Twice(msgspec.Struct, tag="twice", tag_field="kind"):
    """Envelopes of type `envelope`, or of any, are delivered twice."""

    envelope: str = ""
    times: Times = 1


class Hold(msgspec.Struct, tag="hold", tag_field="kind"):
    """Envelopes are delivered so many seconds late; their ack is waited for from then on."""

    envelope: str = ""
    times: Times = 1
    seconds: Seconds = 1.0


class DropSockets(msgspec.Struct, tag="drop_socket", tag_field="kind"):
    """Every socket ends now without a word: reset, or else merely closed."""

    reset: bool = True


class Disconnect(msgspec.Struct, tag="disconnect", tag_field="kind"):
    """Every socket gets a `disconnect` frame now, and is closed."""

    reason: str = "refresh_requested"


class Silence(msgspec.Struct, tag="silence", tag_field="kind"):
    """The sockets that there are now stay open and are dead: what the app sends is not read, and what is sent to
    them is lost. Slack counts them as connections until they end: they are its ghosts."""


class Ghosts(msgspec.Struct, tag="ghosts", tag_field="kind"):
    """So many connections more than the app knows of: counted in `hello`, and given their turn of the envelopes."""

    count: Annotated[int, msgspec.Meta(ge=0)] = 1


class NoSockets(msgspec.Struct, tag="no_socket", tag_field="kind"):
    """New sockets are refused at the door for so many seconds; null: until all is well again."""

    reason: Literal["refused", "too_many_websockets"] = "refused"
    seconds: Seconds | None = None


class Revoke(msgspec.Struct, tag="revoke", tag_field="kind"):
    """Calls with these tokens are refused with `error` until all is well again."""

    tokens: tuple[Token, ...] = ("bot", "app")
    error: str = "token_revoked"


class Standing(msgspec.Struct, tag="channel", tag_field="kind"):
    """How the bot stands in a channel from now on, until all is well again."""

    channel: str = "C01DEPLOYS"
    member: bool = True
    archived: bool = False


class Out(msgspec.Struct, tag="out", tag_field="kind"):
    """Slack is away for so many seconds (null: until all is well again): sockets are reset, connections are cut."""

    seconds: Seconds | None = None


Calls = Limit | Fail | Garbage | Nothing | Late | DropAfter | Error
Envelopes = Twice | Hold
Fault = (
    Calls | Envelopes | DropSockets | Disconnect | Silence | Ghosts | NoSockets | Revoke | Standing | Out
)  # by its `kind`
E = TypeVar("E", Twice, Hold)


class Faults:
    """The faults that are still to come, oldest first, and those that last. `standing`: channels out of which the bot
    was put, or which were archived."""

    def __init__(self) -> None:
        self.pending: list[Calls | Envelopes] = []
        self.revoked: dict[Token, str] = {}
        self.standing: set[str] = set()
        self._out_until = -math.inf
        self._shut = ""
        self._shut_until = -math.inf

    def add(self, fault: Calls | Envelopes) -> None:
        """One that strikes calls or envelopes to come."""
        self.pending.append(fault)

    def away(self, seconds: float | None) -> None:
        """Slack is out for so long, or until `clear`."""
        self._out_until = _end(seconds)

    def shut(self, reason: str, seconds: float | None) -> None:
        """No new socket for so long, or until `clear`."""
        self._shut, self._shut_until = reason, _end(seconds)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.pending.clear()
        self.revoked.clear()
        self._out_until = self._shut_until = -math.inf

    @property
    def out(self) -> bool:
        """Whether Slack is away now."""
        return time.monotonic() < self._out_until

    @property
    def no_sockets(self) -> str:
        """Why a new socket is refused now; empty where it is not."""
        return self._shut if time.monotonic() < self._shut_until else ""

    def call(self, method: str) -> Calls | None:
        """The fault that strikes this call, if there is one; it counts as used."""
        for fault in self.pending:
            if isinstance(fault, Calls) and fault.method in ("", method):
                self._use(fault)
                return fault
        return None

    def envelope(self, kind: type[E], of_type: str) -> E | None:
        """The fault of that kind that strikes this envelope, if there is one; it counts as used."""
        for fault in self.pending:
            if isinstance(fault, kind) and fault.envelope in ("", of_type):
                self._use(fault)
                return fault
        return None

    def _use(self, fault: Calls | Envelopes) -> None:
        fault.times -= 1
        if fault.times <= 0:
            self.pending.remove(fault)


def _end(seconds: float | None) -> float:
    return math.inf if seconds is None else time.monotonic() + seconds
