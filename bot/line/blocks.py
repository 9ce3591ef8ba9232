"""Decides how text reaches Slack: escaped, inert and within Slack's limits; the blocks that messages are made of."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

Block = dict[str, Any]

BUDGET = 9000
"""Characters of a message's blocks together; Slack refuses more than about 11,300 without saying so anywhere."""
EDITABLE = 3900
"""Characters of a text that chat.update still takes, with some to spare."""

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PERSON = re.compile(r"[UW][A-Z0-9]+")


class Message(msgspec.Struct, frozen=True):
    """What is posted. `text` says all that the blocks say to a notification or a screen reader; it is never empty."""

    text: str
    blocks: tuple[Block, ...] = ()
    broadcast: bool = False


# --- text from outside -------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    """Text in which Slack finds no mention, no link and no date."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """Text as a terminal would leave it: no colours, no control characters, lines as last overwritten."""
    lines = _ESCAPE_SEQUENCE.sub("", text).split("\n")
    return _INVISIBLE.sub("", "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines))


def flat(text: str, most: int = 150) -> str:
    """One line of at most `most` characters, not escaped: for plain text."""
    words = " ".join(clean(text).split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def line(text: str, most: int = 150) -> str:
    """One escaped line of at most `most` characters as Slack counts them."""
    return cut(escape(flat(text, most)), most)


def quoted(text: str, most: int = 1500) -> str:
    """Escaped lines, each marked as a quotation, so that what was written elsewhere never looks like ours."""
    lines = [line.rstrip() for line in clean(text).strip().splitlines()]
    return cut("\n".join(f">{escape(line)}" for line in lines), most)


def fenced(text: str) -> str:
    """A code block that its content cannot end."""
    return "```\n" + escape(text).replace("```", "`\u200b`\u200b`") + "\n```"


def cut(escaped: str, most: int) -> str:
    """The beginning of escaped text, without half an escape at its end."""
    if len(escaped) <= most:
        return escaped
    return re.sub(r"&[a-z]{0,3}$", "", escaped[: most - 1]).rstrip() + "…"


# --- people, times, amounts ----------------------------------------------------------------------------------------


def person(user: str) -> str:
    """A mention of who did something; the bot by its name."""
    return f"<@{user}>" if _PERSON.fullmatch(user) else line(user.capitalize())


def mentions(members: Iterable[str]) -> str:
    """Users and user groups, called; at most twenty."""
    return " ".join(f"<!subteam^{m}>" if m.startswith("S") else person(m) for m in islice(members, 20))


def moment(at: str | datetime) -> str:
    """A time in the reader's own zone. `at` is ISO 8601, or aware."""
    when = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    return f"<!date^{int(when.timestamp())}^{{date_short_pretty}} {{time}}|{when:%Y-%m-%d %H:%M} UTC>"


def amount(count: int) -> str:
    """Bytes as a person says them: 812 bytes, 3.4 MB."""
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5 or unit == "GB":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def counted(count: int, noun: str) -> str:
    """1 step, 3 steps."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names as plain text, the first few of many."""
    known = [flat(name, 60) for name in names if name]
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


# --- blocks --------------------------------------------------------------------------------------------------------


def header(text: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": flat(text), "emoji": False}}


def section(text: str) -> Block:
    """`text` is mrkdwn whose outside parts are escaped; nothing in it is turned into a link or a mention by itself."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, 3000), "verbatim": True}}


def context(*texts: str) -> Block:
    elements = [{"type": "mrkdwn", "text": cut(text, 2000), "verbatim": True} for text in texts]
    return {"type": "context", "elements": elements}


def preformatted(text: str) -> Block:
    """Output as it is: rich text reads no markup, so it needs no escaping."""
    content = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [content]}


def button(label: str, action: str, value: str, *, style: str = "", confirm: Block | None = None) -> Block:
    """`style` is primary, danger or nothing."""
    face = {"type": "plain_text", "text": label, "emoji": False}
    more = ({"style": style} if style else {}) | ({"confirm": confirm} if confirm else {})
    return {"type": "button", "text": face, "action_id": action, "value": value, **more}


def confirmation(title: str, text: str, yes: str, no: str = "Not now", *, danger: bool = False) -> Block:
    """What is asked before a button counts; `text` is plain."""
    parts = {"title": (title, 100), "text": (text, 300), "confirm": (yes, 30), "deny": (no, 30)}
    dialog: Block = {key: {"type": "plain_text", "text": flat(said, most)} for key, (said, most) in parts.items()}
    return dialog | ({"style": "danger"} if danger else {})


def actions(*buttons: Block) -> tuple[Block, ...]:
    """A row of buttons, or nothing where there are none."""
    return ({"type": "actions", "elements": list(buttons)},) if buttons else ()


def fitting(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The first of some blocks that a message has room for: the least needed must come last."""
    room, kept = BUDGET, []
    for block in islice(blocks, 50):
        room -= len(json.dumps(block, ensure_ascii=False))
        if room >= 0:
            kept.append(block)
    return tuple(kept)
