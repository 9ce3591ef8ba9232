"""Looks at each host from inside, as a run would enter it: host key, login, clock, disk, tools, its shell's start."""

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial

from bot.config import Settings
from bot.examinations import Examination, Finding, bad, good, warning
from bot.examinations.doors import known, why_shut
from bot.examinations.house import space
from bot.examinations.needs import asks_http, prods, stagings, uses_runner
from bot.examinations.tools import tools
from bot.examinations.vcenter import Centers, clock
from bot.examinations.visit import Seen, visit
from bot.examinations.vms import look_at_vm
from plans.actions import At
from plans.environment import Gateway, Host, Ssh
from vmops.hosts import RUNNER, Hosts
from vmops.transport import Limit, Transport, Trouble, Unreachable

SECONDS = 40.0
"""For all that is asked of one host."""

SLOW = 0.5
"""Seconds from asking for a command to its end, beyond which the shell's start costs more than the work."""


def examinations(settings: Settings, centers: Centers, hosts: Hosts) -> Iterator[Examination]:
    """Each host of each environment, its VM first; and the bot's own machine where steps run on it."""
    for name, environment in settings.environments.items():
        for host, configured in environment.machines().items():
            at = At(name, host)
            if configured.vm:
                yield Examination("vm", str(at), partial(look_at_vm, settings, centers, at))
            if configured.ssh or configured.guest:
                yield Examination("login", str(at), partial(_host, settings, centers, hosts, at))
    if uses_runner(settings):
        yield Examination("tools", RUNNER, partial(_runner, settings, hosts))


def _host(settings: Settings, centers: Centers, hosts: Hosts, at: At) -> Iterator[Finding]:
    host, subject = centers.host(at), str(at)
    open_ = True
    if host.ssh and host.ssh.gateway:
        open_ = yield from _gateway(subject, host.ssh.gateway)
    staging, power = at.environment in stagings(settings), _power(centers, at)
    if staging and power == "poweredOff":
        if host.ssh:
            yield known(subject, host.ssh)
        rest = "login, clock, disk and tools are looked at while it is on"
        yield good("login", subject, f"powered off, as staging is between rehearsals: {rest}")
        return
    if not open_:
        yield bad("login", subject, "not looked at, because its gateway cannot be used", "Mend the gateway first.")
        return
    try:
        transport = hosts.transport(at)
        seen = visit(transport, host.shell, host.workdir, Limit.of(SECONDS))
    except Trouble as trouble:
        if isinstance(trouble, Unreachable) and staging and power is None:
            detail = f"{trouble}; whether that is because its VM is off could not be asked"
            yield bad("login", subject, detail, f"Mend what is told of its VM first ({host.vcenter}, {host.vm}).")
        else:
            yield _shut(subject, host, trouble)
        return
    if host.ssh:
        yield known(subject, host.ssh)
        yield good("login", subject, f"{host.ssh.user} is let in")
    elif host.guest:
        yield good("login", subject, f"{host.guest.username} is let in through VMware Tools")
    runs_packages = staging or at.environment in prods(settings)
    asked = asks_http(settings, at.environment, at.host.partition("/")[0])
    yield from _inside(subject, seen, settings.max_bytes, unpacks=runs_packages, asked=asked)
    if host.ssh and host.shell == "sh":  # PowerShell reads no start-up file of the user's, and takes its time anyway
        yield _start(subject, host.ssh, transport)


def _runner(settings: Settings, hosts: Hosts) -> Iterator[Finding]:
    at = At(next(iter(settings.environments)), RUNNER)
    asked = any(asks_http(settings, name, RUNNER) for name in settings.environments)
    seen = visit(hosts.transport(at), "sh", hosts.base(at), Limit.of(SECONDS))
    yield from _inside(RUNNER, seen, 0, unpacks=False, asked=asked)


def _power(centers: Centers, at: At) -> str | None:
    """None where there is no VM, or vCenter does not tell, which is said where VMs are looked at."""
    try:
        return centers.vm(at).power if centers.host(at).vm else None
    except Trouble:
        return None


def _gateway(subject: str, gateway: Gateway) -> Generator[Finding, None, bool]:
    """Tells of the gateway, and returns whether it lets anybody in."""
    from vmops.connect import Connection

    name = f"{subject}’s gateway {gateway.host}"
    door = Ssh(
        host=gateway.host,
        port=gateway.port,
        user=gateway.user,
        key_file=gateway.key_file,
        known_hosts=gateway.known_hosts,
    )
    try:
        Connection(door).close()
    except Trouble as trouble:
        yield why_shut(name, door, trouble)
        return False
    yield known(name, door)
    yield good("login", name, f"{gateway.user} is let in")
    return True


def _shut(subject: str, host: Host, trouble: Trouble) -> Finding:
    if host.ssh:
        return why_shut(subject, host.ssh, trouble)
    mend = "See whether VMware Tools run in the guest, and whether guest.username and guest.password log in there."
    return bad("login", subject, str(trouble), mend)


def _inside(subject: str, seen: Seen, package: int, *, unpacks: bool, asked: bool) -> Iterator[Finding]:
    """`package`: the bytes that one may have; `unpacks`: whether one ever comes here; `asked`: over HTTP from here."""
    yield clock("clock", subject, seen.ahead)
    yield from _workdir(subject, seen, package if unpacks else 0)
    yield from tools(subject, seen, unpacks=unpacks, asked=asked)


def _workdir(subject: str, seen: Seen, package: int) -> Iterator[Finding]:
    where = f"{seen.at} (the working directory is made in it)" if seen.absent else seen.at
    if seen.unwritable:
        mend = "Let the login's user write there, or give the host another workdir."
        yield bad("workdir", subject, f"{where} cannot be written to: {seen.unwritable}", mend)
        return
    if not seen.runs:
        mend = "Mount it without noexec, or give the host a workdir where programs may run."
        yield bad("workdir", subject, f"{where} lets no program run that lies in it", mend)
        return
    if seen.free is None:
        yield good("workdir", subject, f"{where} is writable; how much is free there `df` does not tell")
    else:
        yield space("workdir", subject, f"{where} is writable", seen.free, package)


def _start(subject: str, ssh: Ssh, transport: Transport) -> Finding:
    """How long a new shell takes until it works, over a connection that stands: the best of a few.

    Steps share one shell a connection, but a file that is sent or fetched has one of its own.
    """
    limit = Limit.of(SECONDS)
    took = min(_seconds(lambda: transport.get("/dev/null", lambda data: None, limit)) for _ in range(3))
    if took <= SLOW:
        return good("shell_start", subject, f"a new shell works within {took:.2f} s")
    mend = (
        f"See what the start-up file of {ssh.user}'s shell does there (~/.bashrc, /etc/bash.bashrc, ~/.zshenv), and "
        f"let it leave at once where nobody is at the keyboard; or the way there is slow: compare with ping."
    )
    return warning("shell_start", subject, f"a new shell takes {took:.1f} s before it does anything", mend)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun
