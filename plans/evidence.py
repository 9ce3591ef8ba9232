"""Decides what proves how a release went: everything that the ledger says of it and of its runs, in order."""

from collections.abc import Iterable

import msgspec

from plans import events as e
from plans.board import apply
from plans.errors import Refusal
from plans.records import AnyDocument, Key, Release, Run


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a step on one host; `outcome` is empty where it has no end. Times are ISO 8601 UTC."""

    step: int
    phase: str
    name: str
    host: str
    attempt: int
    written: bool
    started: str
    ended: str = ""
    outcome: str = ""
    exit: int | None = None
    seconds: float = 0.0
    reason: str = ""
    log: str = ""


class Judged(msgspec.Struct, frozen=True):
    """A judgement of the isolation, with the sentences that it rests on."""

    at: str
    verdict: str
    evidence: tuple[str, ...]


class Collected(msgspec.Struct, frozen=True):
    """Facts of one environment: the digest of each, by fact and host."""

    at: str
    environment: str
    digests: dict[str, str]


class Noted(msgspec.Struct, frozen=True):
    """Any other record: `words` are what its data says, by key."""

    seq: int
    at: str
    by: str
    type: str
    words: dict[str, str]


class Link(msgspec.Struct, frozen=True):
    """A place in the ledger: the number and the hash of a record."""

    seq: int
    hash: str


class RunEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A run with all attempts of its steps; `first` and `last` are its first and last records."""

    run: Run
    attempts: tuple[Attempt, ...]
    isolation: tuple[Judged, ...]
    facts: tuple[Collected, ...]
    noted: tuple[Noted, ...]
    first: Link
    last: Link


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A release, its runs in order, and what else was recorded of it; `head` is the ledger's last record."""

    release: Release
    runs: tuple[RunEvidence, ...]
    noted: tuple[Noted, ...]
    head: Link


_TOLD_ELSEWHERE = (
    e.PackageHandedOff,
    e.RunStarted,
    e.RunFinished,
    e.StepStarted,
    e.StepFinished,
    e.IsolationJudged,
    e.FactsCollected,
    e.MessagePosted,
)
"""Records that the documents, the attempts and the judgements show already."""


def evidence(entries: Iterable[e.Entry], name: str) -> Evidence:
    """What the ledger's `entries`, all of them from the first, say of the release `name`. Raises Refusal."""
    documents: dict[Key, AnyDocument] = {}
    own: list[e.Entry] = []
    of_run: dict[int, list[e.Entry]] = {}
    head = Link(0, "")
    for entry in entries:
        for key, document in apply(documents, entry).items():
            if document is None:
                documents.pop(key, None)
            else:
                documents[key] = document
        head = Link(entry.seq, entry.hash)
        number = getattr(entry.event, "run", None)
        if isinstance(entry.event, e.RunStarted) and entry.event.release == name:
            of_run[entry.event.run] = []
        if number in of_run:
            of_run[number].append(entry)
        elif getattr(entry.event, "release", None) == name:
            own.append(entry)
    release = documents.get(("releases", name))
    if not isinstance(release, Release):
        raise Refusal("no_release", f"The ledger knows no release {name}.", "See: quarterdeck ledger show")
    runs = [_run(documents, number, its) for number, its in of_run.items()]
    return Evidence(release=release, runs=tuple(runs), noted=_all_noted(own), head=head)


def _run(documents: dict[Key, AnyDocument], number: int, entries: list[e.Entry]) -> RunEvidence:
    run = documents["runs", str(number)]
    assert isinstance(run, Run)
    judged, facts = [], []
    for entry in entries:
        match entry.event:
            case e.IsolationJudged(verdict=verdict, evidence=sentences):
                judged.append(Judged(entry.at, verdict, sentences))
            case e.FactsCollected(environment=environment, digests=digests):
                facts.append(Collected(entry.at, environment, digests))
    return RunEvidence(
        run=run,
        attempts=_attempts(entries),
        isolation=tuple(judged),
        facts=tuple(facts),
        noted=_all_noted(entries),
        first=Link(entries[0].seq, entries[0].hash),
        last=Link(entries[-1].seq, entries[-1].hash),
    )


def _attempts(entries: list[e.Entry]) -> tuple[Attempt, ...]:
    found: dict[tuple[int, str, int], Attempt] = {}
    for entry in entries:
        match entry.event:
            case e.StepStarted() as begun:
                found[begun.step, begun.host or "", begun.attempt] = Attempt(
                    step=begun.step,
                    phase=begun.phase,
                    name=begun.name,
                    host=begun.host or "",
                    attempt=begun.attempt,
                    written=begun.written,
                    started=entry.at,
                )
            case e.StepFinished() as ended if (key := (ended.step, ended.host or "", ended.attempt)) in found:
                found[key] = msgspec.structs.replace(
                    found[key],
                    ended=entry.at,
                    outcome=ended.outcome,
                    exit=ended.exit,
                    seconds=ended.seconds,
                    reason=ended.reason,
                    log=ended.log,
                )
    return tuple(found.values())


def _all_noted(entries: list[e.Entry]) -> tuple[Noted, ...]:
    return tuple(_noted(entry) for entry in entries if not isinstance(entry.event, _TOLD_ELSEWHERE))


def _noted(entry: e.Entry) -> Noted:
    data = msgspec.to_builtins(entry.event)
    kind = data.pop("type")
    words = {key: _word(value) for key, value in data.items() if value not in (None, "", (), [], {})}
    return Noted(entry.seq, entry.at, entry.by, kind, words)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_word(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_word(each)}" for key, each in value.items())
    return str(value)
