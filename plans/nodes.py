"""Decides what YAML that people write may be made of: text, lists and mappings, and nothing that could surprise."""

from typing import Any, NoReturn

import msgspec
import yaml

from plans.errors import Refusal

MAX_BYTES = 1_000_000
MAX_DEPTH = 32

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class Text(msgspec.Struct, frozen=True):
    """A scalar: its line, counted from 1, its text, and what stands in the file where that was something else."""

    line: int
    text: str
    written: str | None = None


class Items(msgspec.Struct, frozen=True):
    line: int
    items: list["Node"]


class Pairs(msgspec.Struct, frozen=True):
    """A mapping; `lines` says where each key stands."""

    line: int
    pairs: dict[str, "Node"]
    lines: dict[str, int]


Node = Text | Items | Pairs


def parse(data: bytes, source: str) -> Node:
    """The tree of the one YAML document in `data`; `source` names it. Raises Refusal: not_utf8, invalid_document."""
    if len(data) > MAX_BYTES:
        raise misfit(source, 1, "", f"more than {MAX_BYTES // 1000} KB: nobody wrote this by hand.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{source}, line {line}: this is not UTF-8."
        raise Refusal("not_utf8", message, "Save the file as UTF-8.") from None
    return _Tree(source).root(text)


def misfit(source: str, line: int, path: str, message: str, hint: str = "") -> Refusal:
    """The refusal of what stands at this line and dotted path."""
    where = f"{source}, line {line}" + (f", {path}" if path else "")
    return Refusal("invalid_document", f"{where}: {message}", hint)


class _Tree:
    """Builds the nodes from the parser's events, which come one by one: depth costs a list entry, not a stack frame."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._open: list[Items | Pairs] = []
        self._key: list[str | None] = []
        self._root: Node | None = None

    def root(self, text: str) -> Node:
        line = 1
        try:
            for event in yaml.parse(text, Loader=_Loader):
                line = event.start_mark.line + 1 if event.start_mark else line
                self._take(event, line)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is not YAML"
            self._refuse(mark.line + 1 if mark else line, f"not readable as YAML: {problem}.")
        except (ValueError, OverflowError):  # an escape beyond Unicode, where PyYAML comes without libyaml
            self._refuse(line, "not readable as YAML: an escape that is no character.")
        if self._root is None:
            self._refuse(1, "the document is empty.")
        return self._root

    def _take(self, event: Any, line: int) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse(line, "anchors and aliases (& and *) are not allowed here.", "Write the value out.")
        if getattr(event, "tag", None):
            self._refuse(line, f"the tag {event.tag} is not allowed here.", "Leave it out.")
        if isinstance(event, yaml.ScalarEvent):
            self._put(Text(line, self._clean(event.value, line)), line)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._enter(Items(line, []), line)
        elif isinstance(event, yaml.MappingStartEvent):
            self._enter(Pairs(line, {}, {}), line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._key.pop()
        elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            self._refuse(line, "a second document begins here; one is allowed.", "Take out the line ---.")

    def _enter(self, node: Items | Pairs, line: int) -> None:
        if len(self._open) == MAX_DEPTH:
            self._refuse(line, f"nested more than {MAX_DEPTH} deep.")
        self._put(node, line)
        self._open.append(node)
        self._key.append(None)

    def _put(self, node: Node, line: int) -> None:
        if not self._open:
            self._root = node
            return
        parent, key = self._open[-1], self._key[-1]
        if isinstance(parent, Items):
            parent.items.append(node)
        elif key is not None:
            parent.pairs[key] = node
            self._key[-1] = None
        elif not isinstance(node, Text):
            self._refuse(line, "a key must be a plain word.")
        elif node.text in parent.pairs:
            first = parent.lines[node.text]
            self._refuse(line, f"the key {node.text} is there twice (first in line {first}).", "Keep one of them.")
        else:
            parent.lines[node.text] = line
            self._key[-1] = node.text

    def _clean(self, text: str, line: int) -> str:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            self._refuse(line, "a NUL or a half character is not allowed in a text.")
        return text

    def _refuse(self, line: int, message: str, hint: str = "") -> NoReturn:
        raise misfit(self._source, line, "", message, hint)
