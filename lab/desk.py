"""Speaks to a lab's desk over HTTP: types, presses, fills and reads as a person at their Slack client would."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the desk is on loopback: no proxy between
LONG_POLL = 20.0


class DeskError(Exception):
    """The desk refused: what a person's client would not have offered."""


@dataclass(frozen=True)
class Button:
    """Something to press on a message; `confirm` is the text of its confirm dialog, if it has one."""

    label: str
    action_id: str
    block_id: str
    value: str
    style: str
    confirm: str


@dataclass(frozen=True)
class Message:
    """A message as a person reads it; `text` is everything readable on it, blocks included."""

    ts: str
    channel: str
    user: str
    text: str
    thread_ts: str
    blocks: list[dict[str, Any]]
    buttons: list[Button]
    files: list[dict[str, Any]]
    raw: dict[str, Any] = field(repr=False)
    replies: list["Message"] = field(default_factory=list)

    def button(self, name: str) -> Button:
        """The button of this label or action id. Raises DeskError when it is not there."""
        for button in self.buttons:
            if name in (button.label, button.action_id):
                return button
        raise DeskError(f"no button {name!r}; there are {[button.label for button in self.buttons]}")


@dataclass(frozen=True)
class Answer:
    """How the app took it: what it said at once, milliseconds to its ack, Slack's error, a form's errors by block."""

    text: str
    blocks: list[dict[str, Any]]
    ack_ms: float
    error: str
    errors: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether it was acknowledged and not refused."""
        return not self.error


def readable(value: Any) -> str:
    """All human-readable text of a block or a list of blocks, top to bottom."""
    return "\n".join(_texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict) and str(value.get("type")) in ("rich_text_section", "rich_text_preformatted"):
        yield "".join(_inline(part) for part in value["elements"])
    elif isinstance(value, dict):
        if value.get("type") == "task_card":
            yield f"{value['title']}: {value['status']}"
        for key in ("text", "title", "label", "hint", "alt_text"):
            if isinstance(value.get(key), str) and value.get("type") != "task_card":
                yield value[key]
            elif key in value:
                yield from _texts(value[key])
        for key in ("fields", "elements", "element", "accessory", "tasks", "rows", "details", "output", "options"):
            yield from _texts(value.get(key, []))


def _inline(part: dict[str, Any]) -> str:
    names = {"user": "@", "channel": "#", "usergroup": "@", "broadcast": "@"}
    if part["type"] in names:
        return names[part["type"]] + str(next(value for key, value in part.items() if key not in ("type", "style")))
    if part["type"] == "emoji":
        return f":{part['name']}:"
    return str(part.get("text") or part.get("url") or part.get("fallback", ""))


def _buttons(blocks: list[dict[str, Any]]) -> Iterator[Button]:
    for block in blocks:
        for element in [*(block["elements"] if block["type"] == "actions" else []), block.get("accessory", {})]:
            if element.get("type") == "button":
                yield Button(
                    element["text"]["text"],
                    element["action_id"],
                    block["block_id"],
                    element.get("value", ""),
                    element.get("style", ""),
                    readable(element.get("confirm", {})),
                )


def message(raw: dict[str, Any]) -> Message:
    """A message from the desk's JSON, without its replies."""
    blocks = raw.get("blocks", [])
    return Message(
        raw["ts"],
        raw["channel"],
        raw["user"],
        "\n".join(part for part in (raw["text"], readable(blocks)) if part),
        raw.get("thread_ts", ""),
        blocks,
        list(_buttons(blocks)),
        raw.get("files", []),
        raw,
    )


class Desk:
    """A lab's Slack at `url`, seen from the desks of its people. `timeout` is in seconds, for one request."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        if not url.startswith("http://"):
            raise ValueError(f"{url} is no address of a lab: it starts with http://")
        self._page = url.rstrip("/")
        self._url = f"{self._page}/desk/"
        self._timeout = timeout

    def types(self, user: str, text: str, channel: str = "C01DEPLOYS") -> Answer:
        """Type a slash command and wait for its ack."""
        return self._does("command", user=user, channel=channel, text=text)

    def says(self, user: str, text: str, channel: str = "C01DEPLOYS", thread_ts: str = "") -> Answer:
        """Write an ordinary message, in a thread where one is named."""
        return self._does("say", user=user, channel=channel, text=text, thread_ts=thread_ts or None)

    def presses(self, user: str, where: Message, name: str, value: str | None = None, force: bool = False) -> Answer:
        """Press a message's button, by label or action id, or choose `value` in a menu by its action id.

        With `force` also one that is no longer there, by action id: a client that has not caught up.
        """
        aim: dict[str, Any] = {"action_id": name, "value": value}
        for button in where.buttons:
            if name in (button.label, button.action_id) and value in (None, button.value):
                aim = {"action_id": button.action_id, "block_id": button.block_id, "value": button.value or None}
                break
        return self._does("press", user=user, channel=where.channel, message=where.ts, force=force, **aim)

    def modal(self, user: str) -> dict[str, Any] | None:
        """The person's open modal as a view with `state`, `errors` and `trouble`; None when there is none."""
        view: dict[str, Any] | None = self._get("modal", user=user)["view"]
        return view

    def home(self, user: str) -> dict[str, Any] | None:
        """The app's home as published for this person."""
        view: dict[str, Any] | None = self._get("home", user=user)["view"]
        return view

    def opens_home(self, user: str) -> Answer:
        """Look at the app's home."""
        return self._does("home", user=user)

    def presses_in_modal(self, user: str, action_id: str, value: str | None = None) -> Answer:
        """Press a button of the open modal, or choose `value` in a menu of it."""
        return self._does("press", user=user, action_id=action_id, value=value)

    def fills(self, user: str, values: Mapping[str, Any]) -> Answer:
        """Enter values into the open modal without sending it."""
        return self._does("fill", user=user, values=dict(values))

    def submits(
        self, user: str, values: Mapping[str, Any] | None = None, files: Mapping[str, Path | list[Path]] | None = None
    ) -> Answer:
        """Fill and send the open modal. `values` and `files` are by action id or block id; files are read from disk."""
        entered = dict(values or {})
        for name, paths in (files or {}).items():
            chosen = [paths] if isinstance(paths, Path) else paths
            entered[name] = [self.uploads(user, path.name, path.read_bytes()) for path in chosen]
        return self._does("submit", user=user, values=entered)

    def closes(self, user: str) -> Answer:
        """Close the open modal without sending it."""
        return self._does("close", user=user)

    def uploads(self, user: str, name: str, data: bytes) -> str:
        """Bring a file for a modal's file input; its id."""
        query = urllib.parse.urlencode({"user": user, "name": name})
        return str(self._send(f"upload?{query}", data, "application/octet-stream")["file"]["id"])

    def downloads(self, file_id: str) -> bytes:
        """The bytes of a file that is shown somewhere."""
        with _OPENER.open(f"{self._url}files/{urllib.parse.quote(file_id)}", timeout=self._timeout) as response:
            return bytes(response.read())

    def messages(self, channel: str = "C01DEPLOYS") -> list[Message]:
        """The channel's messages, oldest first, each with its replies."""
        roots: dict[str, Message] = {}
        for raw in self._get("messages", channel=channel)["messages"]:
            found = message(raw)
            if found.thread_ts in ("", found.ts):
                roots[found.ts] = found
            else:
                roots[found.thread_ts].replies.append(found)
        return list(roots.values())

    def thread(self, channel: str, ts: str) -> Message:
        """One message with its replies. Raises DeskError when it is not there."""
        for found in self.messages(channel):
            if found.ts == ts:
                return found
        raise DeskError(f"no message {ts} in {channel}")

    def ephemerals(self, user: str) -> list[Message]:
        """What only this person sees, oldest first."""
        return [message(raw) for raw in self._get("ephemerals", user=user)["messages"]]

    def calls(self, after: int = 0) -> list[dict[str, Any]]:
        """The app's Web API calls past number `after`: method, args, status, answer, at."""
        return list(self._get("calls", after=after)["records"])

    def envelopes(self, after: int = 0) -> list[dict[str, Any]]:
        """The envelopes sent to the app: type, payload, ack_ms, late, error, answer."""
        return list(self._get("envelopes", after=after)["records"])

    def cursor(self) -> int:
        """The number of the newest change."""
        return int(self._get("events", after=2**53)["cursor"])

    def changes(self, after: int, wait: float = 0.0) -> tuple[int, list[dict[str, Any]]]:
        """The new cursor and the changes past `after`; waits at most `wait` seconds for one."""
        found = self._get("events", after=after, wait=wait)
        return found["cursor"], found["events"]

    def wait(self, predicate: Callable[[], Any], timeout: float = 30.0) -> Any:
        """Ask `predicate` now and after every change until it gives something true; that. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while True:
            cursor = self.cursor()  # taken first, so that a change during the question is not missed
            if found := predicate():
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not seen within {timeout} s")
            self.changes(cursor, min(left, LONG_POLL))

    def breaks(self, kind: str, **more: Any) -> None:
        """Orders something to go wrong in this Slack: what there is, lab/slack/control.py tells."""
        body = json.dumps({"kind": kind, **more}).encode()
        headers = {"Content-Type": "application/json"}
        self._open(urllib.request.Request(f"{self._page}/lab/faults", body, headers))  # noqa: S310

    def heals(self) -> None:
        """Ends whatever was ordered to go wrong."""
        self._open(urllib.request.Request(f"{self._page}/lab/faults", method="DELETE"))  # noqa: S310

    def _does(self, verb: str, **said: Any) -> Answer:
        done = self._send(verb, json.dumps(said).encode(), "application/json")
        shown = done.get("answer") or {}
        blocks = shown.get("blocks", [])
        text = "\n".join(part for part in (shown.get("text", ""), readable(blocks)) if part)
        return Answer(text, blocks, done["ack_ms"], done["error"], done["errors"])

    def _get(self, what: str, **query: Any) -> dict[str, Any]:
        return self._ask(f"{what}?{urllib.parse.urlencode(query)}")

    def _send(self, verb: str, data: bytes, kind: str) -> dict[str, Any]:
        return self._ask(verb, data, {"Content-Type": kind})

    def _ask(self, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(self._url + path, data, dict(headers or {}))  # noqa: S310 (http: see __init__)
        answer: dict[str, Any] = self._open(request)
        return answer

    def _open(self, request: urllib.request.Request) -> Any:
        try:
            with _OPENER.open(request, timeout=self._timeout) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                text = refusal.read().decode(errors="replace")
            raise DeskError(text) from None
