"""Runs a workspace on a free loopback port, and a real Bolt app in it, for the length of a test."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

from lab.desk import Desk
from lab.slack import Workspace, create_app

DEADLINE = 30.0


@dataclass
class Clock:
    """The present, moved forward by hand where a test needs time to have passed."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Room:
    """A running workspace."""

    workspace: Workspace
    url: str
    clock: Clock
    loop: asyncio.AbstractEventLoop
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        self.desk = Desk(self.url)

    def client(self, token: str = "") -> WebClient:
        """The SDK's client with the bot's token, or another."""
        return WebClient(token or self.workspace.bot_token, base_url=f"{self.url}/api/")

    def does(self, work: Callable[[], Any]) -> Any:
        """Run something in the server's own loop."""

        async def call() -> Any:
            outcome = work()
            return await outcome if asyncio.iscoroutine(outcome) else outcome

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(DEADLINE)

    @contextmanager
    def app(self, arrange: Callable[[App], None]) -> Iterator[SocketModeHandler]:
        """A Bolt app over Socket Mode, connected before the test goes on and closed after it."""
        app = App(client=self.client(), logger=logging.getLogger("bolt"))
        arrange(app)
        handler = SocketModeHandler(app, self.workspace.app_token, logger=logging.getLogger("socket"), ping_interval=2)
        handler.connect()
        try:
            self.waits(lambda: self.workspace.link.connections)
            yield handler
        finally:
            handler.client.auto_reconnect_enabled = False  # ended from the far side: its own close waits 3 s for a read
            self.does(self.workspace.link.close)
            self.waits(lambda: not handler.client.is_connected())
            handler.close()
            app.listener_runner.listener_executor.shutdown()

    def waits(self, seen: Callable[[], Any]) -> Any:
        """Look until something is true, for what no event tells of."""
        end = time.monotonic() + DEADLINE
        while not (found := seen()):
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.01)
        return found


@contextmanager
def room(**options: Any) -> Iterator[Room]:
    """A workspace made with `options`, served on a free port."""
    clock = options.setdefault("clock", Clock())
    workspace = Workspace(**options)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(workspace), log_level="warning", lifespan="off"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve([listener])))
    thread.start()
    running = Room(workspace, f"http://127.0.0.1:{listener.getsockname()[1]}", clock, loop)
    try:
        running.waits(lambda: server.started)
        yield running
    finally:
        running.does(workspace.close)
        server.should_exit = True
        thread.join(DEADLINE)
        loop.close()
        listener.close()
