"""Looks at Slack: the two tokens, the scopes, the channel, and who the roles' people are."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from bot.config import Settings
from bot.examinations import Examination, Finding, bad, good, warning
from bot.line.channel import Refused
from bot.manifest import SCOPES
from bot.roles import is_member

SILENCE = 10
"""Seconds that Slack may say nothing."""

_ROLES = ("admins", "testers", "developers")
_UNREACHED = "See from this machine whether slack.api_url is right and nothing between, a proxy say, keeps it away."
_INSTALL = "Put the scopes that `quarterdeck manifest` lists into the Slack app, and install it again."
_CONNECT = (
    "Make an app-level token with the scope connections:write (Slack app, Basic Information), "
    "and put it (xapp-…) into slack.app_token."
)


def examinations(settings: Settings) -> Iterator[Examination]:
    """What the bot's token opens, and what the app's does."""
    api = settings.config.slack.api_url
    yield Examination("bot_token", api, _Workspace(settings).look)
    yield Examination("app_token", api, partial(_app_token, settings))


def _app_token(settings: Settings) -> Iterator[Finding]:
    slack = settings.config.slack
    client = WebClient(token=slack.app_token, base_url=slack.api_url, timeout=SILENCE)
    try:
        client.apps_connections_open(app_token=slack.app_token)
    except SlackApiError as error:
        if _code(error) == "ratelimited":  # which Slack says of tokens that it knows
            yield good("app_token", slack.api_url, "Slack knows it, and wants to be asked for connections less often")
            return
        yield bad("app_token", slack.api_url, f"Slack refuses it: {_code(error)}", _CONNECT)
    except OSError as error:
        yield bad("app_token", slack.api_url, f"Slack does not answer: {_cause(error)}", _UNREACHED)
    else:
        yield good("app_token", slack.api_url, "opens connections for Socket Mode")


class _Workspace:
    """What the bot's token shows of its workspace."""

    def __init__(self, settings: Settings) -> None:
        self._slack = settings.config.slack
        self._roles = settings.config.roles
        self._client = WebClient(token=self._slack.bot_token, base_url=self._slack.api_url, timeout=SILENCE)
        self._client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=2))
        self._team: tuple[str, str] = ("", "")

    def look(self) -> Iterator[Finding]:
        """The token first: without it nothing else can be asked."""
        subject = self._slack.api_url
        try:
            own = self._client.auth_test()
        except SlackApiError as error:
            mend = "Install the app again and put its bot token (xoxb-…) into slack.bot_token."
            yield bad("bot_token", subject, f"Slack refuses it: {_code(error)}", mend)
            return
        except OSError as error:
            yield bad("bot_token", subject, f"Slack does not answer: {_cause(error)}", _UNREACHED)
            return
        if not own.get("bot_id"):
            mend = "Take the Bot User OAuth Token (xoxb-…) of the Slack app, OAuth & Permissions."
            yield bad("bot_token", subject, f"it is {own.get('user')}'s own token, not a bot's", mend)
            return
        self._team = (own.get("team_id") or "", own.get("enterprise_id") or "")
        yield good("bot_token", subject, f"@{own.get('user')} in {own.get('team')} ({own.get('team_id')})")
        yield from self._scopes({name.lower(): value for name, value in own.headers.items()}.get("x-oauth-scopes"))
        yield from self._channel()
        for role in _ROLES:
            yield from self._role(role)

    def _scopes(self, told: str | None) -> Iterator[Finding]:
        granted = {scope.strip() for scope in (told or "").split(",")}
        lacking = [scope for scope in SCOPES if scope not in granted]
        for scope in lacking:
            yield bad("scope", scope, "the bot's token has not got it", _INSTALL)
        if not lacking:
            yield good("scope", "the bot's", f"all {len(SCOPES)} that are needed")

    def _channel(self) -> Iterator[Finding]:
        subject = self._slack.channel
        try:
            channel: dict[str, Any] = self._client.conversations_info(channel=subject).get("channel") or {}
        except (SlackApiError, OSError) as error:
            code = _code(error)
            mend = Refused(code).mend or _UNREACHED
            yield bad("channel", subject, f"Slack does not show it: {code}", f"{mend[0].upper()}{mend[1:]}.")
            return
        name = f"#{channel.get('name')}"
        wrong = [(detail, mend) for flagged, detail, mend in _channel_troubles(channel, name) if flagged]
        for detail, mend in wrong:
            yield bad("channel", subject, detail, mend)
        if not wrong:
            yield good("channel", subject, f"{name}; the bot is in it")

    def _role(self, role: str) -> Iterator[Finding]:
        listed = getattr(self._roles, role)
        if listed == "everybody":
            yield good("role", role, "everybody of the workspace, without guests and people from elsewhere")
            return
        if not listed:
            yield warning("role", role, "nobody is one", f"List user ids (U…) and groups (S…) under roles.{role}.")
        for member in listed:
            yield self._group(role, member) if member.startswith("S") else self._user(role, member)

    def _user(self, role: str, user: str) -> Finding:
        subject, take_out = f"{role} {user}", f"Take {user} out of roles.{role}, or list whom you mean."
        try:
            found: dict[str, Any] = self._client.users_info(user=user).get("user") or {}
        except (SlackApiError, OSError) as error:
            return bad("role", subject, f"Slack does not tell who that is: {_code(error)}", take_out)
        name = found.get("real_name") or found.get("name") or user
        if is_member(found, *self._team):
            return good("role", subject, str(name))
        return bad("role", subject, f"{name} {_not_a_member(found)}, so never has the role", take_out)

    def _group(self, role: str, group: str) -> Finding:
        subject = f"{role} {group}"
        try:
            users = self._client.usergroups_users_list(usergroup=group).get("users") or ()
        except (SlackApiError, OSError) as error:
            mend = f"See in Slack whether the group is there and switched on, or take {group} out of roles.{role}."
            return bad("role", subject, f"Slack does not tell who is in it: {_code(error)}", mend)
        if not users:
            return bad("role", subject, "the group has no members", f"Put the {role} into the group in Slack.")
        return good("role", subject, f"a group of {len(users)}")


def _channel_troubles(channel: dict[str, Any], name: str) -> Iterator[tuple[bool, str, str]]:
    """Whether it is so, what then is wrong, and how to mend it."""
    invite = f"Invite the bot: type /invite @quarterdeck in {name}."
    other = "Bring the channel back, or name another one under slack.channel."
    own = "Name a channel under slack.channel that no other organisation is in."
    shared = bool(channel.get("is_ext_shared") or channel.get("is_pending_ext_shared"))
    yield not channel.get("is_member"), f"the bot is not in {name}", invite
    yield bool(channel.get("is_archived")), f"{name} is archived", other
    yield shared, f"{name} is shared with another organisation", own


def _not_a_member(user: dict[str, Any]) -> str:
    """Why somebody whom Slack knows counts for nothing."""
    if user.get("deleted"):
        return "has left the workspace"
    if user.get("is_bot"):
        return "is a bot"
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return "is a guest"
    return "belongs to another workspace"


def _code(error: Exception) -> str:
    """Slack's own word for what is wrong, or that of who kept it away."""
    return str(error.response.get("error")) if isinstance(error, SlackApiError) else f"no answer ({_cause(error)})"


def _cause(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error or type(error).__name__)
