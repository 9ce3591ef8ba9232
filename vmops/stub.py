"""Touches vCenter's wire: pyVmomi's plain stub, whose calls end in time even on a server that drips."""

import socket
import threading
from contextlib import suppress
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
        connection.watch = watch
        return connection

    def ReturnConnection(self, conn: Any) -> None:
        conn.watch.cancel()
        super().ReturnConnection(conn)  # type: ignore[no-untyped-call]


def _cut(connection: Any) -> None:
    """Shut down, not closed: the thread that reads from it must see the end."""
    with suppress(OSError, AttributeError, ValueError):
        held = socket.socket(fileno=socket.dup(connection.sock.fileno()))
        with held:
            held.shutdown(socket.SHUT_RDWR)
