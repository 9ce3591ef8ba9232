"""Guest operations at the lab's vCenter: real programs and files of a VM, without a network to it."""

import os
import shlex
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pyVmomi import vim, vmodl
from vcenter_room import DEADLINE, GUEST, SECRET, Server, done, until, vm_of

from lab import guest as tools
from lab.processes import alive
from lab.records import Guest

Attributes = vim.vm.guest.FileManager.PosixFileAttributes


class Way:
    """The way into one guest."""

    def __init__(
        self, si: vim.ServiceInstance, vm: vim.VirtualMachine, user: str = GUEST, secret: str = SECRET
    ) -> None:
        self.manager = si.content.guestOperationsManager
        self.given = (vm, vim.vm.guest.NamePasswordAuthentication(username=user, password=secret))

    def start(self, path: str, arguments: str = "", **more: Any) -> int:
        """The id of a new process."""
        spec = vim.vm.guest.ProcessManager.ProgramSpec(programPath=path, arguments=arguments, **more)
        return int(self.manager.processManager.StartProgramInGuest(*self.given, spec))

    def shell(self, script: str, **more: Any) -> Any:
        """The ProcessInfo of a script that has run to its end."""
        pid = self.start("/bin/sh", f"-c {shlex.quote(script)}", **more)
        until(lambda: self.listed(pid)[0].endTime, f"the end of {script}")
        return self.listed(pid)[0]

    def listed(self, *pids: int) -> list[Any]:
        """ProcessInfos, of these processes or of all."""
        return list(self.manager.processManager.ListProcessesInGuest(*self.given, list(pids)))

    def files(self, method: str, *arguments: Any) -> Any:
        """Calls the file manager."""
        return getattr(self.manager.fileManager, method)(*self.given, *arguments)


@pytest.fixture
def prod(server: Server, si: vim.ServiceInstance) -> Way:
    return Way(si, vm_of(si, server.prod))


def test_a_program_runs_on_the_vm_and_its_exit_code_is_known(server: Server, prod: Way) -> None:
    begun = datetime.now(UTC)
    info = prod.shell(f"{{ pwd; echo $LAB_NAME; }} >{shlex.quote(str(server.prod.disk / 'out'))}; exit 7")
    assert (info.exitCode, info.owner, info.name) == (7, GUEST, "sh")
    assert begun - timedelta(seconds=1) < info.startTime <= info.endTime
    assert info.cmdLine.startswith('"/bin/sh" -c ')
    assert (server.prod.disk / "out").read_text() == f"{server.prod.disk}\nprod-web-1\n"


def test_a_shell_reads_the_command_line_as_in_every_linux_guest(server: Server, prod: Way) -> None:
    out = server.prod.disk / "out"
    pid = prod.start("/bin/echo", f"'two  words' \"$HOME\" >{out} # not seen")
    until(lambda: prod.listed(pid)[0].endTime, "the end")
    assert out.read_text() == f"two  words {server.prod.disk}\n"
    given = prod.shell('printf %s "$A|$HOME|$LAB_NAME" >out', workingDirectory=str(out.parent), envVariables=["A=1=2"])
    assert given.exitCode == 0
    assert out.read_text() == "1=2||prod-web-1"  # what is given is all, but for the VM's own marks


def test_a_program_that_cannot_start_says_why(server: Server, prod: Way) -> None:
    (server.prod.disk / "text").write_text("no program")
    for path, fault in (
        ("sh", vim.fault.FileNotFound),
        ("/bin/nothing", vim.fault.FileNotFound),
        (str(server.prod.disk / "text"), vim.fault.GuestPermissionDenied),
    ):
        with pytest.raises(fault):
            prod.start(path)
    with pytest.raises(vim.fault.NotADirectory):
        prod.start("/bin/true", workingDirectory="/nowhere")
    with pytest.raises(vmodl.fault.InvalidArgument):
        prod.start("/bin/true", "x" * 65_600)
    assert prod.shell(": " + "x" * 60_000).exitCode == 0


def test_processes_are_listed_and_ended_one_by_one(server: Server, prod: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "PATIENCE", 0.2)
    stubborn = prod.start("/bin/sh", "-c 'trap \"\" TERM; touch trapped; while :; do sleep 0.05; done'")
    until((server.prod.disk / "trapped").exists, "the trap")
    parent = prod.start("/bin/sh", "-c 'sleep 60 & echo $! >child.new; mv child.new child; wait'")
    until((server.prod.disk / "child").exists, "the child")
    child = int((server.prod.disk / "child").read_text())
    until(lambda: {stubborn, parent, child} <= {info.pid for info in prod.listed()}, "all three")
    [info] = prod.listed(child, 1, 999_999_999)  # what is not there is left out
    assert (info.name, info.cmdLine, info.exitCode) == ("sleep", "sleep 60", None)
    for pid in (stubborn, parent):
        prod.manager.processManager.TerminateProcessInGuest(*prod.given, pid)
        until(lambda pid=pid: prod.listed(pid)[0].endTime, "its end")
        assert prod.listed(pid)[0].exitCode == -1
    assert alive(child)
    for nobody in (stubborn, 1):
        with pytest.raises(vim.fault.GuestProcessNotFound) as caught:
            prod.manager.processManager.TerminateProcessInGuest(*prod.given, nobody)
        assert caught.value.pid == nobody


def test_an_exit_code_is_forgotten_after_a_while_and_by_a_reboot(
    server: Server, si: vim.ServiceInstance, prod: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = prod.shell("exit 3").pid, prod.shell("exit 4").pid
    assert [info.exitCode for info in prod.listed(first, second)] == [3, 4]
    monkeypatch.setattr(tools, "REMEMBERED", timedelta(0))
    assert prod.listed(first) == []
    monkeypatch.undo()
    second = prod.shell("exit 4").pid
    done(si, vm_of(si, server.prod).ResetVM_Task())
    assert prod.listed(second) == []


def test_the_guests_environment_can_be_read(server: Server, prod: Way) -> None:
    read = prod.manager.processManager.ReadEnvironmentVariableInGuest
    assert read(*prod.given, ["HOME", "NOTHING", "LAB_NAME"]) == [f"HOME={server.prod.disk}", "LAB_NAME=prod-web-1"]
    assert set(read(*prod.given, [])) == {f"{name}={value}" for name, value in server.prod.environment().items()}


def test_only_its_own_password_opens_a_guest(server: Server, si: vim.ServiceInstance) -> None:
    vm, other = vm_of(si, server.prod), si.content.searchIndex.FindByInventoryPath("/lab/vm/prod-db")
    validate = si.content.guestOperationsManager.authManager.ValidateCredentialsInGuest
    validate(*Way(si, vm).given)
    for way in (Way(si, vm, secret="wrong"), Way(si, vm, user="nobody"), Way(si, other), Way(si, other, secret="")):
        with pytest.raises(vim.fault.InvalidGuestLogin):
            validate(*way.given)
    with pytest.raises(vmodl.fault.NotSupported):
        validate(vm, vim.vm.guest.TicketedSessionAuthentication(ticket="t"))


def test_a_guest_without_its_tools_is_told_apart_from_a_vm_that_is_off(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    validate = si.content.guestOperationsManager.authManager.ValidateCredentialsInGuest
    with pytest.raises(vim.fault.InvalidPowerState):
        validate(*Way(si, vm).given)
    server.web.guest = Guest(GUEST, SECRET, delay=0.5)
    done(si, vm.PowerOnVM_Task())
    with pytest.raises(vim.fault.GuestOperationsUnavailable):
        validate(*Way(si, vm).given)
    assert (vm.guest.toolsRunningStatus, vm.guest.guestOperationsReady) == ("guestToolsNotRunning", False)
    until(lambda: vm.guest.guestOperationsReady, "tools")
    validate(*Way(si, vm).given)
    for guest, status in (
        (Guest(GUEST, SECRET, tools="guestToolsNotRunning"), "guestToolsNotRunning"),
        (Guest(GUEST, SECRET, tools="guestToolsExecutingScripts"), "guestToolsExecutingScripts"),
        (Guest(GUEST, SECRET, operations=False), "guestToolsRunning"),
    ):
        server.web.guest = guest
        assert (vm.guest.toolsRunningStatus, vm.guest.guestOperationsReady) == (status, False)
        with pytest.raises(vim.fault.GuestOperationsUnavailable):
            validate(*Way(si, vm).given)


def test_a_privilege_that_is_denied_is_named(server: Server, prod: Way) -> None:
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("Execute", lambda: prod.start("/bin/true")),
        ("Query", lambda: prod.listed()),
        ("Modify", lambda: prod.files("DeleteFileInGuest", "/x")),
    ]
    for name, call in calls:
        server.vcenter.state.denied = {f"VirtualMachine.GuestOperations.{name}"}
        with pytest.raises(vim.fault.NoPermission) as caught:
            call()
        assert caught.value.privilegeId == f"VirtualMachine.GuestOperations.{name}"


def upload(server: Server, way: Way, path: Path, data: bytes, *, overwrite: bool = False, mode: int = 0o640) -> str:
    """Puts a file into the guest; the address that it went to."""
    attributes = Attributes(permissions=mode, modificationTime=datetime(2020, 1, 2, tzinfo=UTC))
    url = way.files("InitiateFileTransferToGuest", str(path), attributes, len(data), overwrite)
    assert server.http("PUT", url, data) == (200, b"")
    return str(url)


def test_a_file_goes_in_and_comes_out_by_addresses_that_are_good_once(server: Server, prod: Way) -> None:
    data, file = os.urandom(3_000_000), server.prod.disk / "a file"
    url = upload(server, prod, file, data)
    assert (urlsplit(url).netloc, urlsplit(url).path) == ("*", "/guestFile")
    assert file.read_bytes() == data
    assert (file.stat().st_mode & 0o777, file.stat().st_mtime) == (0o640, datetime(2020, 1, 2, tzinfo=UTC).timestamp())
    assert server.http("PUT", url, data)[0] == 404
    info = prod.files("InitiateFileTransferFromGuest", str(file))
    assert (info.size, info.attributes.permissions) == (3_000_000, 0o640)
    assert server.http("PUT", info.url, data)[0] == 404
    assert server.http("GET", info.url) == (200, data)
    assert server.http("GET", info.url)[0] == 404
    with pytest.raises(vim.fault.FileAlreadyExists):
        prod.files("InitiateFileTransferToGuest", str(file), Attributes(), 1, False)
    upload(server, prod, file, b"", overwrite=True)
    assert file.read_bytes() == b""


def test_a_transfer_of_another_size_or_of_another_boot_is_refused(
    server: Server, si: vim.ServiceInstance, prod: Way
) -> None:
    file = server.prod.disk / "file"
    url = prod.files("InitiateFileTransferToGuest", str(file), Attributes(), 4, False)
    assert server.http("PUT", url, b"more than four")[0] == 400
    assert not file.exists()
    assert server.http("PUT", url + "x", b"four")[0] == 404
    assert server.http("GET", url)[0] == 404
    assert server.http("PUT", url, b"four") == (200, b"")
    url = prod.files("InitiateFileTransferToGuest", str(file), Attributes(), 4, True)
    download = prod.files("InitiateFileTransferFromGuest", str(file)).url
    done(si, vm_of(si, server.prod).ResetVM_Task())
    assert (server.http("PUT", url, b"late")[0], server.http("GET", download)[0]) == (404, 404)
    assert file.read_bytes() == b"four"


def test_an_upload_that_is_cut_off_leaves_a_part_and_can_be_sent_again(server: Server, prod: Way) -> None:
    file = server.prod.disk / "file"
    url = prod.files("InitiateFileTransferToGuest", str(file), Attributes(), 100_000, False)
    trust = ssl.create_default_context(cafile=str(server.ca_file))
    with (
        socket.create_connection(("127.0.0.1", server.port), DEADLINE) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as wire,
    ):
        path = url.removeprefix("https://*")
        wire.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 1000)
        until(file.exists, "the part")
        assert server.http("PUT", url, b"y" * 100_000)[0] == 404  # one at a time
    until(lambda: server.http("PUT", url, b"y" * 100_000)[0] == 200, "a second try")
    assert file.read_bytes() == b"y" * 100_000


def test_files_and_folders_are_made_listed_moved_and_deleted(server: Server, prod: Way) -> None:
    disk = server.prod.disk
    prod.files("MakeDirectoryInGuest", f"{disk}/a/b", True)
    for name in ("one", "two"):
        (disk / "a" / name).write_text(name)
    (disk / "a" / "link").symlink_to("one")
    listed = prod.files("ListFilesInGuest", f"{disk}/a", None, None, None)
    kinds = {file.path: (file.type, file.attributes.symlinkTarget) for file in listed.files}
    assert kinds == {
        ".": ("directory", ""), "..": ("directory", ""), "b": ("directory", ""),
        "link": ("symlink", "one"), "one": ("file", ""), "two": ("file", ""),
    }  # fmt: skip
    page = prod.files("ListFilesInGuest", f"{disk}/a", 1, 2, "^[a-z]+$")
    assert ([file.path for file in page.files], page.remaining) == (["link", "one"], 1)
    [single] = prod.files("ListFilesInGuest", f"{disk}/a/two", None, None, None).files
    assert (single.path, single.size, single.attributes.ownerId) == (f"{disk}/a/two", 3, os.getuid())
    prod.files("MoveFileInGuest", f"{disk}/a/two", f"{disk}/a/one", True)
    assert (disk / "a" / "one").read_text() == "two"
    prod.files("ChangeFileAttributesInGuest", f"{disk}/a/one", Attributes(permissions=0o755))
    assert (disk / "a" / "one").stat().st_mode & 0o777 == 0o755
    prod.files("MoveDirectoryInGuest", f"{disk}/a/b", f"{disk}/c")
    prod.files("DeleteFileInGuest", f"{disk}/a/link")
    prod.files("DeleteDirectoryInGuest", f"{disk}/c", False)
    prod.files("DeleteDirectoryInGuest", f"{disk}/a", True)
    temporary = prod.files("CreateTemporaryFileInGuest", "qd-", ".sh", None)
    assert Path(temporary).is_relative_to(disk)
    assert Path(temporary).name.startswith("qd-")
    assert Path(temporary).stat().st_mode & 0o777 == 0o600
    inside = prod.files("CreateTemporaryDirectoryInGuest", "qd-", "", str(disk))
    assert Path(inside).parent == disk
    assert sorted(os.listdir(disk)) == sorted(["tmp", Path(inside).name])


def test_what_the_guests_file_system_refuses_is_told(server: Server, prod: Way) -> None:
    disk = server.prod.disk
    (disk / "folder").mkdir()
    (disk / "folder" / "file").touch()
    (disk / "outside").symlink_to("/tmp")
    cases: list[tuple[Any, str, tuple[Any, ...]]] = [
        (vim.fault.FileNotFound, "ListFilesInGuest", (f"{disk}/nothing", None, None, None)),
        (vim.fault.FileNotFound, "DeleteFileInGuest", (f"{disk}/nothing",)),
        (vim.fault.FileNotFound, "MakeDirectoryInGuest", (f"{disk}/x/y", False)),
        (vim.fault.FileNotFound, "InitiateFileTransferToGuest", (f"{disk}/x/y", Attributes(), 1, True)),
        (vim.fault.FileNotFound, "InitiateFileTransferFromGuest", (f"{disk}/x",)),
        (vim.fault.FileAlreadyExists, "MakeDirectoryInGuest", (f"{disk}/folder", True)),
        (vim.fault.NotAFile, "DeleteFileInGuest", (f"{disk}/folder",)),
        (vim.fault.NotAFile, "InitiateFileTransferToGuest", (f"{disk}/folder", Attributes(), 1, True)),
        (vim.fault.NotADirectory, "DeleteDirectoryInGuest", (f"{disk}/folder/file", True)),
        (vim.fault.DirectoryNotEmpty, "DeleteDirectoryInGuest", (f"{disk}/folder", False)),
        (vim.fault.GuestPermissionDenied, "DeleteFileInGuest", ("/etc/passwd",)),
        (vim.fault.GuestPermissionDenied, "DeleteFileInGuest", (f"{disk}/../vm.json",)),
        (vim.fault.GuestPermissionDenied, "DeleteFileInGuest", (f"{disk}/outside/file",)),
        (vmodl.fault.InvalidArgument, "DeleteFileInGuest", ("folder/file",)),
    ]
    for fault, method, arguments in cases:
        with pytest.raises(fault):
            prod.files(method, *arguments)
    assert (disk / "folder" / "file").exists()


def test_many_threads_work_in_one_guest(server: Server, prod: Way) -> None:
    with ThreadPoolExecutor(8) as threads:
        ends = list(threads.map(lambda number: prod.shell(f"sleep 0.1; exit {number}").exitCode, range(16)))
    assert ends == list(range(16))
