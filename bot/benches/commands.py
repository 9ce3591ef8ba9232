"""Touches a Slack, a lab and a bot of its own: sends the bot commands over its socket while it has runs to carry on."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.benches.house import ENVIRONMENTS, LAB, PACKAGE, configured
from bot.benches.slack import Slack, open_slack
from bot.demo import process
from bot.ledger import read
from lab.slack.journal import EnvelopeRecord
from plans.errors import Refusal

SECONDS = 60
PER_SECOND = 50
IDLE_PER_SECOND = 10
OTHER_SECONDS = 10
WARM = 24
PATIENCE = 60.0
"""Seconds after which what is waited for will not come."""
NEAR_MS, AT_MOST_MS, LATE_SECONDS, GROWTH_MIB = 50.0, 1000.0, 3.0, 16.0

ADMIN, DEVELOPER, TESTER = "U02ADMIN", "U01DEV", "U03TESTER"
MIX = (
    (DEVELOPER, "/stage status"),
    (DEVELOPER, "/promote check R-1"),
    (DEVELOPER, "/handoff list"),
    (TESTER, "/stage status"),
    (ADMIN, "/stage lock prod bench {}"),
    (DEVELOPER, "/handoff show R-1"),
    (DEVELOPER, "/stage run R-1"),
    (TESTER, "/stage history"),
    (ADMIN, "/stage status"),
    (ADMIN, "/promote R-1"),
    (DEVELOPER, "/promote status"),
    (ADMIN, "/stage unlock prod"),
    (DEVELOPER, "/promote check R-1"),
    (TESTER, "/promote R-1"),
    (ADMIN, "/stage answer 1 pass"),
    (DEVELOPER, "/stage statsu"),
)
"""Who types what, in turn: what is looked up, what is decided, what is refused for want of a role, and slips."""

_BOLT = """
import sys, threading
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
api, bot_token, app_token = sys.argv[1:]
app = App(client=WebClient(bot_token, base_url=api))
for name in ("/handoff", "/stage", "/promote"):
    app.command(name)(lambda ack, command: ack(f"heard {command['text']}"))
SocketModeHandler(app, app_token).connect()
print("ready", file=sys.stderr, flush=True)
threading.Event().wait()
"""


@dataclass(frozen=True)
class Memory:
    """Of a process, in MiB."""

    pid: int

    def __call__(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096 / 2**20


def commands(folder: Path, seconds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """What became of the commands; `ok` when every aim was met. Milliseconds from the envelope to its ack."""
    with ExitStack() as stack:
        slack = stack.enter_context(open_slack())
        say("Bolt as it comes, which only acknowledges")
        other = _bolt_as_it_comes(slack)
        say("a lab with four environments, and the bot")
        stack.enter_context(process("--dir", str(folder), code=LAB))
        config = configured(folder, slack, seconds)
        bot = stack.enter_context(process("serve", "--config", str(config)))
        ledger = folder / "var" / "ledger.jsonl"
        _warm_up(slack, folder, ledger)
        say("commands to the idle bot")
        idle = slack.types(_mixed(max(5 * seconds, 50)), IDLE_PER_SECOND)
        say(f"{PER_SECOND} commands a second for {seconds} s, while four runs go on")
        _begin_runs(slack, ledger)
        before = (memory := Memory(bot.pid))()
        busy = slack.types(_mixed(seconds * PER_SECOND), PER_SECOND)
        after, ended = memory(), _data(ledger, "run.finished")
        _wait(lambda: not slack.unanswered(busy), "")
        late = _late(busy, ledger)
        records = sum(1 for _ in read(ledger))
    result = {
        "seconds": seconds,
        "commands": len(busy),
        "runs": len(ENVIRONMENTS) - len(ended),
        "idle_ack_ms": _spread(idle),
        "busy_ack_ms": _spread(busy),
        "bolt_as_it_comes_ack_ms": _spread(other),
        "unacknowledged": sum(1 for one in busy if one.error or one.late),
        "unanswered": len(slack.unanswered(busy)),
        "overloaded": slack.told(busy, "`overloaded`"),
        "faults": slack.told(busy, "Something went wrong in Quarterdeck"),
        "effects": len(late),
        "effects_latest_ms": round(max(late, default=0.0) * 1000, 1),
        "bot_memory_mib": [round(before, 1), round(after, 1)],
        "ledger_records": records,
    }
    aims = _aims(result, late, after - before)
    return {**result, "aims": aims, "ok": all(aims.values())}


def _bolt_as_it_comes(slack: Slack) -> list[EnvelopeRecord]:
    with process(slack.api, slack.workspace.bot_token, slack.workspace.app_token, code=_BOLT):
        return slack.types(_mixed(OTHER_SECONDS * PER_SECOND), PER_SECOND)


def _warm_up(slack: Slack, folder: Path, ledger: Path) -> None:
    slack.types([(DEVELOPER, f"/handoff {folder / 'packages' / PACKAGE}"), *_mixed(WARM)], IDLE_PER_SECOND)
    _wait(lambda: _data(ledger, "package.handed_off"), "the package was not handed off")


def _begin_runs(slack: Slack, ledger: Path) -> None:
    slack.types([(ADMIN, f"/stage check {name}") for name in ENVIRONMENTS], IDLE_PER_SECOND)
    _wait(lambda: len(_restoring(ledger)) == len(ENVIRONMENTS), "not all four runs came to their work")


def _aims(result: dict[str, Any], late: Sequence[float], grown: float) -> dict[str, bool]:
    idle, busy = result["idle_ack_ms"], result["busy_ack_ms"]
    lost = [result[name] for name in ("unacknowledged", "unanswered", "overloaded", "faults")]
    return {
        "four_runs_went_on": result["runs"] == len(ENVIRONMENTS),
        "p99_within_50_ms_of_idle": busy["p99"] - idle["p99"] <= NEAR_MS,
        "every_ack_within_1_s": busy["max"] <= AT_MOST_MS,
        "nothing_dropped": not any(lost),
        "nothing_run_after_3_s": bool(late) and max(late) <= LATE_SECONDS,
        "memory_flat": grown <= GROWTH_MIB,
    }


def _mixed(count: int) -> list[tuple[str, str]]:
    return [(user, text.format(n)) for n, (user, text) in zip(range(count), itertools.cycle(MIX), strict=False)]


def _spread(envelopes: Sequence[EnvelopeRecord]) -> dict[str, float]:
    times = sorted(one.ack_ms for one in envelopes if one.ack_ms is not None)
    p99 = times[min(len(times) - 1, round(len(times) * 0.99))]
    return {"p50": round(statistics.median(times), 1), "p99": round(p99, 1), "max": round(times[-1], 1)}


def _late(envelopes: Sequence[EnvelopeRecord], ledger: Path) -> list[float]:
    """Seconds from each command that left something on the ledger to that record."""
    sent = {one.payload["text"]: one.at for one in envelopes}
    locks = [r for r in _records(ledger, "environment.locked") if f"lock prod {r['data']['reason']}" in sent]
    return [datetime.fromisoformat(r["at"]).timestamp() - sent[f"lock prod {r['data']['reason']}"] for r in locks]


def _restoring(ledger: Path) -> set[int]:
    return {data["run"] for data in _data(ledger, "step.started") if data["phase"] == "restore"}


def _data(ledger: Path, of_type: str) -> list[dict[str, Any]]:
    return [record["data"] for record in _records(ledger, of_type)]


def _records(ledger: Path, of_type: str) -> list[dict[str, Any]]:
    return [record for record, _ in read(ledger) if record["type"] == of_type]


def _wait(seen: Callable[[], Any], otherwise: str) -> None:
    """Raises Refusal when it is not seen in time; nothing where there is no word for that."""
    end = time.monotonic() + PATIENCE
    while not seen():
        if time.monotonic() > end:
            if otherwise:
                raise Refusal("not_seen", f"The bench cannot be held: {otherwise}.")
            return
        time.sleep(0.1)
