"""Touches the property collectors of a session: reads many properties of many objects at once, and waits for news."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl
from pyVmomi.SoapAdapter import SerializeToStr

from lab.vcenter.managed import Call, Managed, Session, State, declared_type
from lab.vcenter.soap import VERSION

_Query = vmodl.query.PropertyCollector


@dataclass(frozen=True)
class Seen:
    """An object and its set properties as a client was told them; `values` keeps their wire form to compare by."""

    ref: Any
    properties: dict[str, Any]
    values: dict[str, str]


class PropertyCollector(Managed):
    """A collector with its filters; versions of what a client was told are kept for the present and the last answer,
    so that an answer that was lost can be asked for again."""

    kind = vmodl.query.PropertyCollector

    def __init__(self, state: State, moid: str) -> None:
        super().__init__(state, moid)
        self.filters: dict[str, Filter] = {}
        self._told: dict[str, dict[str, dict[str, Seen]]] = {}
        self._version = 0
        self._pages: dict[str, tuple[list[Any], int]] = {}
        self._cancelled = 0

    @property
    def filter(self) -> list[Any]:
        return [one.ref for one in self.filters.values()]

    def CreatePropertyCollector(self, call: Call) -> Any:
        return add(call.owner, PropertyCollector(self.state, f"session[{secrets.token_hex(8)}]"))

    def DestroyPropertyCollector(self, call: Call) -> None:
        for one in list(self.filters.values()):
            one.DestroyPropertyFilter(call)
        call.owner.objects.pop(self.moid)
        self.CancelWaitForUpdates(call)

    def RetrieveProperties(self, call: Call, specSet: list[Any]) -> list[Any]:
        return [_content(managed, names) for spec in specSet for managed, names in select(call, spec)]

    def RetrievePropertiesEx(self, call: Call, specSet: list[Any], options: Any) -> Any:
        return self._page(self.RetrieveProperties(call, specSet), options.maxObjects)

    def ContinueRetrievePropertiesEx(self, call: Call, token: str) -> Any:
        if token not in self._pages:
            raise vmodl.fault.InvalidArgument(msg="no such token", invalidProperty="token")
        return self._page(*self._pages.pop(token))

    def CancelRetrievePropertiesEx(self, call: Call, token: str) -> None:
        self._pages.pop(token, None)

    def CreateFilter(self, call: Call, spec: Any, partialUpdates: bool) -> Any:
        list(select(call, spec))  # refuses an unknown object or property at once
        one = Filter(self, f"{self.moid}-{secrets.token_hex(8)}", spec, partialUpdates)
        self.filters[one.moid] = one
        return add(call.owner, one)

    async def WaitForUpdatesEx(self, call: Call, version: str | None, options: Any) -> Any:
        told = self._told.get(version, None) if version else {}
        if told is None:
            raise vmodl.query.InvalidCollectorVersion(msg=f"version {version} is not the last one")
        seconds = options.maxWaitSeconds if options is not None else None
        deadline = None if seconds is None else time.monotonic() + seconds
        cancelled = self._cancelled
        while not call.gone:
            seen = self.state.changes.count
            if call.owner.key not in self.state.sessions:
                raise vim.fault.NotAuthenticated(
                    msg="The session has ended.", object=self.ref, privilegeId="System.View"
                )
            if self._cancelled != cancelled:
                raise vmodl.fault.RequestCanceled(msg="The wait was cancelled.")
            found = {one.moid: one.look(call) for one in self.filters.values()}
            updates = [update for one in self.filters.values() if (update := one.update(told, found[one.moid]))]
            if updates:
                return self._tell(version, told, found, updates)
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            await self.state.changes.wait(seen, left)
        return None

    async def WaitForUpdates(self, call: Call, version: str | None) -> Any:
        return await self.WaitForUpdatesEx(call, version, None)

    def CancelWaitForUpdates(self, call: Call) -> None:
        self._cancelled += 1
        self.state.changes.touch()

    def _tell(self, version: str | None, told: Any, found: Any, updates: list[Any]) -> Any:
        self._version += 1
        self._told = {**({version: told} if version else {}), str(self._version): found}
        return _Query.UpdateSet(version=str(self._version), filterSet=updates, truncated=False)

    def _page(self, contents: list[Any], size: int | None) -> Any:
        if not contents:
            return None
        token = None
        if size and len(contents) > size:
            token = secrets.token_hex(8)
            self._pages[token] = (contents[size:], size)
        return _Query.RetrieveResult(objects=contents[:size] if size else contents, token=token)


class Filter(Managed):
    """What one client wants to be told of."""

    kind = vmodl.query.PropertyCollector.Filter

    def __init__(self, collector: PropertyCollector, moid: str, spec: Any, partial: bool) -> None:
        super().__init__(collector.state, moid)
        self.collector = collector
        self._spec = spec
        self._partial = partial

    @property
    def spec(self) -> Any:
        return self._spec

    @property
    def partialUpdates(self) -> bool:
        return self._partial

    def DestroyPropertyFilter(self, call: Call) -> None:
        call.owner.objects.pop(self.moid)
        self.collector.filters.pop(self.moid)

    def look(self, call: Call) -> dict[str, Seen]:
        """What the filter's objects are like now."""
        found = {}
        for managed, names in select(call, self._spec, missing_ok=True):
            properties = {name: value for name in names if (value := managed.read(name)) is not None}
            values = {
                name: SerializeToStr(vmodl.DynamicProperty(name=name, val=value), version=VERSION)
                for name, value in properties.items()
            }
            found[str(managed.ref)] = Seen(managed.ref, properties, values)
        return found

    def update(self, told: dict[str, dict[str, Seen]], found: dict[str, Seen]) -> Any:
        """The FilterUpdate from what the client was told to what is, or None."""
        before = told.get(self.moid, {})
        updates = [
            *(_changed(before.get(key), now) for key, now in found.items() if now.values != _values(before.get(key))),
            *(_Query.ObjectUpdate(kind="leave", obj=old.ref) for key, old in before.items() if key not in found),
        ]
        return _Query.FilterUpdate(filter=self.ref, objectSet=updates) if updates else None


def add(session: Session, managed: Managed) -> Any:
    """Keeps an object as long as the session lives, and returns its reference."""
    session.objects[managed.moid] = managed
    return managed.ref


def select(call: Call, spec: Any, *, missing_ok: bool = False) -> Iterator[tuple[Managed, list[str]]]:
    """The objects that a FilterSpec leads to, each once, with the property paths that it asks of them.

    Raises InvalidProperty for a path that the named type does not have, and ManagedObjectNotFound for an object to
    start from that is not there, which `missing_ok` leaves out instead.
    """
    for wanted in spec.propSet:
        for path in wanted.pathSet:
            declared_type(wanted.type, path)
    reached: dict[str, Managed] = {}
    for start in spec.objectSet:
        try:
            managed = call.find(start.obj)
        except vmodl.fault.ManagedObjectNotFound:
            if missing_ok:
                continue
            raise
        if not start.skip:
            reached[str(managed.ref)] = managed
        _Walk(call, start.selectSet, reached).follow(managed, start.selectSet)
    for managed in reached.values():
        matching = [wanted for wanted in spec.propSet if issubclass(managed.kind, wanted.type)]
        if matching:
            names = [name for one in matching for name in (managed.property_names() if one.all else one.pathSet)]
            yield managed, list(dict.fromkeys(names))


class _Walk:
    """One way through the objects along TraversalSpecs, which may lead back to themselves by their names."""

    def __init__(self, call: Call, specs: Iterable[Any], reached: dict[str, Managed]) -> None:
        self.call = call
        self.reached = reached
        self.named = {spec.name: spec for spec in _traversals(specs) if spec.name}
        self.done: set[tuple[str, int]] = set()

    def follow(self, managed: Managed, specs: Iterable[Any]) -> None:
        for spec in specs:
            traversal = spec if isinstance(spec, _Query.TraversalSpec) else self.named.get(spec.name)
            if traversal is None:
                raise vmodl.fault.InvalidArgument(msg=f"no TraversalSpec {spec.name}", invalidProperty="selectSet")
            step = (str(managed.ref), id(traversal))
            if step in self.done or not issubclass(managed.kind, traversal.type):
                continue
            self.done.add(step)
            there = managed.read(traversal.path)
            for ref in there if isinstance(there, list) else [there] if there is not None else []:
                target = self.call.find(ref)
                if not traversal.skip:
                    self.reached[str(target.ref)] = target
                self.follow(target, traversal.selectSet)


def _traversals(specs: Iterable[Any]) -> Iterator[Any]:
    for spec in specs:
        if isinstance(spec, _Query.TraversalSpec):
            yield spec
            yield from _traversals(spec.selectSet)


def _content(managed: Managed, names: list[str]) -> Any:
    pairs = ((name, managed.read(name)) for name in names)
    properties = [vmodl.DynamicProperty(name=name, val=value) for name, value in pairs if value is not None]
    return _Query.ObjectContent(obj=managed.ref, propSet=properties)


def _values(seen: Seen | None) -> dict[str, str] | None:
    return seen.values if seen else None


def _changed(before: Seen | None, now: Seen) -> Any:
    old = before.values if before else {}
    names = [name for name in {**old, **now.values} if old.get(name) != now.values.get(name)]
    changes = [_Query.Change(name=name, op="assign", val=now.properties.get(name)) for name in names]
    return _Query.ObjectUpdate(kind="modify" if before else "enter", obj=now.ref, changeSet=changes)
