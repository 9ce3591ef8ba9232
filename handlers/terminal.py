"""Decides how an answer reads in a terminal: the words of its blocks, without Slack's marks."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bot.line.blocks import clean

_MARKED = re.compile(r"(`[^`\n]*`)|<([^<>\n]+)>|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<![\w_])_([^_\n]+)_(?![\w_])")


def readable(text: str, blocks: Iterable[Mapping[str, Any]]) -> str:
    """A message as lines; its text alone where it has no blocks."""
    parts = [_of_block(block) for block in blocks] or [text]
    return clean("\n\n".join(_unescaped(_MARKED.sub(_bare, part)) for part in parts if part)).strip()


def _of_block(block: Mapping[str, Any]) -> str:
    if block["type"] == "context":
        return "\n".join(str(element["text"]) for element in block["elements"])
    return str(block["text"]["text"])


def _bare(found: re.Match[str]) -> str:
    """Code stays as it is; people, groups and channels by their ids; times and links as they are read without Slack."""
    code, bracket, bold, italic = found.groups()
    if code is not None:
        return str(code)
    if bracket is not None:
        target, _, label = bracket.partition("|")
        return label or re.sub(r"^!subteam\^", "@", target)
    return _MARKED.sub(_bare, bold if bold is not None else italic)


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
