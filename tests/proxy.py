"""A TCP proxy on loopback that does to connections what networks do: cuts, holds and slows them."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

UP, DOWN = "up", "down"
"""Towards the server, and back."""

_AT_ONCE = 4096


@dataclass
class Pair:
    """One connection: the client's socket and the server's, and how many bytes went each way."""

    client: socket.socket
    server: socket.socket
    passed: dict[str, int] = field(default_factory=lambda: {UP: 0, DOWN: 0})
    held: bool = False
    over: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Leads to one port, of this machine or another. `rate`: bytes a second each way, 0 for all that go through."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._to = host, port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.rate = 0
        self.pairs: list[Pair] = []
        self.cuts = 0
        self._free = threading.Condition()
        self._cut_at: dict[str, int] = {}
        self._threads = [self._run(self._accept)]

    def cut(self) -> None:
        """Resets every connection."""
        with self._free:
            for pair in self.alive():
                self._reset(pair)

    def cut_after(self, way: str, count: int) -> None:
        """Resets a connection once so many more bytes have gone that way, over whichever; once."""
        with self._free:
            self._cut_at = {way: count}

    def hold(self) -> None:
        """Lets nothing through any more on the connections that there are, and says nothing: a path that froze."""
        with self._free:
            for pair in self.alive():
                pair.held = True

    def alive(self) -> list[Pair]:
        return [pair for pair in self.pairs if not pair.over.is_set()]

    def close(self) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _run(self, target: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        thread.start()
        return thread

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._to, 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(client, server)
            self.pairs.append(pair)
            self._threads.append(self._run(self._carry, pair, client, server, UP))
            self._threads.append(self._run(self._carry, pair, server, client, DOWN))

    def _carry(self, pair: Pair, source: socket.socket, sink: socket.socket, way: str) -> None:
        with suppress(OSError):
            while data := source.recv(_AT_ONCE):
                with self._free:
                    while pair.held and not pair.over.is_set():
                        self._free.wait()
                    left = self._cut_at.get(way)
                    if left is not None and len(data) > left:
                        sink.sendall(data[:left])
                        self._cut_at = {}
                        self._reset(pair)
                        return
                    if left is not None:
                        self._cut_at[way] = left - len(data)
                if self.rate:
                    pair.over.wait(len(data) / self.rate)
                sink.sendall(data)
                pair.passed[way] += len(data)
        with self._free:
            if not pair.over.is_set():
                self._end(pair)

    def _reset(self, pair: Pair) -> None:
        self.cuts += 1
        for end in (pair.client, pair.server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end(pair)

    def _end(self, pair: Pair) -> None:
        pair.over.set()
        self._free.notify_all()
        for end in (pair.client, pair.server):
            with suppress(OSError):
                # The other direction's thread waits in a call that a mere close would not end.
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def proxy_to(port: int, host: str = "127.0.0.1") -> Iterator[Proxy]:
    """A proxy to that port."""
    proxy = Proxy(port, host)
    try:
        yield proxy
    finally:
        proxy.close()
