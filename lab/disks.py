"""Touches the folders that stand for disks: copies one whole."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path


async def copy_tree(source: Path, target: Path) -> None:
    """Makes `target` the same as `source`, with modes, times and links. Raises OSError, and leaves nothing then."""
    # cp -a keeps links as links, and shares blocks where the file system can.
    await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        "cp", "-a", "--reflink=auto", source, target, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    if process.returncode:
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        raise OSError(f"cannot copy {source}: {complaint.decode(errors='replace').strip()}")
