"""Decides how weeks of deployments look side by side: one picture for the digest."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from plans.figures import Figures

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

WIDTH, HEIGHT = 1200, 640
_INK, _SOFT, _LINE, _GOOD, _BAD = "#1b1f24", "#5b6570", "#d5dae0", "#3d5a80", "#a8201a"
_LEFT, _RIGHT, _TOP, _BASE = 120, WIDTH - 40, 150, 440
_ROWS = (480, 520, 560)


def chart(weeks: Sequence[Figures], timezone: ZoneInfo) -> bytes:
    """A PNG: a bar a week, the latest on the right, with what failed on prod marked; under it how each week went."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    most = max(1, *(week.deployments for week in weeks))
    wide = (_RIGHT - _LEFT) / len(weeks)
    _text(draw, (40, 30), "Deployments to prod, week by week", 34, _INK)
    _legend(draw)
    for count in sorted({0, (most + 1) // 2, most}):
        y = _height(count, most)
        draw.line((_LEFT, y, _RIGHT, y), fill=_INK if count == 0 else _LINE, width=2 if count == 0 else 1)
        _text(draw, (_LEFT - 14, y), str(count), 20, _SOFT, "rm")
    for label, y in zip(("Lead time", "First pass", "Restores"), _ROWS, strict=True):
        draw.line((40, y - 6, _RIGHT, y - 6), fill=_LINE)
        _text(draw, (40, y + 14), label, 17, _SOFT, "lm")
    for i, week in enumerate(weeks):
        _week(draw, week, _LEFT + i * wide, wide, most, timezone)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _week(draw: "ImageDraw", week: Figures, x: float, wide: float, most: int, timezone: ZoneInfo) -> None:
    middle, half = x + wide / 2, min(36.0, wide * 0.3)
    top, failed = _height(week.deployments, most), _height(week.failed_changes, most)
    if week.deployments:
        draw.rectangle((middle - half, top, middle + half, _BASE), fill=_GOOD)
        _text(draw, (middle, top - 8), str(week.deployments), 22, _INK, "ms")
    if week.failed_changes:
        draw.rectangle((middle - half, failed, middle + half, _BASE), fill=_BAD)
        for y in range(int(failed), _BASE, 8):  # hatched, so that it is told apart without colours
            draw.line((middle - half, y, middle + half, y), fill="white")
    first = week.first_pass_yield
    said = (
        "-" if week.lead_time is None else _brief(week.lead_time),
        "-" if first is None else f"{first:.0%}",
        "-" if not week.nights else f"{week.nights_passed}/{week.nights}",
    )
    for words, y in zip(said, _ROWS, strict=True):
        _text(draw, (middle, y + 14), words, 20, _INK, "mm")
    begun = datetime.fromisoformat(week.since).astimezone(timezone)
    _text(draw, (middle, _BASE + 18), f"{begun:%d %b}".lstrip("0"), 17, _SOFT, "mm")


def _brief(seconds: float) -> str:
    """A time to one figure: 40 min, 5 h, 3 d."""
    for unit, length in (("d", 86400), ("h", 3600)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1.0, seconds / 60):.0f} min"


def _legend(draw: "ImageDraw") -> None:
    draw.rectangle((40, 88, 60, 106), fill=_GOOD)
    _text(draw, (70, 97), "went well", 20, _SOFT, "lm")
    draw.rectangle((200, 88, 220, 106), fill=_BAD)
    for y in range(88, 106, 8):
        draw.line((200, y, 220, y), fill="white")
    _text(draw, (230, 97), "failed on prod, was rolled back, or let a defect slip through", 20, _SOFT, "lm")


def _height(count: int, most: int) -> float:
    return _BASE - (_BASE - _TOP) * count / most


def _text(draw: "ImageDraw", at: tuple[float, float], words: str, size: int, fill: str, anchor: str = "la") -> None:
    from PIL import ImageFont

    draw.text(at, words, font=ImageFont.load_default(size), fill=fill, anchor=anchor)
