"""Decides how a secret looks in text that anybody else may read: not at all, in none of the forms it turns up in."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import BinaryIO
from urllib.parse import quote, quote_plus

SHORTEST = 4
"""Secrets of fewer characters are not masked: they are everywhere by chance, and a log full of holes helps nobody."""
SHORTEST_LINE = 16
MASK = "[masked]"


class Masker:
    """Replaces secrets, as they are and encoded (JSON, URL, shell, HTML, Base64 in its three alignments).

    `secrets` are texts that UTF-8 can hold.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        ordered = sorted((form.encode() for form in forms), key=lambda form: (-len(form), form))
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._by_first: dict[int, list[bytes]] = {}
        for form in ordered:
            self._by_first.setdefault(form[0], []).append(form)
        self.longest = len(ordered[0]) if ordered else 0

    def text(self, text: str) -> str:
        """The text with each secret replaced."""
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def data(self, data: bytes) -> bytes:
        """The same for bytes that are mostly text."""
        return self._pattern.sub(MASK.encode(), data) if self._pattern else data

    def writer(self, file: BinaryIO) -> "Masked":
        """A file to write to that masks what it passes on to `file`."""
        return Masked(self, file)

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """What of the data is settled, masked, and the rest, which may be the beginning of a secret."""
        rest = self._beginning(data)
        if self._pattern is None or rest == len(data):
            return self.data(data), b""
        done, at = [], 0
        for found in self._pattern.finditer(data):
            if found.start() >= rest:
                break
            done += [data[at : found.start()], MASK.encode()]
            at = found.end()
        return b"".join([*done, data[at : max(at, rest)]]), data[max(at, rest) :]

    def _beginning(self, data: bytes) -> int:
        """Where a form of a secret begins that the data breaks off in; the data's length where none does."""
        for at in range(max(0, len(data) - self.longest + 1), len(data)):
            if any(
                len(form) > len(data) - at and form.startswith(data[at:]) for form in self._by_first.get(data[at], ())
            ):
                return at
        return len(data)


class Masked:
    """A binary file that masks secrets on their way into another, also where a write breaks off within one.

    It holds back at most the length of the longest form of a secret; `close` writes that too and leaves the file open.
    """

    def __init__(self, masker: Masker, file: BinaryIO) -> None:
        self._masker = masker
        self._file = file
        self._kept = b""

    def write(self, data: bytes) -> int:
        settled, self._kept = self._masker.split(self._kept + data)
        self._file.write(settled)
        return len(data)

    def flush(self) -> None:
        """What is settled reaches the disk's cache; the beginning of what may become a secret does not."""
        self._file.flush()

    def close(self) -> None:
        self._file.write(self._masker.data(self._kept))
        self._kept = b""
        self._file.flush()


def _forms(secret: str) -> Iterator[str]:
    """A secret in all its forms, and each long line of one that has several (a key, say)."""
    for part in {secret, *(line.strip() for line in secret.splitlines() if len(line.strip()) >= SHORTEST_LINE)}:
        if len(part) >= SHORTEST:
            yield part
            yield from (form for form in _encoded(part) if len(form) >= SHORTEST)


def _encoded(secret: str) -> Iterator[str]:
    for ascii_only in (True, False):
        yield json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    for url in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield url
        yield re.sub("%..", lambda found: found[0].lower(), url)
    yield shlex.quote(secret).removeprefix("'").removesuffix("'")
    yield secret.replace("'", r"'\''")
    yield html.escape(secret)
    yield html.escape(secret, quote=False)
    yield from _base64(secret.encode())


def _base64(secret: bytes) -> Iterator[str]:
    """The digits that depend on the secret alone, wherever in a group of three bytes it begins."""
    for before in range(3):
        digits = base64.b64encode(bytes(before) + secret).decode()
        first = (0, 2, 3)[before]
        last = len(digits) - (0, 3, 2)[(before + len(secret)) % 3]
        yield digits[first:last]
        yield digits[first:last].replace("+", "-").replace("/", "_")
