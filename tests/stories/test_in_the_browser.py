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
        evening.soon(lambda: evening.records("run.started", run=1), "no rehearsal")
        evening.soon(lambda: evening.records("message.posted", key="run/1/question/1"), "the tester is not asked")
        _opens_thread(window, evening, 1, "U03TESTER")
        window.clicks("action-answer:pass")
        evening.soon(lambda: evening.records("message.posted", key="run/1/end"), "the end is not told")
        window.waits(lambda: "passed, clean" in window.text("thread-messages").lower(), "the end")
        assert evening.finished(1)["verdict"] == "passed"

        window.clicks("person-U02ADMIN")
        window.types("composer", "/promote R-1", "enter")
        evening.soon(lambda: evening.records("run.started", run=2), "no promotion")
        assert evening.finished(2)["verdict"] == "passed"
        evening.soon(lambda: evening.records("message.posted", key="run/2/end"), "the end is not told")
        _opens_thread(window, evening, 2, "U02ADMIN")
        window.waits(lambda: "is on prod" in window.text("thread-messages"), "the end")
        assert evening.version("prod", "web") == "2.4.1"
        _opens_thread(window, evening, 1, "U02ADMIN")
        window.waits(lambda: "passed, clean" in window.text("thread-messages").lower(), "the finished rehearsal")
        _keeps(window, tmp_path)
        assert window.complaints() == []


def _opens_thread(window: Browser, evening: Evening, run: int, user: str) -> None:
    """As somebody who follows a link to the thread."""
    window.opens("about:blank")
    window.opens(f"{evening.page}#as={user}&at={evening.channel}&thread={evening.thread(run).ts}")
    window.find("thread-messages")


def _keeps(window: Browser, folder: Path) -> None:
    """The picture for the README; a checkout that has one keeps it, so that a test run leaves no change behind."""
    taken = folder / "thread.png"
    window.shoots(taken)
    assert taken.stat().st_size > 20_000
    if not PICTURE.exists():
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_bytes(taken.read_bytes())
