"""Touches the terminal: looks at everything that a run would need, all at once, and tells what was found."""

import queue
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bot.config import Settings, load_config
from bot.examinations import Examination, Finding, bad, good
from bot.masking import Masker
from plans.errors import Refusal
from vmops.transport import Trouble

DEADLINE = 60.0
"""Seconds for one examination: a login that times out at each stage still has its own words by then."""

AT_ONCE = 8
"""Examinations at a time: the sshd of a common gateway begins to turn logins away at ten."""

PATIENCE = 2.0
"""Seconds after which somebody who waits is told what for, and again after each five."""

GOODBYE = 5.0
"""Seconds for logging out."""

WIDTH = 140
"""Columns where nobody's terminal says how many."""

_STYLES = {"ok": "green", "warning": "yellow", "NOT OK": "bold red"}


def doctor(config: Path, *, as_json: bool) -> int:
    """Examines and tells. Exit code 0 when everything is ok, 1 when something is not."""
    try:
        settings = load_config(config)
    except Refusal as refusal:
        mend = refusal.hint or "Mend the file there; `quarterdeck schema config` tells an editor what belongs where."
        findings: Sequence[Finding] = [bad("configuration", str(config), refusal.message, mend)]
    else:
        findings = _examined(settings)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode())
    else:
        _tell(findings)
    return 0 if all(finding.ok for finding in findings) else 1


def _examined(settings: Settings) -> list[Finding]:
    from bot.examinations import hosts, house, slack, tail, vcenter
    from vmops.hosts import Hosts

    centers = vcenter.Centers(settings)
    ways_in = Hosts(settings.config.vcenters, settings.environments, "doctor")
    loaded = good("configuration", str(settings.path), "loads")
    examinations = [
        *house.examinations(settings),
        *slack.examinations(settings),
        *tail.examinations(settings),
        *vcenter.examinations(settings, centers),
        *hosts.examinations(settings, centers, ways_in),
    ]
    try:
        findings = examine(examinations)
    finally:
        leaving = [threading.Thread(target=each.close, daemon=True) for each in (centers, ways_in)]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join(GOODBYE)
    masker = Masker(settings.secrets)
    return [
        Finding(one.check, one.subject, one.ok, masker.text(one.detail), masker.text(one.mend))
        for one in [loaded, *findings]
    ]


def examine(examinations: Sequence[Examination], *, deadline: float = DEADLINE) -> list[Finding]:
    """What each finds, in the order given, several at a time; `deadline` is the seconds that each has.

    One that fails or hangs is a finding itself and keeps no other from being made.
    """
    patients = [_Patient(one, deadline) for one in examinations]
    waiting: queue.SimpleQueue[_Patient] = queue.SimpleQueue()
    for patient in patients:
        waiting.put(patient)
    for _ in range(AT_ONCE):
        threading.Thread(target=_work, args=(waiting,), daemon=True).start()
    said = time.monotonic() + PATIENCE
    for patient in patients:
        while not patient.over.wait(max(0.0, said - time.monotonic())):
            left = [one.name for one in patients if not one.over.is_set()]
            shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
            print(f"{len(patients) - len(left)} of {len(patients)} looked at; to come: {shown}", file=sys.stderr)
            said = time.monotonic() + 5.0
    return [finding for patient in patients for finding in patient.findings]


class _Patient:
    """One examination under way; `findings` may be read once it is `over`."""

    def __init__(self, examination: Examination, deadline: float) -> None:
        self._examination = examination
        self._deadline = deadline
        self._found: list[Finding] = []
        self.name = f"{examination.subject} ({examination.check})"
        self.findings: tuple[Finding, ...] = ()
        self.over = threading.Event()

    def examine(self) -> None:
        thread = threading.Thread(target=self._look, name=self.name, daemon=True)
        thread.start()
        thread.join(self._deadline)
        late = []
        if thread.is_alive():
            took = f"it was not done within {self._deadline:.0f} s and was given up"
            late = [self._failed(took, "See whether what it talks to hangs, then run `quarterdeck doctor` again.")]
        self.findings = (*self._found, *late)
        self.over.set()

    def _look(self) -> None:
        try:
            for finding in self._examination.look():
                self._found.append(finding)
        except Trouble as trouble:
            self._found.append(self._failed(str(trouble), "Mend what it says, then run `quarterdeck doctor` again."))
        except Exception as unforeseen:  # noqa: BLE001 - one that fails must not hide the others
            told = f"looking at it failed: {type(unforeseen).__name__}: {unforeseen}"
            self._found.append(self._failed(told, "This is a mistake in Quarterdeck; please report it."))

    def _failed(self, detail: str, mend: str) -> Finding:
        return bad(self._examination.check, self._examination.subject, detail, mend)


def _work(waiting: "queue.SimpleQueue[_Patient]") -> None:
    while True:
        try:
            patient = waiting.get_nowait()
        except queue.Empty:
            return
        patient.examine()


def _tell(findings: Sequence[Finding]) -> None:
    """A table of everything, and below it what to do, in lines that can be copied."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "check", "of", "found"):
        table.add_column(column, no_wrap=column != "found", overflow="fold")
    for finding in findings:
        word = f"[{_STYLES[finding.word]}]{finding.word}[/]"
        table.add_row(word, finding.check.replace("_", " "), escape(finding.subject), escape(finding.detail))
    console.print(table)
    for finding in findings:
        if finding.mend:
            said = f"{finding.word}: {finding.check.replace('_', ' ')}, {finding.subject}: {finding.detail}"
            console.print(f"\n{said}\n  mend: {finding.mend}", markup=False, soft_wrap=True)
    wrong, warned = (sum(one.word == word for one in findings) for word in ("NOT OK", "warning"))
    told = [f"{wrong} not ok", *([f"{warned} to know about"] if warned else [])]
    console.print(f"\n{len(findings)} looked at: " + (", ".join(told) if wrong or warned else "everything is ok"))
