"""Decides what an envelope of Slack's says: the few fields of it that are used, each of its type, or a Refusal."""

from typing import Annotated, Any

import msgspec

from plans.errors import Refusal


class Named(msgspec.Struct, frozen=True):
    """A person or a channel, by its id."""

    id: str


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """A slash command."""

    user_id: str
    channel_id: str
    text: str | None = None
    trigger_id: str | None = None
    response_url: str | None = None


class Action(msgspec.Struct, frozen=True):
    """What was pressed."""

    action_id: str
    value: str | None = None


class Container(msgspec.Struct, frozen=True):
    """The message that the button stands in."""

    message_ts: str | None = None
    thread_ts: str | None = None


class Pressed(msgspec.Struct, frozen=True, kw_only=True):
    """A button."""

    user: Named
    actions: Annotated[tuple[Action, ...], msgspec.Meta(min_length=1)]
    channel: Named | None = None
    container: Container | None = None
    trigger_id: str | None = None
    response_url: str | None = None


class Metadata(msgspec.Struct, frozen=True):
    """What a form carries from the command that opened it: where it was typed, and what takes an answer.

    `run`, `question` and `choice` are those of an answer that the form asks a note for.
    """

    channel: str
    address: str
    thread: str = ""
    run: int = 0
    question: int = 0
    choice: str = ""


class Entered(msgspec.Struct, frozen=True):
    """What stands in one field of a form."""

    value: str | None = None
    files: tuple[Named, ...] | None = None


class Submitted(msgspec.Struct, frozen=True):
    """A form that was sent: by whom, what it was opened with, and what was entered, by block and name of the field."""

    by: str
    trigger_id: str | None
    about: Metadata
    values: dict[str, dict[str, Entered]]

    def entered(self, field: str) -> Entered:
        """A field that is called as its block is; an empty one where the form has no such field."""
        return self.values.get(field, {}).get(field, Entered())


class _State(msgspec.Struct, frozen=True):
    values: dict[str, dict[str, Entered]]


class _View(msgspec.Struct, frozen=True):
    private_metadata: str
    state: _State


class _Form(msgspec.Struct, frozen=True):
    user: Named
    view: _View
    trigger_id: str | None = None


def envelope(body: dict[str, Any]) -> Typed | Pressed | Submitted | None:
    """What Slack says in a payload; None for what the bot does not listen to. Raises Refusal `strange_envelope`."""
    try:
        if "command" in body:
            return msgspec.convert(body, Typed)
        if body.get("type") == "block_actions":
            return msgspec.convert(body, Pressed)
        if body.get("type") == "view_submission":
            form = msgspec.convert(body, _Form)
            about = msgspec.json.decode(form.view.private_metadata, type=Metadata)
            return Submitted(form.user.id, form.trigger_id, about, form.view.state.values)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Refusal("strange_envelope", f"Slack does not send this: {error}.", "Nothing was done.") from None
    return None
