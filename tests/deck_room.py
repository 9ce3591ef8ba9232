"""A deck over a real board in a lab's Slack: everything of the bot but the machines and the thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from slack_bolt import App, BoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_room import Room, room

from bot.board import Board
from bot.config import Settings, load_config
from bot.intake import Intake
from bot.ledger import Ledger, read
from bot.masking import Masker
from bot.material import Materials
from bot.packages import Store, pack
from bot.promotions import Promotions
from bot.roles import Roles
from bot.runs import Runs
from bot.visits import Visits
from handlers import Deck, register
from handlers.workers import Workers
from lab.desk import Answer, Message
from plans.actions import Action, At, Outcome
from plans.events import AnyEvent, RunFinished, RunPaused, StepFinished, StepStarted

DEV, ADMIN, TESTER, GUEST, OUTSIDER, ADMIN2 = "U01DEV", "U02ADMIN", "U03TESTER", "U04GUEST", "U05OTHER", "U06ADMIN2"
SAMPLES = Path(__file__).parents[1] / "lab" / "sample"

CONFIG = """
slack: {{bot_token: {token}, app_token: "{app_token}", api_url: "{url}/api/", channel: C01DEPLOYS}}
timezone: Europe/Berlin
roles: {{admins: [U02ADMIN, S01ADMINS], testers: [U03TESTER], developers: everybody}}
data_dir: var/
packages: {{sources: [drops/], max_bytes: 1MB, forbidden_content: ["Test Customer"]}}
vcenters: {{main: {{host: vc, username: u, password: "hunter2 is secret"}}}}
environments:
  staging:
    hosts:
      web: {{vcenter: main, vm: s-web, ssh: {{host: s-web, {ssh}}}}}
      db: {{vcenter: main, vm: s-db, ssh: {{host: s-db, {ssh}}}}}
    isolation: {{networks: [isolated]}}
  crm-staging:
    hosts: {{web: {{vcenter: main, vm: s-web, ssh: {{host: s-web, {ssh}}}}}}}
    isolation: {{networks: [isolated]}}
  prod:
    hosts: {{web: {{ssh: {{host: p-web, {ssh}}}}}, db: {{ssh: {{host: p-db, {ssh}}}}}}}
  crm-prod:
    hosts: {{web: {{ssh: {{host: c-web, {ssh}}}}}}}
apps:
  webshop:
    {{tests: webshop.tests.yaml, staging: staging, prod: prod, facts: [{{name: schema, on: db, run: dump}}]}}
  crm: {{tests: crm.tests.yaml, staging: crm-staging, prod: crm-prod}}
"""
SSH = "user: u, key_file: key, known_hosts: known"


def configured(folder: Path, change: str = "", token: str = "xoxb-1", app: str = "xapp-1", url: str = "") -> Settings:
    """The settings of a folder: two apps, whose staging is one machine, and drops/ to hand off from."""
    (folder / "drops").mkdir()
    text = CONFIG.format(token=token, app_token=app, url=url or "http://127.0.0.1:9", ssh=SSH)
    (folder / "quarterdeck.yaml").write_text(text + change)
    for name in ("webshop", "crm"):
        (folder / f"{name}.tests.yaml").write_text((SAMPLES / f"{name}.tests.yaml").read_text())
    return load_config(folder / "quarterdeck.yaml")


def packed(settings: Settings, sample: str = "webshop-2.4.1") -> Path:
    """A sample package as an archive in the settings' drops/."""
    path = settings.path.parent / "drops" / f"{sample}.zip"
    if not path.exists():
        pack(SAMPLES / "packages" / sample, path)
    return path


class Still(Runs):
    """Runs that begin and stay where they are: what happens in them is recorded by the test."""

    def enter(self, number: int) -> None:
        pass


class NoMachines:
    """Tells machines apart by their names, and says that all went well on each."""

    def identity(self, at: At) -> str:
        if at.host == "web" and "staging" in at.environment:
            return "vm-web"
        return f"{at.environment}/{at.host}"

    def perform(self, action: Action, **how: Any) -> Outcome:
        return Outcome("ok")


class DeckRoom:
    """The people at their desks, and what the ledger says."""

    def __init__(self, slack: Room, folder: Path, change: str = "") -> None:
        self.slack = slack
        self.desk = slack.desk
        self.ahead = timedelta()
        workspace = slack.workspace
        self.settings = configured(folder, change, workspace.bot_token, workspace.app_token, slack.url)
        self.drops = folder / "drops"
        self.board = Board(Ledger.open(self.settings.data_dir), self.now)
        store = Store(self.settings.data_dir, self.settings.max_bytes)
        self.materials = materials = Materials(self.board, self.settings, store)
        masker = Masker(self.settings.secrets)
        self.machines: Any = NoMachines()
        self.roles = Roles(self.settings.config.roles, slack.client())
        self.runs = Still(self.board, self.settings, materials, self.machines, self.roles, masker)
        self.workers = Workers()
        self.deck = Deck(
            settings=self.settings,
            board=self.board,
            runs=self.runs,
            promotions=Promotions(self.board, self.settings, materials, self.machines, self.runs),
            intake=Intake(self.board, self.settings, store),
            roles=self.roles,
            masker=masker,
            workers=self.workers,
            visits=Visits(self.board, self.settings, materials, self.machines, self.runs),
        )

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def packed(self, sample: str = "webshop-2.4.1") -> Path:
        """A sample package as an archive in the allowed folder."""
        return packed(self.settings, sample)

    def release(self, sample: str = "webshop-2.4.1", by: str = DEV) -> str:
        """Hands a sample off, past Slack: the release's name."""
        return self.deck.intake.hand_off(str(self.packed(sample)), by=by)[0].id

    def types(self, user: str, text: str, channel: str = "C01DEPLOYS") -> str:
        """Types a command and waits for what that person alone is told."""
        before = len(self.desk.ephemerals(user))
        answer: Answer = self.desk.types(user, text, channel)
        assert answer.ok, answer
        told = self.desk.wait(lambda: self.desk.ephemerals(user)[before:])
        assert len(told) == 1
        return str(told[0].text)

    def presses(self, user: str, where: Message, button: str, *, force: bool = False) -> str:
        before = len(self.desk.ephemerals(user))
        assert self.desk.presses(user, where, button, force=force).ok
        return str(self.desk.wait(lambda: self.desk.ephemerals(user)[before:])[0].text)

    def shows(self, blocks: list[dict[str, Any]], *, thread: bool = False) -> Message:
        """A message of the bot's own in the channel, or a reply in a thread there."""
        client = self.slack.client()
        root = client.chat_postMessage(channel="C01DEPLOYS", text="a run")["ts"] if thread else None
        posted = client.chat_postMessage(channel="C01DEPLOYS", text="buttons", blocks=blocks, thread_ts=root)
        shown = self.desk.thread("C01DEPLOYS", root or posted["ts"])
        return shown.replies[0] if thread else shown

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The data of the ledger's records of a type, each with who did it."""
        lines = [line for line, _ in read(self.board.ledger.path)]
        return [line["data"] | {"by": line["by"]} for line in lines if line["type"] == kind]

    def happens(self, *events: AnyEvent) -> None:
        for event in events:
            self.board.record("quarterdeck", event)

    def asks(self, run: int, number: int = 1, *, role: str = "admins", choices: tuple[str, ...]) -> None:
        """A step of the run goes wrong, and the run asks about it."""
        self.happens(
            StepStarted(run=run, phase="deploy", step=9, name="Add the column", host="db", attempt=1, written=True),
            StepFinished(
                run=run, step=9, host="db", attempt=1, outcome="failed", exit=1, seconds=1.0, log="logs/x.log"
            ),
            RunPaused(run=run, step=9, why="“Add the column” failed", question=number, choices=choices, role=role),
        )

    def checks(self, run: int, *numbers: int) -> None:
        """Manual checks of the run are open, numbered as they are named."""
        for number in numbers or (1,):
            self.happens(
                StepStarted(run=run, phase="test", step=20 + number, name=f"Look {number}", host=None, attempt=1),
                RunPaused(
                    run=run, step=20 + number, why="Look.", question=number, choices=("pass", "fail"), role="testers"
                ),
            )

    def ends(self, run: int, verdict: str = "passed", reason: str = "") -> None:
        self.happens(RunFinished(run=run, verdict=verdict, clean=self.board.run(run).clean, reason=reason))

    def rehearsed(self, name: str, verdict: str = "passed") -> int:
        """A rehearsal of the release that came to its end: the run's number."""
        run = self.runs.start("rehearsal", by=ADMIN, environment="staging", release=name)
        self.ends(run.number, verdict, "" if verdict == "passed" else "“Orders can be archived” failed")
        return run.number

    def busy_workers(self) -> threading.Event:
        """All workers are held up, until the event is set."""
        go, held = threading.Event(), threading.Barrier(9)

        def hold() -> None:
            held.wait(30)
            go.wait(30)

        for _ in range(8):
            self.workers.submit(hold)
        held.wait(30)
        return go


@contextmanager
def deck_room(folder: Path, change: str = "") -> Iterator[DeckRoom]:
    """A workspace with the bot's commands in it, over Socket Mode. `change` is added to the configuration."""
    with room() as slack:
        made = DeckRoom(slack, folder, change)
        try:
            with slack.app(lambda app: register(app, made.deck)):
                yield made
        finally:
            made.workers.close()
            made.board.close()


TRIGGERS = count()


def command(text: str, name: str = "/stage", user: str = ADMIN) -> BoltRequest:
    """What Slack sends for a command."""
    trigger = f"1.{next(TRIGGERS)}"
    body = {"command": name, "text": text, "user_id": user, "channel_id": "C01DEPLOYS", "trigger_id": trigger}
    return BoltRequest(mode="socket_mode", body=body | {"response_url": "http://127.0.0.1:9/gone"})


def bolt(deck: DeckRoom, clock: Callable[[], float] = time.monotonic) -> App:
    """The commands in an app without a socket."""
    app = App(
        client=deck.slack.client(),
        authorize=lambda: AuthorizeResult(
            enterprise_id=None, team_id="T01LAB", bot_token=deck.slack.workspace.bot_token
        ),
        process_before_response=True,
    )
    register(app, deck.deck, clock)
    return app
