"""Does what a person does in the client (types, presses, fills a modal), and sends it to the app as envelopes."""

import re
from dataclasses import dataclass, field
from typing import Any

from lab.slack import forms
from lab.slack.answers import shown
from lab.slack.blocks import pressables, view_complaints
from lab.slack.errors import Refused
from lab.slack.link import Ack
from lab.slack.people import APP, BOT_USER, TEAM, Channel, User
from lab.slack.things import File, Message, View
from lab.slack.workspace import Workspace

SLACKBOT = "USLACKBOT"
TROUBLE = "We had some trouble connecting. Try again?"
_TYPED = re.compile(
    r"(?P<url>https?://[^\s<>|]+)|(?<!\S)[@](?P<name>[\w.-]+)|(?<!\S)#(?P<channel>[\w-]+)|(?P<mark>[&<>])"
)


@dataclass(frozen=True)
class Done:
    """How the app took it: milliseconds to the ack, what it answered at once, Slack's name for what went wrong."""

    ack_ms: float
    error: str = ""
    answer: dict[str, Any] | None = None
    errors: dict[str, str] = field(default_factory=dict)


def escaped(workspace: Workspace, text: str) -> str:
    """What was typed as a command with `should_escape` brings it: mentions and links in angle brackets."""
    users = {user.name: f"<@{user.id}|{user.name}>" for user in workspace.users.values()}
    groups = {group.handle: f"<!subteam^{group.id}|@{group.handle}>" for group in workspace.groups.values()}
    channels = {channel.name: f"<#{channel.id}|{channel.name}>" for channel in workspace.channels.values()}

    def replace(match: re.Match[str]) -> str:
        whole = match.group()
        if match["url"]:
            return "<" + whole.replace("&", "&amp;") + ">"
        if match["mark"]:
            return {"&": "&amp;", "<": "&lt;", ">": "&gt;"}[whole]
        if match["name"]:
            return {**users, **groups}.get(match["name"], whole)
        return channels.get(match["channel"], whole)

    return _TYPED.sub(replace, text)


class Visitor:
    """One person in one workspace. Every verb raises ValueError with a sentence when the client would not offer it."""

    def __init__(self, workspace: Workspace, user: str) -> None:
        if user not in workspace.users:
            raise ValueError(f"nobody has the id {user!r}")
        self._workspace = workspace
        self._user: User = workspace.users[user]

    async def types(self, channel: str, typed: str) -> Done:
        """Type a slash command in a channel."""
        place = self._place(channel)
        name, _, text = typed.strip().partition(" ")
        if name not in self._workspace.commands:
            return self._told(place, Ack(0.0), f"{name} is not a valid command.", "unknown_command")
        payload = {
            "token": "lab",
            "team_id": self._user.team,
            "team_domain": "lab",
            "channel_id": place.id,
            "channel_name": place.name,
            "user_id": self._user.id,
            "user_name": self._user.name,
            "command": name,
            "text": escaped(self._workspace, text.strip()),
            "api_app_id": APP,
            "is_enterprise_install": "false",
            "response_url": self._workspace.new_response_url(place.id, self._user.id),
            "trigger_id": self._workspace.new_trigger(self._user.id),
        }
        ack = await self._workspace.link.deliver("slash_commands", payload, True)
        if ack.error:
            return self._told(place, ack, f'{name} failed with the error "{ack.error}"', ack.error)
        if not ack.payload:
            return Done(ack.ms)
        try:
            message = shown(self._workspace, place.id, self._user.id, ack.payload)
        except Refused:
            error = "invalid_command_response"
            return self._told(place, ack, f'{name} failed with the error "{error}"', error)
        return Done(ack.ms, answer=message.payload(self._workspace.url))

    def _told(self, place: Channel, ack: Ack, text: str, error: str) -> Done:
        message = self._workspace.whisper(place.id, self._user.id, text, [], SLACKBOT)
        return Done(ack.ms, error, message.payload(self._workspace.url))

    async def presses(
        self, channel: str, ts: str, action_id: str, block_id: str = "", value: Any = None, force: bool = False
    ) -> Done:
        """Press a button of a message, or choose `value` in a menu; `value` also tells buttons of one action apart.

        With `force` also what an earlier version of the message showed: a client that has not caught up.
        """
        place, message = self._place(channel), self._message(channel, ts)
        versions = [message.blocks, *reversed(message.past)] if force else [message.blocks]
        block, element = self._element(versions, action_id, block_id, value)
        container = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": place.id,
            "is_ephemeral": bool(message.only_for),
        }
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        payload = {
            "container": container,
            "channel": {"id": place.id, "name": place.name},
            "message": message.payload(self._workspace.url, True),
            "state": {"values": forms.state(message.blocks, {}, self._workspace.file_payload)},
            "response_url": self._workspace.new_response_url(place.id, self._user.id, message),
        }
        return await self._acts(payload, block, element, value)

    async def presses_in_view(self, action_id: str, block_id: str = "", value: Any = None, home: bool = False) -> Done:
        """Press a button of the open modal or of the app's home, or choose `value` in a menu of it."""
        view = self._home() if home else self._modal()
        block, element = self._element([view.body["blocks"]], action_id, block_id, value)
        if element["type"] != "button":
            view.filled.setdefault(block, {})[action_id] = value
        shape = self._workspace.view_payload(view)
        payload = {"container": {"type": "view", "view_id": view.id}, "view": shape, "state": shape["state"]}
        return await self._acts(payload, block, element, value)

    async def _acts(self, payload: dict[str, Any], block: str, element: dict[str, Any], value: Any) -> Done:
        action = {"action_id": element["action_id"], "block_id": block, "action_ts": self._workspace.new_ts()}
        if element["type"] == "button":
            action |= {key: part for key, part in element.items() if key != "confirm"}
        else:
            action |= forms.chosen(element, value, self._workspace.file_payload)
        ack = await self._interacts({"type": "block_actions", **payload, "actions": [action]})
        return Done(ack.ms, ack.error)

    def fills(self, values: dict[str, Any]) -> None:
        """Enter values into the open modal, by action or block; files by the ids that `uploads` gave."""
        view = self._modal()
        for block, entered in forms.placed(view.body["blocks"], values).items():
            view.filled.setdefault(block, {}).update(entered)
        self._workspace.view_payload(view)  # an option or a file that is not there shows itself here

    async def submits(self, values: dict[str, Any]) -> Done:
        """Enter values and press the modal's submit; what is not accepted is told by block."""
        self.fills(values)
        view = self._modal()
        shape = self._workspace.view_payload(view)
        view.trouble, view.errors = "", forms.unfit(view.body["blocks"], shape["state"]["values"])
        if view.errors:
            self._workspace.show_modal(self._user.id)
            return Done(0.0, "not_sent", errors=view.errors)
        ack = await self._interacts({"type": "view_submission", "view": shape, "response_urls": []})
        if ack.error or not self._settles(view, ack.payload):
            view.trouble = TROUBLE
            self._workspace.show_modal(self._user.id)
            return Done(ack.ms, ack.error or "invalid_response")
        return Done(ack.ms, "refused" if view.errors else "", errors=view.errors)

    def _settles(self, view: View, answer: dict[str, Any]) -> bool:
        """Do what the ack of a submission says; False when Slack would not understand it."""
        still_open = self._workspace.modals.get(view.user) is view
        match answer.get("response_action"):
            case None | "clear":
                if still_open:
                    self._workspace.close_modal(view.user)
            case "update" if not view_complaints(answer.get("view"), "modal"):
                self._workspace.change_view(view, answer["view"])
            case "errors":
                inputs = {block["block_id"] for block in view.body["blocks"] if block["type"] == "input"}
                errors = answer.get("errors")
                if not isinstance(errors, dict) or not errors or not set(errors) <= inputs:
                    return False
                view.errors = errors
                self._workspace.show_modal(view.user)
            case _:
                return False
        return True

    async def closes(self) -> Done:
        """Close the open modal without sending it; the app hears of it only where it asked to."""
        view = self._modal()
        shape = self._workspace.view_payload(view)
        self._workspace.close_modal(self._user.id)
        if not view.body.get("notify_on_close"):
            return Done(0.0)
        ack = await self._interacts({"type": "view_closed", "view": shape, "is_cleared": False})
        return Done(ack.ms, ack.error)

    def uploads(self, name: str, data: bytes) -> File:
        """Bring a file for a modal's file input."""
        if not name:
            raise ValueError("a file needs a name")
        return self._workspace.new_file(name, self._user.id, content=data, completed=True)

    async def says(self, channel: str, text: str, thread_ts: str | None = None) -> Done:
        """Write an ordinary message; the app hears of it when it is mentioned."""
        place = self._place(channel)
        if not text.strip():
            raise ValueError("a message needs a text")
        written = escaped(self._workspace, text).replace(f"<@{BOT_USER}|quarterdeck>", f"<@{BOT_USER}>")
        message = self._workspace.post(place.id, self._user.id, written, [], thread_ts=thread_ts)
        if f"<@{BOT_USER}>" not in written or BOT_USER not in place.members:
            return Done(0.0, answer=message.payload(self._workspace.url))
        event = {**message.payload(self._workspace.url), "type": "app_mention", "channel": place.id}
        ack = await self._happens({**event, "event_ts": message.ts}, place.is_ext_shared)
        return Done(ack.ms, ack.error, message.payload(self._workspace.url))

    async def opens_home(self) -> Done:
        """Look at the app's home."""
        event = {"type": "app_home_opened", "user": self._user.id, "channel": f"D{self._user.id}", "tab": "home"}
        ack = await self._happens({**event, "event_ts": self._workspace.new_ts()}, False)
        return Done(ack.ms, ack.error)

    async def _happens(self, event: dict[str, Any], shared: bool) -> Ack:
        payload = {
            "token": "lab",
            "team_id": TEAM,
            "api_app_id": APP,
            "event": event,
            "type": "event_callback",
            "event_id": self._workspace.new_id("Ev"),
            "event_time": int(self._workspace.clock()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT_USER, "is_bot": True, "is_enterprise_install": False}],
            "is_ext_shared_channel": shared,
        }
        return await self._workspace.link.deliver("events_api", payload, False)

    async def _interacts(self, payload: dict[str, Any]) -> Ack:
        user = self._user
        common = {
            "team": {"id": user.team, "domain": "lab"},
            "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team},
            "api_app_id": APP,
            "token": "lab",
            "trigger_id": self._workspace.new_trigger(user.id),
            "enterprise": None,
            "is_enterprise_install": False,
        }
        return await self._workspace.link.deliver("interactive", {**common, **payload}, True)

    def _place(self, channel: str) -> Channel:
        place = self._workspace.channels.get(channel)
        if place is None or self._user.id not in place.members:
            raise ValueError(f"{self._user.name} is in no channel {channel!r}")
        return place

    def _message(self, channel: str, ts: str) -> Message:
        for message in self._workspace.ephemerals.get(self._user.id, []):
            if (message.channel, message.ts) == (channel, ts):
                return message
        if ts not in self._workspace.messages[channel]:
            raise ValueError(f"there is no message {ts} in {channel}")
        return self._workspace.messages[channel][ts]

    def _modal(self) -> View:
        if self._user.id not in self._workspace.modals:
            raise ValueError(f"{self._user.name} has no modal open")
        return self._workspace.modals[self._user.id]

    def _home(self) -> View:
        if self._user.id not in self._workspace.homes:
            raise ValueError(f"the app has published no home for {self._user.name}")
        return self._workspace.homes[self._user.id]

    def _element(
        self, versions: list[list[dict[str, Any]]], action_id: str, block_id: str, value: Any
    ) -> tuple[str, dict[str, Any]]:
        for blocks in versions:
            for block, element in pressables(blocks):
                named = element["action_id"] == action_id and block_id in ("", block)
                if named and (element["type"] != "button" or value in (None, element.get("value"))):
                    return block, element
        raise ValueError(f"there is nothing with the action {action_id!r} to press here any more")
