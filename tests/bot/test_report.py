"""The evidence of a release as a file: what an auditor finds in it, and that nothing from outside becomes markup."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot import __main__ as command
from bot.board import Board
from bot.ledger import Ledger
from bot.reading import entries
from bot.report import report
from plans import events as e
from plans.errors import Refusal
from plans.evidence import evidence
from plans.gates import Gate

DIGEST = "ab" * 32
EVIL = "<script>alert(1)</script>"


class Text(HTMLParser):
    """What a reader sees, and the elements that show it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def board(tmp_path: Path) -> Board:
    hours = iter(range(24))
    return Board(Ledger.open(tmp_path), lambda: datetime(2026, 11, 23, next(hours), tzinfo=UTC))


@pytest.fixture
def told(board: Board, tmp_path: Path) -> Callable[[], Text]:
    def read() -> Text:
        page = report(
            evidence(entries(tmp_path), "R-1"), made=datetime(2026, 11, 24, tzinfo=UTC), timezone=ZoneInfo("UTC")
        )
        return Text(page)

    return read


def hand_off(board: Board, summary: str = "Order history") -> None:
    board.record(
        "U01DEV",
        e.PackageHandedOff(
            release="R-1", app="webshop", version="2.4.1", digest=DIGEST, bytes=3000, source="drop", summary=summary
        ),
    )


def rehearse(board: Board, verdict: str = "passed", reason: str = "") -> None:
    board.record("U02ADMIN", e.RunStarted(run=1, kind="rehearsal", release="R-1", environment="staging", plans="p"))
    for attempt, outcome in ((1, "failed"), (2, "ok")):
        board.record(
            "quarterdeck",
            e.StepStarted(run=1, phase="deploy", step=1, name="Migrate", host="db", attempt=attempt, written=True),
        )
        board.record(
            "quarterdeck",
            e.StepFinished(
                run=1,
                step=1,
                host="db",
                attempt=attempt,
                outcome=outcome,
                exit=7,
                seconds=61,
                log="l",
                reason="no disk",
            ),
        )
    board.record("quarterdeck", e.IsolationJudged(run=1, verdict="proved", evidence=("web: no way out",)))
    board.record("quarterdeck", e.RunFinished(run=1, verdict=verdict, clean=True, reason=reason))


def test_who_handed_what_off_is_told_with_its_digest(board: Board, told: Callable[[], Text]) -> None:
    hand_off(board)
    seen = told().text
    assert "webshop 2.4.1 R-1" in seen
    assert f"sha256:{DIGEST}" in seen
    assert "By U01DEV, 2026-11-23 00:00:00" in seen
    assert "Handed off; no rehearsal has passed or failed yet" in seen


def test_every_attempt_of_every_step_is_there_with_its_outcome(board: Board, told: Callable[[], Text]) -> None:
    hand_off(board)
    rehearse(board)
    seen = told().text
    assert re.search(r"1\. Migrate no disk db 02:00:00 1 min 1 s failed \(exit 7\)", seen)
    assert re.search(r"1\. Migrate attempt 2 no disk db 04:00:00 1 min 1 s ok", seen)
    assert "Passed its latest rehearsal (run 1)" in seen
    assert "proved web: no way out" in seen


def test_the_ledger_s_own_hashes_are_named(board: Board, told: Callable[[], Text]) -> None:
    hand_off(board)
    rehearse(board)
    last = board.ledger.tail
    board.record("U02ADMIN", e.EnvironmentLocked(environment="prod", reason="audit"))
    seen = told().text
    assert f"records 2 to {last.seq}; the last one's hash {last.hash}" in seen
    assert f"up to record {last.seq + 1}, whose hash is {board.ledger.tail.hash}" in seen


def test_a_run_of_another_release_is_not_evidence_of_this_one(board: Board, told: Callable[[], Text]) -> None:
    hand_off(board)
    board.record("U02ADMIN", e.RunStarted(run=1, kind="check", release=None, environment="staging", plans="p"))
    assert "Run 1" not in told().text


def test_a_refusal_and_who_asked_are_there(board: Board, told: Callable[[], Text]) -> None:
    hand_off(board)
    board.record("U02ADMIN", e.PromotionRefused(release="R-1", gates=("not_rehearsed", "frozen")))
    assert "U02ADMIN promotion.refused release: R-1 gates: not_rehearsed, frozen" in told().text


@pytest.mark.parametrize(
    ("forced", "said"),
    [
        ((), "Gates all open when it began"),
        (("frozen",), "Gates past frozen, in an emergency ; all others open when it began"),
    ],
)
def test_a_promotion_tells_with_which_gates_it_began(
    board: Board, told: Callable[[], Text], forced: tuple[str, ...], said: str
) -> None:
    hand_off(board)
    started = {"kind": "promotion", "release": "R-1", "environment": "prod", "plans": "p"}
    board.record("U02ADMIN", e.RunStarted(run=1, forced=forced, **started))
    assert said in told().text


def test_gates_are_shown_as_they_were_judged(board: Board, tmp_path: Path) -> None:
    hand_off(board)
    gates = (Gate("frozen", True, "frozen by <@U02ADMIN>", "Wait"), Gate("busy", False, "nothing runs"))
    page = report(
        evidence(entries(tmp_path), "R-1"),
        made=datetime(2026, 11, 24, tzinfo=UTC),
        timezone=ZoneInfo("Europe/Berlin"),
        gates=gates,
        names={"U02ADMIN": "Ada"},
    )
    seen = Text(page).text
    assert "frozen shut frozen by Ada (U02ADMIN) Wait" in seen
    assert "busy open nothing runs" in seen
    assert "Times are Europe/Berlin" in seen


def test_nothing_from_outside_becomes_markup_and_nothing_is_fetched(board: Board, told: Callable[[], Text]) -> None:
    hand_off(board, EVIL)
    rehearse(board, "failed", EVIL)
    seen = told()
    assert seen.text.count(EVIL) == 2
    assert "script" not in seen.tags
    assert seen.links == []


def test_a_release_that_nobody_knows_is_refused(board: Board, tmp_path: Path) -> None:
    hand_off(board)
    with pytest.raises(Refusal, match="no release R-9"):
        evidence(entries(tmp_path), "R-9")


def test_the_command_writes_the_file_from_a_running_bot_s_ledger(
    board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hand_off(board)
    rehearse(board)
    out = tmp_path / "R-1.html"
    assert command.run(["report", "R-1", "--data", str(tmp_path), "-o", str(out)]) == 0
    assert capfd.readouterr().out == f"{out}\n"
    assert "Passed its latest rehearsal (run 1)" in Text(out.read_text()).text


def test_a_file_that_cannot_be_written_is_said(board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hand_off(board)
    assert command.run(["report", "R-1", "--data", str(tmp_path), "-o", str(tmp_path / "none" / "x.html")]) == 1
    assert "unwritable" in capfd.readouterr().err
