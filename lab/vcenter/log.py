"""Touches what the vCenter remembers: the tasks it runs, the events that happened, and who waits for news of either."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import GetWsdlName, ManagedMethod, Uncapitalize

KEPT_TASKS = 500
KEPT_EVENTS = 10_000


class Changes:
    """Counts changes of anything that a client can see, and wakes those who wait for the next one; `waiting` are how
    many do."""

    def __init__(self) -> None:
        self.count = 0
        self.waiting = 0
        self._next = asyncio.Event()

    def touch(self) -> None:
        """Something has changed."""
        self.count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seen: int, seconds: float | None) -> None:
        """Returns when `count` is no longer `seen`, or after so many seconds."""
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                while self.count == seen:
                    await self._next.wait()
        except TimeoutError:
            return
        finally:
            self.waiting -= 1


class EventLog:
    """The latest events, oldest first."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._numbers = itertools.count(1)
        self.events: deque[Any] = deque(maxlen=KEPT_EVENTS)

    def post(self, kind: Any, user: str, message: str, **fields: Any) -> None:
        """Adds an event of a `vim.event` type; `fields` are what that type has beyond every event's own."""
        number = next(self._numbers)
        self.events.append(
            kind(
                key=number,
                chainId=number,
                createdTime=datetime.now(UTC),
                userName=user,
                fullFormattedMessage=message,
                **fields,
            )
        )
        self._changes.touch()

    def query(self, wanted: vim.event.EventFilterSpec) -> list[Any]:
        """The events that an EventFilterSpec asks for, by entity, time, user, type and number."""
        found = [event for event in self.events if _matches(event, wanted)]
        return found[-wanted.maxCount :] if wanted.maxCount else found


class TaskLog:
    """The running and the latest finished tasks, each as the TaskInfo that clients read."""

    def __init__(self, changes: Changes, events: EventLog) -> None:
        self._changes = changes
        self._events = events
        # Numbers go on from the clock, so that a lab started again never gives an old task's name to a new one.
        self._numbers = itertools.count(int(time.time()))
        self._running: set[asyncio.Task[None]] = set()
        self.infos: dict[str, vim.TaskInfo] = {}

    def start(self, entity: Any, name: str, user: str, method: Any, work: Callable[[], Awaitable[Any]]) -> vim.Task:
        """Queues `work` on the entity and returns the task at once; its end is in the task's info.

        A MethodFault that `work` raises is the task's error. While another task runs on the entity, the new one ends
        with TaskInProgress.
        """
        busy = next((info for info in self.infos.values() if info.entity == entity and _open(info)), None)
        key = f"task-{next(self._numbers)}"
        info = self.infos[key] = vim.TaskInfo(
            key=key,
            task=vim.Task(key),
            name=ManagedMethod(method),
            descriptionId=f"{GetWsdlName(method.type)}.{Uncapitalize(method.name)}",
            entity=entity,
            entityName=name,
            state="queued",
            cancelable=False,
            reason=vim.TaskReasonUser(userName=user),
            queueTime=datetime.now(UTC),
        )
        for old in [key for key, info in self.infos.items() if not _open(info)][:-KEPT_TASKS]:
            del self.infos[old]
        self._events.post(vim.event.TaskEvent, user, f"Task: {info.descriptionId}", info=info)
        running = asyncio.create_task(self._run(info, busy, work))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return info.task

    def recent(self) -> list[vim.Task]:
        """The tasks of the last ten minutes, and those that run."""
        now = datetime.now(UTC)
        return [
            info.task
            for info in self.infos.values()
            if info.completeTime is None or (now - info.completeTime).total_seconds() < 600
        ]

    async def close(self) -> None:
        """Returns when no task runs any more."""
        await asyncio.gather(*self._running)

    async def _run(self, info: Any, busy: Any, work: Callable[[], Awaitable[Any]]) -> None:
        await asyncio.sleep(0)  # a task is seen queued before it runs
        info.state, info.startTime, info.progress = "running", datetime.now(UTC), 0
        self._changes.touch()
        try:
            if busy:
                raise vim.fault.TaskInProgress(msg="Another task is already in progress.", task=busy.task)
            info.result = await work()
            info.state, info.progress = "success", 100
        except vmodl.MethodFault as fault:
            info.state, info.error = "error", fault.with_traceback(None)
        except OSError as problem:
            info.state, info.error = "error", vmodl.fault.SystemError(msg=str(problem), reason=str(problem))
        finally:
            if info.state == "running":  # what went wrong is the lab's own, and raised: nobody waits for it in vain
                info.state, info.error = "error", vmodl.fault.SystemError(msg="A general system error occurred.")
            info.completeTime = datetime.now(UTC)
            self._changes.touch()


def _open(info: Any) -> bool:
    return info.state in ("queued", "running")


def _matches(event: Any, wanted: Any) -> bool:
    users, time, entity = wanted.userName, wanted.time, wanted.entity
    return (
        (not users or event.userName in users.userList)
        and (not time or _within(event.createdTime, time.beginTime, time.endTime))
        and (not entity or _concerns(event, entity))
        and (not wanted.eventTypeId or type(event).__name__ in wanted.eventTypeId)
        and (not wanted.type or isinstance(event, tuple(wanted.type)))
    )


def _within(at: datetime, begin: datetime | None, end: datetime | None) -> bool:
    earliest, latest = begin or at, end or at
    return (
        (earliest if earliest.tzinfo else earliest.replace(tzinfo=UTC))
        <= at
        <= (latest if latest.tzinfo else latest.replace(tzinfo=UTC))
    )


def _concerns(event: Any, wanted: Any) -> bool:
    """Whether the event is about the entity; everything here is about VMs, which every other entity contains."""
    about = event.info.entity if isinstance(event, vim.event.TaskEvent) else event.vm.vm
    return bool(about == wanted.entity) or (
        wanted.recursion != "self" and not isinstance(wanted.entity, vim.VirtualMachine)
    )
