"""What goes wrong in the lab's Slack when it is ordered over HTTP, as the bot's own libraries meet it."""

import time
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

import pytest
from slack_bolt import App
from slack_room import Room, room
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from lab.desk import DeskError

DEPLOYS = "C01DEPLOYS"


@pytest.fixture
def here() -> Iterator[Room]:
    with room(ack_seconds=1.0) as running:
        yield running


def client(here: Room, **more: Any) -> WebClient:
    return WebClient(here.workspace.bot_token, base_url=f"{here.url}/api/", retry_handlers=[], **more)


def post(here: Room, text: str = "hello", **more: Any) -> Any:
    return client(here, **more).chat_postMessage(channel=DEPLOYS, text=text)


def texts(here: Room) -> list[str]:
    return [message.text for message in here.desk.messages(DEPLOYS)]


def answering(app: App) -> None:
    app.command("/stage")(lambda ack, command: ack(f"heard {command['text']}"))


def test_a_call_is_limited_as_often_as_it_was_ordered_and_says_how_long_to_wait(here: Room) -> None:
    here.desk.breaks("429", method="chat.postMessage", times=2, seconds=2.5)
    for _ in range(2):
        with pytest.raises(SlackApiError) as refused:
            post(here)
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "3"
    client(here).auth_test()
    post(here, "third")
    assert texts(here) == ["third"]
    assert [call["status"] for call in here.desk.calls()] == [0, 0, 200, 200]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("kind", ["500", "garbage", "nothing"])
def test_an_answer_is_spoiled_whether_the_call_was_made_or_not(here: Room, kind: str, done: bool) -> None:
    more = {"seconds": 0.1} if kind == "nothing" else {}
    here.desk.breaks(kind, method="chat.postMessage", done=done, **more)
    with pytest.raises((SlackClientError, HTTPException, OSError)):
        post(here)
    assert texts(here) == ["hello"] * done


def test_a_post_is_made_and_its_answer_dropped_or_late(here: Room) -> None:
    here.desk.breaks("drop_after", method="chat.postMessage")
    with pytest.raises((HTTPException, OSError)):
        post(here, "dropped")
    here.desk.breaks("late", method="chat.postMessage", seconds=5)
    with pytest.raises(OSError, match="timed out"):
        post(here, "late", timeout=1)
    assert texts(here) == ["dropped", "late"]


def test_a_call_is_refused_with_the_error_that_was_ordered(here: Room) -> None:
    here.desk.breaks("error", error="invalid_blocks")
    with pytest.raises(SlackApiError, match="invalid_blocks"):
        post(here)
    assert texts(here) == []


def test_revoked_tokens_are_refused_until_all_is_well(here: Room) -> None:
    here.desk.breaks("revoke", tokens=["bot"])
    with pytest.raises(SlackApiError, match="token_revoked"):
        post(here)
    app_level = here.client(here.workspace.app_token)
    assert app_level.apps_connections_open(app_token=here.workspace.app_token)["ok"]
    here.desk.breaks("revoke", error="invalid_auth")
    with pytest.raises(SlackApiError, match="invalid_auth"):
        app_level.apps_connections_open(app_token=here.workspace.app_token)
    here.desk.heals()
    assert post(here)["ok"]


def test_the_bot_is_put_out_of_the_channel_and_lets_one_person_know(here: Room) -> None:
    here.desk.breaks("channel", channel=DEPLOYS, member=False)
    with pytest.raises(SlackApiError, match="not_in_channel"):
        post(here)
    here.desk.breaks("channel", channel=DEPLOYS, archived=True)
    with pytest.raises(SlackApiError, match="is_archived"):
        post(here)
    for text in ("one", "two"):
        assert client(here).chat_postMessage(channel="U02ADMIN", text=text)["channel"] == "DU02ADMIN"
    assert [message.text for message in here.desk.messages("DU02ADMIN")] == ["one", "two"]
    here.desk.heals()
    assert post(here)["ok"]


def test_slack_is_out_for_the_app_while_the_desk_goes_on(here: Room) -> None:
    with here.app(answering):
        here.desk.breaks("out")
        with pytest.raises((HTTPException, OSError)):
            post(here)
        assert here.desk.types("U02ADMIN", "/stage status").error == "dispatch_failed"
        here.desk.heals()
        here.waits(lambda: here.workspace.link.connections)
        assert here.desk.types("U02ADMIN", "/stage status").text == "heard status"
    here.desk.breaks("out", seconds=0.3)
    began = time.monotonic()
    while not texts(here):
        try:
            post(here)
        except (HTTPException, OSError):
            assert time.monotonic() - began < 20
    assert time.monotonic() - began >= 0.25


@pytest.mark.parametrize("kind", ["drop_socket", "disconnect"])
def test_a_socket_that_ends_is_replaced_and_commands_arrive_again(here: Room, kind: str) -> None:
    with here.app(answering):
        here.desk.breaks(kind)
        here.waits(lambda: here.desk.types("U02ADMIN", "/stage status").text == "heard status")


def test_an_envelope_is_delivered_twice_or_late(here: Room) -> None:
    heard: list[str] = []

    def arrange(app: App) -> None:
        @app.command("/stage")
        def listen(ack: Any, command: dict[str, Any]) -> None:
            heard.append(command["text"])
            ack("heard")

    with here.app(arrange):
        here.desk.breaks("twice", envelope="slash_commands")
        assert here.desk.types("U02ADMIN", "/stage status").ok
        here.waits(lambda: heard == ["status"] * 2)
        here.desk.breaks("hold", seconds=0.5)
        began = time.monotonic()
        assert here.desk.types("U02ADMIN", "/stage list").ok
        assert time.monotonic() - began >= 0.5


def test_a_dead_socket_and_a_ghost_swallow_their_turn_and_are_counted(here: Room) -> None:
    with here.app(answering):
        here.desk.breaks("silence")
        assert here.desk.types("U02ADMIN", "/stage status").error == "operation_timeout"
        with here.app(answering):
            turns = {here.desk.types("U02ADMIN", "/stage status").ok for _ in range(2)}
            assert turns == {True, False}
            assert here.workspace.link.connections == 2
            here.desk.heals()
            here.waits(lambda: here.desk.types("U02ADMIN", "/stage status").ok)
    with here.app(answering):
        here.desk.breaks("ghosts", count=1)
        assert {here.desk.types("U02ADMIN", "/stage status").ok for _ in range(2)} == {True, False}


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("reason", ["refused", "too_many_websockets"])  # the SDK forgets the socket that was refused
def test_new_sockets_are_refused_at_the_door(here: Room, reason: str) -> None:
    with here.app(answering):
        here.desk.breaks("no_socket", reason=reason)
        here.desk.breaks("drop_socket")
        assert here.desk.types("U02ADMIN", "/stage status").error == "dispatch_failed"
        here.desk.heals()
        here.waits(lambda: here.desk.types("U02ADMIN", "/stage status").ok)


def test_orders_that_make_no_sense_are_refused_with_a_sentence(here: Room) -> None:
    for order in ({"kind": "earthquake"}, {"kind": "429", "times": 0}, {"kind": "channel", "channel": "C99"}):
        with pytest.raises(DeskError):
            here.desk.breaks(**order)
