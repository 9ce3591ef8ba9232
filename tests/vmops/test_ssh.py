"""SSH as it is: doors that stay shut, each with its sentence, and connections that break."""

import hashlib
import os
import random
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import paramiko
import pytest
from far_ends import DEADLINE, Bot, Sshd, open_sshd, until

from plans.actions import AwaitHost, Upload
from plans.environment import Gateway
from vmops import boots, connect, shell
from vmops.ssh import SESSIONS


@contextmanager
def bot_for(sshd: Sshd, tmp_path: Path, **ssh: Any) -> Iterator[Bot]:
    """A bot whose way in differs from the right one in these things."""
    target = sshd.target(tmp_path, **ssh)
    bot = Bot(target, target.performer())
    yield bot
    bot.performer.close()


def waiting(sshd: Sshd) -> list[Path]:
    """The processes on the host that wait for a job to look after."""
    mine = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"_lines" in (process / "cmdline").read_bytes():
                mine += [process] if bytes(sshd.folder) in (process / "environ").read_bytes() else []
    return mine


def keygen(file: Path, *more: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file, *more], check=True)


def test_an_unknown_host_is_refused_with_what_to_run(sshd: Sshd, tmp_path: Path) -> None:
    empty = tmp_path / "known_hosts"
    empty.touch()
    with bot_for(sshd, tmp_path, known_hosts=str(empty)) as bot:
        outcome = bot.shell("touch owned")
        assert (outcome.result, outcome.exit) == ("errored", None)
        assert f"its host key is unknown: no line for [127.0.0.1]:{sshd.port} in {empty}" in outcome.reason
        mend = outcome.reason.partition("console: ")[2]
        subprocess.run(mend, shell=True, check=True, stderr=subprocess.DEVNULL)
        assert bot.shell("echo in").output == "in\n"


def test_a_changed_host_key_is_refused_with_what_to_run(sshd: Sshd, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text()
    changed = tmp_path / "known_hosts"
    changed.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    with bot_for(sshd, tmp_path, known_hosts=str(changed)) as bot:
        outcome = bot.perform(AwaitHost(bot.target.at, DEADLINE))
        assert outcome.result == "errored"
        assert f"its host key is not the one in {changed}" in outcome.reason
        mend = outcome.reason.partition("machine's: ")[2]
        assert mend.startswith("ssh-keygen -R ")
        subprocess.run(mend, shell=True, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert bot.shell("echo in").output == "in\n"


def test_a_key_that_is_not_let_in_is_a_sentence(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boots, "BOOTING", 1.0)
    keygen(tmp_path / "stranger")
    with bot_for(sshd, tmp_path, key_file=str(tmp_path / "stranger")) as bot:
        for outcome in (bot.shell("true"), bot.perform(AwaitHost(bot.target.at, DEADLINE))):
            assert outcome.result == "errored"
            assert f"refused user {sshd.ssh.user} with the key {tmp_path / 'stranger'}" in outcome.reason


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: None, "cannot be read: No such file or directory"),
        (lambda file: file.write_text("no key"), "is not a private SSH key"),
        (lambda file: keygen(file, "-N", "secret"), "has a passphrase"),
    ],
)
def test_a_key_file_that_is_none_is_a_sentence(sshd: Sshd, tmp_path: Path, make: Any, said: str) -> None:
    make(tmp_path / "key")
    with bot_for(sshd, tmp_path, key_file=str(tmp_path / "key")) as bot:
        assert said in bot.shell("true").reason


def test_known_hosts_that_are_not_there_are_a_sentence(sshd: Sshd, tmp_path: Path) -> None:
    with bot_for(sshd, tmp_path, known_hosts=str(tmp_path / "none")) as bot:
        assert bot.shell("true").reason.endswith(
            f"known_hosts {tmp_path / 'none'} cannot be read: No such file or directory"
        )


def test_a_port_where_nobody_is_is_unreachable_and_awaited_until_the_time_is_over(sshd: Sshd, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        free = door.getsockname()[1]
    with bot_for(sshd, tmp_path, port=free) as bot:
        outcome = bot.shell("true")
        assert outcome.result == "errored"
        assert outcome.reason == f"staging web: 127.0.0.1:{free} cannot be reached: Connection refused"
        awaited = bot.perform(AwaitHost(bot.target.at, 2.0))
        assert awaited.reason.startswith("staging web: it did not answer in time: ")
        assert awaited.reason.endswith("Connection refused")


def test_a_name_that_does_not_exist_is_unreachable(sshd: Sshd, tmp_path: Path) -> None:
    with bot_for(sshd, tmp_path, host="no-such-host.invalid") as bot:
        assert "the name no-such-host.invalid is not known" in bot.shell("true").reason


def test_a_server_that_says_nothing_is_given_up(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as door, bot_for(sshd, tmp_path, port=door.getsockname()[1]) as bot:
        outcome = bot.shell("true", timeout=5)
        assert outcome.result == "errored"


def test_a_gateway_leads_on_and_both_keys_are_checked(sshd: Sshd, tmp_path: Path) -> None:
    ours = sshd.ssh
    way = Gateway(host=ours.host, user=ours.user, key_file=ours.key_file, known_hosts=ours.known_hosts, port=ours.port)
    with bot_for(sshd, tmp_path, gateway=way) as bot:
        assert bot.shell("echo through").output == "through\n"
    empty = tmp_path / "empty"
    empty.touch()
    stranger = Gateway(host=ours.host, user=ours.user, key_file=ours.key_file, known_hosts=str(empty), port=ours.port)
    with bot_for(sshd, tmp_path, gateway=stranger) as bot:
        assert f"the gateway 127.0.0.1:{sshd.port}: its host key is unknown" in bot.shell("true").reason
    with bot_for(sshd, tmp_path, gateway=way, known_hosts=str(empty)) as bot:
        reason = bot.shell("true").reason
        assert "its host key is unknown" in reason
        assert "the gateway" not in reason
    with socket.create_server(("127.0.0.1", 0)) as door:
        free = door.getsockname()[1]
    with bot_for(sshd, tmp_path, gateway=way, port=free) as bot:
        assert f"127.0.0.1:{free} cannot be reached from the gateway 127.0.0.1" in bot.shell("true").reason


def test_a_gateway_to_another_server_that_breaks_is_gone_through_again(
    sshd: Sshd, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    begun, go = threading.Event(), tmp_path / "go"
    with open_sshd(tmp_path_factory.mktemp("gateway")) as gate, ThreadPoolExecutor(1) as pool:
        way = Gateway(**{name: getattr(gate.ssh, name) for name in Gateway.__struct_fields__})
        with bot_for(sshd, tmp_path, gateway=way) as bot:
            command = f"echo begun; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done; echo end; exit 3"
            running = pool.submit(bot.shell, command, sink=lambda _: begun.set(), timeout=DEADLINE)
            assert begun.wait(DEADLINE)
            assert (len(gate.sessions()), len(sshd.sessions())) == (1, 1)
            gate.cut()
            go.touch()
            outcome = running.result(DEADLINE)
            assert (outcome.exit, outcome.output) == (3, "begun\nend\n")
        until(lambda: not gate.sessions())


def test_no_delay_waits_on_any_socket_and_sent_bytes_are_missed_in_time(sshd: Sshd) -> None:
    ours = sshd.ssh
    way = Gateway(**{name: getattr(ours, name) for name in Gateway.__struct_fields__})
    for ssh in (ours, msgspec.structs.replace(ours, gateway=way)):
        connection = connect.Connection(ssh)
        try:
            door = connection._gateway or connection._target
            sock = door.transport.sock
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == connect.FROZEN_MS
        finally:
            connection.close()


def test_no_agent_is_asked_and_no_key_guessed(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right key lies in ~/.ssh and a socket for an agent waits; the one key that is named is a stranger's."""
    keygen(tmp_path / "stranger")
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    for name in ("id_ed25519", "id_ed25519.pub"):
        (home / name).write_bytes((sshd.folder / name.replace("id_ed25519", "key")).read_bytes())
        (home / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(home.parent))
    before = (sshd.folder / "log").read_text()
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        agent.setblocking(False)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        with bot_for(sshd, tmp_path, key_file=str(tmp_path / "stranger")) as bot:
            assert "refused user" in bot.shell("true").reason
        with pytest.raises(BlockingIOError):
            agent.accept()
    tried = (sshd.folder / "log").read_text().removeprefix(before)
    assert "Accepted" not in tried
    assert tried.count("Failed publickey") <= 1


def test_no_more_connections_than_a_server_takes_are_opened_for_one_host(sshd: Sshd, tmp_path: Path) -> None:
    until(lambda: not sshd.sessions())  # those of the tests before
    with bot_for(sshd, tmp_path) as bot, ThreadPoolExecutor(16) as pool:
        seen = []
        running = [pool.submit(bot.shell, "sleep 0.3", job=f"1-{n}", timeout=DEADLINE) for n in range(16)]
        while any(not one.done() for one in running):
            seen.append(len(sshd.sessions()))
            wait(running, timeout=0.02)
        assert all(one.result().ok for one in running)
    assert 1 < max(seen) <= SESSIONS


def test_cut_connections_lose_and_repeat_no_byte(sshd: Sshd, tmp_path: Path) -> None:
    lines, go = 60_000, tmp_path / "go"
    # In six parts, each after a cut, so that the cuts fall into the middle of the output.
    command = (
        f"n=0; while [ $n -lt 6 ]; do until [ -e {shlex.quote(str(go))}.$n ]; do sleep 0.02; done; "
        f"seq $((n * {lines} + 1)) $(((n + 1) * {lines})); echo part $n >&2; n=$((n + 1)); done; exit 9"
    )
    seen = bytearray()
    with bot_for(sshd, tmp_path) as bot, ThreadPoolExecutor(1) as pool:
        running = pool.submit(bot.shell, command, sink=seen.extend, timeout=DEADLINE)
        for part in range(6):
            until(sshd.sessions)
            (tmp_path / f"go.{part}").touch()
            if part % 2:
                size = len(seen)
                until(lambda size=size: len(seen) > size)  # type: ignore[misc]
            else:
                until(lambda part=part: f"part {part}".encode() in seen)  # type: ignore[misc]
            sshd.cut()
        outcome = running.result(DEADLINE)
    assert outcome.exit == 9
    parts = [f"part {n}\n".encode() for n in range(6)]
    numbers = bytes(seen)
    for part in parts:
        assert numbers.count(part) == 1
        numbers = numbers.replace(part, b"")
    assert numbers == b"".join(b"%d\n" % n for n in range(1, 6 * lines + 1))


def test_an_idle_connection_that_died_is_replaced(sshd: Sshd, tmp_path: Path) -> None:
    with bot_for(sshd, tmp_path) as bot:
        assert bot.shell("echo 1").ok
        first = sshd.sessions()
        assert bot.shell("echo 2").ok
        assert sshd.sessions() == first
        sshd.cut()
        assert bot.shell("echo 3").ok
        assert sshd.sessions() != first


def test_a_frozen_server_is_waited_for_but_not_beyond_the_time(sshd: Sshd, tmp_path: Path) -> None:
    def freeze(signal: str) -> None:
        subprocess.run(["kill", f"-{signal}", *map(str, sshd.sessions())], check=True)

    with bot_for(sshd, tmp_path) as bot, ThreadPoolExecutor(1) as pool:
        begun = threading.Event()
        running = pool.submit(
            bot.shell, "echo a; sleep 1; echo b; exit 4", sink=lambda _: begun.set(), timeout=DEADLINE
        )
        assert begun.wait(DEADLINE)
        freeze("STOP")
        threading.Timer(2, freeze, ["CONT"]).start()
        outcome = running.result(DEADLINE)
        assert (outcome.exit, outcome.output) == (4, "a\nb\n")


def test_a_login_shell_that_talks_disturbs_nothing(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a noisy start-up file prints comes before the script's own first byte, on both streams.
    monkeypatch.setattr(shell, "COMMAND", f"echo Welcome; echo Motd >&2; {shell.COMMAND}")
    with bot_for(sshd, tmp_path) as bot:
        outcome = bot.shell("echo out; echo err >&2")
        assert outcome.output == "out\n"
        assert sorted(bytes(bot.printed).splitlines()) == [b"err", b"out"]


@pytest.mark.parametrize("other", ["bash --posix", "busybox ash"])
def test_any_shell_that_is_sh_somewhere_will_do(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    if not shutil.which(other.split()[0]):
        pytest.skip(f"{other} is not installed")
    for name in ("COMMAND", "LIBRARY"):
        monkeypatch.setattr(shell, name, getattr(shell, name).replace("/bin/sh", other))
    with bot_for(sshd, tmp_path) as bot:
        for code in range(3):
            outcome = bot.shell(f"echo out; echo err >&2; exit {code}", env={"d": "x", "command": "y"})
            assert (outcome.exit, outcome.output) == (code, "out\n")
            assert sorted(bytes(bot.printed).splitlines()) == [b"err", b"out"]
        assert bot.shell("sleep 0.5; echo $d $command", env={"d": "x", "command": "y"}).output == "x y\n"
        assert bot.shell(f"echo {'x' * 5000} | wc -c").output == "5001\n"
        assert "its process is gone" in bot.shell("kill -9 $PPID; sleep 0.2").reason
        assert "by a signal from outside" in bot.shell("kill -s TERM 0; sleep 60", timeout=DEADLINE).reason
        assert bot.shell("echo begun; sleep 60", timeout=2).reason == "stopped after 2.0 s"
        assert bot.shell("true").ok
        until(lambda: len(waiting(sshd)) == 1)
    until(lambda: not waiting(sshd))


def test_an_upload_that_is_cut_is_sent_again(sshd: Sshd, tmp_path: Path) -> None:
    content = os.urandom(64_000_000)
    (tmp_path / "big").write_bytes(content)
    digest = subprocess.check_output(["sha256sum", tmp_path / "big"], text=True)[:64]
    (tmp_path / "big").rename(tmp_path / digest)
    with bot_for(sshd, tmp_path) as bot, ThreadPoolExecutor(1) as pool:
        folder = tmp_path / "up"
        running = pool.submit(bot.perform, Upload(bot.target.at, digest, str(folder / "a")))
        until(lambda: folder.is_dir() and any(file.stat().st_size for file in folder.iterdir()))
        sshd.cut()
        assert running.result(DEADLINE).ok
    assert (folder / "a").read_bytes() == content


def test_a_connection_that_takes_nothing_any_more_is_replaced(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Paramiko says of an exchange of keys that hangs."""
    send, failed = paramiko.Channel.send, threading.Event()

    def fail(channel: paramiko.Channel, data: bytes) -> int:
        if not failed.is_set():
            failed.set()
            raise paramiko.SSHException("Key-exchange timed out waiting for key negotiation")
        return int(send(channel, data))

    with bot_for(sshd, tmp_path) as bot:
        assert bot.shell("echo 1").ok
        monkeypatch.setattr(paramiko.Channel, "send", fail)
        assert bot.shell("echo 2").output == "2\n"
    assert failed.is_set()


def test_a_file_that_ends_while_keys_would_be_renewed_keeps_nobody_waiting(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paramiko's own limit is low here, so that it is met again and again at the end of a file."""
    monkeypatch.setattr(paramiko.packet.Packetizer, "REKEY_BYTES", 50_000)
    content = os.urandom(60_000)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / digest).write_bytes(content)
    with bot_for(sshd, tmp_path) as bot:
        for n in range(20):
            assert bot.perform(Upload(bot.target.at, digest, str(tmp_path / "up" / str(n)))).ok
            if n == 0:
                until(lambda: len(sshd.sessions()) == 1)
                (first,) = sshd.sessions()
        assert sshd.sessions() == [first]


def test_random_cuts_lose_no_exit_code_repeat_no_command_and_no_line(sshd: Sshd, tmp_path: Path) -> None:
    chance, over, cuts = random.Random(7), threading.Event(), []

    def cutter() -> None:
        while not over.wait(chance.uniform(0.01, 0.6)):
            with suppress(ProcessLookupError):
                cuts.append(len(sshd.sessions()))
                sshd.cut()

    ran = tmp_path / "ran"
    command = f"echo $N >>{shlex.quote(str(ran))}; i=0; while [ $i -lt 9 ]; do seq $((i * 500)) $((i * 500 + 499)); "
    with bot_for(sshd, tmp_path) as bot, ThreadPoolExecutor(1) as pool:
        cutting = pool.submit(cutter)
        try:
            for n in range(12):
                outcome = bot.shell(command + "sleep 0.05; i=$((i + 1)); done; exit $N", env={"N": str(n)})
                assert outcome.exit == n, outcome.reason
                assert bytes(bot.printed) == b"".join(b"%d\n" % line for line in range(4500))
        finally:
            over.set()
        cutting.result(DEADLINE)
    assert ran.read_text() == "".join(f"{n}\n" for n in range(12))
    assert sum(cuts) >= 5
