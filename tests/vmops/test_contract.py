"""What holds for every way into a host: a command's end, its output, its stop, and finding it again."""

import hashlib
import os
import re
import resource
import shutil
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from far_ends import DEADLINE, NAMESPACE, Bot, Target

from plans.actions import At, AwaitHost, Outcome, Restart, Shell, Upload
from vmops import clocks
from vmops.transport import Limit, Trouble
from vmops.upload import download

HOSTILE = ["a b", "'; touch owned; '", '"$(touch owned)"', "`touch owned`", "\\n\n\ttab", "-n", "$HOME", "ü€", "*", ""]


def alive(mark: str) -> list[int]:
    """The processes that carry the mark on their command line."""
    found = subprocess.run(["pgrep", "-f", mark], stdout=subprocess.PIPE, check=False).stdout
    return [int(pid) for pid in found.split()]


@pytest.fixture
def mark() -> Iterator[str]:
    """A number of seconds to sleep that nobody else sleeps; whoever still does at the end is a failure."""
    one = f"{4000 + os.getpid() % 1000}.{os.urandom(4).hex().translate(str.maketrans('abcdef', '123456'))}"
    yield one
    assert not alive(f"sleep {one}")


@pytest.mark.parametrize("code", [0, 1, 3, 126, 255])
def test_the_exit_code_is_the_commands(bot: Bot, code: int) -> None:
    outcome = bot.shell(f"exit {code}")
    assert outcome.exit == code
    assert outcome.result == ("ok" if code == 0 else "failed")
    assert outcome.reason == ("" if code == 0 else f"exit code {code}")


def test_a_command_killed_by_a_signal_has_a_code_of_its_own(bot: Bot) -> None:
    assert bot.shell("kill -9 $$").exit == 137


def test_output_and_errors_come_once_and_the_outcome_holds_standard_output_alone(bot: Bot) -> None:
    outcome = bot.shell("echo out; echo err >&2; printf unended")
    assert outcome.output == "out\nunended"
    assert sorted(bytes(bot.printed).splitlines()) in ([b"err", b"out", b"unended"], [b"out", b"unendederr"])


def test_bytes_are_passed_on_as_they_are(bot: Bot) -> None:
    every = bytes(range(256)) * 300
    text = "".join(f"\\{byte:03o}" for byte in range(256))
    outcome = bot.shell(f"for i in $(seq 300); do printf '{text}'; done; printf '{text}' >&2")
    assert outcome.ok
    assert len(bot.printed) == len(every) + 256
    assert bytes(bot.printed).replace(bytes(range(256)), b"") == b""
    assert len(outcome.output.encode(errors="replace")) >= 64 * 1024
    assert outcome.output.startswith("\x00\x01\x02")


def test_hostile_values_reach_the_command_as_they_are_and_no_shell(bot: Bot) -> None:
    env = {f"V{n}": value for n, value in enumerate(HOSTILE)}
    outcome = bot.shell("".join(f'printf "%s|" "$V{n}"; ' for n in range(len(HOSTILE))) + "ls owned", env=env)
    assert outcome.output == "".join(f"{value}|" for value in HOSTILE)
    assert outcome.exit not in (0, None)  # nothing was touched


@pytest.mark.parametrize("name", ["A;B", "", "1A", "A=B", "A B"])
def test_a_variable_that_cannot_be_one_is_refused(bot: Bot, name: str) -> None:
    outcome = bot.shell("env", env={name: "x"})
    assert outcome.result == "errored"
    assert "cannot be the name of an environment variable" in outcome.reason


def test_a_command_starts_in_the_login_directory_or_where_it_is_told(bot: Bot, tmp_path: Path) -> None:
    home = bot.shell("pwd").output.strip()
    assert home == bot.shell("cd; pwd").output.strip()
    made = bot.shell("d=$(mktemp -d ./-here.XXXX); chmod 755 $d; echo ${d#./}").output.strip()
    try:
        assert bot.shell("pwd; umask", cwd=made).output.splitlines()[0] == f"{home}/{made}"
        assert bot.shell("pwd", cwd="/").output == "/\n"
    finally:
        bot.shell(f"rmdir ./{made}")
    nowhere = bot.shell("echo no", cwd="not-there")
    assert (nowhere.result, nowhere.output) == ("errored", "")
    assert nowhere.reason.endswith("the directory to start in is not there")


def test_a_command_cannot_read_and_is_nobodys_foreground(bot: Bot) -> None:
    outcome = bot.shell("cat; tty; echo end", timeout=20)
    assert outcome.output == "not a tty\nend\n"


def test_the_jobs_directory_is_its_users_alone(bot: Bot) -> None:
    bot.shell("umask", job="secret")
    assert bot.folder("secret").stat().st_mode & 0o077 == 0
    assert bot.folder("secret").parent.stat().st_mode & 0o077 == 0


def test_a_hundred_megabytes_pass_through_without_being_kept(bot: Bot) -> None:
    megabytes, total, digest = 100, 0, hashlib.sha256()

    def sink(data: bytes) -> None:
        nonlocal total
        total += len(data)
        digest.update(data)

    block = hashlib.sha256(b"seed").hexdigest()
    command = f"i=0; while [ $i -lt 1024 ]; do printf {block * 16}; i=$((i + 1)); done > $0.part; " + (
        f"i=0; while [ $i -lt {megabytes} ]; do cat $0.part; i=$((i + 1)); done; rm $0.part"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        outcome = bot.shell(command.replace("$0", "./big-$$"), sink=sink, timeout=300)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert outcome.ok
    assert total == megabytes * 1024 * 1024
    assert digest.hexdigest() == hashlib.sha256(block.encode() * 16 * 1024 * megabytes).hexdigest()
    assert peak < 16 * 1024 * 1024
    assert grown < 48 * 1024  # KiB


def test_background_children_that_hold_the_output_do_not_delay_the_end(bot: Bot, mark: str) -> None:
    outcome = bot.shell(f"sleep {mark} & echo started", timeout=DEADLINE)
    assert (outcome.result, outcome.output) == ("ok", "started\n")
    bot.performer.perform(  # what was left running on purpose is ended by name
        Shell(at=bot.target.at, command=f"pkill -f 'sleep {mark}'"),
        job="end",
        sink=bytearray().extend,
        cancel=bot.cancel,
    )


def test_past_its_time_the_whole_family_is_ended_the_stubborn_and_the_runaway_too(bot: Bot, mark: str) -> None:
    family = f"(trap '' TERM; sleep {mark}; sleep {mark}) & setsid sleep {mark} & echo begun; wait; sleep {mark}"
    outcome = bot.shell(family, job="family", timeout=4)
    assert (outcome.result, outcome.reason, outcome.output) == ("failed", "stopped after 4.0 s", "begun\n")
    assert not alive(f"sleep {mark}")
    again = bot.shell(family, job="family", resume=True)
    assert (again.result, again.reason) == ("failed", "it was stopped")


def test_cancelled_it_is_ended_and_said_so(bot: Bot, mark: str) -> None:
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bot.shell, f"echo begun; sleep {mark}", sink=lambda _: begun.set())
        assert begun.wait(DEADLINE)
        bot.cancel.set()
        outcome = running.result(DEADLINE)
    assert outcome.result == "aborted"
    assert not alive(f"sleep {mark}")


def test_cancelled_before_it_began_it_never_begins(bot: Bot) -> None:
    bot.cancel.set()
    assert bot.shell("touch began", job="never").result == "aborted"
    bot.cancel.clear()
    assert bot.shell("touch began", job="never", resume=True).result == "failed"
    assert bot.shell("ls began").exit != 0


def test_overdue_it_is_left_running_and_waits_for_an_answer(bot: Bot, mark: str) -> None:
    command = f"echo begun; sleep {mark}"
    outcome = bot.shell(command, job="slow", timeout=4, ask_when_overdue=True)
    assert (outcome.result, outcome.overdue) == ("errored", True)
    assert "still running after 4.0 s" in outcome.reason
    assert alive(f"sleep {mark}")
    stopped = bot.shell(command, job="slow", resume=True, stop=True)
    assert (stopped.result, stopped.output, bytes(bot.printed)[:6]) == ("failed", "begun\n", b"begun\n")
    assert not alive(f"sleep {mark}")


def test_stopped_when_it_was_over_already_it_is_what_it_came_to(bot: Bot) -> None:
    bot.shell("echo done", job="over")
    assert bot.shell("echo done", job="over", stop=True).output == "done\n"


def test_a_killed_bots_job_is_found_again_with_its_exit_code_and_all_its_output(target: Target, mark: str) -> None:
    first, second = Bot(target, target.performer()), Bot(target, target.performer())
    command = "echo one; until [ -e $QUARTERDECK_GO ]; do sleep 0.05; done; echo two; exit 5"
    env = {"QUARTERDECK_GO": f"/tmp/quarterdeck-go-{mark}"}
    left = first.shell(command, job="kept", env=env, timeout=4, ask_when_overdue=True)
    assert left.overdue
    first.performer.close()
    try:
        Path(env["QUARTERDECK_GO"]).touch()
        outcome = second.shell(command, job="kept", env=env, resume=True, deadline=DEADLINE)
        assert (outcome.exit, outcome.output, bytes(second.printed)) == (5, "one\ntwo\n", b"one\ntwo\n")
        again = second.shell(command, job="kept", env=env, resume=True)
        assert (again.exit, bytes(second.printed)) == (5, b"one\ntwo\n")
    finally:
        Path(env["QUARTERDECK_GO"]).unlink()
        second.performer.close()


def test_found_again_though_it_never_began_it_begins(bot: Bot) -> None:
    assert bot.shell("echo begun", job="new", resume=True).output == "begun\n"


def test_it_is_said_once_that_a_command_has_begun_and_before_it_ends(bot: Bot, tmp_path: Path) -> None:
    begun: list[bool] = []
    go = tmp_path / "go"

    def started() -> None:
        begun.append(go.exists())
        go.touch()

    command = f"until [ -e {go} ]; do sleep 0.05; done; echo done"
    assert bot.shell(command, job="told", started=started).output == "done\n"
    assert begun == [False]
    assert bot.shell(command, job="told", started=started, resume=True).output == "done\n"
    assert begun == [False, True]


def test_what_is_known_to_have_begun_never_begins_again_where_nothing_is_left_of_it(bot: Bot, tmp_path: Path) -> None:
    command = f"echo once >>{tmp_path}/count"
    assert bot.shell(command, job="gone").ok
    shutil.rmtree(bot.folder("gone"))
    outcome = bot.shell(command, job="gone", resume=True, known=True)
    assert (outcome.result, outcome.exit, outcome.unknown) == ("errored", None, True)
    assert outcome.reason.startswith(f"{bot.target.at}: outcome unknown")
    assert (tmp_path / "count").read_text() == "once\n"
    assert bot.shell(command, job="other", resume=True).ok


def test_the_same_job_runs_once_however_many_start_it(bot: Bot) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(bot.shell, "echo ran >>./ran-$$; sleep 0.3; cat ran-$$; rm ran-$$", job="x") for _ in "1234"
        ]
        assert {run.result().output for run in runs} == {"ran\n"}


def test_a_job_that_was_killed_from_outside_is_unknown(bot: Bot) -> None:
    outcome = bot.shell("kill -9 $PPID; sleep 0.2", job="shot")
    assert (outcome.result, outcome.exit) == ("errored", None)
    assert "outcome unknown: its process is gone, without an exit code" in outcome.reason


def test_many_at_once_on_one_host(bot: Bot) -> None:
    def one(n: int) -> Outcome:
        return bot.performer.perform(
            Shell(at=bot.target.at, command=f"echo {n}; exit {n}"), job=f"m{n}", sink=lambda _: None, cancel=bot.cancel
        )

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(one, range(24)))
    assert [(outcome.exit, outcome.output) for outcome in outcomes] == [(n, f"{n}\n") for n in range(24)]


def test_an_archive_is_put_in_place_once_whole_and_checked(bot: Bot, tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / digest).write_bytes(content)
    to = f"{bot.performer.base(bot.target.at)}/up/-it's here.tar.gz"
    assert bot.perform(Upload(bot.target.at, digest, to)).ok
    there = bot.target.base / NAMESPACE / "up" / "-it's here.tar.gz"
    assert there.read_bytes() == content
    first = there.stat().st_mtime_ns
    assert bot.perform(Upload(bot.target.at, digest, to)).ok
    assert there.stat().st_mtime_ns == first
    there.write_bytes(content[:-1])
    assert bot.perform(Upload(bot.target.at, digest, to)).ok
    assert there.read_bytes() == content
    assert [file.name for file in there.parent.iterdir()] == [there.name]


def test_an_archive_that_is_not_what_its_digest_says_is_not_put_in_place(bot: Bot, tmp_path: Path) -> None:
    wrong = "0" * 64
    (tmp_path / wrong).write_bytes(b"something else")
    outcome = bot.perform(Upload(bot.target.at, wrong, f"{bot.performer.base(bot.target.at)}/x.zip"))
    assert outcome.result == "errored"
    assert f"instead of {wrong}; it was removed" in outcome.reason
    assert list((bot.target.base / NAMESPACE).iterdir()) == []


def test_a_file_is_fetched_whole_and_checked(bot: Bot, tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    (bot.target.base / "there").mkdir(parents=True)
    (bot.target.base / "there" / "-it's here").write_bytes(content)
    transport, limit = bot.performer._hosts.transport(bot.target.at), Limit.of(DEADLINE)
    path = f"{bot.performer.base(bot.target.at).removesuffix(NAMESPACE)}there/-it's here"
    assert download(transport, path, tmp_path / "here", limit) == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "here").read_bytes() == content
    with pytest.raises(Trouble, match="missing"):
        download(transport, f"{path} missing", tmp_path / "missing", limit)
    assert not [file for file in tmp_path.iterdir() if "missing" in file.name]


def test_a_place_that_cannot_be_written_is_a_sentence(bot: Bot, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    outcome = bot.perform(Upload(bot.target.at, "a", "/proc/nowhere/x"))
    assert (outcome.result, "nowhere" in outcome.reason) == ("errored", True)


def test_a_host_that_answers_tells_its_boot(bot: Bot) -> None:
    outcome = bot.perform(AwaitHost(bot.target.at, DEADLINE))
    assert outcome.ok
    assert outcome.value == bot.perform(AwaitHost(bot.target.at, DEADLINE)).value != ""


@pytest.mark.parametrize(("off", "said"), [(600, "10 min [0-9 a-z]*behind"), (-600, "(10 min|9 min 5. s) ahead of")])
def test_a_host_whose_clock_is_far_off_is_not_fit(
    bot: Bot, monkeypatch: pytest.MonkeyPatch, off: float, said: str
) -> None:
    monkeypatch.setattr(clocks, "now", lambda: time.time() + off)
    outcome = bot.perform(AwaitHost(bot.target.at, DEADLINE))
    assert outcome.result == "errored"
    assert re.search(rf"^\S+ \S+: its clock is {said} Quarterdeck's: let both .* \(NTP", outcome.reason)


def test_a_restart_happens_once_and_waits_for_another_boot(bot: Bot) -> None:
    if bot.target.name == "local":
        outcome = bot.perform(Restart(bot.target.at, DEADLINE))
        assert "is not restarted" in outcome.reason
        return
    reboots = bot.shell("command -v reboot").output.strip()
    assert reboots.endswith(("/fakes/reboot", "/tools/reboot")), "this would restart the machine that tests run on"
    before = bot.perform(AwaitHost(bot.target.at, DEADLINE)).value
    restarted = bot.perform(Restart(bot.target.at, DEADLINE), job="reboot")
    assert restarted.ok, restarted.reason
    assert restarted.value != before
    again = bot.perform(Restart(bot.target.at, DEADLINE), job="reboot", resume=True)
    assert again.value == restarted.value


def test_a_command_that_was_running_when_the_host_restarted_is_told_apart(bot: Bot) -> None:
    if bot.target.name == "local":
        pytest.skip("this machine is not restarted")
    reboots = bot.shell("command -v reboot").output.strip()
    assert reboots.endswith(("/fakes/reboot", "/tools/reboot")), "this would restart the machine that tests run on"
    outcome = bot.shell("reboot; sleep 60", timeout=DEADLINE)
    assert outcome.result == "errored"
    assert "outcome unknown: the host was restarted" in outcome.reason


def test_a_host_that_the_configuration_lacks_is_a_sentence(bot: Bot) -> None:
    outcome = bot.perform(Shell(at=At("nowhere", "web"), command="true"))
    assert (outcome.result, outcome.reason) == ("errored", "nowhere web: the configuration has no such host")


def test_a_directory_that_cannot_be_made_is_a_sentence(bot: Bot) -> None:
    assert bot.shell("true").ok
    (bot.folder("x").parent / "file").write_text("in the way")
    outcome = bot.shell("true", job="file/deeper")
    assert outcome.result == "errored"
    assert "mkdir" in outcome.reason


def test_a_command_that_somebody_else_ended_blames_nobody(bot: Bot) -> None:
    outcome = bot.shell("kill -s TERM 0; sleep 60", timeout=DEADLINE)
    assert outcome.result == "errored"
    assert "outcome unknown: it was ended by a signal from outside" in outcome.reason
