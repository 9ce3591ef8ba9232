"""The Web API's methods that look something up: auth, conversations, users, groups; and the Socket Mode address."""

from collections.abc import Sequence
from typing import Any, TypeVar

from lab.slack.api import Answer, Call, method
from lab.slack.errors import Refused
from lab.slack.people import APP, BOT_ID, BOT_USER, TEAM, Channel
from lab.slack.rates import FREE

CHANNEL_READ = ("channels:read", "groups:read")
HISTORY_READ = ("channels:history", "groups:history")
_Item = TypeVar("_Item")


def page(call: Call, items: Sequence[_Item], most: int) -> tuple[list[_Item], str]:
    """The part of `items` that limit and cursor ask for, at most `most`, and the next cursor."""
    try:
        start = int(call.text("cursor") or 0)
    except ValueError:
        raise Refused("invalid_cursor") from None
    end = start + max(1, min(call.number("limit", most), most))
    return list(items[start:end]), str(end) if end < len(items) else ""


def paged(items: list[Any], name: str, following: str) -> Answer:
    """A page in the form of Slack's answers."""
    return {name: items, "response_metadata": {"next_cursor": following}}


@method("api.test", tier=FREE)
def api_test(call: Call) -> Answer:
    """What was sent; `error` is sent back as one."""
    if call.text("error"):
        raise Refused(call.text("error"), args=call.args)
    return {"args": call.args}


@method("auth.test", tier=FREE)
def auth_test(call: Call) -> Answer:
    """Who the token is."""
    return {
        "url": call.workspace.url,
        "team": "Lab",
        "user": call.workspace.users[BOT_USER].name,
        "team_id": TEAM,
        "user_id": BOT_USER,
        "bot_id": BOT_ID,
        "app_id": APP,
        "is_enterprise_install": False,
    }


@method("apps.connections.open", tier=1, app_level=True)
def connections_open(call: Call) -> Answer:
    """An address for one Socket Mode connection."""
    address = call.workspace.url.replace("http", "ws", 1)
    return {"url": f"{address}link?ticket={call.workspace.link.new_ticket()}&app_id={APP}"}


@method("conversations.info", *CHANNEL_READ, tier=3)
def info(call: Call) -> Answer:
    """One channel."""
    return {"channel": _channel(call).payload()}


@method("conversations.list", *CHANNEL_READ, tier=2)
def channels(call: Call) -> Answer:
    """The channels that the bot may see; public ones unless `types` says more."""
    kinds = (call.text("types") or "public_channel").split(",")
    seen = [
        channel.payload()
        for channel in call.workspace.channels.values()
        if ("private_channel" if channel.is_private else "public_channel") in kinds
        and (not channel.is_private or BOT_USER in channel.members)
        and not (channel.is_archived and call.flag("exclude_archived"))
    ]
    return paged(*_named(call, seen, "channels"))


@method("conversations.members", *CHANNEL_READ, tier=4)
def members(call: Call) -> Answer:
    """The ids of a channel's members."""
    return paged(*_named(call, _channel(call).members, "members"))


@method("conversations.join", "channels:join", tier=3)
def join(call: Call) -> Answer:
    """Makes the bot a member of a public channel."""
    channel = _channel(call)
    if channel.is_private:
        raise Refused("method_not_supported_for_channel_type")
    if BOT_USER not in channel.members:
        channel.members.append(BOT_USER)
    return {"channel": channel.payload()}


@method("conversations.history", *HISTORY_READ, tier=3)
def history(call: Call) -> Answer:
    """A channel's messages without the replies, newest first."""
    channel = call.workspace.joined_channel(call.need("channel"))
    messages = [one for one in call.workspace.messages[channel.id].values() if not one.is_gone]
    newest = [one for one in reversed(messages) if (not one.is_reply or one.broadcast) and _between(call, one.ts)]
    found, following = page(call, newest, 999)
    shown = [one.payload(call.workspace.url, call.flag("include_all_metadata")) for one in found]
    return {**paged(shown, "messages", following), "has_more": bool(following), "pin_count": 0}


@method("conversations.replies", *HISTORY_READ, tier=3)
def replies(call: Call) -> Answer:
    """A message and what stands below it, oldest first."""
    workspace = call.workspace
    channel = workspace.joined_channel(call.need("channel"))
    parent = workspace.messages[channel.id].get(call.need("ts"))
    if parent is None or parent.is_gone:
        raise Refused("thread_not_found")
    thread = [parent, *(one for one in parent.replies if _between(call, one.ts))]
    found, following = page(call, thread, 1000)
    shown = [one.payload(workspace.url, call.flag("include_all_metadata")) for one in found]
    return {**paged(shown, "messages", following), "has_more": bool(following)}


@method("users.info", "users:read", tier=4)
def user_info(call: Call) -> Answer:
    """One person."""
    return {"user": call.workspace.user(call.need("user")).payload()}


@method("users.list", "users:read", tier=2)
def users(call: Call) -> Answer:
    """Everybody."""
    return paged(*_named(call, [user.payload() for user in call.workspace.users.values()], "members"))


@method("usergroups.list", "usergroups:read", tier=2)
def groups(call: Call) -> Answer:
    """The user groups; their members only where `include_users` asks for them."""
    shown = [group.payload() for group in call.workspace.groups.values()]
    if not call.flag("include_users"):
        shown = [{key: value for key, value in group.items() if key != "users"} for group in shown]
    return {"usergroups": shown}


@method("usergroups.users.list", "usergroups:read", tier=2)
def group_users(call: Call) -> Answer:
    """The ids of a group's members."""
    name = call.need("usergroup")
    if name not in call.workspace.groups:
        raise Refused("no_such_subteam")
    return {"users": list(call.workspace.groups[name].users)}


def _channel(call: Call) -> Channel:
    return call.workspace.visible_channel(call.need("channel"))


def _named(call: Call, items: Sequence[Any], name: str) -> tuple[list[Any], str, str]:
    found, following = page(call, items, 1000)
    return found, name, following


def _between(call: Call, ts: str) -> bool:
    oldest, latest = call.text("oldest"), call.text("latest")
    if call.flag("inclusive") and ts in (oldest, latest):
        return True
    return (not oldest or float(ts) > float(oldest)) and (not latest or float(ts) < float(latest))
