"""The process as a whole, over any sequence of what people, machines and power cuts do to it.

The ledger, the board, the loop's decisions and prod's gates are the real ones; the machines are whatever the test says.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from builders import DIGEST, NOW, handed_off
from hypothesis import Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from office import ADMIN, DEV, MACHINES, OTHER, PLANS, Office, harmless
from witness import Witness

from bot import board as board_module
from bot.attempt import pause
from bot.board import Board
from bot.ledger import Ledger
from bot.telling.backlog import asked_now, in_order
from bot.telling.outbox import Outbox
from plans import events as e
from plans.checks import ManualCheck
from plans.engine import Place, outcome_in
from plans.environment import Policy
from plans.errors import Refusal
from plans.phases import Planned
from plans.records import CHECKED, TABLES, Due, Release, Run
from plans.rule_events import ApprovalRefused
from plans.steps import Manual

TROUBLE = st.sampled_from(["", "retry", "skip", "abort"])
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""No power is cut here, so nothing needs to wait for a disk."""


class Process(RuleBasedStateMachine):
    @initialize(
        rehearsed=st.integers(0, 2),
        promoted=st.integers(0, 2),
        trouble=TROUBLE,
        steps=st.sampled_from([6, 9, 25]),
        approvals=st.sampled_from([0, 0, 1]),
    )
    def begin(self, rehearsed: int, promoted: int, trouble: str, steps: int, approvals: int) -> None:
        """A house that has just opened, or one in which releases were rehearsed, and promoted, and not all well."""
        self.saving = mock.patch.object(board_module, "SAVE_EVERY", 50)
        self.saving.start()
        self.folder = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        self.time = NOW
        self.policy = Policy(watch=("10m",), approvals=approvals)
        self.witness = Witness(self.policy, lambda run: PLANS[run.kind], harmless)
        self.begun: dict[int, list[tuple[Planned, Place]]] = {}
        self.ended_early: set[int] = set()
        self.wake_up()
        self.board.record(ADMIN, e.ConfigLoaded(digest="c", changed=()))
        self.board.record(DEV, handed_off("R-1"))
        self.board.record(DEV, handed_off("R-2", "2.4.2"))
        for number in range(1, rehearsed + 1):
            self.go_well(self.runs.start("rehearsal", by=ADMIN, environment="staging", release=f"R-{number}").number)
        for number in range(1, min(rehearsed, promoted) + 1):
            self.board.record(OTHER, self.approval(f"R-{number}"))
            self.go_well(self.promotions.promote(f"R-{number}", by=ADMIN).number, 25)
        if rehearsed < 2:
            last = self.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-2")
            self.go_well(last.number, steps, trouble)

    def approval(self, release: str, **other: str) -> e.ApprovalGiven:
        """A yes to what would be promoted now, or to something else."""
        now = {"digest": DIGEST, "plans": self.promotions.plans(release)}
        return e.ApprovalGiven(release=release, **(now | other))

    def wake_up(self) -> None:
        """A start of the bot, from the ledger."""
        office = Office(self.folder, self.policy, lambda: self.time)
        self.board, self.runs, self.promotions = office.board, office.runs, office.promotions
        self.heard: list[Any] = []
        self.outbox = Outbox(self.board, self.heard.append)
        self.outbox.listen()
        self.witness.watch(self.board)

    def active(self) -> list[Run]:
        return [run for run in self.board.table(Run) if run.active]

    def attempt(self, what: Callable[[], object]) -> bool:
        """Whether it was not refused, with a code and a sentence."""
        try:
            what()
        except Refusal as refusal:
            return not (refusal.code and refusal.message)
        return True

    def pressed_twice(self, what: Callable[[], object]) -> bool:
        """Whether it was not refused; the second press of the same has no effect of its own."""
        done = self.attempt(what)
        before = self.witness.effects
        self.attempt(what)
        assert self.witness.effects == before
        return done

    @rule(seconds=st.sampled_from([1, 60, 700, 700, 3600, 8 * 86400]))
    def time_passes(self, seconds: int) -> None:
        self.time += timedelta(seconds=seconds)

    @precondition(lambda self: len(list(self.board.table(Release))) < 4)
    @rule()
    def hand_off(self) -> None:
        number = 1 + len(list(self.board.table(Release)))
        self.board.record(DEV, handed_off(f"R-{number}", f"2.4.{number}"))

    @precondition(lambda self: any(self.board.table(Due)))
    @rule(messages=st.integers(1, 12))
    def slack_is_told(self, messages: int) -> None:
        for _ in range(messages):
            self.tell()

    def tell(self) -> None:
        """The next message that the ledger calls for."""
        heard = self.heard.copy()
        self.heard.clear()
        self.outbox.take(heard)
        for post in in_order(self.outbox.posts.values(), asked_now(self.board.table(Run)))[:1]:
            assert not post.under or self.outbox.ts(post.under), "a reply to what is not there"
            self.outbox.told(post, "C01DEPLOYS", f"{self.time.timestamp():.6f}")

    @rule(data=st.data(), kind=st.sampled_from(["rehearsal", "rehearsal", "check", "reset"]))
    def start(self, data: st.DataObject, kind: str) -> None:
        release = data.draw(st.sampled_from([r.id for r in self.board.table(Release)])) if kind == "rehearsal" else None
        environment = "staging" if release else data.draw(st.sampled_from(["staging", "staging-2"]))
        self.pressed_twice(lambda: self.runs.start(kind, by=ADMIN, environment=environment, release=release))

    @rule(data=st.data(), by=st.sampled_from([ADMIN, ADMIN, OTHER, DEV]))
    def promote(self, data: st.DataObject, by: str) -> None:
        release = data.draw(st.sampled_from([release.id for release in self.board.table(Release)]))
        self.pressed_twice(lambda: self.promotions.promote(release, by=by))

    @rule(data=st.data(), minutes=st.sampled_from([0, 5, 600]))
    def promote_later(self, data: st.DataObject, minutes: int) -> None:
        release = data.draw(st.sampled_from([release.id for release in self.board.table(Release)]))
        at = self.time + timedelta(minutes=minutes)
        self.attempt(lambda: self.promotions.schedule(release, at, by=data.draw(st.sampled_from([ADMIN, OTHER]))))

    @precondition(lambda self: any(release.scheduled for release in self.board.table(Release)))
    @rule(data=st.data(), taken_back=st.booleans())
    def it_is_due(self, data: st.DataObject, taken_back: bool) -> None:
        release = data.draw(st.sampled_from([one.id for one in self.board.table(Release) if one.scheduled]))
        if taken_back:
            self.pressed_twice(lambda: self.promotions.unschedule(release, by=ADMIN, reason="not tonight"))
        else:
            self.promotions.due(release)

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        release = data.draw(st.sampled_from(list(self.board.table(Release))))
        watched = {run.number for run in self.active() if run.phase == "watch"}
        begun = self.attempt(lambda: self.promotions.rollback(release.id, by=ADMIN))
        ended = {number for number in watched if not self.board.run(number).active}
        assert begun or not ended, "a rollback that was refused has ended a watch"
        self.ended_early |= ended

    @rule(data=st.data(), by=st.sampled_from([ADMIN, OTHER]))
    def promote_against_what_is_said(self, data: st.DataObject, by: str) -> None:
        """Somebody says something, and what was rehearsed, if anything was, is promoted at once nevertheless."""
        releases = list(self.board.table(Release))
        release = data.draw(st.sampled_from([r.id for r in releases if r.rehearsal] or [r.id for r in releases]))
        said, taken_back = data.draw(
            st.sampled_from(
                [
                    (e.FreezeSet(until=None, reason="sale"), e.FreezeLifted()),
                    (
                        e.EnvironmentLocked(environment="prod", reason="audit"),
                        e.EnvironmentUnlocked(environment="prod"),
                    ),
                    (self.approval(release), None),
                    (self.approval(release, digest="e" * 64), None),
                    (self.approval(release, plans="before"), None),
                    (ApprovalRefused(release=release, reason="not today"), None),
                ]
            )
        )
        self.board.record(by, said)
        self.pressed_twice(lambda: self.promotions.promote(release, by=by))
        if taken_back:
            self.board.record(ADMIN, taken_back)

    @rule(data=st.data(), by=st.sampled_from([ADMIN, OTHER]))
    def somebody_interferes(self, data: st.DataObject, by: str) -> None:
        release = data.draw(st.sampled_from([r.id for r in self.board.table(Release)]))
        happened = data.draw(
            st.sampled_from(
                [
                    e.ReleaseWithdrawn(release=release, reason=""),
                    e.ReleaseDefective(release=release, reason="it loses orders"),
                    self.approval(release),
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
        self.board.record(by, happened)

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
        assert not before.open or before.aborting or move.step.by_hand
        assert not {question.step for question in before.open} & {move.step.number} or before.aborting
        if not before.begun:
            assert self.board.environment(before.environment).locked is None

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
                choices, asked = run.question.choices, run.question.number
                self.runs.decide(number, trouble if trouble in choices else choices[0], by=ADMIN, question=asked)
            if self.board.run(number).active:
                self.decide(number)

    def end(self, number: int, index: int, result: str) -> None:
        """One attempt ends, or leaves to wait for a person."""
        step, place = self.begun[number].pop(index)
        run = self.board.run(number)
        if not run.active:
            return
        if run.aborting == "now":
            result = "aborted"
        elif isinstance(step.step, Manual | ManualCheck):
            choices = CHECKED if step.by_hand else ("done", "failed")
            answer = run.answers.get(step.number)
            if answer is not None and answer.choice in choices:
                result = "ok" if answer.choice == choices[0] else "failed"
            elif run.aborting:
                result = "aborted"
            else:
                self.ask(run, step, choices)
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
                interrupted=place.resume and result == "errored",
            ),
        )

    def ask(self, run: Run, step: Planned, choices: tuple[str, ...]) -> None:
        if all(question.step != step.number for question in run.open):
            pause(self.board, run, step.number, "It needs you.", choices, "admins")

    @precondition(lambda self: any(run.question for run in self.active()))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run for run in self.active() if run.question]))
        asked = data.draw(st.sampled_from(run.open), label="question")
        choice = data.draw(st.sampled_from([*asked.choices, "nonsense"]))
        told = self.attempt(lambda: self.runs.decide(run.number, choice, by=ADMIN, question=asked.number))
        assert told is (choice != "nonsense")
        again = self.attempt(lambda: self.runs.decide(run.number, choice, by=OTHER, question=asked.number))
        assert not again, "a second press of the same button"

    @precondition(lambda self: self.active())
    @rule(data=st.data(), now=st.booleans())
    def abort(self, data: st.DataObject, now: bool) -> None:
        run = data.draw(st.sampled_from(self.active()))
        self.pressed_twice(lambda: self.runs.abort(run.number, by=ADMIN, now=now))

    @rule(kind=st.sampled_from(["killed", "power cut", "stopped"]))
    def crash(self, kind: str) -> None:
        kept = by_table(self.board)
        if kind == "stopped":
            self.board.close()
        else:
            self.board.ledger.close()
            for thread in threading.enumerate():
                if thread.name == "read-model":  # which would have been killed too
                    thread.join()
        if kind == "power cut":
            with (self.folder / "ledger.jsonl").open("ab") as file:
                file.write(b'{"seq":')
        self.begun.clear()
        self.wake_up()
        assert by_table(self.board) == kept

    @precondition(lambda self: any(self.begun.values()))
    @rule()
    def crash_and_lose_what_ran(self) -> None:
        """Killed while steps were under way, of which nobody can tell afterwards how they ended."""
        lost = [number for number, left in self.begun.items() if left]
        self.crash("killed")
        for number in lost:
            self.decide(number)
            while self.begun.get(number):
                self.end(number, 0, "errored")
            self.decide(number)

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
        self.everything_is_told()
        self.the_ledger_says_it_all()
        for run in self.board.table(Run):
            event(f"{run.kind} {run.verdict}")
        self.board.close()
        self.saving.stop()
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
                for question in () if run.aborting else run.open:
                    self.runs.decide(run.number, question.choices[0], by=ADMIN, question=question.number)
                if self.board.run(run.number).active:
                    self.decide(run.number)
        assert not self.active(), "a run is stuck"
        for run in self.board.table(Run):
            if run.number not in self.ended_early:
                hosts = [host for record in run.steps.values() for host in record.hosts.values()]
                assert all(host.outcome for host in hosts), "a step that began has no end"

    def everything_is_told(self) -> None:
        due = sum(1 for _ in self.board.table(Due))
        for _ in range(due):
            self.tell()
        assert not list(self.board.table(Due))

    def the_ledger_says_it_all(self) -> None:
        """The documents are the fold of the ledger, and the ledger is in order."""
        anew = Path(tempfile.mkdtemp(dir=IN_MEMORY))
        shutil.copy(self.folder / "ledger.jsonl", anew)
        board = Board(Ledger.open(anew))
        assert by_table(board) == by_table(self.board)
        board.ledger.close()
        shutil.rmtree(anew)


def by_table(board: Board) -> dict[str, list[tuple[str, Any]]]:
    """The documents of each table, oldest first."""
    return {table: [(key[1], one) for key, one in board.documents.items() if key[0] == table] for table in TABLES}


WHOLE = os.environ.get("QUARTERDECK_FAULTS") == "all"
SHORT = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
TestProcess = Process.TestCase
TestProcess.settings = settings(max_examples=2000 if WHOLE else 80, phases=SHORT, stateful_step_count=60, deadline=None)
