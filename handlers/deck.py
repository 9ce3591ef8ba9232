"""Decides what every verb is made of: how it is typed, who may, and what does it with which parts of the bot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from slack_sdk import WebClient

from bot.board import Board
from bot.config import Settings
from bot.intake import Intake
from bot.line.blocks import Message
from bot.masking import Masker
from bot.promotions import Promotions
from bot.roles import Roles
from bot.runs import Runs
from bot.visits import Visits
from handlers.arguments import Surroundings
from handlers.words import Form, Request
from handlers.workers import Workers
from plans.records import Run

EVERYBODY = ""
"""The role of all full members of the workspace."""

NOTHING = Request(verb="")


@dataclass(frozen=True)
class Deck:
    """The parts of the bot that commands reach."""

    settings: Settings
    board: Board
    runs: Runs
    promotions: Promotions
    intake: Intake
    roles: Roles
    masker: Masker
    workers: Workers
    visits: Visits

    def surroundings(self) -> Surroundings:
        """What a typed line is read against now."""
        return Surroundings(self.board.now(), self.settings.timezone, tuple(self.settings.environments))

    def last_run(self) -> int:
        """The number of the latest run; 0 before the first."""
        return max((run.number for run in self.board.table(Run)), default=0)


@dataclass(frozen=True)
class Asked:
    """Somebody's request, and from where it came.

    `trigger` opens one form within three seconds; `address` takes answers for half an hour, in `thread` where there is
    one; `arrived` is the monotonic time at which Slack brought it. `since` is the last run that they can have known of:
    what was begun after that, in their stead, is not begun again.
    """

    by: str
    channel: str
    client: WebClient
    arrived: float
    since: int
    trigger: str = ""
    address: str = ""
    thread: str = ""
    request: Request = NOTHING


Answer = Message | None
"""What the person alone is told; None where what they see is a form."""


@dataclass(frozen=True)
class Verb:
    """One verb of a command. `by`: a role, or what tells the role for that user and request.

    `at_once`: it only reads the board, so that its answer goes with the acknowledgement. `meant`: a request with what
    it leaves open filled in, as things are when it arrives: by the time the work starts they may have moved on.
    """

    form: Form
    says: str
    by: str | Callable[[Deck, str, Request], str]
    do: Callable[[Deck, Asked], Answer]
    at_once: bool = False
    meant: Callable[[Deck, Request], Request] = lambda deck, request: request

    def role(self, deck: Deck, user: str, request: Request) -> str:
        """Raises Refusal where what the request names is not there."""
        return self.by if isinstance(self.by, str) else self.by(deck, user, request)


Verbs = Mapping[str, Verb]


def verbs(*listed: Verb, otherwise: Verb | None = None) -> Verbs:
    """The verbs of a command by their names; `otherwise` is meant where the first word is none of them."""
    named = {verb.form.verb: verb for verb in listed}
    return ({"": otherwise} if otherwise else {}) | named


def forms(known: Verbs) -> dict[str, Form]:
    return {name: verb.form for name, verb in known.items()}
