"""Touches the records of who logged in on a VM: wtmp, and what sshd writes into the journal.

They lie beside its disk, like all that the lab notes of a VM, so that its login directory has what people put there.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

WTMP = "log/wtmp"
JOURNAL = "log/journal"
"""In the VM's folder, for its own utmpdump and journalctl: the second one has lines as `-o short-unix` prints them."""

_RECORD = struct.Struct("<h2xi32s4s32s256s4xiii16s20x")  # utmp(5), 384 bytes
_BOOT, _LOGIN, _END = 2, 7, 8


def boot(vm: Path) -> None:
    """The VM boots: whoever was there is no more."""
    _write(vm, _BOOT, "~", "reboot", "")


def came(vm: Path, line: str, user: str, source: str) -> None:
    """Somebody has a terminal, `pts/0`, from now on."""
    _write(vm, _LOGIN, line, user, source)


def went(vm: Path, line: str) -> None:
    """The terminal is nobody's any more."""
    _write(vm, _END, line, "", "")


def accepted(vm: Path, user: str, source: str, port: int, key: str) -> None:
    """What sshd says of a login; `key` as `ED25519 SHA256:…`."""
    said = f"{time.time():.6f} lab sshd[1]: Accepted publickey for {user} from {source} port {port} ssh2: {key}\n"
    _append(vm / JOURNAL, said.encode())


def _write(vm: Path, kind: int, line: str, user: str, source: str) -> None:
    now = time.time()
    texts = (line.encode(), line.encode()[-4:], user.encode(), source.encode())
    _append(vm / WTMP, _RECORD.pack(kind, 1, *texts, 0, int(now), int(now % 1 * 1e6), b""))


def _append(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as target:
        target.write(data)
