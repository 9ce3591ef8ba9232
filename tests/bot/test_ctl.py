"""The socket in data_dir: for its owner alone, whoever hangs at it, after a kill, and under a path of any length."""

import getpass
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from scenes import Scene

from bot import ctl
from bot.__main__ import run
from bot.ctl import Answerer, Door, Peer, Reply, ask, typed
from plans.errors import Refusal
from plans.events import RunDecided, RunFinished, RunPaused


@contextmanager
def door(data_dir: Path, answer: Answerer) -> Iterator[Door]:
    made = Door(data_dir, answer)
    made.open()
    try:
        yield made
    finally:
        made.close()


def echo(peer: Peer, line: str, gone: Callable[[], bool]) -> Reply:
    return Reply(0, f"{peer.name}: {line}")


def connected(data_dir: Path) -> socket.socket:
    talk = socket.socket(socket.AF_UNIX)
    talk.settimeout(30)
    talk.connect(str(data_dir / "ctl" / "socket"))
    return talk


def refusal(data_dir: Path) -> str:
    with pytest.raises(Refusal) as caught:
        ask(data_dir, "status")
    return caught.value.code


def test_a_line_is_answered_to_whom_the_system_says_it_is(tmp_path: Path) -> None:
    with door(tmp_path, echo):
        assert ask(tmp_path, "promote R-1 “now”") == Reply(0, f"{getpass.getuser()}: promote R-1 “now”")
        assert stat.S_IMODE((tmp_path / "ctl").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "ctl" / "socket").stat().st_mode) == 0o600
    assert not (tmp_path / "ctl" / "socket").exists()
    assert refusal(tmp_path) == "no_bot"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_cannot_open_it_and_is_not_taken_for_its_owner(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o077 == 0:  # pytest's own, whatever is above them
            folder.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from bot import ctl; from plans.errors import Refusal\n"
        "os.setuid(65534)\n"
        "try: print(ctl.ask(Path(sys.argv[1]), 'status').text)\n"
        "except Refusal as refusal: print(refusal.code)\n"
    )

    def as_nobody() -> str:
        command = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout

    with door(tmp_path, echo):
        assert as_nobody() == "not_yours\n"
        (tmp_path / "ctl").chmod(0o711)
        (tmp_path / "ctl" / "socket").chmod(0o666)
        assert as_nobody() == "nobody: status\n"


def test_the_socket_of_a_bot_that_was_killed_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "ctl").mkdir(mode=0o755)
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(tmp_path / "ctl" / "socket"))
    assert refusal(tmp_path) == "no_bot"
    with door(tmp_path, echo):
        assert ask(tmp_path, "status").code == 0
        assert stat.S_IMODE((tmp_path / "ctl").stat().st_mode) == 0o700


def test_a_path_longer_than_a_sockets_address_may_be(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100) / ("b" * 100)
    deep.mkdir(parents=True)
    assert refusal(deep) == "no_bot"
    with door(deep, echo):
        assert ask(deep, "status").text.endswith(": status")


def test_who_says_nothing_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctl, "SAID_WITHIN", 0.3)
    with door(tmp_path, echo), ExitStack() as hanging:
        silent = [hanging.enter_context(connected(tmp_path)) for _ in range(ctl.CONVERSATIONS - 1)]
        for talk in silent:
            talk.send(b'{"li')
        assert ask(tmp_path, "status").code == 0
        for talk in silent:
            assert talk.recv(100) == b"", "and is hung up on"


def test_more_at_once_than_there_is_room_for_are_sent_away(tmp_path: Path) -> None:
    go, held = threading.Event(), threading.Semaphore(0)

    def slow(peer: Peer, line: str, gone: Callable[[], bool]) -> Reply:
        held.release()
        assert go.wait(30)
        return Reply(0, "done")

    answers: list[Reply] = []
    with door(tmp_path, slow):
        asking = [
            threading.Thread(target=lambda: answers.append(ask(tmp_path, "run"))) for _ in range(ctl.CONVERSATIONS)
        ]
        for one in asking:
            one.start()
        for _ in asking:
            assert held.acquire(timeout=30)
        away = ask(tmp_path, "run")
        go.set()
        for one in asking:
            one.join(30)
    assert away.code == 1
    assert "nothing was done" in away.text
    assert [answer.text for answer in answers] == ["done"] * ctl.CONVERSATIONS


@pytest.mark.parametrize(
    "request_", [b"status\n", b'{"line": 3}\n', b"\xff\n", b'{"line": "' + b"x" * 9000 + b'"}\n', b"[" * 5000 + b"\n"]
)
def test_what_is_no_request_is_a_wrong_call(tmp_path: Path, request_: bytes) -> None:
    with door(tmp_path, echo), connected(tmp_path) as talk:
        talk.sendall(request_)
        assert b'"code":2' in talk.makefile("rb").readline()
        assert ask(tmp_path, "status").code == 0


def test_it_is_known_who_has_hung_up(tmp_path: Path) -> None:
    left, seen = threading.Event(), threading.Event()
    found: list[bool] = []

    def look(peer: Peer, line: str, gone: Callable[[], bool]) -> Reply:
        found.append(gone())
        seen.set()
        assert left.wait(30)
        end = time.monotonic() + 30
        while not gone() and time.monotonic() < end:
            time.sleep(0.01)
        found.append(gone())
        return Reply(0, "")

    with door(tmp_path, look):
        with connected(tmp_path) as talk:
            talk.sendall(b'{"line": "run R-1"}\n')
            assert seen.wait(30)
        left.set()
        end = time.monotonic() + 30
        while len(found) < 2 and time.monotonic() < end:
            time.sleep(0.01)
    assert found == [False, True]


def test_a_bot_that_ends_in_the_middle_leaves_it_open_what_was_done(tmp_path: Path) -> None:
    (tmp_path / "ctl").mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "ctl" / "socket"))
        listener.listen()
        dying = threading.Thread(target=lambda: listener.accept()[0].close())
        dying.start()
        assert refusal(tmp_path) == "no_answer"
        dying.join(30)


def test_an_archive_that_lies_here_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my shop.zip").write_bytes(b"")
    assert typed(["handoff", "my shop.zip"]) == f'handoff "{tmp_path}/my shop.zip"'
    assert typed(["handoff", "https://a/b.zip", "sha256:00"]) == "handoff https://a/b.zip sha256:00"
    assert typed(["handoff", "list"]) == "handoff list"
    assert typed(["lock", "staging", "the network is rebuilt"]) == "lock staging the network is rebuilt"


def test_a_run_is_watched_until_it_asks_or_ends(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "quarterdeck.yaml").write_text("data_dir: here\nslack: {bot_token: '${NOT_SET}'}\n")
    call = ["--config", str(tmp_path / "quarterdeck.yaml")]
    scene = Scene(tmp_path / "here")
    assert run(["ctl", "watch", "1", *call]) == 1
    assert "unknown_run" in capfd.readouterr().err
    assert run(["ctl", "watch", "one", *call]) == 2
    scene.hands_off()
    scene.begins(1)
    scene.starts(1, 1, "power_on", "Look at the isolation", "web")
    ended: list[int] = []
    watching = threading.Thread(target=lambda: ended.append(run(["ctl", "watch", "1", *call])))
    watching.start()
    scene.begins(2)
    scene.says(RunPaused(run=1, step=1, why="a step that hangs", question=1, choices=("retry",)))
    watching.join(30)
    assert ended == [0]
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["run.started", "step.started", "run.paused"]
    scene.says(RunDecided(run=1, step=1, choice="abort"))
    scene.says(RunFinished(run=1, verdict="failed", clean=True, reason="it hung"))
    assert run(["ctl", "watch", "1", *call]) == 0
    assert "verdict=failed" in capfd.readouterr().out.splitlines()[-1]


def test_without_a_bot_it_is_said_how_to_start_one_and_no_secret_is_needed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "quarterdeck.yaml").write_text("slack: {bot_token: '${NOT_SET}'}\n")
    assert run(["ctl", "status", "--config", str(tmp_path / "quarterdeck.yaml")]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"quarterdeck: no_bot: No bot is at work in {tmp_path}/var.\nStart it: quarterdeck serve")
    assert run(["ctl", "--config", "x"]) == 2
    assert run(["ctl", "status"]) == 2
    assert capfd.readouterr().err.count("\n") == 2


@pytest.mark.parametrize("size", [ctl.MOST_BYTES, 100_000, 5_000_000])
def test_a_line_that_is_too_long_is_refused_with_a_sentence(tmp_path: Path, size: int) -> None:
    with door(tmp_path, echo):
        reply = ask(tmp_path, "x" * size)
        assert reply.code == 2
        assert f"at most {ctl.MOST_BYTES} bytes" in reply.text
        assert ask(tmp_path, "status").code == 0


def test_who_leaves_with_ctrl_c_leaves_without_a_traceback_and_the_bot_knows(tmp_path: Path) -> None:
    (tmp_path / "quarterdeck.yaml").write_text("data_dir: .\n")
    asked, left = threading.Event(), threading.Event()

    def slow(peer: Peer, line: str, gone: Callable[[], bool]) -> Reply:
        asked.set()
        end = time.monotonic() + 30
        while not gone() and time.monotonic() < end:
            time.sleep(0.01)
        left.set()
        return Reply(0, "nobody reads this")

    command = [sys.executable, "-P", "-m", "bot", "ctl", "run", "R-1", "--config", str(tmp_path / "quarterdeck.yaml")]
    with door(tmp_path, slow):
        client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert asked.wait(30)
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=30)
        assert left.wait(30)
    assert (client.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert "may have been begun" in err
