"""Decides how a document is found and changed: what all folds share."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from plans import events as e
from plans.records import AnyDocument, Due, EnvironmentState, Key, Release, Run

Documents = Mapping[Key, AnyDocument]
Changes = dict[Key, AnyDocument | None]
"""Documents by key as they are from now on; None where one is gone."""

Fold = Callable[[Documents, e.Entry, Any], Changes]
"""What one kind of event changes. Every record that was ever written folds: what it names may be unknown."""


def release(documents: Documents, name: str) -> Release | None:
    found = documents.get(("releases", name))
    return found if isinstance(found, Release) else None


def run(documents: Documents, number: int) -> Run | None:
    found = documents.get(("runs", str(number)))
    return found if isinstance(found, Run) else None


def environment(documents: Documents, name: str) -> EnvironmentState:
    found = documents.get(("environments", name))
    return found if isinstance(found, EnvironmentState) else EnvironmentState(name=name)


def due(entry: e.Entry, key: str, found: Run | None = None) -> Changes:
    """The channel is to be told of `key`, unless the run has told it already."""
    return {} if found and key in found.messages else {("outbox", key): Due(key=key, seq=entry.seq)}


def change_release(documents: Documents, name: str | None, **changes: Any) -> Changes:
    """A release with these fields; nothing where it is unknown."""
    found = release(documents, name or "")
    return {("releases", found.id): replace(found, **changes)} if found else {}


def change_run(documents: Documents, number: int, **changes: Any) -> Changes:
    """A run with these fields; nothing where it is unknown."""
    found = run(documents, number)
    return {("runs", str(number)): replace(found, **changes)} if found else {}


def change_environment(documents: Documents, name: str, **changes: Any) -> Changes:
    """An environment with these fields, known before or not."""
    return {("environments", name): replace(environment(documents, name), **changes)}


def notice(entry: e.Entry) -> Changes:
    """The channel is to be told of this record by itself."""
    return due(entry, f"notice/{entry.seq}")
