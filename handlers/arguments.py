"""Decides how each argument of a typed line is read: what is left of the line after it, and what it says."""

import difflib
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from handlers.letters import DASHES, QUOTES, short, split, token
from handlers.times import day, when
from plans.errors import Refusal

CHOICES = (
    "retry", "skip", "abort", "done", "done_with_help", "failed", "pass", "fail", "wait", "stop",
    "undrain", "end", "leave",
)  # fmt: skip
"""Every answer that a question of a run can have."""


class Surroundings(msgspec.Struct, frozen=True):
    """What a line is read against: the time, the timezone of the configuration, and its environments' names."""

    now: datetime
    zone: ZoneInfo
    environments: tuple[str, ...] = ()


RELEASE = re.compile(r"(?:r-?)?([0-9]{1,9})", re.ASCII)
_ESCAPE = re.compile(r"(?:e-?)?([0-9]{1,9})", re.ASCII)
_RUN = re.compile(r"#?([0-9]{1,9})(?:/([0-9]{1,9}))?", re.ASCII)
_PERSON = re.compile(r"<?@?([UW][A-Z0-9]{2,})(?:\|[^>]*)?>?", re.ASCII)
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)

Found = dict[str, Any]


def _release(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    word, after = split(rest)
    number = RELEASE.fullmatch(token(word))
    if number:
        found["release"] = f"R-{int(number[1])}"
        return after
    if word:
        message = f"“{short(word)}” is no release: they are called R-1, R-2 and so on."
        raise Refusal("bad_release", message, f"See them all: /handoff list. Type: {usage}")
    return rest


def _run(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    word, after = split(rest)
    number = _RUN.fullmatch(token(word))
    if number:
        found["run"] = int(number[1])
        found["question"] = int(number[2]) if number[2] else None
        return after
    if word and token(word) != "now":
        raise Refusal("bad_run", f"“{short(word)}” is no number of a run.", f"See them: /stage history. Type: {usage}")
    return rest


def _now(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    word, after = split(rest)
    if token(word) == "now":
        found["now"] = True
        return after
    return rest


def _environment(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """The whole rest is an environment's name."""
    word, _ = split(rest)
    left = _leading_environment(rest, found, around, usage)
    if word and "environment" not in found:
        near = difflib.get_close_matches(token(word), around.environments, 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        message = f"There is no environment “{short(word)}”."
        raise Refusal("unknown_environment", message, f"{hint}There are: {', '.join(around.environments)}.")
    return left


def _leading_environment(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """An environment's name where the first word is one; else that word belongs to what follows."""
    word, after = split(rest)
    for name in around.environments:
        if token(word) == name.casefold():
            found["environment"] = name
            return after
    return rest


def _choice(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    spoken = rest.translate(DASHES).translate(QUOTES).casefold()
    for choice in sorted(CHOICES, key=len, reverse=True):
        pattern = re.escape(choice).replace("_", "[ _-]")
        if matched := re.match(rf"[\"'`]?{pattern}[\"'`]?[:,.]?(?= |$)", spoken):
            found["choice"] = choice
            return rest[matched.end() :].lstrip()
    word, _ = split(rest)
    if word:
        near = difflib.get_close_matches(token(word), CHOICES, 1, 0.5)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise Refusal("bad_choice", f"“{short(word)}” is no answer.", f"{hint}Answers: {', '.join(CHOICES)}.")
    return rest


def _source(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    quote = rest[:1].translate(QUOTES)
    end = rest.translate(QUOTES).find(quote, 1) if quote in ("'", '"') else -1
    source, after = (rest[1:end], rest[end + 1 :].lstrip()) if end > 0 else split(rest)
    if source:
        found["source"] = source
    return after


def _digest(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    word, after = split(rest)
    if not word:
        return rest
    digest = _DIGEST.fullmatch(token(word))
    if digest is None:
        message = f"“{short(word)}” is no SHA-256: that is sha256: and 64 hexadecimal digits."
        raise Refusal("bad_digest", message, f"sha256sum FILE tells it. Type: {usage}")
    found["digest"] = digest[1]
    return after


def _at(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    return _time_after("at", rest, found, around, usage)


def _until(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    return _time_after("until", rest, found, around, usage)


def _time_after(word: str, rest: str, found: Found, around: Surroundings, usage: str) -> str:
    first, after = split(rest)
    if token(first) != word:
        return rest
    found["at"], left = when(after, around.now, around.zone)
    return left


def _day(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """`until` and a date, which is included, or a date and a time."""
    first, after = split(rest)
    if token(first) != "until":
        return rest
    found["at"], left = day(after, around.now, around.zone)
    return left


def _name(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """One word, or several in quotes."""
    quote = rest[:1].translate(QUOTES)
    end = rest.translate(QUOTES).find(quote, 1) if quote in ("'", '"') else -1
    name, after = (rest[1:end], rest[end + 1 :].lstrip()) if end > 0 else split(rest)
    if name:
        found["name"] = name
    return after


def _check(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """A manual check's name or number, which may have stood behind the run's: 3/2."""
    if found.get("question"):
        found["name"] = str(found.pop("question"))
        return rest
    return _name(rest, found, around, usage)


def _person(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """Somebody who is mentioned, or their id."""
    word, after = split(rest)
    mentioned = _PERSON.fullmatch(word)
    if mentioned:
        found["person"] = mentioned[1]
        return after
    if word:
        message = f"“{short(word)}” is nobody whom Slack knows by that."
        raise Refusal("bad_person", message, f"Type @ and choose the name that Slack offers. Type: {usage}")
    return rest


def _escape(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    word, after = split(rest)
    number = _ESCAPE.fullmatch(token(word))
    if number:
        found["name"] = f"E-{int(number[1])}"
        return after
    if word:
        message = f"“{short(word)}” is no escaped defect: they are called E-1, E-2 and so on."
        raise Refusal("bad_escape", message, f"See them: /promote status. Type: {usage}")
    return rest


def _subject(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """What a review is of: a release (with its R), or an environment."""
    word, after = split(rest)
    number = RELEASE.fullmatch(token(word))
    if word:
        found["name"] = f"R-{int(number[1])}" if number else token(word)
    return after


def _emergency(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """`emergency` and the reason for it."""
    word, reason = split(rest)
    if token(word) != "emergency":
        return rest
    if not reason:
        raise Refusal("missing_word", "An emergency needs a reason.", f"Type: {usage}")
    found["emergency"] = reason
    return ""


def _asked(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """Which question a button answers: the beginning of a digest."""
    word, after = split(rest)
    if re.fullmatch(r"[0-9a-f]{12}", token(word)):
        found["name"] = token(word)
        return after
    return rest


def _reason(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    if rest:
        found["text"] = rest
    return ""


def _stoppable(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """A run by its number, or a release (with its R) whose promotion is scheduled."""
    reader = _release if token(rest).startswith("r") else _run
    return reader(rest, found, around, usage)


def _checkable(rest: str, found: Found, around: Surroundings, usage: str) -> str:
    """A release (with its R) whose gates are looked at, or the environment that is."""
    word = token(split(rest)[0])
    reader = _release if word.startswith("r") and RELEASE.fullmatch(word) else _environment
    return reader(rest, found, around, usage)


READERS = {
    "release": _release,
    "run": _run,
    "now": _now,
    "environment": _environment,
    "in": _leading_environment,
    "choice": _choice,
    "source": _source,
    "digest": _digest,
    "at": _at,
    "until": _until,
    "stoppable": _stoppable,
    "checkable": _checkable,
    "day": _day,
    "name": _name,
    "check": _check,
    "person": _person,
    "escape": _escape,
    "subject": _subject,
    "emergency": _emergency,
    "asked": _asked,
    "reason": _reason,
}
FIELDS = {
    "in": "environment",
    "until": "at",
    "day": "at",
    "check": "name",
    "escape": "name",
    "subject": "name",
    "reason": "text",
}
CALLED = {
    "release": "a release, R-1 say",
    "run": "the number of a run",
    "choice": "an answer",
    "source": "an address or a path",
    "day": "until and a date, until 2026-12-24 say",
    "name": "a name",
    "check": "a check, by its number or name",
    "person": "a person, @NAME",
    "escape": "an escaped defect, E-1 say",
    "subject": "what it is of, R-1 or prod say",
    "reason": "a reason",
}
