"""Decides which names a package's members may have: such that every tool on every host unpacks the same files."""

import re
import unicodedata

from plans.findings import Finding, error

MOST_MEMBERS = 10_000
LONGEST_NAME = 1024
LONGEST_PART = 255
DEEPEST = 32

_REPACK = "Rename it or take it out, and pack the folder anew: quarterdeck pack FOLDER -o FILE"

TOO_MANY = error(
    "too_many_members",
    "the archive",
    f"There are more than {MOST_MEMBERS:,} members in it.",
    "Put those that belong together into one file.",
)


class Names:
    """The names seen so far, so that each new one can be held against them."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._parents: set[str] = set()
        self._spelled: dict[str, str] = {}

    def admit(self, name: str, *, folder: bool) -> Finding | None:
        """What is wrong with the next member's name, as it is written (bytes that are not UTF-8 as surrogates)."""
        path = plain(name)
        if folder and not path:
            return None
        wrong = _alone(name, path, folder=folder) or self._beside(path, folder=folder)
        return error(wrong[0], shown(name), wrong[1], _REPACK) if wrong else None

    def _beside(self, path: str, *, folder: bool) -> tuple[str, str] | None:
        parents = _parents(path)
        if path in (self._folders if folder else self._files):
            return "duplicate_name", "This name is there twice."
        taken = path in self._files if folder else path in self._folders or path in self._parents
        if taken or not self._files.isdisjoint(parents):
            return "file_and_folder", "One name is a file here and a folder there."
        for each in (path, *parents):
            before = self._spelled.setdefault(unicodedata.normalize("NFC", each).casefold(), each)
            if before != each:
                return "case_collision", f"On some machines this is the same name as {shown(before)}."
        (self._folders if folder else self._files).add(path)
        self._parents.update(parents)
        return None


def plain(name: str) -> str:
    """A member's path without the `./` in front, which tar writes, and without the `/` behind a folder."""
    return re.sub(r"^(?:\./+)+|^\.$", "", name).removesuffix("/")


def shown(name: str) -> str:
    """A name that may hold anything, as one short line of plain characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[:200])


def _alone(name: str, path: str, *, folder: bool) -> tuple[str, str] | None:
    """What is wrong with a name whatever the others are: a code and a sentence."""
    parts = path.split("/")
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "name_not_utf8", "This name is not UTF-8."
    if not name.isprintable():
        return "bad_name", "This name has characters that cannot be seen."
    if name.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "absolute_path", "This path starts at the root of a machine, not of the package."
    if ".." in parts:
        return "parent_path", "This path leads out of the package."
    if "\\" in name:
        return "backslash", "A backslash separates folders on some machines and not on others."
    if len(name.encode()) > LONGEST_NAME or len(parts) > DEEPEST or any(len(p.encode()) > LONGEST_PART for p in parts):
        most = f"{LONGEST_NAME} bytes, {LONGEST_PART} between two slashes, {DEEPEST} folders"
        return "name_too_long", f"This name is too long or too deep (at most {most})."
    if "" in parts or "." in parts or (name.endswith("/") and not folder):
        return "bad_name", "This name has an empty part or a dot where a name should be."
    return None


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
