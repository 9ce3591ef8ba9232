"""What a restore step does, and what is written down of how old its artifact was and how long it took."""

import pytest
from builders import drive, site

from plans.actions import Outcome, Record, Shell
from plans.events import RestoreMeasured
from plans.restoring import RestoreRun

BEGAN, RESTORED, TOLD = 1_800_000_000.0, 1_800_000_090.5, 1_800_000_092.0
PLAIN = RestoreRun(name="Restore the orders", on="db", run="./restore.sh", timeout="30m")
AGED = RestoreRun(name="Restore the orders", on="db", run="./restore.sh", artifact_age="date -r backup +%s")
DONE = Outcome("ok", exit=0, began=BEGAN, ended=RESTORED)


def told(output: str, **more: object) -> Outcome:
    return Outcome("ok", exit=0, output=output, began=BEGAN, ended=TOLD, **more)  # type: ignore[arg-type]


def test_how_long_it_took_is_on_the_ledger() -> None:
    asked, ended = drive(PLAIN, site(host="db"), DONE)
    shell, record = asked
    assert isinstance(shell, Shell)
    assert (shell.command, shell.timeout, str(shell.at)) == ("./restore.sh", 1800.0, "staging db")
    event = RestoreMeasured(run=7, host="db", name="Restore the orders", artifact_age_seconds=None, seconds=90.5)
    assert record == Record(event)
    assert ended == DONE


def test_nothing_is_measured_of_a_restore_that_did_not_end_well() -> None:
    for bad in (Outcome("failed", exit=1), Outcome("errored", reason="lost"), Outcome("aborted")):
        asked, ended = drive(AGED, site(host="db"), bad)
        assert len(asked) == 1
        assert ended == bad


@pytest.mark.parametrize(
    ("printed", "age"),
    [
        ("1799996492\n", 3600.0),
        ("orders-20261123.db\n1799996492", 3600.0),
        ("1799996492.5", 3599.5),
        ("26h\n", 26 * 3600.0),
        ("45m", 2700.0),
        ("1800000100", 0.0),
    ],
)
def test_the_artifacts_age_is_a_time_or_a_duration(printed: str, age: float) -> None:
    asked, ended = drive(AGED, site(host="db"), DONE, told(printed))
    assert [action.command for action in asked if isinstance(action, Shell)] == ["./restore.sh", "date -r backup +%s"]
    assert isinstance(asked[-1], Record)
    assert isinstance(asked[-1].event, RestoreMeasured)
    assert (asked[-1].event.artifact_age_seconds, asked[-1].event.seconds) == (age, 90.5)
    assert ended == DONE


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (told("yesterday"), "it printed “yesterday”"),
        (told("3600"), "it printed “3600”"),
        (told(" \n"), "it printed nothing"),
        (told("1800001000"), "it says that its artifact is 15 min 8 s in the future: compare the clocks"),
        (Outcome("failed", exit=1, output="26h", reason="exit code 1"), "exit code 1"),
        (Outcome("errored", reason="db does not answer"), "db does not answer"),
    ],
)
def test_an_age_that_is_not_told_is_no_age(answer: Outcome, why: str) -> None:
    asked, ended = drive(AGED, site(host="db"), DONE, answer)
    assert not any(isinstance(action, Record) for action in asked)
    wanted = "restored, but artifact_age must print seconds since 1970, or a duration like 26h"
    assert (ended.result, ended.reason) == ("errored", f"{wanted}: {why}")


def test_a_stop_is_a_stop() -> None:
    stopped = Outcome("aborted", reason="ended on request")
    assert drive(AGED, site(host="db"), DONE, stopped)[1] == stopped
