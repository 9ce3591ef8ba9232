"""Touches a file on a machine: put there under another name, its digest checked there, and only then renamed."""

import secrets
import shlex
from pathlib import Path

from vmops.jobs import PATIENCE, Patience, ask
from vmops.transport import Limit, Lost, Transport, Trouble, Unreachable

_DIGEST = """digest() {
  if command -v sha256sum >/dev/null; then sha256sum; elif command -v shasum >/dev/null; then shasum -a 256
  else openssl dgst -r -sha256; fi <"$1" | cut -c 1-64
}
"""

_LOOK = """if [ -f "$to" ] && [ "$(digest "$to")" = "$wanted" ]; then echo same; else mkdir -p "$(dirname "$to")"; fi"""

_TAKE = """is=$(digest "$beside")
if [ "$is" = "$wanted" ]; then mv -f "$beside" "$to"; else rm "$beside"; echo "$is"; fi"""


def upload(transport: Transport, archive: Path, digest: str, to: str, limit: Limit) -> bool:
    """Makes `to` the file with this SHA-256 (hex), unless it is already; whether anything had to be sent.

    Raises Trouble where the digest or the place is wrong, Unreachable, Refused, Lost, Cancelled, Overdue.
    """
    patience = Patience(PATIENCE)
    while True:
        try:
            return _upload(transport, archive, digest, to, limit)
        except (Lost, Unreachable) as trouble:
            patience.wait(trouble, limit)


def _upload(transport: Transport, archive: Path, digest: str, to: str, limit: Limit) -> bool:
    there = to if to.startswith("/") else f"./{to}"
    beside = f"{there}.quarterdeck-{secrets.token_hex(4)}"
    names = f"{_DIGEST}to={shlex.quote(there)} beside={shlex.quote(beside)} wanted={shlex.quote(digest)}\n"
    if _do(transport, names + _LOOK, limit) == "same":
        return False
    transport.put(archive, beside, limit)
    # One that is being run or read stays whole: the name changes hands at once.
    if arrived := _do(transport, names + _TAKE, limit):
        raise Trouble(f"{to}: what arrived has the SHA-256 {arrived} instead of {digest}; it was removed")
    return True


def _do(transport: Transport, script: str, limit: Limit) -> str:
    code, said = ask(transport, script, limit)
    if code:
        raise Trouble(said or f"exit code {code}")
    return said
