"""The Web API's methods for files, and the addresses that take and give their bytes."""

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from lab.slack.api import Answer, Call, bearer, method
from lab.slack.chat import TEXT_LIMIT, check_blocks
from lab.slack.errors import Refused
from lab.slack.people import BOT_USER, TEAM
from lab.slack.things import SNIPPET, File
from lab.slack.workspace import Workspace

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in | Slack</title></head><body>Sign in to Lab</body></html>"


@method("files.getUploadURLExternal", "files:write", tier=4)
def upload_url(call: Call) -> Answer:
    """An address that takes the bytes of one file."""
    length, snippet = call.number("length", 0), call.text("snippet_type")
    if length <= 0 or (snippet and length > SNIPPET):
        raise Refused("snippet_too_large" if snippet and length > 0 else "invalid_arguments")
    file = call.workspace.new_file(call.need("filename"), BOT_USER, snippet_type=snippet)
    ticket = secrets.token_urlsafe(18)
    call.workspace.upload_tickets[ticket] = file
    return {"upload_url": f"{call.workspace.url}upload/v1/{ticket}", "file_id": file.id}


async def take_upload(request: Request) -> Response:
    """POST /upload/v1/{ticket}: the bytes themselves, or as a form's only file."""
    workspace: Workspace = request.app.state.workspace
    file = workspace.upload_tickets.pop(request.path_params["ticket"], None)
    if file is None:
        return PlainTextResponse("unknown or used upload address", 404)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form() as form:
            parts = [part for part in form.values() if not isinstance(part, str)]
            file.content = await parts[0].read() if parts else b""
    else:
        file.content = await request.body()
    return PlainTextResponse(f"OK - {len(file.content)}")


@method("files.completeUploadExternal", "files:write", tier=4)
def complete_upload(call: Call) -> Answer:
    """Makes uploaded bytes a file, and shares it in a channel or thread."""
    workspace = call.workspace
    names = [entry.get("id", "") for entry in call.json("files", "invalid_arguments") or []]
    titles = {entry.get("id", ""): entry.get("title") or "" for entry in call.json("files", "invalid_arguments") or []}
    files = [_uploaded(workspace, name) for name in names]
    if not files:
        raise Refused("invalid_arguments")
    channels = [name for name in [call.text("channel_id"), *call.text("channels").split(",")] if name]
    joined = [workspace.joined_channel(name).id for name in dict.fromkeys(channels)]
    blocks = call.json("blocks", "invalid_blocks_format") or []
    check_blocks(blocks)
    if len(call.text("initial_comment")) > TEXT_LIMIT:
        raise Refused("msg_too_long")
    for file in files:
        file.completed, file.title, file.channels = True, titles[file.id], joined
    for channel in joined:
        thread = call.text("thread_ts") or None
        workspace.post(channel, BOT_USER, call.text("initial_comment"), blocks, thread_ts=thread, files=files)
    return {"files": [file.payload(workspace.url) for file in files]}


def _uploaded(workspace: Workspace, name: str) -> File:
    file = workspace.files.get(name)
    if file is None or file.content is None:
        raise Refused("file_not_found")
    if file.completed:
        raise Refused("file_update_failed")
    return file


@method("files.info", "files:read", tier=4)
def file_info(call: Call) -> Answer:
    """One file; its text too where it is a snippet."""
    payload: dict[str, Any] = {"file": call.workspace.file_payload(call.need("file"))}
    file = call.workspace.files[call.need("file")]
    if file.is_text:
        payload["content"] = (file.content or b"").decode(errors="replace")
    return payload


async def give_file(request: Request) -> Response:
    """GET /files-pri/…: the bytes for a token with files:read; without one a page to sign in, with status 200."""
    workspace: Workspace = request.app.state.workspace
    if bearer(request) != workspace.bot_token or "files:read" not in workspace.scopes:
        return HTMLResponse(LOGIN_PAGE)
    return stored(workspace, request.path_params["file"].removeprefix(f"{TEAM}-"))


def stored(workspace: Workspace, name: str) -> Response:
    """The bytes of a file as a download that no browser runs."""
    file = workspace.files.get(name)
    if file is None or file.content is None:
        return PlainTextResponse("no such file", 404)
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return Response(file.content, media_type=file.mimetype, headers=headers)
