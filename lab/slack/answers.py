"""Shows what the app answered to an interaction: in an ack's payload, or later at its response address."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from lab.slack.api import Call
from lab.slack.chat import TEXT_LIMIT, content
from lab.slack.errors import Refused
from lab.slack.people import BOT_USER
from lab.slack.things import Message
from lab.slack.workspace import ResponseUrl, Workspace


def shown(workspace: Workspace, channel: str, user: str, answer: dict[str, Any]) -> Message:
    """Put an answer where its `response_type` says: in the channel, or before this person only.

    Raises Refused for what chat.postMessage would refuse too.
    """
    text, blocks = content(Call(workspace, answer), TEXT_LIMIT)
    thread = answer.get("thread_ts")
    if answer.get("response_type") == "in_channel":
        return workspace.post(channel, BOT_USER, text, blocks, thread_ts=thread)
    return workspace.whisper(channel, user, text, blocks, thread_ts=thread)


def settle(workspace: Workspace, target: ResponseUrl, answer: dict[str, Any]) -> None:
    """Do what was sent to a response address: a new answer, or the original message replaced or deleted."""
    origin = None if target.origin is None or target.origin.deleted else target.origin
    if answer.get("delete_original") and origin is not None:
        workspace.remove(origin)
    elif answer.get("replace_original") and origin is not None:
        workspace.change(origin, *content(Call(workspace, answer), TEXT_LIMIT))
    else:
        shown(workspace, target.channel, target.user, answer)


async def door(request: Request) -> Response:
    """POST /actions/{key}: a response address."""
    workspace: Workspace = request.app.state.workspace
    body: dict[str, Any] = {"ok": True}
    status, answer = 200, {}
    try:
        answer = json.loads(await request.body())
        settle(workspace, workspace.use_response_url(request.path_params["key"]), answer)
    except ValueError:
        body, status = {"ok": False, "error": "invalid_payload"}, 400
    except Refused as refused:
        body, status = refused.body(), refused.status if refused.status != 200 else 400
    workspace.journal.note_call("response_url", answer, status, body)
    return PlainTextResponse("ok") if status == 200 else JSONResponse(body, status)
