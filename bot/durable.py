"""Touches folders so that the names in them outlast a power cut: an fsync of a file keeps its bytes, not its name."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from plans.errors import Refusal

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that say no more than that there is no room."""


def refused(error: OSError) -> Refusal:
    """How people are told that the disk did not take something."""
    return Refusal(
        "not_written",
        f"The bot's disk does not take it: {error.strerror}. What is not written down is not done.",
        "Make room where the bot's data_dir is, then do it again.",
    )


def folder(path: Path) -> None:
    """The folder is there, for its owner alone, and its name is on disk, as are those of the folders made above it."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for made in missing:
        names(made.parent)
    if not missing:  # made by a process that was killed before it came to that, perhaps
        with suppress(PermissionError):
            names(path.parent)


def names(path: Path) -> None:
    """What the folder now names is on disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
