"""Runs a publisher between a real board and a workspace, for tests of what is told; breaks the line between them."""

import time
from collections.abc import Callable
from http.client import RemoteDisconnected
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from scenes import REHEARSAL, Scene
from slack_room import Room
from slack_sdk.web.base_client import BaseClient

from bot.line.channel import Channel
from bot.line.troubles import Trouble
from bot.masking import Masker
from bot.progress import Publisher
from bot.telling.attachments import Attachments
from bot.telling.scribe import Scribe
from lab.desk import Message
from lab.slack import api
from lab.slack.errors import Refused

CHANNEL = "C01DEPLOYS"


class Team:
    """A board, a workspace, and a publisher between them whose clock the test moves."""

    def __init__(self, scene: Scene, slack: Room, now: Callable[[], float] | None = None) -> None:
        self.scene = scene
        self.now = now or (lambda: self.passed)
        self.slack = slack
        self.passed = 0.0
        self.troubles: list[Trouble | None] = []
        slack.clock.ahead = scene.time.timestamp() - time.time()
        self.publisher = self.comes()

    def comes(self) -> Publisher:
        """A publisher, as after a start."""
        masker, timezone = Masker(["hunter22"]), ZoneInfo("Europe/Berlin")
        scribe = Scribe(
            self.scene.board,
            self.scene.data_dir,
            masker,
            plan_of=lambda run: REHEARSAL if run.kind == "rehearsal" else ("protect", "deploy", "test", "watch"),
            audience=lambda role: {"admins": ("S01ADMINS",), "testers": ("U03TESTER",)}.get(role, ()),
            waits_for=lambda run: None,
            ways_of=None,
            standing_of=lambda run: (),
            commands={"stage": "/rehearse"},
            timezone=timezone,
        )
        self.publisher = Publisher(
            self.scene.board,
            Channel(self.slack.client(), CHANNEL),
            scribe,
            Attachments(self.scene.board, self.scene.data_dir, masker, timezone),
            saw=lambda trouble: self.troubles.append(trouble),
            now=self.now,
        )
        return self.publisher

    def starts(self) -> None:
        self.publisher.listen()

    def goes(self) -> None:
        """The process of the publisher is gone, whatever it knew with it."""
        self.scene.board.listeners.clear()

    def waits(self, seconds: float) -> None:
        self.passed += seconds
        self.slack.clock.ahead += seconds
        self.scene.passes(seconds)

    def tells(self, most: int = 500) -> int:
        """Turns until nothing is left, time passing as the publisher asks for it; how many it took."""
        for turn in range(most):
            wait = self.publisher.turn()
            if wait is None:
                return turn
            self.waits(wait)
        raise AssertionError(f"still something to tell after {most} turns")

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.waits(self.publisher.turn() or 0.0)

    def channel(self) -> list[Message]:
        return self.slack.desk.messages(CHANNEL)

    def card(self, number: int) -> Message:
        ts = self.scene.board.run(number).messages[f"run/{number}"]
        return self.slack.desk.thread(CHANNEL, ts)

    def calls(self, method: str) -> list[dict[str, Any]]:
        return [call for call in self.slack.desk.calls() if call["method"] == method]


def breaks(monkeypatch: pytest.MonkeyPatch, method: str, how: Callable[[Callable[[], Any]], Any]) -> list[str]:
    """The line to Slack: `how` gets what makes the call of that method; every call is noted."""
    whole = BaseClient._perform_urllib_http_request_internal
    seen: list[str] = []

    def line(self: BaseClient, url: str, request: Any) -> Any:
        seen.append(url.rpartition("/")[2].partition("?")[0])
        call = lambda: whole(self, url, request)  # noqa: E731
        return how(call) if seen[-1] == method else call()

    monkeypatch.setattr(BaseClient, "_perform_urllib_http_request_internal", line)
    return seen


def once(fault: Callable[[Callable[[], Any]], Any]) -> Callable[[Callable[[], Any]], Any]:
    """A line that breaks the first time only."""
    left = [fault]
    return lambda call: left.pop()(call) if left else call()


def lost(call: Callable[[], Any]) -> Any:
    """Slack does it, and its answer never arrives."""
    call()
    raise RemoteDisconnected("the answer was lost")


def refuses(monkeypatch: pytest.MonkeyPatch, method: str, error: str) -> None:
    def refuse(call: api.Call) -> api.Answer:
        raise Refused(error)

    known = api.METHODS[method]
    monkeypatch.setitem(api.METHODS, method, api.Method(refuse, known.scopes, known.rate, known.app_level))


def first_lines(message: Message) -> list[str]:
    return [reply.text.partition("\n")[0] for reply in message.replies]
