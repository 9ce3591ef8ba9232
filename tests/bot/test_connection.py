"""The connection to Slack: what is decided of its troubles, and a real one through all of them."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from slack_bolt import App
from slack_bolt.authorization import AuthorizeResult
from slack_room import Room, room

from bot import config
from bot.line import socket_mode, troubles
from bot.line.socket_mode import Line
from bot.line.troubles import Ongoing, Trouble, judge, next_look, pause
from bot.line.watch import Watch
from bot.masking import Masker
from bot.roles import Roles

NOW = 1_790_000_000.0
GONE, GHOSTS = Trouble("unreachable", "refused"), Trouble("ghosts", "1 beside its own")


# --- what is decided --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "failures", "between"),
    [
        ("unreachable", 0, (0, 0)),
        ("unreachable", 1, (0.5, 1.5)),
        ("unreachable", 3, (2, 6)),
        ("unreachable", 50, (15, 45)),
        ("too_many_websockets", 1, (5, 15)),
        ("too_many_websockets", 50, (150, 450)),
        ("token_revoked", 1, (5, 15)),
    ],
)
def test_each_further_try_waits_longer_and_never_for_ever(
    code: str, failures: int, between: tuple[float, float]
) -> None:
    assert pause(code, failures, 0.0) == between[0]
    assert pause(code, failures, 1.0) == between[1]


def test_a_trouble_is_said_at_once_again_every_hour_and_at_its_end() -> None:
    known, saying = judge("socket", None, GONE, NOW)
    assert saying is not None
    assert "does not arrive: unreachable (refused)" in saying.text
    assert "quarterdeck ctl" in saying.text
    assert (saying.logged, saying.direct) == (True, False)
    known, saying = judge("socket", known, GONE, NOW + 3599)
    assert saying is None
    assert known is not None
    assert next_look(known, NOW + 3599) == 1
    known, saying = judge("socket", known, GONE, NOW + 3600)
    assert saying is not None
    assert "for 1 h" in saying.text
    known, saying = judge("socket", known, None, NOW + 3700)
    assert known is None
    assert saying is not None
    assert saying.text == "The connection to Slack is well again after 1 h 1 min."
    assert judge("socket", None, None, NOW) == (None, None)


def test_another_trouble_is_said_at_once_and_lasts_since_the_first() -> None:
    known, _ = judge("socket", None, GONE, NOW)
    known, saying = judge("socket", known, Trouble("token_revoked"), NOW + 60)
    assert saying is not None
    assert "token_revoked" in saying.text
    assert known == Ongoing(Trouble("token_revoked"), NOW, NOW + 60, direct=True)


def test_the_admins_hear_of_a_ghost_only_when_it_stays_and_of_a_lost_channel_at_once() -> None:
    known, saying = judge("others", None, GHOSTS, NOW)
    assert saying is not None
    assert not saying.direct
    assert known is not None
    assert next_look(known, NOW) == 45
    known, saying = judge("others", known, GHOSTS, NOW + 45)
    assert saying is not None
    assert (saying.logged, saying.direct) == (False, True)
    _, saying = judge("others", known, None, NOW + 60)
    assert saying is not None
    assert saying.direct
    _, saying = judge("posts", None, Trouble("not_in_channel", "C01DEPLOYS"), NOW)
    assert saying is not None
    assert saying.direct
    assert "/invite" in saying.text


# --- a connection that stands -----------------------------------------------------------------------------------------


@pytest.fixture
def here() -> Iterator[Room]:
    with room(ack_seconds=2.0) as running:
        yield running


class Bot:
    """A line of a bot whose one command says what it heard."""

    def __init__(self, here: Room) -> None:
        self.here = here
        self.ups = 0
        self.heard: list[str] = []
        client = here.client()
        app = App(
            client=client,
            authorize=lambda enterprise_id, team_id: AuthorizeResult(
                enterprise_id=enterprise_id, team_id=team_id, bot_token=client.token
            ),
            process_before_response=True,
            logger=logging.getLogger("bolt"),
        )

        @app.command("/stage")
        def stage(ack: Any, command: dict[str, Any]) -> None:
            self.heard.append(command["text"])
            ack(f"heard {command['text']}")

        roles = Roles(config.Roles(admins=("S01ADMINS", "U02ADMIN")), client)
        self.watch = Watch(client, partial(roles.persons, "admins"), Masker([]))
        self.line = Line(app, here.workspace.app_token, client, self.watch, self._up)

    def _up(self) -> None:
        self.ups += 1

    def answers(self) -> bool:
        return self.here.desk.types("U02ADMIN", "/stage status").text == "heard status"

    def letters(self, user: str) -> list[str]:
        return [message.text for message in self.here.desk.messages(f"D{user}")]


@contextmanager
def bot(here: Room) -> Iterator[Bot]:
    made = Bot(here)
    made.watch.start()
    made.line.start()
    try:
        yield made
    finally:
        made.line.close()
        made.watch.stop()
        for thread in (made.line._thread, made.watch._thread):
            thread.join(15)
            assert not thread.is_alive()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's seconds are hundredths here, but for those that a slow machine needs."""
    monkeypatch.setattr(socket_mode, "PING", 0.2)
    monkeypatch.setattr(socket_mode, "SILENT", 2.0)
    monkeypatch.setattr(socket_mode, "LOOK", 0.2)
    monkeypatch.setattr(troubles, "_PAUSES", dict.fromkeys(troubles._PAUSES, (0.2, 0.5)))


def test_commands_are_answered_and_no_answer_waits_for_tcp(here: Room) -> None:
    with bot(here) as made:
        assert made.line.settled.wait(10)
        assert made.line.is_connected()
        assert made.answers()
        assert made.line._session is not None
        assert made.line._session._ear is not None
        assert made.line._session._ear._raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_command_that_waits_for_a_listener_came_when_the_socket_brought_it(
    here: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_mode, "LISTENERS", 1)
    came: list[float] = []
    go = threading.Event()
    with bot(here) as made:

        @made.line._app.middleware
        def note(context: Any, next: Any) -> None:
            came.append(context["arrived"])
            go.wait(10)
            next()

        here.waits(lambda: made.ups == 1)
        for _ in range(2):
            threading.Thread(target=made.answers).start()
        here.waits(lambda: came and len(made.line._at_work) == 2)
        released = time.monotonic()
        go.set()
        here.waits(lambda: len(made.heard) == 2)
        assert max(came) < released


def test_a_connection_closes_at_once(here: Room) -> None:
    with bot(here) as made:
        assert made.line.settled.wait(10)
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    here.waits(lambda: here.workspace.link.connections == 0)


@pytest.mark.parametrize("reset", [True, False])
def test_a_socket_that_ends_is_replaced_at_once(here: Room, reset: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "quarterdeck.slack")
    with bot(here) as made:
        here.waits(lambda: made.ups == 1)
        here.desk.breaks("drop_socket", reset=reset)
        began = time.monotonic()
        here.waits(lambda: made.ups == 2)
        assert time.monotonic() - began < 5
        assert made.answers()
    assert "the connection to Slack ended: unreachable" in caplog.text


def test_when_slack_wants_another_connection_no_command_is_lost(here: Room, quick: None) -> None:
    with bot(here) as made:
        here.waits(lambda: made.ups == 1)
        assert made.line._session is not None
        made.line._session.began -= 60  # it stood for a while
        over = threading.Event()
        lost: list[str] = []

        def type_on() -> None:
            while not over.is_set():
                answer = here.desk.types("U02ADMIN", "/stage status")
                lost.extend([answer.error] if answer.error else [])

        typing = threading.Thread(target=type_on)
        typing.start()
        connections = {entry.number for entry in here.workspace.link._open}
        # As Slack does it: the word first, the end of the old connection some seconds later.
        for entry in list(here.workspace.link._open):
            here.does(lambda entry=entry: here.workspace.link._say(entry, {"type": "disconnect", "reason": "warning"}))
        here.waits(lambda: {entry.number for entry in here.workspace.link._open}.isdisjoint(connections))
        here.waits(lambda: made.heard.count("status") > 5)
        over.set()
        typing.join(30)
        assert lost == []
        assert made.watch.trouble("others") is None


def test_a_silent_connection_is_noticed_and_replaced(here: Room, quick: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "quarterdeck.slack")
    with bot(here) as made:
        here.waits(lambda: made.ups == 1)
        here.desk.breaks("silence")
        here.waits(lambda: made.ups >= 2)
        assert "the connection to Slack ended: silent (nothing was heard for 2 s)" in caplog.text
        here.desk.heals()
        here.waits(made.answers)


def test_a_good_connection_stands_while_another_one_is_long_in_coming(here: Room, quick: None) -> None:
    """Nobody asked it for a word meanwhile."""
    with bot(here) as made:
        here.waits(lambda: made.ups == 1)
        standing = made.line._session
        here.desk.breaks("nothing", method="apps.connections.open", seconds=1.3, times=2)
        before = len(opened(here))
        made.line._look_at = 0.0
        made.line._wake.set()
        here.waits(lambda: len(opened(here)) > before + 1)
        here.waits(lambda: made.ups == 2)
        assert standing is not None
        assert standing.why.code != "silent"
        assert made.answers()


def test_ghosts_are_said_in_the_log_and_to_the_admins_and_looked_for_again(
    here: Room, quick: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ghosts = troubles._KINDS["ghosts"]
    monkeypatch.setitem(troubles._KINDS, "ghosts", troubles._Kind(ghosts.mend, direct=0.3))
    with bot(here) as made:
        here.waits(lambda: made.ups == 1)
        here.desk.breaks("ghosts", count=1)
        here.desk.breaks("drop_socket")
        here.desk.breaks("ghosts", count=1)
        here.waits(lambda: made.letters("U02ADMIN") and made.letters("U06ADMIN2"))
        assert "Slack counts more connections of this app than the bot has: ghosts (1 beside its own)" in caplog.text
        assert "Stop any second bot" in made.letters("U02ADMIN")[0]
        here.desk.heals()
        here.waits(lambda: made.watch.trouble("others") is None)
        here.waits(lambda: "well again" in made.letters("U02ADMIN")[-1])
        assert made.answers()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("reason", ["refused", "too_many_websockets"])  # the SDK forgets the socket that was refused
def test_sockets_that_are_refused_are_tried_again_with_a_pause(here: Room, quick: None, reason: str) -> None:
    with bot(here) as made:
        here.waits(lambda: made.ups == 1)
        here.desk.breaks("no_socket", reason=reason)
        before = len(opened(here))
        here.desk.breaks("drop_socket")
        code = "unreachable" if reason == "refused" else reason
        here.waits(lambda: (known := made.watch.trouble("socket")) and known.trouble.code == code)
        began = time.monotonic()
        here.waits(lambda: len(opened(here)) >= before + 4)
        assert time.monotonic() - began > 0.2
        here.desk.heals()
        here.waits(lambda: made.ups == 2)
        assert made.watch.trouble("socket") is None
        assert made.answers()


def test_a_revoked_token_is_said_and_the_bot_goes_on(here: Room, quick: None, caplog: pytest.LogCaptureFixture) -> None:
    with bot(here) as made:
        here.waits(lambda: made.ups == 1)
        here.desk.breaks("revoke", tokens=["app"])
        here.desk.breaks("drop_socket")
        here.waits(lambda: made.letters("U02ADMIN"))
        assert "does not arrive: token_revoked" in caplog.text
        assert "quarterdeck ctl" in made.letters("U02ADMIN")[0]
        here.desk.heals()
        here.waits(lambda: made.ups == 2)
        assert made.answers()


def test_admins_who_are_listed_by_their_group_hear_of_it_in_person_too(here: Room, quick: None) -> None:
    group = here.workspace.groups["S01ADMINS"].users
    with bot(here) as made:
        made.watch.saw("posts", troubles.Trouble("not_in_channel", "C01DEPLOYS"))
        here.waits(lambda: all(made.letters(user) for user in group))
        assert [len(made.letters(user)) for user in group] == [1] * len(group)


def test_slack_that_cannot_be_asked_says_so_and_is_found_when_it_is_back(here: Room, quick: None) -> None:
    here.desk.breaks("out")
    with bot(here) as made:
        assert made.line.settled.wait(10)
        assert not made.line.is_connected()
        known = made.watch.trouble("socket")
        assert known is not None
        assert known.trouble.code == "unreachable"
        here.desk.heals()
        here.waits(lambda: made.ups == 1)
        assert made.answers()


def test_what_slack_says_of_too_many_asks_is_obeyed(here: Room, quick: None) -> None:
    here.desk.breaks("429", method="apps.connections.open", seconds=2)
    began = time.monotonic()
    with bot(here) as made:
        here.waits(lambda: made.ups == 1)
        assert time.monotonic() - began >= 2


def opened(here: Room) -> list[dict[str, Any]]:
    return [call for call in here.desk.calls() if call["method"] == "apps.connections.open"]
