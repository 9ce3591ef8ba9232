"""A visitor at the lab's page: a hand-off, a rehearsal and a promotion, in a real browser."""

import shutil
from pathlib import Path
from typing import Any

from browser import Browser, browser
from stories.house import House

from bot.tales.story import Evening

DOCS = Path(__file__).parents[2] / "docs"


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
        _keeps(window, tmp_path, "thread.png")
        assert window.complaints() == []
        _reads_the_report(window, evening, tmp_path)
        assert window.complaints() == []


def _opens_thread(window: Browser, evening: Evening, run: int, user: str) -> None:
    """As somebody who follows a link to the thread."""
    window.opens("about:blank")
    window.opens(f"{evening.page}#as={user}&at={evening.channel}&thread={evening.thread(run).ts}")
    window.find("thread-messages")


def _reads_the_report(window: Browser, evening: Evening, folder: Path) -> None:
    """As an auditor who opens the file from the thread."""
    evening.types("U02ADMIN", "/promote report R-1")
    page = evening.soon(lambda: _reports(evening), "no report in the thread")[0]
    file = folder / "R-1.html"
    file.write_bytes(evening.desk.downloads(page["id"]))
    window.opens(file.as_uri())
    said = window.text("body > header")
    assert "webshop 2.4.1" in said
    assert "On prod: deployed, tested and watched (run 2)" in said
    _keeps(window, folder, "report.png")


def _reports(evening: Evening) -> list[dict[str, Any]]:
    files = [file for reply in evening.thread(2).replies for file in reply.files]
    return [file for file in files if file["name"].endswith(".html")]


def _keeps(window: Browser, folder: Path, name: str) -> None:
    """A picture for the README; a checkout that has one keeps it, so that a test run leaves no change behind."""
    taken = folder / name
    window.shoots(taken)
    assert taken.stat().st_size > 20_000
    if not (DOCS / name).exists():
        shutil.copy(taken, DOCS / name)
