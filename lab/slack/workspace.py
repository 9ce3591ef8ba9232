"""Holds one workspace: people, channels, messages, files, modals, triggers and tokens."""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.slack import forms
from lab.slack.blocks import with_ids
from lab.slack.errors import Refused
from lab.slack.faults import Faults
from lab.slack.journal import Journal
from lab.slack.link import Link
from lab.slack.people import (
    BOT_USER,
    SCOPES,
    Channel,
    Command,
    User,
    UserGroup,
    sample_channels,
    sample_commands,
    sample_groups,
    sample_users,
)
from lab.slack.rates import Limiter, Rate
from lab.slack.things import File, Message, View

TRIGGER_SECONDS = 3.0
RESPONSE_SECONDS, RESPONSE_USES = 30 * 60, 5


@dataclass
class Trigger:
    """A `trigger_id`: for whom, since when, and whether it was used."""

    user: str
    born: float
    used: bool = False


@dataclass
class ResponseUrl:
    """Where an answer to one interaction may be sent; `origin` is the message that was interacted with."""

    channel: str
    user: str
    born: float
    origin: Message | None
    uses: int = 0


class Workspace:
    """A Slack workspace with one app in it, made from plain data.

    Without arguments it is the sample of people.py. `scopes` are the bot token's; `rates` replaces the rate of a
    method by name; `clock` gives epoch seconds and decides when triggers, response addresses and rates run out;
    `ack_seconds` is the real time that the app has for an ack. To be used from one event loop.
    """

    def __init__(
        self,
        users: Iterable[User] | None = None,
        channels: Iterable[Channel] | None = None,
        groups: Iterable[UserGroup] | None = None,
        commands: Iterable[Command] | None = None,
        scopes: Iterable[str] = SCOPES,
        rates: Mapping[str, Rate] | None = None,
        bot_token: str = "",
        app_token: str = "",
        clock: Callable[[], float] = time.time,
        ack_seconds: float = 3.0,
    ) -> None:
        self.users = {user.id: user for user in (sample_users() if users is None else users)}
        self.channels = {one.id: one for one in (sample_channels() if channels is None else channels)}
        self.groups = {group.id: group for group in (sample_groups() if groups is None else groups)}
        self.commands = {one.name: one for one in (sample_commands() if commands is None else commands)}
        self.scopes = set(scopes)
        self.limiter = Limiter(dict(rates or {}))
        self.bot_token = bot_token or f"xoxb-{secrets.token_hex(16)}"
        self.app_token = app_token or f"xapp-1-A01LAB-{secrets.token_hex(16)}"
        self.clock = clock
        self.url = "http://127.0.0.1/"  # the doors set it to the address that they were called by
        self.journal = Journal(clock)
        self.faults = Faults()
        self.link = Link(self.journal, ack_seconds, self.faults)
        self.messages: dict[str, dict[str, Message]] = {name: {} for name in self.channels}
        self.ephemerals: dict[str, list[Message]] = {}
        self.files: dict[str, File] = {}
        self.upload_tickets: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.modals: dict[str, View] = {}
        self.homes: dict[str, View] = {}
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.bookmarks: dict[str, list[dict[str, Any]]] = {}
        self.pins: set[tuple[str, str]] = set()
        self._last_ts = 0

    async def close(self) -> None:
        """Let waiting pages go and end the Socket Mode connections, so that a server can stop at once."""
        self.journal.close()
        await self.link.close()

    def new_id(self, prefix: str = "") -> str:
        """A fresh identifier, as Slack's look."""
        return prefix + secrets.token_hex(5).upper()

    def new_ts(self) -> str:
        """The present moment as a message's `ts`, later than every one before."""
        self._last_ts = max(self._last_ts + 1, int(self.clock() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    # --- who and where -------------------------------------------------------------------------------------------

    def user(self, name: str) -> User:
        """Raises Refused `user_not_found`."""
        if name not in self.users:
            raise Refused("user_not_found")
        return self.users[name]

    def visible_channel(self, name: str) -> Channel:
        """A channel that the bot may look at. Raises Refused `channel_not_found`, also for a private one without it."""
        channel = self.channels.get(name)
        if channel is None or (channel.is_private and BOT_USER not in channel.members):
            raise Refused("channel_not_found")
        return channel

    def joined_channel(self, name: str) -> Channel:
        """A channel that the bot is in. Raises Refused `channel_not_found`, `not_in_channel`, `is_archived`."""
        channel = self.visible_channel(name)
        if BOT_USER not in channel.members:
            raise Refused("not_in_channel")
        if channel.is_archived:
            raise Refused("is_archived")
        return channel

    def addressed(self, name: str) -> Channel:
        """Where a post goes: a channel that the bot is in, or for a person's id the conversation of the two alone.

        Raises Refused as `joined_channel` does.
        """
        user = self.users.get(name)
        if user is None or user.is_bot or user.deleted:
            return self.joined_channel(name)
        pair = f"D{name}"
        if pair not in self.channels:
            self.channels[pair] = Channel(pair, user.name, [name, BOT_USER], is_private=True, is_im=True)
            self.messages[pair] = {}
        return self.channels[pair]

    # --- messages ------------------------------------------------------------------------------------------------

    def message(self, channel: str, ts: str) -> Message:
        """Raises Refused `message_not_found`."""
        found = self.messages.get(channel, {}).get(ts)
        if found is None or found.deleted:
            raise Refused("message_not_found")
        return found

    def post(self, channel: str, user: str, text: str, blocks: list[dict[str, Any]], **more: Any) -> Message:
        """Add a message; `more` are further fields of Message. Raises Refused `thread_not_found`."""
        message = Message(self.new_ts(), channel, user, text, with_ids(blocks, self.new_id), user == BOT_USER, **more)
        if message.thread_ts is not None:
            parent = self.messages[channel].get(message.thread_ts)
            if parent is None or parent.is_gone:
                raise Refused("thread_not_found")
            if parent.is_reply:
                raise Refused("cannot_reply_to_message")
            parent.replies.append(message)
            self.show(parent)
        self.messages[channel][message.ts] = message
        self.show(message)
        return message

    def show(self, message: Message) -> None:
        """Tell pages that a message is there or has changed."""
        shown = message.payload(self.url)
        if message.only_for:
            self.journal.tell("ephemeral", channel=message.channel, user=message.only_for, message=shown)
        else:
            self.journal.tell("message", channel=message.channel, message=shown)

    def change(self, message: Message, text: str, blocks: list[dict[str, Any]]) -> None:
        """Replace what a message says."""
        message.past.append(message.blocks)
        message.text, message.blocks = text, with_ids(blocks, self.new_id)
        if not message.only_for:
            message.edited = self.new_ts()
        self.show(message)

    def remove(self, message: Message) -> None:
        """Delete a message; one with replies leaves a tombstone behind."""
        message.deleted = True
        message.past.append(message.blocks)
        message.text, message.blocks, message.files = "This message was deleted.", [], []
        if message.replies:
            self.show(message)
            return
        if message.is_reply and message.thread_ts and not message.only_for:
            parent = self.messages[message.channel][message.thread_ts]
            parent.replies.remove(message)
            self.show(parent)
        self.journal.tell("gone", channel=message.channel, user=message.only_for, ts=message.ts)

    def whisper(
        self,
        channel: str,
        user: str,
        text: str,
        blocks: list[dict[str, Any]],
        sender: str = BOT_USER,
        thread_ts: str | None = None,
    ) -> Message:
        """Show a message to one person only."""
        named, by_app = with_ids(blocks, self.new_id), sender == BOT_USER
        message = Message(self.new_ts(), channel, sender, text, named, by_app, thread_ts, only_for=user)
        self.ephemerals.setdefault(user, []).append(message)
        self.show(message)
        return message

    # --- triggers and response addresses -------------------------------------------------------------------------

    def new_trigger(self, user: str) -> str:
        """A `trigger_id` for an interaction of this person."""
        name = f"{self.new_ts()}.{secrets.token_hex(8)}"
        self.triggers[name] = Trigger(user, self.clock())
        return name

    def redeem(self, name: str) -> str:
        """The person of a trigger.

        Raises Refused `invalid_trigger_id`, `exchanged_trigger_id`, `expired_trigger_id`.
        """
        trigger = self.triggers.get(name)
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if self.clock() - trigger.born > TRIGGER_SECONDS:
            raise Refused("expired_trigger_id")
        trigger.used = True
        return trigger.user

    def new_response_url(self, channel: str, user: str, origin: Message | None = None) -> str:
        """An address that takes answers to one interaction."""
        key = secrets.token_urlsafe(18)
        self.response_urls[key] = ResponseUrl(channel, user, self.clock(), origin)
        return f"{self.url}actions/{key}"

    def use_response_url(self, key: str) -> ResponseUrl:
        """Count one use. Raises Refused `invalid_url`, `expired_url`, `used_url`, all with status 404."""
        target = self.response_urls.get(key)
        if target is None:
            raise Refused("invalid_url", 404)
        if self.clock() - target.born > RESPONSE_SECONDS:
            raise Refused("expired_url", 404)
        if target.uses >= RESPONSE_USES:
            raise Refused("used_url", 404)
        target.uses += 1
        return target

    # --- files and views -----------------------------------------------------------------------------------------

    def new_file(self, name: str, user: str, **more: Any) -> File:
        """Register a file whose bytes are here or still to come; `more` are further fields of File."""
        file = File(self.new_id("F"), name, user, int(self.clock()), **more)
        self.files[file.id] = file
        return file

    def file_payload(self, name: str) -> dict[str, Any]:
        """The file object by id. Raises Refused `file_not_found`."""
        if name not in self.files:
            raise Refused("file_not_found")
        return self.files[name].payload(self.url)

    def view_payload(self, view: View) -> dict[str, Any]:
        """The view with the values that were entered so far."""
        return view.payload(forms.state(view.body["blocks"], view.filled, self.file_payload))

    def new_view(self, user: str, body: dict[str, Any]) -> View:
        """Register a view that was found well-formed."""
        view = View(self.new_id("V"), user, self.new_ts(), self._named(body))
        self.views[view.id] = view
        return view

    def change_view(self, view: View, body: dict[str, Any]) -> None:
        """Replace a view's content; what was entered stays where block and action are still the same."""
        view.body, view.hash = self._named(body), self.new_ts()
        view.errors, view.trouble = {}, ""
        view.filled = {
            block["block_id"]: view.filled[block["block_id"]]
            for block, _ in forms.fields(view.body["blocks"])
            if block["block_id"] in view.filled
        }
        if self.modals.get(view.user) is view:
            self.show_modal(view.user)

    def open_modal(self, view: View) -> None:
        """Show a view as the person's modal, instead of any other."""
        self.modals[view.user] = view
        self.show_modal(view.user)

    def close_modal(self, user: str) -> None:
        """Take the person's modal away."""
        if user in self.modals:
            del self.views[self.modals.pop(user).id]
            self.show_modal(user)

    def modal_state(self, user: str) -> dict[str, Any] | None:
        """What the person sees of their modal, or None."""
        view = self.modals.get(user)
        return None if view is None else {**self.view_payload(view), "errors": view.errors, "trouble": view.trouble}

    def show_modal(self, user: str) -> None:
        """Tell pages how the person's modal is now."""
        self.journal.tell("modal", user=user, view=self.modal_state(user))

    def _named(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "blocks": with_ids(body["blocks"], self.new_id)}
