"""Reads a ledger as CONTRACT.md section 7 lets anybody read it: nothing of the bot's own code has a part in it."""

import hashlib
import json
from pathlib import Path
from typing import Any


def verified(path: Path) -> list[dict[str, Any]]:
    """The whole lines' records, each numbered, hashed and chained as the contract says; a torn last line is not one."""
    records: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        record = json.loads(line)
        bare = {key: value for key, value in record.items() if key != "hash"}
        text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == record["hash"]
        assert record["seq"] == len(records) + 1
        assert record["prev"] == (records[-1]["hash"] if records else "0" * 64)
        records.append(record)
    return records
