"""Checks, driven by hand and judged; the HTTP request is made by each tool that a host may have."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import drive, only, shell, site

from plans.actions import Ask, Note, Outcome, Pause, Shell
from plans.checks import PAUSES, SHOWN, Expect, Healthy, Http, HttpCheck, ManualCheck, RunCheck, once_each
from plans.site import OK


class TestRunCheck:
    @pytest.mark.parametrize(
        ("expect", "exit_code", "output", "result", "reason"),
        [
            (Expect(), 0, "", "ok", ""),
            (Expect(), 1, "", "failed", "exit 1, wanted 0"),
            (Expect(exit=3), 3, "", "ok", ""),
            (Expect(exit=3), 0, "", "failed", "exit 0, wanted 3"),
            (Expect(stdout="^[0-9]+$"), 0, "rows:\n42\n", "ok", ""),
            (Expect(stdout="^[0-9]+$"), 0, "42 rows\n", "failed", "the output has nothing that matches ^[0-9]+$"),
            (Expect(stdout="archived"), 0, "", "failed", "the output has nothing that matches archived"),
            (Expect(stdout="x"), 1, "x", "failed", "exit 1, wanted 0"),
            (Expect(exit=1, stdout="x"), 1, "x", "ok", ""),
        ],
    )
    def test_is_judged_by_exit_code_and_output(
        self, expect: Expect, exit_code: int, output: str, result: str, reason: str
    ) -> None:
        check = RunCheck(name="x", on="db", run="count", expect=expect)
        told = Outcome("failed" if exit_code else "ok", exit=exit_code, output=output, reason="exit code")
        asked, ended = drive(check, site(host="db"), told)
        assert [action.command for action in asked if isinstance(action, Shell)] == ["count"]
        assert (ended.result, ended.reason, ended.exit, ended.output) == (result, reason, exit_code, output)

    @pytest.mark.parametrize(
        "outcome",
        [
            Outcome("errored", reason="no route"),
            Outcome("aborted", reason="ended on request"),
            Outcome("failed", reason="stopped after 1 min"),
        ],
    )
    def test_without_an_exit_code_there_is_nothing_to_judge(self, outcome: Outcome) -> None:
        assert drive(RunCheck(name="x", on="db", run="x", expect=Expect(exit=1)), site(), outcome)[1] == outcome

    def test_a_check_says_its_name_its_hosts_and_a_pattern_that_compiles(self) -> None:
        for wrong in ({"name": "", "on": "db"}, {"name": "x"}):
            with pytest.raises(ValueError, match=r"name|on:"):
                RunCheck(run="x", **wrong)
        with pytest.raises(ValueError, match="not a regular expression"):
            Expect(stdout="(")


class TestManualCheck:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (Outcome("ok", value="pass"), OK),
            (Outcome("ok", value="fail", reason="no page"), Outcome("failed", reason="no page")),
            (Outcome("ok", value="fail"), Outcome("failed", reason="the tester says it fails")),
            (Outcome("aborted", reason="stopped"), Outcome("aborted", reason="stopped")),
        ],
    )
    def test_a_tester_says_pass_or_fail_and_a_stop_is_neither(self, answer: Outcome, expected: Outcome) -> None:
        asked, ended = drive(ManualCheck(name="x", manual="Buy one item."), site(host=None), answer)
        assert asked == [Ask("Buy one item.", ("pass", "fail"), "testers")]
        assert ended == expected


class Answers(http.server.BaseHTTPRequestHandler):
    """What the host's service says, by path."""

    PAGES = {
        "/health": (200, b"status: ok"),
        "/line": (200, b"ok\n"),
        "/empty": (200, b""),
        "/large": (200, b"first " + b"x" * 300_000 + b" last"),
        "/numbers": (200, b"404\n500\n"),
        "/missing": (404, b"no such page"),
        "/broken": (500, b"stack trace"),
        "/moved": (302, b"over there"),
    }

    def do_GET(self) -> None:
        path, _, _ = self.path.partition("?")
        status, body = self.PAGES[path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for number in range(40):
            self.send_header(f"X-Header-{number}", "HTTP/1.1 999 " + "x" * 100)
        if status == 302:
            self.send_header("Location", "/health")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is said of each request."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def asked_with(path: str, check: HttpCheck, home: Path) -> Outcome:
    def answer(action: object) -> Outcome:
        if isinstance(action, Note):
            return OK
        assert isinstance(action, Shell)
        ran = shell(action.command, home, path)
        output = ran.stdout.encode()[: 64 * 1024].decode()
        return Outcome("failed" if ran.returncode else "ok", exit=ran.returncode, output=output, reason=ran.stderr)

    ended = drive(check, site(), answer, answer)[1]
    assert [left.name for left in home.iterdir()] == ["only"]
    return ended


@pytest.mark.parametrize("tool", ["curl", "python3", "wget"])
class TestHttpCheck:
    @pytest.mark.parametrize(
        ("path", "status", "contains", "result", "reason"),
        [
            ("/health", 200, "", "ok", ""),
            ("/health", 200, "status: ok", "ok", ""),
            ("/health", 200, "ready", "failed", "answered 200 without “ready” in it"),
            ("/health?a=$(id)&b='x'", 200, "ok", "ok", ""),
            ("/health?a={1,2}[3]", 200, "ok", "ok", ""),
            ("/line", 200, "ok", "ok", ""),
            ("/empty", 200, "", "ok", ""),
            ("/empty", 200, "ok", "failed", "answered 200 without “ok” in it"),
            ("/large", 200, "first", "ok", ""),
            ("/numbers", 200, "500", "ok", ""),
            ("/missing", 200, "", "failed", "answered 404, wanted 200"),
            ("/missing", 404, "no such", "ok", ""),
            ("/broken", 200, "", "failed", "answered 500, wanted 200"),
            ("/moved", 200, "", "failed", "answered 302, wanted 200"),
            ("/moved", 302, "", "ok", ""),
        ],
    )
    def test_is_judged_by_what_the_host_itself_is_answered(
        self, tool: str, address: str, tmp_path: Path, path: str, status: int, contains: str, result: str, reason: str
    ) -> None:
        url = address + path
        check = HttpCheck(name="x", on="web", http=Http(url=url, status=status, contains=contains))
        ended = asked_with(only(tmp_path, tool), check, tmp_path)
        assert (ended.result, ended.reason) == (result, f"{url} {reason}" if reason else "")

    def test_a_closed_port_is_no_answer(self, tool: str, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        check = HttpCheck(name="x", on="web", http=Http(url=url))
        ended = asked_with(only(tmp_path, tool), check, tmp_path)
        assert (ended.result, ended.reason) == ("failed", f"no answer from {url}")

    def test_no_more_of_a_body_is_kept_than_fits(self, tool: str, address: str, tmp_path: Path) -> None:
        check = HttpCheck(name="x", on="web", http=Http(url=f"{address}/large"))
        ended = asked_with(only(tmp_path, tool), check, tmp_path)
        assert len(ended.output) == len("200\n") + SHOWN


def test_a_host_without_any_tool_is_at_fault_itself(tmp_path: Path) -> None:
    check = HttpCheck(name="x", on="web", http=Http(url="http://127.0.0.1:1/"))
    ended = asked_with(only(tmp_path), check, tmp_path)
    assert ended.result == "errored"
    assert ended.reason == "no curl, python3 or wget on the host to ask with: install one"


@pytest.mark.parametrize("outcome", [Outcome("errored", reason="no route"), Outcome("aborted", reason="stopped")])
def test_a_request_that_nobody_could_make_is_not_judged(outcome: Outcome) -> None:
    check = HttpCheck(name="x", on="web", http=Http(url="http://127.0.0.1/"))
    assert drive(check, site(), OK, outcome)[1] == outcome


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "file:///etc/passwd", "ftp://127.0.0.1/"])
def test_only_web_addresses_are_asked(url: str) -> None:
    with pytest.raises(ValueError, match="http or https"):
        Http(url=url)


class TestHealthy:
    CHECK = RunCheck(name="x", on="web", run="ping")
    DOWN = Outcome("failed", exit=1)
    UP = Outcome("ok", exit=0)

    def tried(self, *answers: Outcome) -> tuple[int, list[float], Outcome]:
        """How often it was asked, the pauses between, and the end."""
        left = list(answers)

        def answer(action: object) -> Outcome:
            return left.pop(0) if isinstance(action, Shell) and left else self.DOWN if isinstance(action, Shell) else OK

        asked, ended = drive(Healthy(self.CHECK), site(), *([answer] * 50))
        pauses = [action.seconds for action in asked if isinstance(action, Pause)]
        return sum(isinstance(action, Shell) for action in asked), pauses, ended

    def test_what_is_up_is_asked_once(self) -> None:
        assert self.tried(self.UP)[:2] == (1, [])

    def test_what_comes_up_late_is_asked_again_until_it_is_up(self) -> None:
        tries, pauses, ended = self.tried(self.DOWN, self.DOWN, self.UP)
        assert (tries, pauses, ended.result) == (3, list(PAUSES[:2]), "ok")

    def test_what_does_not_come_up_has_failed(self) -> None:
        tries, pauses, ended = self.tried()
        assert (tries, pauses) == (1 + len(PAUSES), list(PAUSES))
        assert (ended.result, ended.reason) == ("failed", "exit 1, wanted 0")

    def test_a_host_that_cannot_be_asked_is_not_asked_again(self) -> None:
        assert self.tried(Outcome("errored", reason="no route"))[0] == 1

    def test_a_persons_answer_is_final(self) -> None:
        check = Healthy(ManualCheck(name="x", manual="Look."))
        asked, ended = drive(check, site(host=None), Outcome("ok", value="fail"))
        assert [type(action) for action in asked] == [Ask]
        assert ended.result == "failed"


def test_what_asks_the_same_of_the_same_hosts_is_asked_once() -> None:
    up = HttpCheck(name="Up", on="web", http=Http(url="http://127.0.0.1/health"))
    again = HttpCheck(name="The shop answers", on="web", http=Http(url="http://127.0.0.1/health"), before=True)
    stricter = HttpCheck(name="Ok", on="web", http=Http(url="http://127.0.0.1/health", contains="ok"))
    elsewhere = HttpCheck(name="Up", on="db", http=Http(url="http://127.0.0.1/health"))
    counted = RunCheck(name="Counted", on="db", run="count")
    wanted = RunCheck(name="Counted", on="db", run="count", expect=Expect(stdout="1"))
    looked = ManualCheck(name="Look", manual="look")
    every = (up, again, stricter, elsewhere, counted, wanted, looked, looked)
    assert once_each(every) == (up, stricter, elsewhere, counted, wanted, looked)
