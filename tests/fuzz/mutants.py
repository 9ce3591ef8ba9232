"""Makes of something valid what is nearly so: bytes changed, cut and doubled, fields gone, null or of another type."""

import copy
import os
from typing import Any

from hypothesis import strategies as st

WHOLE = os.environ.get("QUARTERDECK_FAULTS") == "all"
"""The whole of it, not the sample of every test run."""

_TEXT = (
    st.sampled_from(
        [
            "",
            " ",
            "\ud800",
            "\x00",
            "<@U1>",
            "R-1",
            "’“—",
            "\u202e",
            "{}",
            "{0}",
            "%s",
            "${HOME}",
            "../..",
            "1e999",
        ]
    )
    | st.integers(0, 5000).map(lambda n: "x" * n)
    | st.text(max_size=30)
)
_ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def odd_text(draw: st.DrawFn) -> str:
    """A text that nobody would think of."""
    return draw(_TEXT)


@st.composite
def odd(draw: st.DrawFn) -> Any:
    """Anything that JSON can hold."""
    return draw(_ODD)


def examples(sample: int) -> int:
    """How many are tried."""
    return sample * 30 if WHOLE else sample


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where anything stands in nested data, as keys and indices from the outside in."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for path in [path] if path] + [at for key, one in inner for at in places(one, (*path, key))]


@st.composite
def bent(draw: st.DrawFn, valid: st.SearchStrategy[Any]) -> Any:
    """Nested data in which up to three things are gone or are something else."""
    value = copy.deepcopy(draw(valid))
    for _ in range(draw(st.integers(1, 3))):
        found = places(value)
        if not found:
            break
        *outer, last = draw(st.sampled_from(found))
        holder = value
        for key in outer:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(odd())
        else:
            del holder[last]
    return value


@st.composite
def mangled(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some are changed, left out, doubled or put in."""
    data = bytearray(draw(valid))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = start + draw(st.integers(0, 12))
        how = draw(st.sampled_from(["change", "drop", "double", "put in", "cut off", "flip"]))
        if how == "change":
            data[start:end] = draw(st.binary(min_size=1, max_size=8))
        elif how == "drop":
            del data[start:end]
        elif how == "double":
            data[start:start] = data[start:end]
        elif how == "put in":
            data[start:start] = draw(
                st.sampled_from([b"\xff", b"\0", b"- ", b": ", b"{", b"[" * 200, b"&a *a", b"PK\x01\x02"])
            )
        elif how == "cut off":
            del data[start:]
        elif data:
            data[start] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)
