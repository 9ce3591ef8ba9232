"""Decides what the nightly look at prod is made of, when it is due, and what of prod is adrift."""

from collections.abc import Collection, Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from plans.calendars import next_time
from plans.comparing import CollectFacts, CompareSince
from plans.phases import Draft, Material, Plan
from plans.promotion import facts_of
from plans.records import EnvironmentState, Run
from plans.rule_records import Difference


def lookout(material: Material) -> Plan:
    """Each app's facts against those after its last promotion; where nothing is settled, what is there now is.

    What this run itself settles leaves its plan as it is.
    """
    draft = Draft("lookout", material.target)
    for subject in material.subjects:
        facts, settled = facts_of(material, subject), material.state.settled.get(subject.name)
        if not facts:
            continue
        if settled is None or settled.run >= material.run:
            step = CollectFacts(facts=facts, app=subject.name)
            draft.own("lookout", f"Write down what {subject.name} is from now on", step)
        else:
            since = CompareSince(
                facts=facts,
                app=subject.name,
                run=settled.run,
                phase=settled.phase,
                kind="drift",
                said=material.lookout if material.lookout > settled.run else 0,
            )
            draft.own("lookout", f"Compare {subject.name} with after its last promotion", since)
    return draft.plan()


def due(
    clock: str,
    environment: str,
    state: EnvironmentState,
    runs: Iterable[Run],
    timezone: ZoneInfo,
    now: datetime,
) -> datetime:
    """When the next look at a prod is due: the first HH:MM after the last one, or after what was settled since.

    One that was missed is due at once. Before anything is known of prod, it is the next night's.
    """
    looked = [run.at for run in runs if run.kind == "lookout" and run.environment == environment]
    known = [datetime.fromisoformat(at) for at in (*looked, *(seen.at for seen in state.settled.values()))]
    return max(now, next_time(clock, max(known, default=now), timezone))


def giving_way(kind: str, environment: str, machines: Collection[str], runs: Iterable[Run]) -> list[Run]:
    """The lookouts that end when a run of another kind begins there: what they would see is about to change."""
    going = [run for run in runs if run.active and run.kind == "lookout" and kind != "lookout"]
    return [run for run in going if run.environment == environment or set(run.machines) & set(machines)]


def adrift(state: EnvironmentState, app: str, differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """What a lookout found to have moved since the app was last settled, and still is so as prod was last seen.

    The latest word about each fact of a host.
    """
    settled, seen = state.settled.get(app), state.seen.get(app)
    if settled is None or seen is None:
        return ()
    moved = {key for key, digest in settled.digests.items() if seen.digests.get(key, digest) != digest}
    found = sorted((d for d in differences if d.kind == "drift" and d.app == app), key=lambda d: d.run)
    latest = {f"{d.fact} {d.host}": d for d in found if d.run > settled.run}
    return tuple(difference for key, difference in latest.items() if key in moved)
