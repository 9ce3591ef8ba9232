"""Touches one guest through its VMware Tools: starts programs there and moves files, each refusal in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pyVmomi import vim, vmodl

from plans.environment import Guest
from vmops.machine import known
from vmops.transport import LoginRefused, Refused, Trouble, Unreachable
from vmops.vcenter import AnswerLost, Session, words

T = TypeVar("T")

_PRIVATE = 0o600


class Tools:
    """The guest of a VM, for any number of threads, as the user whom the configuration names.

    All methods raise Unreachable where it may help to try again, Refused, Trouble and Lost, each with a sentence;
    NoSuchFile of a path.
    """

    def __init__(self, session: Session, vm: str, guest: Guest) -> None:
        self._session, self._vm, self._user = session, vm, guest.username
        self._name = f"the guest of {vm}"
        self._auth = vim.vm.guest.NamePasswordAuthentication(
            username=guest.username, password=guest.password, interactiveSession=False
        )
        self._managers: tuple[Any, Any] | None = None

    def start(self, program: str, arguments: str) -> int | None:
        """Starts a program by its full path, once: its process id, or None where the answer was lost."""
        spec = vim.vm.guest.ProcessManager.ProgramSpec(programPath=program, arguments=arguments)
        with self._told() as vm:
            processes, _ = self._found()
            try:
                return int(self._session.change(lambda: processes.StartProgramInGuest(vm, self._auth, spec)))
            except AnswerLost:
                return None

    def runs(self, pid: int) -> bool:
        """Whether that process has not ended yet, as far as this boot of the guest knows it."""
        with self._told() as vm:
            processes, _ = self._found()
            found = self._session.read(lambda _: processes.ListProcessesInGuest(vm, self._auth, [pid]))
            return any(one.endTime is None for one in found)

    def folder(self) -> str:
        """A new folder that is the user's alone, where the guest keeps what is temporary; its complete path."""
        return str(self._file("CreateTemporaryDirectoryInGuest", "quarterdeck-", "", None))

    def remove(self, folder: str) -> None:
        """Removes a folder with all that is in it."""
        self._file("DeleteDirectoryInGuest", folder, True)

    def taking(self, path: str, size: int, *, posix: bool) -> str:
        """The address to which the bytes of that file go, which will be the user's alone; its folder is there."""
        kinds = vim.vm.guest.FileManager
        attributes = kinds.PosixFileAttributes(permissions=_PRIVATE) if posix else kinds.WindowsFileAttributes()
        return str(self._file("InitiateFileTransferToGuest", path, attributes, size, True))

    def giving(self, path: str) -> str:
        """The address from which the bytes of that file come, as many as it has now."""
        return str(self._file("InitiateFileTransferFromGuest", path).url)

    def variable(self, name: str) -> str:
        """The value of one of the user's environment variables; empty where there is none."""
        with self._told() as vm:
            processes, _ = self._found()
            found = self._session.read(lambda _: processes.ReadEnvironmentVariableInGuest(vm, self._auth, [name]))
            return next((one.partition("=")[2] for one in found), "")

    def _file(self, method: str, *arguments: Any) -> Any:
        with self._told() as vm:
            _, files = self._found()
            return self._session.read(lambda _: getattr(files, method)(vm, self._auth, *arguments))

    def _found(self) -> tuple[Any, Any]:
        """The managers of processes and of files, which every vCenter has, and keeps."""
        if self._managers is None:
            above = self._session.read(lambda content: content.guestOperationsManager)
            told = self._session.properties(above, ["processManager", "fileManager"])
            self._managers = told["processManager"], told["fileManager"]
        return self._managers

    @contextmanager
    def _told(self) -> Iterator[vim.VirtualMachine]:
        """The VM; what vSphere refuses inside, as a sentence."""
        try:
            yield known(self._session, self._vm).vm
        except vim.fault.InvalidGuestLogin as fault:
            raise LoginRefused(
                f"{self._name} refuses the user {self._user} or its password: set guest.username and guest.password to "
                "what logs in on its console"
            ) from fault
        except vim.fault.FileNotFound as fault:
            raise NoSuchFile(f"{self._name} has no {fault.file}") from fault
        except (vim.fault.GuestOperationsUnavailable, vim.fault.InvalidPowerState) as fault:
            raise Unreachable(self._why_not()) from fault
        except vim.fault.TaskInProgress as fault:
            raise Unreachable(f"{self._name}: {words(fault)}") from fault
        except vim.fault.NoPermission as fault:
            raise Refused(f"{self._session.name} refuses: its user lacks the privilege {fault.privilegeId}") from fault
        except vmodl.fault.ManagedObjectNotFound as fault:
            raise Refused(f"the VM {self._vm} that was found in {self._session.name} is gone") from fault
        except vmodl.MethodFault as fault:
            raise Trouble(f"{self._name}: {words(fault)}") from fault

    def _why_not(self) -> str:
        """Why nothing can be done in the guest at present, as vCenter tells it."""
        vm = known(self._session, self._vm).vm
        paths = ("runtime.powerState", "guest.guestOperationsReady", "guest.toolsRunningStatus")
        try:
            power, ready, tools = self._session.properties(vm, paths).values()
        except vmodl.MethodFault as fault:
            return f"{self._name} cannot be reached: {words(fault)}"
        if power != "poweredOn":
            return f"{self._name} cannot be reached: the VM is {power}"
        if tools is not None and tools != "guestToolsRunning":
            return (
                f"VMware Tools are not running in {self._name} ({tools}), which is the way in: it is still booting, or "
                "open-vm-tools are to be installed there, or its console tells why they do not start"
            )
        said = "not ready yet" if ready is False else "not to be had at present"
        return f"VMware Tools run in {self._name}, but guest operations are {said}"


class NoSuchFile(Trouble):
    """The guest has no such file, or no such folder for one."""
