"""Touches everything once: puts the bot together from its configuration, runs it, and stops it cleanly."""

import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from bot.board import Board
from bot.clock import Clock
from bot.config import Settings, changed_keys, load_config
from bot.ctl import Door
from bot.intake import Intake
from bot.ledger import Ledger, hold
from bot.masking import Masker
from bot.material import Materials
from bot.packages import Store
from bot.progress import Publisher
from bot.promotions import Promotions
from bot.roles import Roles
from bot.runs import Runs
from bot.sweeps import Sweeper
from handlers import Deck, register
from handlers.console import Console
from handlers.workers import Workers
from plans.errors import Refusal
from plans.events import ConfigLoaded
from plans.quantities import seconds
from plans.records import Loaded
from vmops.perform import Performer

log = logging.getLogger("quarterdeck")

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
        print("quarterdeck is ready", file=sys.stderr, flush=True)
        stop.wait()
    finally:
        log.info("stopping: what runs on the hosts goes on there")
        bot.stop()
        os.close(held)
    return 0


class Bot:
    """The composed application. `start` returns when it answers commands."""

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
        self.app, client = _slack_app(settings)
        self.roles = Roles(settings.config.roles, client)
        self.runs = Runs(self.board, settings, materials, self.performer, self.roles, masker)
        promotions = Promotions(self.board, settings, materials, self.performer, self.runs)
        sweeper = Sweeper(self.board, settings, materials, self.performer, self.runs)
        self.clock = Clock(self.board, settings, self.runs, promotions, sweeper)
        self.publisher = Publisher(
            self.board,
            client,
            settings.config.slack.channel,
            data_dir=settings.data_dir,
            masker=masker,
            plan_of=materials.phases,
            audience=self.roles.people,
            waits_for=self.runs.waits_for,
            inspection=seconds(settings.policy.inspection),
            commands=msgspec.to_builtins(settings.config.commands),
        )
        self.workers = Workers()
        intake = Intake(self.board, settings, store)
        deck = Deck(
            settings=settings,
            board=self.board,
            runs=self.runs,
            promotions=promotions,
            intake=intake,
            roles=self.roles,
            masker=masker,
            workers=self.workers,
        )
        register(self.app, deck)
        self.door = Door(settings.data_dir, Console(deck, client).answer)
        self._socket: Any = None

    def start(self) -> None:
        from slack_bolt.adapter.socket_mode import SocketModeHandler

        self._socket = SocketModeHandler(self.app, self.settings.config.slack.app_token)
        self._socket.client.message_listeners.append(at_once)
        self._socket.connect()
        self.publisher.start()
        self.clock.start()
        self.runs.enter_all()
        self.door.open()

    def stop(self) -> None:
        """No new work; the socket, the clock, the publisher and the ledger closed, in that order."""
        last_resort = threading.Timer(STOP_WITHIN, lambda: os._exit(0))
        last_resort.daemon = True
        last_resort.start()
        self.runs.close()
        self.door.close()
        if self._socket is not None:
            self._socket.close()
        self.workers.close()
        self.clock.stop()
        self.publisher.stop(2.0)
        self.board.close()
        self.performer.close()

    def _say_what_changed(self) -> None:
        last = next(self.board.table(Loaded), None)
        changed = changed_keys(last.keys, self.settings.keys) if last else ()
        if last is None or last.digest != self.settings.digest:
            event = ConfigLoaded(digest=self.settings.digest, changed=changed, keys=self.settings.keys)
            self.board.record("quarterdeck", event)


def _slack_app(settings: Settings) -> tuple[Any, Any]:
    """The Bolt app, and the client whose retries only the publisher's thread may wait for."""
    from slack_bolt import App
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

    slack = settings.config.slack
    client = WebClient(token=slack.bot_token, base_url=slack.api_url, timeout=10)
    try:
        client.auth_test()
    except SlackApiError as error:
        raise Refusal(
            "slack_refused",
            f"{slack.api_url} refuses slack.bot_token: {error.response.get('error')}.",
            "Install the app again and put its bot token (xoxb-…) into the configuration.",
        ) from None
    except OSError as error:
        raise Refusal(
            "slack_unreachable", f"{slack.api_url} does not answer: {error}.", "Look at the network and slack.api_url."
        ) from None
    app = App(
        client=client,
        token_verification_enabled=False,
        logger=logging.getLogger("slack_bolt"),
        process_before_response=True,  # our listeners are short: their ack is not polled for, their threads not shared
    )
    return app, client


def at_once(client: Any, message: dict[str, Any], raw: str | None = None) -> None:
    """Lets no acknowledgement wait for Slack's word on the one before it, as TCP does; told of each new connection."""
    if message.get("type") == "hello":
        client.current_session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


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
