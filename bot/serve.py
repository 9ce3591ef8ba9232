"""Touches everything once: puts the bot together from its configuration, runs it, and stops it cleanly."""

import logging
import os
import signal
import sys
import threading
from functools import partial
from http.client import HTTPException
from pathlib import Path

import msgspec
from slack_bolt import App
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from bot.board import Board
from bot.chores.sweeps import Sweeper
from bot.clock import Clock
from bot.config import Settings, Slack, changed_keys, load_config
from bot.ctl import Door
from bot.intake import Intake
from bot.ledger import Ledger, hold
from bot.line.channel import Channel, Refused, answer
from bot.line.socket_mode import Line
from bot.line.troubles import REFUSED, moment
from bot.line.watch import Watch
from bot.masking import Masker
from bot.material import Materials
from bot.packages import Store
from bot.progress import Publisher
from bot.promotions import Promotions
from bot.roles import Roles
from bot.runs import Runs
from bot.telling.attachments import Attachments
from bot.telling.scribe import Scribe
from bot.visits import Visits
from handlers import Deck, register
from handlers.console import Console
from handlers.workers import Workers
from plans.errors import Refusal
from plans.events import ConfigLoaded
from plans.records import Loaded, Release, Run
from vmops.perform import Performer

log = logging.getLogger("quarterdeck")

PATIENCE = 3.0
"""Seconds that a start waits for Slack before it says `ready` without it."""

LOOK = 0.5
"""Seconds after which the main thread looks up: Python handles a signal there, and the system may wake another one."""

STOP_WITHIN = 8.0
"""Seconds in which a stop is done, whatever hangs: what runs on the hosts goes on and is found again."""


def serve(config: Path) -> int:
    """Runs the bot until SIGTERM or SIGINT. Exit code 0; raises Refusal for a bad configuration or a held directory."""
    settings = load_config(config)
    masker = Masker(settings.secrets)
    _log_to_stderr(masker)
    for warning in settings.warnings:
        log.warning("%s", warning)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    held = hold(settings.data_dir)
    bot = Bot(settings, masker)
    try:
        bot.start()
        print(f"quarterdeck is ready{bot.without_slack()}", file=sys.stderr, flush=True)
        while not stop.wait(LOOK):
            pass
    finally:
        log.info("stopping: what runs on the hosts goes on there")
        bot.stop()
        os.close(held)
    return 0


class Bot:
    """The composed application. `start` returns when it answers commands: `quarterdeck ctl`'s at least, and Slack's too
    where Slack answers."""

    def __init__(self, settings: Settings, masker: Masker) -> None:
        self.settings = settings
        self.board = Board(Ledger.open(settings.data_dir))
        if self.board.ledger.cut:
            log.warning("a torn last line of %d bytes was cut off the ledger", self.board.ledger.cut)
        self._say_what_changed()
        store = Store(settings.data_dir, settings.max_bytes)
        self.performer = Performer(
            settings.config.vcenters,
            settings.environments,
            namespace=self.board.ledger.name,
            archives=store.path,
        )
        materials = Materials(self.board, settings, store)
        self.app, client = _slack_app(settings, used=_told_before(self.board))
        self.roles = Roles(settings.config.roles, client)
        self.runs = Runs(self.board, settings, materials, self.performer, self.roles, masker)
        promotions = Promotions(self.board, settings, materials, self.performer, self.runs)
        sweeper = Sweeper(self.board, settings, materials, self.performer, self.runs)
        self.clock = Clock(self.board, settings, self.runs, promotions, sweeper)
        self.watch = Watch(client, partial(self.roles.persons, "admins"), masker)
        self.publisher = Publisher(
            self.board,
            Channel(client, settings.config.slack.channel),
            self._scribe(materials, masker),
            Attachments(self.board, settings.data_dir, masker, settings.timezone),
            saw=partial(self.watch.saw, "posts"),
        )
        self.workers = Workers()
        deck = self._deck(materials, promotions, Intake(self.board, settings, store), masker)
        register(self.app, deck)
        self.door = Door(settings.data_dir, Console(deck, client).answer)
        self.line = Line(self.app, settings.config.slack.app_token, client, self.watch, self.publisher.hurry)

    def start(self) -> None:
        self.watch.start()
        self.line.start()
        self.publisher.start()
        self.clock.start()
        self.runs.enter_all()
        self.door.open()
        self.line.settled.wait(PATIENCE)

    def without_slack(self) -> str:
        """What is said of Slack where it was not reached yet; empty where it was."""
        if self.line.is_connected():
            return ""
        trouble = self.watch.trouble("socket")
        why = f"{trouble.trouble.code} since {moment(trouble.since)}" if trouble else f"no answer in {PATIENCE:.0f} s"
        return f", but Slack is not reached yet ({why}): `quarterdeck ctl` answers, runs go on, Slack is told later"

    def stop(self) -> None:
        """No new work; the socket, the clock, the publisher and the ledger closed, in that order."""
        last_resort = threading.Timer(STOP_WITHIN, lambda: os._exit(0))
        last_resort.daemon = True
        last_resort.start()
        self.runs.close()
        self.door.close()
        self.line.close()
        self.watch.stop()
        self.workers.close()
        self.clock.stop()
        self.publisher.stop(2.0)
        self.board.close()
        self.performer.close()

    def _deck(self, materials: Materials, promotions: Promotions, intake: Intake, masker: Masker) -> Deck:
        return Deck(
            settings=self.settings,
            board=self.board,
            runs=self.runs,
            promotions=promotions,
            intake=intake,
            roles=self.roles,
            masker=masker,
            workers=self.workers,
            visits=Visits(self.board, self.settings, materials, self.performer, self.runs),
        )

    def _scribe(self, materials: Materials, masker: Masker) -> Scribe:
        return Scribe(
            self.board,
            self.settings.data_dir,
            masker,
            plan_of=materials.phases,
            audience=self.roles.people,
            waits_for=self.runs.waits_for,
            ways_of=materials.ways,
            standing_of=materials.standing,
            commands=msgspec.to_builtins(self.settings.config.commands),
            timezone=self.settings.timezone,
        )

    def _say_what_changed(self) -> None:
        last = next(self.board.table(Loaded), None)
        changed = changed_keys(last.keys, self.settings.keys) if last else ()
        if last is None or last.digest != self.settings.digest:
            event = ConfigLoaded(digest=self.settings.digest, changed=changed, keys=self.settings.keys)
            self.board.record("quarterdeck", event)


def _told_before(board: Board) -> bool:
    """Whether Slack ever took a message of this bot."""
    return any(release.messages for release in board.table(Release)) or any(run.messages for run in board.table(Run))


def _slack_app(settings: Settings, *, used: bool) -> tuple[App, WebClient]:
    """The Bolt app, and the client of whoever only reads. Raises Refusal where Slack refuses a bot token that was not
    `used` before; that Slack cannot be asked is no reason not to start, nor is a token that was revoked later."""
    slack = settings.config.slack
    client = WebClient(token=slack.bot_token, base_url=slack.api_url, timeout=10)
    if not used:
        _refuse_a_wrong_token(slack)
    app = App(
        client=client,
        authorize=lambda enterprise_id, team_id: AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, bot_token=slack.bot_token
        ),
        logger=logging.getLogger("slack_bolt"),
        process_before_response=True,  # our listeners are short: their ack is not polled for, their threads not shared
    )
    return app, client


def _refuse_a_wrong_token(slack: Slack) -> None:
    try:
        WebClient(token=slack.bot_token, base_url=slack.api_url, timeout=3, retry_handlers=[]).auth_test()
    except (SlackClientError, HTTPException, OSError) as error:
        said = answer(error)
        if isinstance(said, Refused) and said.error in REFUSED:
            raise Refusal(
                "slack_refused",
                f"{slack.api_url} refuses slack.bot_token: {said.error}.",
                "Install the app again and put its bot token (xoxb-…) into the configuration.",
            ) from None


class _Masking(logging.Filter):
    """No secret reaches the log, whoever writes it."""

    def __init__(self, masker: Masker) -> None:
        super().__init__()
        self._masker = masker

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        record.msg, record.args = self._masker.text(text), ()
        return True


def _log_to_stderr(masker: Masker) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_Masking(masker))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("quarterdeck").setLevel(logging.INFO)
    logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)  # it says every try; the bot says what they come to
    logging.getLogger("slack_bolt").setLevel(logging.ERROR)  # its warnings are hints for who writes a bot
