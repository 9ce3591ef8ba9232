"""Touches the tasks of one VM: follows one to its end, with what it asks on the way and how far it is."""

from collections.abc import Callable, Mapping
from typing import Any

from pyVmomi import vim, vmodl

from vmops.transport import Limit, Overdue, Trouble

UPDATES = 2
"""Seconds after which a wait for news comes back without any, so that somebody who wants to stop is heard."""

INFO = ("info.state", "info.error", "info.result", "info.progress", "info.descriptionId")
OPEN = ("queued", "running")

Say = Callable[[str], None]
"""Is told what goes on, in lines for a log."""


def quiet(line: str) -> None:
    """Tells nobody."""


class Watch:
    """What vCenter tells of one VM's latest tasks and of its question, by one filter of one collector.

    The filter stays: the next wait on this VM costs no call to set it up. One thread at a time.
    """

    def __init__(self, collector: Any, vm: vim.VirtualMachine) -> None:
        collect = vmodl.query.PropertyCollector
        through = collect.TraversalSpec(type=vim.VirtualMachine, path="recentTask", skip=False)
        wanted = collect.FilterSpec(
            propSet=[
                collect.PropertySpec(type=vim.VirtualMachine, pathSet=["runtime.question"]),
                collect.PropertySpec(type=vim.Task, pathSet=list(INFO)),
            ],
            objectSet=[collect.ObjectSpec(obj=vm, selectSet=[through])],
        )
        self._collector = collector
        self._version = ""
        self._told: dict[str, dict[str, Any]] = {}
        collector.CreateFilter(wanted, partialUpdates=False)

    def listen(self, seconds: int) -> None:
        """Takes in what has changed, as soon as anything has; waits that long at most."""
        options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=seconds)
        version, self._version = self._version, ""  # where the answer is lost, everything is told anew
        updates = self._collector.WaitForUpdatesEx(version, options)
        self._version = updates.version if updates else version
        for update in (one for each in updates.filterSet for one in each.objectSet) if updates else ():
            before = self._told.pop(update.obj._moId, {})
            if update.kind != "leave":
                changed = {change.name: change.val for change in update.changeSet}
                self._told[update.obj._moId] = before | changed if update.kind == "modify" else changed

    def told(self, thing: Any) -> Mapping[str, Any]:
        """What is known of the VM or of one of its tasks; empty where vCenter has told nothing of it."""
        return self._told.get(thing._moId, {})


def asking(question: Any) -> str:
    """A VM's question as a sentence, with its choices and where to answer it."""
    choices = ", ".join(one.label for one in question.choice.choiceInfo) if question.choice else ""
    offered = f" ({choices})" if choices else ""
    return f"the VM waits for an answer to “{question.text.strip()}”{offered}; answer it in vCenter, then try again"


def follow(look: Callable[[int], tuple[Mapping[str, Any], Any]], limit: Limit, say: Say) -> Any:
    """The result of a task once it has ended well. `look`: its info and the VM's question, after so many seconds.

    Raises the task's own fault; Trouble where the VM asks something that only a person can answer or the limit is
    over; Cancelled. Whatever is raised, the task goes on.
    """
    info: Mapping[str, Any] = {}
    seconds, shown = 0, 0
    while True:
        try:
            limit.check()
        except Overdue:
            how_far = f" at {info['info.progress']} %" if info.get("info.progress") is not None else ""
            raise Trouble(
                f"the task was given up as too slow{how_far}; in vCenter it goes on, look at it there"
            ) from None
        info, question = look(seconds)
        match info.get("info.state"):
            case "success":
                return info.get("info.result")
            case "error":
                raise info["info.error"]
        if question:
            raise Trouble(asking(question))
        if (progress := info.get("info.progress") or shown) != shown:
            say(f"{progress} %")
            shown = progress
        seconds = UPDATES
