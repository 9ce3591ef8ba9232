"""The board: kept from the ledger, quick to start from its read model, and the same when it has to be built anew."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from builders import Story, handed_off, plan, planned

from bot import board as board_module
from bot import read_model
from bot.board import Board
from bot.ledger import Damaged, Ledger, read
from plans import events as e
from plans.errors import Refusal
from plans.records import Due, EnvironmentState, Release, Run

NOW = datetime(2026, 11, 23, 21, 4, 5, 678000, tzinfo=UTC)


def opened(folder: Path) -> Board:
    return Board(Ledger.open(folder), lambda: NOW)


def lived() -> list[tuple[str, e.AnyEvent]]:
    """A rehearsal with a question, words that look like other things, and messages."""
    steps = plan(planned(1, "deploy", "web", "web/2"), planned(2, "test"))
    story = Story().begin().step(steps, {"web/2": "failed"}, reason="null").ask(steps).answer("retry", note="true")
    story.step(steps).step(steps).tell(e.MessagePosted(key="run/1", channel="C1", ts="1700000000.000100"))
    story.finish(steps)
    story.tell(e.EnvironmentLocked(environment="prod", reason="null"), by="U02ADMIN")
    story.tell(e.FreezeSet(until=None, reason="1.10"), e.ConfigLoaded(digest="c", changed=("a",), keys={"a": "1"}))
    story.tell(e.SnapshotTaken(run=1, host="web", snapshot="snapshot-1", environment="staging", name="n"))
    return [(entry.by, entry.event) for entry in story.entries]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    board = opened(tmp_path)
    for by, event in lived():
        board.record(by, event)
    board.close()
    return tmp_path


def from_the_ledger(folder: Path, elsewhere: Path) -> dict[Any, Any]:
    """The documents as they come from the ledger alone."""
    elsewhere.mkdir()
    shutil.copy(folder / "ledger.jsonl", elsewhere)
    board = opened(elsewhere)
    try:
        return board.documents
    finally:
        board.close()


def test_the_board_kept_is_the_board_read_is_the_board_rebuilt(tmp_path: Path) -> None:
    board = opened(tmp_path / "data")
    for by, event in lived():
        board.record(by, event)
    kept = dict(board.documents)
    board.close()
    again = opened(tmp_path / "data")
    assert again.documents == kept == from_the_ledger(tmp_path / "data", tmp_path / "other")
    assert [due.key for due in again.table(Due)] == [due.key for due in kept.values() if isinstance(due, Due)]


def spoiled(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        content = json.loads(model.read_text())
        change(content)
        model.write_text(json.dumps(content))

    return spoil


def behind(model: Path) -> None:
    """The read model as it was after the first two records."""
    folder = model.parent / "younger"
    folder.mkdir()
    lines = (model.parent / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_bytes(b"".join(lines[:2]))
    opened(folder).close()
    (folder / "board.json").replace(model)
    shutil.rmtree(folder)


SPOILED: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "empty": lambda model: model.write_bytes(b"") and None,
    "torn": lambda model: model.write_bytes(model.read_bytes()[:-20]) and None,
    "zeros": lambda model: model.write_bytes(b"\0" * 500) and None,
    "not UTF-8": lambda model: model.write_bytes(b'"\xff"') and None,
    "a list": lambda model: model.write_bytes(b"[]") and None,
    "nothing": lambda model: model.write_bytes(b"null") and None,
    "tables that are lists": lambda model: model.write_bytes(b'{"tail": [1], "runs": []}') and None,
    "nested without end": lambda model: model.write_bytes(b"[" * 100_000) and None,
    "no tail": spoiled(lambda content: content.pop("tail")),
    "a field less": spoiled(lambda content: content["releases"]["1"]["document"].pop("digest")),
    "another type": spoiled(lambda content: content["runs"]["1"]["document"].update(steps="none")),
    "another fold's": spoiled(lambda content: content["tail"]["1"].update(fold="older")),
    "one ahead": spoiled(lambda content: content["tail"]["1"]["tail"].update(seq=19, offset=10**6, hash="f" * 64)),
    "a tail inside a line": spoiled(lambda content: content["tail"]["1"]["tail"].update(offset=40, seq=1)),
    "another hash": spoiled(lambda content: content["tail"]["1"]["tail"].update(hash="f" * 64)),
    "behind": behind,
}


@pytest.mark.parametrize("damage", SPOILED)
def test_a_read_model_that_does_not_stand_for_the_ledger_is_no_matter(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, damage: str
) -> None:
    SPOILED[damage](folder / "board.json")
    board = opened(folder)
    assert board.documents == from_the_ledger(folder, tmp_path_factory.mktemp("other") / "data")
    board.record("U1", e.EnvironmentLocked(environment="qa", reason="goes on"))
    board.close()
    again = opened(folder)
    assert again.environment("qa").locked == "goes on"
    again.close()


@pytest.mark.parametrize("left", [b"", b"\0" * 8192, b"all but two"])
def test_a_ledger_shorter_than_its_read_model_knows_is_damaged_and_left_as_it_is(folder: Path, left: bytes) -> None:
    path = folder / "ledger.jsonl"
    if left == b"all but two":
        left = b"".join(path.read_bytes().splitlines(keepends=True)[:-2])
    path.write_bytes(left)
    missing = left.count(b"\n") + 1
    with pytest.raises(Refusal, match=f"ledger_damaged: ledger.jsonl, line {missing}: it is missing: there were 18 "):
        opened(folder)
    assert path.read_bytes() == left
    (folder / "board.json").unlink()
    opened(folder)


def test_a_read_model_that_knows_of_the_line_that_was_torn_is_no_matter(folder: Path) -> None:
    path = folder / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert opened(folder).ledger.tail.seq == 17


def test_a_read_model_of_another_ledger_of_the_same_size_is_no_matter(tmp_path: Path) -> None:
    for name in ("one", "two"):
        board = opened(tmp_path / name)
        board.record("U1", e.EnvironmentLocked(environment="staging", reason=name))
        board.close()
    shutil.copy(tmp_path / "one" / "board.json", tmp_path / "two" / "board.json")
    assert opened(tmp_path / "two").environment("staging").locked == "two"


def test_a_read_model_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "board.new").mkdir()
    board = opened(tmp_path)
    board.record("U1", handed_off())
    board.close()
    assert not (tmp_path / "board.json").exists()
    assert opened(tmp_path).release("R-1").version == "2.4.1"


def test_it_is_written_now_and_then_so_that_a_start_after_a_kill_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_module, "SAVE_EVERY", 5)
    board = opened(tmp_path)
    deadline = time.monotonic() + 60
    while saved_up_to(tmp_path) < 10 and time.monotonic() < deadline:
        board.record("U1", e.EnvironmentLocked(environment="staging", reason="again"))
    board.record("U1", e.EnvironmentLocked(environment="staging", reason="at last"))
    assert saved_up_to(tmp_path) >= 10
    again = opened(tmp_path)
    assert again.environment("staging").locked == "at last"
    assert again.ledger.tail == board.ledger.tail


def saved_up_to(folder: Path) -> int:
    model = folder / "board.json"
    return int(json.loads(model.read_text())["tail"]["1"]["tail"]["seq"]) if model.exists() else 0


def test_nobody_waits_for_it_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "SAVE_EVERY", 5)
    may, times = threading.Event(), []

    def slow(*args: Any, write: Callable[..., None] = read_model.write) -> None:
        assert may.wait(60)
        times.append(write(*args))

    monkeypatch.setattr(read_model, "write", slow)
    board = opened(tmp_path)
    for number in range(30):
        board.record("U1", e.EnvironmentLocked(environment="staging", reason=str(number)))
    assert (len(checked := list(read(board.ledger.path))), times) == (30, [])
    may.set()
    board.close()
    assert len(times) == 2, "one at a time, and the last one at the end"
    assert saved_up_to(tmp_path) == len(checked)


def test_damage_anywhere_in_the_ledger_is_found_though_its_read_model_is_there(folder: Path) -> None:
    ledger = folder / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"by":"', b'"by":"X', 1)
    ledger.write_bytes(b"".join(lines))
    with pytest.raises(Damaged, match="line 5: "):
        opened(folder)
    assert ledger.read_bytes() == b"".join(lines)


def test_nothing_is_recorded_after_the_end(tmp_path: Path) -> None:
    board = opened(tmp_path)
    board.close()
    board.close()
    with pytest.raises(Refusal) as refused:
        board.record("U1", handed_off())
    assert refused.value.code == "stopping"
    assert (tmp_path / "ledger.jsonl").read_bytes() == b""


def test_listeners_hear_each_record_in_order_when_it_is_on_disk_and_folded(tmp_path: Path) -> None:
    board = opened(tmp_path)
    heard: list[tuple[int, bool, bool]] = []

    def listen(entry: e.Entry) -> None:
        assert isinstance(entry.event, e.EnvironmentLocked)
        folded = board.environment(entry.event.environment).locked == entry.event.reason
        heard.append((entry.seq, entry.hash.encode() in board.ledger.path.read_bytes(), folded))

    board.listeners.append(listen)
    threads = [
        threading.Thread(target=board.record, args=("U1", e.EnvironmentLocked(environment=f"e{n}", reason="x")))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == [(seq, True, True) for seq in range(1, 21)]
    assert len(list(board.table(EnvironmentState))) == 20


@pytest.mark.parametrize(
    ("ask", "code"),
    [(lambda board: board.release("R-9"), "unknown_release"), (lambda board: board.run(9), "unknown_run")],
)
def test_what_is_not_there_is_a_refusal(tmp_path: Path, ask: Callable[[Board], object], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        ask(opened(tmp_path))
    assert refused.value.code == code
    assert refused.value.hint


def test_documents_are_found_by_kind_oldest_first(folder: Path) -> None:
    board = opened(folder)
    board.record("U01DEV", handed_off("R-2"))
    assert [release.id for release in board.table(Release)] == ["R-1", "R-2"]
    assert [run.number for run in board.table(Run)] == [1]
    assert board.environment("nowhere") == EnvironmentState(name="nowhere")


def test_a_read_model_with_a_flipped_byte_is_never_taken_for_what_the_ledger_says(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = folder / "board.json"
    whole, said = model.read_bytes(), from_the_ledger(folder, tmp_path_factory.mktemp("other") / "data")
    for at in range(0, len(whole), 7):
        model.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        board = opened(folder)
        assert board.documents == said, whole[max(0, at - 30) : at + 10]
        board.ledger.close()
