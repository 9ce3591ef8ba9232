"""Decides what all ledger records and all folded documents have in common."""

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The data of one ledger record; its tag is the record's `type`. Fields not known here are ignored when read."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A folded document; it changes only by `plans.board.apply`."""
