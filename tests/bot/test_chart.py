"""The digest's picture: a bar a week whose height is its deployments, and what failed told apart."""

import io
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from bot.telling.chart import HEIGHT, WIDTH, chart
from plans.figures import Figures

MONDAY = datetime(2026, 9, 7, tzinfo=UTC)
GOOD, BAD = (61, 90, 128), (168, 32, 26)
NOTHING = {"lead_time": None, "time_to_recover": None, "rehearsed": 0, "first_pass": 0, "escapes": 0}


def week(number: int, deployments: int, failed: int = 0, **more: Any) -> Figures:
    since = MONDAY + timedelta(weeks=number)
    known = {**NOTHING, "nights": 0, "nights_passed": 0, **more}
    return Figures(
        since=since.isoformat(),
        until=(since + timedelta(weeks=1)).isoformat(),
        deployments=deployments,
        failed_changes=failed,
        **known,
    )


def drawn(*weeks: Figures) -> Image.Image:
    image = Image.open(io.BytesIO(chart(weeks, ZoneInfo("Europe/Berlin"))))
    assert image.format == "PNG"
    assert image.size == (WIDTH, HEIGHT)
    return image.convert("RGB")


def heights(image: Image.Image, colour: tuple[int, int, int], weeks: int) -> list[int]:
    """Pixels of that colour in the middle of each week's bar, below the legend."""
    wide = (WIDTH - 40 - 120) / weeks
    middles = [int(120 + wide * (i + 0.5)) for i in range(weeks)]
    return [sum(image.getpixel((x, y)) == colour for y in range(120, 441)) for x in middles]


def test_a_bar_is_as_high_as_its_week_had_deployments() -> None:
    small, none, big = heights(drawn(week(0, 2), week(1, 0), week(2, 4)), GOOD, 3)
    assert none == 0
    assert big == pytest.approx(2 * small, abs=3)


def test_what_failed_takes_its_part_of_the_bar() -> None:
    image = drawn(week(0, 4, 1), week(1, 4))
    good, bad = heights(image, GOOD, 2), heights(image, BAD, 2)
    assert bad[1] == 0
    assert bad[0] > 40
    assert good[0] == pytest.approx(good[1] * 0.75, abs=3)


@pytest.mark.parametrize("count", [1, 3, 12, 26])
def test_any_number_of_weeks_fits(count: int) -> None:
    busy = {"lead_time": 90000.0, "rehearsed": 3, "first_pass": 2, "nights": 7, "nights_passed": 6}
    image = drawn(*(week(n, 1 + n % 3, **busy) for n in range(count)))
    assert all(heights(image, GOOD, count))


def test_quiet_weeks_are_drawn_too() -> None:
    assert heights(drawn(week(0, 0), week(1, 0)), GOOD, 2) == [0, 0]


def test_the_picture_of_the_readme_is_one_of_these(tmp_path: Path) -> None:
    """A checkout that has it keeps it, so that a test run leaves no change behind."""
    told = [(3, 0, 29, 4), (5, 1, 48, 3), (4, 0, 17, 4), (0, 0, 0, 1), (6, 2, 70, 3), (7, 0, 9, 5), (8, 1, 5, 5)]
    weeks = [
        week(
            n,
            many,
            failed,
            lead_time=hours * 3600.0 if many else None,
            rehearsed=5,
            first_pass=passed,
            nights=7,
            nights_passed=6 if failed else 7,
        )
        for n, (many, failed, hours, passed) in enumerate(told)
    ]
    picture = tmp_path / "digest.png"
    picture.write_bytes(chart(weeks, ZoneInfo("Europe/Berlin")))
    kept = Path(__file__).parents[2] / "docs" / "digest.png"
    if not kept.exists():
        shutil.copy(picture, kept)
    for each in (picture, kept):
        with Image.open(each) as image:
            assert image.size == (WIDTH, HEIGHT)
