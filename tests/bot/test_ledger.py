"""The ledger's file: what is on disk, what damage does to it, and who may write to it."""

import hashlib
import json
import multiprocessing
import os
import resource
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from builders import handed_off
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.board import Board
from bot.ledger import GENESIS, SECTOR, Damaged, Held, Ledger, Tail, chained, digest, entry, hold, read, stamp
from plans import events as e

NOW = datetime(2026, 11, 23, 21, 4, 5, 678912, tzinfo=UTC)


def opened(folder: Path) -> Ledger:
    ledger = Ledger.open(folder)
    assert list(ledger.entries(Tail())) is not None
    return ledger


def lock(reason: str) -> e.EnvironmentLocked:
    return e.EnvironmentLocked(environment="staging", reason=reason)


@pytest.mark.parametrize("seconds", [0.0, -0.0, 1e16, 1.5e300, 1e-7, 0.1 + 0.2, 123456789.125])
def test_a_number_is_read_as_anybody_would_write_it(tmp_path: Path, seconds: float) -> None:
    ledger = opened(tmp_path)
    ended = e.StepFinished(run=1, step=1, host=None, attempt=1, outcome="ok", exit=0, seconds=seconds, log="")
    ledger.append("quarterdeck", ended, NOW)
    assert checked_by_anybody(ledger.path) == 1
    assert [entry(record).event for record, _ in read(ledger.path)] == [ended]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A ledger of three records."""
    ledger = opened(tmp_path)
    ledger.append("quarterdeck", e.ConfigLoaded(digest="c", changed=()), NOW)
    ledger.append("U01DEV", handed_off(), NOW)
    ledger.append("U02ADMIN", lock('Über „Weihnachten“ \N{PARTY POPPER} \x1b \\ "'), NOW)
    ledger.close()
    return ledger.path


def checked_by_anybody(path: Path) -> int:
    """The ten lines that CONTRACT.md says anybody can write for themselves: the number of records."""
    prev, seq = "0" * 64, 0
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        record = json.loads(line)
        claimed = record.pop("hash")
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode("utf-8")).hexdigest() == claimed
        assert (record["prev"], record["seq"]) == (prev, seq + 1)
        prev, seq = claimed, seq + 1
    return seq


class TestWritten:
    def test_anybody_can_verify_it(self, written: Path) -> None:
        assert checked_by_anybody(written) == 3

    def test_a_line_has_what_the_contract_says(self, written: Path) -> None:
        record = json.loads(written.read_bytes().split(b"\n")[1])
        assert set(record) == {"seq", "at", "type", "by", "data", "prev", "hash"}
        assert (record["seq"], record["type"], record["by"]) == (2, "package.handed_off", "U01DEV")
        assert record["at"] == "2026-11-23T21:04:05.678Z"
        assert {"release", "app", "version", "digest", "bytes", "source"} <= set(record["data"])

    def test_the_file_is_its_owners_alone(self, written: Path) -> None:
        assert written.stat().st_mode & 0o077 == 0

    def test_what_is_told_is_what_is_read(self, tmp_path: Path) -> None:
        ledger = opened(tmp_path)
        told = [ledger.append("U1", event, NOW) for event in (handed_off(), lock("a"), e.FreezeLifted())]
        assert list(ledger.entries(Tail())) == told

    def test_half_a_character_does_no_harm(self, tmp_path: Path) -> None:
        ledger = opened(tmp_path)
        told = ledger.append("U1", lock("half \ud83d of it"), NOW)
        assert told.event == lock("half ? of it")
        assert list(ledger.entries(Tail())) == [told]

    def test_a_number_that_json_has_not_is_refused_before_it_is_written(self, tmp_path: Path) -> None:
        ledger = opened(tmp_path)
        broken = e.StepFinished(run=1, step=1, host=None, attempt=1, outcome="ok", exit=0, seconds=float("nan"), log="")
        with pytest.raises(ValueError, match="JSON"):
            ledger.append("U1", broken, NOW)
        assert ledger.path.read_bytes() == b""

    def test_it_is_not_written_to_before_it_was_read(self, written: Path) -> None:
        before = written.read_bytes()
        with pytest.raises(RuntimeError):
            Ledger.open(written.parent).append("U1", lock("x"), NOW)
        assert written.read_bytes() == before

    def test_its_name_is_from_its_first_line(self, written: Path) -> None:
        first = json.loads(written.read_bytes().split(b"\n")[0])
        assert opened(written.parent).name == first["hash"][:12]

    @given(st.text(), st.text(st.characters(exclude_categories=["Cs"])))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
    def test_any_text_comes_back(self, tmp_path: Path, by: str, reason: str) -> None:
        ledger = opened(tmp_path / str(len(list(tmp_path.iterdir()))))
        name = by.encode(errors="replace").decode()
        told = ledger.append(name, lock(reason), NOW)
        assert told.event == lock(reason)
        assert list(ledger.entries(Tail())) == [told]
        assert checked_by_anybody(ledger.path) == 1
        ledger.close()


class TestTorn:
    def test_a_torn_last_line_is_cut_at_whatever_byte_and_the_rest_is_kept(self, written: Path) -> None:
        whole = written.read_bytes()
        lines = whole.splitlines(keepends=True)
        for end in range(len(whole) + 1):
            written.write_bytes(whole[:end])
            kept = [line for number, line in enumerate(lines, 1) if len(b"".join(lines[:number])) <= end]
            ledger = opened(written.parent)
            assert written.read_bytes() == b"".join(kept)
            assert ledger.cut == end - len(b"".join(kept))
            ledger.append("U1", lock("goes on"), NOW)
            ledger.close()
            assert checked_by_anybody(written) == len(kept) + 1

    def test_a_long_torn_line_is_cut(self, written: Path) -> None:
        whole = written.read_bytes()
        written.write_bytes(whole + b"\0" * 200_000)
        assert opened(written.parent).cut == 200_000
        assert written.read_bytes() == whole

    @pytest.mark.parametrize("lost", [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}])
    def test_a_line_of_which_sectors_were_lost_is_cut(self, tmp_path: Path, lost: set[int]) -> None:
        ledger = opened(tmp_path)
        ledger.append("U1", lock("kept"), NOW)
        before = ledger.path.read_bytes()
        shortest = len(chained(ledger.tail, "U1", lock(""), NOW)[1])
        ledger.append("U1", lock("x" * (3 * SECTOR - len(before) - shortest)), NOW)
        torn = bytearray(ledger.path.read_bytes())
        assert len(torn) == 3 * SECTOR
        for sector in lost:
            start = max(sector * SECTOR, len(before))
            torn[start : (sector + 1) * SECTOR] = bytes((sector + 1) * SECTOR - start)
        ledger.path.write_bytes(torn)
        assert len(list(read(ledger.path))) == 1
        assert opened(tmp_path).cut == len(torn) - len(before)
        assert ledger.path.read_bytes() == before

    def test_a_reader_leaves_it_alone(self, written: Path) -> None:
        torn = written.read_bytes() + b'{"seq":4'
        written.write_bytes(torn)
        assert [record["seq"] for record, _ in read(written)] == [1, 2, 3]
        assert written.read_bytes() == torn


def rehashed(line: bytes, **changes: Any) -> bytes:
    record = json.loads(line) | changes
    record["hash"] = digest(record)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


DAMAGE = {
    "a byte changed": (lambda lines: [lines[0], lines[1].replace(b"webshop", b"webshoq"), lines[2]], 2),
    "a line lost": (lambda lines: [lines[0], lines[2]], 2),
    "the first line lost": (lambda lines: lines[1:], 1),
    "a line twice": (lambda lines: [lines[0], lines[1], lines[1], lines[2]], 3),
    "lines swapped": (lambda lines: [lines[1], lines[0], lines[2]], 1),
    "a line of nothing": (lambda lines: [lines[0], b"\n", lines[1], lines[2]], 2),
    "not JSON": (lambda lines: [lines[0], b"{]\n", lines[2]], 2),
    "not UTF-8": (lambda lines: [lines[0], b'{"\xff": 1}\n', lines[2]], 2),
    "not a record": (lambda lines: [lines[0], b"[1]\n", lines[2]], 2),
    "a key more": (lambda lines: [lines[0], lines[1].replace(b'{"seq"', b'{"more":1,"seq"'), lines[2]], 2),
    "a line rewritten, hash and all": (lambda lines: [lines[0], rehashed(lines[1], by="U9"), lines[2]], 3),
    "a key twice": (lambda lines: [lines[0], lines[1].replace(b'"by":', b'"by":"U9","by":'), lines[2]], 2),
    "a space more": (lambda lines: [lines[0], lines[1].replace(b'"by":', b'"by": '), lines[2]], 2),
    "half a line in the middle": (lambda lines: [lines[0], lines[1][:40] + b"\n", lines[2]], 2),
    "ended as on Windows": (lambda lines: [line[:-1] + b"\r\n" for line in lines], 1),
    "its last end flipped": (lambda lines: [*lines[:2], lines[2][:-1] + b"\x0b"], 3),
    "a zero in the last line": (lambda lines: [*lines[:2], lines[2].replace(b"W", b"\0")], 3),
    "zeros in the middle": (lambda lines: [lines[0], b"\0" * 40 + b"\n", lines[2]], 2),
    "of no known type": (lambda lines: [lines[0], lines[1], rehashed(lines[2], type="moon.landed")], 3),
    "data that is none": (lambda lines: [lines[0], lines[1], rehashed(lines[2], data=[])], 3),
    "data that lacks": (lambda lines: [lines[0], lines[1], rehashed(lines[2], data={"environment": "x"})], 3),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("torn", [b"", b'{"seq":4,'])
def test_any_other_damage_names_its_line_and_nothing_is_changed(written: Path, damage: str, torn: bytes) -> None:
    change, line = DAMAGE[damage]
    damaged = b"".join(change(written.read_bytes().splitlines(keepends=True))) + torn
    written.write_bytes(damaged)
    with pytest.raises(Damaged, match=rf"ledger_damaged: ledger\.jsonl, line {line}: ") as found:
        Board(Ledger.open(written.parent))
    assert found.value.line == line
    assert "Nothing was changed" in found.value.hint
    assert written.read_bytes() == damaged


def test_what_a_later_version_added_to_a_record_is_tolerated(written: Path) -> None:
    lines = written.read_bytes().splitlines(keepends=True)
    data = json.loads(lines[2])["data"] | {"severity": "high", "type": "none of ours"}
    written.write_bytes(b"".join([*lines[:2], rehashed(lines[2], data=data)]))
    *_, last = opened(written.parent).entries(Tail())
    assert isinstance(last.event, e.EnvironmentLocked)
    assert last.event.environment == "staging"


def test_data_is_named_by_the_type_it_lacks_something_of() -> None:
    record = {"seq": 5, "at": "", "type": "freeze.set", "by": "U1", "data": {}, "prev": "", "hash": ""}
    with pytest.raises(Damaged, match=r"line 5: freeze\.set: .*until"):
        entry(record)


class TestTail:
    def test_only_what_is_behind_it_is_read(self, written: Path) -> None:
        ledger = Ledger.open(written.parent)
        (_, offset), *_ = read(written)
        first = json.loads(written.read_bytes().split(b"\n")[0])
        assert [found.seq for found in ledger.entries(Tail(1, first["hash"], offset))] == [2, 3]
        assert ledger.tail.seq == 3

    def test_a_tail_of_another_ledger_is_refused_wherever_it_points(self, written: Path) -> None:
        size = written.stat().st_size
        records = [record for record, _ in read(written)]
        offsets = [offset for _, offset in read(written)]
        before = written.read_bytes()
        strange = [Tail(3, "f" * 64, offset) for offset in (0, 1, size - 1, size, size + 1, *offsets)]
        strange += [Tail(2, records[2]["hash"], size), Tail(3, records[2]["hash"], offsets[1])]
        strange += [Tail(3, records[2]["hash"], size - 1), Tail(3, records[2]["hash"], size + 1)]
        for tail in strange:
            with pytest.raises(Damaged):
                list(Ledger.open(written.parent).entries(tail))
        assert written.read_bytes() == before

    def test_it_is_found_behind_a_long_line(self, tmp_path: Path) -> None:
        ledger = opened(tmp_path)
        ledger.append("U1", lock("x" * 200_000), NOW)
        assert list(ledger.entries(ledger.tail)) == []


FULL_DISK = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from bot.board import Board
from bot.ledger import Ledger
from plans.events import EnvironmentLocked
board = Board(Ledger.open(Path(sys.argv[1])))
for reason in ("one", "two"):
    board.record("U1", EnvironmentLocked(environment="staging", reason=reason))
before, path = dict(board.documents), board.ledger.path
bytes_before = path.read_bytes()
for room in (0, 1, 10, 200):
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(bytes_before) + room, resource.RLIM_INFINITY))
    try:
        board.record("U1", EnvironmentLocked(environment="staging", reason="x" * 500))
        sys.exit("it was written")
    except OSError:
        pass
    assert path.read_bytes() == bytes_before, room
    assert board.documents == before
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
board.record("U1", EnvironmentLocked(environment="staging", reason="three"))
board.close()
"""


def test_a_full_disk_leaves_the_ledger_and_the_board_as_they_were(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert checked_by_anybody(tmp_path / "ledger.jsonl") == 3


def test_what_a_failed_cut_left_behind_goes_with_the_next_record(written: Path) -> None:
    ledger = opened(written.parent)
    with written.open("ab") as file:
        file.write(b'{"seq":4,"at"')
    ledger.append("U1", lock("goes on"), NOW)
    assert checked_by_anybody(written) == 4


def _hold(folder: Path, held: Any, enough: Any) -> None:
    hold(folder)
    held.set()
    enough.wait(60)


def test_a_data_directory_has_one_bot_and_says_which(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, enough = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, enough))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(Held) as refused:
            hold(tmp_path)
        assert refused.value.code == "data_dir_held"
        who = f"{tmp_path} is held by another Quarterdeck, process {other.pid} on {socket.gethostname()} since 20"
        assert refused.value.message.startswith(who)
    finally:
        enough.set()
        other.join()
    os.close(hold(tmp_path))


def test_a_bot_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", "import os, sys; from pathlib import Path; from bot.ledger import hold\n"
         "hold(Path(sys.argv[1])); os.kill(os.getpid(), 9)", tmp_path],
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert killed.returncode == -9
    os.close(hold(tmp_path))
    assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} on ")


def test_times_are_utc_with_milliseconds() -> None:
    assert stamp(NOW) == "2026-11-23T21:04:05.678Z"
    assert datetime.fromisoformat(stamp(NOW)).utcoffset() is not None
    assert GENESIS == "0" * 64
