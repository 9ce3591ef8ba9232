"""Touches one vCenter: a verified session that logs in again, exact properties, changes that are never made twice."""

import logging
import ssl
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any, NamedTuple, TypeVar
from xml.parsers.expat import ExpatError

from pyVmomi import vim, vmodl

from plans.environment import VCenter
from vmops.stub import BoundedStub
from vmops.tasks import INFO, Say, Watch, follow, quiet
from vmops.transport import Limit, Lost, Refused, Trouble, Unreachable

API = "vim.version.version11"
"""vSphere 6.5: what every vCenter since speaks. Said, not negotiated: one request less, and one without a deadline."""

SECONDS = 30.0
"""For the next byte of an answer; a wait for updates asks for less. For the whole answer: `vmops.stub.WHOLE`."""

IDLE = 60
"""Seconds after which an unused connection is not used again: something between may have dropped it without a word."""

PATIENCE = 120.0
"""Seconds that a wait for a task outlives vCenter's silence: a restart of its services takes so long."""

SESSIONS = 5
"""Sessions that may end one after the other while one thing is asked, before vCenter is said to end them at once."""

BROKEN = (OSError, HTTPException, ExpatError, zlib.error)
"""What comes out of pyVmomi where no answer, half an answer or another's answer came."""

T = TypeVar("T")
Content = Any
"""A `vim.ServiceInstanceContent`: its parts are declared optional, but a vCenter has all of them."""
Properties = Mapping[str, Any]

log = logging.getLogger(__name__)


class AnswerLost(Lost):
    """A change was sent and no answer came: whether it was made is not known."""


class Forgotten(Trouble):
    """vCenter knows nothing of a task any more: how it ended is seen by what it made, if at all."""


class Found(NamedTuple):
    """A VM that was found, and the instance UUID by which it must be known again."""

    vm: vim.VirtualMachine
    uuid: str | None


class Session:
    """One session of one vCenter, for any number of threads; it logs in at the first use.

    `found` are the VMs that were found, by what they were looked for; `tls` is what else of that vSphere is verified
    by, and `address` where it is. Raises Unreachable, Refused and Trouble, each with a sentence; what vSphere itself
    refuses comes as its own faults (`vmodl.MethodFault`) for the caller to judge.
    """

    def __init__(self, vcenter: VCenter) -> None:
        self._vcenter = vcenter
        self.name = f"vCenter {vcenter.host}"
        self.found: dict[str, Found] = {}
        self.address = f"{vcenter.host}:{vcenter.port}"
        self.tls = self._context()
        self._stub = BoundedStub(
            host=vcenter.host,
            port=vcenter.port,
            path="/sdk",
            version=API,
            # Always given: without one pyVmomi does not verify a vCenter on localhost.
            sslContext=self.tls,
            httpConnectionTimeout=SECONDS,
            connectionPoolTimeout=IDLE,
        )
        self._lock = threading.Lock()
        self._generation = 0
        self._closed = False
        self._content: Content = None
        self._shelves: defaultdict[str, list[Any]] = defaultdict(list)

    def read(self, ask: Callable[[Content], T]) -> T:
        """What `ask` finds. It may be asked again: after a new login, or once where the connection was lost."""
        lost = False
        for session in range(SESSIONS + 1):
            content, generation = self._logged_in()
            try:
                return ask(content)
            except (vim.fault.NotAuthenticated, vmodl.fault.ManagedObjectNotFound) as fault:
                self._ended(fault, generation, session - lost == SESSIONS - 1)
            except BROKEN as error:
                if lost:
                    raise self._no_answer(error) from error
                lost = True
        raise AssertionError

    def change(self, do: Callable[[], T]) -> T:
        """What `do` answers. It is called once, and again only where vCenter said that it did nothing for want of a
        login. Raises AnswerLost.
        """
        for session in range(1, SESSIONS + 1):
            _, generation = self._logged_in()
            try:
                return do()
            except (vim.fault.NotAuthenticated, vmodl.fault.ManagedObjectNotFound) as fault:
                self._ended(fault, generation, session == SESSIONS)
            except BROKEN as error:
                raise AnswerLost(f"{self.name}: its answer was lost: {_cause(error)}") from error
        raise AssertionError

    def properties(self, thing: Any, paths: Sequence[str]) -> Properties:
        """Exactly these properties of one object in one call; what vCenter does not tell is None.

        Raises ManagedObjectNotFound (`vmodl.fault`) where the object is gone.
        """
        return self.properties_of([thing], paths)[thing._moId]

    def properties_of(self, things: Sequence[Any], paths: Sequence[str]) -> dict[str, Properties]:
        """The same of several objects of one type, by their ids, in one call."""
        if not things:
            return {}
        objects = [vmodl.query.PropertyCollector.ObjectSpec(obj=thing) for thing in things]
        told = {each._moId: found for each, found in self._ask({type(things[0]): paths}, objects)}
        return {thing._moId: {path: told.get(thing._moId, {}).get(path) for path in paths} for thing in things}

    def around(
        self, thing: Any, through: Sequence[str], paths: Mapping[type, Sequence[str]]
    ) -> list[tuple[Any, Properties]]:
        """Properties, by type, of an object and of those that its properties `through` lead to, in one call.

        Raises ManagedObjectNotFound (`vmodl.fault`) where the object is gone.
        """
        collect = vmodl.query.PropertyCollector
        ways = [collect.TraversalSpec(type=type(thing), path=path, skip=False) for path in through]
        return self._ask(paths, [collect.ObjectSpec(obj=thing, selectSet=ways)])

    def each_vm(self, paths: Sequence[str]) -> list[tuple[Any, Properties]]:
        """Every VM that may be seen, with these properties, in one call beside those that make the view."""
        collect = vmodl.query.PropertyCollector

        def ask(content: Content) -> list[tuple[Any, Properties]]:
            view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
            try:
                through = collect.TraversalSpec(name="each", type=type(view), path="view", skip=False)
                objects = [collect.ObjectSpec(obj=view, skip=True, selectSet=[through])]
                return self._retrieve({vim.VirtualMachine: paths}, objects)
            finally:
                with suppress(vmodl.MethodFault, *BROKEN):
                    view.DestroyView()

        return self.read(ask)

    def wait(self, task: vim.Task, vm: vim.VirtualMachine, limit: Limit, say: Say = quiet) -> Any:
        """Waits until a task of the VM has ended well; its result. `say` is told how far it is.

        Raises the task's own fault; Forgotten; Trouble where the VM asks a question that only a person can answer, the
        limit is over or vCenter stays silent; Cancelled. Whatever is raised, the task goes on.
        """

        def look(seconds: int) -> tuple[Properties, Any]:
            patience = Limit.of(PATIENCE, limit.cancel)
            while True:
                try:
                    return self.read(lambda _: self._listen(task, vm, seconds))
                except Unreachable as gone:
                    if not min(patience.left, limit.left):
                        raise Trouble(f"{gone}; what it was told to do goes on there") from gone
                    patience.pause(min(1.0, patience.left))
                except vmodl.fault.ManagedObjectNotFound as gone:
                    why = f"{self.name} has forgotten the task: how it ended is unknown; look there"
                    raise Forgotten(why) from gone

        return follow(look, limit, say)

    def close(self) -> None:
        """Logs out, which ends all that the session had on vCenter; nobody logs in again."""
        with self._lock:
            content, self._content, self._closed = self._content, None, True
        if content:
            with suppress(vmodl.MethodFault, *BROKEN):
                content.sessionManager.Logout()
        self._stub.DropConnections()

    def _listen(self, task: vim.Task, vm: vim.VirtualMachine, seconds: int) -> tuple[Properties, Any]:
        """A task's info and the VM's question, as soon as there is news of either, after that many seconds at most."""
        with self._kept(vm._moId, lambda content: Watch(_collector(content), vm)) as watch:
            watch.listen(seconds)
            info, question = watch.told(task), watch.told(vm).get("runtime.question")
        if not info:  # a VM need not tell its tasks; this one is known all the same
            info = self._retrieve({vim.Task: INFO}, [vmodl.query.PropertyCollector.ObjectSpec(obj=task)])[0][1]
        return info, question

    def _ask(self, paths: Mapping[type, Sequence[str]], objects: Sequence[Any]) -> list[tuple[Any, Properties]]:
        return self.read(lambda _: self._retrieve(paths, objects))

    def _retrieve(self, paths: Mapping[type, Sequence[str]], objects: Sequence[Any]) -> list[tuple[Any, Properties]]:
        collect = vmodl.query.PropertyCollector
        sets = [collect.PropertySpec(type=kind, pathSet=list(names)) for kind, names in paths.items()]
        wanted = collect.FilterSpec(propSet=sets, objectSet=list(objects))
        with self._kept("", _collector) as collector:
            page = collector.RetrievePropertiesEx([wanted], collect.RetrieveOptions())
            found = []
            while page:
                found += page.objects
                page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
        return [(each.obj, {one.name: one.val for one in each.propSet}) for each in found]

    @contextmanager
    def _kept(self, key: str, make: Callable[[Content], T]) -> Iterator[T]:
        """One of that shelf, or a new one, for this thread alone; put back as long as its session lives."""
        content, generation = self._logged_in()
        with self._lock:
            shelf = self._shelves[key] if generation == self._generation else []
            one = shelf.pop() if shelf else None
        one = one or make(content)
        try:
            yield one
        finally:
            with self._lock:
                if generation == self._generation:
                    self._shelves[key].append(one)

    def _logged_in(self) -> tuple[Content, int]:
        with self._lock:
            if self._closed:
                raise Trouble(f"{self.name}: Quarterdeck has logged out there, it is stopping")
            if self._content is None:
                self._content = self._log_in()
            return self._content, self._generation

    def _log_in(self) -> Content:
        self._stub.cookie = ""
        try:
            content: Content = vim.ServiceInstance("ServiceInstance", self._stub).RetrieveContent()
            content.sessionManager.Login(self._vcenter.username, self._vcenter.password)
        except vim.fault.InvalidLogin as fault:
            raise Refused(
                f"{self.name} refuses the user {self._vcenter.username} or its password: set username and password "
                f"under vcenters to one that logs in there"
            ) from fault
        except vmodl.MethodFault as fault:
            raise Refused(f"{self.name} refuses the login: {words(fault)}") from fault
        except BROKEN as error:
            raise self._no_answer(error) from error
        return content

    def _ended(self, fault: Any, generation: int, last: bool) -> None:
        """Forgets a session that has ended: it says so, or what lived with it is gone. Raises other faults."""
        said = isinstance(fault, vim.fault.NotAuthenticated)
        if not said and not isinstance(fault.obj, vmodl.query.PropertyCollector):
            raise fault
        with self._lock:
            if generation == self._generation:  # else another thread has said so already
                self._content, self._generation = None, generation + 1
                self._shelves.clear()
        if last:
            raise Refused(f"{self.name} ends the session as soon as it has begun; look at its log") from fault

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

    def _no_answer(self, error: Exception) -> Trouble:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Refused(
                f"{self.name}: its certificate is not trusted ({error.verify_message}); ca_file must hold the CA that "
                f"signed it, and host be a name in it"
            )
        return Unreachable(f"{self.name} at port {self._vcenter.port} cannot be reached: {_cause(error)}")


def words(fault: Exception) -> str:
    """What a fault of vSphere's says; its name where it says nothing."""
    return str(getattr(fault, "msg", "") or type(fault).__name__.rpartition(".")[2]).rstrip(".")


def _collector(content: Content) -> Any:
    return content.propertyCollector.CreatePropertyCollector()


def _cause(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:g} s"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
