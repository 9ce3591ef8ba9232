"""Touches vCenter's wire: pyVmomi's plain stub, whose calls end in time even on a server that drips."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from pyVmomi.SoapAdapter import SoapStubAdapter

WHOLE = 300.0
"""Seconds for a whole answer: the socket's own time limit starts anew with each byte. The largest take a few."""


class BoundedStub(SoapStubAdapter):
    """Cuts the connection of a call that is not over after `WHOLE` seconds; the caller sees a lost answer."""

    def GetConnection(self) -> Any:
        connection = super().GetConnection()  # type: ignore[no-untyped-call]
        watch = threading.Timer(WHOLE, _cut, [connection])
        watch.daemon = True
        watch.start()
        if not hasattr(connection, "watch"):  # one that is closed, because its answer was lost, is not given back
            connection.close = partial(_closed, connection, connection.close)
        connection.watch = watch
        return connection

    def ReturnConnection(self, conn: Any) -> None:
        conn.watch.cancel()
        super().ReturnConnection(conn)  # type: ignore[no-untyped-call]


def _closed(connection: Any, close: Callable[[], None]) -> None:
    connection.watch.cancel()
    close()


def _cut(connection: Any) -> None:
    """Shut down, not closed: the thread that reads from it must see the end."""
    with suppress(OSError, AttributeError, ValueError):
        held = socket.socket(fileno=socket.dup(connection.sock.fileno()))
        with held:
            held.shutdown(socket.SHUT_RDWR)
