"""What holds for every command: the gate twice, one error boundary, nothing late, nothing that waits for long."""

import logging
import threading
import time
from collections.abc import Callable

import pytest
from deck_room import ADMIN, DEV, OUTSIDER, DeckRoom, bolt, command

from handlers.workers import Workers
from plans.errors import Refusal


def test_a_role_is_asked_for_again_when_the_work_starts(deck: DeckRoom) -> None:
    deck.release()
    go = deck.busy_workers()
    assert deck.desk.types(ADMIN, "/stage run R-1").ok
    deck.roles.allowed = lambda user, role: False  # type: ignore[method-assign]
    go.set()
    told = deck.desk.wait(lambda: deck.desk.ephemerals(ADMIN))[-1].text
    assert "role_needed" in told
    assert deck.records("run.started") == []
    assert deck.records("access.denied") == [{"command": "/stage run R-1", "role": "admins", "by": ADMIN}]


def test_a_fault_shows_an_id_and_no_word_of_what_went_wrong(
    deck: DeckRoom, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*args: object, **more: object) -> None:
        raise ZeroDivisionError("the inside of it")

    monkeypatch.setattr(deck.runs, "start", breaks)
    with caplog.at_level(logging.ERROR):
        told = deck.types(ADMIN, "/stage check staging")
        assert "Something went wrong" in told
        assert "It may have been begun" in told
        assert "inside" not in told
        assert "Traceback" not in told
        monkeypatch.setattr(deck.board, "release", breaks)
        assert "Nothing was changed" in deck.types(ADMIN, "/handoff show R-1")
    number = told.partition("(id `")[2][:8]
    assert any(number in record.getMessage() and record.exc_info for record in caplog.records)


def test_a_command_that_slack_gave_up_on_has_no_effect(deck: DeckRoom, caplog: pytest.LogCaptureFixture) -> None:
    deck.release()
    times = iter([100.0, 103.5])
    with caplog.at_level(logging.WARNING):
        bolt(deck, lambda: next(times)).dispatch(command("run R-1"))
    assert "came too late and was dropped" in caplog.text
    assert deck.records("run.started") == []
    in_time = iter([100.0, 102.5])
    bolt(deck, lambda: next(in_time)).dispatch(command("run R-1"))
    deck.slack.waits(lambda: deck.records("run.started"))


def test_a_command_that_waited_for_a_listener_for_too_long_has_no_effect(
    deck: DeckRoom, caplog: pytest.LogCaptureFixture
) -> None:
    deck.release()
    app = bolt(deck)
    waited = command("run R-1")
    waited.context["arrived"] = time.monotonic() - 3.5
    with caplog.at_level(logging.WARNING):
        assert app.dispatch(waited).status == 409
    assert "came too late and was dropped" in caplog.text
    fresh = command("run R-1")
    fresh.context["arrived"] = time.monotonic()
    assert app.dispatch(fresh).status == 200
    deck.slack.waits(lambda: deck.records("run.started"))
    assert len(deck.records("run.started")) == 1


def test_too_much_at_once_is_refused_with_a_sentence(deck: DeckRoom) -> None:
    go = deck.busy_workers()
    for _ in range(64):
        deck.workers.submit(lambda: None)
    try:
        assert "overloaded" in deck.types(ADMIN, "/stage check staging")
        assert "*staging*: free" in deck.types(ADMIN, "/stage status"), "what only reads is still answered"
    finally:
        go.set()


def test_nothing_is_done_from_a_channel_with_people_from_outside(deck: DeckRoom) -> None:
    told = deck.types(ADMIN, "/stage lock prod stop", "C04SHARED")
    assert "shared_channel" in told
    assert deck.records("environment.locked") == []


def test_people_from_other_workspaces_are_no_members(deck: DeckRoom) -> None:
    told = deck.types(OUTSIDER, "/handoff list", "C04SHARED")
    assert "role_needed" in told
    assert deck.records("access.denied") == [{"command": "/handoff list", "role": "members", "by": OUTSIDER}]


def test_an_answer_whose_address_is_gone_is_given_in_the_channel(deck: DeckRoom) -> None:
    bolt(deck).dispatch(command("check staging"))
    told = deck.desk.wait(lambda: deck.desk.ephemerals(ADMIN))
    assert "Run 1 started: check of staging" in told[0].text


def test_commands_are_called_what_the_configuration_calls_them(opened: Callable[..., DeckRoom]) -> None:
    deck = opened("commands: {stage: /qd-stage}\n")
    app = bolt(deck)
    assert app.dispatch(command("help")).status == 404
    told = app.dispatch(command("help", "/qd-stage")).body
    assert "/qd-stage run R-1" in told
    assert "/stage run" not in told
    assert "/qd-stage history" in app.dispatch(command("answer x retry", "/qd-stage")).body


def test_a_form_whose_sender_has_no_role_stays_open_and_says_so(deck: DeckRoom) -> None:
    deck.desk.types(DEV, "/handoff")
    deck.desk.wait(lambda: deck.desk.modal(DEV))
    deck.roles.allowed = lambda user, role: False  # type: ignore[method-assign]
    sent = deck.desk.submits(DEV, {"source": str(deck.packed())})
    assert "role_needed" in sent.errors["archive"]
    assert deck.records("package.handed_off") == []
    assert deck.records("access.denied")[0]["command"] == "/handoff (form)"


def test_acks_come_at_once_whatever_is_going_on(deck: DeckRoom) -> None:
    deck.types(ADMIN, "/stage status")
    go = deck.busy_workers()
    try:
        acks = [deck.desk.types(ADMIN, "/stage status").ack_ms for _ in range(20)]
        acks += [deck.desk.types(ADMIN, f"/stage lock staging {n}").ack_ms for n in range(20)]
    finally:
        go.set()
    assert max(acks) < 1500


def test_workers_end_what_was_taken_and_take_nothing_more() -> None:
    workers = Workers(threads=2)
    done: list[int] = []
    go = threading.Event()

    def work(number: int) -> None:
        go.wait(30)
        done.append(number)

    for number in range(5):
        workers.submit(lambda number=number: work(number))
    threading.Timer(0.05, go.set).start()
    workers.close(30)
    assert sorted(done) == [0, 1, 2, 3, 4]
    with pytest.raises(Refusal) as caught:
        workers.submit(lambda: None)
    assert caught.value.code == "stopping"


def test_a_job_that_breaks_leaves_its_worker_at_work(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(threads=1)
    done = threading.Event()

    def breaks() -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        workers.submit(breaks)
        workers.submit(done.set)
        assert done.wait(30)
    workers.close()
    assert "ZeroDivisionError" in caplog.text
