"""Touches the logs of a run to put all that is to be looked at after a failed rehearsal into one archive."""

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from bot.masking import Masker
from bot.texts import Texts
from plans.records import Run
from plans.rule_records import Difference

MOST = 8 * 1024 * 1024
"""Bytes of one log that come along: its end."""


def bundle(run: Run, differences: Iterable[Difference], data_dir: Path, masker: Masker) -> bytes:
    """A zip: `logs/` of each step, `facts/` whose texts differ between two places or times, `differences.txt`.

    Secrets are masked, in logs and facts when they were written. What was tidied away since is left out.
    """
    said = [*run.hands, *(f"{one.key} ({one.kind}): {one.brief}" for one in differences)]
    files = {"run.txt": _summary(run), "differences.txt": "\n\n".join(said) or "none was found"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, f"{masker.text(text)}\n")
        for path in sorted((data_dir / "logs" / f"run-{run.number}").glob("*.log")):
            archive.writestr(f"logs/{path.name}", _end(path))
        for name, digest in _differing(run):
            if (fact := Texts(data_dir, masker).recall(digest).text) is not None:
                archive.writestr(f"facts/{name}.txt", fact)
    return packed.getvalue()


def _summary(run: Run) -> str:
    steps = (f"{step.phase}: {step.name}: {step.outcome or 'not ended'}" for _, step in sorted(run.steps.items()))
    head = f"run {run.number}: {run.kind} of {run.release} on {run.environment}: {run.verdict}: {run.reason}"
    return "\n".join([head, *steps])


def _differing(run: Run) -> Iterator[tuple[str, str]]:
    """A name and the digest of each fact that is not the same everywhere that the run collected it."""
    by_fact: dict[str, dict[str, str]] = {}
    for place, facts in run.facts.items():
        for key, digest in facts.items():
            fact, _, host = key.partition(" ")
            by_fact.setdefault(fact, {})[f"{place} {host}"] = digest
    for fact, found in by_fact.items():
        if len(set(found.values())) > 1:
            for where, digest in found.items():
                yield re.sub(r"[^A-Za-z0-9._-]+", "-", f"{fact} {where}"), digest


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MOST))
        return file.read(MOST)
