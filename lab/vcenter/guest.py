"""Touches a VM's guest as vSphere's guest operations do: lets in who may, starts and lists and ends programs."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyVmomi import vim, vmodl

from lab.guest import Program
from lab.machines import Machine
from lab.vcenter.managed import Call, Managed
from lab.vcenter.refusals import as_faults
from lab.vcenter.services import OPERATIONS
from lab.vcenter.vm import VirtualMachine

AUTH = vim.vm.guest.AuthManager("guestOperationsAuthManager")
PROCESSES = vim.vm.guest.ProcessManager("guestOperationsProcessManager")
FILES = vim.vm.guest.FileManager("guestOperationsFileManager")

CALL_BYTES = 64 * 1024
"""What one call can carry into a guest."""

OPERATION = "com.vmware.vc.guestOperations.GuestOperation"
"""What vCenter calls the event of one."""


class GuestOperationsManager(Managed):
    """Where clients find the other three."""

    kind = type(OPERATIONS)

    @property
    def authManager(self) -> Any:
        return AUTH

    @property
    def processManager(self) -> Any:
        return PROCESSES

    @property
    def fileManager(self) -> Any:
        return FILES


class AuthManager(Managed):
    """Tries a login."""

    kind = vim.vm.guest.AuthManager

    def ValidateCredentialsInGuest(self, call: Call, vm: Any, auth: Any) -> None:
        enter(call, vm, auth)


class ProcessManager(Managed):
    """The programs of a guest."""

    kind = vim.vm.guest.ProcessManager

    async def StartProgramInGuest(self, call: Call, vm: Any, auth: Any, spec: Any) -> int:
        machine = enter(call, vm, auth)
        given = [spec.programPath, spec.arguments or "", spec.workingDirectory or "", *spec.envVariables]
        if sum(len(text.encode()) + 1 for text in given) > CALL_BYTES:
            raise vmodl.fault.InvalidArgument(
                msg="A specified parameter was not correct: spec.arguments", invalidProperty="spec.arguments"
            )
        variables = dict(one.partition("=")[::2] for one in spec.envVariables) or None
        tools = self.state.tools(machine)
        with file_faults(spec.programPath), as_faults(machine, "poweredOn"):
            return await tools.start(spec.programPath, spec.arguments or "", spec.workingDirectory, variables)

    def ListProcessesInGuest(self, call: Call, vm: Any, auth: Any, pids: list[int]) -> list[Any]:
        machine = enter(call, vm, auth)
        return [_described(program, machine) for program in self.state.tools(machine).programs(pids)]

    async def TerminateProcessInGuest(self, call: Call, vm: Any, auth: Any, pid: int) -> None:
        try:
            await self.state.tools(enter(call, vm, auth)).terminate(pid)
        except ProcessLookupError:
            raise vim.fault.GuestProcessNotFound(msg=f"The process {pid} was not found.", pid=pid) from None

    def ReadEnvironmentVariableInGuest(self, call: Call, vm: Any, auth: Any, names: list[str]) -> list[str]:
        variables = enter(call, vm, auth).environment()
        return [f"{name}={variables[name]}" for name in names or variables if name in variables]


def enter(call: Call, vm: Any, auth: Any) -> Machine:
    """The VM whose guest lets `auth` in.

    Raises InvalidPowerState, GuestOperationsUnavailable, InvalidGuestLogin, and NotSupported for a way of
    authentication that is not by name and password.
    """
    target = call.find(vm)
    assert isinstance(target, VirtualMachine)
    machine = target.machine
    with as_faults(machine, "poweredOn"):
        machine.require("poweredOn")
    if not target.guest.guestOperationsReady:
        raise vim.fault.GuestOperationsUnavailable(msg="The guest operations agent could not be contacted.")
    if not isinstance(auth, vim.vm.guest.NamePasswordAuthentication):
        raise vmodl.fault.NotSupported(msg="only a name and a password let anybody into this guest")
    login, guest = (auth.username or "", auth.password or ""), machine.guest
    right = hmac.compare_digest(login[1].encode(), guest.password.encode())
    if login[0] != guest.username or not right or not guest.password:
        raise vim.fault.InvalidGuestLogin(msg="Failed to authenticate with the guest operating system.")
    said = f"Guest operation {call.method.wsdlName} performed"
    target.posted(vim.event.EventEx, call.owner.user, said, eventTypeId=OPERATION, severity="info")
    return machine


@contextmanager
def file_faults(path: str) -> Iterator[None]:
    """What the guest's file system refuses, as vSphere says it of `path`."""
    try:
        yield
    except PermissionError:
        raise vim.fault.GuestPermissionDenied(msg=f"Permission to access {path} was denied in the guest.") from None
    except FileNotFoundError:
        raise vim.fault.FileNotFound(msg=f"File {path} was not found", file=path) from None
    except FileExistsError:
        raise vim.fault.FileAlreadyExists(msg=f"The file {path} already exists.", file=path) from None
    except NotADirectoryError:
        raise vim.fault.NotADirectory(msg=f"{path} is not a directory.", file=path) from None
    except IsADirectoryError:
        raise vim.fault.NotAFile(msg=f"{path} is not a file.", file=path) from None
    except OSError as problem:
        raise vim.fault.CannotAccessFile(msg=f"Unable to access file {path}: {problem.strerror}", file=path) from None


def _described(program: Program, machine: Machine) -> Any:
    return vim.vm.guest.ProcessManager.ProcessInfo(
        name=program.name,
        pid=program.pid,
        owner=machine.guest.username,
        cmdLine=program.command,
        startTime=program.started,
        endTime=program.ended,
        exitCode=program.exit,
    )
