"""Searching files for what no package may hold: whatever the patterns, nobody waits for ever."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deck_room import configured, packed

from bot.archives import searching as at_work
from bot.archives.searching import searching
from bot.config import load_config
from bot.packages import inspect
from plans.content import scan
from plans.errors import Refusal

CUSTOMER = re.compile("^Test Customer$", re.MULTILINE)
HOSTILE = re.compile("(a+)+$", re.MULTILINE)
KEY = b"-----BEGIN " + b"PRIVATE KEY-----\n"


def test_the_process_finds_what_is_found_without_it_file_by_file() -> None:
    files = {
        "a": [b"x\nTest Cus", b"tomer\n", KEY],
        "b": [],
        "c": [b"", b"y"],
        "d": [b"Test Customer"],
        "\xe4 \n": [KEY],
    }
    with searching((CUSTOMER,)) as search:
        found = {path: search(path, chunks) for path, chunks in files.items()}
    assert found == {path: scan(path, chunks, (CUSTOMER,)) for path, chunks in files.items()}
    assert [finding.place for finding in found["a"]] == ["a, line 2", "a, line 3"]


def test_a_pattern_without_an_end_is_given_up_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_work, "SECONDS", 0.3)
    begun = time.monotonic()
    with searching((CUSTOMER, HOSTILE)) as search:
        assert search("quick", [b"Test Customer"]) != ()
        with pytest.raises(Refusal) as caught:
            search("files/dump", (b"a" * 40 + b"b" for _ in range(100)))
    assert caught.value.code == "search_too_slow"
    assert caught.value.message == "The search of files/dump for (a+)+$ took more than 0.3 s."
    assert "Nothing was decided about the package." in caught.value.hint
    assert time.monotonic() - begun < 60


def test_a_large_file_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty megabytes take more than the time of a small file, and get it."""
    monkeypatch.setattr(at_work, "SECONDS", 0.1)

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"an order of somebody\n" * 50_000

    with searching((CUSTOMER,)) as search:
        assert search("files/dump", chunks()) == ()


def test_a_search_that_ends_by_itself_says_nothing_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with searching((CUSTOMER,)) as search, pytest.raises(Refusal) as caught:
        search("files/a", [b"x" * 1000] * 1000)
    assert caught.value.code == "search_ended"


def test_a_package_whose_search_is_given_up_is_neither_taken_nor_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_work, "SECONDS", 0.3)
    settings = configured(tmp_path)
    archive = packed(settings)
    assert inspect(archive, settings)[0] is not None
    present = 'forbidden_content: ["Test Customer"]'
    text = settings.path.read_text()
    assert present in text
    settings.path.write_text(text.replace(present, r"forbidden_content: ['(\w+)+=$']"))
    with pytest.raises(Refusal, match="search_too_slow"):
        inspect(archive, load_config(settings.path))
