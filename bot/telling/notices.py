"""Decides how the channel is told of locks, freezes, approvals, schedules and what else changes the rules."""

from bot.line.blocks import Block, Message, actions, button, confirmation, line, mentions, moment, person, section
from bot.telling.rule_notices import because, overdue, said_of
from plans import events as e
from plans.rule_events import ApprovalAsked, RestoreTestOverdue, RuleEvent


def notice(entry: e.Entry, admins: tuple[str, ...] = ()) -> Message:
    """A few sentences about a record; `admins` are called where it is theirs to act. Raises KeyError for a record that
    the channel is not told of."""
    match entry.event:
        case RestoreTestOverdue() as event:
            said = f"{mentions(admins) or 'Admins'}: {overdue(event)}"
        case event if isinstance(event, RuleEvent):
            said = f"{person(entry.by)} {said_of(event)}"
        case _:
            said = _sentence(entry)
    return Message(said, (section(said), *actions(*_buttons(entry))))


def _buttons(entry: e.Entry) -> tuple[Block, ...]:
    """What may be pressed about it."""
    match entry.event:
        case e.PromotionUnscheduled(release=release, asked=asked) if asked:
            cost = "Its gates are judged again, and then it goes to prod."
            ask = confirmation(f"Promote {release}?", cost, "Promote it")
            return (button("Promote now", "promote", f"{release}|{entry.at}", style="primary", confirm=ask),)
        case ApprovalAsked(release=release, plans=plans):
            ask = confirmation(f"Approve {release}?", "It may go to prod then, if every gate is open.", "Approve it")
            return (button("Approve", "approve", f"{release} {plans[:12]}|{entry.at}", style="primary", confirm=ask),)
        case _:
            return ()


def _sentence(entry: e.Entry) -> str:
    who = person(entry.by)
    match entry.event:
        case e.ConfigLoaded(changed=changed):
            shown = ", ".join(f"`{line(key, 80)}`" for key in changed[:15])
            more = f" and {len(changed) - 15} more" if len(changed) > 15 else ""
            return f"The configuration was changed since the last start: {shown}{more}."
        case e.ReleaseWithdrawn(release=release, reason=reason):
            return f"{who} withdrew {line(release)}{because(reason)}"
        case e.ReleaseDefective(release=release, reason=reason):
            return f"{who} marked {line(release)} as defective{because(reason)}"
        case e.PromotionScheduled(release=release, at=at):
            gates = f"To see its gates: `/promote check {line(release)}`"
            return f"{who} scheduled the promotion of {line(release)} for {moment(at)}. {gates}"
        case e.PromotionUnscheduled() as event:
            return _unscheduled(event, who)
        case e.EnvironmentLocked(environment=environment, reason=reason):
            where = line(environment)
            return f"{who} locked {where}{because(reason)} Nothing begins there until `/stage unlock {where}`."
        case e.EnvironmentUnlocked(environment=environment):
            return f"{who} unlocked {line(environment)}."
        case e.IsolationAttested(environment=environment, reason=reason, covers=covers):
            what = "".join(f"\n• {line(doubt, 300)}" for doubt in covers[:12])
            more = f"\nand {len(covers) - 12} more" if len(covers) > 12 else ""
            who = f"{who} attests that {line(environment)} is cut off from the network"
            return f"{who}{because(reason)} vCenter cannot tell:{what}{more}"
        case e.FreezeSet(until=until, reason=reason):
            end = f"until {moment(until)}" if until else "until it is lifted with `/promote unfreeze`"
            return f"{who} froze promotions {end}{because(reason)}"
        case e.FreezeLifted():
            return f"{who} lifted the freeze: promotions may begin again."
        case e.ApprovalGiven(release=release):
            return f"{who} approved the promotion of {line(release)}."
        case _:
            raise KeyError(type(entry.event).__name__)


def _unscheduled(event: e.PromotionUnscheduled, who: str) -> str:
    name = line(event.release)
    if not event.asked:
        return f"{who} took the scheduled promotion of {name} back{because(event.reason)}"
    why = because(event.reason.removesuffix("."))
    what = f"the promotion of {name}, scheduled for {moment(event.at)}, was not begun{why}"
    return (
        f"{person(event.asked)}: {what} Nothing was done, and it is not scheduled any more. To promote it now: the "
        f"button, or `/promote {name}`; later: `/promote {name} at 22:00`."
    )
