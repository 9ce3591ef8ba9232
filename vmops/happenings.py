"""Touches vCenter's events of a VM to look: what others than Quarterdeck did to it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import time as now
from typing import Any

from pyVmomi import vim

from plans.hands import Happening, Seen, happenings
from vmops.machine import Machine, in_words
from vmops.transport import Trouble
from vmops.vcenter import Session

PAGE = 1000
"""Events in one answer, at which vCenter cuts it off."""

SHORTEST = timedelta(milliseconds=10)
"""A span of time that is not divided any more."""


def read_happenings(session: Session, machine: Machine, since: float) -> Seen:
    """What others than this session's user did to a VM since then (a Unix time by our clock).

    In one call, unless there are too many events for one answer. Raises as `Session`, and Trouble.
    """
    with in_words():
        there: datetime = session.read(_clock)
        ahead = there.timestamp() - now()
        begin = datetime.fromtimestamp(since + ahead - 1, UTC)
        manager = session.read(lambda content: content.sessionManager)
        own = session.properties(manager, ["currentSession"])["currentSession"].userName
        events = {event.key: event for event in _events(session, machine, begin, there + timedelta(seconds=1))}
    return happenings((_told(event) for event in events.values()), own, ahead)


def _events(session: Session, machine: Machine, begin: datetime, end: datetime) -> Iterator[vim.event.Event]:
    """Those about the VM from `begin` to `end`, some twice."""
    wanted = vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=machine.vm, recursion="self"),
        time=vim.event.EventFilterSpec.ByTime(beginTime=begin, endTime=end),
        maxCount=PAGE,
    )
    found = session.read(lambda content: content.eventManager.QueryEvents(wanted))
    if len(found) < PAGE:
        yield from (event for event in found if begin <= event.createdTime <= end)
        return
    if end - begin < SHORTEST:
        raise Trouble(f"vCenter has more than {PAGE} events of the VM at {begin:%H:%M:%S}: not all were looked at")
    middle = begin + (end - begin) / 2
    yield from _events(session, machine, begin, middle)
    yield from _events(session, machine, middle, end)


def _told(event: vim.event.Event) -> Happening:
    said = " ".join((event.fullFormattedMessage or type(event).__name__.rpartition(".")[2]).split())
    at = event.createdTime.timestamp()
    return Happening(event.userName or "", said, at, event.chainId, isinstance(event, vim.event.TaskEvent))


def _clock(content: Any) -> Any:
    return vim.ServiceInstance("ServiceInstance", content.rootFolder._stub).CurrentTime()
