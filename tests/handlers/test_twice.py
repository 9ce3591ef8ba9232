"""What is asked for twice is done once, and who asked second is told so: every verb, every button, both forms."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from deck_room import ADMIN, ADMIN2, DEV, DeckRoom, bolt, command
from wishes import FORMS, MAPPED, ME, NOTED, ONLY_SAYS, PRESSED, TYPED, Case, asked, asking

from bot.ctl import Reply
from bot.line.blocks import actions, button
from handlers import COMMANDS
from handlers.buttons import TWINS
from handlers.console import Console
from handlers.ctl import CTL, SLASHED


def test_the_table_has_every_verb_that_does_something() -> None:
    does = {
        f"{command.removeprefix('/')} {verb}".strip()
        for command, verbs in COMMANDS.items()
        for verb, row in verbs.items()
        if not row.at_once
    }
    assert does - TYPED.keys() == FORMS
    flat = {row.do for row in CTL.values() if not row.at_once}
    slashed = {row.do for verbs in SLASHED.values() for row in verbs.values()}
    assert {do.__name__ for do in flat - slashed} == {"_check", "_abort"}, "which are the slashed ones, chosen between"


@pytest.fixture
def deck(opened: Callable[[str], DeckRoom]) -> DeckRoom:
    return opened(MAPPED)


def new(deck: DeckRoom, case: Case, before: int) -> list[dict[str, Any]]:
    return deck.records(case.record)[before:]


@pytest.mark.parametrize("case", TYPED.values(), ids=TYPED)
def test_typed_twice(deck: DeckRoom, case: Case) -> None:
    case.given(deck)
    before, line = len(deck.records(case.record)), case.line.format(drops=deck.drops)
    first = deck.types(ADMIN, line)
    assert case.told not in first
    assert case.told in deck.types(ADMIN, line)
    assert len(new(deck, case, before)) == 1
    third = deck.types(ADMIN2, line)
    assert (case.told in third) is not case.each
    assert len(new(deck, case, before)) == 1 + case.each


@pytest.mark.parametrize("case", TYPED.values(), ids=TYPED)
def test_in_slack_and_on_the_host_at_once(deck: DeckRoom, case: Case) -> None:
    case.given(deck)
    before, line = len(deck.records(case.record)), case.line.format(drops=deck.drops)
    console = Console(deck.deck, deck.slack.client())
    go = deck.busy_workers()
    replies: list[Reply] = []
    typing = threading.Thread(target=lambda: replies.append(console.answer(ME, line, lambda: False)))
    typing.start()
    count = len(deck.desk.ephemerals(ADMIN))
    assert deck.desk.types(ADMIN, line).ok
    deck.slack.waits(lambda: deck.records("ctl.used"))
    go.set()
    typing.join(30)
    told = [str(deck.desk.wait(lambda: deck.desk.ephemerals(ADMIN)[count:])[0].text), replies[0].text]
    assert len(new(deck, case, before)) == 1, told
    assert [case.told in each for each in told].count(True) == 1, told


@pytest.mark.parametrize("case", TYPED.values(), ids=TYPED)
def test_an_envelope_that_comes_twice(deck: DeckRoom, case: Case) -> None:
    case.given(deck)
    count = len(deck.desk.ephemerals(ADMIN))
    before, line = len(deck.records(case.record)), case.line.format(drops=deck.drops)
    name, _, text = line.partition(" ")
    app, envelope = bolt(deck), command(text, name)
    assert app.dispatch(envelope).status == 200
    assert app.dispatch(envelope).status != 200, "the first is what is acknowledged"
    told = deck.desk.wait(lambda: deck.desk.ephemerals(ADMIN)[count:])
    deck.workers.close(30)
    assert len(new(deck, case, before)) == 1
    assert len(deck.desk.ephemerals(ADMIN)[count:]) == 1
    assert case.told not in told[0].text


def test_the_table_has_every_button() -> None:
    assert PRESSED.keys() | NOTED | ONLY_SAYS == TWINS.keys()


@pytest.mark.parametrize(("action", "case"), PRESSED.items(), ids=PRESSED)
def test_two_admins_press_one_button_and_one_of_them_once_more(deck: DeckRoom, action: str, case: Case) -> None:
    asked(deck, action) if action.startswith("answer:") else case.given(deck)
    shown = deck.shows(list(actions(button("Go", action, case.line))))
    before = len(deck.records(case.record))
    counts = {user: len(deck.desk.ephemerals(user)) for user in (ADMIN, ADMIN2)}
    both = [threading.Thread(target=deck.desk.presses, args=(user, shown, action)) for user in counts]
    for one in both:
        one.start()
    for one in both:
        one.join(30)
    told = {user: deck.desk.wait(lambda u=user, n=n: deck.desk.ephemerals(u)[n:])[0] for user, n in counts.items()}
    assert len(new(deck, case, before)) == 1 + case.each
    assert [case.told in each.text for each in told.values()].count(True) == (0 if case.each else 1), told
    assert case.told in deck.presses(ADMIN, shown, action)
    assert len(new(deck, case, before)) == 1 + case.each


@pytest.mark.parametrize("action", sorted(NOTED))
def test_two_admins_send_the_form_of_one_question(deck: DeckRoom, action: str) -> None:
    asked(deck, action)
    shown = deck.shows(list(actions(button("Go", action, "1/1"))))
    for user in (ADMIN, ADMIN2):
        assert deck.desk.presses(user, shown, action).ok
        deck.desk.wait(lambda user=user: deck.desk.modal(user))
    for user in (ADMIN, ADMIN2):
        assert deck.desk.submits(user, {"note": f"seen by {user}"}).ok
    told = [deck.desk.wait(lambda user=user: deck.desk.ephemerals(user))[-1].text for user in (ADMIN, ADMIN2)]
    assert ["already_answered" in each for each in told].count(True) == 1
    assert len(deck.records("run.decided")) == 1


def test_two_people_send_the_form_of_one_package(deck: DeckRoom) -> None:
    source = str(deck.packed())
    for user in (DEV, ADMIN):
        deck.desk.types(user, "/handoff")
        deck.desk.wait(lambda user=user: deck.desk.modal(user))
    for user in (DEV, ADMIN):
        assert deck.desk.submits(user, {"source": source}).ok
    told = [deck.desk.wait(lambda user=user: deck.desk.ephemerals(user))[-1].text for user in (DEV, ADMIN)]
    assert ["are R-1 already" in each for each in told].count(True) == 1
    assert len(deck.records("package.handed_off")) == 1


def test_an_answer_that_was_typed_to_one_question_does_not_answer_the_next(deck: DeckRoom) -> None:
    asking(deck)
    go = deck.busy_workers()
    count = len(deck.desk.ephemerals(ADMIN2))
    assert deck.desk.types(ADMIN2, "/stage answer 1 abort").ok
    deck.runs.decide(1, "retry", by=ADMIN, question=1)
    deck.asks(1, 2, choices=("retry", "abort"))
    go.set()
    told = deck.desk.wait(lambda: deck.desk.ephemerals(ADMIN2)[count:])[0].text
    assert f"<@{ADMIN}> answered it with retry" in told
    assert [one["choice"] for one in deck.records("run.decided")] == ["retry"]
