"""Touches one Slack channel: posts, edits, looks, uploads, each once, and says how it went."""

import logging
import re
from http.client import HTTPException
from typing import Any

import msgspec
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from bot.line.blocks import Message
from bot.line.troubles import mend

log = logging.getLogger(__name__)

EVENT = "quarterdeck"
PAGE = 200
"""Messages that are looked at with one call."""

TOO_RICH = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
"""Refusals of how a message is shown: a simpler one may pass."""
NOT_EDITED = frozenset({"block_mismatch", "edit_window_closed", "message_not_found", "cant_update_message"})
"""Refusals after which a message is never edited again."""
NO_THREAD = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})
"""Refusals because the message to reply to is gone."""

_PASSING = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})


class Sent(msgspec.Struct, frozen=True):
    """Slack took it."""

    ts: str = ""


class Later(msgspec.Struct, frozen=True):
    """Slack wants to be asked again after these seconds, by this method."""

    seconds: float


class Lost(msgspec.Struct, frozen=True):
    """No answer, or none that says anything: it may have been done or not."""

    why: str


class Refused(msgspec.Struct, frozen=True):
    """Slack said no, by its own error code."""

    error: str

    @property
    def mend(self) -> str:
        """What a person must do about the whole channel; empty where it is about one message."""
        return mend(self.error)


Answer = Sent | Later | Lost | Refused


class Mark(msgspec.Struct, frozen=True):
    """What a message carries so that it is found again: its key, and the hash of the record that called for it."""

    key: str
    record: str

    def metadata(self) -> dict[str, Any]:
        return {"event_type": EVENT, "event_payload": {"key": self.key, "record": self.record}}


class Look(msgspec.Struct):
    """A look through one place, the channel itself or a thread, back to `since` (epoch seconds, by Slack's clock): our
    messages by their marks, and the names of the files. It goes on at `cursor`, until it is `over`."""

    thread: str | None
    since: float
    messages: dict[Mark, str] = {}
    files: set[str] = msgspec.field(default_factory=set)
    cursor: str = ""
    over: bool = False


class Channel:
    """Each call is made once: a client that tries again by itself would post twice after a lost answer."""

    def __init__(self, client: WebClient, channel: str) -> None:
        self.id = channel
        self._client = WebClient(
            token=client.token,
            base_url=client.base_url,
            timeout=client.timeout,
            ssl=client.ssl,
            proxy=client.proxy,
            retry_handlers=[],
        )

    def post(self, message: Message, mark: Mark, thread: str | None) -> Answer:
        """`thread` is the ts of the message to reply to."""
        broadcast = {"reply_broadcast": True} if thread and message.broadcast else {}
        return self._call(
            "chat.postMessage",
            text=message.text,
            blocks=list(message.blocks),
            metadata=mark.metadata(),
            unfurl_links=False,
            unfurl_media=False,
            **({"thread_ts": thread} if thread else {}),
            **broadcast,
        )

    def edit(self, message: Message, ts: str) -> Answer:
        """`parse` is said because an edit, unlike a post, would find names and links in plain text by itself."""
        blocks = list(message.blocks)
        return self._call("chat.update", ts=ts, text=message.text, blocks=blocks, parse="none", link_names=False)

    def stands(self) -> Answer:
        """Whether the bot may post there now, without a post."""
        try:
            found = self._client.api_call("conversations.info", params={"channel": self.id})["channel"]
        except (SlackClientError, HTTPException, OSError) as error:
            return answer(error)
        if found.get("is_archived"):
            return Refused("is_archived")
        return Sent() if found.get("is_member") else Refused("not_in_channel")

    def look(self, look: Look) -> Answer:
        """The next page of a look; a refused one is over."""
        try:
            said = self._page(look)
        except (SlackClientError, HTTPException, OSError) as error:
            refused = answer(error)
            look.over = isinstance(refused, Refused)
            return refused
        for message in said["messages"]:
            metadata = message.get("metadata") or {}
            payload = metadata.get("event_payload") or {}
            if metadata.get("event_type") == EVENT:
                look.messages[Mark(str(payload.get("key")), str(payload.get("record")))] = message["ts"]
            look.files |= {str(file.get("name")) for file in message.get("files") or ()}
        look.cursor = (said.get("response_metadata") or {}).get("next_cursor") or ""
        look.over = not look.cursor
        return Sent()

    def upload(self, name: str, title: str, content: str | bytes, thread: str | None) -> Answer:
        """A file into a thread or the channel itself, a text where that is what it is."""
        try:
            self._client.files_upload_v2(
                filename=name,
                content=content,
                title=title,
                snippet_type="text" if isinstance(content, str) else None,
                channel=self.id,
                thread_ts=thread,
            )
        except (SlackClientError, HTTPException, OSError) as error:
            return answer(error)
        return Sent()

    def _call(self, method: str, **arguments: Any) -> Answer:
        try:
            said = self._client.api_call(method, json={"channel": self.id, **arguments})
        except (SlackClientError, HTTPException, OSError) as error:
            return answer(error)
        return Sent(str(said["ts"]))

    def _page(self, look: Look) -> SlackResponse:
        """A thread's messages oldest first, the channel's newest first."""
        asked: dict[str, Any] = {"channel": self.id, "oldest": f"{look.since:.6f}", "limit": PAGE}
        asked |= {"include_all_metadata": True} | ({"cursor": look.cursor} if look.cursor else {})
        if look.thread is None:
            return self._client.api_call("conversations.history", params=asked)
        return self._client.api_call("conversations.replies", params=asked | {"ts": look.thread})


def answer(error: Exception) -> Answer:
    """How a call went that raised this."""
    if not isinstance(error, SlackApiError):
        return Lost(f"{type(error).__name__}: {error}")
    code, status = str(error.response.get("error")), error.response.status_code
    if status == 429 or code in ("ratelimited", "rate_limited"):
        after = error.response.headers.get("Retry-After", "")
        return Later(float(after) if re.fullmatch(r"[0-9]{1,4}", after) else 30.0)
    if status >= 500 or code in _PASSING or not re.fullmatch(r"[a-z_]+", code):
        return Lost(f"status {status}: {code[:100]}")
    return Refused(code)
