"""VMware Tools as the only way in: doors that stay shut, each with its sentence, and a vCenter that fails meanwhile."""

import http.client
import random
import shlex
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from far_ends import DEADLINE, NAMESPACE, Bot, Lab, until
from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

from plans.actions import AwaitHost, Power, Restart, Shell, Upload
from vmops import guest
from vmops.transfers import Transfers
from vmops.transport import Limit, Lost, Refused, Unreachable

METHODS = (
    "CreateTemporaryDirectoryInGuest",
    "InitiateFileTransferToGuest",
    "StartProgramInGuest",
    "InitiateFileTransferFromGuest",
    "ListProcessesInGuest",
)


def door(lab: Lab) -> http.client.HTTPSConnection:
    trust = ssl.create_default_context(cafile=lab.folder / "vcenter" / "ca.pem")
    return http.client.HTTPSConnection("127.0.0.1", lab.kept["vcenter_port"], context=trust)


def tell(lab: Lab, method: str, path: str, what: dict[str, Any] | None = None) -> None:
    """Orders something of the lab's vCenter."""
    connection = door(lab)
    try:
        connection.request(method, path, msgspec.json.encode(what) if what else None)
        answer = connection.getresponse()
        assert answer.status < 300, answer.read()
    finally:
        connection.close()


def spoil(lab: Lab, do: str, **how: Any) -> None:
    tell(lab, "POST", "/lab/faults", {"do": do, **how})


@contextmanager
def tools(lab: Lab, vm: str, **how: Any) -> Iterator[None]:
    """The VM's Tools are like that meanwhile."""
    password = (lab.folder / "keys" / "guest-password").read_text().strip()
    usual = {"username": "deploy", "password": password}
    tell(lab, "PATCH", f"/lab/machines/{vm}", {"guest": usual | how})
    yield
    tell(lab, "PATCH", f"/lab/machines/{vm}", {"guest": usual})


@contextmanager
def bot_for(lab: Lab, tmp_path: Path, vm: str = "qa-web", **login: str) -> Iterator[Bot]:
    target = lab.target("qa", "web", lab.without_a_network(vm, **login), tmp_path)
    bot = Bot(target, target.performer())
    yield bot
    bot.performer.close()


@pytest.fixture
def bot(lab: Lab, tmp_path: Path) -> Iterator[Bot]:
    with bot_for(lab, tmp_path) as one:
        yield one
    tell(lab, "DELETE", "/lab/faults")


def temporary(lab: Lab, vm: str = "qa-web") -> list[Path]:
    return sorted((lab.folder / "vms" / vm / "disk" / "tmp").glob("quarterdeck-*"))


@pytest.mark.parametrize("login", [{"username": "nobody"}, {"password": "wrong"}, {"password": ""}])
def test_a_refused_login_says_whose_and_what_to_set(lab: Lab, tmp_path: Path, login: dict[str, str]) -> None:
    with bot_for(lab, tmp_path, **login) as bot:
        outcome = bot.shell("touch owned")
    user = login.get("username", "deploy")
    assert (outcome.result, outcome.exit) == ("errored", None)
    assert outcome.reason.startswith(f"qa web: the guest of qa-web refuses the user {user} or its password: set ")
    assert "guest.username and guest.password" in outcome.reason


def test_a_vm_that_is_off_is_told_apart_from_tools_that_do_not_run(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bot_for(lab, tmp_path, "staging-spare") as bot:
        assert bot.perform(Power(bot.target.at, on=False)).ok
        off = bot.perform(AwaitHost(bot.target.at, 0.5))
        assert off.reason.endswith("the guest of staging-spare cannot be reached: the VM is poweredOff")
        with tools(lab, "staging-spare", tools="guestToolsNotRunning"):
            assert bot.perform(Power(bot.target.at, on=True)).ok
            dead = bot.shell("touch owned")
            assert dead.result == "errored"
            assert "VMware Tools are not running in the guest of staging-spare (guestToolsNotRunning)" in dead.reason
            assert "open-vm-tools" in dead.reason
        with tools(lab, "staging-spare", operations=False):
            closed = bot.shell("touch owned")
            assert closed.reason.endswith("run in the guest of staging-spare, but guest operations are not ready yet")
        with tools(lab, "staging-spare", delay=1.0):
            assert bot.perform(Power(bot.target.at, on=False)).ok
            assert bot.perform(Power(bot.target.at, on=True)).ok
            assert bot.perform(AwaitHost(bot.target.at, DEADLINE)).ok
        assert bot.perform(Power(bot.target.at, on=False)).ok


def test_a_vm_that_is_not_there_is_a_sentence(lab: Lab, tmp_path: Path) -> None:
    host = msgspec.structs.replace(lab.without_a_network("qa-web"), vm="nothing")
    target = lab.target("qa", "web", host, tmp_path)
    bot = Bot(target, target.performer())
    assert bot.shell("true").reason.startswith("qa web: vCenter 127.0.0.1 has no VMs nothing; ")
    bot.performer.close()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            vim.fault.NoPermission(privilegeId="VirtualMachine.GuestOperations.Execute"),
            "vCenter 127.0.0.1 refuses: its user lacks the privilege VirtualMachine.GuestOperations.Execute",
        ),
        (vim.fault.TaskInProgress(msg="Another task is already in progress."), "the guest of qa-web: Another task is"),
        (vim.fault.GuestPermissionDenied(msg="Permission denied."), "the guest of qa-web: Permission denied"),
        (vmodl.fault.ManagedObjectNotFound(), "the VM qa-web that was found in vCenter 127.0.0.1 is gone"),
    ],
)
def test_what_vsphere_refuses_is_a_sentence(bot: Bot, monkeypatch: pytest.MonkeyPatch, fault: Any, said: str) -> None:
    send: Any = SoapStubAdapter.InvokeMethod

    def invoke(stub: Any, mo: Any, info: Any, args: Any, outerStub: Any = None) -> Any:
        if info.wsdlName == "StartProgramInGuest":
            raise fault
        return send(stub, mo, info, args, outerStub)

    monkeypatch.setattr(SoapStubAdapter, "InvokeMethod", invoke)
    outcome = bot.shell("touch owned")
    assert outcome.result == "errored"
    assert outcome.reason.startswith(f"qa web: {said}")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_reply_that_is_lost_costs_nothing_and_repeats_nothing(bot: Bot, lab: Lab, method: str, times: int) -> None:
    spoil(lab, "drop_replies", method=method, times=times)
    job = f"lost-{method}-{times}"
    outcome = bot.shell(f"echo ran >>{job}; sleep 1.5; cat {job}; exit 3", job=job, timeout=DEADLINE)
    assert (outcome.exit, outcome.output) == (3, "ran\n"), outcome.reason


def test_a_session_that_expires_while_a_job_is_followed_is_opened_again(bot: Bot, lab: Lab) -> None:
    begun = threading.Event()
    command = "echo one; until [ -e go-on ]; do sleep 0.05; done; rm go-on; echo two; exit 6"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bot.shell, command, sink=lambda _: begun.set(), timeout=DEADLINE)
        assert begun.wait(DEADLINE)
        spoil(lab, "expire_sessions")
        (lab.folder / "vms" / "qa-web" / "disk" / "go-on").touch()
        outcome = running.result(DEADLINE)
    assert (outcome.exit, outcome.output) == (6, "one\ntwo\n")


def test_cuts_at_random_lose_no_exit_code_repeat_no_command_and_no_line(bot: Bot, lab: Lab, tmp_path: Path) -> None:
    chance, over, cuts = random.Random(11), threading.Event(), 0

    def cutter() -> None:
        nonlocal cuts
        while not over.wait(chance.uniform(0.05, 0.5)):
            tell(lab, "DELETE", "/lab/faults")  # or they would pile up while the bot waits
            if chance.random() < 0.5:
                spoil(lab, "refuse", seconds=chance.uniform(0.01, 0.2))
            else:
                spoil(lab, "drop_replies", method=chance.choice(METHODS))
            cuts += 1

    ran = tmp_path / "ran"
    command = f"echo $N >>{shlex.quote(str(ran))}; i=0; while [ $i -lt 9 ]; do seq $((i * 500)) $((i * 500 + 499)); "
    with ThreadPoolExecutor(1) as pool:
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
    assert cuts >= 10


def test_an_upload_that_is_cut_is_sent_again(bot: Bot, lab: Lab, tmp_path: Path) -> None:
    content = random.Random(3).randbytes(20_000_000)
    (tmp_path / "big").write_bytes(content)
    digest = subprocess.check_output(["sha256sum", tmp_path / "big"], text=True)[:64]
    (tmp_path / "big").rename(tmp_path / digest)
    folder = bot.target.base / NAMESPACE / "up"
    with ThreadPoolExecutor(1) as pool:
        to = f"{bot.performer.base(bot.target.at)}/up/a"
        running = pool.submit(bot.perform, Upload(bot.target.at, digest, to))
        until(lambda: folder.is_dir() and list(folder.iterdir()))
        spoil(lab, "refuse", seconds=0.3)
        outcome = running.result(DEADLINE)
    assert outcome.ok, outcome.reason
    assert (folder / "a").read_bytes() == content


def test_what_is_on_its_way_is_the_users_alone_and_nothing_is_left(lab: Lab, tmp_path: Path) -> None:
    left = temporary(lab)
    with bot_for(lab, tmp_path) as bot:
        with ThreadPoolExecutor(1) as pool:
            begun = threading.Event()
            running = pool.submit(
                bot.shell, "echo; sleep 2", env={"SECRET": "of nobody's business"}, sink=lambda _: begun.set()
            )
            assert begun.wait(DEADLINE)
            [folder] = (each for each in temporary(lab) if each not in left)
            assert folder.stat().st_mode & 0o077 == 0
            assert all(file.stat().st_mode & 0o077 == 0 for file in until(lambda: list(folder.iterdir())))
            said = subprocess.check_output(["ps", "-eo", "args"], text=True)
            assert "of nobody's business" not in said
            assert running.result(DEADLINE).ok
        assert len(list(folder.iterdir())) <= 2  # the last answer, and its neighbour where it came late
    assert temporary(lab) == left


def test_a_guest_that_lost_its_temporary_files_is_given_new_ones(bot: Bot, lab: Lab) -> None:
    before = temporary(lab)
    assert bot.shell("true").ok
    (folder,) = set(temporary(lab)) - set(before)
    shutil.rmtree(folder)
    assert bot.shell("echo on").output == "on\n"


def test_a_bot_that_gave_up_leaves_no_answer_behind(bot: Bot, lab: Lab) -> None:
    before = temporary(lab)
    left = bot.shell("sleep 3; echo done", job="slow", timeout=0.5, ask_when_overdue=True)
    assert left.overdue
    assert bot.shell("echo done", job="slow", resume=True, deadline=DEADLINE).output == "done\n"
    assert bot.shell("true").ok
    (folder,) = set(temporary(lab)) - set(before)
    until(lambda: len(list(folder.iterdir())) <= 1)


def test_a_long_silence_costs_about_two_calls_a_second(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    send: Any = SoapStubAdapter.InvokeMethod
    calls: list[str] = []

    def invoke(stub: Any, mo: Any, info: Any, args: Any, outerStub: Any = None) -> Any:
        calls.append(info.wsdlName)
        return send(stub, mo, info, args, outerStub)

    monkeypatch.setattr(SoapStubAdapter, "InvokeMethod", invoke)
    begun = time.monotonic()
    assert bot.shell("sleep 5").ok
    quick = len(guest.QUICK) + 12  # what starting costs, and finding the way in
    assert len(calls) < quick + 2 * (time.monotonic() - begun)


def test_a_restart_is_waited_for_through_the_tools(bot: Bot) -> None:
    before = bot.perform(AwaitHost(bot.target.at, DEADLINE)).value
    after = bot.perform(Restart(bot.target.at, DEADLINE), job="restart")
    assert after.ok, after.reason
    assert after.value not in ("", before)


def test_a_file_comes_as_it_is(bot: Bot) -> None:
    content = random.Random(4).randbytes(3_000_000)
    (bot.target.base.parent / "file").write_bytes(content)
    bot.shell(f"mv {shlex.quote(str(bot.target.base.parent / 'file'))} ./there")
    seen = bytearray()
    transport = bot.performer._hosts.transport(bot.target.at)
    transport.get("there", seen.extend, Limit.of(DEADLINE))
    assert bytes(seen) == content
    with pytest.raises(Exception, match=r"the guest of qa-web has no .*/nowhere"):
        transport.get("nowhere", seen.extend, Limit.of(DEADLINE))


def test_files_pass_only_where_the_host_is_known_by_its_certificate(lab: Lab) -> None:
    limit, port = Limit.of(DEADLINE), lab.kept["vcenter_port"]
    trusted = ssl.create_default_context(cafile=lab.folder / "vcenter" / "ca.pem")
    with pytest.raises(Refused, match="has a certificate that is not trusted"):
        Transfers(ssl.create_default_context(), f"127.0.0.1:{port}").fetch("https://*/guestFile?token=x", print, limit)
    named = Transfers(trusted, "nowhere.invalid:443")
    with pytest.raises(Lost, match="answers 404 Not Found instead of taking or giving a file: no such transfer"):
        named.fetch(f"https://127.0.0.1:{port}/guestFile?token=x", print, limit)
    with pytest.raises(
        Unreachable, match=r"nowhere\.invalid:443, through which the files of guests go, cannot be reached"
    ):
        named.fetch("https://*:443/guestFile?token=x", print, limit)
    named.close()


def test_two_bots_on_one_guest_do_not_meet(lab: Lab, tmp_path: Path) -> None:
    with bot_for(lab, tmp_path) as first, bot_for(lab, tmp_path) as second, ThreadPoolExecutor(8) as pool:
        at = first.target.at
        runs = [
            pool.submit(
                bot.performer.perform, Shell(at=at, command=f"echo {n}"), job=f"two-{n}-{n % 2}", sink=lambda _: None,
                cancel=bot.cancel,
            )
            for n in range(8)
            for bot in (first, second)
        ]  # fmt: skip
        assert [run.result(DEADLINE).output for run in runs] == [f"{n}\n" for n in range(8) for _ in "12"]
