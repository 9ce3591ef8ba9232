"""The process as a whole, over any sequence of what people, machines and power cuts do to it.

The ledger, the board, the loop's decisions and prod's gates are the real ones; the machines are whatever the test says.
"""

import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from builders import NOW, handed_off, plan, planned
from hypothesis import Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.attempt import pause
from bot.board import Board
from bot.ledger import Ledger
from bot.promotions import Promotions
from bot.runs import Runs
from plans import events as e
from plans.engine import Perform, Place, outcome_in
from plans.environment import App, Policy
from plans.errors import Refusal
from plans.phases import Planned
from plans.records import Release, Run
from plans.steps import Manual

TELL = Manual(name="Tell", manual="Tell them.")
DEPLOY = (
    planned(3, "deploy", "web", "web/2", serial=1),
    planned(4, "deploy", "web", "web/2"),
    planned(5, "deploy", "", step=TELL),
)
TEST = (
    planned(6, "test", "web", "web/2", group="critical"),
    planned(7, "test", "web", group="critical"),
    planned(8, "test", "", group="deep", step=TELL),
)
WATCH = (
    planned(9, "watch", "", written=False),
    planned(10, "watch", "web", group="mark 10m", after=600.0),
    planned(11, "watch", "", group="mark 10m", after=600.0, written=False),
)
FIT = (planned(1, "power_on", "web", written=False), planned(2, "restore", "web"))
PLANS = {
    "rehearsal": plan(*FIT, *DEPLOY, *TEST),
    "check": plan(*FIT),
    "reset": plan(FIT[0]),
    "promotion": plan(planned(1, "protect"), planned(2, "protect", "", step=TELL), *DEPLOY, *TEST, *WATCH),
    "rollback": plan(planned(1, "protect"), planned(2, "rollback", "web", "web/2"), planned(3, "test", group="health")),
}
MACHINES = {"staging": ("m1",), "staging-2": ("m1", "m2"), "prod": ("p1",)}
DEV, ADMIN, OTHER = "U01DEV", "U02ADMIN", "U04OTHER"
TROUBLE = st.sampled_from(["", "retry", "skip", "abort"])


class Hand(Runs):
    """The loop's decisions, one at a time, each when the test says so."""

    def enter(self, number: int) -> None:
        """Nothing goes on by itself."""

    def decision(self, number: int) -> Perform | None:
        found = self._next(number, None)
        return found[1] if found else None


class Process(RuleBasedStateMachine):
    @initialize(
        rehearsed=st.integers(0, 2), promoted=st.integers(0, 2), trouble=TROUBLE, steps=st.sampled_from([6, 9, 25])
    )
    def begin(self, rehearsed: int, promoted: int, trouble: str, steps: int) -> None:
        """A house that has just opened, or one in which releases were rehearsed, and promoted, and not all well."""
        self.folder = Path(tempfile.mkdtemp())
        self.time = NOW
        self.begun: dict[int, list[tuple[Planned, Place]]] = {}
        self.ended_early: set[int] = set()
        self.wake_up()
        self.board.record(ADMIN, e.ConfigLoaded(digest="c", changed=()))
        self.board.record(DEV, handed_off("R-1"))
        self.board.record(DEV, handed_off("R-2", "2.4.2"))
        for number in range(1, rehearsed + 1):
            self.go_well(self.runs.start("rehearsal", by=ADMIN, environment="staging", release=f"R-{number}").number)
        for number in range(1, min(rehearsed, promoted) + 1):
            self.go_well(self.promotions.promote(f"R-{number}", by=ADMIN).number, 25)
        if rehearsed < 2:
            last = self.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-2")
            self.go_well(last.number, steps, trouble)

    def wake_up(self) -> None:
        """A start of the bot, from the ledger."""
        self.board = Board(Ledger.open(self.folder), lambda: self.time)
        materials: Any = SimpleNamespace(
            plan=lambda run: PLANS[run.kind],
            digest=lambda run: "plans",
            cautions=lambda environment: (),
            machines=lambda environment, performer, strict=True: MACHINES[environment],
        )
        config: Any = SimpleNamespace(
            apps={"webshop": App(tests="t", staging="staging", prod="prod")}, policy=Policy(watch=("10m",))
        )
        roles: Any = SimpleNamespace(allowed=lambda user, role: True)
        masker: Any = SimpleNamespace(text=lambda text: text)
        nobody: Any = None
        self.runs = Hand(self.board, config, materials, nobody, roles, masker)
        self.promotions = Promotions(self.board, config, materials, nobody, self.runs)

    def active(self) -> list[Run]:
        return [run for run in self.board.table(Run) if run.active]

    def attempt(self, what: Callable[[], object]) -> bool:
        """Whether it was not refused, with a code and a sentence."""
        try:
            what()
        except Refusal as refusal:
            return not (refusal.code and refusal.message)
        return True

    @rule(seconds=st.sampled_from([1, 60, 700, 700, 3600, 8 * 86400]))
    def time_passes(self, seconds: int) -> None:
        self.time += timedelta(seconds=seconds)

    @precondition(lambda self: len(list(self.board.table(Release))) < 4)
    @rule()
    def hand_off(self) -> None:
        number = 1 + len(list(self.board.table(Release)))
        self.board.record(DEV, handed_off(f"R-{number}", f"2.4.{number}"))

    @rule(data=st.data(), kind=st.sampled_from(["rehearsal", "rehearsal", "check", "reset"]))
    def start(self, data: st.DataObject, kind: str) -> None:
        release = data.draw(st.sampled_from([r.id for r in self.board.table(Release)])) if kind == "rehearsal" else None
        environment = "staging" if release else data.draw(st.sampled_from(["staging", "staging-2"]))
        self.attempt(lambda: self.runs.start(kind, by=ADMIN, environment=environment, release=release))

    @rule(data=st.data(), by=st.sampled_from([ADMIN, ADMIN, OTHER, DEV]))
    def promote(self, data: st.DataObject, by: str) -> None:
        release = data.draw(st.sampled_from(list(self.board.table(Release))))
        others = [run for run in self.active() if run.environment == "prod" and run.phase != "watch"]
        state = self.board.environment("prod")
        if not self.attempt(lambda: self.promotions.promote(release.id, by=by)):
            return
        assert release.rehearsal is not None
        rehearsal = self.board.run(release.rehearsal)
        assert (rehearsal.verdict, rehearsal.clean, rehearsal.release) == ("passed", True, release.id)
        assert self.time - datetime.fromisoformat(rehearsal.finished) <= timedelta(days=7)
        assert (release.withdrawn, release.defective, state.locked) == (None, None, None)
        assert by != release.by
        assert not others
        there = state.deployed.get("webshop", ())[-1:]
        assert all(self.board.release(name).number <= release.number for name in there)

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        release = data.draw(st.sampled_from(list(self.board.table(Release))))
        watched = {run.number for run in self.active() if run.phase == "watch"}
        begun = self.attempt(lambda: self.promotions.rollback(release.id, by=ADMIN))
        ended = {number for number in watched if not self.board.run(number).active}
        assert begun or not ended, "a rollback that was refused has ended a watch"
        self.ended_early |= ended

    @rule(data=st.data())
    def somebody_interferes(self, data: st.DataObject) -> None:
        release = data.draw(st.sampled_from([r.id for r in self.board.table(Release)]))
        happened = data.draw(
            st.sampled_from(
                [
                    e.ReleaseWithdrawn(release=release, reason=""),
                    e.EnvironmentLocked(environment="staging", reason="disk"),
                    e.EnvironmentLocked(environment="prod", reason="audit"),
                    e.EnvironmentUnlocked(environment="staging"),
                    e.EnvironmentUnlocked(environment="prod"),
                    e.FreezeSet(until=None, reason="sale"),
                    e.FreezeLifted(),
                    e.FreezeLifted(),
                ]
            )
        )
        self.board.record(ADMIN, happened)

    @precondition(lambda self: self.active())
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.active()), label="run")
        self.decide(run.number)

    def decide(self, number: int) -> None:
        """The loop looks at a run once, unless it is at work on it."""
        if self.begun.get(number):
            return
        before = self.board.run(number)
        move = self.runs.decision(number)
        if move is None:
            return
        self.begun[number] = [(move.step, place) for place in move.places]
        assert move.places, "a step on no host would never end"
        assert not before.question or before.aborting
        if any(not place.resume for place in move.places):
            self.alone(self.board.run(number), began=bool(before.steps))

    def alone(self, run: Run, *, began: bool) -> None:
        """A run that begins a step is the only one at work on what it touches."""
        for other in self.active():
            shared = other.environment == run.environment or set(other.machines) & set(run.machines)
            if other.number != run.number and shared and other.holds and run.holds:
                assert not other.steps, (run.number, other.number)
        if not began:
            assert self.board.environment(run.environment).locked is None

    @precondition(lambda self: any(self.begun.values()))
    @rule(data=st.data(), result=st.sampled_from(["ok", "ok", "ok", "ok", "failed", "errored"]))
    def a_host_is_done(self, data: st.DataObject, result: str) -> None:
        at_work = [(number, index) for number, left in self.begun.items() for index in range(len(left))]
        number, index = data.draw(st.sampled_from(at_work), label="run and host")
        self.end(number, index, result)

    @precondition(lambda self: self.active())
    @rule(data=st.data(), steps=st.integers(1, 25), trouble=TROUBLE)
    def goes_on_for_long(self, data: st.DataObject, steps: int, trouble: str) -> None:
        """A run goes on for some steps, in which all is well, or one host fails and that is answered so."""
        self.go_well(data.draw(st.sampled_from(self.active()), label="run").number, steps, trouble)

    def go_well(self, number: int, steps: int = 100, trouble: str = "") -> None:
        for _ in range(steps):
            run = self.board.run(number)
            while self.begun.get(number):
                step = self.begun[number][0][0]
                fails = bool(trouble) and step.phase == "deploy" and not run.forgiven
                self.end(number, 0, "failed" if fails else "ok")
            if run.question and not run.aborting:
                choices = run.question.choices
                self.runs.decide(number, trouble if trouble in choices else choices[0], by=ADMIN)
            if self.board.run(number).active:
                self.decide(number)

    def end(self, number: int, index: int, result: str) -> None:
        """One attempt ends, or leaves to wait for a person."""
        step, place = self.begun[number].pop(index)
        run = self.board.run(number)
        if run.aborting == "now":
            result = "aborted"
        elif isinstance(step.step, Manual):
            answer = run.answers.get(step.number)
            if answer is not None and answer.choice in ("done", "failed"):
                result = {"done": "ok"}.get(answer.choice, "failed")
            elif run.aborting:
                result = "aborted"
            else:
                self.ask(run, step, ("done", "failed"))
                return
        elif result == "errored" and run.kind == "promotion" and step.phase == "deploy" and run.question is None:
            self.ask(run, step, ("wait", "stop"))
            return
        self.board.record(
            "quarterdeck",
            e.StepFinished(
                run=number,
                step=step.number,
                host=place.host or None,
                attempt=place.attempt,
                outcome=outcome_in(step.phase, result),
                exit=None,
                seconds=0.0,
                log="",
            ),
        )

    def ask(self, run: Run, step: Planned, choices: tuple[str, ...]) -> None:
        if run.question is None:
            pause(self.board, run, step.number, "It needs you.", choices, "admins")

    @precondition(lambda self: any(run.question for run in self.active()))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run for run in self.active() if run.question]))
        assert run.question
        choice = data.draw(st.sampled_from([*run.question.choices, "nonsense"]))
        told = self.attempt(lambda: self.runs.decide(run.number, choice, by=ADMIN, question=run.question.number))
        assert told is (choice != "nonsense")
        again = self.attempt(lambda: self.runs.decide(run.number, choice, by=OTHER, question=run.question.number))
        assert not again, "a second press of the same button"

    @precondition(lambda self: self.active())
    @rule(data=st.data(), now=st.booleans())
    def abort(self, data: st.DataObject, now: bool) -> None:
        run = data.draw(st.sampled_from(self.active()))
        self.attempt(lambda: self.runs.abort(run.number, by=ADMIN, now=now))

    @rule(kind=st.sampled_from(["killed", "power cut", "stopped"]))
    def crash(self, kind: str) -> None:
        kept = dict(self.board.documents)
        if kind == "stopped":
            self.board.close()
        else:
            self.board.ledger.close()
        if kind == "power cut":
            with (self.folder / "ledger.jsonl").open("ab") as file:
                file.write(b'{"seq":')
        self.begun.clear()
        self.wake_up()
        assert self.board.documents == kept

    @invariant()
    def a_verdict_is_what_the_steps_came_to(self) -> None:
        for run in self.board.table(Run):
            outcomes = [host.outcome for record in run.steps.values() for host in record.hosts.values()]
            if run.verdict == "passed":
                assert {record.outcome for record in run.steps.values()} <= {"ok", "skipped"}
                assert len(run.steps) == len(PLANS[run.kind].steps)
            if run.verdict == "failed":
                assert "failed" in outcomes or run.forgiven
            if run.verdict == "aborted" and run.number not in self.ended_early:
                assert "failed" not in outcomes
                assert not run.forgiven
                assert run.aborting

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        self.everything_comes_to_an_end()
        self.the_ledger_says_it_all()
        for run in self.board.table(Run):
            event(f"{run.kind} {run.verdict}")
        self.board.ledger.close()
        shutil.rmtree(self.folder)

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
                if run.question and not run.aborting:
                    self.runs.decide(run.number, run.question.choices[0], by=ADMIN)
                if self.board.run(run.number).active:
                    self.decide(run.number)
        assert not self.active(), "a run is stuck"
        for run in self.board.table(Run):
            if run.number not in self.ended_early:
                hosts = [host for record in run.steps.values() for host in record.hosts.values()]
                assert all(host.outcome for host in hosts), "a step that began has no end"

    def the_ledger_says_it_all(self) -> None:
        """The documents are the fold of the ledger, and the ledger is in order."""
        anew = Path(tempfile.mkdtemp())
        shutil.copy(self.folder / "ledger.jsonl", anew)
        board = Board(Ledger.open(anew))
        assert board.documents == self.board.documents
        board.ledger.close()
        shutil.rmtree(anew)


SHORT = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
TestProcess = Process.TestCase
TestProcess.settings = settings(max_examples=120, phases=SHORT, stateful_step_count=60, deadline=None)
