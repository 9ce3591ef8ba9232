"""Touches a job on a machine, over any transport: starts it, follows it, finds it again, stops it."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vmops.answers import Answer
from vmops.scripts import LOOKS, Spec
from vmops.transport import TICK, Attention, Limit, Lost, Sink, Transport, Trouble, Unreachable

PATIENCE = 120.0
"""Seconds without any contact after which a job that had been reached before is given up as unknown."""

BRIEFLY = 2.0
"""Seconds for which a machine that has not been reached yet is tried again: it may only be busy."""

SILENCE = LOOKS * TICK + 20.0
"""Seconds without a byte after which a machine that follows a job is no longer there, or cannot be heard."""

ASKED = 300.0
"""The same for a single question, which may be for the digest of a large file."""

HEAD = 64 * 1024
"""Bytes of standard output that are kept; everything else only passes through."""

_CODE = re.compile(r"-?[0-9]{1,10}")
"""An exit code, as a script tells it; Windows has large ones."""

_BACK_OFF = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Ending:
    """How a job ended: by itself, with an exit code; by a signal that reached all of it; not started at all; or gone
    without a trace, perhaps with the whole machine; or lost: it is known to have begun, and there is nothing of it.

    `stopped` says that Quarterdeck ended it.
    """

    how: Literal["exited", "signalled", "nowhere", "unstarted", "gone", "rebooted", "lost"]
    exit: int | None = None
    stopped: bool = False


class Job:
    """One job on one machine, and how much of its output has been delivered to `sink`, in the order seen.

    `started` is called once, when the machine has begun it. `head` is the beginning of its standard output, `keep`
    bytes of it. A machine that does not answer is tried again for `first` seconds before it was reached at all, for
    `then` seconds after that.
    """

    def __init__(
        self,
        transport: Transport,
        spec: Spec,
        sink: Sink,
        *,
        keep: int = HEAD,
        first: float = BRIEFLY,
        then: float = PATIENCE,
        started: Callable[[], None] | None = None,
    ) -> None:
        self._transport, self._spec, self._sink = transport, spec, sink
        self._first, self._then = first, then
        self._out_at = self._err_at = 0
        self._keep = keep
        self._started = started
        self.head = bytearray()

    @property
    def cut(self) -> bool:
        """Whether there was more standard output than `head` has."""
        return self._out_at > self._keep

    def follow(self, limit: Limit) -> Ending:
        """Starts the job unless it has been, and delivers its output until it has ended.

        A lost connection is taken up again where it broke. Raises Unreachable, Refused, Lost when that could not be
        done for long, Trouble when the machine would not start it, Cancelled and Overdue: it runs on then.
        """
        patience, met = Patience(self._first), False
        while True:
            answer, heard = Answer(self._on_out, self._on_err), Attention(limit, SILENCE)
            script = self._transport.language.follow(self._spec, answer.token, self._out_at, self._err_at)
            reached = self._out_at, self._err_at
            try:
                code = self._transport.exec(script, heard.to(answer.out), self._begun(answer, heard), heard)
            except (Lost, Unreachable) as trouble:
                # What was sent before the loss may have started the job; a machine that always hangs up is given up.
                if answer.begun or (isinstance(trouble, Lost) and not met):
                    met = True
                    patience.met(self._then, progress=reached != (self._out_at, self._err_at))
                patience.wait(trouble, limit)
            else:
                if (result := _result(answer, code)) != "on":
                    return _ending(result)
                met = True
                patience.met(self._then, progress=True)

    def stop(self, limit: Limit) -> None:
        """Ends every process of the job and proves it gone. Raises Trouble where some are left, and as `follow`."""
        patience = Patience(self._then)
        while True:
            answer, heard = Answer(_nowhere, _nowhere), Attention(limit, SILENCE)
            try:
                script = self._transport.language.stop(self._spec, answer.token)
                code = self._transport.exec(script, answer.out, answer.err, heard)
            except (Lost, Unreachable) as trouble:
                patience.wait(trouble, limit)
            else:
                break
        said, _, left = _result(answer, code).partition(" ")
        if said == "left":
            raise Trouble(f"it could not be stopped: these processes are left: {left}")

    def _begun(self, answer: Answer, heard: Attention) -> Sink:
        """Where standard error goes, whose first token says that the job has begun."""
        hear = heard.to(answer.err)

        def sink(data: bytes) -> None:
            hear(data)
            if self._started is not None and answer.begun:
                started, self._started = self._started, None
                started()

        return sink

    def _on_out(self, data: bytes) -> None:
        self._out_at += len(data)
        self.head += data[: self._keep - len(self.head)]
        self._sink(data)

    def _on_err(self, data: bytes) -> None:
        self._err_at += len(data)
        self._sink(data)


class Patience:
    """How long a machine that does not answer is tried again: `seconds` since it was met last."""

    def __init__(self, seconds: float) -> None:
        self.met(seconds, progress=True)

    def met(self, seconds: float, *, progress: bool) -> None:
        """It answered; only an answer that brought something on makes the next pauses short again."""
        self._until = time.monotonic() + seconds
        if progress:
            self._pauses = iter(_BACK_OFF)

    def wait(self, trouble: Trouble, limit: Limit) -> None:
        """Pauses before the next try, or raises `trouble` where there will be none. Raises Cancelled, Overdue."""
        pause = next(self._pauses, _BACK_OFF[-1])
        if time.monotonic() + pause > self._until:
            raise trouble
        limit.pause(pause)


def ask(transport: Transport, command: str, limit: Limit) -> tuple[int, str]:
    """Runs a short command that may be repeated: its exit code, and what it printed, or complained where it failed.

    Raises as `Transport.exec`, and Trouble where the machine's shell does not run it.
    """
    out, err = bytearray(), bytearray()
    answer = Answer(out.extend, err.extend)
    script, heard = transport.language.asking(command, answer.token), Attention(limit, ASKED)
    result = _result(answer, transport.exec(script, answer.out, answer.err, heard))
    if not _CODE.fullmatch(result):
        raise _garbled(result)
    code = int(result)
    return code, (err or out if code else out).decode(errors="replace").strip()


def _result(answer: Answer, code: int) -> str:
    if answer.result is None:
        raise Trouble(answer.noise or f"the shell there gave up with exit code {code}")
    return answer.result


def _ending(result: str) -> Ending:
    how, *more = result.split() or [""]
    stopped = "stopped" in more
    match how:
        case "nowhere" | "unstarted" | "gone" | "rebooted" | "lost":
            return Ending(how, stopped=stopped)
        case _ if not _CODE.fullmatch(how):
            raise _garbled(result)
        case _:
            return Ending("signalled" if "signalled" in more else "exited", int(how), stopped)


def _garbled(result: str) -> Trouble:
    return Trouble(
        f"its answer makes no sense: {result[:80]!r}; see what else writes to the shell's standard error there"
    )


def _nowhere(_: bytes) -> None:
    pass
