"""Decides what Quarterdeck's own steps do: revert, isolate, power on, snapshot, unpack, compare facts."""

import msgspec


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A step that nobody wrote."""


Machinery = Machine
