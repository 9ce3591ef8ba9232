"""A real Bolt app and the real SDK in the lab's Slack: what a person sees of each interaction."""

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slack_bolt import App
from slack_room import Room, room
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.webhook import WebhookClient

DEPLOYS = "C01DEPLOYS"


@pytest.fixture
def here() -> Iterator[Room]:
    with room() as running:
        yield running


def button(label: str, action_id: str, value: str = "", **more: Any) -> dict[str, Any]:
    element = {"type": "button", "text": {"type": "plain_text", "text": label}, "action_id": action_id, **more}
    return element | ({"value": value} if value else {})


def actions(*buttons: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "actions", "elements": list(buttons)}]


def modal(**more: Any) -> dict[str, Any]:
    label = {"type": "plain_text", "text": "Archive"}
    file_input = {"type": "file_input", "action_id": "archive", "filetypes": ["zip"], "max_files": 1}
    notes = {"type": "plain_text_input", "action_id": "notes", "multiline": True}
    return {
        "type": "modal",
        "callback_id": "handoff",
        "title": {"type": "plain_text", "text": "Hand off"},
        "submit": {"type": "plain_text", "text": "Hand off"},
        "blocks": [
            {"type": "input", "block_id": "file", "label": label, "element": file_input},
            {"type": "input", "block_id": "why", "label": label, "element": notes, "optional": True},
        ],
        **more,
    }


def test_a_command_is_acknowledged_with_an_answer_that_only_its_author_sees(here: Room) -> None:
    def arrange(app: App) -> None:
        @app.command("/handoff")
        def listed(ack: Any, command: dict[str, Any]) -> None:
            ack(f"{command['user_id']} typed {command['text']}")

    with here.app(arrange):
        answer = here.desk.types("U01DEV", "/handoff list for @admin in #deploys & <x> https://a.example/p.zip")
    assert answer.ok
    assert answer.text == (
        "U01DEV typed list for <@U02ADMIN|admin> in <#C01DEPLOYS|deploys> &amp; &lt;x&gt; <https://a.example/p.zip>"
    )
    assert 0 < answer.ack_ms < 3000
    assert [message.text for message in here.desk.ephemerals("U01DEV")] == [answer.text]
    assert here.desk.ephemerals("U02ADMIN") == []
    assert here.desk.messages(DEPLOYS) == []


def test_a_command_may_answer_the_whole_channel(here: Room) -> None:
    with here.app(lambda app: app.command("/stage")(lambda ack: ack({"response_type": "in_channel", "text": "hello"}))):
        here.desk.types("U02ADMIN", "/stage status")
    assert [message.text for message in here.desk.messages(DEPLOYS)] == ["hello"]


def test_an_ack_that_no_message_could_be_made_of_fails_before_the_user(here: Room) -> None:
    twice = actions(button("One", "same"), button("Two", "same"))
    with here.app(lambda app: app.command("/stage")(lambda ack: ack({"text": "t", "blocks": twice}))):
        answer = here.desk.types("U02ADMIN", "/stage help")
    assert answer.error == "invalid_command_response"
    assert answer.text == '/stage failed with the error "invalid_command_response"'


def test_a_late_ack_is_slacks_error_before_the_user_and_is_recorded(here: Room) -> None:
    release = threading.Event()

    def arrange(app: App) -> None:
        @app.command("/stage")
        def slow(ack: Any) -> None:
            release.wait(30)
            ack("too late")

    with here.app(arrange):
        answer = here.desk.types("U02ADMIN", "/stage run R-1")
        assert answer.text == '/stage failed with the error "operation_timeout"'
        assert here.desk.envelopes()[-1]["error"] == "operation_timeout"
        release.set()
        here.waits(lambda: here.desk.envelopes()[-1]["late"])
    assert [message.text for message in here.desk.ephemerals("U02ADMIN")] == [answer.text]


def test_without_a_bot_a_command_fails_at_once(here: Room) -> None:
    answer = here.desk.types("U01DEV", "/handoff")
    assert answer.text == '/handoff failed with the error "dispatch_failed"'
    assert here.desk.types("U01DEV", "/nonsense").error == "unknown_command"


def test_an_exception_in_a_listener_leaves_the_modal_open_with_slacks_words(here: Room) -> None:
    def arrange(app: App) -> None:
        @app.command("/handoff")
        def opens(ack: Any, client: Any, body: dict[str, Any]) -> None:
            ack()
            client.views_open(trigger_id=body["trigger_id"], view=modal(blocks=[]))

        @app.view("handoff")
        def breaks() -> None:
            raise ZeroDivisionError

    with here.app(arrange):
        here.desk.types("U01DEV", "/handoff")
        here.desk.wait(lambda: here.desk.modal("U01DEV"))
        assert here.desk.submits("U01DEV").error == "operation_timeout"
    left = here.desk.modal("U01DEV")
    assert left is not None
    assert left["trouble"].startswith("We had some trouble connecting")


def test_a_button_edits_its_message_and_is_gone(here: Room) -> None:
    def arrange(app: App) -> None:
        @app.action("answer:retry")
        def pressed(ack: Any, body: dict[str, Any], client: Any) -> None:
            ack()
            who, value = body["user"]["id"], body["actions"][0]["value"]
            client.chat_update(channel=DEPLOYS, ts=body["message"]["ts"], text=f"{who} chose {value}")

    confirm = {
        "title": {"type": "plain_text", "text": "Sure?"},
        "text": {"type": "plain_text", "text": "It runs again."},
        "confirm": {"type": "plain_text", "text": "Retry"},
        "deny": {"type": "plain_text", "text": "Back"},
    }
    with here.app(arrange):
        blocks = actions(button("Retry", "answer:retry", "7", style="primary", confirm=confirm))
        here.client().chat_postMessage(channel=DEPLOYS, text="It failed", blocks=blocks)
        [question] = here.desk.messages(DEPLOYS)
        assert question.button("Retry").confirm == "It runs again.\nSure?"
        assert here.desk.presses("U02ADMIN", question, "Retry").ok
        [edited] = here.desk.wait(lambda: [one for one in here.desk.messages(DEPLOYS) if not one.buttons])
        assert edited.text == "U02ADMIN chose 7"
        with pytest.raises(Exception, match="nothing with the action"):
            here.desk.presses("U06ADMIN2", question, "Retry")
        assert here.desk.presses("U06ADMIN2", question, "Retry", force=True).ok
        here.desk.wait(lambda: here.desk.messages(DEPLOYS)[0].text == "U06ADMIN2 chose 7")


def test_a_modal_takes_a_file_that_the_bot_can_download(here: Room, tmp_path: Path) -> None:
    got: dict[str, Any] = {}

    def arrange(app: App) -> None:
        @app.command("/handoff")
        def opens(ack: Any, client: Any, body: dict[str, Any]) -> None:
            ack()
            client.views_open(trigger_id=body["trigger_id"], view=modal(private_metadata="m"))

        @app.view("handoff")
        def submitted(ack: Any, view: dict[str, Any], client: Any) -> None:
            notes = view["state"]["values"]["why"]["notes"]["value"]
            if notes == "bad":
                ack(response_action="errors", errors={"why": "Say something better."})
                return
            ack()
            [file] = view["state"]["values"]["file"]["archive"]["files"]
            request = urllib.request.Request(file["url_private_download"])
            got["login"] = urllib.request.urlopen(request).read()
            request.add_header("Authorization", f"Bearer {client.token}")
            got["bytes"] = urllib.request.urlopen(request).read()
            got["metadata"] = view["private_metadata"]
            client.chat_postMessage(channel=DEPLOYS, text=f"{file['name']} of {file['size']} bytes")

    archive, other = tmp_path / "shop.zip", tmp_path / "shop.exe"
    archive.write_bytes(b"PK\x00\xff" * 100)
    other.write_bytes(b"MZ")
    with here.app(arrange):
        here.desk.types("U01DEV", "/handoff")
        here.desk.wait(lambda: here.desk.modal("U01DEV"))
        assert here.desk.submits("U01DEV").errors == {"file": "Please complete this required field."}
        wrong = here.desk.submits("U01DEV", files={"archive": other})
        assert wrong.errors == {"file": "shop.exe is not one of: zip."}
        refused = here.desk.submits("U01DEV", {"notes": "bad"}, {"archive": archive})
        assert refused.errors == {"why": "Say something better."}
        assert here.desk.submits("U01DEV", {"notes": "Order history"}).ok
        assert here.desk.modal("U01DEV") is None
        here.desk.wait(lambda: here.desk.messages(DEPLOYS))
    assert [one.text for one in here.desk.messages(DEPLOYS)] == ["shop.zip of 400 bytes"]
    assert got["bytes"] == archive.read_bytes()
    assert got["login"].startswith(b"<!DOCTYPE html>")
    assert got["metadata"] == "m"


def test_a_submission_may_change_the_modal_or_clear_it(here: Room) -> None:
    def arrange(app: App) -> None:
        @app.command("/handoff")
        def opens(ack: Any, client: Any, body: dict[str, Any]) -> None:
            ack()
            client.views_open(trigger_id=body["trigger_id"], view=modal(blocks=[]))

        @app.view("handoff")
        def first(ack: Any) -> None:
            title = {"type": "plain_text", "text": "Once more"}
            ack(response_action="update", view=modal(blocks=[], title=title, callback_id="again"))

        app.view("again")(lambda ack: ack(response_action="clear"))

    with here.app(arrange):
        here.desk.types("U01DEV", "/handoff")
        here.desk.wait(lambda: here.desk.modal("U01DEV"))
        assert here.desk.submits("U01DEV").ok
        changed = here.desk.modal("U01DEV")
        assert changed is not None
        assert changed["title"]["text"] == "Once more"
        assert here.desk.submits("U01DEV").ok
        assert here.desk.modal("U01DEV") is None


def test_a_thread_carries_its_replies_their_files_and_their_metadata(here: Room) -> None:
    client = here.client()
    root = client.chat_postMessage(channel=DEPLOYS, text="Run 1")["ts"]
    metadata = {"event_type": "quarterdeck_step", "event_payload": {"key": "run-1/step-1"}}
    client.chat_postMessage(channel=DEPLOYS, text="Step 1", thread_ts=root, metadata=metadata)
    log = "\n".join(f"line {number}" for number in range(20))
    client.files_upload_v2(
        content=log, filename="step-1.log", channel=DEPLOYS, thread_ts=root, initial_comment="The whole log"
    )
    client.chat_postMessage(channel=DEPLOYS, text="It failed", thread_ts=root, reply_broadcast=True)
    thread = here.desk.thread(DEPLOYS, root)
    assert [reply.text for reply in thread.replies] == ["Step 1", "The whole log", "It failed"]
    [file] = thread.replies[1].files
    assert here.desk.downloads(file["id"]).decode() == log
    replies = client.conversations_replies(channel=DEPLOYS, ts=root, include_all_metadata=True)["messages"]
    assert [reply.get("metadata") for reply in replies] == [None, metadata, None, None]
    assert replies[0]["reply_count"] == 3
    history = client.conversations_history(channel=DEPLOYS)["messages"]
    assert [one["text"] for one in history] == ["It failed", "Run 1"]


def test_pages_of_replies_follow_each_other_by_cursor(here: Room) -> None:
    client = here.client()
    root = client.chat_postMessage(channel=DEPLOYS, text="0")["ts"]
    for number in range(1, 6):
        client.chat_postMessage(channel=DEPLOYS, text=str(number), thread_ts=root)
    pages = [
        [one["text"] for one in page["messages"]]
        for page in client.conversations_replies(channel=DEPLOYS, ts=root, limit=4)
    ]
    assert pages == [["0", "1", "2", "3"], ["4", "5"]]


def test_the_eleventh_post_in_a_second_waits_and_the_sdk_knows_how_long(here: Room) -> None:
    frozen = here.workspace.clock()
    here.workspace.clock = lambda: frozen
    client = here.client()
    for _ in range(10):
        client.chat_postMessage(channel=DEPLOYS, text="again")
    with pytest.raises(SlackApiError) as refused:
        client.chat_postMessage(channel=DEPLOYS, text="once too often")
    assert refused.value.response.status_code == 429
    assert refused.value.response.headers["Retry-After"] == "1"
    assert refused.value.response["error"] == "ratelimited"
    client.chat_postMessage(channel="C04SHARED", text="another channel has its own")
    here.workspace.clock = here.clock
    here.clock.ahead += 1
    client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=2))
    for number in range(2):
        client.chat_postMessage(channel=DEPLOYS, text=f"patient {number}")
    assert len(here.desk.messages(DEPLOYS)) == 12


def test_a_response_address_serves_five_times_in_half_an_hour(here: Room) -> None:
    urls: list[str] = []

    def arrange(app: App) -> None:
        @app.command("/stage")
        def noted(ack: Any, command: dict[str, Any], respond: Any) -> None:
            ack()
            urls.append(command["response_url"])
            respond("one")

        @app.action("again")
        def replaced(ack: Any, respond: Any) -> None:
            ack()
            respond("replaced", replace_original=True)

    with here.app(arrange):
        here.desk.types("U02ADMIN", "/stage status")
        here.desk.wait(lambda: here.desk.ephemerals("U02ADMIN"))
        hook = WebhookClient(urls[0])
        blocks = actions(button("Again", "again"))
        assert hook.send(text="two", blocks=blocks).status_code == 200
        assert hook.send(text="three", response_type="in_channel").body == "ok"
        assert hook.send(text="").status_code == 400
        assert hook.send(text="five").status_code == 200
        sixth = hook.send(text="six")
        assert (sixth.status_code, '"used_url"' in sixth.body) == (404, True)
        pressable = here.desk.ephemerals("U02ADMIN")[1]
        here.desk.presses("U02ADMIN", pressable, "Again")
        here.desk.wait(lambda: here.desk.ephemerals("U02ADMIN")[1].text == "replaced")
        here.desk.types("U02ADMIN", "/stage status")
        here.desk.wait(lambda: len(urls) == 2 and len(here.desk.ephemerals("U02ADMIN")) == 4)
        here.clock.ahead += 30 * 60 + 1
        assert "expired_url" in WebhookClient(urls[1]).send(text="late").body
    assert [one.text for one in here.desk.ephemerals("U02ADMIN")] == ["one", "replaced", "five", "one"]
    assert [one.text for one in here.desk.messages(DEPLOYS)] == ["three"]


def test_a_trigger_serves_once_and_for_three_seconds(here: Room) -> None:
    client = here.client()

    def attempt(trigger: str, view: dict[str, Any]) -> str:
        try:
            client.views_open(trigger_id=trigger, view=view)
        except SlackApiError as refused:
            return str(refused.response["error"])
        return "opened"

    fresh = here.workspace.new_trigger("U01DEV")
    assert attempt("made-up", modal()) == "invalid_trigger_id"
    assert attempt(fresh, modal(title={"type": "plain_text", "text": "x" * 25})) == "invalid_arguments"
    assert attempt(fresh, modal()) == "opened"
    assert attempt(fresh, modal()) == "exchanged_trigger_id"
    old = here.workspace.new_trigger("U01DEV")
    here.clock.ahead += 3.5
    assert attempt(old, modal()) == "expired_trigger_id"


def test_a_mention_and_a_look_at_the_home_reach_the_app_as_events(here: Room) -> None:
    def arrange(app: App) -> None:
        @app.event("app_mention")
        def mentioned(event: dict[str, Any], say: Any) -> None:
            say(text=f"heard {event['text']}", thread_ts=event["ts"])

        @app.event("app_home_opened")
        def opened(event: dict[str, Any], client: Any) -> None:
            blocks = [{"type": "header", "text": {"type": "plain_text", "text": "The board"}}]
            client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

    with here.app(arrange):
        here.desk.says("U01DEV", "@quarterdeck help")
        [said] = here.desk.wait(lambda: [one for one in here.desk.messages(DEPLOYS) if one.replies])
        assert said.replies[0].text == "heard <@U00BOT> help"
        here.desk.opens_home("U01DEV")
        home = here.desk.wait(lambda: here.desk.home("U01DEV"))
        assert home["blocks"][0]["text"]["text"] == "The board"


def test_connections_take_turns_and_a_refreshed_one_comes_back(here: Room) -> None:
    def arrange(app: App) -> None:
        app.command("/stage")(lambda ack: ack("here"))

    with here.app(arrange), here.app(arrange):
        here.waits(lambda: here.workspace.link.connections == 2)
        for _ in range(2):
            assert here.desk.types("U02ADMIN", "/stage help").text == "here"
        assert len({envelope["connection"] for envelope in here.desk.envelopes()}) == 2
        here.does(lambda: here.workspace.link.disconnect("refresh_requested"))
        here.waits(lambda: here.workspace.link.connections == 2)
        assert here.desk.types("U02ADMIN", "/stage help").text == "here"


def test_the_record_names_every_call_and_no_token(here: Room) -> None:
    here.client().chat_postMessage(channel=DEPLOYS, text="hello")
    with pytest.raises(SlackApiError):
        here.client().api_call("admin.users.remove", params={"user_id": "U01DEV"})
    calls = here.desk.calls()
    assert [(call["method"], call["answer"]["ok"]) for call in calls] == [
        ("chat.postMessage", True),
        ("admin.users.remove", False),
    ]
    assert calls[1]["answer"]["error"] == "unknown_method"
    assert here.workspace.bot_token not in str(calls)
