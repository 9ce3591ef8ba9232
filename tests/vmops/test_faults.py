"""SSH on a bad network: cut at each stage, frozen, slow, the server restarted; what must come out all the same.

`make test` runs a sample. The whole, 200 random cuts and a network that is frozen for as long as the bot really waits:
QUARTERDECK_FAULTS=all. QUARTERDECK_SEED repeats the cuts of a former run, whose seed is printed when it fails.
"""

import hashlib
import os
import random
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from far_ends import DEADLINE, Bot, Sshd, open_sshd, until
from proxy import DOWN, UP, Proxy, proxy_to

from plans.actions import Outcome, Upload
from plans.environment import Ssh
from vmops import jobs
from vmops.connect import Connection
from vmops.shell import Shell
from vmops.transport import Limit

ALL = os.environ.get("QUARTERDECK_FAULTS") == "all"
CUTS = 200 if ALL else 15
SEED = int(os.environ.get("QUARTERDECK_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)

OUTPUT = b"".join(b"%d\n" % n for n in range(20_000))


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with open_sshd(tmp_path_factory.mktemp("faulty")) as one:
        yield one


@pytest.fixture
def proxy(sshd: Sshd) -> Iterator[Proxy]:
    with proxy_to(sshd.port) as one:
        (sshd.folder / "known_hosts").write_text(f"[127.0.0.1]:{one.port} {(sshd.folder / 'host.pub').read_text()}")
        yield one


@pytest.fixture
def bot(sshd: Sshd, proxy: Proxy, tmp_path: Path) -> Iterator[Bot]:
    target = sshd.target(tmp_path, port=proxy.port)
    one = Bot(target, target.performer())
    yield one
    one.performer.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as one:
        yield one


def once(ran: Path, more: str) -> str:
    """A command that leaves a line wherever it runs."""
    return f"echo ran >>{shlex.quote(str(ran))}; {more}"


def undisturbed(ssh: Ssh, proxy: Proxy) -> dict[str, tuple[int, int]]:
    """How many bytes have gone up and down when each stage of a first script is over."""
    over = {}

    def note(stage: str) -> None:
        over[stage] = proxy.pairs[-1].passed[UP], proxy.pairs[-1].passed[DOWN]

    connection = Connection(ssh)
    try:
        note("login")
        channel = connection.session(DEADLINE)
        note("session")
        shell = Shell(channel)
        note("shell")
        shell.run("(echo)\n", lambda _: None, lambda _: None, Limit.of(DEADLINE), DEADLINE)
        note("script")
    finally:
        connection.close()
    return over


STAGES: dict[str, Callable[[dict[str, tuple[int, int]]], tuple[str, int]]] = {
    "before the banner": lambda over: (DOWN, 0),
    "within the banner": lambda over: (DOWN, 10),
    "in the key exchange": lambda over: (DOWN, 700),
    "while logging in": lambda over: (UP, over["login"][0] - 40),
    "while a session opens": lambda over: (UP, over["login"][0] + 20),
    "while the shell starts": lambda over: (UP, over["session"][0] + 20),
    "within the script": lambda over: (UP, (over["shell"][0] + over["script"][0]) // 2),
    "after the script, before its first byte": lambda over: (DOWN, over["shell"][1]),
    "within the output": lambda over: (DOWN, over["script"][1] + len(OUTPUT) // 2),
}


@pytest.mark.parametrize("stage", STAGES)
def test_cut_at_each_stage_it_runs_once_and_tells_all(
    bot: Bot, sshd: Sshd, proxy: Proxy, tmp_path: Path, stage: str
) -> None:
    ssh = msgspec.structs.replace(sshd.ssh, port=proxy.port)
    proxy.cut_after(*STAGES[stage](undisturbed(ssh, proxy)))
    outcome = bot.shell(once(tmp_path / "ran", "seq 0 19999; exit 3"), timeout=DEADLINE)
    assert proxy.cuts == 1
    assert (outcome.exit, outcome.reason) == (3, "exit code 3")
    assert bytes(bot.printed) == OUTPUT
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_cut_after_its_end_and_before_that_is_told_its_exit_code_is_not_lost(
    bot: Bot, proxy: Proxy, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    begun, go = threading.Event(), tmp_path / "go"
    wait = f"echo begun; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done; echo end; exit 3"
    running = pool.submit(
        bot.shell, once(tmp_path / "ran", wait), job="1-1", sink=lambda _: begun.set(), timeout=DEADLINE
    )
    assert begun.wait(DEADLINE)
    proxy.hold()
    go.touch()
    until(lambda: (bot.folder("1-1") / "1-1.job").read_text().count("\n") == 2)
    proxy.cut()
    outcome = running.result(DEADLINE)
    assert (outcome.exit, outcome.output) == (3, "begun\nend\n")
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_a_path_that_froze_is_noticed_and_another_taken(
    bot: Bot, proxy: Proxy, pool: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ALL:
        monkeypatch.setattr(jobs, "SILENCE", 2.0)
    begun, ran = threading.Event(), tmp_path / "ran"
    running = pool.submit(
        bot.shell, once(ran, "echo begun; sleep 1; echo end; exit 3"), sink=lambda _: begun.set(), timeout=2 * DEADLINE
    )
    assert begun.wait(DEADLINE)
    proxy.hold()
    frozen = time.monotonic()
    outcome = running.result(2 * DEADLINE)
    assert time.monotonic() - frozen < jobs.SILENCE + 10
    assert (outcome.exit, outcome.output) == (3, "begun\nend\n")
    assert ran.read_text() == "ran\n"


def test_a_step_after_the_path_froze_takes_another_soon(bot: Bot, proxy: Proxy) -> None:
    assert bot.shell("true").ok
    proxy.hold()
    assert bot.shell("echo there").output == "there\n"


def test_a_server_that_is_restarted_is_found_again(
    bot: Bot, sshd: Sshd, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    begun, go = threading.Event(), tmp_path / "go"
    wait = f"echo begun; until [ -e {shlex.quote(str(go))} ]; do sleep 0.02; done; echo end; exit 3"
    running = pool.submit(bot.shell, once(tmp_path / "ran", wait), sink=lambda _: begun.set(), timeout=DEADLINE)
    assert begun.wait(DEADLINE)
    sshd.stop()
    go.touch()
    sshd.start()
    outcome = running.result(DEADLINE)
    assert (outcome.exit, outcome.output) == (3, "begun\nend\n")
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_a_trickle_is_slow_and_no_fault(bot: Bot, proxy: Proxy, tmp_path: Path) -> None:
    proxy.rate = 25_000
    outcome = bot.shell(once(tmp_path / "ran", "seq 0 9999; exit 3"), timeout=DEADLINE)
    assert (outcome.exit, len(proxy.pairs)) == (3, 1)
    assert bytes(bot.printed) == OUTPUT[: len(bot.printed)]
    assert len(bot.printed) == len(b"".join(b"%d\n" % n for n in range(10_000)))


def test_an_upload_that_is_cut_in_the_middle_shows_nothing_until_it_is_whole(
    bot: Bot, proxy: Proxy, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    content = os.urandom(4_000_000)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / digest).write_bytes(content)
    to, seen = tmp_path / "up" / "a", []
    assert bot.shell("true").ok
    proxy.cut_after(UP, 2_000_000)
    running: Future[Outcome] = pool.submit(bot.perform, Upload(bot.target.at, digest, str(to)))
    while not running.done():
        seen.append(to.read_bytes() if to.exists() else content)
    assert running.result().ok
    assert proxy.cuts == 1
    assert all(one == content for one in seen)
    assert to.read_bytes() == content


def test_random_cuts_lose_no_exit_code_repeat_no_command_and_no_line(bot: Bot, proxy: Proxy, tmp_path: Path) -> None:
    print(f"QUARTERDECK_SEED={SEED}")
    chance, ran = random.Random(SEED), tmp_path / "ran"
    out, err = (b"".join(b"%s %d\n" % (name, n) for n in range(400)) for name in (b"out", b"err"))
    command = f"echo $N >>{shlex.quote(str(ran))}; n=0; while [ $n -lt 400 ]; do echo out $n; echo err $n >&2; " + (
        "[ $((n % 100)) != 99 ] || sleep 0.01; n=$((n + 1)); done; exit $((N % 250))"
    )
    n = 0
    while proxy.cuts < CUTS:
        proxy.cut_after(*chance.choice([(UP, chance.randrange(12_000)), (DOWN, chance.randrange(16_000))]))
        outcome = bot.shell(command, env={"N": str(n)}, timeout=DEADLINE)
        assert outcome.exit == n % 250, outcome.reason
        lines = bytes(bot.printed).splitlines(keepends=True)
        assert outcome.output.encode() == out
        assert sorted(lines) == sorted((out + err).splitlines(keepends=True))
        n += 1
    assert ran.read_text() == "".join(f"{m}\n" for m in range(n))
