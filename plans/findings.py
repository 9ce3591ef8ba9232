"""Decides how something is told of a package that its author should know."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """Something about a package that its author should know; with an `error` it is refused."""

    code: str
    level: Literal["error", "warning"]
    place: str
    message: str
    hint: str = ""


def error(code: str, place: str, message: str, hint: str) -> Finding:
    """A finding for which the package is refused."""
    return Finding(code, "error", place, message, hint)


def warning(code: str, place: str, message: str, hint: str) -> Finding:
    """A finding that its author should know of."""
    return Finding(code, "warning", place, message, hint)
