"""Decides what Block Kit's texts, buttons, inputs and rich text must look like.

Limits from docs.slack.dev/reference/block-kit; the pieces of blocks.py.
"""

from collections.abc import Iterator
from typing import Any

from lab.slack.schema import Check, anything, boolean, choice, complaint, every, integer, listing, shape, string, tagged

IDENTIFIER = string(255)
URL = string(3000)


def plain(most: int) -> Check:
    """A plain_text object."""
    return tagged({"plain_text": shape({"text": string(most)}, {"emoji": boolean})})


def text(most: int) -> Check:
    """A text object, plain or mrkdwn."""
    return tagged(
        {
            "plain_text": shape({"text": string(most)}, {"emoji": boolean}),
            "mrkdwn": shape({"text": string(most)}, {"verbatim": boolean}),
        }
    )


CONFIRM = shape(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": choice("primary", "danger")},
)


def options(most: int, label: Check, least: int = 1) -> Check:
    """The options of a menu or a group of boxes."""
    return listing(
        shape({"text": label, "value": string(150)}, {"description": text(75), "url": URL}),
        most,
        least,
    )


def image_source(value: Any, pointer: str) -> Iterator[str]:
    """Slack fetches the picture itself, so an address that only this machine can reach fails there too."""
    if ("image_url" in value) == ("slack_file" in value):
        yield complaint("must define either `image_url` or `slack_file`", pointer)
    address = str(value.get("image_url", ""))
    if "://127." in address or "://localhost" in address:
        yield complaint("downloading image failed", f"{pointer}/image_url")


SLACK_FILE = shape({}, {"id": string(255), "url": URL})
IMAGE_PARTS = {"image_url": URL, "slack_file": SLACK_FILE}
IMAGE = every(shape({"alt_text": string(2000)}, IMAGE_PARTS), image_source)

_OPTION = shape({"text": text(75), "value": string(150)}, {"description": text(75)})
_ID = {"action_id": IDENTIFIER, "confirm": CONFIRM, "focus_on_load": boolean}
_MENU = {**_ID, "placeholder": plain(150)}

BUTTON = shape(
    {"text": plain(75)},
    {
        "action_id": IDENTIFIER,
        "url": URL,
        "value": string(2000),
        "style": choice("primary", "danger"),
        "confirm": CONFIRM,
        "accessibility_label": string(75),
    },
)

CHOOSERS: dict[str, Check] = {
    "static_select": shape({"options": options(100, plain(75))}, {**_MENU, "initial_option": _OPTION}),
    "users_select": shape({}, {**_MENU, "initial_user": string(255)}),
    "radio_buttons": shape({"options": options(10, text(75))}, {**_ID, "initial_option": _OPTION}),
    "checkboxes": shape({"options": options(10, text(75))}, {**_ID, "initial_options": listing(_OPTION, 10)}),
    "datepicker": shape({}, {**_MENU, "initial_date": string(10, 10)}),
    "timepicker": shape({}, {**_MENU, "initial_time": string(5, 5), "timezone": string(100)}),
}
PRESSABLE: dict[str, Check] = {
    "button": BUTTON,
    "overflow": shape({"options": options(5, plain(75))}, {"action_id": IDENTIFIER, "confirm": CONFIRM}),
    **CHOOSERS,
}
INPUTS: dict[str, Check] = {
    "plain_text_input": shape(
        {},
        {
            "action_id": IDENTIFIER,
            "initial_value": string(3000, 0),
            "placeholder": plain(150),
            "multiline": boolean,
            "min_length": integer,
            "max_length": integer,
            "focus_on_load": boolean,
            "dispatch_action_config": anything,
        },
    ),
    **CHOOSERS,
}


def _file_count(value: Any, pointer: str) -> Iterator[str]:
    yield from integer(value, pointer)
    if isinstance(value, int) and not 1 <= value <= 10:
        yield complaint("must be between 1 and 10", pointer)


FILE_INPUT = shape(
    {},
    {"action_id": IDENTIFIER, "filetypes": listing(string(255), 100), "max_files": _file_count},
)

_STYLE = shape({}, dict.fromkeys(("bold", "italic", "strike", "code", "underline"), boolean))
_STYLED = {"style": _STYLE}
_INLINE = tagged(
    {
        "text": shape({"text": string(12000)}, _STYLED),
        "link": shape({"url": URL}, {**_STYLED, "text": string(3000), "unsafe": boolean}),
        "emoji": shape({"name": string(255)}, {**_STYLED, "unicode": string(255), "skin_tone": integer}),
        "user": shape({"user_id": string(255)}, _STYLED),
        "channel": shape({"channel_id": string(255)}, _STYLED),
        "usergroup": shape({"usergroup_id": string(255)}, _STYLED),
        "broadcast": shape({"range": choice("here", "channel", "everyone")}, _STYLED),
        "date": shape({"timestamp": integer, "format": string(255)}, {**_STYLED, "url": URL, "fallback": string(255)}),
    }
)
_INLINES = listing(_INLINE, 1000, 0)
_SECTION = shape({"elements": _INLINES})
RICH_ELEMENTS = listing(
    tagged(
        {
            "rich_text_section": _SECTION,
            "rich_text_list": shape(
                {
                    "style": choice("bullet", "ordered"),
                    "elements": listing(tagged({"rich_text_section": _SECTION}), 1000),
                },
                {"indent": integer, "offset": integer, "border": integer},
            ),
            "rich_text_preformatted": shape({"elements": _INLINES}, {"border": integer, "language": string(255)}),
            "rich_text_quote": shape({"elements": _INLINES}, {"border": integer}),
        }
    ),
    1000,
)
RICH_TEXT = tagged({"rich_text": shape({"elements": RICH_ELEMENTS}, {"block_id": IDENTIFIER})})
