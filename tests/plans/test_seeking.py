"""Forbidden content in what a deployment changed: pointed out by place, on each host that the package touched."""

import pytest
from builders import DIGEST, drive, material, site

from plans.actions import Action, Outcome, Record, Shell
from plans.content import KEYS
from plans.rehearsal import rehearsal
from plans.rule_events import DifferenceFound
from plans.seeking import SearchChanged
from plans.site import OK

STEP = SearchChanged(paths=(".", "/srv/webshop/"), forbidden=("Test Customer",))


def pointed_out(asked: list[Action]) -> list[DifferenceFound]:
    events = (action.event for action in asked if isinstance(action, Record))
    return [event for event in events if isinstance(event, DifferenceFound)]


def answered(*lines: str) -> Outcome:
    return Outcome("ok", exit=0, output="".join(f"{line}\n" for line in lines))


def test_what_is_younger_than_the_package_is_searched() -> None:
    asked, ended = drive(STEP, site(), answered())
    (shell,) = [action for action in asked if isinstance(action, Shell)]
    assert f"/var/tmp/quarterdeck/abc/{DIGEST}.tar.gz" in shell.command
    assert "/srv/webshop/" in shell.command
    assert "Test Customer" in shell.command
    assert (ended, pointed_out(asked)) == (OK, [])


def test_what_is_found_is_pointed_out_by_place_and_is_no_verdict() -> None:
    number = len(KEYS)
    asked, ended = drive(STEP, site(), answered(f"{number}:./seed.sql:3", "0:./id_rsa:1"))
    assert ended == OK
    (difference,) = pointed_out(asked)
    assert (difference.kind, difference.key, difference.fact, difference.host) == (
        "content",
        "content/web",
        "content",
        "web",
    )
    first, *lines = difference.brief.splitlines()
    assert first.startswith("on staging web the deployment left ./seed.sql, line 3: It matches Test Customer")
    assert first.endswith("and 1 places more")
    assert lines == ["  ./seed.sql, line 3: forbidden_content", "  ./id_rsa, line 1: private_key"]


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (Outcome("failed", exit=69, reason="exit 69", output="grep -P is not here\n"), "grep -P is not here"),
        (Outcome("errored", reason="no route"), "no route"),
    ],
)
def test_what_could_not_be_searched_is_said_and_stays_open(outcome: Outcome, why: str) -> None:
    asked, ended = drive(STEP, site(), outcome)
    assert ended == OK
    (difference,) = pointed_out(asked)
    assert difference.brief == f"staging web could not be searched for forbidden content: {why}"


def test_a_stop_is_a_stop() -> None:
    assert drive(STEP, site(), Outcome("aborted"))[1].result == "aborted"


def test_a_windows_host_is_not_searched() -> None:
    asked, ended = drive(STEP, site(shell_of_host="powershell"))
    assert not [action for action in asked if isinstance(action, Shell)]
    assert ended == OK


def test_every_host_that_the_package_touches_is_searched_where_it_copied_to() -> None:
    (step,) = [s for s in rehearsal(material(forbidden=("x",))).steps if isinstance(s.step, SearchChanged)]
    assert isinstance(step.step, SearchChanged)
    assert (step.phase, step.hosts) == ("test", ("web", "db"))
    assert step.step.paths == (".", "/srv/webshop/")
    assert step.step.forbidden == ("x",)
