"""Decides how the channel is told of differences, waivers, inspections, reviews, approvals and escapes."""

from bot.line.blocks import line, moment
from plans import rule_events as r
from plans.rule_events import RuleEvent


def said_of(event: RuleEvent) -> str:
    """What somebody did about a rule of the process, to follow their name. Raises KeyError for what is not told."""
    match event:
        case r.DifferenceDisposed(release=release, key=key, reason=reason):
            return f"disposed of the difference {line(key)} of {line(release)}{because(reason)}"
        case r.WaiverGiven(environment=environment, fact=fact, until=until, reason=reason):
            what = f"lets {line(fact)} of {line(environment)} differ from prod until {line(until[:10])}"
            return f"{what}{because(reason)} Every run that needs it says so."
        case r.ChangeOutside(environment=environment, reason=reason):
            what = (
                f"changed {line(environment)} by hand{because(reason)} What was rehearsed before may not be promoted."
            )
            return f"{what} {_review(environment)}"
        case r.PromotionForced(release=release, gates=gates, reason=reason):
            opened = ", ".join(f"`{gate}`" for gate in gates)
            return f"promotes {line(release)} in an emergency, past {opened}{because(reason)} {_review(release)}"
        case r.PromotionLeft(release=release, run=number, reason=reason):
            return f"leaves prod as run {number}, of {line(release)}, has left it{because(reason)}"
        case r.ReviewGiven(subject=subject, text=text):
            return f"reviewed what was done to {line(subject)}{because(text)}"
        case r.ApprovalAsked(release=release, until=until):
            asked = f"asks further admins to approve the promotion of {line(release)}, until {moment(until)}"
            return f"{asked}: `/promote approve {line(release)}` or `/promote refuse {line(release)} REASON`"
        case r.ApprovalRefused(release=release, reason=reason):
            return f"refused the promotion of {line(release)}{because(reason)}"
        case r.ReviewReminded(subject=subject):
            return f"reminds: what was done to {line(subject)} past the rules has no review yet. {_review(subject)}"
        case r.EscapeRecorded() | r.EscapeClosed():
            return _escape(event)
        case _:
            raise KeyError(type(event).__name__)


def overdue(event: r.RestoreTestOverdue) -> str:
    """That no restore test has passed for too long, and what became of the latest."""
    where = line(event.environment)
    since = f"has passed since {moment(event.passed)}" if event.passed else "has ever passed"
    last = f"The latest: {line(event.last, 600).removesuffix('.')}."
    mend = f"Mend it, and restore by hand to see: `/stage check {where}`"
    return f"no restore test on {where} {since}: nobody knows whether prod's backups can be restored. {last} {mend}"


def _escape(event: r.EscapeRecorded | r.EscapeClosed) -> str:
    name, release = line(event.escape), line(event.release)
    if isinstance(event, r.EscapeRecorded):
        what = f"recorded {name}, which slipped through the rehearsal of {release}{because(event.text)}"
        paid = f"a check of the test plan names it (`covers: [{name}]`) and passes"
        return f"{what} {line(event.app)} is not promoted until {paid}, or an admin accepts it."
    if event.how == "check":
        return f"sees {name} paid back: “{line(event.check)}” passes on {release}."
    return f"accepted {name}{because(event.reason)}"


def _review(subject: str) -> str:
    return f"It needs a written review within two days: `/promote review {line(subject)} TEXT`"


def because(reason: str) -> str:
    """A reason at the end of a sentence, with its full stop."""
    return f": {line(reason.strip().removesuffix('.'), 600)}." if reason.strip() else "."
