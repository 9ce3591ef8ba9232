"""Everything that a command or a button does is done on the bot's host, by the same people, while Slack is away."""

import shlex
from collections.abc import Callable

import pytest
from deck_room import ADMIN, ADMIN2, DEV, GUEST, DeckRoom
from wishes import ME, PRESSED, TYPED, Case, asked, checking, rehearsed, released

from bot.ctl import DONE, REFUSED, Peer, typed
from handlers import COMMANDS
from handlers.buttons import TWINS
from handlers.console import Console
from handlers.ctl import CTL
from lab.desk import readable

ADA, DORA, GUS = Peer(4711, "ada"), Peer(4712, "dora"), Peer(4713, "gus")
USERS = f"ctl: {{users: {{{ME.name}: {ADMIN}, ada: {ADMIN2}, dora: {DEV}, gus: {GUEST}}}}}\n"
DEVELOPERS = {"handoff", "handoff digest", "handoff withdraw", "promote report"}
"""What whoever handed the package off may do, too."""


@pytest.fixture
def deck(opened: Callable[[str], DeckRoom]) -> DeckRoom:
    return opened(USERS)


@pytest.fixture
def console(deck: DeckRoom) -> Console:
    return Console(deck.deck, deck.slack.client())


def types(console: Console, line: str, who: Peer = ME, code: int = DONE) -> str:
    """A line as a shell hands it to `quarterdeck ctl`: what is shown."""
    reply = console.answer(who, typed(shlex.split(line)), lambda: False)
    assert reply.code == code, (line, reply)
    return reply.text


def goes_away(deck: DeckRoom, console: Console, who: Peer = ME) -> None:
    """Slack, in the evening; that somebody is there it has told before."""
    types(console, "status", who)
    deck.slack.does(lambda: deck.slack.workspace.faults.away(None))


def short(line: str) -> str:
    """A line of Slack's as it is typed on the host, the name of the command left out where it goes without saying."""
    command, _, rest = line.removeprefix("/").partition(" ")
    return rest if rest.split()[0] in CTL else f"{command} {rest}"


def test_each_verb_has_a_name_of_its_own_on_the_host() -> None:
    named = {verb for verbs in COMMANDS.values() for verb in verbs} - {"", "open"}
    assert named <= CTL.keys()


@pytest.mark.parametrize(("name", "case"), TYPED.items(), ids=TYPED)
def test_a_verb_does_on_the_host_what_it_does_in_slack(deck: DeckRoom, console: Console, name: str, case: Case) -> None:
    line = case.prepared(deck)
    before = len(deck.records(case.record))
    if name not in DEVELOPERS:
        assert "role_needed" in types(console, short(line), DORA, REFUSED)
    assert "role_needed" in types(console, short(line), GUS, REFUSED)
    assert len(deck.records(case.record)) == before
    if name != "stage assign":  # whether that other person is a full member only Slack knows
        goes_away(deck, console)
    told = types(console, short(line))
    (done,) = deck.records(case.record)[before:]
    assert done["by"] == ADMIN
    used = deck.records("ctl.used")[-1]
    assert (used["user"], used["by"]) == (ME.name, ADMIN)
    assert used["command"].replace('"', "") == f"ctl {short(line)}"
    assert case.told not in told
    code = DONE if " " in case.told else REFUSED
    assert case.told in types(console, line.removeprefix("/"), code=code), "and with the command's name the same"
    assert len(deck.records(case.record)) == before + 1


@pytest.mark.parametrize(("action", "case"), PRESSED.items(), ids=PRESSED)
def test_a_button_does_on_the_host_what_it_does_in_slack(
    deck: DeckRoom, console: Console, action: str, case: Case
) -> None:
    asked(deck, action) if action.startswith("answer:") else case.given(deck)
    before = len(deck.records(case.record))
    goes_away(deck, console)
    command, line = TWINS[action]
    types(console, short(f"{command} {line.format(case.line)}"))
    assert len(deck.records(case.record)) == before + 1


LOOKS = [
    f"{command} {verb}" + (" R-1" if row.form.takes == ("release",) else "")
    for command, verbs in COMMANDS.items()
    for verb, row in verbs.items()
    if row.at_once
]


@pytest.mark.parametrize("line", LOOKS)
def test_what_only_looks_shows_on_the_host_what_it_shows_in_slack(deck: DeckRoom, console: Console, line: str) -> None:
    rehearsed(deck)
    deck.types(DEV, line)
    words = [word for word in readable(deck.desk.ephemerals(DEV)[-1].blocks).split() if word.isalpha()]
    goes_away(deck, console, DORA)
    here = types(console, line.removeprefix("/"), DORA)
    assert len(words) > 3
    assert [word for word in words if word not in here.split()] == []
    assert types(console, short(line), DORA)
    assert deck.records("ctl.used") == []


def test_a_manual_check_is_made_on_the_host_by_a_tester_whose_id_is_listed(
    opened: Callable[[str], DeckRoom],
) -> None:
    deck = opened(USERS.replace(DEV, "U03TESTER"))
    console = Console(deck.deck, deck.slack.client())
    checking(deck)
    goes_away(deck, console, DORA)
    assert "role_needed" in types(console, "answer 1/1 pass", code=REFUSED)
    assert "has your answer: fail" in types(console, 'answer 1/1 fail "the basket is empty"', DORA)
    (decided,) = deck.records("run.decided")
    assert (decided["choice"], decided["note"], decided["by"]) == ("fail", "the basket is empty", "U03TESTER")


def test_who_is_an_admin_by_a_group_alone_is_told_how_to_be_one_without_slack(deck: DeckRoom, console: Console) -> None:
    released(deck)
    goes_away(deck, console)
    told = types(console, "run R-1", ADA, REFUSED)
    assert "roles_unknown" in told
    assert f"an admin adds {ADMIN2} to a role" in told
    assert deck.records("run.started") == []


def test_who_left_the_workspace_does_nothing_though_the_host_knows_them(deck: DeckRoom, console: Console) -> None:
    released(deck)
    types(console, "check staging")
    deck.slack.does(lambda: setattr(deck.slack.workspace.users[ADMIN], "deleted", True))
    deck.roles._users._known.clear()  # its word is older than the ten minutes for which it is taken
    deck.slack.waits(lambda: not deck.roles.member(ADMIN))
    assert "role_needed" in types(console, "run R-1", code=REFUSED)
    assert [run["kind"] for run in deck.records("run.started")] == ["check"]


def test_a_name_of_several_words_is_quoted_as_in_any_shell(deck: DeckRoom, console: Console) -> None:
    checking(deck)
    assert "is asked to make “Look 1” of run 1" in types(console, 'assign 1 "Look 1" U03TESTER')
    assert "which_environment" not in types(console, 'lock staging "the network is rebuilt"')
    assert deck.records("environment.locked")[0]["reason"] == "the network is rebuilt"
