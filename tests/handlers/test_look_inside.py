"""The look at a failed staging: when it opens and closes, and why somebody is not let in."""

from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from deck_room import ADMIN, DEV, DeckRoom
from msgspec.structs import replace

from bot.inspections import close_inspections, inspection, mend_inspections, open_inspection
from bot.telling.bundles import bundle
from plans.actions import Outcome
from plans.calendars import OfficeHours
from plans.inspections import Inspecting, OverSsh
from plans.rule_events import InspectionOpened

KEY = "ssh-ed25519 " + b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()


@pytest.fixture
def deck(opened: Callable[[str], DeckRoom]) -> DeckRoom:
    return opened("")


def failed(deck: DeckRoom) -> None:
    """R-1's rehearsal has failed, and staging may be looked at."""
    deck.release()
    deck.rehearsed("R-1", "failed")
    open_inspection(deck.board, deck.settings, 1)


def configured(deck: DeckRoom, key: str = "", **changes: Any) -> None:
    """Staging says who may be let in: the developer, with that key, or nobody."""
    file = deck.drops / "k.pub"
    file.write_text(key)
    over = OverSsh(people={DEV: str(file)} if key else {})
    config = deck.settings.config
    staging = replace(config.environments["staging"], inspection=Inspecting(ssh=over), **changes)
    config = replace(config, environments=config.environments | {"staging": staging})
    deck.settings = replace(deck.settings, config=config)
    deck.deck.visits._settings = deck.settings
    object.__setattr__(deck.deck, "settings", deck.settings)


def guests(deck: DeckRoom) -> dict[str, Any]:
    named = deck.settings.environments["staging"].named()
    return {name: replace(host, shell="powershell") for name, host in named.items()}


REFUSED: dict[str, tuple[str, Callable[[DeckRoom], object]]] = {
    "no_inspection": ("/stage inspect", lambda deck: deck.release()),
    "which_environment": ("/stage inspect", lambda deck: deck.release()),
    "prod": ("/stage inspect prod", failed),
    "no_verdict": (
        "/stage inspect staging",
        lambda deck: (deck.release(), deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-1")),
    ),
    "not_configured": ("/stage inspect", failed),
    "no_key": ("/stage inspect", lambda deck: (failed(deck), configured(deck))),
    "bad_key": ("/stage inspect", lambda deck: (failed(deck), configured(deck, f"restrict {KEY}"))),
}


@pytest.mark.parametrize("code", REFUSED)
def test_who_is_not_let_in(deck: DeckRoom, code: str) -> None:
    line, given = REFUSED[code]
    given(deck)
    line = f"{line} staging" if code == "no_inspection" else line
    assert code in deck.types(ADMIN, line)
    assert not deck.records("inspection.entered")


def test_hosts_that_no_key_gets_in_to(deck: DeckRoom) -> None:
    failed(deck)
    configured(deck, KEY, hosts=guests(deck))
    assert "not_configured" in deck.types(ADMIN, "/stage inspect")


def test_hosts_that_do_not_take_the_key(deck: DeckRoom) -> None:
    failed(deck)
    configured(deck, KEY)
    deck.machines.perform = lambda action, **how: Outcome("errored", reason=f"{action.at}: no way in")
    assert "not_let_in" in (told := deck.types(ADMIN, "/stage inspect"))
    assert "staging web: no way in" in told
    assert not deck.records("inspection.entered")
    assert not deck.runs.aside


def test_one_host_of_two_that_takes_it_is_told_of(deck: DeckRoom) -> None:
    failed(deck)
    configured(deck, KEY)

    def perform(action: Any, **how: Any) -> Outcome:
        assert "staging" in deck.runs.aside, "no run begins meanwhile"
        return Outcome("ok") if action.at.host == "web" else Outcome("errored", reason="no way in")

    deck.machines.perform = perform
    told = deck.types(ADMIN, "/stage inspect")
    assert "may log in on web of staging" in told
    assert "Not on db" in told
    (entered,) = deck.records("inspection.entered")
    assert entered["ways"] == ["web: ssh u@s-web"]
    assert not deck.runs.aside


def test_a_run_that_is_started_meanwhile_closes_it_and_nobody_is_said_to_be_in(deck: DeckRoom) -> None:
    failed(deck)
    configured(deck, KEY)

    def perform(action: Any, **how: Any) -> Outcome:
        if not deck.records("inspection.closed"):
            deck.runs.start("check", by=ADMIN, environment="staging")
        return Outcome("ok")

    deck.machines.perform = perform
    assert "no_verdict" in deck.types(ADMIN, "/stage inspect")
    assert not deck.records("inspection.entered")


def test_it_opens_once_for_a_rehearsal_that_failed_and_for_no_other(deck: DeckRoom) -> None:
    deck.release()
    for verdict in ("passed", "errored", "aborted", "failed"):
        run = deck.rehearsed("R-1", verdict)
        open_inspection(deck.board, deck.settings, run)
        open_inspection(deck.board, deck.settings, run)
    (opened,) = deck.records("inspection.opened")
    finished = datetime.fromisoformat(deck.board.run(run).finished)
    assert opened["run"] == run
    assert datetime.fromisoformat(opened["until"]) == finished + timedelta(hours=2)


def test_its_countdown_is_of_office_hours(deck: DeckRoom) -> None:
    policy = replace(deck.settings.policy, office_hours=OfficeHours())
    deck.settings = replace(deck.settings, config=replace(deck.settings.config, policy=policy))
    deck.ahead = timedelta(days=7 - deck.now().weekday())  # a Monday; how late it is does not matter
    failed(deck)
    (opened,) = deck.records("inspection.opened")
    until = datetime.fromisoformat(opened["until"]).astimezone(deck.settings.timezone)
    assert until.weekday() < 5
    assert 8 <= until.hour + until.minute / 60 <= 18


@pytest.mark.parametrize(("environment", "still"), [("staging", None), ("crm-staging", 1)])
def test_a_run_closes_it_also_one_that_has_only_a_machine_of_it(
    deck: DeckRoom, environment: str, still: int | None
) -> None:
    failed(deck)
    deck.runs.start("check", by=ADMIN, environment=environment)
    (closed,) = deck.records("inspection.closed")
    assert closed["why"] == "run 2 (check) begins there"
    assert inspection(deck.board, "staging") is None
    assert deck.board.environment("staging").inspection == still, "what is left of it goes back by itself"


def test_a_run_elsewhere_leaves_it_open(deck: DeckRoom) -> None:
    failed(deck)
    deck.release("crm-1.0.0")
    run = deck.runs.start("promotion", by=ADMIN, environment="crm-prod", release="R-2")
    close_inspections(deck.board, deck.board.run(run.number))
    assert not deck.records("inspection.closed")


def test_what_a_crash_left_undone_is_done_at_the_start(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1", "failed")
    mend_inspections(deck.board, deck.settings)
    assert [opened["run"] for opened in deck.records("inspection.opened")] == [1]
    deck.runs.start("check", by=ADMIN, environment="staging")
    deck.happens(InspectionOpened(run=1, environment="staging", until="2030-01-01T00:00:00Z"))
    mend_inspections(deck.board, deck.settings)
    mend_inspections(deck.board, deck.settings)
    assert [closed["run"] for closed in deck.records("inspection.closed")] == [1, 1]
    assert inspection(deck.board, "staging") is None


def test_a_bundle_is_made_of_what_is_left(deck: DeckRoom) -> None:
    failed(deck)
    packed = bundle(deck.board.run(1), (), deck.settings.data_dir, deck.deck.masker)
    assert packed.startswith(b"PK")
