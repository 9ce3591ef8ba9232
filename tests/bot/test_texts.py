"""The texts of facts: kept once under their digests, masked, on disk, and missed without a fault."""

import hashlib
from pathlib import Path

import pytest

from bot.masking import Masker
from bot.texts import Texts
from plans.actions import Recalled

DIGEST = hashlib.sha256(b"a\nb").hexdigest()


def test_what_was_kept_is_recalled_by_a_later_process(tmp_path: Path) -> None:
    Texts(tmp_path, Masker(())).keep(DIGEST, "a\nb")
    assert Texts(tmp_path, Masker(())).recall(DIGEST) == Recalled(DIGEST, "a\nb")


def test_what_was_tidied_away_is_none(tmp_path: Path) -> None:
    assert Texts(tmp_path, Masker(())).recall(DIGEST) == Recalled(DIGEST, None)


def test_no_secret_is_kept(tmp_path: Path) -> None:
    texts = Texts(tmp_path, Masker(("s3cret-pass",)))
    texts.keep(DIGEST, "password=s3cret-pass\n")
    assert "s3cret-pass" not in (texts.recall(DIGEST).text or "")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret-pass" in path.read_bytes()]


def test_a_text_that_is_kept_already_is_left_as_it_is_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    texts = Texts(tmp_path, Masker(()))
    texts.keep(DIGEST, "a\nb")
    texts.keep(DIGEST, "something else")
    assert texts.recall(DIGEST).text == "a\nb"
    assert [path.name for path in (tmp_path / "logs" / "facts").iterdir()] == [DIGEST]


@pytest.mark.parametrize("name", ["", "../../ledger.jsonl", "a" * 63, DIGEST.upper()])
def test_nothing_but_a_digest_names_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no digest"):
        Texts(tmp_path, Masker(())).keep(name, "x")
