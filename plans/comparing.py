"""Decides what the steps do that look at facts: collect, compare two sides or two times, and say what differs."""

from collections.abc import Generator, Iterable
from typing import TypeAlias

import msgspec

from plans.actions import Action, At, KeepText, Note, Outcome, Recalled, RecallFacts, Record, Shell, Together
from plans.events import FactsCollected, PromotionRefused
from plans.facts import WIDTH, Difference, Fact, brief, compare, digest, relevant
from plans.rule_events import DifferenceFound, WaiverUsed
from plans.site import OK, Actions, Own, Site

KEPT = 4 * 1024 * 1024
"""Bytes of a fact's output that are brought back; what is longer is not compared, not even in part."""

Pairs: TypeAlias = tuple[tuple[Fact, str, str], ...]
"""Facts as commands, each with the host here and the host there."""

_Outputs: TypeAlias = dict[tuple[str, str], str]


class CompareFacts(Own, frozen=True):
    """An app's facts collected on both sides at once and compared: `pairs` of (fact, host here, host there).

    Where the sides differ it is errored; or, `reused` being an earlier restore, skipped: prod has gone on since, and
    staging is to be restored anew. A fact in `waived` may differ, and the run says so.
    """

    pairs: Pairs
    there: str
    app: str = ""
    reused: bool = False
    waived: tuple[str, ...] = ()

    def actions(self, site: Site) -> Actions:
        sides = [(fact, At(site.environment, here), At(self.there, other)) for fact, here, other in self.pairs]
        outputs = yield from _collected(site, self.app, ((f, at) for f, *both in sides for at in both))
        if isinstance(outputs, Outcome):
            return outputs
        differences = [d for fact, here, there in sides if (d := _between(fact, here, there, outputs))]
        yield Note("".join(f"{d.full}\n" for d in differences) or f"{len(self.pairs)} facts agree\n")
        for waived in (d for d in differences if d.fact in self.waived):
            yield Record(WaiverUsed(run=site.run, fact=waived.fact, brief=brief([waived])))
        left = [d for d in differences if d.fact not in self.waived]
        if left and self.reused:
            return Outcome("skipped", reason=f"Restored anew: {self.there} has changed since.\n{brief(left)}")
        return Outcome("errored", reason=brief(left)) if left else OK


class CollectFacts(Own, frozen=True):
    """An app's facts written down, as they are now: of every host (fact, host)."""

    facts: tuple[tuple[Fact, str], ...]
    app: str

    def actions(self, site: Site) -> Actions:
        outputs = yield from _collected(
            site, self.app, ((fact, At(site.environment, host)) for fact, host in self.facts)
        )
        return outputs if isinstance(outputs, Outcome) else OK


class SeekForgotten(Own, frozen=True):
    """After the deployment on staging: what QA has and staging lacks, and what changed that no listed change is about.

    `listed` are the kinds of the package's changes. Neither is a verdict: each difference stays open until an admin
    disposes of it; so does what cannot be asked, of QA (`qa`, empty where there is none) or of staging.
    """

    pairs: Pairs
    qa: str
    app: str
    listed: tuple[str, ...]

    def actions(self, site: Site) -> Actions:
        here = [(fact, At(site.environment, host)) for fact, host, _ in self.pairs]
        outputs = yield from _collected(site, self.app, here)
        if isinstance(outputs, Outcome):
            if outputs.result == "aborted":
                return outputs
            said = f"after the deployment {outputs.reason}"
            yield Record(DifferenceFound(run=site.run, key="facts", fact="", host="", kind="unlisted", brief=said))
            return OK
        if self.qa and (aborted := (yield from self._against_qa(site, outputs))) is not None:
            return aborted
        before: dict[str, Recalled] = (yield RecallFacts(site.run, "confirm", site.environment, self.app)).value
        for fact, at in {(f.name, str(a)): (f, a) for f, a in here}.values():
            changed = _since(fact, at, before, outputs, "before", "now")
            if changed is not None:
                yield Note(f"{changed.full}\n")
            if changed is not None and fact.about and fact.about not in self.listed:
                said = f"{fact.name} changed on {at}, and no listed change is of kind {fact.about}"
                yield _found(site, "unlisted", fact, at, f"{said}\n{brief([changed])}")
        return OK

    def _against_qa(self, site: Site, outputs: _Outputs) -> Generator[Action, Outcome, Outcome | None]:
        there = [(fact, At(self.qa, other)) for fact, _, other in self.pairs]
        theirs = yield from _collected(site, self.app, there)
        if isinstance(theirs, Outcome):
            if theirs.result == "aborted":
                return theirs
            said = f"{self.qa} could not be asked what it has: {theirs.reason}"
            yield Record(DifferenceFound(run=site.run, key=self.qa, fact="", host="", kind="qa", brief=said))
            return None
        for fact, host, other in self.pairs:
            at, other_at = At(site.environment, host), At(self.qa, other)
            if (d := _between(fact, at, other_at, outputs | theirs)) is not None:
                yield Note(f"{d.full}\n")
                yield _found(site, "qa", fact, at, _lacking(d, self.qa, site))
        return None


class CompareSince(Own, frozen=True):
    """Facts now against those that run `run` had collected in `phase` here, where it was asked from any side.

    `kind` says what a difference is: `prod` (prod moved since the rehearsal: the promotion is refused), `drift` (it
    moved without one: said), `undo` (the rollback does not bring back what was: failed). A fact with `change: warn` is
    only said. What run `said`, an earlier lookout, saw already, it has told.
    """

    facts: tuple[tuple[Fact, str], ...]
    app: str
    run: int
    phase: str
    kind: str
    said: int = 0

    def actions(self, site: Site) -> Actions:
        now = [(fact, At(site.environment, host)) for fact, host in self.facts]
        outputs = yield from _collected(site, self.app, now)
        if isinstance(outputs, Outcome):
            return outputs
        then: dict[str, Recalled] = (yield RecallFacts(self.run, self.phase, site.environment, self.app)).value
        words = (f"in run {self.run}", "now")
        moved = [(fact, at, d) for fact, at in now if (d := _since(fact, at, then, outputs, *words)) is not None]
        yield Note("".join(f"{d.full}\n" for _, _, d in moved) or f"{len(now)} facts are as they were\n")
        told = yield from self._told(site)
        if self.kind != "undo":
            for fact, at, d in moved:
                new = told.get(_key(fact, at)) != digest(fact, outputs[fact.name, str(at)])
                if (self.kind == "drift" and new) or (self.kind == "prod" and fact.change == "warn"):
                    said = f"{fact.name} on {at} has changed\n{brief([d])}"
                    yield _found(site, "drift", fact, at, said, self.app)
        blocking = [d for fact, _, d in moved if fact.change == "block"]
        if self.kind == "drift" or not blocking:
            return OK
        if self.kind == "undo":
            return Outcome("failed", reason=f"after the rollback staging is not as it was before\n{brief(blocking)}")
        yield Record(PromotionRefused(release=site.release, gates=("prod_changed_since",)))
        how = f"{site.environment} has changed since it was rehearsed in run {self.run}: nothing was deployed."
        return Outcome("errored", reason=f"{how} Rehearse it again: /stage run {site.release}\n{brief(blocking)}")

    def _told(self, site: Site) -> Generator[Action, Outcome, dict[str, str]]:
        """The digests of what an earlier lookout saw: where they are another's than those before, it has said so."""
        if not self.said:
            return {}
        seen: dict[str, Recalled] = (yield RecallFacts(self.said, "lookout", site.environment, self.app)).value
        return {key: recalled.digest for key, recalled in seen.items()}


Comparing = CompareFacts | CollectFacts | SeekForgotten | CompareSince


def _collected(
    site: Site, app: str, wanted: Iterable[tuple[Fact, At]]
) -> Generator[Action, Outcome, _Outputs | Outcome]:
    """The output of each fact on each host, once, by (fact, host); kept, and on the ledger. Or why there is none."""
    unique = {(fact.name, str(at)): (fact, at) for fact, at in wanted}
    shells = tuple(Shell(at=at, command=fact.run, timeout=300, keep=KEPT) for fact, at in unique.values())
    found: tuple[Outcome, ...] = (yield Together(shells)).value
    outputs: _Outputs = {}
    for (fact, at), outcome in zip(unique.values(), found, strict=True):
        if outcome.result == "aborted":
            return outcome
        if why := _unreadable(outcome):
            return Outcome("errored", reason=f"fact {fact.name} on {at}: {why}")
        outputs[fact.name, str(at)] = outcome.output
    for environment in dict.fromkeys(at.environment for _, at in unique.values()):
        digests = {}
        for fact, at in unique.values():
            if at.environment == environment:
                output = outputs[fact.name, str(at)]
                digests[_key(fact, at)] = digest(fact, output)
                yield KeepText(digest(fact, output), "\n".join(relevant(fact, output)))
        yield Record(FactsCollected(run=site.run, environment=environment, app=app, digests=digests, log=site.log))
    return outputs


def _between(fact: Fact, here: At, there: At, outputs: _Outputs) -> Difference | None:
    return compare(fact, str(here), outputs[fact.name, str(here)], str(there), outputs[fact.name, str(there)])


def _since(
    fact: Fact, at: At, then: dict[str, Recalled], outputs: _Outputs, before: str, after: str
) -> Difference | None:
    """How a fact differs from what it was; None where it does not, or where it was not collected then."""
    was, now = then.get(_key(fact, at)), outputs[fact.name, str(at)]
    if was is None or was.digest == digest(fact, now):
        return None
    if was.text is None:
        return Difference(fact.name, f"{at} {before}", f"{at} {after}", (), (), f"{fact.name} on {at}: not what it was")
    bare = msgspec.structs.replace(fact, ignore=())
    now = "\n".join(relevant(fact, now))
    return compare(bare, f"{at} {before}", was.text, f"{at} {after}", now)


def _lacking(found: Difference, qa: str, site: Site) -> str:
    """What one side has and the other does not, in a sentence; the lines below it."""
    after = f"{site.environment} after {site.version}" if site.version else site.environment
    if found.only_there:
        more = f" and {len(found.only_there) - 1} lines more" if len(found.only_there) > 1 else ""
        said = f"{qa} has {_short(found.only_there[0])}{more}, {after} does not"
    elif found.only_here:
        more = f" and {len(found.only_here) - 1} lines more" if len(found.only_here) > 1 else ""
        said = f"{after} has {_short(found.only_here[0])}{more}, {qa} does not"
    else:
        said = f"{found.fact} is in another order on {qa} than on {after}"
    return f"{said}\n{brief([found])}"


def _short(line: str) -> str:
    words = " ".join(line.split())
    return words if len(words) <= WIDTH // 2 else f"{words[: WIDTH // 2 - 1]}…"


def _found(site: Site, kind: str, fact: Fact, at: At, said: str, app: str = "") -> Record:
    """A difference to be looked at; its key is the fact, with the host where it has the fact not for itself."""
    key = fact.name if "/" not in at.host else f"{fact.name}/{at.host}"
    key = key if kind == "qa" else f"{key}:{kind}"
    key = key if site.release or not app else f"{app}/{key}"
    return Record(DifferenceFound(run=site.run, key=key, fact=fact.name, host=at.host, kind=kind, brief=said, app=app))


def _key(fact: Fact, at: At) -> str:
    return f"{fact.name} {at.host}"


def _unreadable(outcome: Outcome) -> str:
    if outcome.exit != 0:
        said = outcome.output.strip().rpartition("\n")[2][:WIDTH]
        return ": ".join(filter(None, (outcome.reason or "could not be read", said)))
    if outcome.cut:
        return f"its output is longer than {KEPT // 1024**2} MiB: let it print less, or a digest"
    return ""
