"""The lab's page in a real browser: what a visitor sees and does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser
from slack_bolt import App
from slack_room import Room, room

D = "C01DEPLOYS"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def here(window: Browser) -> Iterator[Room]:
    with room() as running:
        yield running
        window.opens("about:blank")


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def rich(text: str) -> dict[str, Any]:
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [section]}


def plan(*states: str) -> list[dict[str, Any]]:
    tasks = [
        {"type": "task_card", "task_id": str(n), "title": f"Phase {n}", "status": state, "details": rich(f"detail {n}")}
        for n, state in enumerate(states)
    ]
    return [{"type": "plan", "title": "Rehearsal of R-1", "tasks": tasks}]


def test_a_run_moves_without_a_reload_and_its_thread_can_be_watched(here: Room, window: Browser) -> None:
    client = here.client()
    ts = str(client.chat_postMessage(channel=D, text="run", blocks=plan("complete", "in_progress", "pending"))["ts"])
    window.opens(here.url)
    window.sees("message", "1 of 3 done")
    assert window.texts(".state") == ["done", "running", "to do"]
    window.clicks("message")  # the pointer rests on the message, so that its thread can be opened
    window.clicks("open-thread")
    window.sees("thread-messages", "Rehearsal of R-1")
    client.chat_postMessage(channel=D, text="*Restore* took `2 s`", thread_ts=ts)
    client.files_upload_v2(content="line one\nline two", filename="step.log", channel=D, thread_ts=ts)
    window.sees("thread-messages", "line two")
    assert window.texts(".thread article strong")[-2:] == ["Restore", "Quarterdeck"]
    client.chat_update(channel=D, ts=ts, text="run", blocks=plan("complete", "error", "pending"))
    window.waits(lambda: window.texts(".channel .state") == ["done", "failed", "to do"], "the failed phase")
    window.types("reply", "I look at it", "enter")
    window.sees("thread-messages", "I look at it")
    window.types("reply", "", "escape")
    window.waits(lambda: not window.all("#thread:not([hidden])"), "the thread to close")
    assert window.complaints() == []


def test_a_command_is_suggested_sent_and_answered_to_its_author_alone(here: Room, window: Browser) -> None:
    def arrange(app: App) -> None:
        @app.command("/stage")
        def answer(ack: Any, command: dict[str, Any]) -> None:
            ack(f"*Refused*: {command['user_id']} is no admin")

    with here.app(arrange):
        window.opens(here.url)
        window.types("composer", "/st")
        assert window.text("composer-suggestions").startswith("/stage")
        window.types("composer", "", "tab")
        window.types("composer", "run R-1", "enter")
        window.sees("ephemeral", "Refused: U01DEV is no admin")
        assert "Only visible to you" in window.text("ephemeral")
        window.sees("composer-note", "Acknowledged in")
        assert here.desk.envelopes()[-1]["payload"]["text"] == "run R-1"
        window.clicks("person-U02ADMIN")
        window.waits(lambda: not window.all('[data-testid="ephemeral"]'), "the answer to be gone for the admin")


def test_a_modal_is_filled_with_a_file_and_shows_what_is_wrong(here: Room, window: Browser, tmp_path: Path) -> None:
    archive = tmp_path / "webshop-2.4.0.zip"
    archive.write_bytes(b"PK" * 700)

    def arrange(app: App) -> None:
        @app.command("/handoff")
        def opens(ack: Any, client: Any, body: dict[str, Any]) -> None:
            ack()
            file_input = {"type": "file_input", "action_id": "archive", "filetypes": ["zip"], "max_files": 1}
            notes = {"type": "plain_text_input", "action_id": "notes", "multiline": True}
            blocks = [
                {"type": "input", "block_id": "file", "label": plain("Archive"), "element": file_input},
                {"type": "input", "block_id": "why", "label": plain("Notes"), "element": notes, "optional": True},
            ]
            view = {"type": "modal", "callback_id": "handoff", "title": plain("Hand off"), "submit": plain("Hand off")}
            client.views_open(trigger_id=body["trigger_id"], view={**view, "blocks": blocks})

        @app.view("handoff")
        def submitted(ack: Any, view: dict[str, Any], client: Any) -> None:
            notes = view["state"]["values"]["why"]["notes"]["value"]
            if notes == "x":
                ack(response_action="errors", errors={"why": "Say what changes."})
                return
            ack()
            [file] = view["state"]["values"]["file"]["archive"]["files"]
            client.chat_postMessage(channel=D, text=f"R-1: {file['name']}, {notes}")

    with here.app(arrange):
        window.opens(here.url)
        window.types("composer", "/handoff", "enter")
        window.sees("modal", "Hand off")
        window.clicks("modal-submit")
        window.sees("error-file", "Please complete this required field.")
        window.types("file-archive", str(archive))
        window.sees("chosen-archive", archive.name)
        window.types("field-notes", "x")
        window.clicks("modal-submit")
        window.sees("error-why", "Say what changes.")
        window.types("field-notes", " marks the spot")
        window.clicks("modal-submit")
        window.sees("message", "R-1: webshop-2.4.0.zip, x marks the spot")
        assert window.all("dialog") == []
        window.types("composer", "/handoff", "enter")
        window.find("modal")
        window.types("field-notes", "", "escape")
        window.waits(lambda: not window.all("dialog"), "the modal to close on Esc")
        here.desk.wait(lambda: here.desk.modal("U01DEV") is None)


def test_a_dangerous_button_asks_first(here: Room, window: Browser) -> None:
    confirm = {
        "title": plain("Reset staging?"),
        "text": plain("What was done since is gone."),
        "confirm": plain("Reset"),
        "deny": plain("Keep it"),
    }
    button = {"type": "button", "text": plain("Reset"), "action_id": "reset", "style": "danger", "confirm": confirm}

    def arrange(app: App) -> None:
        @app.action("reset")
        def pressed(ack: Any, body: dict[str, Any], client: Any) -> None:
            ack()
            client.chat_update(channel=D, ts=body["message"]["ts"], text=f"Reset by <@{body['user']['id']}>")

    with here.app(arrange):
        blocks = [{"type": "actions", "elements": [button]}]
        here.client().chat_postMessage(channel=D, text="Staging is kept", blocks=blocks)
        window.opens(f"{here.url}/#as=U02ADMIN")
        window.clicks("action-reset")
        window.sees("confirm", "What was done since is gone.")
        window.clicks("confirm-no")
        assert here.desk.envelopes() == []
        window.clicks("action-reset")
        window.clicks("confirm-yes")
        window.sees("message", "Reset by @admin")


def test_nothing_that_somebody_writes_becomes_html_or_a_script_link(here: Room, window: Browser) -> None:
    hostile = (
        "<img src=x onerror=alert(1)> *<b>bold</b>* <javascript:alert(1)|press me> ```<script>alert(1)</script>```"
    )
    client = here.client()
    client.chat_postMessage(channel=D, text=hostile)
    section = {"type": "section", "text": {"type": "mrkdwn", "text": hostile}}
    client.chat_postMessage(channel=D, text="t", blocks=[section, {"type": "header", "text": plain("<i>h</i>")}])
    here.desk.says("U01DEV", "<script>alert(2)</script>")
    window.opens(here.url)
    window.waits(lambda: len(window.all('[data-testid="message"]')) == 3, "three messages")
    assert window.all(".messages img:not(.avatar), .messages script, .messages a, .messages b, .messages i") == []
    assert "<i>h</i>" in window.text("messages")
    assert "<script>alert(2)</script>" in window.text("messages")


def test_a_narrow_window_shows_the_thread_instead_of_the_channel(here: Room, window: Browser) -> None:
    ts = str(here.client().chat_postMessage(channel=D, text="Run 1")["ts"])
    here.client().chat_postMessage(channel=D, text="Step 1", thread_ts=ts)
    window.resizes(420, 800)
    try:
        window.opens(here.url)
        window.clicks("open-thread")
        window.sees("thread-messages", "Step 1")
        width = window.runs("return [document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]
        window.clicks("close-thread")
        window.sees("messages", "1 reply")
    finally:
        window.resizes(1280, 800)


def test_the_home_shows_what_the_app_published(here: Room, window: Browser) -> None:
    def arrange(app: App) -> None:
        @app.event("app_home_opened")
        def opened(event: dict[str, Any], client: Any) -> None:
            blocks = [{"type": "header", "text": plain("The board")}]
            client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

    with here.app(arrange):
        window.opens(here.url)
        window.clicks("home")
        window.sees("homepage", "The board")
