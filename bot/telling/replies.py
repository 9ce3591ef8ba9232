"""Decides how the replies in a run's thread look: a phase, a step, a question, a mark of the watch, the end."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from bot.line.blocks import (
    EDITABLE,
    Block,
    Message,
    actions,
    button,
    clean,
    confirmation,
    context,
    counted,
    cut,
    escape,
    fenced,
    fitting,
    flat,
    line,
    listed,
    mentions,
    moment,
    person,
    preformatted,
    quoted,
    section,
)
from bot.outlook import answering, label, next_sentence
from bot.telling.cards import PHASES, emphasised, span, title, uncapitalised, verdict
from bot.telling.ways_back import buttons, choices, roll_back, still, stranded
from plans.engine import RESTARTS
from plans.phases import Planned
from plans.quantities import spell
from plans.records import CHANGE_PROD, Answered, HostStep, Question, Release, Run, StepRecord
from plans.restore_tests import Trend, age, took
from plans.reverting import Ways

LATE = 60.0
"""Seconds by which a mark of the watch may come late without a word."""

_MARKS = {"ok": "✓", "skipped": "–"}
_LINES = {"ok": (3, 400), "skipped": (3, 400)}
_LINES_OF_TROUBLE = (20, 1500)
_HOSTS_SHOWN = 12
_TAILS_SHOWN = 3


def tail(output: str, outcome: str) -> str:
    """The end of a step's output that is worth a look: more of it where the step went wrong."""
    most_lines, most = _LINES.get(outcome, _LINES_OF_TROUBLE)
    lines = clean(output).rstrip().splitlines()[-most_lines:]
    text = "\n".join(lines)
    return text if len(text) <= most else "…" + text[1 - most :]


def phase_reply(run: Run, phase: str, last: int) -> Message:
    """The machinery's own steps of a phase have ended; `last` is the number of the last of them."""
    steps = _own(run, phase, last)
    bad = [step for step in steps if step.outcome not in ("ok", "skipped")]
    outcome = bad[0].outcome or "interrupted" if bad else "ok"
    name, took = PHASES.get(phase, phase), spell(span(steps))
    proof = f", isolation {run.isolation}" if run.isolation and phase in ("power_on", "confirm") else ""
    rows = [_step_row(step) for step in steps[-20:]]
    whys = [why for step in steps if (why := _why(step))][:_TAILS_SHOWN]
    head = f"{_mark(outcome)} *{name}*: {outcome}{proof} · {counted(len(steps), 'step')}, {took}"
    text = f"{name}: {outcome}{proof}, {counted(len(steps), 'step')}, {took}." + "".join(
        f" {_trouble(step)}" for step in bad
    )
    blocks = (section(head), context("\n".join(rows)), *(preformatted(why) for why in whys))
    return Message("\n".join([text, *(fenced(why) for why in whys)]), fitting(blocks))


def _own(run: Run, phase: str, last: int) -> list[StepRecord]:
    """The phase's own steps up to that one; a phase that the run came back to begins anew."""
    steps = [step for step in run.steps.values() if step.number <= last]
    begin = max((step.number for step in steps if step.phase != phase), default=0)
    own = (step for step in steps if step.number > begin and not step.written)
    return sorted(own, key=lambda step: step.number)


def _why(step: StepRecord) -> str:
    """Why it is not ok on its hosts, where that takes more than a word: which side has what, say."""
    reasons = dict.fromkeys(host.reason for host in step.hosts.values() if "\n" in host.reason)
    return clean("\n".join(reasons))[: _LINES_OF_TROUBLE[1] + 500]


def _step_row(step: StepRecord) -> str:
    where = listed(step.hosts)
    words = f"{step.outcome or 'interrupted'}, {spell(span([step]))}"
    return f"{_mark(step.outcome)} {line(step.name, 80)}" + (f" on {escape(where)}" if where else "") + f": {words}"


def restart_reply(run: Run, count: int) -> Message:
    """A run of staging starts over by itself; `count` says for which time."""
    why = line(run.restarts[count - 1], 900)
    back = "its own snapshot" if run.own else "what it began with"
    said = f"Run {run.number} starts over by itself, from {back} ({count} of {RESTARTS}): {why}. Nothing is to be done."
    return Message(said, (section(f"↻ {said}"),))


def step_reply(run: Run, number: int, tails: Mapping[str, str]) -> Message:
    """A written step or check has ended on all its hosts. `tails`: the end of its output, by host."""
    step = run.steps[number]
    outcome, took = step.outcome, spell(span([step]))
    again = f", attempt {step.attempt}" if step.attempt > 1 else ""
    where = listed(step.hosts)
    head = f"{_mark(outcome)} *{line(step.name, 120)}*: {outcome} · {took}{again}"
    head += f" · {escape(where)}" if where else ""
    ages = [one.artifact_age for one in run.restores if one.name == step.name and one.artifact_age is not None]
    restored = f" · data {spell(max(ages))} old" if ages and outcome == "ok" else ""
    head += restored
    bad = {name: host for name, host in step.hosts.items() if host.outcome not in ("ok", "skipped")}
    detail = [_host_row(name, host) for name, host in list(bad.items())[:_HOSTS_SHOWN]]
    if len(bad) > _HOSTS_SHOWN:
        detail.append(f"and on {len(bad) - _HOSTS_SHOWN} hosts more")
    shown = [name for name in (bad or step.hosts) if tails.get(name)][: _TAILS_SHOWN if bad else 1]
    text = f"Run {run.number}, “{line(step.name, 120)}”: {outcome}, {took}{again}" + (
        f", on {escape(where)}{restored}." if where else "."
    )
    blocks: list[Block] = [section("\n".join([head, *detail]))]
    for name in shown:
        if len(step.hosts) > 1:
            blocks.append(context(f"Output on {line(name)}"))
        blocks.append(preformatted(tails[name]))
    return Message("\n".join([text, *detail, *(fenced(tails[name]) for name in shown)]), fitting(blocks))


def _host_row(name: str, host: HostStep) -> str:
    code = f" (exit {host.exit})" if host.exit and str(host.exit) not in host.reason else ""
    first = host.reason.partition("\n")[0]
    why = f": {line(first, 300)}" if first else ""
    return f"{host.outcome}{f' on {line(name)}' if name else ''}{code}{why}"


def _trouble(step: StepRecord) -> str:
    name = line(step.name, 80)
    return f"“{name}” " + "; ".join(
        _host_row(host, one) for host, one in list(step.hosts.items())[:_HOSTS_SHOWN] if one.outcome not in ("ok", "")
    )


def _mark(outcome: str) -> str:
    return _MARKS.get(outcome, "✕")


def question_reply(run: Run, number: int, *, asked: Iterable[str]) -> Message:
    """What a run asks, of whom (`asked`: users and groups to call), with a button a choice; once answered, by whom."""
    question = next(one for one in run.questions if one.number == number)
    step = run.steps.get(question.step)
    about = f"“{line(step.name, 120)}”" if step else "this run"
    about += f" on {line(question.host)}" if question.host else ""
    answer = next((one for one in run.answered if one.question == number), None)
    if answer is not None:
        return _answered(run, question, about, answer)
    if question not in run.open:
        said = f"Run {run.number} does not ask about {about} any more."
        return Message(said, (section(f"{said}\n{quoted(question.why)}"),))
    typed = f"`{answering(run, question)}`"
    words = ", ".join(label(choice) for choice in question.choices)
    called = mentions(asked) or f"the {line(question.role)}"
    said = f"{called}: run {run.number} waits for your answer about {about}"
    buttons = [_choice(run, question, choice) for choice in question.choices]
    price = _price(run, question)
    blocks = (
        section(f"{said}\n{quoted(question.why)}"),
        *((section(price),) if price else ()),
        *actions(*buttons),
        context(f"Or type {typed}, with a note after it where you have one"),
    )
    text = f"{said}\n{quoted(question.why)}\n{price and f'{price} '}Answer {words}: press a button or type {typed}."
    return Message(cut(text, EDITABLE), blocks)


def _price(run: Run, question: Question) -> str:
    """What the choices cost that keep a rehearsal going and take its worth away, for who types the answer, too."""
    dear = [label(choice) for choice in question.choices if _uncounted(run, question, choice)]
    if not dear:
        return ""
    said = f"After *{' or '.join(dear)}* the rehearsal goes on, but it does not count:"
    return f"{said} {run.release} may not be promoted on it (`rehearsal_not_clean`)."


def _uncounted(run: Run, question: Question, choice: str) -> bool:
    """Whether a rehearsal is not clean after that choice."""
    step = run.steps.get(question.step)
    again = choice == "retry" and step is not None and any(host.outcome == "failed" for host in step.hosts.values())
    return run.kind == "rehearsal" and (again or choice in ("skip", "done_with_help"))


def _answered(run: Run, question: Question, about: str, answer: Answered) -> Message:
    said = f"{person(answer.by)} answered *{label(answer.choice)}* about {about} {moment(answer.at)}"
    note = f"\n{quoted(answer.note, 600)}" if answer.note.strip() else ""
    return Message(f"Run {run.number}: {said}{note}", (section(f"{said}{note}"), context(line(question.why, 600))))


def _choice(run: Run, question: Question, choice: str) -> Block:
    expected = choice == question.choices[0]
    cost = _cost(run, question, choice)
    harsh = choice in ("abort", "skip", "stop")
    ask = None
    if cost:
        words = label(choice)
        ask = confirmation(f"{words.capitalize()}?", cost, words.capitalize(), "Go back", danger=harsh)
    style = "danger" if harsh else "primary" if expected else ""
    return button(
        label(choice).capitalize(), f"answer:{choice}", f"{run.number}/{question.number}", style=style, confirm=ask
    )


def _cost(run: Run, question: Question, choice: str) -> str:
    """What a choice costs, in plain text; empty where it costs nothing."""
    step = run.steps.get(question.step)
    if _uncounted(run, question, choice):
        return f"{run.release} could then not be promoted: rehearsal_not_clean."
    if choice == "skip":
        return f"The step is left out on {run.environment}, and the run goes on without it."
    if choice == "abort":
        left = f" {run.environment} stays as it is now." if run.kind in CHANGE_PROD else ""
        ends = f"as {step.outcome}" if step is not None and step.outcome else "here"
        return f"Run {run.number} ends {ends}.{left}"
    if choice == "stop":
        return f"The command is stopped on {run.environment} wherever it is now."
    return ""


def mark_reply(run: Run, mark: str) -> Message:
    """What the watch saw at one of its marks."""
    ok = run.marks[mark]
    watched = [run.steps[number] for number in sorted(run.steps) if run.steps[number].phase == "watch"]
    last = max(
        (i for i, step in enumerate(watched) if not step.written and flat(step.name) == f"Mark {mark}"), default=0
    )
    checks: list[StepRecord] = []
    for step in reversed(watched[:last]):
        if not step.written:
            break
        checks.insert(0, step)
    word = "ok" if ok else "failed"
    late = run.late.get(mark, 0.0)
    why = f" ({spell(late)} late: Quarterdeck was off, or its clock was wrong)" if late >= LATE else ""
    when = f"{line(mark)} after the promotion{why}"
    said = f"Watch of {line(run.environment)}, {when}: {word}"
    bad = [_trouble(step) for step in checks if step.outcome not in ("ok", "skipped")]
    rows = [context("\n".join(_step_row(step) for step in checks[-20:]))] if checks else []
    return Message(". ".join([said, *bad]), (section(f"{_mark(word)} {said}"), *rows))


def _report(release: Release | None) -> tuple[Block, ...]:
    return (button("Report", "report", release.id),) if release else ()


def end_reply(
    run: Run,
    *,
    release: Release | None,
    seq: int,
    digest: str,
    asked: Iterable[str],
    until: datetime | None = None,
    settled: bool = False,
    trend: Trend | None = None,
    ways: Ways | None = None,
    standing: tuple[Planned, ...] = (),
) -> Message:
    """How a run ended. `seq` and `digest` are the ledger's head at that; `settled`: its buttons do not apply any more.

    `asked` are the users and groups who must act now; they are called. `trend`: a restore test against those before it.
    `ways`: those back from a prod that the run left changed and not in order, where they are known; `standing`: what
    its hooks began and nothing has ended.
    """
    following = _following(run, release, until, settled, ways)
    called = mentions(asked)
    turn = f"Next, for {called}" if called else "Next"
    data = _restored(run) + (_nights(trend) if trend else "")
    loud = still(run, standing)
    blocks = (
        _ended(run, release, data),
        section(f"*{turn}:* {following}"),
        *((section(f"⚠ {loud}"),) if loud else ()),
        *actions(*(() if settled else _following_buttons(run, release, ways)), *_report(release)),
        context(f"Ledger {seq} · `{digest}`"),
    )
    text = f"{line(title(run, release))}, run {run.number}: {uncapitalised(verdict(run))}. It took {_length(run)}."
    text += f"{data and f' {data}.'} {turn}: {following}" + (f"\n{loud}" if loud else "")
    foot = f"\nLedger {seq}, head {digest}"
    broadcast = run.verdict in ("failed", "errored")
    return Message(cut(text, EDITABLE - len(foot)) + foot, blocks, broadcast=broadcast)


def _following(run: Run, release: Release | None, until: datetime | None, settled: bool, ways: Ways | None) -> str:
    if release is not None and stranded(run):
        if settled:
            return "nothing here; a later run has taken it on from here."
        if ways is not None:
            return choices(run, release, ways)
    return next_sentence(run, release=release, waits_for=None, until=until)


def _ended(run: Run, release: Release | None, data: str) -> Block:
    head = f"{_mark('ok' if run.verdict == 'passed' else '')} {emphasised(verdict(run))}"
    what = f"{line(title(run, release))} · run {run.number} · {_length(run)}"
    return section("\n".join([head, what, *([data] if data else [])]))


def _length(run: Run) -> str:
    return spell((datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.at)).total_seconds())


def _restored(run: Run) -> str:
    """What a run's data cost and how old they were; empty where it stood on none."""
    if not run.restored:
        return ""
    if not run.restores:
        before = datetime.fromisoformat(run.at) - datetime.fromisoformat(run.restored)
        return f"On the data that run {run.restored_by} restored {spell(max(0.0, before.total_seconds()))} before"
    old = age(run)
    return f"Restored in {spell(took(run))}" + (f" from data {spell(old)} old" if old is not None else "")


def _nights(trend: Trend) -> str:
    """What the restore tests before it took."""
    if not trend.nights:
        return "; the first restore test that did"
    nights = "the night before" if trend.nights == 1 else f"on average of the last {trend.nights} nights"
    data = f" from data {spell(trend.age_before)} old" if trend.age_before is not None else ""
    return f"; {nights}: in {spell(trend.took_before)}{data}"


def _following_buttons(run: Run, release: Release | None, ways: Ways | None) -> tuple[Block, ...]:
    if release is not None and stranded(run):
        return buttons(run, release, ways) if ways else (roll_back(run, release),)
    if release is None or release.withdrawn is not None:
        return ()
    what = f"{release.app} {release.version}"
    if run.kind == "rehearsal" and run.verdict == "passed" and run.clean and release.defective is None:
        cost = f"{what} goes to prod: backed up and snapshotted first, then deployed, tested and watched."
        ask = confirmation(f"Promote {release.id}?", cost, "Promote it")
        return (button("Promote", "promote", release.id, style="primary", confirm=ask),)
    return ()
