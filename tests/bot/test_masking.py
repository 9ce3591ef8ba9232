"""Secrets leave no trace in text, in any form that they turn up in, wherever the writes break off."""

import base64
import html
import io
import json
import re
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.masking import MASK, Masker

SECRET = 'p/a+s\'s "wörd"=&1'
ENCODERS = {
    "as it is": str,
    "JSON": lambda secret: json.dumps({"password": secret}),
    "JSON, unescaped": lambda secret: json.dumps({"password": secret}, ensure_ascii=False),
    "URL": lambda secret: quote(secret),
    "URL, all of it": lambda secret: quote(secret, safe=""),
    "URL, lower case": lambda secret: re.sub("%..", lambda code: code[0].lower(), quote(secret, safe="")),
    "form": lambda secret: quote_plus(secret),
    "shell": lambda secret: shlex.join(["echo", secret]),
    "shell, by hand": lambda secret: "'" + secret.replace("'", "'\\''") + "'",
    "HTML": lambda secret: html.escape(secret),
    "Slack": lambda secret: html.escape(secret, quote=False),
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("secret", [SECRET, "xoxb-1234-abcd", "it's", "ABCD1234"])
def test_a_secret_is_masked_in_each_form(secret: str, encode: object) -> None:
    assert callable(encode)
    told = f"before {encode(secret)} after"
    masked = Masker([secret]).text(told)
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert all(form not in masked for form in (secret, encode(secret), quote(secret, safe=""), "1234"))


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user::"])
@pytest.mark.parametrize("after", ["", "\n", "\n\n", "more"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_masked_in_base64_wherever_it_begins(before: str, after: str, encode: object) -> None:
    assert callable(encode)
    secret = "hunter2?>~secret"
    masked = Masker([secret]).text(encode((before + secret + after).encode()).decode())
    assert MASK in masked
    assert len(masked.replace(MASK, "")) <= len(encode((before + after).encode())) + 8


def test_a_key_is_masked_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQ\nab\n-----END KEY-----"
    shown = "> " + key.replace("\n", "\r\n> ")
    assert Masker([key]).text(shown) == f"> {MASK}\r\n> {MASK}\r\n> {MASK}\r\n> ab\r\n> {MASK}"


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Masker(["secret", "secret-and-more"]).text("secret-and-more secret") == f"{MASK} {MASK}"


@pytest.mark.parametrize("secrets", [[], [""], ["abc"], ["\n"]])
def test_what_is_too_short_to_be_a_secret_is_left_alone(secrets: list[str]) -> None:
    masker = Masker(secrets)
    assert masker.text("abc\n abc") == "abc\n abc"
    assert written(masker, [b"ab", b"c abc"]) == b"abc abc"


def test_bytes_that_are_no_text_pass_as_they_are() -> None:
    masker = Masker(["secret"])
    assert masker.data(b"\xff\x00secret\xfe") == b"\xff\x00" + MASK.encode() + b"\xfe"
    assert masker.text("\udcffsecret") == "\udcff" + MASK


def written(masker: Masker, pieces: list[bytes]) -> bytes:
    file = io.BytesIO()
    log = masker.writer(file)
    for piece in pieces:
        assert log.write(piece) == len(piece)
    log.close()
    return file.getvalue()


def test_a_secret_across_two_writes_is_masked_and_all_else_comes_at_once() -> None:
    file = io.BytesIO()
    log = Masker(["hunter2"]).writer(file)
    log.write(b"the password is hun")
    log.flush()
    assert file.getvalue() == b"the password is "
    log.write(b"ter2, or hunger\n")
    assert file.getvalue() == b"the password is " + MASK.encode() + b", or hunger\n"
    log.write(b"hunt")
    log.close()
    assert file.getvalue().endswith(b"hunger\nhunt")


def test_a_long_log_is_kept_in_no_memory() -> None:
    masker = Masker(["hunter2"])
    log = masker.writer(io.BytesIO())
    for _ in range(1000):
        log.write(b"hunter" * 100)
        assert len(log._kept) < masker.longest


PIECES = st.lists(st.text(alphabet="abcs=", max_size=6).map(str.encode), max_size=30)


@given(PIECES)
def test_how_the_writes_are_cut_makes_no_difference(pieces: list[bytes]) -> None:
    masker = Masker(["abab", "ababcab", "scsc=", "aaaa"])
    assert written(masker, pieces) == masker.data(b"".join(pieces))


@given(st.text(min_size=8, max_size=40), st.binary(max_size=8), st.binary(max_size=8))
def test_any_secret_is_masked_wherever_it_stands(secret: str, before: bytes, after: bytes) -> None:
    assert secret.encode() not in Masker([secret]).data(before + secret.encode() + after).replace(MASK.encode(), b"")
