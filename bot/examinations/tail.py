"""Looks at whether the ledger still has what the channel was told of: one whose end was cut off is a good chain."""

import json
import mmap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from slack_sdk import WebClient

from bot.config import Settings
from bot.examinations import Examination, Finding, bad, good, warning
from bot.line.channel import Channel, Look, Mark, Refused, Sent

SILENCE = 10
"""Seconds that Slack may say nothing."""

THREADS, PAGES = 3, 5
"""Threads of the last runs that are looked through, and pages of each at most."""

_MEND = (
    "If no other Quarterdeck tells in this channel, the ledger's end is missing: stop the bot, and bring ledger.jsonl "
    "back from its backup."
)


def examinations(settings: Settings) -> Iterator[Examination]:
    yield Examination("ledger", settings.config.slack.channel, partial(_tail, settings))


def _tail(settings: Settings) -> Iterator[Finding]:
    slack, path = settings.config.slack, settings.data_dir / "ledger.jsonl"
    since = first_told(path)
    if since is None:
        yield good("ledger", slack.channel, "the channel was told of nothing that is on it yet")
        return
    client = WebClient(token=slack.bot_token, base_url=slack.api_url, timeout=SILENCE)
    marks, refused = told(Channel(client, slack.channel), since)
    lost = missing(path, marks)
    if lost:
        said = f"{len(lost)} of the bot's {len(marks)} last messages are of records that are not on it: "
        yield bad("ledger", slack.channel, said + ", ".join(mark.key for mark in lost[:5]), _MEND)
    elif refused:
        said = f"whether it has all that was told cannot be seen: {refused}"
        yield warning(
            "ledger", slack.channel, said, "Mend what is said of the channel, and run `quarterdeck doctor` again."
        )
    else:
        yield good("ledger", slack.channel, f"it has the records of the bot's {len(marks)} last messages")


def told(channel: Channel, since: float) -> tuple[list[Mark], str]:
    """The marks of the bot's last messages after `since` (epoch seconds, Slack's), in the channel and in the threads of
    the last runs; and why Slack did not show them all, where it did not."""
    found = Look(None, since)
    why = _read(channel, found, pages=1)
    cards = sorted((ts for mark, ts in found.messages.items() if mark.key.count("/") == 1 and mark.key[:4] == "run/"))
    for card in cards[-THREADS:]:
        look = Look(card, since)
        why = why or _read(channel, look, pages=PAGES)
        found.messages |= look.messages
    return list(found.messages), why


def missing(path: Path, marks: list[Mark]) -> list[Mark]:
    """Those whose record is not on the ledger."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
        return [mark for mark in marks if lines.rfind(f'"hash":"{mark.record}"'.encode()) < 0]


def first_told(path: Path) -> float | None:
    """The time (epoch seconds, Slack's) of the first message that the ledger has; older ones are of another."""
    if not path.exists():
        return None
    with path.open("rb") as lines:
        posted = (line for line in lines if b'"type":"message.posted"' in line and line.endswith(b"\n"))
        return next((float(ts) for line in posted if (ts := json.loads(line)["data"]["ts"])), None)


def _read(channel: Channel, look: Look, *, pages: int) -> str:
    for _ in range(pages):
        answer = channel.look(look)
        if not isinstance(answer, Sent):
            return f"Slack refuses it: {answer.error}" if isinstance(answer, Refused) else "Slack does not answer"
        if look.over:
            break
    return ""
