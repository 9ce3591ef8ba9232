"""Touches the Unix socket in data_dir, at both ends: a line typed on the bot's own host, and the bot's answer to it."""

import contextlib
import logging
import os
import pwd
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from plans.errors import Refusal

log = logging.getLogger(__name__)

FOLDER, NAME = "ctl", "socket"
MOST_BYTES = 8192
"""Of a request, its end included."""
CONVERSATIONS = 16
"""At once: more are sent away."""
SAID_WITHIN = 5.0
"""Seconds in which a request must have come whole, and in which its answer must have been taken."""
ANSWERED_WITHIN = 600.0
"""Seconds that an answer may take: a large package is fetched from far away meanwhile."""

DONE, REFUSED, WRONG = 0, 1, 2
"""How a command ends: done; not done; a call that nothing can be made of."""


class Peer(msgspec.Struct, frozen=True):
    """Who opened the socket, as the operating system says: the user's id, and the name that it has here."""

    uid: int
    name: str


class Asking(msgspec.Struct, frozen=True):
    """What goes over the socket: a command as it would be typed, without `quarterdeck ctl`."""

    line: str


class Reply(msgspec.Struct, frozen=True):
    """What comes back: the exit code of the command, and what is shown."""

    code: int
    text: str


Answerer = Callable[[Peer, str, Callable[[], bool]], Reply]
"""Answers a line of somebody's; it may ask whether they have gone in the meantime."""


def typed(words: Sequence[str]) -> str:
    """The words of a command line as one line; an archive that lies here by its whole path.

    What the shell took for one word stays one, but for the last, which may be a reason.
    """
    if words[0] == "handoff" and words[1:2] and words[1].endswith((".zip", ".gz", ".tgz")) and Path(words[1]).is_file():
        words = [words[0], f'"{Path(words[1]).absolute()}"', *words[2:]]
    *names, last = words
    return " ".join([*(f'"{name}"' if " " in name and '"' not in name else name for name in names), last])


def watched(words: Sequence[str]) -> int | None:
    """The run that is to be watched, which needs no answer of the bot's: the ledger tells. Raises Refusal."""
    if words[0] != "watch":
        return None
    if len(words) != 2 or not words[1].isdecimal():
        raise Refusal("bad_call", "watch needs the number of a run.", "Type: quarterdeck ctl watch RUN --config FILE")
    return int(words[1])


def ask(data_dir: Path, line: str) -> Reply:
    """The answer of the bot that holds `data_dir`.

    Raises Refusal: `no_bot`, `not_yours` where the socket is another user's, `no_answer` where it ends in the middle.
    """
    with socket.socket(socket.AF_UNIX) as talk:
        try:
            _in(data_dir / FOLDER, talk.connect)
        except (FileNotFoundError, ConnectionRefusedError):
            hint = "Start it: quarterdeck serve --config FILE. Without it nothing runs, and nothing can be steered."
            raise Refusal("no_bot", f"No bot is at work in {data_dir}.", hint) from None
        except PermissionError:
            message = f"The socket in {data_dir} is for the user alone whom the bot runs as."
            raise Refusal("not_yours", message, "Type it as that user, or as root.") from None
        talk.settimeout(ANSWERED_WITHIN + 2 * SAID_WITHIN)
        try:
            with contextlib.suppress(ConnectionError):  # who is sent away unheard is told so all the same
                talk.sendall(msgspec.json.encode(Asking(line)) + b"\n")
            with talk.makefile("rb") as answer:
                return msgspec.json.decode(answer.readline(), type=Reply)
        except (OSError, msgspec.DecodeError):
            message = "The bot ended the conversation without an answer; what was asked for may have been begun."
            raise Refusal("no_answer", message, "Look: quarterdeck ctl status") from None


class Door:
    """The bot's end. Each conversation has a thread of its own and brings one request: who hangs holds up nobody."""

    def __init__(self, data_dir: Path, answer: Answerer) -> None:
        self._folder = data_dir / FOLDER
        self._answer = answer
        self._listener: socket.socket | None = None
        self._room = threading.BoundedSemaphore(CONVERSATIONS)

    def open(self) -> None:
        """Takes requests from here on. Whoever calls holds the data directory: a socket that is there is a dead bot's.

        The folder is shut to others before the socket is there, whatever the process's umask is.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._folder.chmod(0o700)
        (self._folder / NAME).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        _in(self._folder, listener.bind)
        (self._folder / NAME).chmod(0o600)
        listener.listen(CONVERSATIONS)
        self._listener = listener
        threading.Thread(target=self._listen, args=(listener,), name="ctl", daemon=True).start()

    def close(self) -> None:
        """Takes nothing more; what was taken is answered if there is time."""
        listener, self._listener = self._listener, None
        if listener is not None:
            (self._folder / NAME).unlink(missing_ok=True)
            listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that waits for the next

    def _listen(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    talk, _ = listener.accept()
                except OSError as error:
                    if self._listener is None:
                        return
                    log.error("ctl cannot be answered for the moment: %s", error)
                    time.sleep(1)  # no file left to open it with: others must close theirs first
                    continue
                if self._room.acquire(blocking=False):
                    threading.Thread(target=self._converse, args=(talk,), name="ctl-one", daemon=True).start()
                else:
                    with talk, contextlib.suppress(OSError):
                        _say(talk, Reply(REFUSED, "Too many ctl commands are under way; nothing was done. Try again."))

    def _converse(self, talk: socket.socket) -> None:
        with talk:
            try:
                peer = _peer(talk)
                try:
                    line = _hear(talk)
                except ValueError:
                    _say(talk, Reply(WRONG, f"That is no request of at most {MOST_BYTES} bytes. See: ctl help"))
                    return
                _say(talk, self._answer(peer, line, lambda: _gone(talk)))
            except OSError as error:
                log.info("a conversation over ctl was not ended: %s", error)
            finally:
                self._room.release()


def _hear(talk: socket.socket) -> str:
    """The line of a request. Raises ValueError for what is none, OSError where it does not come in time."""
    until, data = time.monotonic() + SAID_WITHIN, b""
    while not data.endswith(b"\n"):
        talk.settimeout(max(0.001, until - time.monotonic()))
        more = talk.recv(MOST_BYTES - len(data) + 1)
        data += more
        if len(data) > MOST_BYTES or not more:
            raise ValueError
    return msgspec.json.decode(data, type=Asking).line


def _say(talk: socket.socket, reply: Reply) -> None:
    talk.settimeout(SAID_WITHIN)
    talk.sendall(msgspec.json.encode(reply) + b"\n")


def _gone(talk: socket.socket) -> bool:
    """Whether the one at the other end has hung up."""
    poll = select.poll()
    poll.register(talk, select.POLLRDHUP)
    return bool(poll.poll(0))


def _peer(talk: socket.socket) -> Peer:
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", talk.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    try:
        return Peer(uid, pwd.getpwuid(uid).pw_name)
    except KeyError:  # a container's user has no name
        return Peer(uid, str(uid))


def _in(folder: Path, use: Callable[[str], None]) -> None:
    """Binds or connects the socket in a folder whose path may be longer than the 107 bytes that an address may have."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        use(f"/proc/self/fd/{handle}/{NAME}")
    finally:
        os.close(handle)
