"""Decides how the ways on from a prod that a run left changed and not in order are said and offered."""

from bot.line.blocks import Block, button, confirmation, line, listed, moment, person
from plans.hooks import Hooked, by_hand
from plans.phases import Planned
from plans.records import CHANGE_PROD, Release, Run
from plans.reverting import Ways

_LINES_SHOWN = 20


def stranded(run: Run) -> bool:
    """Whether a run on prod ended otherwise than passed, with prod changed."""
    return run.kind in CHANGE_PROD and run.verdict not in ("", "passed") and run.touched


def choices(run: Run, release: Release, ways: Ways) -> str:
    """What an admin can do now, each with the line to type, escaped."""
    name, where = release.id, line(run.environment)
    again = f"try it again: `/promote {name}`"
    back = f"roll it back: `/promote rollback {name}`" if ways.rollback else "its package has no rollback"
    leave = f"or leave {where} as it is: `/promote leave {name} REASON`"
    parts = [back, _revert(run, release, ways), leave]
    if release.defective is None:
        parts.insert(0, again)
    if run.left_by:
        parts.pop()
        why = f": {line(run.left, 300)}" if run.left else ""
        return f"{person(run.left_by)} leaves {where} as it is{why}. Otherwise: {'; '.join(parts)}."
    said = "; ".join(parts)
    return f"an admin decides. {said[:1].upper()}{said[1:]}."


def _revert(run: Run, release: Release, ways: Ways) -> str:
    if not ways.kept:
        return "no snapshot of before it stands"
    since, hosts = min(kept.at for kept in ways.kept.values()), line(listed(ways.kept))
    said = f"go back to the snapshot of {moment(since)}: `/promote revert {release.id} {line(run.environment)}`"
    said += f", which loses all that was written on {hosts} since"
    return said + (f", and {line(listed(ways.lacking))} must be brought back by hand" if ways.lacking else "")


def buttons(run: Run, release: Release, ways: Ways) -> tuple[Block, ...]:
    """The same as buttons. That of the snapshot does nothing by itself: it says what it costs and what to type."""
    what, found = f"{release.app} {release.version}", []
    if release.defective is None:
        cost = f"{what} is deployed to {run.environment} once more, from its first step on."
        ask = confirmation(f"Try {release.id} again?", cost, "Try again")
        found.append(button("Try again", "promote", release.id, confirm=ask))
    if ways.rollback:
        found.append(roll_back(run, release))
    if ways.kept:
        found.append(button("Back to the snapshot …", "revert", release.id, style="danger"))
    if not run.left_by:
        cost = f"Nothing is done: {run.environment} stays as it is now, and the channel is told."
        ask = confirmation(f"Leave {run.environment}?", cost, "Leave it")
        found.append(button("Leave it", "leave", release.id, confirm=ask))
    return tuple(found)


def roll_back(run: Run, release: Release) -> Block:
    cost = f"The package's own rollback of {release.app} {release.version} runs on {run.environment}."
    ask = confirmation(f"Roll {release.id} back?", cost, "Roll it back", danger=True)
    return button("Roll back", "rollback", release.id, style="danger", confirm=ask)


def still(run: Run, standing: tuple[Planned, ...]) -> str:
    """What the run's hooks began and nothing has ended, and how to end it by hand; empty where all is over."""
    if not standing:
        return ""
    drained = list(dict.fromkeys(host for step in standing for host in step.hosts if host))
    parts = [f"{line(listed(drained))} {'is' if len(drained) == 1 else 'are'} STILL DRAINED"] if drained else []
    parts += ["it is STILL IN MAINTENANCE"] if any("" in step.hosts for step in standing) else []
    said = f"{line(run.environment)}: {' and '.join(parts)}. When that is to end, type"
    lines = [said for step in standing if isinstance(step.step, Hooked) for said in by_hand(step.step, step.hosts)]
    shown = [f"• {line(one, 300)}" for one in lines[:_LINES_SHOWN]]
    return "\n".join([f"{said}:", *shown])
