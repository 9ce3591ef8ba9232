"""What is asked for twice is done once, and who asked second is told so: every verb, every button, both forms."""

import getpass
import os
import threading
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from deck_room import ADMIN, ADMIN2, DEV, DeckRoom, bolt, command
from msgspec.structs import replace

from bot.ctl import Peer, Reply
from bot.line.blocks import actions, button
from handlers import COMMANDS
from handlers.buttons import TWINS
from handlers.console import Console
from handlers.ctl import CTL, SLASHED
from plans.events import IsolationJudged, MessagePosted, SnapshotTaken, StepStarted
from plans.inspections import Inspecting, OverSsh
from plans.rule_events import DifferenceFound, InspectionOpened

ME = Peer(os.getuid(), getpass.getuser())
KEY = "ssh-ed25519 " + b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()
MAPPED = f"ctl: {{users: {{{ME.name}: {ADMIN}}}}}\n"


def released(deck: DeckRoom) -> None:
    deck.release()


def rehearsed(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")


def scheduled(deck: DeckRoom) -> None:
    rehearsed(deck)
    deck.types(ADMIN, "/promote R-1 at 2030-07-01 22:00")


def unapproved(deck: DeckRoom) -> None:
    """A policy that asks for an approval."""
    rehearsed(deck)
    config = deck.settings.config
    policy = replace(config.policy, approvals=1)
    object.__setattr__(deck.deck, "settings", replace(deck.settings, config=replace(config, policy=policy)))


def promoted(deck: DeckRoom) -> None:
    """The promotion is watching: it holds nothing."""
    rehearsed(deck)
    run = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")
    deck.happens(StepStarted(run=run.number, phase="watch", step=9, name="Mark 10m", host=None, attempt=1))


def running(deck: DeckRoom) -> None:
    deck.release()
    deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-1")


def asking(deck: DeckRoom) -> None:
    running(deck)
    deck.asks(1, choices=("retry", "abort"))


def checking(deck: DeckRoom) -> None:
    running(deck)
    deck.checks(1)


def doubted(deck: DeckRoom) -> None:
    rehearsed(deck)
    deck.happens(IsolationJudged(run=1, verdict="unproved", evidence=("a GPU",), doubts=("web: a GPU",)))


def kept(deck: DeckRoom) -> None:
    running(deck)
    for host in ("web", "db"):
        deck.happens(SnapshotTaken(run=1, host=host, snapshot=host, environment="staging", name="s"))
    deck.ends(1)


def locked(deck: DeckRoom) -> None:
    deck.types(ADMIN, "/stage lock prod the network")


def pointed_out(deck: DeckRoom) -> None:
    rehearsed(deck)
    found = DifferenceFound(run=1, key="schema", fact="schema", host="db", kind="qa", brief="qa has a column")
    deck.happens(found)


def on_prod(deck: DeckRoom) -> None:
    rehearsed(deck)
    run = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")
    deck.ends(run.number)


def stranded(deck: DeckRoom) -> None:
    """A promotion that has failed on prod, with a snapshot of before it."""
    rehearsed(deck)
    number = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1").number
    deck.happens(SnapshotTaken(run=number, host="web", snapshot="web", environment="prod", name="s"))
    deck.happens(StepStarted(run=number, phase="deploy", step=4, name="Stop the shop", host="web", attempt=1))
    deck.ends(number, "failed")


def escaped(deck: DeckRoom) -> None:
    on_prod(deck)
    deck.types(ADMIN, "/promote escape R-1 totals are wrong")


def by_hand(deck: DeckRoom) -> None:
    deck.types(ADMIN, "/promote outside prod the disk was full")


def failed(deck: DeckRoom) -> None:
    """Its developer has a key, and staging may be looked at."""
    running(deck)
    deck.ends(1, "failed")
    deck.happens(InspectionOpened(run=1, environment="staging", until="2030-07-01T22:00:00.000Z"))
    key = deck.drops / "dev.pub"
    key.write_text(KEY)
    config = deck.settings.config
    inspecting = Inspecting(ssh=OverSsh(people={DEV: str(key)}))
    staging = replace(config.environments["staging"], inspection=inspecting)
    config = replace(config, environments=config.environments | {"staging": staging})
    visits = deck.deck.visits
    visits._settings = replace(deck.settings, config=config)
    object.__setattr__(deck.deck, "settings", visits._settings)


def frozen(deck: DeckRoom) -> None:
    deck.types(ADMIN, "/promote freeze holidays")


@dataclass
class Case:
    """A line, what the second one who types it is told, what it writes down, and for how many admins it counts."""

    line: str
    told: str
    record: str
    given: Callable[[DeckRoom], Any] = lambda deck: deck.packed()
    each: bool = False


TYPED = {
    "stage assign": Case("/stage assign 1 1 <@U03TESTER>", "already_assigned", "check.assigned", checking),
    "handoff": Case("/handoff {drops}/webshop-2.4.1.zip", "are R-1 already", "package.handed_off"),
    "handoff withdraw": Case("/handoff withdraw R-1 no", "already_withdrawn", "release.withdrawn", released),
    "stage run": Case("/stage run R-1", "already_running", "run.started", released),
    "stage check": Case("/stage check staging", "already_running", "run.started"),
    "stage reset": Case("/stage reset staging", "already_running", "run.started", kept),
    "stage answer": Case("/stage answer 1 retry", "already_answered", "run.decided", asking),
    "stage abort": Case("/stage abort 1", "already_aborting", "run.aborting", running),
    "stage abort now": Case("/stage abort 1 now", "already_aborting", "run.aborting", running),
    "stage lock": Case("/stage lock prod the network", "already_locked", "environment.locked"),
    "stage unlock": Case("/stage unlock prod", "not_locked", "environment.unlocked", locked),
    "stage attest": Case("/stage attest staging dark", "already_attested", "isolation.attested", doubted, each=True),
    "stage inspect": Case("/stage inspect", "already_let_in", "inspection.entered", failed),
    "stage dispose": Case("/stage dispose R-1 schema soon", "already_disposed", "difference.disposed", pointed_out),
    "stage waive": Case("/stage waive schema until 2030-07-01 soon", "already_waived", "waiver.given"),
    "promote outside": Case("/promote outside prod the disk was full", "already_told", "change.outside"),
    "promote review": Case("/promote review prod all is well", "nothing_to_review", "review.given", by_hand),
    "promote report": Case("/promote report R-1", "already_reported", "report.asked", rehearsed),
    "promote escape": Case("/promote escape R-1 totals are wrong", "already_recorded", "escape.recorded", on_prod),
    "promote accept": Case("/promote accept E-1 rare", "already_closed", "escape.closed", escaped),
    "promote refuse": Case("/promote refuse R-1 not now", "already_refused", "approval.refused", unapproved),
    "promote": Case("/promote R-1", "busy", "run.started", rehearsed),
    "promote at": Case("/promote R-1 at 2030-07-01 22:00", "already_scheduled", "promotion.scheduled", rehearsed),
    "promote rollback": Case("/promote rollback R-1", "busy", "run.started", promoted),
    "promote revert": Case("/promote revert R-1 prod", "busy", "run.started", stranded),
    "promote leave": Case("/promote leave R-1 closed", "already_left", "promotion.left", stranded),
    "promote approve": Case("/promote approve R-1", "it counts once", "approval.given", released, each=True),
    "promote defective": Case("/promote defective R-1 bad", "already_defective", "release.defective", released),
    "promote freeze": Case("/promote freeze holidays", "already_frozen", "freeze.set"),
    "promote unfreeze": Case("/promote unfreeze", "not_frozen", "freeze.lifted", frozen),
    "promote abort": Case("/promote abort R-1", "not_scheduled", "promotion.unscheduled", scheduled),
}
FORMS = {"handoff open"}
"""Verbs that open a form, which is what is sent twice: see below."""


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


PRESSED = {
    "rehearse": Case("R-1", "already_running", "run.started", released),
    "abort": Case("1", "already_aborting", "run.aborting", running),
    "promote": Case("R-1", "busy", "run.started", rehearsed),
    "rollback": Case("R-1", "busy", "run.started", promoted),
    "report": Case("R-1", "already_reported", "report.asked", rehearsed),
    "leave": Case("R-1", "already_left", "promotion.left", stranded),
    "approve": Case("R-1", "it counts once", "approval.given", released, each=True),
    **{
        f"answer:{choice}": Case("1/1", "already_answered", "run.decided", asking)
        for choice in ("retry", "abort", "skip", "stop", "wait", "done", "pass", "undrain", "end", "leave")
    },
}
ONLY_SAYS = {"revert"}
"""Buttons that answer with what to type, and do nothing."""

NOTED = {"answer:fail", "answer:failed", "answer:done_with_help"}


def test_the_table_has_every_button() -> None:
    assert PRESSED.keys() | NOTED | ONLY_SAYS == TWINS.keys()


def asked(deck: DeckRoom, action: str) -> None:
    running(deck)
    deck.asks(1, choices=(action.removeprefix("answer:"), "leave"))


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


@pytest.mark.parametrize(
    ("action", "kind", "verdict", "again"),
    [
        ("rehearse", "rehearsal", "passed", False),
        ("rehearse", "rehearsal", "failed", False),
        ("rehearse", "rehearsal", "errored", True),
        ("promote", "promotion", "passed", False),
        ("promote", "promotion", "aborted", False),
        ("rollback", "rollback", "passed", False),
        ("rollback", "rollback", "errored", False),
    ],
)
def test_a_button_is_pressed_an_hour_after_what_it_starts_has_ended(
    deck: DeckRoom, action: str, kind: str, verdict: str, again: bool
) -> None:
    rehearsed(deck) if action == "promote" else released(deck)
    if action == "rollback":
        promotion = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1").number
        deck.ends(promotion, "failed")
    shown = deck.shows(list(actions(button("Go", action, "R-1"))))
    key = "release/R-1" if action == "rehearse" else "run/1/end"
    deck.happens(MessagePosted(key=key, channel=shown.channel, ts=shown.ts))
    assert "started" in deck.presses(ADMIN, shown, action)
    count = len(deck.records("run.started"))
    deck.ends(count, verdict)
    told = deck.presses(ADMIN2, shown, action)
    assert ("done_since" in told) is not again
    assert (f"started by <@{ADMIN}>: {verdict}" in told) is not again
    assert len(deck.records("run.started")) == count + again


def test_what_was_rolled_back_is_not_rolled_back_once_more(deck: DeckRoom) -> None:
    promoted(deck)
    deck.types(ADMIN, "/promote rollback R-1")
    deck.ends(3)
    told = deck.types(ADMIN2, "/promote rollback R-1")
    assert "already_rolled_back" in told
    assert "/promote status" in told


def test_a_promotion_that_goes_on_is_not_scheduled_and_another_time_takes_the_place_of_the_first(
    deck: DeckRoom,
) -> None:
    scheduled(deck)
    told = deck.types(ADMIN2, "/promote R-1 at 2030-07-01 23:00")
    assert f"in place of 2030-07-01 22:00 CEST (UTC+02:00) by <@{ADMIN}>" in told
    deck.types(ADMIN, "/promote R-1")
    assert "already_running" in deck.types(ADMIN, "/promote R-1 at 2030-07-02 22:00")


def test_the_button_of_the_snapshot_only_says_what_it_costs_and_what_to_type(deck: DeckRoom) -> None:
    stranded(deck)
    shown = deck.shows(list(actions(button("Back to the snapshot …", "revert", "R-1"))))
    before = len(deck.records("run.started"))
    told = deck.presses(ADMIN, shown, "revert")
    assert "not_confirmed" in told
    assert "Everything that was written on web since then is lost. db has no snapshot" in told
    assert "/promote revert R-1 prod" in told
    assert len(deck.records("run.started")) == before
