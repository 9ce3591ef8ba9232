"""Decides what the app gets for an answer to a call that a fault strikes."""

import asyncio
import math

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from lab.slack import faults
from lab.slack.errors import Refused


class Cut(Response):
    """No answer at all: the connection ends at once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Nothing that ASGI knows closes a connection unanswered: this reaches for uvicorn's own.
        receive.__self__.transport.abort()  # type: ignore[attr-defined]
        while (await receive())["type"] != f"{scope['type']}.disconnect":
            continue


async def spoiled(fault: faults.Calls, made: Response | None) -> Response:
    """The answer, when it is due; `made` is the right one where the call was made."""
    match fault:
        case faults.Late(seconds=seconds) if made is not None:
            await asyncio.sleep(seconds)
            return made
        case faults.Nothing(seconds=seconds):
            await asyncio.sleep(seconds)
        case faults.Limit(seconds=seconds):
            return JSONResponse(Refused("ratelimited").body(), 429, {"Retry-After": str(math.ceil(seconds))})
        case faults.Error(error=error):
            return JSONResponse(Refused(error).body())
        case faults.Fail():
            return HTMLResponse("<html><body>Slack had a problem</body></html>", 500)
        case faults.Garbage():
            return HTMLResponse("<html><body>Sign in to the guests' network</body></html>")
    return Cut()
