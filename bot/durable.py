"""Touches folders so that the names in them outlast a power cut: an fsync of a file keeps its bytes, not its name."""

import os
from contextlib import suppress
from pathlib import Path


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
