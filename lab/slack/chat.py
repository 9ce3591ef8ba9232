"""The Web API's methods that say something: chat, reactions, pins, bookmarks."""

from typing import Any

from lab.slack.api import Answer, Call, method
from lab.slack.blocks import MESSAGE_BUDGET, complaints, size
from lab.slack.errors import Refused, malformed
from lab.slack.people import BOT_USER
from lab.slack.rates import FREE, POSTS
from lab.slack.things import Message

TEXT_LIMIT, UPDATE_LIMIT, METADATA_LIMIT = 40_000, 4_000, 16_000


def content(call: Call, limit: int) -> tuple[str, list[dict[str, Any]]]:
    """The text and the blocks of a message that is to be shown.

    Raises Refused `no_text`, `msg_too_long`, `invalid_blocks_format`, `invalid_blocks`, `msg_blocks_too_long`.
    """
    text, blocks = call.text("text"), call.json("blocks", "invalid_blocks_format") or []
    if len(text) > limit:
        raise Refused("msg_too_long")
    check_blocks(blocks)
    if not text.strip() and not blocks:
        raise Refused("no_text")
    return text, blocks


def check_blocks(blocks: Any) -> None:
    """Raises Refused `invalid_blocks` or `msg_blocks_too_long` for what a message may not carry."""
    found = complaints(blocks, "message")
    if found:
        raise malformed("invalid_blocks", found)
    if size(blocks) > MESSAGE_BUDGET:
        raise Refused("msg_blocks_too_long")


def _metadata(call: Call) -> dict[str, Any] | None:
    metadata = call.json("metadata", "invalid_metadata_format")
    if metadata is None:
        return None
    known = isinstance(metadata, dict) and set(metadata) <= {"event_type", "event_payload", "entities"}
    if (
        not known
        or not isinstance(metadata.get("event_type"), str)
        or not isinstance(metadata.get("event_payload"), dict)
    ):
        raise Refused("invalid_metadata_schema")
    if size(metadata) > METADATA_LIMIT:
        raise Refused("metadata_too_large")
    return dict(metadata)


@method("chat.postMessage", "chat:write", tier=POSTS)
def post_message(call: Call) -> Answer:
    """A message in a channel, or below another one, or to one person."""
    channel = call.workspace.addressed(call.need("channel"))
    text, blocks = content(call, TEXT_LIMIT)
    message = call.workspace.post(
        channel.id,
        BOT_USER,
        text,
        blocks,
        thread_ts=call.text("thread_ts") or None,
        broadcast=bool(call.text("thread_ts")) and call.flag("reply_broadcast"),
        metadata=_metadata(call),
    )
    return {"channel": channel.id, "ts": message.ts, "message": message.payload(call.workspace.url, True)}


def _own(call: Call, error: str) -> Message:
    workspace = call.workspace
    message = workspace.message(workspace.joined_channel(call.need("channel")).id, call.need("ts"))
    if message.user != BOT_USER:
        raise Refused(error)
    return message


@method("chat.update", "chat:write", tier=3)
def update(call: Call) -> Answer:
    """Other words for a message of the bot's own; blocks go when only a text is given."""
    message = _own(call, "cant_update_message")
    text, blocks = content(call, UPDATE_LIMIT)
    metadata = _metadata(call)
    message.metadata = message.metadata if metadata is None else metadata
    call.workspace.change(message, text, blocks)
    shown = message.payload(call.workspace.url, True)
    return {"channel": message.channel, "ts": message.ts, "text": text, "message": shown}


@method("chat.delete", "chat:write", tier=3)
def delete(call: Call) -> Answer:
    """Takes a message of the bot's own away."""
    message = _own(call, "cant_delete_message")
    call.workspace.remove(message)
    return {"channel": message.channel, "ts": message.ts}


@method("chat.postEphemeral", "chat:write", tier=4)
def post_ephemeral(call: Call) -> Answer:
    """A message for one member of a channel."""
    channel = call.workspace.joined_channel(call.need("channel"))
    user = call.need("user")
    if user not in channel.members:
        raise Refused("user_not_in_channel")
    text, blocks = content(call, TEXT_LIMIT)
    thread = call.text("thread_ts") or None
    return {"message_ts": call.workspace.whisper(channel.id, user, text, blocks, thread_ts=thread).ts}


@method("chat.getPermalink", tier=FREE)
def permalink(call: Call) -> Answer:
    """The address of a message."""
    workspace = call.workspace
    message = workspace.message(workspace.visible_channel(call.need("channel")).id, call.need("message_ts"))
    address = f"{workspace.url}archives/{message.channel}/p{message.ts.replace('.', '')}"
    if message.is_reply:
        address += f"?thread_ts={message.thread_ts}&cid={message.channel}"
    return {"channel": message.channel, "permalink": address}


@method("reactions.add", "reactions:write", tier=3)
def react(call: Call) -> Answer:
    """An emoji below a message."""
    workspace = call.workspace
    message = workspace.message(workspace.joined_channel(call.need("channel")).id, call.need("timestamp"))
    users = message.reactions.setdefault(call.need("name").strip(":"), [])
    if BOT_USER in users:
        raise Refused("already_reacted")
    users.append(BOT_USER)
    workspace.show(message)
    return {}


@method("pins.add", "pins:write", tier=2)
def pin(call: Call) -> Answer:
    """A message pinned to its channel."""
    workspace = call.workspace
    message = workspace.message(workspace.joined_channel(call.need("channel")).id, call.need("timestamp"))
    if (message.channel, message.ts) in workspace.pins:
        raise Refused("already_pinned")
    workspace.pins.add((message.channel, message.ts))
    return {}


@method("bookmarks.add", "bookmarks:write", tier=2)
def bookmark(call: Call) -> Answer:
    """A link at the top of a channel."""
    workspace = call.workspace
    channel = workspace.joined_channel(call.need("channel_id"))
    entry = {
        "id": workspace.new_id("Bk"),
        "channel_id": channel.id,
        "title": call.need("title"),
        "type": call.need("type"),
        "link": call.text("link"),
    }
    workspace.bookmarks.setdefault(channel.id, []).append(entry)
    return {"bookmark": entry}
