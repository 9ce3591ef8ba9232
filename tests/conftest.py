"""The table of faults, added up over all the processes that the tests run in."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.tally import Tally

TALLY = Tally()


@pytest.fixture(scope="session")
def tally() -> Tally:
    """What every test of faults counts its tries in; the table is printed at the end."""
    return TALLY


@pytest.fixture(scope="session")
def seed() -> int:
    """What all that is drawn by lot begins with: QUARTERDECK_SEED, or another one each time."""
    return int(os.environ.get("QUARTERDECK_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process beside the first one hands on what it counted."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["faults"] = TALLY.rows()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of those processes is done."""
    TALLY.add(getattr(node, "workeroutput", {}).get("faults", []))


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    yield
    if TALLY.tries:
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(TALLY.table()))
        if path := os.environ.get("QUARTERDECK_FAULTS_TABLE"):
            Path(path).write_text(json.dumps(TALLY.rows(), indent=1) + "\n")
