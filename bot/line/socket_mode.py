"""Touches Slack's Socket Mode: keeps one connection, replaces it before or when it ends, and hands on what arrives."""

import json
import logging
import math
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from http.client import HTTPException
from typing import Any

from slack_bolt import App, BoltRequest
from slack_bolt.adapter.socket_mode.internals import build_headers, send_response
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError, SlackClientNotConnectedError
from slack_sdk.socket_mode.builtin.connection import Connection, ConnectionState
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.line.channel import Answer, Later, Lost, Refused, answer
from bot.line.troubles import LASTED, Trouble, pause
from bot.line.watch import Watch

log = logging.getLogger("quarterdeck.slack")

PING, SILENT = 5.0, 15.0
"""Seconds without a word after which the far end is asked for one, and after which it is taken for gone."""
GREETING = 10.0
"""Seconds in which Slack says hello on a new connection."""
LOOK, LOOK_LONGEST = 30.0, 600.0
"""Seconds after which the connections are counted again where there was one too many."""
FAREWELL = 5.0
"""Seconds that the far end has to say goodbye on a connection that another one took the place of."""
LISTENERS = 10

_GOODBYE = bytes((0x88, 0x80, 0, 0, 0, 0))
"""A close frame as a client sends it: final, masked, empty."""
_QUIET = logging.Logger("socket", logging.CRITICAL + 1)  # the SDK's own words: what matters of them is said here


class _Ear:
    """A socket as the SDK's Connection uses it. Unlike a mere socket's, its end is an error (the SDK would read on
    for ever without a pause), frames are sent whole, `end` wakes who reads, TLS is never read and written at once."""

    def __init__(self, raw: socket.socket) -> None:
        self.heard = time.monotonic()
        self._raw = raw
        self._lock = threading.Lock()
        # No acknowledgement waits for Slack's word on the one before it, as TCP would have it.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ready = select.poll()
        self._ready.register(raw, select.POLLIN)

    def recv(self, size: int) -> bytes:
        while True:
            if not self._pending():
                self._ready.poll()
            with self._lock, suppress(TimeoutError):  # the rest of a TLS record is under way
                data = self._raw.recv(size)
                if not data:
                    raise ConnectionResetError("it was closed at the far end")
                self.heard = time.monotonic()
                return data

    def send(self, data: bytes) -> None:
        with self._lock:
            self._raw.sendall(data)

    def end(self) -> None:
        with suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()

    def _pending(self) -> int:
        pending: Callable[[], int] | None = getattr(self._raw, "pending", None)
        return pending() if pending else 0


class Session(BaseSocketModeClient):
    """One connection from its handshake to its end. `frame` gets each envelope, and `changed` is called when it is
    greeted (`counted`: Slack's connections then), when Slack wants another one (`leaving`), and when it is `over`, all
    from its own thread; `why` says what ended it, or kept it from beginning."""

    def __init__(
        self,
        url: str,
        client: WebClient,
        logger: logging.Logger,
        frame: Callable[["Session", dict[str, Any]], None],
        changed: Callable[[], None],
    ) -> None:
        self.logger = logger
        self.began = time.monotonic()
        self.counted = 0
        self.leaving = self.over = False
        self.why = Trouble("unreachable", "the connection was refused")
        self._known = False
        self._frame = frame
        self._changed = changed
        self._ear: _Ear | None = None
        self._connection = Connection(
            url,
            _QUIET,
            proxy=client.proxy,
            ssl_context=client.ssl,
            receive_buffer_size=16 * 1024,
            on_message_listener=self._heard,
            on_error_listener=self._failed,
            on_close_listener=lambda code, _: self._because("unreachable", f"Slack closed the connection: {code}"),
        )

    @property
    def heard(self) -> float:
        """When the far end was last heard, by the clock that only grows."""
        return self._ear.heard if self._ear else self.began

    def open(self) -> None:
        """Shakes hands, and reads from then on; `over` at once where that failed."""
        self._connection.connect()
        raw = self._connection.sock
        if raw is None:
            self.over = True
            return
        self._ear = _Ear(raw)
        self._connection.sock = self._ear  # type: ignore[assignment]  # all that it does with it, the ear does
        threading.Thread(target=self._read, name="slack-socket", daemon=True).start()

    def ping(self) -> None:
        with suppress(OSError):  # a connection that ended says so itself
            self._connection.ping()

    def send_message(self, message: str) -> None:
        """Raises SlackClientNotConnectedError."""
        self._connection.send(message)

    def end(self, code: str = "", detail: str = "") -> None:
        """Wakes its thread, which leaves."""
        if code:
            self._because(code, detail)
        if self._ear is not None:
            self._ear.end()

    def retire(self) -> None:
        """Says goodbye, and reads on until the far end does: what is under way still arrives, and is answered on the
        connection that took its place."""
        if self._ear is not None:
            with suppress(OSError):
                self._ear.send(_GOODBYE)
        last = threading.Timer(FAREWELL, self.end)
        last.daemon = True
        last.start()

    def _read(self) -> None:
        self._connection.run_until_completion(ConnectionState())  # type: ignore[no-untyped-call]
        self.over = True
        self._changed()

    def _heard(self, text: str) -> None:
        try:
            frame = json.loads(text)
        except ValueError:
            return log.warning("Slack sent what is no JSON; it is left out")
        if frame.get("type") == "hello":
            self.counted = max(1, int(frame.get("num_connections") or 1))
            return self._changed()
        if frame.get("type") == "disconnect":
            self.leaving = True
            self._because(str(frame.get("reason")), "Slack asked for another connection")
            return self._changed()
        self._frame(self, frame)

    def _failed(self, error: Exception) -> None:
        self._because("unreachable", str(error) or type(error).__name__)

    def _because(self, code: str, detail: str) -> None:
        if not self._known:
            self._known, self.why = True, Trouble(code, detail)


class Line:
    """Keeps one connection for the app. `up` is called on each new one.

    Slack asks for a new connection every few hours: it stands before the old one ends, and no command is lost. One
    that nothing is heard from is replaced. After a failure the next try waits, the longer the more there were.
    """

    def __init__(self, app: App, app_token: str, client: WebClient, watch: Watch, up: Callable[[], None]) -> None:
        self.settled = threading.Event()
        self._app = app
        self._token = app_token
        self._client = client
        self._watch = watch
        self._up = up
        self._session: Session | None = None
        self._stopping = False
        self._wake = threading.Event()
        self._replace = False
        self._failures = 0
        self._not_before = self._pinged = self._asked = 0.0
        self._look, self._look_at = LOOK, math.inf
        self._pool = ThreadPoolExecutor(LISTENERS, "slack-listener")
        self._at_work: set[Future[None]] = set()
        self._thread = threading.Thread(target=self._run, name="slack-line", daemon=True)

    def start(self) -> None:
        """Connects in the background; `settled` is set once the first try has come to something."""
        self._thread.start()

    def close(self) -> None:
        """Nothing more is taken; the listeners that are at work have a second to answer."""
        self._stopping = True
        self._wake.set()
        wait(self._at_work.copy(), timeout=1.0)
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._session is not None:
            self._session.end()

    def is_connected(self) -> bool:
        session = self._session
        return session is not None and not session.over

    def _run(self) -> None:
        while not self._stopping:
            self._turn()
            self._wake.wait(self._rest())
            self._wake.clear()

    def _rest(self) -> float:
        """Seconds until there is something to do that nobody wakes it for."""
        if self._session is None or self._replace:
            due = self._not_before
        else:
            due = min(max(self._session.heard, self._pinged) + PING, self._look_at)
        return max(0.0, due - time.monotonic())

    def _turn(self) -> None:
        now, session = time.monotonic(), self._session
        if session is not None and session.over:
            self._session = None
            log.info("the connection to Slack ended: %s (%s)", session.why.code, session.why.detail)
            self._failed(session.why, lasted=now - session.began)
        elif session is not None and session.leaving and not self._replace:
            self._replace = True
            self._failed(session.why, lasted=now - session.began)
        elif session is not None and self._asked > session.heard and now - self._asked >= SILENT - PING:
            session.end("silent", f"nothing was heard for {now - session.heard:.0f} s")
            self._pinged = now
        elif session is not None and now - max(session.heard, self._pinged) >= PING:
            if self._asked <= session.heard:  # its silence counts from here: nobody may have asked for long
                self._asked = now
            session.ping()
            self._pinged = now
        if now >= self._look_at:
            self._replace, self._look_at = True, math.inf
        if (self._session is None or self._replace) and now >= self._not_before:
            self._connect()

    def _connect(self) -> None:
        try:
            url = self._client.apps_connections_open(app_token=self._token)["url"]
        except (SlackClientError, HTTPException, OSError) as error:
            said = answer(error)
            trouble = Trouble(said.error if isinstance(said, Refused) else "unreachable", _detail(said))
            return self._failed(trouble, at_least=said.seconds if isinstance(said, Later) else 0.0)
        session = Session(url, self._client, self._app.logger, self._framed, self._wake.set)
        session.open()
        end = time.monotonic() + GREETING
        while not (session.counted or session.leaving or session.over or self._stopping) and time.monotonic() < end:
            self._wake.wait(max(0.0, end - time.monotonic()))
            self._wake.clear()
        if session.counted and not self._stopping:
            return self._stands(session)
        session.end("unreachable", f"Slack did not say hello within {GREETING:.0f} s")
        self._failed(session.why)

    def _stands(self, session: Session) -> None:
        old, self._session, self._replace = self._session, session, False
        ours = 1 if old is None or old.over else 2
        if old is not None:
            old.retire()
        self._watch.saw("socket", None)
        if others := max(0, session.counted - ours):
            self._watch.saw("others", Trouble("ghosts", f"{others} beside its own"))
            self._look_at, self._look = time.monotonic() + self._look, min(LOOK_LONGEST, 2 * self._look)
        else:
            self._watch.saw("others", None)
            self._look = LOOK
        self.settled.set()
        self._up()

    def _failed(self, why: Trouble, *, lasted: float = 0.0, at_least: float = 0.0) -> None:
        """A connection ended after so many seconds, or did not come about: when the next try is. What the first
        try mends is no trouble."""
        self._failures = 0 if lasted >= LASTED else self._failures + 1
        seconds = max(at_least, pause(why.code, self._failures, random.random()))  # noqa: S311 (a spread, no secret)
        self._not_before = time.monotonic() + seconds
        if self._session is None and self._failures and not self._stopping:
            self._watch.saw("socket", why)
        self.settled.set()

    def _framed(self, session: Session, frame: dict[str, Any]) -> None:
        """Called by a session's thread with each envelope."""
        request = SocketModeRequest.from_dict(frame)
        if request is None or self._stopping:
            return
        with suppress(RuntimeError):  # it stops just now: what was not taken is not acknowledged
            work = self._pool.submit(self._take, session, request, time.monotonic())
            self._at_work.add(work)
            work.add_done_callback(self._at_work.discard)

    def _take(self, session: Session, request: SocketModeRequest, arrived: float) -> None:
        """Called by a listener's thread, which may come to it late: those that have the command must know."""
        began = time.time()
        headers, context = build_headers(request), {"arrived": arrived}
        try:
            response = self._app.dispatch(
                BoltRequest(mode="socket_mode", body=request.payload, headers=headers, context=context)
            )
            # Slack takes an answer by any connection of the app, and this one may have been replaced meanwhile.
            send_response(self._session or session, request, response, began)
        except SlackClientNotConnectedError:
            log.warning("an answer was lost with the connection that the question came by")
        except Exception:
            log.exception("what came from Slack could not be handled")


def _detail(said: Answer) -> str:
    match said:
        case Later(seconds=seconds):
            return f"Slack asks to wait {seconds:.0f} s"
        case Lost(why=why):
            return why
        case _:
            return "apps.connections.open was refused"
