"""The process as a whole, over any sequence of what people, machines, the clock and power cuts do to it.

The ledger, the board, the loop's decisions, prod's gates and the clock's work are the real ones; the machines are
whatever the test says.
"""

import os
from datetime import datetime, timedelta

from admins import Admins
from builders import handed_off
from hypothesis import Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant
from office import ADMIN, DEV, MACHINES, OTHER, PLANS
from shifts import TROUBLE, Shifts

from plans import events as e
from plans.records import Release, Run
from plans.rule_records import Inspection, Review


class Process(Shifts, Admins):
    @initialize(
        rehearsed=st.integers(0, 2),
        promoted=st.integers(0, 2),
        trouble=TROUBLE,
        steps=st.sampled_from([6, 9, 25]),
        approvals=st.sampled_from([0, 0, 1]),
    )
    def begin(self, rehearsed: int, promoted: int, trouble: str, steps: int, approvals: int) -> None:
        """A house that has just opened, or one in which releases were rehearsed, and promoted, and not all well."""
        self.open(approvals)
        self.board.record(ADMIN, e.ConfigLoaded(digest="c", changed=()))
        self.board.record(DEV, handed_off("R-1"))
        self.board.record(DEV, handed_off("R-2", "2.4.2"))
        for number in range(1, rehearsed + 1):
            self.go_well(self.runs.start("rehearsal", by=ADMIN, environment="staging", release=f"R-{number}").number)
        for number in range(1, min(rehearsed, promoted) + 1):
            self.board.record(OTHER, self.approval(f"R-{number}"))
            if self.attempt(lambda name=f"R-{number}": self.promotions.promote(name, by=ADMIN)):
                self.go_well(max(run.number for run in self.board.table(Run)), 25)
        if rehearsed < 2:
            last = self.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-2")
            self.go_well(last.number, steps, trouble)

    @invariant()
    def never_two_runs_on_one_environment_or_machine(self) -> None:
        held = [run for run in self.active() if run.begun and run.holds]
        environments = [run.environment for run in held]
        machines = [machine for run in held for machine in run.machines]
        assert len(environments) == len(set(environments))
        assert len(machines) == len(set(machines))

    @invariant()
    def a_verdict_is_what_the_steps_came_to(self) -> None:
        for run in self.board.table(Run):
            outcomes = [host.outcome for record in run.steps.values() for host in record.hosts.values()]
            if run.verdict == "passed":
                assert {record.outcome for record in run.steps.values()} <= {"ok", "skipped"}
                assert len(run.steps) == len(PLANS[run.kind].steps)
            if run.verdict == "failed":
                assert "failed" in outcomes or run.forgiven
            if run.verdict == "aborted" and run.number not in self.ended_early and run.kind != "lookout":
                assert "failed" not in outcomes
                assert not run.forgiven
                assert run.aborting

    @invariant()
    def the_clock_is_set_for_what_is_due(self) -> None:
        """Whatever the board says will come to pass by itself, in this life of the bot as in the one before."""
        armed = {name: at for name, (at, _) in self.alarms.set.items()}
        for release in self.board.table(Release):
            if release.scheduled:
                assert armed[f"promote-{release.id}"] <= datetime.fromisoformat(release.scheduled)
        for opened in self.board.table(Inspection):
            resets = [run for run in self.active() if (run.kind, run.environment) == ("reset", opened.environment)]
            if self.board.environment(opened.environment).locked is None and not resets:
                assert armed[f"inspection-{opened.environment}"] <= datetime.fromisoformat(opened.until)
        for run in self.active():
            assert not run.open or run.aborting or f"remind-{run.number}" in armed
        assert not any(self.board.table(Review)) or "reviews" in armed
        assert {"week", "lookout-prod", "restore-test-staging-over"} <= armed.keys()

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        self.everything_comes_to_an_end()
        self.everything_is_told()
        self.the_ledger_says_it_all()
        for run in self.board.table(Run):
            event(f"{run.kind} {run.verdict}")
        self.close()

    def everything_comes_to_an_end(self) -> None:
        """With machines that work, people who answer and a clock that goes on, every run ends."""
        for environment in MACHINES:
            self.board.record(ADMIN, e.EnvironmentUnlocked(environment=environment))
        for _ in range(300):
            if not self.active():
                break
            self.time += timedelta(minutes=11)
            for number in list(self.begun):
                while self.begun[number]:
                    self.end(number, 0, "ok")
            for run in self.active():
                for question in () if run.aborting else run.open:
                    self.runs.decide(run.number, question.choices[0], by=ADMIN, question=question.number)
                if self.board.run(run.number).active:
                    self.decide(run.number)
        assert not self.active(), "a run is stuck"


WHOLE = os.environ.get("QUARTERDECK_FAULTS") == "all"
SHORT = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
TestProcess = Process.TestCase
TestProcess.settings = settings(max_examples=2000 if WHOLE else 80, phases=SHORT, stateful_step_count=60, deadline=None)
