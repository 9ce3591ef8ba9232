"""Touches channels of an SSH connection: a shell that takes one script after another, and a stream of bytes."""

import itertools
import math
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import paramiko

from vmops.answers import Cut, new_token
from vmops.connect import SECONDS
from vmops.scripts import LIBRARY, USED
from vmops.transport import LOOK, TICK, Attention, Cancelled, Limit, Lost, Overdue, Sink

CHUNK = 64 * 1024

PACKET = 32 * 1024 - 64
"""Bytes of a stream that are sent at once: what Paramiko puts into one packet of OpenSSH's largest size, and no more.

A piece that is a little longer costs another packet, and each costs as much as encrypting it does.
"""

STALLED = 120.0
"""Seconds without a byte that is sent or comes after which a stream of bytes is given up."""

# A script's standard input is the shell's own, a pipe whatever sshd made of it: so is descriptor 8. Descriptor 9 is the
# way into another, for the supervisor in reserve.
COMMAND = """exec /bin/sh -c '{ cat; echo exit; } | { exec 8<&0; : | exec /bin/sh -c "
exec 9>/proc/self/fd/0 <&8; exec /bin/sh -s"; }'"""

_GONE = "the connection was lost"

_BROKEN = (paramiko.SSHException, EOFError, OSError)
"""What Paramiko raises where a connection is not what it was."""


class Shell:
    """A shell that stays open: a script costs neither a channel nor a start, and LIBRARY is read once."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._first = f"{LIBRARY}boot=$(boot_id)\n"
        self.alive = True
        """Whether it takes another script, as far as is known; after one that failed it does not."""
        _exec(channel, COMMAND)

    def run(self, script: str, out: Sink, err: Sink, limit: Limit, patience: float) -> int:
        """Runs one script: its exit code, or the shell's where that ended. `patience`: seconds until the first byte.

        Raises Lost, Cancelled, Overdue; the shell must not be used after that.
        """
        token, said = new_token(), bytearray()
        cuts = Cut(token, out, _ignored), Cut(token, err, said.extend)
        # One compound command: the shell runs nothing of it before it has all of it.
        framed = (
            f"{{\n{script}code=$?\nprintf '%s%s\\n' '{token}' \"$code\" >&2; printf %s '{token}'\n"
            'keep_reserve "$code"\n}\n'
        )
        _send(self._channel, (self._first + framed).encode(), Attention(limit, patience))
        self._first = ""
        first = Attention(limit, patience)
        _pump(self._channel, first.to(cuts[0]), first.to(cuts[1]), first, lambda: first.heard)
        _pump(self._channel, *cuts, limit, lambda: bool(cuts[0].passed) and said.endswith(b"\n"), _ticks())
        self.alive = said in (b"0\n", b"%d\n" % USED)
        return int(said) if said.endswith(b"\n") else _exit_code(self._channel, limit)

    def close(self) -> None:
        """Lets go of it; the script that it runs goes on as long as it likes."""
        _close(self._channel)


def stream(
    channel: paramiko.Channel,
    command: str,
    limit: Limit,
    data: Iterable[bytes],
    out: Sink | None,
    err: Sink | None,
) -> tuple[int, str]:
    """Runs a command that reads the data: its exit code, and what it said where no sink was given for that.

    Raises Lost, also where nothing moves for a while, Cancelled, Overdue.
    """
    said, moving = bytearray(), Attention(limit, STALLED)
    try:
        _exec(channel, command)
        with _guarded(channel, moving):
            all(_send(channel, chunk, moving) for chunk in data)
            with suppress(*_BROKEN):  # it ended without reading everything: its exit code tells more
                channel.shutdown_write()
            _pump(channel, moving.to(out or said.extend), moving.to(err or said.extend), moving, lambda: False)
            return _exit_code(channel, moving), said.decode(errors="replace").strip()
    finally:
        _close(channel)


@contextmanager
def _guarded(channel: paramiko.Channel, limit: Limit) -> Iterator[None]:
    """Closes the connection when the limit is over: Paramiko sends into a full socket without one."""
    over = threading.Event()

    def watch() -> None:
        try:
            while not over.wait(LOOK):
                limit.check()
        except (Cancelled, Overdue, Lost):
            channel.get_transport().close()

    watching = threading.Thread(target=watch, name="guard", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _exec(channel: paramiko.Channel, command: str) -> None:
    # Paramiko waits for the reply without a limit of its own.
    watch = threading.Timer(SECONDS, channel.close)
    watch.daemon = True
    watch.start()
    try:
        channel.exec_command(command)
    except _BROKEN as error:
        raise Lost(_GONE) from error
    finally:
        watch.cancel()
    channel.settimeout(LOOK)


def _send(channel: paramiko.Channel, data: bytes, limit: Attention) -> bool:
    """Sends it all; False where the other side ended first: its exit code, or that there is none, tells more."""
    view = memoryview(data)
    while view:
        limit.check()
        try:
            view = view[channel.send(view) :]
            limit.hear()
        except TimeoutError:
            continue
        except (EOFError, OSError):
            return False
        except paramiko.SSHException as error:  # an exchange of keys that hangs
            raise Lost(_GONE) from error
    return True


def _pump(
    channel: paramiko.Channel,
    out: Sink,
    err: Sink,
    limit: Limit,
    enough: Callable[[], bool],
    ticks: Iterator[float] | None = None,
) -> None:
    """Passes on what comes, until it is enough or there is no more; tells the script when it is time to look."""
    waiting = select.poll()
    waiting.register(channel.fileno(), select.POLLIN)
    ticks = ticks or itertools.repeat(math.inf)
    tick = next(ticks)
    while not enough():
        pause = limit.check()
        # Asked before the last bytes are read: what arrived before the end is there by then.
        over = channel.eof_received or channel.closed
        ready, complained = channel.recv_ready(), channel.recv_stderr_ready()
        if ready:
            out(channel.recv(CHUNK))
        if complained:
            err(channel.recv_stderr(CHUNK))
        if not ready and not complained:
            if over:
                return
            if (left := tick - time.monotonic()) <= 0:
                with suppress(*_BROKEN):  # if it broke, that shows in a moment
                    channel.send(b":\n")
                left = (tick := next(ticks)) - time.monotonic()
            waiting.poll(min(pause, max(left, 0)) * 1000)


def _ticks() -> Iterator[float]:
    """The moments when a script is to look: soon at first, because most steps are short."""
    yield time.monotonic() + TICK / 4
    while True:
        yield time.monotonic() + TICK


def _exit_code(channel: paramiko.Channel, limit: Limit) -> int:
    while not channel.exit_status_ready():
        channel.status_event.wait(limit.check())
    if channel.exit_status < 0:
        raise Lost(_GONE)
    return int(channel.exit_status)


def _close(channel: paramiko.Channel) -> None:
    with suppress(*_BROKEN):  # the connection broke, which its next user is told
        channel.close()


def _ignored(_: bytes) -> None:
    pass
