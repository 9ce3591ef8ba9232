"""Touches one vCenter: a verified session that logs in again, exact properties, tasks waited for till a deadline."""

import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any, TypeVar
from xml.parsers.expat import ExpatError

from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

from plans.environment import VCenter
from vmops.transport import Limit, Lost, Refused, Trouble, Unreachable

API = "vim.version.version11"
"""vSphere 6.5: what every vCenter since speaks. Said, not negotiated: one request less, and one without a deadline."""

SECONDS = 30.0
"""For one answer of vCenter's; a wait for updates asks for less."""

UPDATES = 2
"""Seconds after which a wait for news comes back without any, so that somebody who wants to stop is heard."""

T = TypeVar("T")
Content = Any
"""A `vim.ServiceInstanceContent`: its parts are declared optional, but a vCenter has all of them."""
Properties = Mapping[str, Any]

log = logging.getLogger(__name__)


class AnswerLost(Lost):
    """A change was sent and no answer came: whether it was made is not known."""


class Session:
    """One session of one vCenter, for any number of threads; it logs in at the first use.

    Raises Unreachable, Refused and Trouble, each with a sentence; what vSphere itself refuses comes as its own faults
    (`vmodl.MethodFault`) for the caller to judge.
    """

    def __init__(self, vcenter: VCenter) -> None:
        self._vcenter = vcenter
        self.name = f"vCenter {vcenter.host}"
        self._stub = SoapStubAdapter(
            host=vcenter.host,
            port=vcenter.port,
            path="/sdk",
            version=API,
            # Always given: without one pyVmomi does not verify a vCenter on localhost.
            sslContext=self._context(),
            httpConnectionTimeout=SECONDS,
        )
        self._lock = threading.Lock()
        self._generation = 0
        self._content: Content = None
        self._collectors: list[Any] = []

    def read(self, ask: Callable[[Content], T]) -> T:
        """What `ask` finds. It may be asked twice: after a new login, or where the connection was lost."""
        for last in (False, True):
            content, generation = self._logged_in()
            try:
                return ask(content)
            except vim.fault.NotAuthenticated:
                self._forget(generation)
                if last:
                    raise
            except (OSError, HTTPException, ExpatError) as error:
                if last:
                    raise self._unreachable(error) from error
        raise AssertionError

    def change(self, do: Callable[[], T]) -> T:
        """What `do` answers; it is called once. Raises AnswerLost."""
        self._logged_in()
        try:
            return do()
        except (OSError, HTTPException, ExpatError) as error:
            raise AnswerLost(f"{self.name}: its answer was lost: {error or type(error).__name__}") from error

    def properties(self, thing: Any, paths: Sequence[str]) -> Properties:
        """Exactly these properties of one object in one call; what vCenter does not tell is None.

        Raises ManagedObjectNotFound (`vmodl.fault`) where the object is gone.
        """
        return self.properties_of([thing], paths)[thing._moId]

    def properties_of(self, things: Sequence[Any], paths: Sequence[str]) -> dict[str, Properties]:
        """The same of several objects of one type, by their ids, in one call."""
        if not things:
            return {}
        collect = vmodl.query.PropertyCollector
        wanted = collect.FilterSpec(
            propSet=[collect.PropertySpec(type=type(things[0]), pathSet=list(paths))],
            objectSet=[collect.ObjectSpec(obj=thing) for thing in things],
        )
        told = {
            each.obj._moId: {p.name: p.val for p in each.propSet}
            for each in self.read(lambda _: self._retrieve(wanted))
        }
        return {thing._moId: {path: told.get(thing._moId, {}).get(path) for path in paths} for thing in things}

    def each_vm(self, paths: Sequence[str]) -> list[tuple[Any, Properties]]:
        """Every VM that may be seen, with these properties, in one call beside those that make the view."""
        collect = vmodl.query.PropertyCollector

        def ask(content: Content) -> list[Any]:
            view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
            try:
                through = collect.TraversalSpec(name="each", type=type(view), path="view", skip=False)
                wanted = collect.FilterSpec(
                    propSet=[collect.PropertySpec(type=vim.VirtualMachine, pathSet=list(paths))],
                    objectSet=[collect.ObjectSpec(obj=view, skip=True, selectSet=[through])],
                )
                return self._retrieve(wanted)
            finally:
                with suppress(vmodl.MethodFault):
                    view.DestroyView()

        return [(each.obj, {p.name: p.val for p in each.propSet}) for each in self.read(ask)]

    def wait(self, task: vim.Task, vm: vim.VirtualMachine, limit: Limit) -> Any:
        """Waits until the task has ended; its result.

        Raises the task's own fault; Trouble where the VM asks a question that only a person can answer; Cancelled,
        Overdue: the task goes on then.
        """
        collect = vmodl.query.PropertyCollector
        wanted = collect.FilterSpec(
            propSet=[
                collect.PropertySpec(type=vim.Task, pathSet=["info.state", "info.error", "info.result"]),
                collect.PropertySpec(type=vim.VirtualMachine, pathSet=["runtime.question"]),
            ],
            objectSet=[collect.ObjectSpec(obj=task), collect.ObjectSpec(obj=vm)],
        )
        told = self.read(lambda _: self._watch(wanted, limit))
        match told.get("info.state"):
            case "success":
                return told.get("info.result")
            case "error":
                raise told["info.error"]
            case _:
                question = told["runtime.question"].text
                raise Trouble(f"{self.name}: the VM waits for an answer; give it in the vSphere Client: {question}")

    def close(self) -> None:
        """Logs out."""
        with self._lock:
            content, self._content = self._content, None
        if content:
            with suppress(vmodl.MethodFault, OSError, HTTPException):
                content.sessionManager.Logout()
        self._stub.DropConnections()

    def _watch(self, wanted: Any, limit: Limit) -> dict[str, Any]:
        """What the filter's objects told until a task had ended or a question was asked."""
        told: dict[str, Any] = {}
        with self._collector() as collector:
            news = collector.CreateFilter(wanted, partialUpdates=False)
            version = ""
            options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=UPDATES)
            while told.get("info.state") not in ("success", "error") and not told.get("runtime.question"):
                limit.check()
                updates = collector.WaitForUpdatesEx(version, options)
                if updates is None:
                    continue
                version = updates.version
                for update in (one for each in updates.filterSet for one in each.objectSet):
                    told |= {change.name: change.val for change in update.changeSet}
            news.Destroy()
        return told

    def _retrieve(self, wanted: Any) -> list[Any]:
        with self._collector() as collector:
            page = collector.RetrievePropertiesEx([wanted], vmodl.query.PropertyCollector.RetrieveOptions())
            found = []
            while page:
                found += page.objects
                page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
            return found

    @contextmanager
    def _collector(self) -> Iterator[Any]:
        """A collector for one thread; one that failed is not used again."""
        content, generation = self._logged_in()
        with self._lock:
            collector = self._collectors.pop() if self._collectors else None
        yield (collector := collector or content.propertyCollector.CreatePropertyCollector())
        with self._lock:
            if generation == self._generation:
                self._collectors.append(collector)

    def _logged_in(self) -> tuple[Content, int]:
        with self._lock:
            if self._content is None:
                self._content = self._log_in()
            return self._content, self._generation

    def _log_in(self) -> Content:
        try:
            content: Content = vim.ServiceInstance("ServiceInstance", self._stub).RetrieveContent()
            content.sessionManager.Login(self._vcenter.username, self._vcenter.password)
        except ssl.SSLCertVerificationError as error:
            raise Refused(
                f"{self.name}: its certificate is not trusted ({error.verify_message}); ca_file must hold the CA that "
                f"signed it, and host be a name in it"
            ) from error
        except vim.fault.InvalidLogin as fault:
            raise Refused(f"{self.name} refuses the user {self._vcenter.username} or its password") from fault
        except vmodl.MethodFault as fault:
            raise Refused(f"{self.name} refuses the login: {words(fault)}") from fault
        except (OSError, HTTPException, ExpatError) as error:
            raise self._unreachable(error) from error
        return content

    def _forget(self, generation: int) -> None:
        """The session of that generation has ended; another thread may have said so already."""
        with self._lock:
            if generation == self._generation:
                self._content, self._generation = None, generation + 1
                self._collectors.clear()

    def _context(self) -> ssl.SSLContext:
        if not self._vcenter.verify:
            log.warning("%s is NOT VERIFIED (verify: false): whoever answers there gets the password", self.name)
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        try:
            return ssl.create_default_context(cafile=self._vcenter.ca_file or None)
        except OSError as error:
            raise Refused(f"{self.name}: ca_file {self._vcenter.ca_file} cannot be used: {error.strerror}") from error

    def _unreachable(self, error: Exception) -> Unreachable:
        cause = getattr(error, "strerror", None) or error or type(error).__name__
        return Unreachable(f"{self.name} at port {self._vcenter.port} cannot be reached: {cause}")


def words(fault: Exception) -> str:
    """What a fault of vSphere's says; its name where it says nothing."""
    return str(getattr(fault, "msg", "") or type(fault).__name__.rpartition(".")[2]).rstrip(".")
