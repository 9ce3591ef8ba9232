"""Decides how a run's thread tells of other people on staging: hands during a rehearsal, developers who may look."""

from datetime import datetime

from bot.line.blocks import (
    EDITABLE,
    Message,
    cut,
    escape,
    fitting,
    line,
    mentions,
    moment,
    person,
    preformatted,
    section,
)
from plans.records import Run
from plans.rule_events import InspectionEntered

_SHOWN = 15


def hands_reply(run: Run) -> Message:
    """Whose hands were on staging during a rehearsal: it does not count."""
    count = f"{run.environment} was not left alone while {run.release} was tested on it"
    said = f"{line(count)}: this rehearsal does not open the way to prod (`rehearsal_not_clean`)."
    shown = [f"• {line(hand, 300)}" for hand in run.hands[:_SHOWN]]
    if len(run.hands) > _SHOWN:
        shown.append(f"and {len(run.hands) - _SHOWN} more: `quarterdeck ledger show --run {run.number}`")
    text = "\n".join([said, *shown])
    return Message(cut(text, EDITABLE), fitting((section(f"✕ {said}"), section("\n".join(shown)))))


def visit_reply(by: str, event: InspectionEntered, until: datetime | None) -> Message:
    """Who let whom in, how they get in, and until when: what they type stands by itself, to be copied."""
    called, ways = mentions(event.people), "\n".join(event.ways)
    end = f"until {moment(until)}, or until a run begins there" if until else "no more: it is closed already"
    said = f"{called}: {person(by)} lets you look at {line(event.environment)} {end}. By your own key:"
    after = (
        "Whatever you change there is gone afterwards, when it goes back to its snapshot. There are no tunnels: it "
        "stays cut off."
    )
    text = f"{said}\n{escape(ways)}\n{after}"
    return Message(cut(text, EDITABLE), fitting((section(said), preformatted(ways), section(after))))
