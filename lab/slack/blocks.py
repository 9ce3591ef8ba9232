"""Decides which blocks and views Slack would take on which surface, and names what it would refuse."""

import json
from collections.abc import Iterator
from typing import Any

from lab.slack.elements import (
    FILE_INPUT,
    IDENTIFIER,
    IMAGE,
    IMAGE_PARTS,
    INPUTS,
    PRESSABLE,
    RICH_ELEMENTS,
    RICH_TEXT,
    URL,
    image_source,
    plain,
    text,
)
from lab.slack.schema import Check, boolean, choice, complaint, every, listing, shape, string, tagged

MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100
MESSAGE_BUDGET = 12_000  # characters of all blocks as compact JSON: undocumented, failures were seen from 11,300 on
VIEW_BUDGET = 250_000

_ID = {"block_id": IDENTIFIER}


def _text_or_fields(value: Any, pointer: str) -> Iterator[str]:
    if "text" not in value and "fields" not in value:
        yield complaint("must define either `text` or `fields`", f"{pointer}/type")


def _distinct_actions(value: Any, pointer: str) -> Iterator[str]:
    seen: set[str] = set()
    elements = value.get("elements")
    for index, element in enumerate(elements if isinstance(elements, list) else []):
        name = element.get("action_id") if isinstance(element, dict) else None
        if isinstance(name, str) and name in seen:
            yield complaint(
                f"`action_id` {json.dumps(name)} already exists for some other element in the block",
                f"{pointer}/elements/{index}/action_id",
            )
        elif isinstance(name, str):
            seen.add(name)


_TASK = shape(
    {
        "task_id": string(255),
        "title": string(3000),
        "status": choice("pending", "in_progress", "complete", "error"),
    },
    {
        **_ID,
        "details": RICH_TEXT,
        "output": RICH_TEXT,
        "sources": listing(tagged({"url": shape({"url": URL, "text": string(3000)})}), 50, 0),
    },
)
_CELL = tagged(
    {
        "raw_text": shape({"text": string(3000)}),
        "raw_number": shape({"value": lambda value, pointer: iter(())}, {"text": string(3000)}),
        "rich_text": shape({"elements": RICH_ELEMENTS}, _ID),
    }
)
_COLUMN = shape({}, {"align": choice("left", "center", "right"), "is_wrapped": boolean})


def _input(elements: dict[str, Check]) -> Check:
    return shape(
        {"label": plain(2000), "element": tagged(elements)},
        {**_ID, "hint": plain(2000), "optional": boolean, "dispatch_action": boolean},
    )


_EVERYWHERE: dict[str, Check] = {
    "section": every(
        shape(
            {},
            {
                **_ID,
                "text": text(3000),
                "fields": listing(text(2000), 10),
                "accessory": tagged({**PRESSABLE, "image": IMAGE}),
                "expand": boolean,
            },
        ),
        _text_or_fields,
    ),
    "header": shape({"text": plain(150)}, _ID),
    "context": shape(
        {
            "elements": listing(
                tagged(
                    {
                        "image": IMAGE,
                        "plain_text": shape({"text": string(3000)}, {"emoji": boolean}),
                        "mrkdwn": shape({"text": string(3000)}, {"verbatim": boolean}),
                    }
                ),
                10,
            )
        },
        _ID,
    ),
    "actions": every(shape({"elements": listing(tagged(PRESSABLE), 25)}, _ID), _distinct_actions),
    "divider": shape({}, _ID),
    "image": every(shape({"alt_text": string(2000)}, {**_ID, **IMAGE_PARTS, "title": plain(2000)}), image_source),
    "input": _input(INPUTS),
    "rich_text": shape({"elements": RICH_ELEMENTS}, _ID),
}
_SURFACES: dict[str, dict[str, Check]] = {
    "message": {
        **_EVERYWHERE,
        "plan": shape({"title": string(3000)}, {**_ID, "tasks": listing(tagged({"task_card": _TASK}), 50, 0)}),
        "task_card": _TASK,
        "table": shape({"rows": listing(listing(_CELL, 20), 100)}, {**_ID, "column_settings": listing(_COLUMN, 20, 0)}),
        "markdown": shape({"text": string(12000)}, _ID),
    },
    "modal": {
        **_EVERYWHERE,
        "input": _input({**INPUTS, "file_input": FILE_INPUT}),
        "alert": shape(
            {"text": text(3000)}, {**_ID, "level": choice("default", "info", "warning", "error", "success")}
        ),
    },
    "home": _EVERYWHERE,
}
_ONE_A_MESSAGE = ("plan", "table")


def complaints(blocks: Any, surface: str, pointer: str = "/blocks") -> list[str]:
    """What Slack would say about `blocks` on a `message`, a `modal` or a `home`; an empty list means it takes them."""
    most = MESSAGE_BLOCKS if surface == "message" else VIEW_BLOCKS
    found = list(listing(tagged(_SURFACES[surface]), most, 0)(blocks, pointer))
    if not found:
        found += _repeated(blocks, pointer)
    return found


def _repeated(blocks: list[dict[str, Any]], pointer: str) -> Iterator[str]:
    names: set[str] = set()
    kinds: set[str] = set()
    for index, block in enumerate(blocks):
        if block.get("block_id") in names:
            yield complaint("block_id must be unique", f"{pointer}/{index}/block_id")
        if block["type"] in kinds and block["type"] in _ONE_A_MESSAGE:
            yield complaint(f"only one {block['type']} block allowed", f"{pointer}/{index}")
        names |= {block["block_id"]} if "block_id" in block else set()
        kinds.add(block["type"])


def size(value: Any) -> int:
    """Characters of `value` as compact JSON."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


_COMMON_VIEW: dict[str, Check] = {
    "private_metadata": string(3000, 0),
    "callback_id": string(255, 0),
    "external_id": string(255, 0),
}
_VIEW = tagged(
    {
        "modal": shape(
            {"title": plain(24), "blocks": lambda value, pointer: iter(complaints(value, "modal", pointer))},
            {
                **_COMMON_VIEW,
                "submit": plain(24),
                "close": plain(24),
                "clear_on_close": boolean,
                "notify_on_close": boolean,
                "submit_disabled": boolean,
            },
        ),
        "home": shape({"blocks": lambda value, pointer: iter(complaints(value, "home", pointer))}, _COMMON_VIEW),
    }
)


def view_complaints(view: Any, kind: str) -> list[str]:
    """What Slack would say about a view that is to be a `modal` or a `home`."""
    found = list(_VIEW(view, "/view"))
    if not found and view["type"] != kind:
        found.append(complaint(f"unsupported type: {view['type']}", "/view/type"))
    asks = kind == "modal" and not found and any(block["type"] == "input" for block in view["blocks"])
    if asks and "submit" not in view:
        found.append(complaint("submit is required when an input block is within blocks", "/view/submit"))
    return found


def with_ids(blocks: list[dict[str, Any]], new_id: Any) -> list[dict[str, Any]]:
    """The same blocks, with an id for each block and each pressable element that came without one.

    `new_id` gives a fresh identifier at each call.
    """
    named = []
    for given in blocks:
        block = {"block_id": new_id(), **given}
        for slot in ("accessory", "element"):
            if slot in block:
                block[slot] = _named(block[slot], new_id)
        if block["type"] == "actions":
            block["elements"] = [_named(element, new_id) for element in block["elements"]]
        named.append(block)
    return named


def _named(element: dict[str, Any], new_id: Any) -> dict[str, Any]:
    return element if element["type"] == "image" else {"action_id": new_id(), **element}


def pressables(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every element that a person can press or choose from, with the id of its block."""
    for block in blocks:
        if block["type"] == "actions":
            for element in block["elements"]:
                yield block["block_id"], element
        elif block.get("accessory", {}).get("type", "image") != "image":
            yield block["block_id"], block["accessory"]
