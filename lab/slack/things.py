"""Decides how messages, files and views look in JSON."""

import mimetypes
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from lab.slack.people import APP, BOT_ID, TEAM

SNIPPET = 1024 * 1024
TEXTS = {"txt", "log", "md", "yaml", "yml", "json", "sh", "py", "diff", "csv", "sql", "conf", "toml", "ini"}


@dataclass
class File:
    """An uploaded file; `user` is who uploaded it; `content` is None until its bytes have arrived."""

    id: str
    name: str
    user: str
    created: int
    title: str = ""
    content: bytes | None = None
    snippet_type: str = ""
    completed: bool = False
    channels: list[str] = field(default_factory=list)

    @property
    def extension(self) -> str:
        """The last suffix, lower case, without its dot."""
        return PurePath(self.name).suffix.lstrip(".").lower()

    @property
    def is_text(self) -> bool:
        """Whether Slack would show it as a snippet."""
        return (self.extension in TEXTS or bool(self.snippet_type)) and len(self.content or b"") <= SNIPPET

    @property
    def mimetype(self) -> str:
        """By its name, as Slack goes by it too."""
        return "text/plain" if self.is_text else mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    def payload(self, base: str) -> dict[str, Any]:
        """The file object; `base` is the workspace's address, with a slash at the end."""
        kind = self.snippet_type or self.extension or "binary"
        address = f"{base}files-pri/{TEAM}-{self.id}"
        payload: dict[str, Any] = {
            "id": self.id,
            "created": self.created,
            "timestamp": self.created,
            "name": self.name,
            "title": self.title or self.name,
            "mimetype": self.mimetype,
            "filetype": kind,
            "pretty_type": kind.upper(),
            "user": self.user,
            "user_team": TEAM,
            "editable": self.is_text,
            "size": len(self.content or b""),
            "mode": "snippet" if self.is_text else "hosted",
            "is_external": False,
            "is_public": bool(self.channels),
            "url_private": f"{address}/{self.name}",
            "url_private_download": f"{address}/download/{self.name}",
            "permalink": f"{base}files/{self.user}/{self.id}/{self.name}",
            "channels": list(self.channels),
            "file_access": "visible",
        }
        if self.is_text:
            payload["preview"] = "\n".join((self.content or b"").decode(errors="replace").splitlines()[:8])
        return payload


@dataclass
class Message:
    """A message of a channel, or an ephemeral one when `only_for` names who sees it."""

    ts: str
    channel: str
    user: str
    text: str
    blocks: list[dict[str, Any]]
    by_app: bool
    thread_ts: str | None = None
    broadcast: bool = False
    metadata: dict[str, Any] | None = None
    edited: str = ""
    only_for: str = ""
    deleted: bool = False
    files: list[File] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    replies: list["Message"] = field(default_factory=list)
    past: list[list[dict[str, Any]]] = field(default_factory=list)  # blocks as they were: what a stale client shows

    @property
    def is_reply(self) -> bool:
        """Whether it stands in a thread below another message."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def is_gone(self) -> bool:
        """Whether nobody sees it any more; a deleted message with replies leaves a tombstone."""
        return self.deleted and not self.replies

    def payload(self, base: str, with_metadata: bool = False) -> dict[str, Any]:
        """The message as the Web API and the events show it."""
        payload: dict[str, Any] = {"type": "message", "user": self.user, "ts": self.ts, "team": TEAM, "text": self.text}
        if self.by_app:
            payload |= {"bot_id": BOT_ID, "app_id": APP}
        if self.blocks:
            payload["blocks"] = self.blocks
        if self.edited:
            payload["edited"] = {"user": self.user, "ts": self.edited}
        if self.files:
            payload |= {"files": [file.payload(base) for file in self.files], "upload": False}
        if self.reactions:
            payload["reactions"] = [
                {"name": name, "users": users, "count": len(users)} for name, users in self.reactions.items()
            ]
        if self.metadata and with_metadata:
            payload["metadata"] = self.metadata
        return payload | self._standing()

    def _standing(self) -> dict[str, Any]:
        if self.only_for:
            return {"is_ephemeral": True} | ({"thread_ts": self.thread_ts} if self.thread_ts else {})
        if self.deleted:
            return {"subtype": "tombstone", "hidden": True} | self._thread()
        if self.broadcast:
            return {"subtype": "thread_broadcast", "thread_ts": self.thread_ts}
        return {"thread_ts": self.thread_ts} if self.is_reply else self._thread()

    def _thread(self) -> dict[str, Any]:
        if not self.replies:
            return {}
        users = list(dict.fromkeys(reply.user for reply in self.replies))
        return {
            "thread_ts": self.ts,
            "reply_count": len(self.replies),
            "reply_users": users,
            "reply_users_count": len(users),
            "latest_reply": self.replies[-1].ts,
        }


@dataclass
class View:
    """A modal that somebody has open, or their home; `filled` holds what they entered, by block and action."""

    id: str
    user: str
    hash: str
    body: dict[str, Any]
    filled: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    trouble: str = ""

    def payload(self, state: dict[str, Any]) -> dict[str, Any]:
        """The view as the Web API and a submission show it; `state` holds the values by block and action."""
        absent = {"private_metadata": "", "callback_id": "", "external_id": "", "close": None, "submit": None}
        flags = {"clear_on_close": False, "notify_on_close": False}
        return {
            **absent,
            **flags,
            **self.body,
            "id": self.id,
            "team_id": TEAM,
            "state": {"values": state},
            "hash": self.hash,
            "previous_view_id": None,
            "root_view_id": self.id,
            "app_id": APP,
            "app_installed_team_id": TEAM,
            "bot_id": BOT_ID,
        }
