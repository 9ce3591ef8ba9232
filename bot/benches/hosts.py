"""Touches an sshd in two ways in turn, the bot's and another's, and takes the time of each."""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from bot.benches.sshd import ADDRESSES, Sshd, quoted
from plans.actions import Action, At, Outcome, Shell, Upload
from vmops.languages import SH
from vmops.perform import Performer

STEPS = 150
PROCESSES = 7
UPLOADS = 7
MEBIBYTES = 64
SLOW = 600.0
"""Seconds for a run of a tool that is slower by far."""

WEB = At("bench", "web")

_names = count()


def steps(sshd: Sshd) -> dict[str, Any]:
    """A warm step whole, from the action to its outcome, beside the bare command over OpenSSH's ControlMaster.

    `warm_step_processes_ms`: what the programs alone cost that a detached job needs, started here without any SSH.
    """
    performer = sshd.performer()
    bare = sshd.ssh(ADDRESSES[0], "true")
    programs = ["setsid", "/bin/sh", "-c", "/bin/sh -c true; exit 0"]
    try:
        _perform(performer, Shell(at=WEB, command="true"))
        subprocess.run(bare, check=True)
        ours, printed, theirs, alone = _alternating(
            STEPS,
            lambda: _perform(performer, Shell(at=WEB, command="true")),
            lambda: _perform(performer, Shell(at=WEB, command="echo done")),
            lambda: subprocess.run(bare, check=True),
            lambda: subprocess.run(programs, check=True),
        )
    finally:
        performer.close()
    return {
        "warm_step_ms": ours,
        "warm_step_with_output_ms": printed,
        "openssh_ms": theirs,
        "warm_step_ratio_openssh": round(ours / theirs, 3),
        "warm_step_processes_ms": alone,
    }


def ten_by_ten(sshd: Sshd) -> dict[str, Any]:
    """Ten steps on each of ten hosts, from the start of a process to its end, cold connections included."""
    ours = [sys.executable, "-m", "bot.benches.hosts", str(sshd.folder), str(sshd.port)]
    loop = quoted(["sh", "-c", 'for n in 1 2 3 4 5 6 7 8 9 10; do "$@"; done', "sh"])
    script = "".join(f"{loop} {quoted(sshd.ssh(address, 'true'))} &\n" for address in ADDRESSES) + "wait\n"

    def openssh() -> None:
        subprocess.run(["sh", "-c", script], check=True, stderr=subprocess.DEVNULL)

    times: list[list[float]] = [[], []]
    for _ in range(PROCESSES):
        times[0].append(_timed(lambda: subprocess.run(ours, check=True)))
        times[1].append(_timed(openssh))
        sshd.hang_up()
    mine, theirs = (round(statistics.median(each), 1) for each in times)
    others = {name: _other(sshd, command) for name, command in OTHERS.items()}
    return {
        "ten_by_ten_ms": mine,
        "ten_by_ten_openssh_ms": theirs,
        "ten_by_ten_ratio_openssh": round(mine / theirs, 3),
        **{f"ten_by_ten_{name}_ms": took for name, took in others.items()},
        **{f"ten_by_ten_ratio_{name}": round(mine / took, 4) if took else None for name, took in others.items()},
    }


def uploads(sshd: Sshd) -> dict[str, Any]:
    """A file up, its digest checked there, beside scp over its ControlMaster, which checks nothing.

    `upload_ratio_scp_checked`: beside scp and the sha256sum that a user would have to type after it.
    """
    content = os.urandom(MEBIBYTES << 20)
    digest = hashlib.sha256(content).hexdigest()
    file, there = sshd.folder / digest, sshd.folder / "scp"
    file.write_bytes(content)
    performer = sshd.performer()
    scp: list[str | Path] = ["scp", "-q", "-F", sshd.config, file, f"{ADDRESSES[0]}:{there}"]
    theirs_too = sshd.ssh(ADDRESSES[0], "sha256sum", there)
    try:
        _perform(performer, Shell(at=WEB, command="true"))
        ours, theirs, check, checking = _alternating(
            UPLOADS,
            lambda: _perform(performer, Upload(WEB, digest, str(sshd.folder / f"up-{next(_names)}"))),
            lambda: subprocess.run(scp, check=True),
            lambda: _perform(performer, Shell(at=WEB, command=SH.digest(str(there)))),
            lambda: subprocess.run(theirs_too, check=True, stdout=subprocess.DEVNULL),
        )
    finally:
        performer.close()
    return {
        "upload_mb_s": round(len(content) / ours / 1000, 1),
        "scp_mb_s": round(len(content) / theirs / 1000, 1),
        "upload_ratio_scp": round(ours / theirs, 3),
        "upload_ratio_scp_checked": round(ours / (theirs + checking), 3),
        "upload_digest_share": round(check / ours, 3),
    }


def _alternating(times: int, *measured: Callable[[], object]) -> list[float]:
    """The median of each in milliseconds, all in turn, so that what else the machine does meets all alike."""
    took = [[_timed(one) for one in measured] for _ in range(times)]
    return [round(statistics.median(each), 2) for each in zip(*took, strict=True)]


def _timed(one: Callable[[], object]) -> float:
    began = time.perf_counter()
    one()
    return (time.perf_counter() - began) * 1000


def _perform(performer: Performer, action: Action, run: str = "1") -> Outcome:
    outcome = performer.perform(action, job=f"{run}-{next(_names)}", sink=lambda _: None, cancel=threading.Event())
    if not outcome.ok:
        raise RuntimeError(f"the bench's own step ended badly: {outcome.reason}")
    return outcome


def _ten_steps(folder: Path, port: int) -> None:
    """The process that ten by ten measures: every host by a thread, as a run's step does it."""
    sshd = Sshd(folder, port, folder / "ssh_config")
    performer = sshd.performer()

    def ten(name: str) -> None:
        for _ in range(10):
            _perform(performer, Shell(at=At("bench", name), command="true"), f"{os.getpid()}")

    hosts = sshd.environment().role("web")
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(ten, hosts))
    performer.close()


def _other(sshd: Sshd, command: Callable[[Sshd, Path], list[str | Path]]) -> float | None:
    """How long another tool takes, in milliseconds; None where it is not installed."""
    with tempfile.TemporaryDirectory(dir=sshd.folder) as folder:
        line = command(sshd, Path(folder))
        if not shutil.which(str(line[0])):
            return None
        environment = os.environ | {"ANSIBLE_CONFIG": f"{folder}/ansible.cfg", "ANSIBLE_HOME": folder}
        talk = Path(folder, "said")

        def run() -> None:
            with talk.open("wb") as said:
                subprocess.run(line, check=True, cwd=folder, env=environment, stdout=said, stderr=said, timeout=SLOW)

        took = _timed(run)
        sshd.hang_up()
        return round(took, 1)


def _ansible(sshd: Sshd, folder: Path, task: Mapping[str, str]) -> list[str | Path]:
    (folder / "hosts").write_text("".join(f"{address}\n" for address in ADDRESSES))
    play = {"hosts": "all", "gather_facts": False, "tasks": [task] * 10}
    (folder / "play.json").write_text(json.dumps([play]))
    (folder / "ansible.cfg").write_text(
        f"[defaults]\nforks = 10\nlocal_tmp = {folder}/local\nremote_tmp = {folder}/remote\n"
        f"interpreter_python = {sys.executable}\n[ssh_connection]\nssh_args = -F {sshd.config}\n"
    )
    return ["ansible-playbook", "-i", folder / "hosts", folder / "play.json"]


def _pyinfra(sshd: Sshd, folder: Path) -> list[str | Path]:
    data = {
        "ssh_port": sshd.port,
        "ssh_key": str(sshd.folder / "key"),
        "ssh_known_hosts_file": str(sshd.folder / "known_hosts"),
    }
    (folder / "inventory.py").write_text(f"web = ({[(address, data) for address in ADDRESSES]!r}, {{}})\n")
    (folder / "deploy.py").write_text(
        "from pyinfra.operations import server\nfor n in range(10):\n"
        "    server.shell(name=f'step {n}', commands=['true'])\n"
    )
    return ["pyinfra", "-y", folder / "inventory.py", folder / "deploy.py"]


OTHERS: dict[str, Callable[[Sshd, Path], list[str | Path]]] = {
    "ansible": lambda sshd, folder: _ansible(sshd, folder, {"command": "true"}),
    "ansible_raw": lambda sshd, folder: _ansible(sshd, folder, {"raw": "true"}),
    "pyinfra": _pyinfra,
}

if __name__ == "__main__":
    _ten_steps(Path(sys.argv[1]), int(sys.argv[2]))
