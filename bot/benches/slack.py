"""Touches a Slack of the bench's own: the lab's workspace in a thread, and people who type at a given pace."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lab.slack import Workspace, create_app
from lab.slack.journal import EnvelopeRecord
from lab.slack.visitor import Visitor
from lab.world import listen, serving

CHANNEL = "C01DEPLOYS"


class Slack:
    """A workspace that a bot can connect to. Its methods are for threads other than its own."""

    def __init__(self, workspace: Workspace, api: str, loop: asyncio.AbstractEventLoop) -> None:
        self.workspace = workspace
        self.api = api
        self._loop = loop

    def types(self, lines: Sequence[tuple[str, str]], per_second: float) -> list[EnvelopeRecord]:
        """People (by id) type lines at that pace, whether those before were acknowledged or not; how it went.

        Returns when the last one was acknowledged, or given up as Slack does.
        """
        return asyncio.run_coroutine_threadsafe(self._types(lines, per_second), self._loop).result()

    async def _types(self, lines: Sequence[tuple[str, str]], per_second: float) -> list[EnvelopeRecord]:
        before = self.workspace.journal.count
        began = self._loop.time()
        typed = []
        for number, (user, line) in enumerate(lines):
            await asyncio.sleep(began + number / per_second - self._loop.time())
            typed.append(asyncio.create_task(Visitor(self.workspace, user).types(CHANNEL, line)))
        await asyncio.gather(*typed)
        return [one for one in self.workspace.journal.envelopes if one.n > before]

    def unanswered(self, envelopes: Sequence[EnvelopeRecord]) -> list[EnvelopeRecord]:
        """Those whose person was told nothing, with the acknowledgement or after it."""
        addresses = self.workspace.response_urls
        return [e for e in envelopes if not e.answer and not addresses[e.payload["response_url"].split("/")[-1]].uses]

    def told(self, envelopes: Sequence[EnvelopeRecord], words: str) -> int:
        """How often people were told these words: with an acknowledgement of these, or later since the first."""
        later = (call.args for call in self.workspace.journal.calls if call.n > envelopes[0].n)
        return sum(words in answer.get("text", "") for answer in (*later, *(one.answer for one in envelopes)))


@contextmanager
def open_slack() -> Iterator[Slack]:
    """Serves a workspace on a free port until the end."""
    loop = asyncio.new_event_loop()
    workspace = Workspace()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(create_app(workspace), door):
            ready.set()
            await stop.wait()
            await workspace.close()

    with listen(0, 0) as door:
        workspace.url = f"http://127.0.0.1:{door.getsockname()[1]}/"
        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="slack")
        thread.start()
        try:
            ready.wait()
            yield Slack(workspace, f"{workspace.url}api/", loop)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
