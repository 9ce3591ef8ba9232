"""Decides what a person meant by the characters that Slack and keyboards made of their line."""

import re

_SPACES = re.compile(r"[\s\u00a0\u2007\u202f\u3000]+")
_INVISIBLE = re.compile(
    r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\x00-\x08\x0e-\x1b\x7f\ud800-\udfff]"
)
_BRACKETS = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"))
QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‟": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'"})


def plain(line: str) -> str:
    """A line as a person meant it: spaces single, links bare, people mentioned as `<@U1>`, others by their name."""
    bare = _BRACKETS.sub(_unbracketed, visible(line))
    for escaped, mark in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        bare = bare.replace(escaped, mark)
    return _SPACES.sub(" ", bare).strip()


def visible(text: str) -> str:
    """A text without the characters that nobody sees, and those that no file can hold."""
    return _INVISIBLE.sub("", text)


def _unbracketed(found: re.Match[str]) -> str:
    kind, target, label = found.groups()
    if kind == "@":
        return f"<@{target}>"
    if kind:
        name = label or target.partition("^")[2] or target
        return name if name.startswith(("@", "#")) else ("#" if kind == "#" else "@") + name
    return str(target)


def split(text: str) -> tuple[str, str]:
    """The first word and the rest."""
    first, _, rest = text.partition(" ")
    return first, rest


def token(word: str) -> str:
    """One word of a command, without what autocorrection and habit add to it."""
    return word.translate(DASHES).translate(QUOTES).strip("\"'`").casefold()


def short(text: str) -> str:
    """A text as it is quoted back."""
    return text if len(text) <= 60 else text[:59] + "…"
