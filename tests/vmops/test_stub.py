"""A vCenter that answers a byte at a time, or hangs up: no call waits for its end, and none leaves anything behind."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from far_ends import until

from lab.vcenter import make_certificates
from plans.environment import VCenter
from vmops import stub
from vmops.transport import Unreachable
from vmops.vcenter import Session


@contextmanager
def answering(tmp_path: Path, answer: Callable[[ssl.SSLSocket, threading.Event], None]) -> Iterator[VCenter]:
    """Takes every connection, and answers like that until the event is set."""
    authority, certificate, key = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    door = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def talk(accepted: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(accepted, server_side=True) as peer:
            answer(peer, over)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(door.accept()[0],), daemon=True).start()

    listening = threading.Thread(target=serve, daemon=True)
    listening.start()
    yield VCenter(host="127.0.0.1", port=door.getsockname()[1], username="q", password="secret", ca_file=str(authority))
    over.set()
    with suppress(OSError):
        door.shutdown(socket.SHUT_RDWR)
    door.close()
    listening.join(5)


def drip(peer: ssl.SSLSocket, over: threading.Event) -> None:
    """One more header byte every 50 ms."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not over.wait(0.05):
        peer.sendall(b"x")


def hang_up(peer: ssl.SSLSocket, over: threading.Event) -> None:
    peer.recv(100)


def test_calls_whose_answers_were_lost_leave_nobody_who_watches_over_them(tmp_path: Path) -> None:
    with answering(tmp_path, hang_up) as vcenter:
        session = Session(vcenter)
        for _ in range(3):
            with pytest.raises(Unreachable, match="vCenter"):
                session.read(lambda content: content.about)
        session.close()
        until(lambda: not [each for each in threading.enumerate() if isinstance(each, threading.Timer)])


def test_a_call_ends_in_time_even_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub, "WHOLE", 0.5)
    with answering(tmp_path, drip) as trickle:
        session = Session(trickle)
        with pytest.raises(Unreachable, match="vCenter"):
            session.read(lambda content: content.about)
        session.close()
