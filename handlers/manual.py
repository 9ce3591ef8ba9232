"""Touches the manual checks of a run, for `/stage`: who is to make which."""

from bot.line.blocks import line, person
from handlers import blocks
from handlers.deck import Answer, Asked, Deck, Verb
from handlers.words import Form, Request
from plans.errors import Refusal
from plans.records import CHECKED, Question, Run
from plans.rule_events import CheckAssigned
from plans.rule_records import Assigned


def _assign(deck: Deck, asked: Asked) -> Answer:
    request, board = asked.request, deck.board
    meant = _meant(board.run(request.run or 0), request.name)
    if not deck.roles.allowed(request.person, meant.role):
        message = f"<@{request.person}> is none of the {meant.role}, and that check is theirs: nothing was assigned."
        hint = f"An assignment gives no role: name one of them, or an admin lists that person under roles.{meant.role}."
        raise Refusal("not_in_role", message, hint)
    with board.deciding:
        run = board.run(request.run or 0)
        check = _meant(run, str(meant.number))
        known = [one.to for one in board.table(Assigned) if (one.run, one.step) == (run.number, check.step)]
        if known == [request.person]:
            message = f"That check of run {run.number} is for <@{request.person}> already."
            raise Refusal("already_assigned", message, "There is nothing more to do.")
        board.record(asked.by, CheckAssigned(run=run.number, step=check.step, to=request.person))
    name = line(_name(run, check))
    return blocks.said(f"{person(request.person)} is asked to make “{name}” of run {run.number}.")


def _meant(run: Run, named: str) -> Question:
    """The open check of that number or name. Raises Refusal."""
    checks = [question for question in run.open if question.choices == CHECKED]
    found = [q for q in checks if named.casefold() in (str(q.number), _name(run, q).casefold())]
    if len(found) == 1:
        return found[0]
    listed = "; ".join(f"{q.number} “{_name(run, q)}”" for q in checks) or "none"
    hint = f"Open are: {listed}. Type: /stage assign {run.number} NUMBER @NAME"
    if found:
        raise Refusal("which_check", f"Run {run.number} has {len(found)} open checks called “{named}”.", hint)
    raise Refusal("no_check", f"Run {run.number} has no open manual check “{named}”.", hint)


def _name(run: Run, question: Question) -> str:
    return run.steps[question.step].name


def _assigner(deck: Deck, user: str, request: Request) -> str:
    """Testers and admins alike."""
    return "testers" if deck.roles.allowed(user, "testers") else "admins"


VERBS = (
    Verb(
        Form("assign", ("run", "check", "person"), "/stage assign RUN CHECK @NAME"),
        'Asks one person to make an open manual check, by its number or name. `/stage assign 3 "The order list" @tess`',
        _assigner,
        _assign,
    ),
)
