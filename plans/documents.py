"""Decides how YAML that people write is read: as text, strictly, and then typed, each error with its place.

Every scalar is the text that stands there: an empty value is "", and `null`, `~`, `on` and `1.10` are words like any
other. A number or a switch is made of the text only where the type wants one.
"""

import copy
import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from msgspec import inspect

from plans.nodes import Items, Node, Pairs, Text, misfit, parse

T = TypeVar("T")


def load(data: bytes, kind: type[T], source: str, *, variables: Callable[[str], str] | None = None) -> T:
    """The YAML document `data` as a `kind` (a msgspec struct); `source` names it in errors.

    `variables` is given what stands in each `${…}` of a scalar and answers with what takes its place, or raises
    LookupError with a sentence; `$${` stands for a literal `${`. Raises Refusal: `not_utf8`, `invalid_document`.
    """
    document = Document(data, source)
    if variables is not None:
        document = document.mapped(lambda _, text: fill(text, variables))
    return document.read(kind)


def fill(text: str, variables: Callable[[str], str]) -> str:
    """`text` with each `${NAME}` and `${file:PATH}` replaced by what `variables` answers."""

    def replace(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*|file:.+", found[1]):
            raise LookupError(
                f"{found[0]} is neither ${{NAME}} nor ${{file:PATH}}; for the text itself write ${found[0]}"
            )
        return variables(found[1])

    return re.sub(r"\$?\$\{([^{}]*)\}", replace, text)


class Document:
    """One YAML document, read as text and not yet typed."""

    def __init__(self, data: bytes, source: str) -> None:
        self.source = source
        self.root = parse(data, source)

    def mapped(self, change: Callable[[str, str], str]) -> "Document":
        """The same document with each scalar replaced by `change(path, text)`; its LookupError becomes a Refusal."""

        def of(node: Node, path: str) -> Node:
            match node:
                case Text():
                    try:
                        return Text(node.line, change(path, node.text), written=node.text)
                    except LookupError as error:
                        self.refuse(node.line, path, f"{error.args[0]}.")
                case Items():
                    return Items(node.line, [of(item, f"{path}[{i}]") for i, item in enumerate(node.items)])
                case Pairs():
                    pairs = {key: of(value, _join(path, key)) for key, value in node.pairs.items()}
                    return Pairs(node.line, pairs, node.lines)

        changed = copy.copy(self)
        changed.root = of(self.root, "")
        return changed

    def read(self, kind: type[T]) -> T:
        """The document as a `kind`. Raises Refusal `invalid_document` for the first thing that does not fit."""
        value: T = _Reader(self).read(self.root, inspect.type_info(kind), "")
        return value

    def scalars(self) -> Iterator[tuple[str, str]]:
        """The dotted path and the text of each scalar, in order."""
        return ((path, node.text) for path, node in self._nodes(self.root, "") if isinstance(node, Text))

    def line(self, path: str) -> int:
        """The line where the value of this dotted path stands; of the nearest that there is, when it is left out."""
        lines = {at: node.line for at, node in self._nodes(self.root, "")}
        while path not in lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return lines[path]

    def refuse(self, line: int, path: str, message: str, hint: str = "") -> NoReturn:
        raise misfit(self.source, line, path, message, hint)

    def _nodes(self, node: Node, path: str) -> Iterator[tuple[str, Node]]:
        yield path, node
        if isinstance(node, Items):
            for i, item in enumerate(node.items):
                yield from self._nodes(item, f"{path}[{i}]")
        elif isinstance(node, Pairs):
            for key, value in node.pairs.items():
                yield from self._nodes(value, _join(path, key))


class _Reader:
    """Walks a document and the type that it should have side by side."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def read(self, node: Node, wanted: inspect.Type, path: str) -> Any:
        match wanted:
            case inspect.Metadata() if isinstance(node, Text):
                like = (wanted.extra_json_schema or {}).get("description", "")
                return self._scalar(node, wanted.type, path, like and f"a text like {like}")
            case inspect.Metadata():
                return self.read(node, wanted.type, path)
            case inspect.UnionType():
                return self.read(node, self._chosen(node, wanted, path), path)
            case inspect.StructType():
                return self._struct(node, wanted, path)
            case inspect.DictType():
                pairs = self._expect(node, Pairs, path)
                return {
                    self._scalar(Text(pairs.lines[key], key), wanted.key_type, _join(path, key)): self.read(
                        value, wanted.value_type, _join(path, key)
                    )
                    for key, value in pairs.pairs.items()
                }
            case inspect.VarTupleType():
                items = self._expect(node, Items, path).items
                return tuple(self.read(item, wanted.item_type, f"{path}[{i}]") for i, item in enumerate(items))
            case _:
                return self._scalar(self._expect(node, Text, path), wanted, path)

    def _chosen(self, node: Node, union: inspect.UnionType, path: str) -> inspect.Type:
        """The one type of a union that the node can be: by its shape, and among structs by the key of its kind."""
        shapes = [
            kind for kind in union.types if not isinstance(kind, inspect.NoneType) and isinstance(node, _shape(kind))
        ]
        if not shapes:
            wanted = {_a(_shape(kind)) for kind in union.types if not isinstance(kind, inspect.NoneType)}
            self._document.refuse(node.line, path, f"{' or '.join(sorted(wanted))} is wanted, found {_found(node)}.")
        if len(shapes) == 1 or not isinstance(node, Pairs):
            return shapes[0]
        kinds = {str(kind.tag): kind for kind in shapes if isinstance(kind, inspect.StructType)}
        present = [tag for tag in kinds if tag in node.pairs]
        if len(present) == 1:
            return kinds[present[0]]
        found = f"found {' and '.join(present)}" if present else "found none"
        listed = ", ".join(list(kinds)[:-1]) + f" or {list(kinds)[-1]}"
        hint = ""
        if not present:
            known = {field.encode_name for kind in kinds.values() for field in kind.fields}
            strange = [key for key in node.pairs if key not in known]
            near = [near for key in strange for near in difflib.get_close_matches(key, kinds, 1)]
            hint = f"Did you mean {near[0]}?" if near else ""
        self._document.refuse(node.line, path, f"exactly one of {listed} is wanted, {found}.", hint)

    def _struct(self, node: Node, wanted: inspect.StructType, path: str) -> Any:
        pairs = self._expect(node, Pairs, path)
        fields = {field.encode_name: field for field in wanted.fields}
        for key in pairs.pairs:
            if key not in fields:
                self._unknown(key, list(fields), pairs.lines[key], path)
        for field in wanted.fields:
            if field.required and field.encode_name not in pairs.pairs:
                self._document.refuse(pairs.line, _join(path, field.encode_name), "this key is missing.")
        values = {
            fields[key].name: self.read(value, fields[key].type, _join(path, key)) for key, value in pairs.pairs.items()
        }
        try:
            return wanted.cls(**values)
        except ValueError as error:
            self._document.refuse(pairs.line, path, f"{error}.")

    def _unknown(self, key: str, known: list[str], line: int, path: str) -> NoReturn:
        near = difflib.get_close_matches(key, known, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(known)}."
        self._document.refuse(line, _join(path, key), "this key is not known.", hint)

    def _scalar(self, node: Text, wanted: inspect.Type, path: str, like: str = "") -> Any:
        match wanted:
            case inspect.StrType(pattern=pattern) if pattern is None or re.search(pattern, node.text):
                return node.text
            case inspect.IntType() if re.fullmatch(r"-?[0-9]{1,15}", node.text):
                return int(node.text)
            case inspect.BoolType() if node.text in ("true", "false"):
                return node.text == "true"
            case inspect.LiteralType(values=values) if node.text in values:
                return node.text
        self._document.refuse(node.line, path, f"{like or _described(wanted)} is wanted, found {_found(node)}.")

    def _expect(self, node: Node, shape: type[Node], path: str) -> Any:
        if not isinstance(node, shape):
            hint = "For none write []." if shape is Items and isinstance(node, Text) and not node.text else ""
            self._document.refuse(node.line, path, f"{_a(shape)} is wanted, found {_found(node)}.", hint)
        return node


def _shape(kind: inspect.Type) -> type[Node]:
    """The kind of node that a type is read from."""
    match kind:
        case inspect.Metadata():
            return _shape(kind.type)
        case inspect.StructType() | inspect.DictType():
            return Pairs
        case inspect.VarTupleType():
            return Items
    return Text


def _described(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType():
            return "a whole number"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return " or ".join(value for value in values if isinstance(value, str) and value)
        case inspect.StrType(pattern=str(pattern)):
            return f"a text that matches {pattern}"
    return "a text"


def _found(node: Node) -> str:
    """What stands in the file, cut short: `${NAME}` as it is written, never the value that took its place."""
    if not isinstance(node, Text):
        return _a(type(node))
    written = node.text if node.written is None else node.written
    return f"“{written[:60]}”" if written else "nothing"


def _a(shape: type[Node]) -> str:
    if shape is Text:
        return "a text"
    return "a list" if shape is Items else "a mapping"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
