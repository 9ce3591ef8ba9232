"""What comes from outside, at everything that reads it: a value, findings or a Refusal, in bounded time."""

import io
import json
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mutants import bent, examples, mangled, odd_text

from bot.benches.history import write_history
from bot.board import Board
from bot.config import Configuration, load_config
from bot.ctl import Asking
from bot.ledger import Ledger
from bot.packages import inspect
from handlers import COMMANDS
from handlers.arguments import CHOICES, Surroundings
from handlers.ctl import read
from handlers.deck import forms
from handlers.words import parse
from plans.documents import load
from plans.errors import Refusal
from plans.package import Manifest
from plans.testplan import TestPlan

SAMPLES = Path(__file__).parents[1] / "examples"
AROUND = Surroundings(datetime(2026, 11, 23, 21, tzinfo=UTC), ZoneInfo("Europe/Berlin"), ("staging", "prod", "qa"))
LONGEST = 10.0
"""Seconds that nothing may take, on however slow a machine."""


@contextmanager
def refused_or_read() -> Iterator[None]:
    """Nothing but a Refusal with its words leaves this, and not after long."""
    began = time.monotonic()
    try:
        yield
    except Refusal as refusal:
        words = (refusal.code, refusal.message)
    else:
        words = ("read", "as it is")
    assert all(words)
    assert time.monotonic() - began < LONGEST


# --- what is typed ----------------------------------------------------------------------------------------------------

WORD = (
    st.sampled_from(sorted({verb for verbs in COMMANDS.values() for verb in verbs} | set(CHOICES)))
    | st.sampled_from(
        ["R-1", "r2", "R-999999999", "R-0", "#3", "3/1", "now", "at", "until", "22:00", "02:30", "25:61", "2026-12-24",
         "9999-12-31", "0000-00-00", "2026-03-29", "staging", "prod", "“prod”", "sha256:" + "a" * 64, "/srv/x.zip",
         "https://a/b.tgz", "<https://a|b>", "<@U1|x>", "<#C1>", "&lt;", "‘", "\"", "done", "with", "help", "—"]
    )
    | odd_text()
)  # fmt: skip
LINE = st.lists(WORD, max_size=7).map(" ".join)


@settings(max_examples=examples(400), deadline=None)
@given(LINE)
@example("R-1 at 9999-12-31 23:59")
@example("freeze until 0001-01-01 00:00 x")
def test_a_typed_line_is_a_request_or_a_refusal(line: str) -> None:
    for command, verbs in COMMANDS.items():
        with refused_or_read():
            assert parse(command, forms(verbs), line, AROUND).verb in verbs
    with refused_or_read():
        read(line, AROUND)


@settings(max_examples=examples(100), deadline=None)
@given(mangled(LINE.map(lambda line: json.dumps({"line": line}).encode())))
def test_what_comes_over_the_socket_is_a_line_or_no_request(data: bytes) -> None:
    try:
        line = msgspec.json.decode(data, type=Asking).line
    except ValueError:
        return
    with refused_or_read():
        read(line, AROUND)


# --- what people write ------------------------------------------------------------------------------------------------

DOCUMENTS: dict[str, type[Any]] = {
    "handoff.yaml": Manifest,
    "webshop.tests.yaml": TestPlan,
    "quarterdeck.yaml": Configuration,
}
TEXTS = {name: (SAMPLES / name).read_bytes() for name in DOCUMENTS}
BOMBS = [
    b"a: &a [x]\nb: *a",
    b"[" * 5000,
    b"{a: " * 3000,
    b"- " * 5000,
    b"a:\n" + b"".join(b" " * n + b"a:\n" for n in range(1, 900)),
    b"? " * 2000,
    b"!!python/object/apply:os.system [x]",
    b"a: \xff",
    b"%YAML 9.9\n---\na: b",
    b"a: b\n---\nc: d",
    b"key: " + b"x" * 500_000,
]


@pytest.mark.parametrize("bomb", range(len(BOMBS)))
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_means_harm_is_refused(name: str, bomb: int) -> None:
    began = time.monotonic()
    with pytest.raises(Refusal):
        load(BOMBS[bomb], DOCUMENTS[name], name)
    assert time.monotonic() - began < LONGEST


@settings(max_examples=examples(120), deadline=None)
@given(st.sampled_from(sorted(DOCUMENTS)).flatmap(lambda name: st.tuples(st.just(name), mangled(st.just(TEXTS[name])))))
def test_a_document_is_typed_or_refused(case: tuple[str, bytes]) -> None:
    name, data = case
    with refused_or_read():
        assert isinstance(load(data, DOCUMENTS[name], name, variables=lambda variable: "x"), DOCUMENTS[name])


def plainly(name: str) -> Any:
    import yaml

    return yaml.safe_load(TEXTS[name])


@settings(max_examples=examples(120), deadline=None)
@given(st.sampled_from(sorted(DOCUMENTS)).flatmap(lambda name: st.tuples(st.just(name), bent(st.just(plainly(name))))))
def test_a_document_with_other_things_in_it_is_typed_or_refused(case: tuple[str, Any]) -> None:
    name, value = case
    with refused_or_read():
        load(json.dumps(value).encode(), DOCUMENTS[name], name, variables=lambda variable: "x")


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bent(st.just(plainly("quarterdeck.yaml"))))
def test_a_configuration_is_loaded_or_refused(tmp_path: Path, value: Any) -> None:
    (tmp_path / "quarterdeck.yaml").write_text(json.dumps(value))
    (tmp_path / "webshop.tests.yaml").write_bytes(TEXTS["webshop.tests.yaml"])
    names = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "VC_PASSWORD", "STAGING_DB_PASSWORD")
    with refused_or_read():
        load_config(tmp_path / "quarterdeck.yaml", environ=dict.fromkeys(names, "secret"))


# --- what is handed off -----------------------------------------------------------------------------------------------

FILES = {
    "handoff.yaml": b"""\
app: webshop
version: 2.4.1
summary: Order history
changes:
  - {id: SHOP-1, kind: code, summary: The page, paths: [files/, scripts/]}
deploy:
  - {name: Install, on: web, copy: {from: files/, to: /srv/}}
  - {name: Migrate, on: web, script: scripts/go.sh}
rollback:
  - {name: Undo, on: web, run: ./undo}
""",
    "DEPLOY.md": b"Install, Migrate, Undo",
    "files/a/b.txt": b"hello\n" * 1000,
    "scripts/go.sh": b"#!/bin/sh\necho go\n",
}


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(mode="w:gz", fileobj=out) as tar:
        for name, data in files.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            tar.addfile(head, io.BytesIO(data))
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return out.getvalue()


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mangled(st.sampled_from([zipped(FILES), tarred(FILES)])))
def test_an_archive_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "package").write_bytes(data)
    with refused_or_read():
        package, findings = inspect(tmp_path / "package")
        assert package is not None or findings


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mangled(st.just(FILES["handoff.yaml"])), mangled(st.just(FILES["DEPLOY.md"])), odd_text())
def test_a_package_of_anything_is_judged(tmp_path: Path, manifest: bytes, document: bytes, name: str) -> None:
    files = FILES | {"handoff.yaml": manifest, "DEPLOY.md": document}
    files[f"files/{name.encode(errors='replace').decode()[:200]}"] = b"x"
    (tmp_path / "package").write_bytes(tarred(files))
    with refused_or_read():
        package, findings = inspect(tmp_path / "package")
        assert package is not None or findings


# --- what is on the disk ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("history") / "ledger.jsonl"
    write_history(path, 30)
    return path.read_bytes()


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_ledger_is_read_as_it_was_written_or_not_at_all(tmp_path: Path, history: bytes, data: st.DataObject) -> None:
    (tmp_path / "board.json").unlink(missing_ok=True)
    damaged = data.draw(mangled(st.just(history)))
    (tmp_path / "ledger.jsonl").write_bytes(damaged)
    with refused_or_read():
        board = Board(Ledger.open(tmp_path))
        kept = (tmp_path / "ledger.jsonl").read_bytes()
        board.close()
        assert history.startswith(kept), "what is read is what was written, but for a torn end"
        return
    assert (tmp_path / "ledger.jsonl").read_bytes() == damaged
