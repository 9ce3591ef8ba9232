"""Touches the VM's record of logins: prints it as util-linux does. /var/log is beside the disk."""

import os
import struct
import sys
from datetime import UTC, datetime

RECORD = struct.Struct("<h2xi32s4s32s256s4xiii16s20x")

try:
    with open(os.environ["HOME"] + "/.." + sys.argv[1].removeprefix("/var"), "rb") as file:
        data = file.read()
except OSError as error:
    raise SystemExit(f"utmpdump: cannot open {sys.argv[1]}: {error.strerror}") from None
print(f"Utmp dump of {sys.argv[1]}", file=sys.stderr)
for at in range(0, len(data) - RECORD.size + 1, RECORD.size):
    kind, pid, *texts, _, seconds, micros, _ = RECORD.unpack_from(data, at)
    line, ident, user, source = (text.rstrip(b"\0").decode(errors="replace") for text in texts)
    when = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    print(
        f"[{kind}] [{pid:05}] [{ident:<4}] [{user:<8}] [{line:<12}] [{source:<20}] [{source:<15}] "
        f"[{when},{micros:06}+00:00]"
    )
