"""A visitor at the lab's page: a hand-off, a rehearsal and a promotion, in a real browser."""

from pathlib import Path

from browser import Browser, browser
from stories.house import House

from bot.story import Evening

PICTURE = Path(__file__).parents[2] / "docs" / "thread.png"


def test_a_hand_off_a_rehearsal_and_a_promotion(house: House, tmp_path: Path) -> None:
    evening = house.open()
    with browser(1280, 900) as window:
        window.opens(evening.page)
        window.clicks("person-U01DEV")
        window.types("composer", "/handoff", "enter")
        window.types("file-archive", str(evening.packages / "webshop-2.4.1.tar.gz"))
        window.waits(lambda: "webshop-2.4.1" in window.text("chosen-archive"), "the chosen file")
        window.clicks("modal-submit")
        window.waits(lambda: "webshop 2.4.1" in " ".join(window.texts('[data-testid="message"]')), "the announcement")

        window.clicks("person-U02ADMIN")
        window.types("composer", "/stage run R-1", "enter")
        _opens_thread(window, evening, 1)
        window.clicks("person-U03TESTER")
        _opens_thread(window, evening, 1)
        window.clicks("action-answer:pass")
        window.waits(lambda: "Rehearsal passed" in window.text("thread-messages"), "the end")
        assert evening.finished(1)["verdict"] == "passed"

        window.clicks("person-U02ADMIN")
        window.types("composer", "/promote R-1", "enter")
        assert evening.finished(2)["verdict"] == "passed"
        _opens_thread(window, evening, 2)
        window.waits(lambda: "Promotion passed" in window.text("thread-messages"), "the end")
        assert evening.version("prod", "web") == "2.4.1"
        _opens_thread(window, evening, 1)
        window.waits(lambda: "Rehearsal passed" in window.text("thread-messages"), "the finished rehearsal")
        _keeps(window, tmp_path)
        assert window.complaints() == []


def _opens_thread(window: Browser, evening: Evening, run: int) -> None:
    ts = evening.thread(run).ts
    user = window.runs("return new URLSearchParams(location.hash.slice(1)).get('as')")
    window.runs(f"location.hash = '#as={user}&at=C01DEPLOYS&thread={ts}'")
    window.find("thread-messages")


def _keeps(window: Browser, folder: Path) -> None:
    """The picture for the README; a checkout that has one keeps it, so that a test run leaves no change behind."""
    taken = folder / "thread.png"
    window.shoots(taken)
    assert taken.stat().st_size > 20_000
    if not PICTURE.exists():
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_bytes(taken.read_bytes())
