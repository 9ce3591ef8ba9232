"""What a guest tries, with the tools that it has, and what the answers say."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from plans.actions import At, Outcome
from plans.isolation import Isolation, Verdict
from plans.probes import judge_probes, probe

WEB = At("staging", "web")
RULES = Isolation(networks=(), must_not_reach=("prod:443",), must_reach=("db:5432",))


def printed(tools: Path, *targets: str) -> list[str]:
    """What the probe prints on a guest that has these tools alone."""
    command = probe(WEB, "sh", Isolation(networks=(), must_not_reach=targets)).command
    done = subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return sorted(done.stdout.splitlines())


def having(folder: Path, *names: str) -> Path:
    """A folder of these tools of this machine."""
    for name in names:
        found = sys.executable if name == "python3" else shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed here")
        (folder / name).symlink_to(found)
    return folder


@contextmanager
def deaf() -> Iterator[int]:
    """The port of a listener that answers nobody any more: its queue is full."""
    with ExitStack() as stack:
        door = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(door.getsockname())
        yield door.getsockname()[1]


@pytest.mark.parametrize("tool", ["nc", "bash", "python3", "curl"])
def test_each_tool_tells_open_from_refused_from_silent(tool: str, tmp_path: Path) -> None:
    tools = having(tmp_path, tool, *(["timeout"] if tool == "bash" else []))
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_server(("127.0.0.1", 0)) as gone, deaf() as mute:
        there, closed = door.getsockname()[1], gone.getsockname()[1]
        gone.close()
        lines = printed(tools, f"127.0.0.1:{there}", f"127.0.0.1:{closed}", f"127.0.0.1:{mute}")
    told = {f"127.0.0.1:{there}": "open", f"127.0.0.1:{closed}": "refused", f"127.0.0.1:{mute}": "silent"}
    assert lines == sorted(f"{target} {answer} {tool}" for target, answer in told.items())


def test_an_ipv6_address_is_tried_without_its_brackets(tmp_path: Path) -> None:
    try:
        door = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with door:
        target = f"[::1]:{door.getsockname()[1]}"
        assert printed(having(tmp_path, "python3"), target) == [f"{target} open python3"]


# As netcat-openbsd, netcat-traditional, ncat, busybox and GNU netcat say it.
WORDS = [
    ("nc: connect to prod port 443 (tcp) failed: Connection refused", "refused"),
    ("nc: connect to prod port 443 (tcp) timed out: Operation now in progress", "silent"),
    ("nc: connect to prod port 443 (tcp) failed: No route to host", "silent"),
    ("nc: connect to prod port 443 (tcp) failed: Network is unreachable", "silent"),
    ('nc: getaddrinfo for host "prod" port 443: Name or service not known', "unresolved"),
    ('nc: getaddrinfo for host "prod" port 443: Temporary failure in name resolution', "unresolved"),
    (
        "prod: inverse host lookup failed: Unknown host\n(UNKNOWN) [10.0.0.5] 443 (https) : Connection timed out",
        "silent",
    ),
    ("prod: forward host lookup failed: Unknown host", "unresolved"),
    ("Ncat: TIMEOUT.", "silent"),
    ('Ncat: Could not resolve hostname "prod": Name or service not known. QUITTING.', "unresolved"),
    ("nc: prod (10.0.0.5:443): Connection timed out", "silent"),
    ("nc: bad address 'prod'", "unresolved"),
    ("nc: invalid option -- 'v'\nUsage: nc [-iN] [-wN] [IPADDR PORT]\n\t-w SEC\tConnect timeout", "unknown"),
    ("", "unknown"),
]


@pytest.mark.parametrize(("words", "answer"), WORDS, ids=[words for words, _ in WORDS])
def test_what_netcats_say(words: str, answer: str, tmp_path: Path) -> None:
    (tmp_path / "nc").write_text(f"#!/bin/sh\n/bin/cat >&2 <<'EOF'\n{words}\nEOF\nexit 1\n")
    (tmp_path / "nc").chmod(0o755)
    assert printed(tmp_path, "prod:443") == [f"prod:443 {answer} nc"]


def test_a_tool_that_cannot_tell_is_followed_by_the_next(tmp_path: Path) -> None:
    having(tmp_path, "python3")
    (tmp_path / "nc").write_text("#!/bin/sh\necho usage >&2\nexit 1\n")
    (tmp_path / "nc").chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as door:
        target = f"127.0.0.1:{door.getsockname()[1]}"
        assert printed(tmp_path, target) == [f"{target} open python3"]


def test_a_guest_without_any_tool_says_so(tmp_path: Path) -> None:
    assert printed(tmp_path, "prod:443", "db:1") == ["db:1 unknown ", "prod:443 unknown "]


def judged(output: str, rules: Isolation = RULES) -> tuple[Verdict, str]:
    found = judge_probes({"web": Outcome("ok", exit=0, output=output)}, rules, None)
    return found.verdict, found.why


ANSWERS: list[tuple[str, Verdict, str]] = [
    ("prod:443 silent nc\ndb:5432 open bash\n", "proved", "web: prod:443 does not answer (tried with nc)"),
    (
        "prod:443 open nc\ndb:5432 open nc\n",
        "violated",
        "web: prod:443 answers (tried with nc); it must not be reached",
    ),
    (
        "prod:443 refused nc\ndb:5432 open nc\n",
        "violated",
        "web: prod:443 refuses the connection, so it is there (tried with nc); it must not be reached",
    ),
    (
        "prod:443 silent nc\ndb:5432 silent nc\n",
        "unproved",
        "web: db:5432 does not answer, though it must: the silence of the others proves nothing",
    ),
    (
        "prod:443 silent nc\ndb:5432 refused nc\n",
        "unproved",
        "web: db:5432 does not answer, though it must: the silence of the others proves nothing",
    ),
    (
        "prod:443 unresolved nc\ndb:5432 open nc\n",
        "unproved",
        "web: prod:443: the guest cannot look its name up",
    ),
    ("prod:443 unknown \ndb:5432 unknown \n", "unproved",
     "web: prod:443 could not be tried: it has neither nc, bash, python3 nor curl"),
    ("prod:443 unknown curl\ndb:5432 open nc\n", "unproved",
     "web: prod:443 could not be tried: curl does not say how it went"),
    ("Welcome to staging!\n", "unproved",
     "web: prod:443 could not be tried: it has neither nc, bash, python3 nor curl"),
    ("db:5432 open nc\n", "unproved",
     "web: prod:443 could not be tried: it has neither nc, bash, python3 nor curl"),
    ("prod:443 silent nc\nprod:443 open nc and more\ndb:5432 open nc\n", "proved",
     "web: prod:443 does not answer (tried with nc)"),
]  # fmt: skip


@pytest.mark.parametrize(("output", "verdict", "why"), ANSWERS, ids=[row[0].replace("\n", "; ") for row in ANSWERS])
def test_what_answers_mean(output: str, verdict: Verdict, why: str) -> None:
    assert judged(output) == (verdict, why)


def test_without_a_counter_check_the_evidence_says_so() -> None:
    rules = Isolation(networks=(), must_not_reach=("prod:443",))
    found = judge_probes({"web": Outcome("ok", output="prod:443 silent nc\n")}, rules, None)
    assert found.verdict == "proved"
    assert found.evidence[-1] == "web: no counter-check from inside: isolation.must_reach names no address"


def test_a_guest_that_could_not_be_asked_proves_nothing_and_nobody_can_attest_to_it() -> None:
    lost = Outcome("errored", reason="staging web: no connection")
    found = judge_probes({"web": lost}, RULES, None)
    assert (found.verdict, found.doubts) == ("unproved", ())
    assert found.why == "web: nothing could be tried from inside: staging web: no connection"


def test_only_the_guest_that_got_through_is_cut_off() -> None:
    loud = Outcome("ok", output="prod:443 open nc\ndb:5432 open nc\n")
    quiet = Outcome("ok", output="prod:443 silent nc\ndb:5432 open nc\n")
    assert judge_probes({"web": quiet, "db": loud}, RULES, None).violators == ("db",)


def test_targets_reach_the_shell_as_they_are() -> None:
    command = probe(WEB, "sh", Isolation(networks=(), must_not_reach=("[fd00::5]:443",))).command
    assert "for target in '[fd00::5]:443'; do" in command


def test_windows_is_asked_in_its_own_words() -> None:
    command = probe(WEB, "powershell", RULES).command
    assert "\n$targets = @('prod:443', 'db:5432')\n" in command
    assert '"$($try.Target) $($try.Answer) powershell"' in command
    assert judged("prod:443 silent powershell\r\ndb:5432 open powershell\r\n")[0] == "proved"
