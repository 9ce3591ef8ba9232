"""Decides how a run's manual checks are told: as one list, to whom one is assigned, and who is reminded of them."""

from collections.abc import Callable, Iterable, Mapping

from bot.line.blocks import (
    EDITABLE,
    Block,
    Message,
    actions,
    button,
    context,
    counted,
    cut,
    fitting,
    line,
    mentions,
    moment,
    person,
    quoted,
    section,
)
from plans.records import Answered, Question, Run

_SAID = {"pass": "✓", "fail": "✕"}


def checks_reply(run: Run, listed: Iterable[Question], *, asked: Iterable[str], assigned: Mapping[int, str]) -> Message:
    """The manual checks that one role makes, each with its buttons, or with its answer.

    `asked`: users and groups to call; `assigned`: who is to make a check, by the number of its step.
    """
    checks = list(listed)
    answers = {answer.question: answer for answer in run.answered}
    open_ = [check for check in checks if check in run.open]
    head = f"{counted(len(checks), 'manual check')}: {_counts(checks, answers, len(open_))}"
    if open_:
        head = f"{mentions(asked) or f'the {line(checks[0].role)}'}: run {run.number} waits for you. {head}"
    blocks: list[Block] = [section(head)]
    rows = []
    for check in open_:
        row = f"{_name(run, check)}{_whose(check, assigned)}, open since {moment(check.at)}"
        rows.append(f"{row}\n{quoted(check.why, 500)}")
        blocks += [section(rows[-1]), *actions(*(_button(run, check, choice) for choice in check.choices))]
    for check in checks:
        if check not in open_:
            rows.append(_ended(run, check, answers.get(check.number)))
            blocks.append(section(rows[-1]))
    if open_:
        rows.append(_typed(run, open_[0]))
        blocks.insert(1, context(rows[-1]))
    return Message(cut("\n".join((head, *rows)), EDITABLE), fitting(blocks))


def assigned_reply(run: Run, step: int, to: str, by: str) -> Message:
    """Somebody is to make a manual check of a run."""
    asked = [question for question in run.questions if question.step == step][-1]
    said = f"{person(to)}: {person(by)} asks you to make the check {_name(run, asked)} of run {run.number}"
    return Message(f"{said}\n{quoted(asked.why)}", (section(f"{said}\n{quoted(asked.why)}"),))


def reminder_reply(run: Run, audience: Callable[[str], Iterable[str]], assigned: Mapping[int, str]) -> Message:
    """A run still waits for its answers: who is to give each is called again."""
    people = dict.fromkeys(
        who
        for asked in run.open
        for who in ((assigned[asked.step],) if asked.step in assigned else audience(asked.role))
    )
    said = f"{mentions(people)}: run {run.number} still waits for {counted(len(run.open), 'answer')}".removeprefix(": ")
    rows = [f"• {_name(run, asked)}{_whose(asked, assigned)}, since {moment(asked.at)}" for asked in run.open]
    text = "\n".join((said, *rows, _typed(run, run.open[0])))
    return Message(
        cut(text, EDITABLE), fitting((section(said), section("\n".join(rows)), context(_typed(run, run.open[0]))))
    )


def _counts(checks: list[Question], answers: Mapping[int, Answered], left: int) -> str:
    choices = [answers[check.number].choice for check in checks if check.number in answers]
    counts = (("passed", choices.count("pass")), ("failed", choices.count("fail")), ("open", left))
    gone = len(checks) - len(choices) - left
    return ", ".join(f"{count} {word}" for word, count in (*counts, ("not asked any more", gone)) if count)


def _name(run: Run, asked: Question) -> str:
    step = run.steps.get(asked.step)
    return f"*{asked.number}* “{line(step.name, 120)}”" if step else f"*{asked.number}*"


def _whose(asked: Question, assigned: Mapping[int, str]) -> str:
    return f", for {person(assigned[asked.step])}" if asked.step in assigned else ""


def _ended(run: Run, check: Question, answer: Answered | None) -> str:
    if answer is None:
        return f"– {_name(run, check)}: not asked any more"
    said = f"{_SAID[answer.choice]} {_name(run, check)}: {answer.choice} by {person(answer.by)} {moment(answer.at)}"
    return said + (f"\n{quoted(answer.note, 400)}" if answer.note.strip() else "")


def _typed(run: Run, first: Question) -> str:
    answer = f"`/stage answer {run.number}/{first.number} {first.choices[0]} NOTE`"
    give = f"`/stage assign {run.number} {first.number} @NAME`"
    return f"In any order, with the buttons or by typing {answer}. To give one to somebody: {give}"


def _button(run: Run, check: Question, choice: str) -> Block:
    style = "danger" if choice == "fail" else "primary"
    return button(choice.capitalize(), f"answer:{choice}", f"{run.number}/{check.number}", style=style)
