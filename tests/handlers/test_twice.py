"""What is asked for twice is done once, and who asked second is told so: every verb, every button, both forms."""

import ast
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deck_room import ADMIN, ADMIN2, DEV, DeckRoom
from wishes import MAPPED, ME, NOTED, ONLY_SAYS, OPENS, PRESSED, TYPED, Case, asked

from bot.ctl import Reply
from bot.line.blocks import actions, button
from handlers import COMMANDS, register
from handlers.arguments import CHOICES, FIELDS
from handlers.buttons import TWINS
from handlers.console import Console
from handlers.deck import forms
from handlers.words import Request, parse
from lab.slack.faults import Twice

SENT = {"handoff", "answer"}
"""The forms that are sent twice below."""


class Registered:
    """Stands in for Bolt's app: notes down what is listened to."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.actions: list[re.Pattern[str]] = []
        self.views: list[str] = []

    def middleware(self, listener: object) -> None:
        """Every envelope goes through it, whatever it is."""

    def command(self, name: str) -> Callable[[object], None]:
        return lambda listener: self.commands.append(name)

    def action(self, named: re.Pattern[str]) -> Callable[[object], None]:
        return lambda listener: self.actions.append(named)

    def view(self, named: str) -> Callable[[object], None]:
        return lambda listener: self.views.append(named)


def test_the_tables_have_all_that_is_listened_to(deck: DeckRoom) -> None:
    found = Registered()
    register(found, deck.deck)  # type: ignore[arg-type]
    assert found.commands == list(COMMANDS)
    assert set(found.views) == SENT
    (pattern,) = found.actions
    drawn = set(_drawn())
    assert {action for action in drawn if not pattern.match(action)} == set(), "a button that nobody listens to"
    assert PRESSED.keys() | NOTED | ONLY_SAYS == TWINS.keys() == drawn


def _drawn() -> Iterator[str]:
    """The action of every button that the code draws."""
    for path in Path(__file__).parents[2].glob("bot/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "button":
                match node.args[1]:
                    case ast.Constant(value=str(action)):
                        yield action
                    case ast.JoinedStr(values=[ast.Constant(value="answer:"), ast.FormattedValue()]):
                        yield from (f"answer:{choice}" for choice in CHOICES)
                    case other:
                        raise AssertionError(f"{path}: which button is {ast.unparse(other)}?")


def test_the_table_has_every_verb_that_does_something_with_every_word_that_it_takes(deck: DeckRoom) -> None:
    tried: dict[str, set[str]] = {}
    for case in TYPED.values():
        command, _, line = case.line.partition(" ")
        line = line.format(package="/drops/a.zip", digest="0" * 64)
        request = parse(command, forms(COMMANDS[command]), line, deck.deck.surroundings())
        given = {name for name in Request.__struct_fields__ if getattr(request, name) not in ("", None, False)}
        tried.setdefault(f"{command} {request.verb}".strip(), set()).update(given)
    does = {f"{c} {verb}".strip(): row for c, verbs in COMMANDS.items() for verb, row in verbs.items()}
    does = {name: row for name, row in does.items() if not row.at_once and name.removeprefix("/") not in OPENS}
    assert tried.keys() == does.keys()
    for name, row in does.items():
        takes = [word.rstrip("?") for word in row.form.takes]
        fields = [{"release", "run"} if word == "stoppable" else {FIELDS.get(word, word)} for word in takes]
        left = {each for field in fields for each in field} - tried[name]
        assert left == ({"asked"} if "asked" in takes else set()), f"{name} was not typed with {left}"


@pytest.fixture
def deck(opened: Callable[[str], DeckRoom]) -> DeckRoom:
    return opened(MAPPED)


def comes_twice(deck: DeckRoom, kind: str) -> None:
    """The next envelope of that kind does."""
    deck.slack.does(lambda: deck.slack.workspace.faults.add(Twice(kind)))


def at_once(deck: DeckRoom, *asking: Callable[[], object], host: str, users: tuple[str, ...]) -> list[str]:
    """What each is told who asks before anybody has had an answer: those in Slack, and one on the host."""
    counts = {user: len(deck.desk.ephemerals(user)) for user in users}
    console, replies = Console(deck.deck, deck.slack.client()), list[Reply]()
    go = deck.busy_workers()
    all_ = [lambda: replies.append(console.answer(ME, host, lambda: False)), *asking]
    threads = [threading.Thread(target=one) for one in all_]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(30)
    deck.slack.waits(lambda: deck.records("ctl.used"))
    go.set()
    threads[0].join(30)
    told = [deck.desk.wait(lambda u=u, n=n: deck.desk.ephemerals(u)[n:]) for u, n in counts.items()]
    assert [len(each) for each in told] == [1] * len(users), "the second envelope is answered by the first's answer"
    return [replies[0].text, *(each[0].text for each in told)]


def check(deck: DeckRoom, case: Case, before: int, told: list[str]) -> None:
    """One effect, or one for each admin, and a sentence for the others."""
    effects = len(deck.records(case.record)) - before
    assert effects == 1 + case.each, told
    assert [case.told in each for each in told].count(True) == len(told) - effects, told
    for each in told:
        assert "Not done" not in each or "What to do:" in each, each


@pytest.mark.parametrize("case", TYPED.values(), ids=TYPED)
def test_typed_twice_and_brought_twice(deck: DeckRoom, case: Case) -> None:
    line = case.prepared(deck)
    before, count = len(deck.records(case.record)), len(deck.desk.ephemerals(ADMIN))
    comes_twice(deck, "slash_commands")
    first = deck.types(ADMIN, line)
    told = [deck.types(ADMIN, line), deck.types(ADMIN2, line)]
    check(deck, case, before, [first, *told])
    assert case.told not in first
    assert len(deck.desk.ephemerals(ADMIN)) - count == 2


@pytest.mark.parametrize("case", TYPED.values(), ids=TYPED)
def test_two_admins_and_the_host_at_once(deck: DeckRoom, case: Case) -> None:
    line = case.prepared(deck)
    before = len(deck.records(case.record))
    comes_twice(deck, "slash_commands")
    typing = [lambda user=user: deck.desk.types(user, line) for user in (ADMIN, ADMIN2)]
    check(deck, case, before, at_once(deck, *typing, host=line, users=(ADMIN, ADMIN2)))


@pytest.mark.parametrize(("action", "case"), PRESSED.items(), ids=PRESSED)
def test_two_admins_press_one_button_and_one_types_it_and_presses_once_more(
    deck: DeckRoom, action: str, case: Case
) -> None:
    asked(deck, action) if action.startswith("answer:") else case.given(deck)
    shown = deck.shows(list(actions(button("Go", action, case.line))))
    before = len(deck.records(case.record))
    comes_twice(deck, "interactive")
    pressing = [lambda user=user: deck.desk.presses(user, shown, action) for user in (ADMIN, ADMIN2)]
    command, line = TWINS[action]
    told = at_once(deck, *pressing, host=f"{command} {line.format(case.line)}", users=(ADMIN, ADMIN2))
    check(deck, case, before, told)
    check(deck, case, before, [*told, deck.presses(ADMIN, shown, action)])


@pytest.mark.parametrize("action", sorted(NOTED))
def test_two_admins_send_the_form_of_one_question_and_one_types_it(deck: DeckRoom, action: str) -> None:
    asked(deck, action)
    shown = deck.shows(list(actions(button("Go", action, "1/1"))))
    for user in (ADMIN, ADMIN2):
        comes_twice(deck, "interactive")
        assert deck.desk.presses(user, shown, action).ok
        deck.desk.wait(lambda user=user: deck.desk.modal(user))
    comes_twice(deck, "interactive")
    sending = [lambda user=user: deck.desk.submits(user, {"note": f"seen by {user}"}) for user in (ADMIN, ADMIN2)]
    host = f"answer 1/1 {action.removeprefix('answer:')} seen on the host"
    told = at_once(deck, *sending, host=host, users=(ADMIN, ADMIN2))
    check(deck, Case("", "already_answered", "run.decided"), 0, told)
    opened = [call for call in deck.slack.workspace.journal.calls if call.method == "views.open"]
    assert len(opened) == 2, "a form is opened once, too"


def test_two_people_send_the_form_of_one_package_and_one_types_it(deck: DeckRoom) -> None:
    source = str(deck.packed())
    for user in (DEV, ADMIN2):
        comes_twice(deck, "slash_commands")
        deck.desk.types(user, "/handoff")
        deck.desk.wait(lambda user=user: deck.desk.modal(user))
    comes_twice(deck, "interactive")
    sending = [lambda user=user: deck.desk.submits(user, {"source": source}) for user in (DEV, ADMIN2)]
    told = at_once(deck, *sending, host=f"handoff {source}", users=(DEV, ADMIN2))
    check(deck, Case("", "are R-1 already", "package.handed_off"), 0, told)
