"""Touches the texts in the logs: facts, kept under their digests to be compared with later, and the ends of outputs."""

import os
import re
from pathlib import Path
from tempfile import NamedTemporaryFile

from bot import durable
from bot.masking import Masker
from plans.actions import Recalled

_DIGEST = re.compile(r"[0-9a-f]{64}")


def end_of(path: Path, most: int, masker: Masker) -> str:
    """The end of a log, masked; empty where there is none.

    A line whose beginning was cut off is left out: it may begin with half a secret.
    """
    try:
        with path.open("rb") as file:
            begin = max(0, file.seek(0, os.SEEK_END) - most)
            file.seek(begin)
            text = file.read(most).decode(errors="replace")
    except OSError:
        return ""
    return masker.text(text.partition("\n")[2] if begin else text)


class Texts:
    """`keep` before a record names a digest; `recall` gives None where the logs were tidied away since."""

    def __init__(self, data_dir: Path, masker: Masker) -> None:
        self._folder = data_dir / "logs" / "facts"
        self._masker = masker

    def keep(self, digest: str, text: str) -> None:
        """On disk when it returns; a text that is kept already is left as it is."""
        path = self._path(digest)
        if not path.exists():
            durable.folder(self._folder)
            with NamedTemporaryFile(dir=self._folder, delete=False) as new:
                new.write(self._masker.text(text).encode(errors="replace"))
                new.flush()
                os.fsync(new.fileno())
            Path(new.name).replace(path)
            durable.names(self._folder)

    def recall(self, digest: str) -> Recalled:
        try:
            return Recalled(digest, self._path(digest).read_text(encoding="utf-8"))
        except OSError:
            return Recalled(digest, None)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no digest")
        return self._folder / digest
