"""What is typed on the bot's own host: the same verbs, gate and ledger as in Slack, and no Slack needed."""

import getpass
import os
import queue
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from deck_room import ADMIN, ADMIN2, DEV, DeckRoom

from bot.ctl import DONE, REFUSED, WRONG, Peer
from bot.roles import Roles
from bot.runs import Runs
from handlers.console import Console
from handlers.terminal import readable
from plans.engine import Perform
from plans.errors import Refusal
from plans.events import StepStarted

ME = Peer(os.getuid(), getpass.getuser())
OTHERS = f"ctl: {{users: {{{ME.name}: {ADMIN}, dora: {DEV}, anna: {ADMIN2}}}}}\n"


@pytest.fixture
def deck(opened: Callable[[str], DeckRoom]) -> DeckRoom:
    return opened(OTHERS)


@pytest.fixture
def console(deck: DeckRoom) -> Console:
    return Console(deck.deck, deck.slack.client())


def types(console: Console, line: str, who: Peer = ME, code: int = DONE) -> str:
    reply = console.answer(who, line, lambda: False)
    assert reply.code == code, reply
    return reply.text


def test_the_ledger_has_who_typed_what_before_what_came_of_it(deck: DeckRoom, console: Console) -> None:
    deck.release()
    assert "Run 1 started: rehearsal of webshop 2.4.1 on staging (R-1)." in types(console, "run R-1")
    assert deck.records("ctl.used") == [{"user": ME.name, "command": "ctl run R-1", "by": ADMIN}]
    assert deck.records("run.started")[0]["by"] == ADMIN
    lines = [line.split('"type":"')[1].split('"')[0] for line in deck.board.ledger.path.read_text().splitlines()]
    assert lines[-2:] == ["ctl.used", "run.started"]
    types(console, "status")
    assert len(deck.records("ctl.used")) == 1, "looking is not doing"


@pytest.mark.parametrize("line", ["run R-1", "stage run R-1", "/stage run R-1", "Stage  run r-1"])
def test_it_is_typed_as_in_slack_or_shorter(deck: DeckRoom, console: Console, line: str) -> None:
    deck.release()
    assert "Run 1 started" in types(console, line)


def test_verbs_of_two_commands_are_told_apart(deck: DeckRoom, console: Console) -> None:
    deck.release()
    deck.rehearsed("R-1")
    assert "gates are open" in types(console, "check R-1")
    assert "Run 2 started: check of staging" in types(console, "check staging")
    types(console, "promote R-1 at 2030-07-01 22:00")
    assert "R-1 is not scheduled any more" in types(console, "abort R-1")
    assert "Run 2 (check of staging) stops after its present step" in types(console, "abort")
    history = types(console, "history")
    assert history.index("Run 2") < history.index("Run 1") < history.index("Promotions and rollbacks")


def test_hints_are_what_is_typed_here(deck: DeckRoom, console: Console) -> None:
    assert "quarterdeck ctl handoff list" in types(console, "run R-9", code=REFUSED)
    assert "quarterdeck ctl reset" in types(console, "reste", code=WRONG)
    helped = types(console, "")
    assert "quarterdeck ctl answer RUN CHOICE [NOTE]" in helped
    assert " /stage" not in helped
    assert "quarterdeck ctl stage run R-1" in types(console, "stage help")
    assert "quarterdeck ctl promote R-1 [at 22:00 | emergency REASON]" in types(console, "promote")
    assert "quarterdeck ctl handoff SOURCE" in types(console, "handoff")


@pytest.mark.parametrize("line", ["promote R-x", "answer", "answer 1 purple", "lock", "frobnicate", "handoff open"])
def test_a_wrong_call_is_none_of_the_ledgers_business(deck: DeckRoom, console: Console, line: str) -> None:
    assert "What to do:" in types(console, line, code=WRONG)
    assert deck.records("ctl.used") == []


def test_the_role_is_asked_for_as_in_slack(deck: DeckRoom, console: Console) -> None:
    deck.release()
    dora = Peer(4711, "dora")
    assert "role_needed" in types(console, "run R-1", dora, REFUSED)
    assert deck.records("access.denied") == [{"command": "ctl run R-1", "role": "admins", "by": DEV}]
    assert deck.records("ctl.used")[0]["user"] == "dora"
    assert deck.records("run.started") == []
    assert "R-1 webshop 2.4.1" in types(console, "list", dora)


def test_who_is_not_mapped_gets_nothing_and_is_on_the_ledger(deck: DeckRoom, console: Console) -> None:
    told = types(console, "status", Peer(65534, "nobody"), REFUSED)
    assert "role_needed" in told
    assert "ctl.users" in told
    denied = {"command": "ctl status (typed by nobody on the bot's host)", "role": "ctl.users", "by": "quarterdeck"}
    assert deck.records("access.denied") == [denied]


def test_without_slack_who_is_listed_by_id_may_and_by_group_may_not(deck: DeckRoom, console: Console) -> None:
    deck.release()
    away(deck)
    assert "Run 1 started" in types(console, "run R-1")
    assert "roles_unknown" in types(console, "abort 1", Peer(4711, "anna"), REFUSED)
    assert deck.records("run.aborting") == []


def away(deck: DeckRoom) -> None:
    deck.slack.does(lambda: deck.slack.workspace.faults.away(None))


class Beginning(Runs):
    """Runs whose steps begin, and are performed by nobody."""

    def _perform(self, number: int, move: Perform) -> None:
        raise Refusal("stopping", "nobody performs it")


def restarted(deck: DeckRoom) -> tuple[Runs, Console]:
    """The bot as after a restart while Slack is away: it knows nobody."""
    away(deck)
    roles = Roles(deck.settings.config.roles, deck.slack.client(), patience=0.2)
    runs = Beginning(deck.board, deck.settings, deck.materials, deck.machines, roles, deck.deck.masker)
    return runs, Console(replace(deck.deck, roles=roles, runs=runs), deck.slack.client())


def test_a_run_waits_until_it_is_known_whose_it_is(deck: DeckRoom) -> None:
    deck.release()
    deck.types(ADMIN, "/stage run R-1")
    runs, console = restarted(deck)
    woken: queue.Queue[datetime] = queue.Queue()
    runs.wake = lambda number, at: woken.put(at)
    runs.enter_all()
    assert woken.get(timeout=30) - deck.now() < timedelta(minutes=1)
    assert deck.board.run(1).active
    anna = Peer(4711, "anna")
    assert f"It begins when it is known that @{ADMIN} is an admin" in types(console, "status", anna)
    assert "roles_unknown" in types(console, "abort 1", anna, REFUSED), "her group is Slack's to tell"
    assert deck.records("step.started") == []
    types(console, "status")
    deck.slack.waits(lambda: deck.records("step.started"))


def test_a_run_that_waits_for_that_can_be_stopped(deck: DeckRoom) -> None:
    deck.release()
    assert "Run 1 started" in deck.types(ADMIN2, "/stage run R-1")
    _, console = restarted(deck)
    assert f"It begins when it is known that @{ADMIN2} is an admin" in types(console, "status")
    types(console, "abort 1")
    assert deck.slack.waits(lambda: deck.records("run.finished"))[0]["verdict"] == "aborted"


def test_status_has_each_run_s_step_and_the_lines_that_answer_it(deck: DeckRoom, console: Console) -> None:
    assert "None goes on." in types(console, "status")
    deck.release()
    types(console, "run R-1")
    started = StepStarted(run=1, phase="restore", step=3, name="Restore the orders", host="db", attempt=2)
    deck.happens(started)
    deck.ahead = timedelta(minutes=3)
    shown = types(console, "status")
    assert f"Run 1, rehearsal of webshop 2.4.1 on staging (R-1): Running · @{ADMIN}" in shown
    assert "restore, step 3 of " in shown
    assert "“Restore the orders” on db: begun 3 min" in shown
    assert "attempt 2" in shown
    deck.asks(1, choices=("retry", "done_with_help"))
    shown = types(console, "status")
    assert "asks the admins, since 0.0 s: “Add the column” failed" in shown
    assert f"\n        quarterdeck ctl answer 1/1 done_with_help --config {deck.settings.path}\n" in shown
    assert "are still to be posted" in shown
    assert "No freeze." in shown
    assert "prod: free" in shown


def test_nothing_is_begun_for_who_has_gone(deck: DeckRoom, console: Console) -> None:
    reply = console.answer(ME, "lock prod the network", lambda: True)
    assert reply.code == REFUSED
    assert deck.records("environment.locked") == []


def test_too_much_at_once_and_a_fault_are_sentences(
    deck: DeckRoom, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deck.runs, "start", lambda *args, **more: 1 // 0)
    told = types(console, "check staging", code=REFUSED)
    assert "It may have been begun" in told
    assert "ZeroDivision" not in told
    deck.workers.close()
    assert "stopping" in types(console, "check staging", code=REFUSED)


def test_what_takes_long_goes_on_by_itself(deck: DeckRoom, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.console.ANSWERED_WITHIN", 0.05)
    go = deck.busy_workers()
    assert "takes_long" in types(console, "lock prod the network", code=REFUSED)
    go.set()
    deck.slack.waits(lambda: deck.records("environment.locked"))


def test_secrets_are_masked_on_the_host_too(deck: DeckRoom, console: Console) -> None:
    told = types(console, "lock prod the word is hunter2 is secret")
    assert "hunter2" not in told + deck.board.ledger.path.read_text()
    assert "hunter2" not in types(console, "status")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("*Run 1* of `R-1_x` by <@U02ADMIN> <!date^1^{date}|20:00 UTC>", "Run 1 of `R-1_x` by @U02ADMIN 20:00 UTC"),
        ("_none_ 2*3*4 snake_case_name a &lt;b&gt; &amp;amp;", "none 2*3*4 snake_case_name a <b> &amp;"),
        ("see <#C01DEPLOYS> and <!subteam^S01ADMINS>", "see #C01DEPLOYS and @S01ADMINS"),
        ("✕ *shut* `busy`: run 1 _(recorded 2 days ago)_", "✕ shut `busy`: run 1 (recorded 2 days ago)"),
        ("<https://a.example/|there> \x1b[31mred", "there red"),
    ],
)
def test_how_an_answer_reads_in_a_terminal(text: str, read: str) -> None:
    assert readable(text, []) == read
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
    assert readable("unread", [section, {"type": "context", "elements": [{"text": text}]}]) == f"{read}\n\n{read}"
