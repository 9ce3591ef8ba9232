"""Decides the demo's story: what each beat types, and what Slack, the hosts and the ledger must show afterwards."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bot.config import Settings
from bot.ledger import read
from lab.desk import Desk, Message
from plans.actions import At, Shell
from vmops.perform import Performer

DEVELOPER, ADMIN, TESTER = "U01DEV", "U02ADMIN", "U03TESTER"
PHASES = ("power_on", "restore", "confirm", "snapshot", "deploy", "test")
PATIENCE = 60.0
"""Seconds after which a beat that has not come out is given up."""


class NotAsTold(Exception):
    """A beat did not come out as the story tells it."""


class Evening:
    """The people at their desks, and a look at the ledger and the hosts that owes the bot nothing."""

    def __init__(self, settings: Settings, desk: Desk, packages: Path, restart: Callable[[], None]) -> None:
        """`restart` ends the bot and begins it anew, as an admin does after an edit of its configuration."""
        self.desk = desk
        self.packages = packages
        self.restart = restart
        self.channel = settings.config.slack.channel
        self.page = settings.config.slack.api_url.removesuffix("api/")
        self._settings = settings
        self._ledger = settings.data_dir / "ledger.jsonl"
        self._hands = Performer(settings.config.vcenters, settings.environments, namespace="demo", archives=Path)
        self._looks = 0

    def records(self, of_type: str, /, **wanted: Any) -> list[dict[str, Any]]:
        """The ledger's records of a type whose data has these values."""
        found = [record for record, _ in read(self._ledger) if record["type"] == of_type]
        return [r for r in found if all(r["data"].get(key) == value for key, value in wanted.items())]

    def everything(self) -> list[dict[str, Any]]:
        """All of the ledger's records."""
        return [record for record, _ in read(self._ledger)]

    def types(self, user: str, text: str, channel: str = "") -> str:
        """Types a command; what the bot answers, to that person alone."""
        before = len(self.desk.ephemerals(user))
        self.must(self.desk.types(user, text, channel or self.channel).ok, f"{text} was not acknowledged")
        told = self.desk.wait(lambda: self.desk.ephemerals(user)[before:], PATIENCE)
        return str(told[-1].text)

    def started(self, user: str, text: str, kind: str) -> int:
        """Types a command that starts a run of that kind: its number."""
        before = len(self.records("run.started", kind=kind))
        answer = self.types(user, text)
        found = self.desk.wait(lambda: self.records("run.started", kind=kind)[before:], 10) or self.fail(answer)
        return int(found[0]["data"]["run"])

    def finished(self, run: int) -> dict[str, Any]:
        """Waits for a run's end: the data of its record."""
        found = self.soon(lambda: self.records("run.finished", run=run), f"run {run} does not end")
        return dict(found[0]["data"])

    def thread(self, run: int) -> Message:
        """The run's message with its thread."""
        posted = self.soon(lambda: self.records("message.posted", key=f"run/{run}"), f"run {run} has no message")
        return self.desk.thread(self.channel, posted[0]["data"]["ts"])

    def question(self, run: int, number: int = 1) -> Message:
        """Waits for a run's question, in its thread."""
        key = f"run/{run}/question/{number}"
        posted = self.soon(lambda: self.records("message.posted", key=key), f"run {run} asks nothing")
        return next(reply for reply in self.thread(run).replies if reply.ts == posted[0]["data"]["ts"])

    def told(self, run: int, words: str) -> Message:
        """Waits until a reply in the run's thread has these words."""

        def look() -> Message | None:
            return next((reply for reply in self.thread(run).replies if words.lower() in reply.text.lower()), None)

        found: Message = self.soon(look, f"the thread of run {run} does not say “{words}”")
        return found

    def on_host(self, environment: str, host: str, command: str) -> str:
        """What a command on a host prints, over an SSH session of the demo's own."""
        self._looks += 1
        shell = Shell(at=At(environment, host), command=command, timeout=20)
        outcome = self._hands.perform(
            shell, job=f"look-{self._looks}", sink=lambda data: None, cancel=threading.Event()
        )
        self.must(outcome.ok, f"{environment} {host}: {command}: {outcome.reason or outcome.exit}")
        return outcome.output

    def version(self, environment: str, host: str) -> str:
        """The version that the shop on a web host answers over HTTP."""
        ssh = self._settings.environments[environment].named()[host].ssh
        assert ssh is not None
        with urllib.request.urlopen(f"http://{ssh.host}:8080/version", timeout=10) as answer:
            return str(answer.read().decode().strip())

    def soon(self, look: Callable[[], Any], otherwise: str) -> Any:
        try:
            return self.desk.wait(look, PATIENCE)
        except TimeoutError:
            return self.fail(otherwise)

    def must(self, true: object, otherwise: str) -> None:
        if not true:
            self.fail(otherwise)

    def fail(self, why: str) -> Any:
        raise NotAsTold(why)

    def close(self) -> None:
        self._hands.close()


Beat = tuple[str, Callable[[Evening], str]]
"""What the beat tells, and what plays and judges it: it returns what was seen, and raises NotAsTold."""


class Story(NamedTuple):
    """Beats in their order; `prepare` edits the lab's configuration before the bot reads it."""

    beats: tuple[Beat, ...]
    prepare: Callable[[Path], object] = lambda config: None


def refused_developer(evening: Evening) -> str:
    answer = evening.types(DEVELOPER, "/stage run R-1")
    denied = evening.records("access.denied", role="admins")
    evening.must(denied and denied[0]["by"] == DEVELOPER, f"nothing was refused: {answer}")
    return answer


def forgotten_change(evening: Evening) -> str:
    evening.desk.types(DEVELOPER, "/handoff", evening.channel)
    view = evening.soon(lambda: evening.desk.modal(DEVELOPER), "no form opened")
    field = next(b["block_id"] for b in view["blocks"] if b.get("element", {}).get("type") == "file_input")
    sent = evening.desk.submits(DEVELOPER, files={field: evening.packages / "webshop-2.4.0.zip"})
    evening.must(sent.ok and not sent.errors, f"the form was refused: {sent.error} {sent.errors}")
    found = evening.soon(lambda: evening.records("package.handed_off", release="R-1"), "R-1 was not handed off")
    evening.must(found[0]["data"]["version"] == "2.4.0", "R-1 is another version")
    evening.soon(lambda: evening.records("message.posted", key="release/R-1"), "the channel was not told of R-1")
    return f"R-1 is webshop 2.4.0, {found[0]['data']['digest'][:12]}"


def failed_rehearsal(evening: Evening) -> str:
    run = evening.started(ADMIN, "/stage run R-1", "rehearsal")
    end = evening.finished(run)
    evening.must(end["verdict"] == "failed", f"run {run} {end['verdict']}: {end['reason']}")
    seen = tuple(dict.fromkeys(r["data"]["phase"] for r in evening.records("step.started", run=run)))
    evening.must(seen == PHASES, f"the phases were {seen}")
    evening.must("Orders can be archived" in end["reason"], f"it failed for another reason: {end['reason']}")
    evening.told(run, "Orders can be archived")
    differences = evening.records("difference.found", run=run, kind="qa")
    evening.must(differences, "nothing was said of what QA has")
    forgotten = str(differences[0]["data"]["brief"]).partition("\n")[0]
    evening.must("orders.archived" in forgotten, f"the forgotten change is not named: {forgotten}")
    evening.told(run, forgotten)
    evening.must(evening.version("staging", "web") == "2.4.0", "staging was not left as it was")
    return f"{end['reason']}; and why: {forgotten}"


def refused_promotion(evening: Evening) -> str:
    answer = evening.types(ADMIN, "/promote R-1")
    refused = evening.records("promotion.refused", release="R-1")
    evening.must(refused and "rehearsal_failed" in refused[0]["data"]["gates"], f"not refused: {answer}")
    evening.must("rehearsal_failed" in answer, f"the answer does not say why: {answer}")
    return answer


def reverted(evening: Evening) -> str:
    run = evening.started(ADMIN, "/stage reset", "reset")
    end = evening.finished(run)
    evening.must(end["verdict"] == "passed", f"run {run} {end['verdict']}: {end['reason']}")
    dumps = {place: evening.on_host(place, "db", "sqlite3 shop.db .dump") for place in ("staging", "prod")}
    evening.must(dumps["staging"] == dumps["prod"], "staging's database is not what was restored")
    evening.soon(lambda: evening.version("staging", "web") == "2.3.0", "the old shop is not back on staging")
    return f"staging's database is prod's again, {dumps['staging'].count('INSERT')} rows"


def clean_rehearsal(evening: Evening) -> str:
    answer = evening.types(DEVELOPER, f"/handoff {evening.packages}/webshop-2.4.1.tar.gz")
    evening.soon(lambda: evening.records("package.handed_off", release="R-2"), f"R-2 was not handed off: {answer}")
    run = evening.started(ADMIN, "/stage run R-2", "rehearsal")
    evening.desk.presses(TESTER, evening.question(run), "answer:pass")
    end = evening.finished(run)
    evening.must(end["verdict"] == "passed" and end["clean"], f"run {run} {end['verdict']}: {end['reason']}")
    decided = evening.records("run.decided", run=run)
    evening.must([d["by"] for d in decided] == [TESTER], "somebody else than the tester answered")
    return f"run {run} passed, clean"


def promoted(evening: Evening) -> str:
    answer = evening.types(DEVELOPER, "/promote R-2")
    evening.must(len(evening.records("access.denied", role="admins")) == 2, f"not refused: {answer}")
    run = evening.started(ADMIN, "/promote R-2", "promotion")
    end = evening.finished(run)
    evening.must(end["verdict"] == "passed", f"run {run} {end['verdict']}: {end['reason']}")
    kept = {r["data"]["host"] for r in evening.records("snapshot.taken", run=run)}
    evening.must(kept == {"web", "web/2", "db"}, f"snapshots were taken of {sorted(kept)} only")
    marks = [r["data"]["ok"] for r in evening.records("watch.checked", run=run)]
    evening.must(marks == [True, True, True], f"the watch said {marks}")
    versions = {host: evening.version("prod", host) for host in ("web", "web/2")}
    evening.must(set(versions.values()) == {"2.4.1"}, f"prod answers {versions}")
    evening.told(run, "passed")
    return "the shop on prod answers 2.4.1, on both web hosts"


FIRST_DEPLOYMENT = Story(
    (
        ("The developer types /stage run R-1: refused, for want of the role", refused_developer),
        ("The developer hands off webshop 2.4.0, whose author forgot a database change", forgotten_change),
        ("The admin rehearses R-1 on staging: a critical check fails", failed_rehearsal),
        ("The admin types /promote R-1: refused", refused_promotion),
        ("The admin types /stage reset: the snapshot is reverted", reverted),
        ("The developer hands off 2.4.1; rehearsed, the tester passes the check by hand: clean", clean_rehearsal),
        ("The developer types /promote R-2: refused. The admin does: prod has it", promoted),
    )
)


def ledger_lines(path: Path) -> Iterator[str]:
    """The ledger's records, one JSON object a line, as they are on disk."""
    for record, _ in read(path):
        yield json.dumps(record, ensure_ascii=False, separators=(",", ":"))
