"""Lengths of time and sizes, as people write them and as they are said."""

import msgspec
import pytest

from plans.quantities import Duration, Size, seconds, size, spell


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250ms", 0.25), ("0s", 0.0), ("30s", 30.0), ("10m", 600.0), ("2h", 7200.0), ("7d", 604800.0), ("007s", 7.0)],
)
def test_a_length_of_time(text: str, expected: float) -> None:
    assert seconds(msgspec.convert(text, Duration)) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("0B", 0), ("12B", 12), ("3KB", 3000), ("500MB", 500_000_000), ("2GB", 2_000_000_000)]
)
def test_a_size(text: str, expected: int) -> None:
    assert size(msgspec.convert(text, Size)) == expected


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 m", "1.5h", "-1m", "10min", "10m\n", " 10m", "10M", "10m5s", "٣m", "9" * 40 + "d"]
)
def test_what_is_not_a_length_of_time(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Duration)


@pytest.mark.parametrize("text", ["", "500", "MB", "500 MB", "500mb", "0.5GB", "-1B", "1TB", "1GB\n"])
def test_what_is_not_a_size(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Size)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (0, "0.0 s"),
        (0.4, "0.4 s"),
        (9.94, "9.9 s"),
        (12, "12 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (47 * 3600, "47 h"),
        (9 * 86400, "9 days"),
    ],
)
def test_how_it_is_said(span: float, said: str) -> None:
    assert spell(span) == said
