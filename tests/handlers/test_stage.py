"""What admins and testers say and are told with `/stage`, typed and pressed."""

import pytest
from deck_room import ADMIN, ADMIN2, DEV, TESTER, DeckRoom

from bot.line.blocks import actions, button
from plans.events import IsolationJudged, StepStarted


def test_a_rehearsal_starts_where_its_app_is_staged(deck: DeckRoom) -> None:
    deck.release()
    told = deck.types(ADMIN, "/stage run 1")
    assert "Run 1 started: rehearsal of webshop 2.4.1 on staging (R-1)." in told
    assert "<#C01DEPLOYS>" in told
    started = deck.records("run.started")[0]
    assert (started["kind"], started["release"], started["environment"]) == ("rehearsal", "R-1", "staging")
    twice = deck.types(ADMIN2, "/stage run R-1")
    assert "already_running" in twice
    assert "/stage abort 1" in twice


def test_an_admin_by_group_is_one(deck: DeckRoom) -> None:
    deck.release()
    assert "Run 1 started" in deck.types(ADMIN2, "/stage run R-1")


def test_without_a_release_those_that_could_be_rehearsed_are_listed(deck: DeckRoom) -> None:
    assert "a developer hands one off first" in deck.types(ADMIN, "/stage run")
    deck.release("webshop-2.4.0")
    deck.release("webshop-2.4.1")
    deck.types(DEV, "/handoff withdraw R-1")
    told = deck.types(ADMIN, "/stage run")
    assert "`/stage run R-2`" in told
    assert "R-1" not in told


def test_a_run_says_for_which_it_waits(deck: DeckRoom) -> None:
    deck.release()
    deck.types(ADMIN, "/stage run R-1")
    told = deck.types(ADMIN, "/stage check crm-staging")
    assert "Run 2 started: check of crm-staging." in told
    assert "It begins when run 1 (rehearsal of webshop 2.4.1 on staging (R-1)) has ended." in told


def test_an_environment_is_asked_for_where_it_could_be_several(deck: DeckRoom) -> None:
    told = deck.types(ADMIN, "/stage check")
    assert "which_environment" in told
    assert "crm-staging, staging" in told
    assert "cannot be done to prod" in deck.types(ADMIN, "/stage reset prod")
    assert "no_snapshot" in deck.types(ADMIN, "/stage reset staging")
    assert deck.records("run.started") == []


@pytest.mark.parametrize(
    "typed",
    [
        "/stage run R-1",
        "/stage check staging",
        "/stage reset staging",
        "/stage abort 1 now",
        "/stage lock prod mine",
        "/stage attest staging mine",
        "/stage unlock prod",
    ],
)
def test_what_admins_do_nobody_else_does_and_the_ledger_has_it(deck: DeckRoom, typed: str) -> None:
    deck.release()
    for user in (DEV, TESTER):
        told = deck.types(user, typed)
        assert "role_needed" in told
        assert f"<@{ADMIN}>" in told
    assert deck.records("access.denied") == [{"command": typed, "role": "admins", "by": user} for user in (DEV, TESTER)]
    assert not deck.records("run.started") + deck.records("environment.locked")


def test_a_question_is_answered_by_whom_it_is_for(deck: DeckRoom) -> None:
    deck.release()
    deck.types(ADMIN, "/stage run R-1")
    deck.asks(1, role="testers", choices=("pass", "fail"))
    assert "is for testers" in deck.types(ADMIN, "/stage answer 1 pass")
    assert "bad_choice" in deck.types(TESTER, "/stage answer 1 retry")
    assert "no answer" in deck.types(TESTER, "/stage answer 1 psas")
    assert "Run 1 has your answer: fail." in deck.types(TESTER, "/stage answer 1 fail the basket is empty")
    decided = deck.records("run.decided")
    assert [(one["choice"], one["note"], one["by"]) for one in decided] == [("fail", "the basket is empty", TESTER)]
    assert f"<@{TESTER}>" in deck.types(TESTER, "/stage answer 1 pass")


def test_two_admins_press_the_same_button_and_one_counts(deck: DeckRoom) -> None:
    deck.release()
    deck.types(ADMIN, "/stage run R-1")
    deck.asks(1, choices=("retry", "skip", "abort"))
    row = actions(*(button(choice, f"answer:{choice}", "1/1") for choice in ("retry", "skip", "abort")))
    shown = deck.shows(list(row), thread=True)
    assert "has your answer: retry" in deck.presses(ADMIN, shown, "answer:retry")
    stale = deck.presses(ADMIN2, shown, "answer:skip")
    assert f"<@{ADMIN}> answered it with retry" in stale
    assert len(deck.records("run.decided")) == 1
    assert deck.desk.ephemerals(ADMIN2)[-1].thread_ts == shown.thread_ts
    deck.asks(1, 2, choices=("retry", "skip", "abort"))
    assert f"<@{ADMIN}>" in deck.presses(ADMIN2, shown, "answer:skip")
    assert len(deck.records("run.decided")) == 1, "a button of the first question does not answer the second"


def test_a_press_without_the_role_is_refused_and_recorded(deck: DeckRoom) -> None:
    deck.release()
    deck.types(ADMIN, "/stage run R-1")
    deck.asks(1, choices=("retry", "abort"))
    shown = deck.shows(list(actions(button("Retry", "answer:retry", "1/1"), button("Abort", "abort", "1"))))
    assert "role_needed" in deck.presses(DEV, shown, "answer:retry")
    assert "role_needed" in deck.presses(DEV, shown, "abort")
    denied = [one["command"] for one in deck.records("access.denied")]
    assert denied == ["/stage answer 1/1 retry", "/stage abort 1"]
    assert deck.records("run.decided") == []


def test_fail_asks_for_a_note_in_a_form(deck: DeckRoom) -> None:
    deck.release()
    deck.types(ADMIN, "/stage run R-1")
    deck.asks(1, role="testers", choices=("pass", "fail"))
    shown = deck.shows(list(actions(button("Pass", "answer:pass", "1/1"), button("Fail", "answer:fail", "1/1"))))
    assert deck.desk.presses(TESTER, shown, "answer:fail").ok
    form = deck.desk.wait(lambda: deck.desk.modal(TESTER))
    assert "“Add the column” failed" in str(form)
    before = len(deck.desk.ephemerals(TESTER))
    assert deck.desk.submits(TESTER, {"note": "the basket is empty"}).ok
    told = deck.desk.wait(lambda: deck.desk.ephemerals(TESTER)[before:])[0].text
    assert "has your answer: fail" in told
    assert deck.records("run.decided")[0]["note"] == "the basket is empty"
    assert f"<@{TESTER}> answered it with fail" in deck.presses(TESTER, shown, "answer:fail")


def test_a_form_that_was_overtaken_says_so(deck: DeckRoom) -> None:
    deck.release()
    deck.types(ADMIN, "/stage run R-1")
    deck.asks(1, role="testers", choices=("pass", "fail"))
    shown = deck.shows(list(actions(button("Fail", "answer:fail", "1/1"))))
    deck.desk.presses(TESTER, shown, "answer:fail")
    deck.desk.wait(lambda: deck.desk.modal(TESTER))
    deck.runs.decide(1, "pass", by=TESTER)
    before = len(deck.desk.ephemerals(TESTER))
    deck.desk.submits(TESTER, {"note": "too late"})
    told = deck.desk.wait(lambda: deck.desk.ephemerals(TESTER)[before:])[0].text
    assert f"<@{TESTER}> answered it with pass" in told


def test_runs_are_stopped_by_number_or_where_there_is_only_one(deck: DeckRoom) -> None:
    assert "nothing_runs" in deck.types(ADMIN, "/stage abort")
    deck.release()
    deck.types(ADMIN, "/stage run R-1")
    deck.types(ADMIN, "/stage check crm-staging")
    several = deck.types(ADMIN, "/stage abort")
    assert "which_run" in several
    assert "/stage abort 1: rehearsal of webshop" in several
    assert "stops after its present step" in deck.types(ADMIN, "/stage abort 1")
    assert f"<@{ADMIN}> is stopping run 1 already" in deck.types(ADMIN2, "/stage abort 1")
    assert "stopped at once" in deck.types(ADMIN2, "/stage abort 1 now")
    deck.ends(1, "aborted")
    assert "Run 1 is over: aborted" in deck.types(ADMIN, "/stage abort 1")
    assert "Run 2" in deck.types(ADMIN, "/stage abort now")
    assert [(one["run"], one["now"]) for one in deck.records("run.aborting")] == [(1, False), (1, True), (2, True)]


def test_environments_are_locked_and_unlocked_prod_too(deck: DeckRoom) -> None:
    assert "which_environment" in deck.types(ADMIN, "/stage lock the network is rebuilt")
    assert "prod is locked" in deck.types(ADMIN, "/stage lock prod the <network> is rebuilt")
    assert deck.records("environment.locked") == [
        {"environment": "prod", "reason": "the <network> is rebuilt", "by": ADMIN}
    ]
    assert f"locked already by <@{ADMIN}>" in deck.types(ADMIN2, "/stage lock prod me too")
    assert "locked* by" in deck.types(DEV, "/stage status")
    deck.types(ADMIN, "/stage lock staging stop")
    deck.release()
    assert "locked" in deck.types(ADMIN, "/stage run R-1")
    assert "which_environment" in deck.types(ADMIN, "/stage unlock")
    assert "staging is unlocked" in deck.types(ADMIN2, "/stage unlock staging")
    assert "prod is unlocked" in deck.types(ADMIN, "/stage unlock")
    assert "not_locked" in deck.types(ADMIN, "/stage unlock")
    assert "not_locked" in deck.types(ADMIN, "/stage unlock prod")


def test_an_admin_attests_to_what_a_run_doubted(deck: DeckRoom) -> None:
    def judge(verdict: str, *doubts: str) -> None:
        deck.types(ADMIN, "/stage check staging")
        run = len(deck.records("run.started"))
        deck.happens(IsolationJudged(run=run, verdict=verdict, evidence=doubts, doubts=doubts))
        deck.ends(run, "errored")

    assert "which_environment" in deck.types(ADMIN, "/stage attest it is fine")
    assert "wrong_environment" in deck.types(ADMIN, "/stage attest prod it is fine")
    assert "nothing_to_attest" in deck.types(ADMIN, "/stage attest staging it is fine")
    judge("proved")
    assert "nothing_to_attest" in deck.types(ADMIN, "/stage attest staging it is fine")
    judge("violated", "web: <PCI> device")
    assert "isolation_violated" in deck.types(ADMIN, "/stage attest staging it is fine")
    judge("unproved", "web: <PCI> device", "db: shared disk")
    told = deck.types(ADMIN, "/stage attest staging it is a GPU")
    assert "what run 3 doubted:\n• web: &lt;PCI&gt; device\n• db: shared disk\nIt holds for 7 days" in told
    [word] = deck.records("isolation.attested")
    assert (word["environment"], word["reason"], word["by"]) == ("staging", "it is a GPU", ADMIN)
    assert word["covers"] == ["web: <PCI> device", "db: shared disk"]
    assert word["digest"] == deck.settings.digest_of_environment("staging")


def test_status_and_history_say_what_runs_asks_and_ran(deck: DeckRoom) -> None:
    empty = deck.types(DEV, "/stage status")
    assert "*staging*: free" in empty
    assert "There was none yet" in deck.types(DEV, "/stage history")
    deck.release()
    deck.rehearsed("R-1", "failed")
    deck.types(ADMIN, "/stage check staging")
    deck.asks(2, choices=("retry", "skip", "abort"))
    status = deck.types(TESTER, "/stage status")
    assert "*Run 2*, check of staging: Waiting for an answer" in status
    assert "`/stage answer 2 retry|skip|abort`" in status
    assert "run 2 (check) is on it" in status
    history = deck.types(DEV, "/stage history")
    assert "*Run 1*, rehearsal of webshop 2.4.1 on staging (R-1): Failed: “Orders can be archived” failed" in history
    assert history.index("Run 2") < history.index("Run 1")


def test_help_names_every_verb_and_always_answers(deck: DeckRoom) -> None:
    for command in ("/handoff", "/stage", "/promote"):
        told = deck.types(DEV, f"{command} HELP please")
        assert f"{command} status" in told or command == "/handoff"
        assert "R-1" in told
    assert "/stage answer RUN CHOICE [NOTE]" in deck.types(DEV, "/stage")


def test_the_buttons_of_a_hand_off_and_of_an_end_do_what_is_typed(deck: DeckRoom) -> None:
    deck.release()
    shown = deck.shows(
        list(
            actions(
                button("Rehearse", "rehearse", "R-1"),
                button("Promote", "promote", "R-1"),
                button("Roll back", "rollback", "R-1"),
                button("Approve", "approve", "R-1"),
            )
        )
    )
    assert "Run 1 started: rehearsal" in deck.presses(ADMIN, shown, "rehearse")
    assert "already_running" in deck.presses(ADMIN2, shown, "rehearse")
    assert "not_rehearsed" in deck.presses(ADMIN, shown, "promote")
    assert "not_on_prod" in deck.presses(ADMIN, shown, "rollback")
    assert "Your approval of R-1" in deck.presses(ADMIN, shown, "approve")


def test_a_history_begins_with_how_the_last_weeks_went(deck: DeckRoom) -> None:
    assert "There was none yet" in deck.types(ADMIN, "/stage history")
    deck.release()
    deck.rehearsed("R-1")
    assert "rehearsals passed at once: 100% (1 of 1)" in deck.types(ADMIN, "/stage history")
    run = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")
    deck.happens(StepStarted(run=run.number, phase="deploy", step=1, name="Copy", host="web", attempt=1))
    deck.ends(run.number, "failed", "“Copy” failed")
    told = deck.types(ADMIN, "/promote history")
    assert "deployments: 1 · change failure rate: 100% (1 of 1)" in told
