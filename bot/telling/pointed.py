"""Decides how a difference that somebody must look at reads in a run's thread."""

from bot.line.blocks import (
    EDITABLE,
    Message,
    context,
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
from plans.records import Release, Run
from plans.rule_records import Difference

_NAMES = {
    "qa": "QA is not like staging",
    "unlisted": "A change that is not listed",
    "content": "Forbidden content",
    "prod": "Prod has changed",
    "drift": "Prod has changed",
    "undo": "Not as it was before",
}


def difference_reply(run: Run, found: Difference, release: Release | None, asked: tuple[str, ...]) -> Message:
    """What differs, the lines that show it, and what to do about it; once disposed of, by whom and why."""
    first, _, lines = found.brief.partition("\n")
    head = f"*{_NAMES[found.kind]}*: {line(first, 600)}"
    blocks = [section(head)]
    if lines:
        blocks.append(preformatted(lines))
    if found.disposed:
        said = f"{person(found.disposed_by)} disposed of it {moment(found.disposed_at)}: {line(found.disposed, 600)}"
        blocks.append(context(said))
        return Message(f"{head}\n{said}", fitting(blocks))
    following = _next(run, found, release)
    turn = (f"{mentions(asked)}: " if asked else "") + following
    blocks.append(section(turn))
    shown = cut(escape(lines), EDITABLE - 602 - len(turn))
    return Message(f"{line(first, 600)}\n{shown}\n{turn}", fitting(blocks))


def _next(run: Run, found: Difference, release: Release | None) -> str:
    if run.kind == "rehearsal" and release is not None:
        return (
            "Neither failed nor forgiven: the gate `differences_open` is shut until the package is mended, or an admin "
            f"says why it may be: `/stage dispose {release.id} {found.fact or found.key} REASON`"
        )
    if run.kind == "promotion":
        return "Said only: this fact may change between a rehearsal and its promotion."
    outside = f"`/promote outside {run.environment} REASON`"
    return f"If that was you, put it on the ledger: {outside}. If nobody knows, look at {run.environment}."
