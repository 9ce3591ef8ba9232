"""Decides who is in the sample workspace, in which channels and groups, and how Slack describes them."""

from dataclasses import dataclass, field
from typing import Any

TEAM, BOT_USER, BOT_ID, APP = "T01LAB", "U00BOT", "B00BOT", "A01LAB"


@dataclass
class User:
    """A person or a bot; `team` is another one for somebody who shares a channel from outside."""

    id: str
    name: str
    real_name: str
    team: str = TEAM
    is_admin: bool = False
    is_bot: bool = False
    deleted: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False

    def payload(self) -> dict[str, Any]:
        """The user as `users.info` shows it."""
        profile = {"real_name": self.real_name, "display_name": self.name, "team": self.team}
        payload: dict[str, Any] = {
            "id": self.id,
            "team_id": self.team,
            "name": self.name,
            "deleted": self.deleted,
            "real_name": self.real_name,
            "tz": "Europe/Berlin",
            "tz_offset": 3600,
            "profile": profile,
            "is_admin": self.is_admin,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": self.is_restricted,
            "is_ultra_restricted": self.is_ultra_restricted,
            "is_bot": self.is_bot,
            "is_app_user": False,
            "updated": 0,
        }
        if self.team != TEAM:
            payload["is_stranger"] = False  # false although an outsider, because a channel is shared
        return payload


@dataclass
class Channel:
    """A channel; `members` are user ids, the bot's among them where it was invited."""

    id: str
    name: str
    members: list[str]
    is_private: bool = False
    is_ext_shared: bool = False
    is_archived: bool = False
    is_im: bool = False

    def payload(self) -> dict[str, Any]:
        """The channel as `conversations.info` shows it to the bot."""
        return {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": not self.is_private,
            "is_group": self.is_private and not self.is_im,
            "is_im": self.is_im,
            "is_mpim": False,
            "is_private": self.is_private,
            "is_archived": self.is_archived,
            "is_general": self.name == "general",
            "is_shared": self.is_ext_shared,
            "is_ext_shared": self.is_ext_shared,
            "is_org_shared": False,
            "is_member": BOT_USER in self.members,
            "context_team_id": TEAM,
            "created": 0,
            "creator": "U02ADMIN",
            "topic": {"value": "", "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }


@dataclass
class UserGroup:
    """A group that is mentioned by its handle; `users` are user ids."""

    id: str
    handle: str
    name: str
    users: list[str] = field(default_factory=list)

    def payload(self) -> dict[str, Any]:
        """The group as `usergroups.list` shows it."""
        return {
            "id": self.id,
            "team_id": TEAM,
            "is_usergroup": True,
            "name": self.name,
            "handle": self.handle,
            "description": "",
            "is_external": False,
            "date_delete": 0,
            "user_count": len(self.users),
            "users": list(self.users),
        }


@dataclass
class Command:
    """A slash command as the app registered it."""

    name: str
    description: str
    usage: str = ""


def sample_users() -> list[User]:
    """The developer, the admins, the tester; a guest, an outsider and the bot."""
    return [
        User("U01DEV", "dev", "Dana Developer"),
        User("U02ADMIN", "admin", "Alex Admin", is_admin=True),
        User("U03TESTER", "tester", "Toni Tester"),
        User("U04GUEST", "guest", "Gil Guest", is_restricted=True),
        User("U05OTHER", "other", "Olu Outsider", team="T02OTHER"),
        User("U06ADMIN2", "admin2", "Ada Admin"),
        User(BOT_USER, "quarterdeck", "Quarterdeck", is_bot=True),
    ]


def sample_channels() -> list[Channel]:
    """One where the bot is at home, one where it was not invited, a private one, one shared with another company."""
    people = ["U01DEV", "U02ADMIN", "U03TESTER", "U04GUEST", "U06ADMIN2"]
    return [
        Channel("C01DEPLOYS", "deploys", [*people, BOT_USER]),
        Channel("C02GENERAL", "general", list(people)),
        Channel("C03PRIVATE", "leads", ["U02ADMIN", "U06ADMIN2"], is_private=True),
        Channel("C04SHARED", "partners", ["U01DEV", "U02ADMIN", "U05OTHER", BOT_USER], is_ext_shared=True),
    ]


def sample_groups() -> list[UserGroup]:
    """The admins as a group."""
    return [UserGroup("S01ADMINS", "admins", "Deployment admins", ["U02ADMIN", "U06ADMIN2"])]


def sample_commands() -> list[Command]:
    """The three commands of the app's manifest."""
    return [
        Command("/handoff", "Hand a deployment package over", "[SOURCE] | list | show R-1 | withdraw R-1 | help"),
        Command("/stage", "Rehearse it on staging", "run R-1 | check | reset | status | help"),
        Command("/promote", "Bring it to prod", "R-1 | check R-1 | rollback R-1 | status | help"),
    ]


SCOPES = frozenset(
    (
        *("commands", "chat:write", "app_mentions:read", "im:history", "users:read", "usergroups:read"),
        *("channels:read", "groups:read", "channels:history", "groups:history", "files:read", "files:write"),
    )
)
