"""Touches a machine's boots: waits until it answers, and restarts it from inside."""

from collections.abc import Callable

from vmops.jobs import Job, ask
from vmops.scripts import Spec
from vmops.transport import Limit, LoginRefused, Lost, Overdue, Sink, Transport, Trouble, Unreachable

BOOTING = 10.0
"""Seconds for which a machine may refuse logins while it boots (pam_nologin), though its sshd answers."""

_PAUSE = 0.5


def await_host(transport: Transport, limit: Limit, *, other_than: str = "") -> str:
    """Waits until the machine runs a command, in another boot than that; its boot id.

    Raises Refused where trying again cannot help, Trouble when the time is over, with what went wrong last; Cancelled.
    """
    last = "it runs, but has not restarted"
    refused: Limit | None = None
    try:
        while True:
            try:
                if (boot := boot_id(transport, limit)) != other_than:
                    return boot
            except LoginRefused as trouble:
                refused = refused or Limit.of(BOOTING)
                if not refused.left:
                    raise
                last = str(trouble)
            except (Unreachable, Lost) as trouble:
                last = str(trouble)
            limit.pause(_PAUSE)
    except Overdue:
        raise Trouble(f"it did not answer in time: {last}") from None


def boot_id(transport: Transport, limit: Limit) -> str:
    """The id of the machine's present boot. Raises as `ask`, and Trouble where there is none."""
    code, said = ask(transport, "boot_id", limit)
    if code or said == "unknown":
        raise Trouble("it does not tell its boot id: neither sysctl nor /proc/sys/kernel/random/boot_id")
    return said


def restart(
    transport: Transport, spec: Spec, sink: Sink, limit: Limit, started: Callable[[], None] | None = None
) -> str:
    """Restarts the machine once, however often it is called with the same spec; the new boot's id.

    `started` is called once the machine has begun to.
    Raises Trouble where it cannot be restarted, or not in time; Refused, Cancelled.
    """
    job = Job(transport, spec, sink, first=limit.left, then=limit.left, started=started)
    try:
        ending = job.follow(limit)
    except Overdue:
        raise Trouble("it did not come back in time") from None
    before, _, _ = job.head.decode(errors="replace").partition("\n")
    if ending.how == "lost":
        raise Trouble("outcome unknown: the restart had begun, and the host has nothing of it any more")
    if not before or ending.how in ("nowhere", "unstarted"):
        raise Trouble("the restart was not begun")
    if ending.how == "exited" and ending.exit:
        raise Trouble(f"reboot ended with exit code {ending.exit}; who is not root needs `sudo -n reboot`")
    return await_host(transport, limit, other_than=before)


def restarting(transport: Transport, base: str, namespace: str, job: str, known: bool = False) -> Spec:
    """The job that restarts the machine. What it prints first, and what stays there, is the boot that it ends."""
    return Spec(base, namespace, job, transport.language.restart, known=known)
