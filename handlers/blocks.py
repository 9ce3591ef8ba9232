"""Decides how an answer to one person looks: a sentence, a refusal, a list, help, a form."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from bot.line.blocks import (
    Block,
    Message,
    amount,
    clean,
    context,
    cut,
    escape,
    flat,
    header,
    line,
    moment,
    person,
    quoted,
    section,
)
from bot.telling.cards import state, title
from handlers.deck import Verbs
from handlers.times import spoken
from plans.errors import Refusal
from plans.gates import Gate
from plans.quantities import spell
from plans.records import EnvironmentState, Freeze, Question, Release, Run

BUDGET = 9000
"""Characters of one message's blocks: Slack refuses more than about 12,000."""
SECTION = 2900
ROWS = 20
_MENTION = re.compile(r"&lt;(@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+)&gt;")


def said(*sentences: str) -> Message:
    """One thing that was done: mrkdwn, its outside parts escaped."""
    text = " ".join(sentence for sentence in sentences if sentence)
    return Message(text, (section(text),))


def refused(refusal: Refusal) -> Message:
    """The reason code, a sentence, and what to do about it."""
    message, hint = _mentioning(refusal.message), _mentioning(refusal.hint)
    told = f"*Not done* (`{line(refusal.code)}`): {message}"
    rows = (told, *(f"*What to do:* {hint}".splitlines() if hint else ()))
    return Message(cut("\n".join(rows), 3500), tuple(_sections(rows)))


def fault(number: str, *, begun: bool) -> Message:
    """Something went wrong here: no word of what, but where to look."""
    state = "It may have been begun: look at `/stage status`." if begun else "Nothing was changed."
    return said(f"Something went wrong in Quarterdeck (id `{number}`). {state} An admin finds the id in the bot's log.")


def listing(name: str, rows: Iterable[str], *, none: str, more: str = "") -> Message:
    """Rows of mrkdwn under a heading; of many the first, and where the others are told."""
    every = tuple(rows)
    shown = every[:ROWS]
    cut = (f"_{len(every) - ROWS} more are not shown._ {more}".strip(),) if len(every) > ROWS else ()
    body = (*shown, *cut) or (f"_{none}_",)
    return Message(f"{name}: {_plural(len(every))}", (header(name), *_sections(body)))


def helped(command: str, verbs: Verbs) -> Message:
    """Every verb as it is typed, what it does, and for whom."""
    rows = [f"`{verb.form.usage}`{_whom(verb.by)}\n{verb.says}" for verb in verbs.values()]
    return Message(f"{command}: {len(rows)} things it can do", (header(command), *_sections(rows)))


def _whom(by: object) -> str:
    return f"  _{by}_" if isinstance(by, str) and by else ""


# Releases and gates.


def handed_off(sentence: str, warnings: tuple[str, ...]) -> Message:
    """The answer to who handed a package off, with what it is warned of: none of it stands in the way."""
    rows = [sentence]
    if warnings:
        count = "One thing" if len(warnings) == 1 else f"{len(warnings)} things"
        rows.append(f"*{count} to look at* (nothing is refused for it; `quarterdeck check` says how to mend each):")
        rows += [f"• {line(warning, 300)}" for warning in warnings[:ROWS]]
        rows += [f"• and {len(warnings) - ROWS} more"] if len(warnings) > ROWS else []
    return Message(cut("\n".join(rows), 3500), tuple(_sections(rows)))


def release_row(release: Release, rehearsal: Run | None, on_prod: bool) -> str:
    """One release of a list: what, who, and how far it has come."""
    return (
        f"*{release.id}* {line(f'{release.app} {release.version}')} · {_standing(release, rehearsal, on_prod)}"
        f" · {person(release.by)} {moment(release.at)}"
    )


def release(release: Release, rehearsal: Run | None, on_prod: bool, needed: int, approved: tuple[str, ...]) -> Message:
    """All that is known of a release; `needed` is the number of approvals that the policy asks for."""
    what = f"{release.id}: {release.app} {release.version}"
    facts = [
        f"*State:* {_standing(release, rehearsal, on_prod)}",
        f"*Handed off* by {person(release.by)} {moment(release.at)} from {line(release.source)}",
        f"*Digest:* `sha256:{release.digest}` · {amount(release.bytes)}",
    ]
    if release.scheduled:
        facts.append(f"*Promotion* {moment(release.scheduled)}, scheduled by {person(release.scheduled_by)}")
    if needed or approved:
        given = ", ".join(person(user) for user in approved) or "nobody yet"
        facts.append(f"*Approved* by {given}; the policy asks for {needed}")
    parts = [section(line(release.summary, 600) or "_no summary_"), section("\n".join(facts))]
    for name, items in (("Changes", release.changes), ("Warnings", release.warnings)):
        rows = [f"• {line(item)}" for item in items[:ROWS]]
        left = [f"• and {len(items) - ROWS} more"] if len(items) > ROWS else []
        parts += [section("\n".join((f"*{name}*", *rows, *left)))] if rows else []
    parts += [section(f"*Notes*\n{quoted(release.notes)}")] if release.notes.strip() else []
    return Message(f"{line(what)}: {_standing(release, rehearsal, on_prod)}", (header(what), *parts))


def _standing(release: Release, rehearsal: Run | None, on_prod: bool) -> str:
    if release.withdrawn is not None:
        return f"withdrawn: {line(release.withdrawn) or 'no reason given'}"
    if release.defective is not None:
        return f"defective: {line(release.defective)}"
    if on_prod:
        return f"on prod (run {release.promotion})"
    if rehearsal is None:
        return "not rehearsed"
    clean = "" if rehearsal.verdict != "passed" else ", clean" if rehearsal.clean else ", not clean"
    return f"rehearsal {rehearsal.verdict}{clean} (run {rehearsal.number})"


def gates(release: Release, judged: tuple[Gate, ...], ages: Mapping[str, float]) -> Message:
    """Each gate open or shut with what would open it; `ages`: seconds since what it is judged by was recorded."""
    shut = [gate for gate in judged if gate.shut]
    verdict = f"{len(shut)} of {len(judged)} gates are shut" if shut else f"all {len(judged)} gates are open"
    rows = []
    for gate in judged:
        age = f" _(recorded {spell(ages[gate.code])} ago)_" if gate.code in ages else ""
        row = f"{'✕ *shut*' if gate.shut else '✓ open'} `{gate.code}`: {_mentioning(flat(gate.detail, 300))}{age}"
        rows.append(row + (f"\n      {_mentioning(gate.hint)}" if gate.shut and gate.hint else ""))
    what = f"{release.id}, {release.app} {release.version}"
    note = context("Judged by what is recorded; no host was asked. A promotion judges anew.")
    return Message(f"{line(what)}: {verdict}", (header(f"{what}: {verdict}"), *_sections(rows), note))


# Runs and environments.


def run_name(run: Run, release: Release | None) -> str:
    """`rehearsal of webshop 2.4.1 on staging (R-2)`, escaped."""
    what = line(title(run, release))
    return what[0].lower() + what[1:] + (f" ({release.id})" if release else "")


def run_row(run: Run, release: Release | None, waits_for: Run | None) -> str:
    """One run of a list: what, who, how it stands or ended, and what it asks."""
    row = run_line(run, release, waits_for)
    return row + "".join(f"\n      {question_row(run, question)}" for question in run.open)


def run_line(run: Run, release: Release | None, waits_for: Run | None) -> str:
    """The same without what it asks."""
    ended = f" after {spell(_between(run.at, run.finished))}" if run.finished else ""
    stands = f"{state(run, waits_for)}{ended} · {person(run.by)} {moment(run.at)}"
    return f"*Run {run.number}*, {run_name(run, release)}: {stands}"


def question_row(run: Run, question: Question) -> str:
    """What a run asks whom, and how that is answered by typing."""
    which = f"{run.number}/{question.number}" if len(run.open) > 1 else run.number
    answer = f"`/stage answer {which} {'|'.join(question.choices)}`"
    return f"asks the {line(question.role)}: {line(question.why, 300)} {answer}"


def _between(begun: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()


def environment_row(state: EnvironmentState, running: Run | None, on_it: Iterable[str]) -> str:
    """One environment: locked or not, what runs there, what is on it."""
    parts = [f"run {running.number} ({running.kind}) is on it" if running else "free"]
    if state.locked is not None:
        parts.append(f"*locked* by {person(state.locked_by)}: {line(state.locked)}")
    if state.inspection is not None:
        parts.append(f"left as run {state.inspection} left it, for inspection")
    parts += [f"has {line(name)}" for name in on_it]
    return f"*{line(state.name)}*: {' · '.join(parts)}"


def freeze_row(freeze: Freeze | None) -> str:
    if freeze is None:
        return "No freeze."
    until = f"until {moment(freeze.until)}" if freeze.until else "until it is lifted"
    return f"*Frozen* {until} by {person(freeze.by)}: {line(freeze.reason, 300)}"


def scheduled_row(release: Release, zone: ZoneInfo) -> str:
    """A promotion that is to come, in the configuration's own time."""
    at = spoken(datetime.fromisoformat(release.scheduled or "").astimezone(zone))
    what = line(f"{release.app} {release.version}")
    return f"*{release.id}* {what}: to be promoted at {at}, scheduled by {person(release.scheduled_by)}"


def prod_row(app: str, state: EnvironmentState, release: Release | None) -> str:
    """What of an app is on prod."""
    has = f"{line(release.version)} ({release.id}, run {release.promotion})" if release else "nothing that was promoted"
    locked = f" · *locked* by {person(state.locked_by)}: {line(state.locked)}" if state.locked is not None else ""
    return f"*{line(app)}* on {line(state.name)}: {has}{locked}"


# Forms.


def handoff_form(sources: tuple[str, ...], most: str, metadata: str) -> Block:
    """The form of a hand-off: an archive, or where one is; notes. `metadata` comes back with it."""
    allowed = ", ".join(sources) or "none is configured: upload the archive"
    return _form(
        "handoff",
        "Hand a package off",
        "Hand off",
        metadata,
        {
            **_input("archive", f"Archive (zip or tar.gz, at most {most})"),
            "element": {
                "type": "file_input",
                "action_id": "archive",
                "filetypes": ["zip", "gz", "tgz"],
                "max_files": 1,
            },
        },
        {
            **_input("source", "Or where it is", f"An address or a path under: {allowed}"),
            "element": {"type": "plain_text_input", "action_id": "source", "max_length": 1000},
        },
        {
            **_input("notes", "Notes for who rehearses it"),
            "element": {"type": "plain_text_input", "action_id": "notes", "multiline": True, "max_length": 2000},
        },
    )


def note_form(run: int, question: Question, choice: str, metadata: str) -> Block:
    """The form that asks for the note to an answer."""
    about = section(f"*Run {run}:* {line(question.why, 600)}\nYour answer: *{line(choice.replace('_', ' '))}*")
    note = {
        **_input("note", "What did you see?"),
        "element": {"type": "plain_text_input", "action_id": "note", "multiline": True, "max_length": 1000},
    }
    return _form("answer", f"Answer run {run}", "Answer", metadata, about, note)


def _form(callback: str, name: str, submit: str, metadata: str, *blocks: Block) -> Block:
    words = {"title": name, "submit": submit, "close": "Cancel"}
    texts = {key: {"type": "plain_text", "text": flat(text, 24)} for key, text in words.items()}
    return {"type": "modal", "callback_id": callback, "private_metadata": metadata, **texts, "blocks": list(blocks)}


def _input(name: str, label: str, hint: str = "") -> Block:
    block = {"type": "input", "block_id": name, "optional": True, "label": {"type": "plain_text", "text": label}}
    return block | ({"hint": {"type": "plain_text", "text": flat(hint, 1900)}} if hint else {})


# Within Slack's limits.


def _mentioning(text: str) -> str:
    """Our own sentences: escaped, but for the people and groups that they mention."""
    return _MENTION.sub(r"<\1>", escape(clean(text)))


def _sections(rows: Iterable[str]) -> Iterable[Block]:
    """Rows as sections of several lines, as many as fit into one message, and a word where some did not."""
    pages: list[str] = []
    left = BUDGET
    for row in rows:
        fitting = cut(row, SECTION)
        left -= len(fitting) + 1
        if left < 0:
            pages.append("_… and more than fits here._")
            break
        if pages and len(pages[-1]) + len(fitting) < SECTION:
            pages[-1] += "\n" + fitting
        else:
            pages.append(fitting)
    return [section(page) for page in pages]


def _plural(count: int) -> str:
    return "nothing" if count == 0 else "1 entry" if count == 1 else f"{count} entries"
