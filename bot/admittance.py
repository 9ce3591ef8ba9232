"""Touches roles and machines to see, when a run is entered, whether it may go on: whose, where and by which plan."""

from bot.board import Board
from bot.material import Materials
from bot.roles import Roles
from plans.errors import Refusal
from plans.events import AccessDenied
from plans.phases import Plan
from plans.records import Run
from vmops.perform import Performer


class Admittance:
    """Each look raises Refusal where the run may not go on; what it was let in with once is not looked up again."""

    def __init__(self, board: Board, materials: Materials, performer: Performer, roles: Roles) -> None:
        self._board = board
        self._materials = materials
        self._performer = performer
        self._roles = roles
        self._recognised: set[int] = set()

    def knows(self, number: int) -> None:
        """The run's machines were looked up by this very process."""
        self._recognised.add(number)

    def admit(self, number: int) -> None:
        """Refusal `not_admin`, `another_machine`, or `roles_unknown` and `machine_unknown` where that may change."""
        self._refuse_stranger(number)
        self._recognise(number)

    def plan(self, run: Run) -> Plan:
        """The run's plan, made anew; what has begun goes on by the plan that it began with or not at all.

        Refusal `plans_changed` where somebody changed what it is made of, `plan_moved` where its steps are not those
        that they were: done by their numbers, one might be done twice and another never.
        """
        if self._materials.digest(run) != run.plans:
            raise Refusal(
                "plans_changed",
                "the package, the test plan, the environment or the policy was changed while this run was under way",
            )
        plan = self._materials.plan(run)
        if run.steps and run.outline not in ("", plan.outline):
            raise Refusal(
                "plan_moved",
                "its steps are not those that it began with (was Quarterdeck itself replaced meanwhile?): "
                "no step more was begun",
            )
        return plan

    def _refuse_stranger(self, number: int) -> None:
        """The role once more, when the work starts: who lost it since does not get it done."""
        run = self._board.run(number)
        if run.begun or run.aborting or run.by == "quarterdeck" or self._roles.allowed(run.by, "admins"):
            return
        self._board.record(run.by, AccessDenied(command=f"{run.kind} {run.environment}", role="admins"))
        raise Refusal("not_admin", f"<@{run.by}> was no admin any more when the work was to start")

    def _recognise(self, number: int) -> None:
        """After a start of the bot a run goes on with the machines that it holds, or not at all.

        What goes back, or is being stopped, does not wait for a vCenter that tells nothing.
        """
        run = self._board.run(number)
        if number in self._recognised or not run.active:
            return
        try:
            self._materials.recognise(run, self.plan(run).steps if run.steps else (), self._performer)
        except Refusal as refusal:
            if refusal.code != "machine_unknown" or not (run.aborting or run.kind == "rollback"):
                raise
        self._recognised.add(number)
