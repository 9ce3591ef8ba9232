"""Packages are fetched from where the admins allow it, and from nowhere else."""

import hashlib
import socket
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from makers import FILES, MEGABYTE, zip_of

from bot.archives.sources import fetch
from plans.errors import Refusal


class Releases(BaseHTTPRequestHandler):
    """Answers with a file, a redirect, nothing at all, or far too much."""

    def do_GET(self) -> None:
        match self.path.rsplit("/", 1)[1]:
            case "a.zip":
                self._answer(zip_of(FILES))
            case "moved.zip":
                self._redirect("/releases/a.zip")
            case "out.zip":
                self._redirect("/secret/a.zip")
            case "file.zip":
                self._redirect("file:///etc/passwd")
            case "large.zip":
                self._answer(bytes(2 * MEGABYTE))
            case "short.zip":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"PK")
            case _:
                self.send_error(404)

    def _answer(self, data: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """The test says what it needs."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Releases) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def test_an_address_under_a_source_is_fetched(server: str, tmp_path: Path) -> None:
    data = zip_of(FILES)
    for name in ("a.zip", "moved.zip"):
        with fetch(
            f"{server}/releases/{name}",
            [f"{server}/releases/"],
            into=tmp_path,
            most=MEGABYTE,
            digest=hashlib.sha256(data).hexdigest(),
        ) as path:
            assert path.read_bytes() == data
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nothing.zip", "unreachable"),
        ("large.zip", "too_large"),
        ("out.zip", "source_not_allowed"),
        ("file.zip", "unreachable"),
    ],
)
def test_an_answer_that_is_no_package(server: str, tmp_path: Path, name: str, code: str) -> None:
    with (
        pytest.raises(Refusal, match=code),
        fetch(f"{server}/releases/{name}", [f"{server}/releases/"], into=tmp_path, most=MEGABYTE),
    ):
        pytest.fail("it was fetched")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_breaks_off_is_not_taken_for_the_package(server: str, tmp_path: Path) -> None:
    with (
        pytest.raises(Refusal, match="unreachable"),
        fetch(f"{server}/releases/short.zip", [f"{server}/releases/"], into=tmp_path, most=MEGABYTE),
    ):
        pytest.fail("it was fetched")


def test_a_server_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        with pytest.raises(Refusal, match="unreachable"), fetch(address + "a", [address], into=tmp_path, most=1):
            pytest.fail("it was fetched")


def test_another_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of(FILES))
    with (
        pytest.raises(Refusal, match="digest_differs"),
        fetch(str(tmp_path / "a.zip"), [str(tmp_path)], into=tmp_path, most=MEGABYTE, digest="0" * 64),
    ):
        pytest.fail("it was fetched")


SOURCES = ["https://artifacts.example.com/releases/", "https://mirror.example.com:8443", "/srv/drops/"]


@pytest.mark.parametrize(
    "source",
    [
        "https://artifacts.example.com/releases-old/a.zip",
        "https://artifacts.example.com/a.zip",
        "https://artifacts.example.com.evil.example/releases/a.zip",
        "https://artifacts.example.com@evil.example/releases/a.zip",
        "https://user@artifacts.example.com/releases/a.zip",
        "https://artifacts.example.com:8443/releases/a.zip",
        "http://artifacts.example.com/releases/a.zip",
        "https://artifacts.example.com/releases/../a.zip",
        "https://artifacts.example.com/releases/%2e%2e/a.zip",
        "https://artifacts.example.com/releases/..%2fa.zip",
        "https://artifacts.example.com/releases/%5c..%5ca.zip",
        "https://artifacts.example.com/releases//a.zip",
        "https://artifacts.example.com/releases/a.zip#x",
        "https://artifacts.example.com/releases/a b.zip",
        "https://artifacts.example.com:port/releases/a.zip",
        "https://[artifacts/releases/a.zip",
        "https://mirror.example.com/a.zip",
        "ftp://artifacts.example.com/releases/a.zip",
        "file:///srv/drops/a.zip",
        "/srv/drops",
        "/srv/drops/../secret/a.zip",
        "/srv/drops-old/a.zip",
        "/etc/passwd",
        "srv/drops/a.zip",
        "",
    ],
)
def test_a_source_that_is_not_allowed(source: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="source_not_allowed") as caught, fetch(source, SOURCES, into=tmp_path, most=1):
        pytest.fail("it was fetched")
    assert caught.value.hint == "Allowed are: " + ", ".join(SOURCES) + "."


def test_a_file_under_a_source_is_copied_and_a_link_out_of_it_is_not(tmp_path: Path) -> None:
    drops, into = tmp_path / "drops", tmp_path / "into"
    (drops / "web").mkdir(parents=True)
    into.mkdir()
    (tmp_path / "secret.zip").write_bytes(b"secret")
    (drops / "web/a.zip").write_bytes(b"PK")
    (drops / "out.zip").symlink_to(tmp_path / "secret.zip")
    (drops / "up").symlink_to(tmp_path)
    with fetch(str(drops / "web/a.zip"), [f"{drops}/"], into=into, most=2) as path:
        assert path.read_bytes() == b"PK"
    for name, code in (
        ("out.zip", "source_not_allowed"),
        ("up/secret.zip", "source_not_allowed"),
        ("no.zip", "unreachable"),
        ("web", "unreadable"),
    ):
        with pytest.raises(Refusal, match=code), fetch(str(drops / name), [str(drops)], into=into, most=9):
            pytest.fail("it was fetched")
    assert list(into.iterdir()) == []
