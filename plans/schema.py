"""Decides how editors are told what people write: JSON Schema of the documents, as their authors see them."""

from typing import Any

import msgspec

_ANY_SCALAR = ["string", "number", "boolean"]
"""YAML is read as text here, so 2.4 is a text, although an editor sees a number."""


def schema(kind: type[Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a document: the kinds of a step are told apart by the one key that each has."""
    made: dict[str, Any] = _written(msgspec.json.schema(kind))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _written(node: Any) -> Any:
    if isinstance(node, list):
        return [_written(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: _written(value) for key, value in node.items()}
    if "discriminator" in node:
        node = {key: value for key, value in node.items() if key != "discriminator"}
        node["oneOf"] = node.pop("anyOf")
    if node.get("type") == "string":
        node["type"] = _ANY_SCALAR
    if isinstance(node.get("pattern"), str):
        node["pattern"] = node["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
    return _untagged(node)


def _untagged(node: dict[str, Any]) -> dict[str, Any]:
    """A struct without the tag that nobody writes: it is the key that only this kind has."""
    properties = node.get("properties", {})
    tag = properties.get("kind", {}).get("enum", [])
    if len(tag) != 1 or tag[0] not in properties:
        return node
    rest = {key: value for key, value in properties.items() if key != "kind"}
    return node | {"properties": rest, "required": [key for key in node["required"] if key != "kind"]}
