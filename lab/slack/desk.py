"""The desk's door: what people do and see in the workspace, over plain HTTP and JSON under /desk/."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lab.slack.errors import Refused
from lab.slack.filing import stored
from lab.slack.journal import CallRecord, EnvelopeRecord, as_json
from lab.slack.people import BOT_USER
from lab.slack.visitor import Done, Visitor
from lab.slack.workspace import Workspace

LONGEST_WAIT = 30.0
UPLOAD_TYPE = "application/octet-stream"
Act = Callable[[Workspace, dict[str, Any]], Awaitable[Done]]


def _workspace(request: Request) -> Workspace:
    workspace: Workspace = request.app.state.workspace
    workspace.url = str(request.base_url)
    return workspace


def _refusal(reason: Exception, status: int = 400) -> JSONResponse:
    return JSONResponse({"ok": False, "error": str(reason)}, status)


def _doing(act: Act) -> Callable[[Request], Awaitable[Response]]:
    """A door for one verb. It takes JSON only, which no page of another origin can send unasked."""

    async def door(request: Request) -> Response:
        workspace = _workspace(request)
        if not request.headers.get("content-type", "").startswith("application/json"):
            return _refusal(ValueError("the body must be application/json"), 415)
        try:
            done = await act(workspace, json.loads(await request.body()))
        except KeyError as missing:
            return _refusal(ValueError(f"{missing.args[0]} is missing"))
        except (ValueError, Refused) as reason:
            return _refusal(reason)
        return JSONResponse({"ok": not done.error, **asdict(done)})

    return door


async def _command(workspace: Workspace, said: dict[str, Any]) -> Done:
    return await Visitor(workspace, said["user"]).types(said["channel"], said["text"])


async def _press(workspace: Workspace, said: dict[str, Any]) -> Done:
    visitor = Visitor(workspace, said["user"])
    aim = (said["action_id"], said.get("block_id", ""), said.get("value"))
    if "message" not in said:
        return await visitor.presses_in_view(*aim, bool(said.get("home")))
    return await visitor.presses(said["channel"], said["message"], *aim, bool(said.get("force")))


async def _fill(workspace: Workspace, said: dict[str, Any]) -> Done:
    Visitor(workspace, said["user"]).fills(said["values"])
    return Done(0.0)


async def _submit(workspace: Workspace, said: dict[str, Any]) -> Done:
    return await Visitor(workspace, said["user"]).submits(said.get("values", {}))


async def _close(workspace: Workspace, said: dict[str, Any]) -> Done:
    return await Visitor(workspace, said["user"]).closes()


async def _say(workspace: Workspace, said: dict[str, Any]) -> Done:
    return await Visitor(workspace, said["user"]).says(said["channel"], said["text"], said.get("thread_ts"))


async def _home(workspace: Workspace, said: dict[str, Any]) -> Done:
    return await Visitor(workspace, said["user"]).opens_home()


async def upload(request: Request) -> Response:
    """POST /desk/upload?user=…&name=… with the bytes as application/octet-stream; answers with the file's id."""
    workspace, query = _workspace(request), request.query_params
    if request.headers.get("content-type") != UPLOAD_TYPE:
        return _refusal(ValueError(f"the body must be {UPLOAD_TYPE}"), 415)
    try:
        file = Visitor(workspace, query.get("user", "")).uploads(query.get("name", ""), await request.body())
    except ValueError as reason:
        return _refusal(reason)
    return JSONResponse({"ok": True, "file": file.payload(workspace.url)})


async def state(request: Request) -> Response:
    """GET /desk/state?user=…: everything that this person's client shows, and the cursor to go on from."""
    workspace, user = _workspace(request), request.query_params.get("user", "")
    home = workspace.homes.get(user)
    return JSONResponse(
        {
            "ok": True,
            "cursor": workspace.journal.count,
            "bot": BOT_USER,
            "users": [one.payload() for one in workspace.users.values()],
            "groups": [group.payload() for group in workspace.groups.values()],
            "commands": [asdict(command) for command in workspace.commands.values()],
            "channels": [
                {**channel.payload(), "members": channel.members, "messages": _messages(workspace, channel.id)}
                for channel in workspace.channels.values()
                if user in channel.members
            ],
            "ephemerals": _ephemerals(workspace, user),
            "modal": workspace.modal_state(user),
            "home": None if home is None else workspace.view_payload(home),
        }
    )


def _messages(workspace: Workspace, channel: str) -> list[dict[str, Any]]:
    found = workspace.messages.get(channel, {}).values()
    return [{**one.payload(workspace.url, True), "channel": channel} for one in found if not one.is_gone]


def _ephemerals(workspace: Workspace, user: str) -> list[dict[str, Any]]:
    found = workspace.ephemerals.get(user, [])
    return [{**one.payload(workspace.url), "channel": one.channel} for one in found if not one.is_gone]


async def messages(request: Request) -> Response:
    """GET /desk/messages?channel=…: all of a channel's messages and replies, oldest first."""
    return JSONResponse({"ok": True, "messages": _messages(_workspace(request), request.query_params["channel"])})


async def ephemerals(request: Request) -> Response:
    """GET /desk/ephemerals?user=…: what only this person sees, oldest first."""
    return JSONResponse({"ok": True, "messages": _ephemerals(_workspace(request), request.query_params["user"])})


async def modal(request: Request) -> Response:
    """GET /desk/modal?user=…: the open modal with its values, its errors by block and its trouble, or null."""
    return JSONResponse({"ok": True, "view": _workspace(request).modal_state(request.query_params["user"])})


async def home(request: Request) -> Response:
    """GET /desk/home?user=…: the app's home as published for this person, or null."""
    workspace = _workspace(request)
    view = workspace.homes.get(request.query_params["user"])
    return JSONResponse({"ok": True, "view": None if view is None else workspace.view_payload(view)})


async def events(request: Request) -> Response:
    """GET /desk/events?after=N&wait=SECONDS: changes past the Nth, once there are any; `lost` if some are too old."""
    journal, query = _workspace(request).journal, request.query_params
    after, wait = int(query.get("after", 0)), min(float(query.get("wait", 0)), LONGEST_WAIT)
    found = await journal.after(after, wait)
    lost = bool(journal.events) and after + 1 < journal.events[0]["n"]
    return JSONResponse({"ok": True, "cursor": journal.count, "lost": lost, "events": found})


def _records(which: Callable[[Workspace], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def door(request: Request) -> Response:
        after = int(request.query_params.get("after", 0))
        found: list[CallRecord | EnvelopeRecord] = [one for one in which(_workspace(request)) if one.n > after]
        return JSONResponse({"ok": True, "records": [as_json(one) for one in found]})

    return door


async def file(request: Request) -> Response:
    """GET /desk/files/{file}: the bytes, for a person's preview or download."""
    return stored(_workspace(request), request.path_params["file"])


ROUTES = [
    Route("/command", _doing(_command), methods=["POST"]),
    Route("/press", _doing(_press), methods=["POST"]),
    Route("/fill", _doing(_fill), methods=["POST"]),
    Route("/submit", _doing(_submit), methods=["POST"]),
    Route("/close", _doing(_close), methods=["POST"]),
    Route("/say", _doing(_say), methods=["POST"]),
    Route("/home", _doing(_home), methods=["POST"]),
    Route("/upload", upload, methods=["POST"]),
    Route("/state", state),
    Route("/messages", messages),
    Route("/ephemerals", ephemerals),
    Route("/modal", modal),
    Route("/home", home),
    Route("/events", events),
    Route("/calls", _records(lambda workspace: workspace.journal.calls)),
    Route("/envelopes", _records(lambda workspace: workspace.journal.envelopes)),
    Route("/files/{file}", file),
]
