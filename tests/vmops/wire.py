"""A wire to a vCenter that can be cut: TLS on both sides, each call counted, and what was ordered done to it."""

import http.client
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

METHOD = re.compile(rb"<soapenv:Body>\s*<(\w+)")
PAGE = b"<html><body><p>The service is being restarted</body></html>"


@dataclass(eq=False)
class _Order:
    how: str
    method: str
    after: int


class Wire(ThreadingHTTPServer):
    """Passes calls on. `calls` are the SOAP methods that reached the vCenter; `order` tells what goes wrong."""

    daemon_threads = True

    def __init__(self, port: int, cert_file: Path, key_file: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.load_cert_chain(cert_file, key_file)
        self.trust, self.behind = trust, port
        self.port: int = self.server_address[1]
        self.calls: list[str] = []
        self.closing = threading.Event()
        self._ordered: list[_Order] = []
        self._first: dict[str, Callable[[], None]] = {}
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def order(self, how: str, method: str, times: int = 1, *, after: int = 0) -> None:
        """Lets the next calls of `method` (of any where it is empty), after so many, meet with one of

        `cut before` (it never arrives), `cut after` (it is made, its answer lost), `silence` (it never arrives, nothing
        comes back), `503`, `page` (a 200 with somebody's page), `broken` (half the answer).
        """
        self._ordered.extend([_Order(how, method, after) for _ in range(times)])

    def before(self, method: str, do: Callable[[], None]) -> None:
        """Lets that happen before the next call of `method` arrives."""
        self._first[method] = do

    def strike(self, method: str) -> str:
        """What is to happen to this call."""
        self._first.pop(method, lambda: None)()
        matching = [one for one in self._ordered if one.method in ("", method)]
        due = next((one for one in matching if not one.after), None)
        for one in matching:
            one.after = max(0, one.after - 1)
        if due is None:
            return ""
        self._ordered.remove(due)
        return due.how

    def heal(self) -> None:
        self._ordered.clear()
        self._first.clear()

    def count(self, method: str) -> int:
        return self.calls.count(method)

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def finish_request(self, request, client_address):  # type: ignore[no-untyped-def]
        request.settimeout(60)
        with self.trust.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):  # type: ignore[no-untyped-def]
        """A client that hung up, or did not trust us."""


@dataclass
class _Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Wire

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = METHOD.search(body)
        method = found[1].decode() if found else "?"
        how = self.server.strike(method)
        match how:
            case "cut before":
                return self._hang_up()
            case "silence":
                self.server.closing.wait(60)
                return self._hang_up()
            case "503" | "page":
                return self._say(_Answer(503 if how == "503" else 200, PAGE, {"Content-Type": "text/html"}))
        self.server.calls.append(method)
        answer = self._pass_on(body)
        if how == "cut after":
            return self._hang_up()
        self._say(answer, broken=how == "broken")

    def _pass_on(self, body: bytes) -> _Answer:
        context = ssl._create_unverified_context()
        behind = http.client.HTTPSConnection("127.0.0.1", self.server.behind, timeout=60, context=context)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() in ("cookie", "soapaction")}
            behind.request("POST", self.path, body, {"Content-Type": "text/xml", **headers})
            answer = behind.getresponse()
            kept = {
                name: value for name, value in answer.getheaders() if name.lower() in ("set-cookie", "content-type")
            }
            return _Answer(answer.status, answer.read(), kept)
        finally:
            behind.close()

    def _say(self, answer: _Answer, broken: bool = False) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if broken else answer.body)
        self.wfile.flush()
        if broken:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""
