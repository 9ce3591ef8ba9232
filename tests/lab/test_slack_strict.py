"""The lab's Slack refuses what the real one refuses: a table of calls and answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from slack_room import Room, room
from slack_sdk.errors import SlackApiError

from lab.slack import Rate
from lab.slack.people import SCOPES

D = "C01DEPLOYS"
MANY = {name: Rate(60_000, 10_000) for name in ("chat.postMessage", "chat.update", "views.open")}


@pytest.fixture(scope="module")
def here() -> Iterator[Room]:
    with room(rates=MANY, scopes=SCOPES | {"reactions:write", "channels:join", "pins:write"}) as running:
        yield running


def refusal(here: Room, method: str, token: str = "", **args: Any) -> tuple[str, dict[str, Any]]:
    with pytest.raises(SlackApiError) as refused:
        here.client(token).api_call(method, json=args)
    answer: dict[str, Any] = refused.value.response.data  # type: ignore[assignment]
    return str(answer["error"]), answer


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def section(length: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": "x" * length}, **more}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain("Press"), **more}


def actions(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


def task(**more: Any) -> dict[str, Any]:
    return {"type": "task_card", "task_id": "1", "title": "Deploy", "status": "pending", **more}


def rich(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(parts)}]}


def asked(element: dict[str, Any]) -> dict[str, Any]:
    return {"type": "input", "label": plain("Which"), "element": element}


FILE_INPUT = {"type": "file_input", "action_id": "f"}
ALERT = {"type": "alert", "text": plain("careful")}
CONFIRM = {"title": plain("Sure?"), "text": plain("Really?"), "confirm": plain("Yes"), "deny": plain("No")}


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        ([section()] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
        ([section(3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        ([section(0)], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        ([{"type": "section"}], "must define either `text` or `fields` [json-pointer:/blocks/0/type]"),
        ([section(fields=[plain("f")] * 11)], "no more than 10 items allowed [json-pointer:/blocks/0/fields]"),
        ([section(fields=[plain("f" * 2001)])], "must be less than 2001 characters"),
        ([section(colour="red")], "invalid additional property: colour [json-pointer:/blocks/0]"),
        ([section(block_id="b" * 256)], "must be less than 256 characters"),
        ([section(block_id="b")] * 2, "block_id must be unique [json-pointer:/blocks/1/block_id]"),
        ([{"type": "header", "text": plain("h" * 151)}], "must be less than 151 characters"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "h"}}], "unsupported type: mrkdwn"),
        ([{"type": "context", "elements": [plain("c")] * 11}], "no more than 10 items allowed"),
        ([actions(*[button(action_id=f"a{n}") for n in range(26)])], "no more than 25 items allowed"),
        ([actions(button(action_id="a"), button(action_id="a"))], '`action_id` "a" already exists'),
        ([actions(button(action_id="a" * 256))], "must be less than 256 characters"),
        ([actions(button(value="v" * 2001))], "must be less than 2001 characters"),
        ([actions(button(style="default"))], "must be a valid enum value: primary, danger"),
        ([actions({**button(), "text": plain("t" * 76)})], "must be less than 76 characters"),
        ([actions(button(confirm={**CONFIRM, "title": plain("t" * 101)}))], "must be less than 101 characters"),
        ([actions(button(confirm={**CONFIRM, "deny": plain("t" * 31)}))], "must be less than 31 characters"),
        ([actions({"type": "plain_text_input"})], "unsupported type: plain_text_input"),
        ([{"type": "plan", "title": "Run", "tasks": [task()] * 51}], "no more than 50 items allowed"),
        ([{"type": "plan", "title": "Run"}] * 2, "only one plan block allowed [json-pointer:/blocks/1]"),
        ([task(status="failed")], "must be a valid enum value: pending, in_progress, complete, error"),
        ([task(details="words")], "must be an object [json-pointer:/blocks/0/details]"),
        ([{"type": "table", "rows": [[{"type": "raw_text", "text": "c"}] * 21]}], "no more than 20 items allowed"),
        ([{"type": "table", "rows": [[{"type": "raw_text", "text": "c"}]] * 101}], "no more than 100 items allowed"),
        ([rich({"type": "text", "text": ""})], "must be more than 0 characters"),
        ([rich({"type": "text", "text": "t", "style": {"loud": True}})], "invalid additional property: loud"),
        ([asked(FILE_INPUT)], "unsupported type: file_input [json-pointer:/blocks/0/element/type]"),
        ([ALERT], "unsupported type: alert [json-pointer:/blocks/0/type]"),
        ([{"type": "image", "alt_text": "a", "image_url": "http://127.0.0.1/a.png"}], "downloading image failed"),
        ([{"type": "marquee"}], "unsupported type: marquee"),
        ([{"text": plain("x")}], "missing required field: type [json-pointer:/blocks/0]"),
        (["text"], "must be an object [json-pointer:/blocks/0]"),
        ({"type": "divider"}, "must be an array [json-pointer:/blocks]"),
    ],
)
def test_a_message_with_such_blocks_is_refused_with_the_place(here: Room, blocks: Any, complaint: str) -> None:
    error, answer = refusal(here, "chat.postMessage", channel=D, text="t", blocks=blocks)
    assert error == "invalid_blocks"
    assert any(complaint in line for line in answer["response_metadata"]["messages"])


def test_blocks_at_their_limits_are_taken(here: Room) -> None:
    full = [
        section(3000, block_id="b" * 255),
        section(fields=[plain("f")] * 10),
        {"type": "header", "text": plain("h" * 150)},
        actions(*[button(action_id=f"a{n}", value="v") for n in range(25)]),
        {"type": "context", "elements": [plain("c")] * 10},
        rich({"type": "text", "text": "t", "style": {"bold": True}}, {"type": "user", "user_id": "U01DEV"}),
        {"type": "plan", "title": "Run", "tasks": [task(details=rich({"type": "text", "text": "d"})), task()]},
        {"type": "table", "rows": [[{"type": "raw_text", "text": "c"}, rich({"type": "text", "text": "t"})]]},
        {"type": "divider"},
    ]
    assert here.client().chat_postMessage(channel=D, text="t", blocks=full)["ok"]
    assert here.client().chat_postMessage(channel=D, text="t", blocks=[{"type": "divider"}] * 50)["ok"]


def view(**more: Any) -> dict[str, Any]:
    return {"type": "modal", "title": plain("T"), "submit": plain("S"), "blocks": [section()], **more}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (view(title=plain("t" * 25)), "must be less than 25 characters [json-pointer:/view/title/text]"),
        (view(submit=plain("t" * 25)), "must be less than 25 characters [json-pointer:/view/submit/text]"),
        (view(close=plain("t" * 25)), "must be less than 25 characters [json-pointer:/view/close/text]"),
        (view(private_metadata="m" * 3001), "must be less than 3001 characters [json-pointer:/view/private_metadata]"),
        (view(blocks=[section()] * 101), "no more than 100 items allowed [json-pointer:/view/blocks]"),
        (view(blocks=[{"type": "plan", "title": "Run"}]), "unsupported type: plan [json-pointer:/view/blocks/0/type]"),
        (view(blocks=[asked({**FILE_INPUT, "max_files": 11})]), "must be between 1 and 10"),
        ({key: part for key, part in view(blocks=[asked(FILE_INPUT)]).items() if key != "submit"}, "submit is req"),
        ({"type": "modal", "blocks": []}, "missing required field: title [json-pointer:/view]"),
        ({"type": "home", "blocks": []}, "unsupported type: home [json-pointer:/view/type]"),
    ],
)
def test_such_a_modal_is_refused_with_the_place(here: Room, given: dict[str, Any], complaint: str) -> None:
    trigger = here.workspace.new_trigger("U01DEV")
    error, answer = refusal(here, "views.open", trigger_id=trigger, view=given)
    assert error == "invalid_arguments"
    assert any(complaint in line for line in answer["response_metadata"]["messages"])


def test_a_modal_takes_files_and_alerts(here: Room) -> None:
    trigger = here.workspace.new_trigger("U01DEV")
    opened = here.client().views_open(trigger_id=trigger, view=view(blocks=[asked(FILE_INPUT), ALERT]))["view"]
    changed = here.client().views_update(view_id=opened["id"], hash=opened["hash"], view=view())["view"]
    assert changed["hash"] != opened["hash"]
    error, _ = refusal(here, "views.update", view_id=opened["id"], hash=opened["hash"], view=view())
    assert error == "hash_conflict"
    assert refusal(here, "views.update", view_id="V0", view=view())[0] == "not_found"


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("chat.postMessage", {"channel": "C02GENERAL", "text": "t"}, "not_in_channel"),
        ("chat.postMessage", {"channel": "C03PRIVATE", "text": "t"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "C99", "text": "t"}, "channel_not_found"),
        ("chat.postMessage", {"text": "t"}, "invalid_arguments"),
        ("chat.postMessage", {"channel": D}, "no_text"),
        ("chat.postMessage", {"channel": D, "text": " "}, "no_text"),
        ("chat.postMessage", {"channel": D, "text": "t" * 40_001}, "msg_too_long"),
        ("chat.postMessage", {"channel": D, "text": "t", "blocks": "[{"}, "invalid_blocks_format"),
        ("chat.postMessage", {"channel": D, "text": "t", "blocks": [section(2400)] * 5}, "msg_blocks_too_long"),
        ("chat.postMessage", {"channel": D, "text": "t", "thread_ts": "1.000000"}, "thread_not_found"),
        ("chat.postMessage", {"channel": D, "text": "t", "metadata": {"event_type": "e"}}, "invalid_metadata_schema"),
        ("chat.update", {"channel": D, "ts": "1.000000", "text": "t"}, "message_not_found"),
        ("chat.delete", {"channel": D, "ts": "1.000000"}, "message_not_found"),
        ("chat.postEphemeral", {"channel": D, "user": "U05OTHER", "text": "t"}, "user_not_in_channel"),
        ("chat.getPermalink", {"channel": D, "message_ts": "1.000000"}, "message_not_found"),
        ("conversations.info", {"channel": "C03PRIVATE"}, "channel_not_found"),
        ("conversations.history", {"channel": "C02GENERAL"}, "not_in_channel"),
        ("conversations.replies", {"channel": D, "ts": "1.000000"}, "thread_not_found"),
        ("conversations.join", {"channel": "C03PRIVATE"}, "channel_not_found"),
        ("users.info", {"user": "U99"}, "user_not_found"),
        ("usergroups.users.list", {"usergroup": "S99"}, "no_such_subteam"),
        ("files.info", {"file": "F99"}, "file_not_found"),
        ("files.completeUploadExternal", {"files": [{"id": "F99"}]}, "file_not_found"),
        ("bookmarks.add", {"channel_id": D, "title": "t", "type": "link"}, "missing_scope"),
        ("apps.connections.open", {}, "not_allowed_token_type"),
        ("chat.scheduleMessage", {}, "unknown_method"),
    ],
)
def test_such_a_call_is_refused(here: Room, method: str, args: dict[str, Any], error: str) -> None:
    assert refusal(here, method, **args)[0] == error


def test_tokens_and_scopes_are_asked_for_first(here: Room) -> None:
    assert refusal(here, "chat.postMessage", token="xoxb-wrong", channel=D, text="t")[0] == "invalid_auth"
    assert refusal(here, "auth.test", token=here.workspace.app_token)[0] == "not_allowed_token_type"
    here.workspace.scopes.discard("chat:write")
    error, answer = refusal(here, "chat.postMessage", channel=D, text="t")
    here.workspace.scopes.add("chat:write")
    assert error == "missing_scope"
    assert answer["needed"] == "chat:write"
    assert "files:read" in answer["provided"].split(",")


def test_an_edit_may_be_shorter_than_a_post_and_only_of_ones_own_message(here: Room) -> None:
    ts = here.client().chat_postMessage(channel=D, text="t" * 4001)["ts"]
    assert refusal(here, "chat.update", channel=D, ts=ts, text="t" * 4001)[0] == "msg_too_long"
    assert here.client().chat_update(channel=D, ts=ts, text="t" * 4000)["ok"]
    reply = here.client().chat_postMessage(channel=D, text="r", thread_ts=ts)["ts"]
    assert refusal(here, "chat.postMessage", channel=D, text="r", thread_ts=reply)[0] == "cannot_reply_to_message"
    here.desk.says("U01DEV", "mine")
    mine = here.desk.messages(D)[-1].ts
    assert refusal(here, "chat.update", channel=D, ts=mine, text="yours")[0] == "cant_update_message"
    assert refusal(here, "chat.delete", channel=D, ts=mine)[0] == "cant_delete_message"
    here.client().chat_delete(channel=D, ts=ts)
    assert here.desk.thread(D, ts).text == "This message was deleted."
    here.client().chat_delete(channel=D, ts=reply)
    assert reply not in str(here.desk.messages(D))


def test_people_have_the_flags_that_roles_are_judged_by(here: Room) -> None:
    client = here.client()
    users = {user["id"]: user for user in client.users_list()["members"]}
    assert users["U04GUEST"]["is_restricted"] is True
    assert users["U05OTHER"]["team_id"] != client.auth_test()["team_id"]
    assert users["U05OTHER"]["is_stranger"] is False
    assert users["U00BOT"]["is_bot"] is True
    assert client.usergroups_users_list(usergroup="S01ADMINS")["users"] == ["U02ADMIN", "U06ADMIN2"]
    assert client.conversations_info(channel="C04SHARED")["channel"]["is_ext_shared"] is True
    assert [one["name"] for one in client.conversations_list()["channels"]] == ["deploys", "general", "partners"]
    assert client.conversations_join(channel="C02GENERAL")["channel"]["is_member"] is True
    here.workspace.channels["C02GENERAL"].members.remove("U00BOT")


def test_marks_on_a_message_are_made_once(here: Room) -> None:
    ts = here.client().chat_postMessage(channel=D, text="t")["ts"]
    here.client().reactions_add(channel=D, timestamp=ts, name="eyes")
    assert refusal(here, "reactions.add", channel=D, timestamp=ts, name="eyes")[0] == "already_reacted"
    here.client().pins_add(channel=D, timestamp=ts)
    assert refusal(here, "pins.add", channel=D, timestamp=ts)[0] == "already_pinned"
    assert here.desk.thread(D, ts).raw["reactions"] == [{"name": "eyes", "users": ["U00BOT"], "count": 1}]
    assert here.client().chat_getPermalink(channel=D, message_ts=ts)["permalink"].endswith(ts.replace(".", ""))


def test_edits_are_fifty_a_minute_for_all_channels_together() -> None:
    with room() as here:
        frozen = here.workspace.clock()
        here.workspace.clock = lambda: frozen
        client = here.client()
        messages = [(channel, client.chat_postMessage(channel=channel, text="t")["ts"]) for channel in (D, "C04SHARED")]
        for number in range(10):
            channel, ts = messages[number % 2]
            client.chat_update(channel=channel, ts=ts, text=str(number))
        with pytest.raises(SlackApiError) as refused:
            client.chat_update(channel=D, ts=messages[0][1], text="too much")
        assert refused.value.response.headers["Retry-After"] == "2"
        here.workspace.clock = lambda: frozen + 60
        for number in range(10):
            client.chat_update(channel=D, ts=messages[0][1], text=str(number))
