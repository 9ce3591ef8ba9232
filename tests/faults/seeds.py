"""Decides how often a fault is tried: a sample in every test run, all of it with QUARTERDECK_FAULTS=all."""

import os
import random
from collections.abc import Callable

from faults.checker import WRONG, Finding
from faults.tally import Tally

WHOLE = os.environ.get("QUARTERDECK_FAULTS") == "all"

APART = 1_000_000
"""Between the first seeds of two parts of one test: they never meet."""


def tried(tally: Tally, fault: str, once: Callable[[random.Random], int], *, sample: int, whole: int) -> None:
    """Calls `once`, which says how many tries that were, with so many seeds. The one that fails is named, and
    QUARTERDECK_SEED tries it alone."""
    alone = os.environ.get("QUARTERDECK_SEED")
    for seed in [int(alone)] if alone else range(whole if WHOLE else sample):
        try:
            tally.count(fault, once(random.Random(seed)))
        except Exception as failure:
            tally.count(fault, 1, [Finding(WRONG, str(failure))])
            failure.add_note(f"seed {seed}: tried again alone with QUARTERDECK_SEED={seed}")
            raise
