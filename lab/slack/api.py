"""The Web API's door: reads a call, asks the method for an answer, and refuses what Slack would refuse first."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lab.slack.errors import Refused, malformed
from lab.slack.rates import TIERS, Rate
from lab.slack.schema import complaint
from lab.slack.spoiled import spoiled
from lab.slack.workspace import Workspace

Answer = dict[str, Any]


@dataclass
class Call:
    """The arguments of one call, whatever body they came in."""

    workspace: Workspace
    args: dict[str, Any]

    def text(self, name: str) -> str:
        """An argument as text; empty when absent."""
        value = self.args.get(name)
        return "" if value is None else str(value)

    def need(self, name: str) -> str:
        """An argument that must be there. Raises Refused `invalid_arguments`."""
        value = self.text(name)
        if not value:
            raise malformed("invalid_arguments", [complaint(f"missing required field: {name}", "")])
        return value

    def flag(self, name: str) -> bool:
        """A boolean in any of the SDK's spellings."""
        return self.text(name).lower() in ("true", "1")

    def number(self, name: str, default: int) -> int:
        """A whole number. Raises Refused `invalid_arguments`."""
        try:
            return int(self.text(name) or default)
        except ValueError:
            raise malformed("invalid_arguments", [complaint("must be an integer", f"/{name}")]) from None

    def json(self, name: str, error: str) -> Any:
        """A structure, given as such or as JSON text; None when absent. Raises Refused `error`."""
        value = self.args.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except ValueError:
            raise Refused(error) from None


@dataclass(frozen=True)
class Method:
    """One Web API method; one of `scopes` is needed, none when empty; `app_level` wants the other token."""

    run: Callable[[Call], Answer]
    scopes: tuple[str, ...]
    rate: Rate
    app_level: bool


METHODS: dict[str, Method] = {}


def method(
    name: str, *scopes: str, tier: int | Rate = 3, app_level: bool = False
) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    """Register the decorated function under a method's name."""

    def register(run: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        METHODS[name] = Method(run, scopes, tier if isinstance(tier, Rate) else TIERS[tier], app_level)
        return run

    return register


def admit(workspace: Workspace, name: str, token: str, args: Mapping[str, Any]) -> Method:
    """The method that this token may call now.

    Raises Refused `unknown_method`, `not_authed`, `invalid_auth`, `not_allowed_token_type`, `missing_scope`, and
    `ratelimited` with status 429 and Retry-After.
    """
    found = METHODS.get(name)
    if found is None:
        raise Refused("unknown_method", req_method=name)
    if not token and name != "api.test":
        raise Refused("not_authed")
    if token and token not in (workspace.bot_token, workspace.app_token):
        raise Refused("invalid_auth")
    if token and (revoked := workspace.faults.revoked.get("bot" if token == workspace.bot_token else "app")):
        raise Refused(revoked)
    if token and found.app_level != (token == workspace.app_token):
        raise Refused("not_allowed_token_type")
    if found.scopes and workspace.scopes.isdisjoint(found.scopes):
        raise Refused("missing_scope", needed=found.scopes[0], provided=",".join(sorted(workspace.scopes)))
    wait = workspace.limiter.take(name, str(args.get("channel", "")), found.rate, workspace.clock())
    if wait:
        raise Refused("ratelimited", 429, {"Retry-After": str(wait)})
    return found


def respond(workspace: Workspace, name: str, token: str, args: dict[str, Any]) -> JSONResponse:
    """Answer one call and record it. Every answer of the Web API is made here."""
    status, headers = 200, {}
    try:
        body = {"ok": True, **admit(workspace, name, token, args).run(Call(workspace, args))}
    except Refused as refused:
        body, status, headers = refused.body(), refused.status, refused.headers
    workspace.journal.note_call(name, args, status, body)
    headers["X-OAuth-Scopes"] = ",".join(sorted(workspace.scopes))
    return JSONResponse(body, status, headers)


async def arguments(request: Request) -> dict[str, Any]:
    """Query, form and JSON body as one dictionary."""
    args: dict[str, Any] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body = json.loads(await request.body() or b"{}")
        except ValueError:
            raise Refused("invalid_json") from None
        if not isinstance(body, dict):
            raise Refused("json_not_object")
        return args | body
    async with request.form() as form:
        return args | {name: value for name, value in form.items() if isinstance(value, str)}


def bearer(request: Request) -> str:
    """The token of the Authorization header, or none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def door(request: Request) -> Response:
    """POST or GET /api/{name}."""
    workspace: Workspace = request.app.state.workspace
    workspace.url = str(request.base_url)
    try:
        args = await arguments(request)
    except Refused as refused:
        return JSONResponse(refused.body())
    token, name = str(args.pop("token", "")) or bearer(request), request.path_params["name"]
    fault = workspace.faults.call(name)
    if fault is None:
        return respond(workspace, name, token, args)
    made = respond(workspace, name, token, args) if fault.done else None
    if made is None:
        workspace.journal.note_call(name, args, 0, {"ok": False, "error": f"fault {type(fault).__name__}"})
    return await spoiled(fault, made)
