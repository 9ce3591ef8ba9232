"""Puts a workspace's doors together: the Web API, Socket Mode, files, response addresses, desk, page and faults."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from lab.slack import answers, api, control, desk, filing
from lab.slack import chat as _chat  # noqa: F401  (registers its methods)
from lab.slack import directory as _directory  # noqa: F401
from lab.slack import viewing as _viewing  # noqa: F401
from lab.slack.workspace import Workspace

PAGE = Path(__file__).parent / "page"
LOOPBACK = ["127.0.0.1", "localhost"]  # a name that a page elsewhere made point here is refused
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"


async def _page(request: Request) -> Response:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return FileResponse(PAGE / "index.html", headers=headers)


async def _link(socket: WebSocket) -> None:
    workspace: Workspace = socket.app.state.workspace
    await workspace.link.serve(socket)


def create_app(workspace: Workspace) -> Starlette:
    """The server of one workspace, for uvicorn on a loopback address; `workspace.close()` before stopping it."""
    app = Starlette(
        routes=[
            Route("/", _page),
            Mount("/page", StaticFiles(directory=PAGE)),
            Mount("/desk", routes=desk.ROUTES),
            Route("/api/{name}", api.door, methods=["GET", "POST"]),
            WebSocketRoute("/link", _link),
            Route("/actions/{key}", answers.door, methods=["POST"]),
            Route("/upload/v1/{ticket}", filing.take_upload, methods=["POST"]),
            Route("/files-pri/{file}/download/{name}", filing.give_file),
            Route("/files-pri/{file}/{name}", filing.give_file),
            *control.ROUTES,
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK),
            Middleware(control.Door, out=lambda: workspace.faults.out),
        ],
    )
    app.state.workspace = workspace
    return app
