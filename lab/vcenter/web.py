"""Touches HTTP: takes SOAP calls at /sdk, hands each to the vCenter, and answers with its value or fault."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from pyVmomi import vmodl
from pyVmomi.Version import IsChildVersion
from pyVmomi.VmomiSupport import GetServiceVersions, versionIdMap
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lab.inventory import Inventory
from lab.vcenter import control, soap, transfers
from lab.vcenter.core import VCenter
from lab.vcenter.faults import Delay, DropReplies
from lab.vcenter.managed import Call, declared_type

COOKIE = "vmware_soap_session"


def create_app(
    inventory: Inventory, username: str, password: str, others: Mapping[str, str] | None = None
) -> Starlette:
    """The vCenter of this inventory as a web application, to be served in the inventory's event loop over TLS.

    `others` are more users, each with a password.

    Clients keep their connections for 15 minutes: serve it with a keep-alive timeout beyond that. `app.state.vcenter`
    is the VCenter; `await app.state.vcenter.close()` before the server stops lets nobody wait for it.
    """
    app = Starlette(
        routes=[
            Route("/sdk", _sdk, methods=["POST"]),
            Route("/sdk/vimServiceVersions.xml", _versions, methods=["GET"]),
            *transfers.ROUTES,
            *control.ROUTES,
        ],
        middleware=[Middleware(Door)],
    )
    app.state.vcenter = VCenter(inventory, {**(others or {}), username: password})
    return app


async def _sdk(http: HttpRequest) -> Response:
    vcenter: VCenter = http.app.state.vcenter
    version = soap.version_of(http.headers.get("SOAPAction", ""))
    session = vcenter.logins.alive(http.cookies.get(COOKIE))
    headers, name = {}, ""
    try:
        request = soap.decode(await http.body(), version)
        name = request.method.wsdlName
        if delay := vcenter.faults.take(Delay, name):
            await asyncio.sleep(delay.seconds)
        call = Call(session, request.method, partial(vcenter.find, session=session))
        hang_up = asyncio.create_task(_watch(http, vcenter, call))
        try:
            value = await vcenter.invoke(request, call)
        finally:
            hang_up.cancel()
        if call.session is not session and call.session is not None:
            headers["Set-Cookie"] = f'{COOKIE}="{call.session.key}"; Path=/; HttpOnly; Secure;'
        body, status = soap.encode_reply(request.method.wsdlName, _declared(request), value, version), 200
    except vmodl.MethodFault as fault:
        body, status = soap.encode_fault(fault, version), 500
    if name and vcenter.faults.take(DropReplies, name):
        return Cut()
    return Response(body, status, headers, media_type="text/xml; charset=utf-8")


class Door:
    """Lets nobody in while connections are refused, but for who gives the orders."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        closed = scope["type"] == "http" and scope["app"].state.vcenter.faults.refusing
        here = Cut() if closed and not scope["path"].startswith("/lab/") else self._app
        await here(scope, receive, send)


class Cut(Response):
    """No answer at all: the connection ends at once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Nothing that ASGI knows closes a connection unanswered: this reaches for uvicorn's own.
        receive.__self__.transport.abort()  # type: ignore[attr-defined]
        while (await receive())["type"] != "http.disconnect":
            continue


async def _versions(http: HttpRequest) -> Response:
    """What pyVim's SmartConnect picks its API version from."""
    older = [
        f"<version>{versionIdMap[version]}</version>"
        for version in GetServiceVersions("vim25")
        if version != soap.VERSION and IsChildVersion(soap.VERSION, version) and versionIdMap[version]
    ]
    return Response(
        '<?xml version="1.0" encoding="UTF-8"?>\n<namespaces version="1.0"><namespace><name>urn:vim25</name>'
        f"<version>{soap.API_VERSION}</version><priorVersions>{''.join(older)}</priorVersions></namespace></namespaces>",
        media_type="text/xml",
    )


async def _watch(http: HttpRequest, vcenter: VCenter, call: Call) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        continue
    call.gone = True
    vcenter.state.changes.touch()


def _declared(request: soap.Request) -> Any:
    if request.method is soap.FETCH:
        return declared_type(type(request.this), request.arguments["prop"])
    return request.method.result
