"""Decides how often a fault is tried: a sample in every test run, all of it with QUARTERDECK_FAULTS=all."""

import os
import random
from collections.abc import Callable

WHOLE = os.environ.get("QUARTERDECK_FAULTS") == "all"


def tried(once: Callable[[random.Random], None], *, sample: int, whole: int) -> None:
    """Tries it with one seed after the other; the one that fails is named, and QUARTERDECK_SEED tries it alone."""
    alone = os.environ.get("QUARTERDECK_SEED")
    for seed in [int(alone)] if alone else range(whole if WHOLE else sample):
        try:
            once(random.Random(seed))
        except BaseException as failure:
            failure.add_note(f"seed {seed}: tried again alone with QUARTERDECK_SEED={seed}")
            raise
