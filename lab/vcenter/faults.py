"""Decides what is to go wrong in the lab's vCenter: faults that tests order, each for so many calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import XMLNS_VMODL_BASE, GetWsdlMethod

from lab.records import Question


class ExpireSessions(msgspec.Struct, tag="expire_sessions", tag_field="do"):
    """Every session ends now."""


class Refuse(msgspec.Struct, tag="refuse", tag_field="do"):
    """For so many seconds every connection is cut before its call is made."""

    seconds: float


class Delay(msgspec.Struct, tag="delay", tag_field="do"):
    """Calls of `method`, or of any, wait so many seconds before they are made."""

    seconds: float
    method: str = ""
    times: int = 1


class DropReplies(msgspec.Struct, tag="drop_replies", tag_field="do"):
    """Calls of `method` are made, and then the connection is cut instead of an answer."""

    method: str
    times: int = 1


class FailTasks(msgspec.Struct, tag="fail_tasks", tag_field="do"):
    """Tasks of `method` do nothing and end with the fault of that name (of `vim.fault` or `vmodl.fault`)."""

    method: str
    fault: str
    message: str = ""
    times: int = 1


class Ask(msgspec.Struct, tag="ask", tag_field="do"):
    """Tasks of `method` begin with a question of their VM, and wait for its answer."""

    method: str
    question: Question
    times: int = 1


Fault = ExpireSessions | Refuse | Delay | DropReplies | FailTasks | Ask
F = TypeVar("F", Delay, DropReplies, FailTasks, Ask)


class Faults:
    """The faults that are still to come, oldest first; `expire` ends all sessions."""

    def __init__(self, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._refusing = 0.0
        self.pending: list[Delay | DropReplies | FailTasks | Ask] = []

    def add(self, fault: Fault) -> None:
        """Orders a fault. Raises ValueError for a method or fault that vSphere does not have."""
        match fault:
            case ExpireSessions():
                self._expire()
            case Refuse(seconds):
                self._refusing = time.monotonic() + seconds
            case _:
                if fault.method:
                    _known(fault.method)
                if isinstance(fault, FailTasks):
                    made(fault)
                self.pending.append(fault)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._refusing = 0.0
        self.pending.clear()

    @property
    def refusing(self) -> bool:
        """Whether connections are cut now."""
        return time.monotonic() < self._refusing

    def take(self, kind: type[F], method: str) -> F | None:
        """The fault of that kind that strikes this call, if there is one; it counts as used."""
        for fault in self.pending:
            if isinstance(fault, kind) and fault.method in ("", method):
                fault.times -= 1
                if fault.times <= 0:
                    self.pending.remove(fault)
                return fault
        return None


def made(fault: FailTasks) -> Any:
    """The fault as pyVmomi's exception. Raises ValueError where there is none of that name."""
    for namespace in (vim.fault, vmodl.fault):
        try:
            kind = getattr(namespace, fault.fault)
        except AttributeError:
            continue
        return kind(msg=fault.message or f"{fault.fault}, as it was ordered")
    raise ValueError(f"vSphere has no fault {fault.fault}")


def _known(method: str) -> None:
    try:
        GetWsdlMethod(XMLNS_VMODL_BASE, method)
    except KeyError:
        raise ValueError(f"vSphere has no method {method}") from None
