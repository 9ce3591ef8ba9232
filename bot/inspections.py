"""Touches the ledger to open the look at a failed staging after its verdict, and to close it when a run begins."""

from bot.board import Board
from bot.config import Settings
from bot.ledger import stamp
from plans.inspections import closes
from plans.quantities import seconds
from plans.records import EnvironmentState, Run
from plans.rule_events import InspectionClosed, InspectionOpened
from plans.rule_records import Inspection


def inspection(board: Board, environment: str) -> Inspection | None:
    """The one that is open there."""
    found = board.documents.get(("inspections", environment))
    return found if isinstance(found, Inspection) else None


def open_inspection(board: Board, settings: Settings, number: int) -> None:
    """Opens it where that run is a rehearsal that failed and nothing has begun there since; once."""
    with board.deciding:
        run = board.run(number)
        if board.environment(run.environment).inspection != number or inspection(board, run.environment):
            return
        policy = settings.policy
        until = closes(run.finished, seconds(policy.inspection), policy.office_hours, settings.timezone)
        event = InspectionOpened(run=number, environment=run.environment, until=stamp(until))
        board.record("quarterdeck", event)


def close_inspections(board: Board, run: Run) -> None:
    """Closes what is open on the environment where a run begins, or on another one that has a machine of it."""
    over = run.kind == "reset" and run.by == "quarterdeck"
    why = "its time was over" if over else f"run {run.number} ({run.kind}) begins there"
    with board.deciding:
        for opened in board.table(Inspection):
            theirs = board.run(opened.run).machines
            if opened.environment == run.environment or set(theirs) & set(run.machines):
                event = InspectionClosed(run=opened.run, environment=opened.environment, why=why)
                board.record("quarterdeck", event)


def mend_inspections(board: Board, settings: Settings) -> None:
    """After a start: what was to be opened or closed when the last process ended."""
    with board.deciding:
        for opened in board.table(Inspection):
            if board.environment(opened.environment).inspection != opened.run:
                event = InspectionClosed(run=opened.run, environment=opened.environment, why="a run began there")
                board.record("quarterdeck", event)
        for state in board.table(EnvironmentState):
            if state.inspection is not None:
                open_inspection(board, settings, state.inspection)
