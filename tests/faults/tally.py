"""Decides what the table of faults says: how often each was tried, and what the checker found after it."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from faults.checker import LOST, ORDER, TWICE, WRONG, Finding

COLUMNS = (LOST, TWICE, ORDER, WRONG)


class Tally:
    """The rows of the table, by the fault's name."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.found: dict[str, Counter[str]] = {}

    def count(self, fault: str, tries: int, findings: Iterable[Finding] = ()) -> None:
        """So many more tries of a fault, and what was found after them."""
        self.tries[fault] += tries
        self.found.setdefault(fault, Counter()).update(finding.kind for finding in findings)

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """What another process counted, as its `rows`."""
        for row in rows:
            self.tries[row["fault"]] += row["tries"]
            found = {column: row[column.replace(" ", "_")] for column in COLUMNS}
            self.found.setdefault(row["fault"], Counter()).update(found)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each fault, as they were first counted."""
        return [
            {"fault": fault, "tries": tries}
            | {column.replace(" ", "_"): self.found[fault][column] for column in COLUMNS}
            for fault, tries in self.tries.items()
        ]

    def table(self) -> list[str]:
        """The rows as lines for people."""
        width = max(len(fault) for fault in self.tries)
        head = f"{'fault':<{width}} {'tries':>7}" + "".join(f" {column:>13}" for column in COLUMNS)
        lines = [
            f"{fault:<{width}} {tries:>7}" + "".join(f" {self.found[fault][column]:>13}" for column in COLUMNS)
            for fault, tries in self.tries.items()
        ]
        return [head, *lines]
