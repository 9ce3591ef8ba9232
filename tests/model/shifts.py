"""What machines and the loop do, one decision and one host at a time: steps begin, end and are lost."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from office import ADMIN, OTHER
from premises import Premises, by_table

from bot.attempt import pause
from plans import events as e
from plans import rule_events as r
from plans.checks import ManualCheck
from plans.engine import Place, outcome_in
from plans.phases import Planned
from plans.records import CHECKED, Run
from plans.steps import Manual

TROUBLE = st.sampled_from(["", "retry", "skip", "abort"])


class Shifts(Premises):
    @precondition(lambda self: self.active())
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        self.decide(data.draw(st.sampled_from(self.active()), label="run").number)

    @precondition(lambda self: self.active())
    @rule(data=st.data(), records=st.integers(0, 3))
    def go_on_until_the_power_is_cut(self, data: st.DataObject, records: int) -> None:
        run = data.draw(st.sampled_from(self.active()), label="run")
        self.cut_off(lambda: self.decide(run.number), records)

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
        if result == "ok":
            self.leave_a_trace(run, step)
        self.finish(run, step, place, result)

    def finish(self, run: Run, step: Planned, place: Place, result: str) -> None:
        self.board.record(
            "quarterdeck",
            e.StepFinished(
                run=run.number,
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

    def leave_a_trace(self, run: Run, step: Planned) -> None:
        """What a step that was done writes down, and what it has made of prod."""
        if step.phase == "deploy" and run.kind == "promotion" and step.name == "Tell":
            self.schema += 1
        for event in self.traces(run, step):
            self.board.record("quarterdeck", event)

    def traces(self, run: Run, step: Planned) -> list[Any]:
        app = run.app or "webshop"
        seen = e.FactsCollected(
            run=run.number, environment="prod", digests={"schema web": str(self.schema)}, log="", app=app
        )
        about: dict[str, Any] = {"run": run.number, "host": "web", "brief": "the schema differs"}
        match step.name:
            case "Compare with prod" | "Compare prod" | "Look at prod" | "Write down prod's facts":
                return [seen]
            case "Look for a forgotten change" if not self.hands_off:
                forgotten = r.DifferenceFound(key="schema", fact="schema", kind="qa", **about)
                return [forgotten, r.HandSeen(run=run.number, host="web", what="dba logged in")]
            case "Look again" if run.kind == "rehearsal":
                tried = {"run": run.number, "release": run.release, "check": "Look", "outcome": "ok"}
                return [r.EscapeTried(escape="E-1", **tried)]
        return []

    def ask(self, run: Run, step: Planned, choices: tuple[str, ...]) -> None:
        if all(question.step != step.number for question in run.open):
            pause(self.board, run, step.number, "It needs you.", choices, "admins")

    @rule()
    def somebody_is_on_staging(self) -> None:
        """From now on rehearsals find other hands and forgotten changes there; or not any more."""
        self.hands_off = not self.hands_off

    @precondition(lambda self: any(run.question for run in self.active()))
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from([run for run in self.active() if run.question]))
        asked = data.draw(st.sampled_from(run.open), label="question")
        choice = data.draw(st.sampled_from([*asked.choices, "nonsense"]))
        told = self.attempt(lambda: self.runs.decide(run.number, choice, by=ADMIN, question=asked.number))
        waits = not run.aborting or (run.aborting != "now" and "stop" in asked.choices)
        assert told is (waits and choice != "nonsense")
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
        self.go_down(killed=kind != "stopped", torn=kind == "power cut")
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
