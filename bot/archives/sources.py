"""Fetches packages from where the admins allow them to come from, and from nowhere else."""

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

from bot.archives import files
from plans.errors import Refusal

SILENCE = 30.0
"""Seconds that a server may say nothing."""
PATIENCE = 600.0
"""Seconds that a whole fetch may take."""


@contextmanager
def fetch(source: str, sources: Sequence[str], *, into: Path, most: int, digest: str | None = None) -> Iterator[Path]:
    """A private copy of the package at `source`, in the folder `into`, until the context is left.

    `sources` are the folders and the beginnings of addresses that are allowed, `most` the bytes it may have, `digest`
    the hex SHA-256 that it must have. Raises Refusal: `source_not_allowed`, `unreachable`, `too_large`,
    `digest_differs`, `unreadable`.
    """
    with files.beside(into) as (target, path):
        if "://" in source:
            _download(source, sources, target, most)
        else:
            _copy(Path(source), sources, target, most)
        target.flush()
        if digest is not None and (found := files.digest(target)) != digest:
            raise Refusal("digest_differs", f"{source} has the digest sha256:{found}, not sha256:{digest}.")
        yield path


def _copy(path: Path, sources: Sequence[str], target: BinaryIO, most: int) -> None:
    """Copies a file that really is under one of the sources: links are followed first."""
    folders = [Path(source).resolve() for source in sources if "://" not in source]
    real = path.resolve()
    if not path.is_absolute() or not any(folder in real.parents for folder in folders):
        raise _not_allowed(str(path), sources)
    try:
        with files.regular(real) as file:
            files.copy(file, target, most=most)
    except OSError as error:
        raise Refusal("unreachable", f"{path} cannot be read: {error.strerror}.") from None


def _download(address: str, sources: Sequence[str], target: BinaryIO, most: int) -> None:
    _check(address, sources)
    opener = urllib.request.build_opener(_SameSource(sources))
    deadline = time.monotonic() + PATIENCE
    try:
        with opener.open(address, timeout=SILENCE) as answer:
            files.copy(_Hurried(answer, deadline), target, most=most)
    except urllib.error.HTTPError as error:
        with error:
            raise Refusal("unreachable", f"{address} answered {error.code} {error.reason}.") from None
    except (OSError, HTTPException) as error:
        raise Refusal("unreachable", f"{address} could not be fetched: {getattr(error, 'reason', error)}.") from None


class _Hurried:
    """An answer that has to be complete by a deadline, however slowly it trickles."""

    def __init__(self, answer: HTTPResponse, deadline: float) -> None:
        self._answer = answer
        self._deadline = deadline
        length = answer.headers["Content-Length"]
        self._left = int(length) if length and length.isdecimal() else None

    def read(self, size: int) -> bytes:
        if self._left == 0:
            return b""
        data = self._answer.read1(size)
        if time.monotonic() > self._deadline:
            raise TimeoutError(f"not complete after {PATIENCE:.0f} s")
        if self._left is not None:
            if not data:
                raise IncompleteRead(b"", self._left)
            self._left -= len(data)
        return data


class _SameSource(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to an address that is allowed itself."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = sources

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        _check(newurl, self._sources)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(address: str, sources: Sequence[str]) -> None:
    try:
        wanted = urlsplit(address)
        allowed = [urlsplit(source) for source in sources if "://" in source]
        if any(_covers(prefix, wanted) for prefix in allowed):
            return
    except ValueError:  # a port that is no number, brackets that do not close
        pass
    raise _not_allowed(address, sources)


def _covers(prefix: SplitResult, wanted: SplitResult) -> bool:
    """Whether an address is the same place as a prefix, or beneath it: by segments, `/a` does not cover `/ab`."""
    if wanted.username is not None or wanted.fragment or re.search(r"[\s\\\x00-\x1f]", wanted.geturl()):
        return False
    beneath = _segments(wanted.path)
    if any(part in (".", "..", "") or re.search(r"[/\\\x00-\x1f]", part) for part in beneath):
        return False
    above = [part for part in _segments(prefix.path) if part]
    return _place(prefix) == _place(wanted) and beneath[: len(above)] == above


def _segments(path: str) -> list[str]:
    return [unquote(part) for part in path.split("/")[1:]]


def _place(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"https": 443, "http": 80}.get(url.scheme)


def _not_allowed(source: str, sources: Sequence[str]) -> Refusal:
    listed = ", ".join(sources) or "none: upload the archive with /handoff"
    return Refusal("source_not_allowed", f"{source} is not under an allowed source.", f"Allowed are: {listed}.")
