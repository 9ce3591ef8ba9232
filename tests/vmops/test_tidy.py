"""What former runs left on a host: what goes, what stays."""

import hashlib
import os
import time
from pathlib import Path

from far_ends import NAMESPACE, Bot

from plans.actions import Upload
from vmops.tidy import DAYS, RUNS

DAY = 86_400


def aged(path: Path, days: float) -> Path:
    """The path, as old as that."""
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def left(folder: Path, job: str, days: float, /, **files: str) -> Path:
    """A run's directory with what a job of it left, that many days ago."""
    run = folder / job.partition("-")[0]
    run.mkdir(parents=True, exist_ok=True)
    for suffix, text in files.items():
        (run / f"{job}.{suffix}").write_text(f"{text}\n")
    return aged(run, days)


def send(bot: Bot, tmp_path: Path, job: str) -> None:
    """What a run does with its package, and tidies up."""
    digest = hashlib.sha256(b"package").hexdigest()
    (tmp_path / digest).write_bytes(b"package")
    outcome = bot.perform(Upload(bot.target.at, digest, f"{bot.performer.base(bot.target.at)}/{digest}.zip"), job=job)
    assert outcome.ok, outcome.reason


def test_old_runs_and_cut_uploads_go_and_all_else_stays(bot: Bot, tmp_path: Path) -> None:
    ours, other = bot.target.base / NAMESPACE, bot.target.base / "another-ledger"
    ended = {"job": "4000000 1 boot\n0"}
    gone = [
        left(ours / "jobs", f"{100 - RUNS - 1}-1-1-web", 0, **ended),
        left(ours / "jobs", "99-1-1-web", DAYS + 2, **ended),
        left(ours / "jobs", "look-1 and more", DAYS + 2, **ended),
    ]
    stay = [
        left(ours / "jobs", f"{100 - RUNS}-1-1-web", 0, **ended),
        left(ours / "jobs", "100-1-1-web", DAYS + 2, **ended),
        left(ours / "jobs", "7-1-1-web", DAYS + 2, job=f"{os.getpid()} 1 boot"),  # runs still
        left(ours / "jobs", "demo-1", 1, **ended),
        left(other / "jobs", "1-1-1-web", DAYS + 2, **ended),
    ]
    for folder, files in ((ours, gone), (other, stay)):
        cut = folder / "x.zip.quarterdeck-0123abcd"
        cut.write_text("half")
        files.append(aged(cut, 2))
    young = ours / "x.zip.quarterdeck-0123abce"
    young.write_text("under way")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    link = ours / "jobs" / "5"
    link.symlink_to(elsewhere)
    send(bot, tmp_path, "100-2-1-web")
    assert [path for path in gone if path.exists()] == []
    assert [path for path in (*stay, young, link, elsewhere / "kept") if not path.exists()] == []
