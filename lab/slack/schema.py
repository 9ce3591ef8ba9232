"""Decides whether a JSON value has a given form; says what is wrong the way Slack does, with a JSON pointer.

A check takes a value and the pointer to it, and yields complaints; none means that the value is right.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any, str], Iterator[str]]


def complaint(message: str, pointer: str) -> str:
    """One line as Slack puts it under `response_metadata.messages`."""
    return f"[ERROR] {message} [json-pointer:{pointer or '/'}]"


def string(most: int, least: int = 1) -> Check:
    """A string of `least` to `most` characters."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield complaint("must provide a string", pointer)
        elif len(value) > most:
            yield complaint(f"must be less than {most + 1} characters", pointer)
        elif len(value) < least:
            yield complaint(f"must be more than {least - 1} characters", pointer)

    return check


def boolean(value: Any, pointer: str) -> Iterator[str]:
    """True or false, not a word for it."""
    if not isinstance(value, bool):
        yield complaint("must be a boolean", pointer)


def integer(value: Any, pointer: str) -> Iterator[str]:
    """A whole number; JSON's true is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        yield complaint("must be an integer", pointer)


def anything(value: Any, pointer: str) -> Iterator[str]:
    """Whatever it is: the far end does not look either."""
    yield from ()


def choice(*values: str) -> Check:
    """One of these words."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if value not in values:
            yield complaint(f"must be a valid enum value: {', '.join(values)}", pointer)

    return check


def listing(item: Check, most: int, least: int = 1) -> Check:
    """A list of `least` to `most` items, each of which passes `item`."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield complaint("must be an array", pointer)
            return
        if len(value) > most:
            yield complaint(f"no more than {most} items allowed", pointer)
        if len(value) < least:
            yield complaint(f"no less than {least} items required", pointer)
        for index, element in enumerate(value):
            yield from item(element, f"{pointer}/{index}")

    return check


def shape(needs: Mapping[str, Check], may: Mapping[str, Check] | None = None) -> Check:
    """An object with every key of `needs`, any of `may`, and no other."""
    known = {**needs, **(may or {})}

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield complaint("must be an object", pointer)
            return
        for key in needs:
            if key not in value:
                yield complaint(f"missing required field: {key}", pointer)
        for key, part in value.items():
            if key in known:
                yield from known[key](part, f"{pointer}/{key}")
            else:
                yield complaint(f"invalid additional property: {key}", pointer)

    return check


def tagged(kinds: Mapping[str, Check]) -> Check:
    """An object whose `type` chooses the check for the rest of it."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield complaint("must be an object", pointer)
        elif "type" not in value:
            yield complaint("missing required field: type", pointer)
        elif not isinstance(value["type"], str) or value["type"] not in kinds:
            yield complaint(f"unsupported type: {value['type']}", f"{pointer}/type")
        else:
            rest = {key: part for key, part in value.items() if key != "type"}
            yield from kinds[value["type"]](rest, pointer)

    return check


def every(*checks: Check) -> Check:
    """All of these, one after the other."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        for one in checks:
            yield from one(value, pointer)

    return check
