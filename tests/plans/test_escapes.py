"""How an escaped defect is paid back: what its check says is written down, and a promotion closes it."""

import pytest
from builders import Story, drive, handed_off, material, site
from msgspec.structs import replace

from plans.actions import Outcome, Record
from plans.checks import RunCheck
from plans.escapes import Covering, PayBack
from plans.promotion import promotion
from plans.rehearsal import rehearsal
from plans.rule_events import EscapeClosed, EscapeRecorded, EscapeTried
from plans.rule_records import Escape
from plans.testplan import TestPlan

CHECK = RunCheck(name="Totals", on="db", run="check-totals", covers=("SHOP-7", "E-1", "E-2"))


@pytest.mark.parametrize(("exit_code", "outcome"), [(0, "ok"), (1, "failed")])
def test_a_check_that_names_escapes_writes_down_what_it_says_of_the_release(exit_code: int, outcome: str) -> None:
    asked, ended = drive(Covering(CHECK), site(), Outcome("ok" if exit_code == 0 else "failed", exit=exit_code))
    assert ended.result == outcome
    assert [action.event for action in asked if isinstance(action, Record)] == [
        EscapeTried(escape=name, run=7, release="R-1", check="Totals", outcome=outcome) for name in ("E-1", "E-2")
    ]


@pytest.mark.parametrize("result", ["errored", "aborted"])
def test_a_check_that_could_not_be_made_says_nothing(result: str) -> None:
    asked, ended = drive(Covering(CHECK), site(), Outcome(result))  # type: ignore[arg-type]
    assert ended.result == result
    assert not [action for action in asked if isinstance(action, Record)]


def test_only_a_rehearsal_tries_them() -> None:
    (subject,) = material().subjects
    tests = TestPlan(app="webshop", critical=(replace(CHECK, prod="safe"),))
    subjects = (replace(subject, tests=tests),)
    tried = [step.name for step in rehearsal(material(subjects=subjects)).steps if isinstance(step.step, Covering)]
    assert tried == ["Totals"]
    assert not [s for s in promotion(material("prod", subjects=subjects)).steps if isinstance(s.step, Covering)]


def test_a_promotion_closes_what_its_release_has_paid_back() -> None:
    plan = promotion(material("prod", paid=(("E-1", "Totals"),)))
    (paying,) = [step for step in plan.steps if isinstance(step.step, PayBack)]
    assert paying.phase == "test"
    asked, ended = drive(paying.step, site(environment="prod", host=None, release="R-3"))
    assert ended.ok
    assert [action.event for action in asked if isinstance(action, Record)] == [
        EscapeClosed(escape="E-1", how="check", release="R-3", check="Totals", reason="")
    ]
    assert not [step for step in promotion(material("prod")).steps if isinstance(step.step, PayBack)]


class TestFold:
    def told(self, *outcomes: tuple[int, str, str]) -> Escape:
        story = Story().tell(handed_off(), by="U01DEV")
        story.tell(EscapeRecorded(escape="E-1", app="webshop", release="R-1", text="totals"), by="U02ADMIN")
        for run, release, outcome in outcomes:
            story.tell(EscapeTried(escape="E-1", run=run, release=release, check="Totals", outcome=outcome))
        found = story.documents["escapes", "E-1"]
        assert isinstance(found, Escape)
        return found

    def test_it_is_open_from_its_record_on(self) -> None:
        escape = self.told()
        assert (escape.open, escape.paid("R-2"), escape.by) == (True, False, "U02ADMIN")

    def test_the_release_on_which_its_check_passes_has_paid_it_back_and_no_other(self) -> None:
        escape = self.told((3, "R-1", "failed"), (4, "R-2", "ok"))
        assert (escape.paid("R-1"), escape.paid("R-2"), escape.paid("R-3")) == (False, True, False)
        assert escape.open

    def test_one_host_on_which_it_fails_is_enough(self) -> None:
        assert not self.told((4, "R-2", "failed"), (4, "R-2", "ok")).paid("R-2")
        assert not self.told((4, "R-2", "ok"), (4, "R-2", "failed")).paid("R-2")
        assert self.told((4, "R-2", "failed"), (5, "R-2", "ok")).paid("R-2")
