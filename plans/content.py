"""Decides what is found in the files of a package: private keys, forbidden content, line ends of the wrong system."""

import codecs
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from plans.findings import Finding, error, warning

_BLOCK = 1 << 20
_OVERLAP = 1 << 12
KEYS = {
    "PRIVATE KEY": r"----[- ]BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?[- ]----",
    "PuTTY-User-Key-File": r"^PuTTY-User-Key-File-\d",
}
"""How private keys begin: what is in all of a kind, which is quickly looked for, and the regular expression."""

_SHELL_SCRIPT = re.compile(r"#!.*\b(?:a|ba|da|k|z)?sh(?:\s|\Z)")
_SHELL_NAME = re.compile(r"\.(?:sh|bash|ksh)\Z")
_CARRIAGE_RETURN = re.compile(r"\r$", re.MULTILINE)
_KNOWN = "Take it out, and use another: it is known now."
_LF = "Save it with Unix line ends (LF)."
_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a")

Search = Callable[[re.Pattern[str], str], re.Match[str] | None]


def scan(
    path: str,
    chunks: Iterable[bytes],
    forbidden: Iterable[re.Pattern[str]] = (),
    search: Search = re.Pattern.search,
) -> tuple[Finding, ...]:
    """What a file holds that its author should know of, each told of once, with the line where it is first.

    Patterns are searched for by lines, in UTF-8 (or UTF-16, where the file begins with its mark); of a binary file, in
    what of it is such text; a line of more than a mebibyte is searched in overlapping pieces. What is packed or encoded
    is not seen.
    """
    rules = [
        _Rule(re.compile(key, re.MULTILINE), error, "private_key", "A private key is in this file.", _KNOWN, sign)
        for sign, key in KEYS.items()
    ]
    for each in forbidden:
        message = f"It matches {each.pattern}, which no package may hold."
        rules.append(_Rule(each, error, "forbidden_content", message, "Take it out: test data must not reach prod."))
    findings: list[Finding] = []
    for number, (line, text) in enumerate(_blocks(chunks)):
        if number == 0 and (ends := _line_ends(path, text)):
            rules.append(ends)
        for rule in list(rules):
            if rule.sign in text and (found := search(rule.pattern, text)):
                place = f"{path}, line {line + text.count(chr(10), 0, found.start())}"
                findings.append(rule.level(rule.code, place, rule.message, rule.hint))
                rules.remove(rule)
    return tuple(findings)


def packed(head: bytes) -> bool:
    """Whether a file is an archive or compressed, by its first bytes (512, or all that it has)."""
    return head.startswith(_PACKED) or head[257:262] == b"ustar"


class _Rule(NamedTuple):
    """`sign`: a text without which the pattern matches nothing."""

    pattern: re.Pattern[str]
    level: Callable[[str, str, str, str], Finding]
    code: str
    message: str
    hint: str
    sign: str = ""


def _line_ends(path: str, beginning: str) -> _Rule | None:
    """Of a shell's script every line counts, of any other script the one that names its interpreter."""
    first = beginning.partition("\n")[0]
    if _SHELL_NAME.search(path) or _SHELL_SCRIPT.match(first):
        message = "This line ends as on Windows: a Unix shell takes the end for a part of its last word."
        return _Rule(_CARRIAGE_RETURN, warning, "windows_line_ends", message, _LF)
    if first.startswith("#!") and first.endswith("\r"):
        message = "Its first line ends as on Windows: Unix looks for an interpreter of a strange name."
        return _Rule(_CARRIAGE_RETURN, warning, "windows_line_ends", message, _LF)
    return None


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """The text in whole lines, a block at a time, with the number of each block's first line."""
    head, rest = b"", iter(chunks)
    while len(head) < 2 and (chunk := next(rest, None)) is not None:
        head += chunk
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"
    decode: Callable[..., str] = codecs.getincrementaldecoder(encoding)("replace").decode
    line, kept = 1, ""
    for chunk in itertools.chain([head], rest):
        kept += decode(chunk)
        end = kept.rfind("\n") + 1
        if end:
            yield line, kept[:end]
            line += kept.count("\n", 0, end)
            kept = kept[end:]
        elif len(kept) > _BLOCK:
            yield line, kept
            kept = kept[-_OVERLAP:]
    if kept := kept + decode(b"", final=True):
        yield line, kept
