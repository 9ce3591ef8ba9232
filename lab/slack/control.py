"""Touches HTTP under /lab: lets tests of another process order what goes wrong in this Slack.

    POST /lab/faults {"kind": KIND, …}     orders one fault; 400 with a sentence for what there is not
    GET /lab/faults                        those that are still to come
    DELETE /lab/faults                     all is well again: nothing is to come, and what lasted is over

The body is application/json. What strikes calls of the Web API takes `method` (chat.postMessage; left out: any) and
`times` (1); `done: true` makes the call before its answer is spoiled:

    429         not made; Retry-After `seconds` (1)         500, garbage   a page instead of an answer; `done`
    nothing     cut after `seconds` without a word; `done`  late           made at once, answered after `seconds`
    drop_after  made, the connection cut                    error          not made, refused with `error`

What strikes envelopes takes `envelope` (slash_commands, interactive, events_api; left out: any) and `times`:

    twice       delivered two times                         hold           delivered after `seconds`

What is done at once or lasts until DELETE:

    drop_socket {reset}                every socket is reset; `reset: false`: ended, but without a `close` frame
    disconnect {reason}                every socket gets that frame (refresh_requested, link_disabled …) and is closed
    silence {}                         the sockets of now stay open and are dead, and count as connections
    ghosts {count}                     so many connections of others: in `hello`, and in the turn of the envelopes
    no_socket {reason, seconds}        new sockets are `refused`, or told `too_many_websockets`; null: until DELETE
    revoke {tokens, error}             calls with the `bot` or `app` token are refused (token_revoked, invalid_auth …)
    channel {channel, member, archived} the bot removed from a channel, or the channel archived; or back
    out {seconds}                      Slack is away: sockets reset, every connection cut; null: until DELETE

The desk and this control are never struck. A call that was not made is in `/desk/calls` with status 0.
"""

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lab.slack import faults
from lab.slack.link import TRANSPORT
from lab.slack.people import BOT_USER
from lab.slack.spoiled import Cut
from lab.slack.workspace import Workspace

SPARED = ("/lab/", "/desk/")


class Door:
    """Lets no app in while Slack is out, and hands each socket's connection on to where it can be broken."""

    def __init__(self, app: ASGIApp, out: Callable[[], bool]) -> None:
        self._app = app
        self._out = out

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            scope[TRANSPORT] = receive.__self__.transport  # type: ignore[attr-defined]  # uvicorn's own: see Cut
        closed = self._out() and not scope["path"].startswith(SPARED)
        await (Cut() if closed else self._app)(scope, receive, send)


async def order(request: Request) -> Response:
    """POST, GET and DELETE /lab/faults."""
    workspace: Workspace = request.app.state.workspace
    if request.method == "POST":
        if not request.headers.get("content-type", "").startswith("application/json"):
            return Response("the body must be application/json", 415)
        try:
            await strike(workspace, msgspec.json.decode(await request.body(), type=faults.Fault))
        except ValueError as problem:  # msgspec's are, too
            return Response(str(problem), 400)
    elif request.method == "DELETE":
        heal(workspace)
    return Response(msgspec.json.encode(workspace.faults.pending), media_type="application/json")


async def strike(workspace: Workspace, fault: faults.Fault) -> None:
    """Orders a fault. Raises ValueError for a channel that there is not."""
    match fault:
        case faults.DropSockets(reset=reset):
            workspace.link.drop(reset)
        case faults.Disconnect(reason=reason):
            await workspace.link.disconnect(reason)
        case faults.Silence():
            workspace.link.silence()
        case faults.Ghosts(count=count):
            workspace.link.haunt(count)
        case faults.NoSockets(reason=reason, seconds=seconds):
            workspace.faults.shut(reason, seconds)
        case faults.Revoke(tokens=tokens, error=error):
            workspace.faults.revoked.update(dict.fromkeys(tokens, error))
        case faults.Standing():
            _stand(workspace, fault)
        case faults.Out(seconds=seconds):
            workspace.faults.away(seconds)
            workspace.link.drop(reset=True)
        case _:
            workspace.faults.add(fault)


def heal(workspace: Workspace) -> None:
    """All is well again."""
    workspace.faults.clear()
    workspace.link.exorcise()
    for channel in tuple(workspace.faults.standing):
        _stand(workspace, faults.Standing(channel))
    workspace.faults.standing.clear()


def _stand(workspace: Workspace, standing: faults.Standing) -> None:
    channel = workspace.channels.get(standing.channel)
    if channel is None:
        raise ValueError(f"there is no channel {standing.channel}")
    channel.members = [one for one in channel.members if one != BOT_USER] + [BOT_USER] * standing.member
    channel.is_archived = standing.archived
    workspace.faults.standing.add(channel.id)


ROUTES = [Route("/lab/faults", order, methods=["GET", "POST", "DELETE"])]
