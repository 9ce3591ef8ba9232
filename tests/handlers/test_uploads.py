"""Files from Slack's file host: whole, from there alone, and the token to nobody else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from handlers.uploads import brought, from_slack
from plans.errors import Refusal


@pytest.mark.parametrize(
    ("address", "api", "ours"),
    [
        ("https://files.slack.com/files-pri/T1-F1/p.zip", "https://slack.com/api/", True),
        ("https://slack.com/files-pri/T1-F1/p.zip", "https://slack.com/api/", True),
        ("https://files.slack-gov.com/x", "https://slack-gov.com/api/", True),
        ("http://127.0.0.1:8080/files-pri/x", "http://127.0.0.1:8080/api/", True),
        ("http://127.0.0.1:8081/files-pri/x", "http://127.0.0.1:8080/api/", False),
        ("http://files.slack.com/x", "https://slack.com/api/", False),
        ("https://files.slack.com:444/x", "https://slack.com/api/", False),
        ("https://files.slack.com:x/x", "https://slack.com/api/", False),
        ("https://files.slack.com.example.org/x", "https://slack.com/api/", False),
        ("https://example.org/files.slack.com", "https://slack.com/api/", False),
        ("https://files.slack.com@example.org/x", "https://slack.com/api/", False),
        ("https://u:p@files.slack.com/x", "https://slack.com/api/", False),
        ("https://evilslack.com/x", "https://slack.com/api/", False),
        ("file:///etc/passwd", "https://slack.com/api/", False),
        ("None", "https://slack.com/api/", False),
    ],
)
def test_the_token_goes_to_slacks_file_host_alone(address: str, api: str, ours: bool) -> None:
    assert from_slack(address, api) is ours


class Host:
    """A Slack of one file, which answers as it is told to; the tokens that it was shown."""

    token = "xoxb-1"

    def __init__(self) -> None:
        self.status = 200
        self.headers = {"Content-Type": "application/zip"}
        self.body = b"PK" * 500
        self.size = 1000
        self.address = ""
        self.shown: list[str | None] = []
        self.base_url = ""

    def files_info(self, *, file: str) -> dict[str, Any]:
        address = self.address or f"{self.base_url}files-pri/{file}"
        return {"file": {"name": "p.zip", "size": self.size, "url_private_download": address}}


@contextmanager
def served(host: Host) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.shown.append(self.headers.get("Authorization"))
            self.send_response(host.status)
            for name, value in host.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(host.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        host.base_url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    with served(made):
        yield made


def refusal(host: Any, folder: Path, most: int = 10_000) -> Refusal:
    with pytest.raises(Refusal) as caught, brought(host, "F1", into=folder, most=most):
        pass
    assert list(folder.iterdir()) == []
    return caught.value


def test_a_file_arrives_whole_and_is_gone_afterwards(host: Any, tmp_path: Path) -> None:
    with brought(host, "F1", into=tmp_path, most=1000) as (name, path):
        assert name == "p.zip"
        assert path.read_bytes() == host.body
    assert list(tmp_path.iterdir()) == []
    assert host.shown == ["Bearer xoxb-1"]


def test_a_page_to_sign_in_is_no_file(host: Any, tmp_path: Path) -> None:
    host.headers = {"Content-Type": "text/html; charset=utf-8"}
    told = refusal(host, tmp_path)
    assert told.code == "upload_unreadable"
    assert "files:read" in told.hint


def test_half_a_file_is_no_file(host: Any, tmp_path: Path) -> None:
    host.size = 1200
    assert "1,000 of 1,200 bytes arrived" in refusal(host, tmp_path).message


def test_too_large_a_file_is_not_fetched_nor_one_that_lies_about_its_size(host: Any, tmp_path: Path) -> None:
    assert refusal(host, tmp_path, most=999).code == "too_large"
    assert host.shown == []
    host.size = 10
    assert refusal(host, tmp_path, most=999).code == "too_large"


def test_a_redirect_is_not_followed(host: Any, tmp_path: Path) -> None:
    elsewhere = Host()
    with served(elsewhere):
        host.status, host.headers = 302, {"Location": f"{elsewhere.base_url}p.zip"}
        assert "302" in refusal(host, tmp_path).message
    assert elsewhere.shown == []


def test_another_host_is_not_asked(host: Any, tmp_path: Path) -> None:
    elsewhere = Host()
    with served(elsewhere):
        host.address = f"{elsewhere.base_url}p.zip"
        assert "not on Slack's own file host" in refusal(host, tmp_path).message
    assert elsewhere.shown == []


def test_a_host_that_is_gone_is_told(tmp_path: Path) -> None:
    gone = Host()
    with served(gone):
        pass
    assert "Slack's file host failed" in refusal(gone, tmp_path).message
