"""Decides how each ledger record changes the documents: a pure fold, and what the channel is to be told of it."""

from typing import Any

from plans import events as e
from plans import rule_folds, run_folds
from plans.folds import (
    Changes,
    Documents,
    Fold,
    change_environment,
    change_release,
    change_run,
    due,
    environment,
    notice,
    release,
    run,
)
from plans.records import Attested, Due, Freeze, Kept, Loaded, Release

__all__ = ["Changes", "Documents", "apply", "environment", "release", "run"]


def apply(documents: Documents, entry: e.Entry) -> Changes:
    """What `entry` changes in `documents`; they are left as they are. Every record that was ever written folds."""
    change = _FOLDS.get(type(entry.event))
    changes = change(documents, entry, entry.event) if change else {}
    # What is owed already stays owed to the first record that called for it: with its mark it may be in the channel.
    return {key: new for key, new in changes.items() if key not in documents or not isinstance(new, Due)}


def _config_loaded(documents: Documents, entry: e.Entry, event: e.ConfigLoaded) -> Changes:
    notice = due(entry, f"notice/{entry.seq}") if event.changed else {}
    return {("configs", "last"): Loaded(digest=event.digest, at=entry.at, keys=event.keys)} | notice


def _handed_off(documents: Documents, entry: e.Entry, event: e.PackageHandedOff) -> Changes:
    new = Release(
        id=event.release,
        app=event.app,
        version=event.version,
        digest=event.digest,
        bytes=event.bytes,
        source=event.source,
        by=entry.by,
        at=entry.at,
        summary=event.summary,
        notes=event.notes,
        changes=event.changes,
        warnings=event.warnings,
    )
    return {("releases", new.id): new} | due(entry, f"release/{new.id}")


def _withdrawn(documents: Documents, entry: e.Entry, event: e.ReleaseWithdrawn) -> Changes:
    return change_release(documents, event.release, withdrawn=event.reason, scheduled=None) | notice(entry)


def _defective(documents: Documents, entry: e.Entry, event: e.ReleaseDefective) -> Changes:
    return change_release(documents, event.release, defective=event.reason, scheduled=None) | notice(entry)


def _scheduled(documents: Documents, entry: e.Entry, event: e.PromotionScheduled) -> Changes:
    return change_release(documents, event.release, scheduled=event.at, scheduled_by=entry.by) | notice(entry)


def _unscheduled(documents: Documents, entry: e.Entry, event: e.PromotionUnscheduled) -> Changes:
    return change_release(documents, event.release, scheduled=None) | notice(entry)


def _snapshot_taken(documents: Documents, entry: e.Entry, event: e.SnapshotTaken) -> Changes:
    state = environment(documents, event.environment)
    of = run(documents, event.run)
    kept = Kept(
        run=event.run,
        reference=event.snapshot,
        name=event.name,
        at=entry.at,
        restored=of.restored if of else "",
        restored_by=of.restored_by if of else 0,
        recipe=event.recipe,
    )
    others = tuple(k for k in state.snapshots.get(event.host, ()) if k.reference != event.snapshot)
    return change_environment(documents, event.environment, snapshots=state.snapshots | {event.host: (*others, kept)})


def _snapshot_removed(documents: Documents, entry: e.Entry, event: e.SnapshotRemoved) -> Changes:
    state, of = environment(documents, event.environment), run(documents, event.run)
    kept = state.snapshots.get(event.host, ())
    left = tuple(k for k in kept if k.reference != event.snapshot)
    removed = state.removed
    if of is not None and of.active:
        theirs = removed.get(event.run, {})
        gone = (*theirs.get(event.host, ()), *(k for k in kept if k.reference == event.snapshot))
        removed = removed | {event.run: theirs | {event.host: gone}}
    return change_environment(
        documents, event.environment, snapshots=state.snapshots | {event.host: left}, removed=removed
    )


def _isolation_attested(documents: Documents, entry: e.Entry, event: e.IsolationAttested) -> Changes:
    attested = Attested(by=entry.by, at=entry.at, reason=event.reason, covers=event.covers, digest=event.digest)
    return change_environment(documents, event.environment, attested=attested) | notice(entry)


def _message_posted(documents: Documents, entry: e.Entry, event: e.MessagePosted) -> Changes:
    changes: Changes = {("outbox", event.key): None} if ("outbox", event.key) in documents else {}
    table, _, rest = event.key.partition("/")
    name = rest.partition("/")[0]
    if table == "release" and (found := release(documents, name)):
        changes |= change_release(documents, name, messages=found.messages | {event.key: event.ts})
    if table == "run" and name.isdecimal() and (going := run(documents, int(name))):
        changes |= change_run(documents, int(name), messages=going.messages | {event.key: event.ts})
    return changes


def _locked(documents: Documents, entry: e.Entry, event: e.EnvironmentLocked) -> Changes:
    return change_environment(documents, event.environment, locked=event.reason, locked_by=entry.by) | notice(entry)


def _unlocked(documents: Documents, entry: e.Entry, event: e.EnvironmentUnlocked) -> Changes:
    return change_environment(documents, event.environment, locked=None, locked_by="") | notice(entry)


def _freeze_set(documents: Documents, entry: e.Entry, event: e.FreezeSet) -> Changes:
    freeze = Freeze(until=event.until, reason=event.reason, by=entry.by, at=entry.at)
    return {("freezes", "now"): freeze} | notice(entry)


def _freeze_lifted(documents: Documents, entry: e.Entry, event: e.FreezeLifted) -> Changes:
    return {("freezes", "now"): None} | notice(entry)


_FOLDS: dict[type[Any], Fold] = {
    **run_folds.FOLDS,
    **rule_folds.FOLDS,
    e.ConfigLoaded: _config_loaded,
    e.PackageHandedOff: _handed_off,
    e.ReleaseWithdrawn: _withdrawn,
    e.ReleaseDefective: _defective,
    e.PromotionScheduled: _scheduled,
    e.PromotionUnscheduled: _unscheduled,
    e.SnapshotTaken: _snapshot_taken,
    e.SnapshotRemoved: _snapshot_removed,
    e.IsolationAttested: _isolation_attested,
    e.MessagePosted: _message_posted,
    e.EnvironmentLocked: _locked,
    e.EnvironmentUnlocked: _unlocked,
    e.FreezeSet: _freeze_set,
    e.FreezeLifted: _freeze_lifted,
}
