"""Touches the HTTPS doors through which files go into guests and come out: kept open, verified as their vCenter is."""

import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import BinaryIO
from urllib.parse import urlsplit

from vmops.transport import Limit, Lost, Refused, Sink, Unreachable

SECONDS = 30.0
"""For connecting, for each piece that is sent, and for each that is waited for."""

IDLE = 10.0
"""Seconds after which an unused connection is not used again: the host may be about to close it."""

CHUNK = 256 * 1024


class Transfers:
    """The connections to one vSphere's hosts, for any number of threads. `address`: its vCenter's, as host:port.

    An address for a transfer is good once. All raise Unreachable, Refused, Lost, Cancelled, Overdue.
    """

    def __init__(self, tls: ssl.SSLContext, address: str) -> None:
        self._tls, self._address = tls, address
        self._lock = threading.Lock()
        self._idle: defaultdict[str, list[tuple[HTTPSConnection, float]]] = defaultdict(list)

    def send(self, url: str, data: BinaryIO, size: int, limit: Limit) -> None:
        """Puts so many bytes of `data` there."""

        def chunks() -> Iterator[bytes]:
            while chunk := data.read(CHUNK):
                limit.check()
                yield chunk

        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        with self._connection(url) as connection, _told(connection):
            _ask(connection, "PUT", url, chunks(), headers).read()

    def fetch(self, url: str, sink: Sink, limit: Limit) -> None:
        """Hands over what is there, as it comes."""
        with self._connection(url) as connection:
            with _told(connection):
                answer = _ask(connection, "GET", url, None, {})
            while True:
                limit.check()
                with _told(connection):
                    chunk = answer.read(CHUNK)
                if not chunk:
                    break
                sink(chunk)
            if answer.length:  # which http.client does not find worth an exception
                raise Lost(f"{connection.host} broke off in the middle of a file")

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        with self._lock:
            idle = [connection for waiting in self._idle.values() for connection, _ in waiting]
            self._idle.clear()
        for connection in idle:
            connection.close()

    @contextmanager
    def _connection(self, url: str) -> Iterator[HTTPSConnection]:
        """A connection to the host of that address, for this thread alone; kept where nothing went wrong."""
        host = urlsplit(url).netloc
        if host.partition(":")[0] == "*":  # vSphere's way to say: the one that was asked for the transfer
            host = self._address
        connection = self._kept(host) or self._opened(host)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle[host].append((connection, time.monotonic()))

    def _kept(self, host: str) -> HTTPSConnection | None:
        stale = []
        with self._lock:
            waiting = self._idle[host]  # in the order of their last use
            while waiting and time.monotonic() - waiting[0][1] > IDLE:
                stale.append(waiting.pop(0)[0])
            connection = waiting.pop()[0] if waiting else None
        for each in stale:
            each.close()
        return connection

    def _opened(self, host: str) -> HTTPSConnection:
        connection = HTTPSConnection(host, timeout=SECONDS, context=self._tls)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise Refused(
                f"{host}, through which the files of guests go, has a certificate that is not trusted "
                f"({error.verify_message}); ca_file must hold the CA that signed this one as well"
            ) from error
        except OSError as error:
            raise Unreachable(
                f"{host}, through which the files of guests go, cannot be reached from here: {error.strerror or error}"
            ) from error
        return connection


def _ask(
    connection: HTTPSConnection, method: str, url: str, body: Iterator[bytes] | None, headers: dict[str, str]
) -> HTTPResponse:
    parts = urlsplit(url)
    connection.request(method, f"{parts.path}?{parts.query}", body, headers)
    answer = connection.getresponse()
    if answer.status >= 300:
        why = answer.read(300).decode(errors="replace").strip()
        raise Lost(
            f"{connection.host} answers {answer.status} {answer.reason} instead of taking or giving a file: {why}"
        )
    return answer


@contextmanager
def _told(connection: HTTPSConnection) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        cause = error or type(error).__name__
        raise Lost(f"{connection.host}: the connection for a file of the guest was lost: {cause}") from error
