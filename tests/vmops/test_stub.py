"""A vCenter that answers a byte at a time, for ever: no call waits for its end."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.vcenter import make_certificates
from plans.environment import VCenter
from vmops import stub
from vmops.transport import Unreachable
from vmops.vcenter import Session


@pytest.fixture
def trickle(tmp_path: Path) -> Iterator[VCenter]:
    """Takes every connection and answers with one more header byte every 50 ms."""
    authority, certificate, key = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    door = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip(accepted: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(accepted, server_side=True) as peer:
            peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not over.wait(0.05):
                peer.sendall(b"x")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(door.accept()[0],), daemon=True).start()

    listening = threading.Thread(target=serve, daemon=True)
    listening.start()
    yield VCenter(host="127.0.0.1", port=door.getsockname()[1], username="q", password="secret", ca_file=str(authority))
    over.set()
    with suppress(OSError):
        door.shutdown(socket.SHUT_RDWR)
    door.close()
    listening.join(5)


def test_a_call_ends_in_time_even_so(trickle: VCenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub, "WHOLE", 0.5)
    session = Session(trickle)
    with pytest.raises(Unreachable, match="vCenter"):
        session.read(lambda content: content.about)
    session.close()
