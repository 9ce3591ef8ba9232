"""What a run does stays what it was when it was started, whatever is said and whatever other runs find meanwhile."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from builders import NOW, PACKAGE, TESTS, handed_off, load_app, prod, staging
from hypothesis import given, settings
from hypothesis import strategies as st
from premises import IN_MEMORY

from bot.board import Board
from bot.ledger import Ledger, stamp
from bot.material import Materials
from plans import events as e
from plans import rule_events as r
from plans.documents import load
from plans.environment import Policy
from plans.package import Manifest
from plans.records import Run
from plans.testplan import TestPlan

ADMIN = "U02ADMIN"
WHOLE = os.environ.get("QUARTERDECK_FAULTS") == "all"
LATER, OVER = stamp(NOW + timedelta(days=9)), stamp(NOW)
NOTES: dict[str, Any] = {"release": "", "check": "", "reason": "we live with it"}
SAID: list[Any] = [
    r.WaiverGiven(environment="staging", fact="schema", until=LATER, reason="known"),
    r.WaiverGiven(environment="staging", fact="schema", until=OVER, reason="mended"),
    r.WaiverGiven(environment="staging", fact="packages", until=LATER, reason="known"),
    r.EscapeRecorded(escape="E-1", app="webshop", release="R-1", text="it loses orders"),
    r.EscapeRecorded(escape="E-2", app="webshop", release="R-1", text="it loses more"),
    *(
        r.EscapeTried(escape=escape, run=1, release="R-1", check="Totals", outcome=outcome)
        for escape in ("E-1", "E-2")
        for outcome in ("ok", "failed")
    ),
    *(r.EscapeClosed(escape=escape, how="accepted", **NOTES) for escape in ("E-1", "E-2")),
    r.EscapeClosed(escape="E-1", how="check", release="R-1", check="Totals", reason=""),
    r.ChangeOutside(environment="prod", reason="the disk was full"),
    e.EnvironmentLocked(environment="prod", reason="audit"),
    e.FactsCollected(run=1, environment="prod", digests={"schema db": "b"}, log="", app="webshop"),
    e.RunFinished(run=1, verdict="failed", clean=True, reason="it failed"),
]
WORDS = st.lists(st.sampled_from(SAID), max_size=8)


@contextmanager
def house() -> Iterator[tuple[Board, Materials]]:
    """The contract's example, with a first rehearsal of R-1 that has passed."""
    folder = Path(tempfile.mkdtemp(dir=IN_MEMORY))
    seconds = count()
    board = Board(Ledger.open(folder), lambda: NOW + timedelta(seconds=next(seconds)))
    package = SimpleNamespace(manifest=load(PACKAGE.encode(), Manifest, "handoff.yaml"), executable=())
    configured: Any = SimpleNamespace(
        environments={"staging": staging(), "prod": prod()},
        apps={"webshop": load_app()},
        tests={"webshop": load(TESTS.encode(), TestPlan, "tests")},
        policy=Policy(),
        config=SimpleNamespace(packages=SimpleNamespace(forbidden_content=())),
        digest_of_environment=lambda name: name,
        digest_of_plans=lambda apps, digest, environment: "plans",
        unverified=lambda environment: (),
    )
    store: Any = SimpleNamespace(package=lambda digest: package)
    board.record("U01DEV", handed_off())
    board.record(ADMIN, e.RunStarted(run=1, kind="rehearsal", release="R-1", environment="staging", plans="p"))
    board.record("quarterdeck", e.RunFinished(run=1, verdict="passed", clean=True, reason=""))
    try:
        yield board, Materials(board, configured, store)
    finally:
        board.ledger.close()
        shutil.rmtree(folder)


@settings(max_examples=2000 if WHOLE else 60, deadline=None)
@given(before=WORDS, meanwhile=WORDS, kind=st.sampled_from(["rehearsal", "promotion", "rollback"]))
def test_whatever_is_said_meanwhile(before: list[Any], meanwhile: list[Any], kind: str) -> None:
    with house() as (board, materials):
        for word in before:
            board.record(ADMIN, word)
        run = started(board, materials, kind)
        promised = materials.plan(run)
        for word in meanwhile:
            board.record(ADMIN, word)
            assert materials.plan(board.run(2)) == promised, word


def started(board: Board, materials: Materials, kind: str) -> Run:
    environment = "staging" if kind == "rehearsal" else "prod"
    board.record(ADMIN, materials.beginning(kind, (), ADMIN, environment, "R-1", ()))
    board.record("quarterdeck", e.RunBegan(run=2))
    return board.run(2)
