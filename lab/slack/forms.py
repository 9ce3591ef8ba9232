"""Decides what a form that somebody filled sends, and what keeps it from being sent."""

from collections.abc import Callable, Iterator
from typing import Any

Blocks = list[dict[str, Any]]
FileOf = Callable[[str], dict[str, Any]]

_SINGLE = ("static_select", "radio_buttons", "overflow")
_PLAIN = {"users_select": "user", "datepicker": "date", "timepicker": "time"}
_KEEPING = ("static_select", "radio_buttons", "checkboxes", *_PLAIN)


def fields(blocks: Blocks) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each block and its element that keeps a value: inputs, and menus that stand in sections and actions."""
    for block in blocks:
        if block["type"] == "input":
            yield block, block["element"]
            continue
        for element in block["elements"] if block["type"] == "actions" else [block.get("accessory", {})]:
            if element.get("type") in _KEEPING:
                yield block, element


def chosen(element: dict[str, Any], raw: Any, file_of: FileOf) -> dict[str, Any]:
    """What Slack sends for an element.

    `raw` is a text, an option's value, a list of those, or of file ids; None stands for what was there initially.

    Raises ValueError for an option that the element does not have.
    """
    kind = element["type"]
    if kind in _SINGLE:
        option = element.get("initial_option") if raw is None else _option(element, raw)
        return {"type": kind, "selected_option": option}
    if kind == "checkboxes":
        options = element.get("initial_options", []) if raw is None else [_option(element, one) for one in raw]
        return {"type": kind, "selected_options": options}
    if kind == "file_input":
        return {"type": kind, "files": [file_of(one) for one in raw or []]}
    if kind in _PLAIN:
        name = _PLAIN[kind]
        return {"type": kind, f"selected_{name}": raw or element.get(f"initial_{name}")}
    value = element.get("initial_value") if raw is None else raw
    return {"type": kind, "value": value or None}


def _option(element: dict[str, Any], value: str) -> dict[str, Any]:
    for option in element["options"]:
        if option["value"] == value:
            return dict(option)
    raise ValueError(f"{element['action_id']} has no option {value!r}")


def state(blocks: Blocks, filled: dict[str, dict[str, Any]], file_of: FileOf) -> dict[str, dict[str, Any]]:
    """The values of a whole form by block and action, as `view.state.values` has them."""
    values: dict[str, dict[str, Any]] = {}
    for block, element in fields(blocks):
        raw = filled.get(block["block_id"], {}).get(element["action_id"])
        values.setdefault(block["block_id"], {})[element["action_id"]] = chosen(element, raw, file_of)
    return values


def unfit(blocks: Blocks, values: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Why Slack's own client would not send this form, by block; empty when it would."""
    errors = {}
    for block, element in fields(blocks):
        if block["type"] != "input":
            continue
        value = values[block["block_id"]][element["action_id"]]
        content = next(part for key, part in value.items() if key != "type")
        if why := _unfit(element, content, bool(block.get("optional"))):
            errors[block["block_id"]] = why
    return errors


def _unfit(element: dict[str, Any], content: Any, optional: bool) -> str:
    if not content:
        return "" if optional else "Please complete this required field."
    if element["type"] == "file_input":
        return _unfit_files(element, content)
    return _unfit_text(element, content) if element["type"] == "plain_text_input" else ""


def _unfit_files(element: dict[str, Any], files: list[dict[str, Any]]) -> str:
    if len(files) > element.get("max_files", 10):
        return f"Choose at most {element.get('max_files', 10)} files."
    allowed = [kind.lower().lstrip(".") for kind in element.get("filetypes", [])]
    for file in files:
        if allowed and not any(file["name"].lower().endswith("." + kind) for kind in allowed):
            return f"{file['name']} is not one of: {', '.join(allowed)}."
    return ""


def _unfit_text(element: dict[str, Any], content: str) -> str:
    least, most = element.get("min_length", 0), min(element.get("max_length", 3000), 3000)
    if len(content) < least:
        return f"Enter at least {least} characters."
    return f"Enter at most {most} characters." if len(content) > most else ""


def placed(blocks: Blocks, values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Values given by block, by action, or by both, sorted into blocks and actions.

    Raises ValueError for a name that no field of the form has.
    """
    places = {}
    for block, element in fields(blocks):
        for name in (element["action_id"], block["block_id"]):
            places[name] = (block["block_id"], element["action_id"])
    filled: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if name not in places:
            raise ValueError(f"the form has no field {name!r}; it has {', '.join(sorted(places)) or 'none'}")
        nested = isinstance(value, dict)
        block_id, action_id = places[name]
        filled.setdefault(block_id, {}).update(value if nested else {action_id: value})
    return filled
