"""What a restore step does, and what is written down of how old its artifact was and how long it took."""

import pytest
from builders import drive, site

from plans.actions import (
    Action,
    At,
    AwaitHost,
    Cloned,
    EndFormer,
    Note,
    Outcome,
    Power,
    PutClone,
    ReadNetworks,
    Record,
    Shell,
    TakeCloneBack,
)
from plans.events import IsolationJudged, MachineReplaced, RestoreMeasured, SnapshotRemoved
from plans.isolation import Isolation
from plans.networks import View, Vm
from plans.restoring import MakeAnew, RestoreRun
from plans.site import OK

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


DB = At("staging", "db")
PROD_DB = At("prod", "db")
TOKEN = "quarterdeck-abc-run-7-db"


class TestMakeAnew:
    STEP = MakeAnew(
        name="Clone the database",
        sources={"db": PROD_DB, "db/2": "prod-db-standby"},
        snapshot="fresh",
        timeout="4h",
        isolation=Isolation(networks=("isolated",)),
        attested=None,
        older={"db": ("snapshot-3",)},
    )
    PUT = Outcome("ok", value=Cloned("vc/new", "vc/old", TOLD - 60), ended=TOLD)
    CUT_OFF = Outcome("ok", value=View(vcenter="vc", vm="vm-1", vms={"vm-1": Vm(name="db", nics=())}, networks={}))
    BACK = TakeCloneBack(DB, PROD_DB, TOKEN)

    def drive(self, *answers: Outcome) -> tuple[list[Action], Outcome]:
        asked, ended = drive(self.STEP, site(host="db"), *answers)
        return [action for action in asked if not isinstance(action, Note)], ended

    def test_it_is_proved_isolated_before_it_is_powered_on_and_the_old_one_goes_when_it_answers(self) -> None:
        gone = Outcome("ok", began=BEGAN, ended=RESTORED)
        asked, ended = self.drive(self.PUT, OK, self.CUT_OFF, OK, OK, OK, OK, gone)
        judged = next(
            action.event for action in asked if isinstance(action, Record) and isinstance(action.event, IsolationJudged)
        )
        assert asked == [
            PutClone(DB, PROD_DB, "fresh", TOKEN, 4 * 3600.0),
            Record(MachineReplaced(run=7, environment="staging", host="db", old="vc/old", new="vc/new")),
            ReadNetworks(DB),
            Record(judged),
            Power(DB, on=True),
            AwaitHost(DB, 600.0),
            EndFormer(DB, TOKEN),
            Record(SnapshotRemoved(run=7, environment="staging", host="db", snapshot="snapshot-3")),
            Record(
                RestoreMeasured(run=7, host="db", name="Clone the database", artifact_age_seconds=60.0, seconds=90.5)
            ),
        ]
        assert judged.verdict == "proved"
        assert ended == OK

    def test_every_host_has_a_source_and_a_token_of_its_own(self) -> None:
        asked, _ = drive(self.STEP, site(host="db/2"), Outcome("errored"))
        assert PutClone(At("staging", "db/2"), "prod-db-standby", "fresh", f"{TOKEN}-2", 4 * 3600.0) in asked

    @pytest.mark.parametrize("good", [0, 2, 5, 6])
    @pytest.mark.parametrize("result", ["errored", "aborted"])
    def test_where_anything_goes_wrong_the_old_one_is_put_back(self, good: int, result: str) -> None:
        """The clone cannot be made, its networks cannot be read, it does not start, it does not answer."""
        bad = Outcome(result, reason="vCenter says no")  # type: ignore[arg-type]
        asked, ended = self.drive(*(self.PUT, OK, self.CUT_OFF, OK, OK, OK)[:good], bad)
        assert asked[-1] == self.BACK
        assert ended.result == result
        assert ended.reason.endswith("; the VM before it is in its place again")
        assert "vCenter says no" in ended.reason
        assert EndFormer(DB, TOKEN) not in asked
        assert (Power(DB, on=True) in asked) is (good > 4)

    def test_what_could_not_be_put_back_is_told(self) -> None:
        asked, ended = drive(
            self.STEP, site(host="db"), Outcome("errored", reason="no room"), Outcome("errored", reason="left: x")
        )
        assert asked[-1] == self.BACK
        assert ended.reason == "no room; it could not be taken back: left: x"

    def test_an_old_one_that_stays_is_told_and_its_snapshots_are_not_gone_back_to(self) -> None:
        gone = Outcome("errored", reason="vCenter says no")
        asked, ended = self.drive(self.PUT, OK, self.CUT_OFF, OK, OK, OK, OK, gone)
        assert (ended.result, ended.reason) == (
            "errored",
            f"the clone is in place and answers, but the VM before it, {TOKEN}-before, is left: vCenter says no",
        )
        assert isinstance(asked[-1], Record)
        assert isinstance(asked[-1].event, SnapshotRemoved)
