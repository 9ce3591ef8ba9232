"""Decides who is let in and what they are told: the role gate, twice, and the one error boundary."""

import logging
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.client import HTTPException
from typing import Any

from msgspec.structs import replace as with_fields
from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient

from bot import durable
from bot.line.blocks import Message, mentions
from handlers import blocks
from handlers.deck import Answer, Asked, Deck, Verb
from handlers.letters import plain, visible
from plans.errors import Refusal
from plans.events import AccessDenied

log = logging.getLogger(__name__)

ACK_WITHIN = 3.0
"""Seconds after which Slack has told the person that their command failed: it must have no effect then."""
ANSWER_WITHIN = 10
"""Seconds that Slack may take to accept an answer."""


class Reception:
    """Where everything that people ask for arrives. `clock` is monotonic, in seconds.

    `names`: what the commands handoff, stage and promote are called here.
    """

    def __init__(self, deck: Deck, clock: Callable[[], float], names: Mapping[str, str]) -> None:
        self.deck = deck
        self._clock = clock
        self._names = names

    def admit(self, verb: Verb, asked: Asked, typed: str) -> Answer:
        """The answer where there is one at once; else the work is lined up, and answers later. Raises Refusal.

        A role is asked for here and again when the work starts. What Slack has given up on is dropped.
        """
        asked = self.taken(verb, asked, typed)
        if self.late(asked.arrived, f"{typed} by {asked.by}"):
            return None
        if verb.at_once:
            return verb.do(self.deck, asked)
        self.deck.workers.submit(lambda: self._work(verb, asked, typed))
        return None

    def taken(self, verb: Verb, asked: Asked, typed: str) -> Asked:
        """What somebody asked for who may, as it is meant now, secrets masked. Raises Refusal."""
        text = self.deck.masker.text(visible(asked.request.text))
        self.gate(verb, asked, typed)
        return replace(asked, request=verb.meant(self.deck, with_fields(asked.request, text=text)))

    def late(self, arrived: float, what: str) -> bool:
        """Whether Slack has given up on what came then: it must have no effect. The log says so."""
        if self._clock() - arrived <= ACK_WITHIN:
            return False
        log.warning("%s came too late and was dropped: Slack has told them that it failed", what)
        return True

    def bounded(self, typed: str, work: Callable[[], Answer], *, begun: bool = False) -> Answer:
        """The answer of `work`, or how a refusal or a fault of it reads. `begun`: something may have been done."""
        return self.outcome(typed, work, begun=begun)[1]

    def outcome(self, typed: str, work: Callable[[], Answer], *, begun: bool) -> tuple[bool, Answer]:
        """As `bounded`, and first whether it was neither refused nor at fault."""
        try:
            return True, work()
        except Refusal as refusal:
            return False, blocks.refused(refusal)
        except Exception as failure:
            if isinstance(failure, OSError) and failure.errno in durable.FULL:
                log.error("%s was not done: %s", typed, failure)
                return False, blocks.refused(durable.refused(failure))
            number = secrets.token_hex(4)
            log.exception("fault %s in %s", number, typed)
            return False, blocks.fault(number, begun=begun)

    def acknowledge(self, ack: Any, answer: Answer) -> None:
        """With the answer where there is one: a call less, and there at once."""
        if answer is None:
            ack()
        else:
            ack(**self.outward(answer))

    def tell(self, asked: Asked, answer: Message) -> None:
        """Says it to that person alone; where the address that came with the request fails, in the channel."""
        payload = self.outward(answer) | {"replace_original": False}
        payload |= {"thread_ts": asked.thread} if asked.thread else {}
        client = asked.client
        try:
            hook = WebhookClient(asked.address, timeout=ANSWER_WITHIN, ssl=client.ssl, proxy=client.proxy)
            said = hook.send_dict(payload)
            if said.status_code == 200:
                return
            log.warning("Slack did not take an answer at its address: %s %s", said.status_code, said.body)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: that is no address
            log.warning("Slack did not take an answer at its address: %s", error)
        try:
            client.chat_postEphemeral(
                channel=asked.channel, user=asked.by, text=payload["text"], blocks=payload["blocks"]
            )
        except (SlackClientError, OSError, HTTPException) as error:
            log.warning("%s could not be told: %s", asked.by, error)

    def later(self, work: Callable[[], None]) -> None:
        """Lines up what needs no gate: a refusal that only has to be told."""
        try:
            self.deck.workers.submit(work)
        except Refusal as refusal:
            log.warning("an answer was not given: %s", refusal)

    def shown(self, command: str, line: str) -> str:
        """A typed line as the ledger and the log keep it."""
        return self.deck.masker.text(f"{command} {plain(line)}".strip())[:200]

    def outward(self, answer: Message) -> dict[str, Any]:
        """An answer as Slack takes it, secrets masked, commands called what they are called here."""
        return {
            "text": self._said(answer.text),
            "blocks": self._said(answer.blocks),
            "response_type": "ephemeral",
        }

    def _work(self, verb: Verb, asked: Asked, typed: str) -> None:
        def work() -> Answer:
            self.gate(verb, asked, typed)
            if self.deck.roles.shared(asked.channel):
                message = "People from outside are in this channel, so nothing is done from here."
                raise Refusal("shared_channel", message, "Type it in a channel of your own workspace.")
            return verb.do(self.deck, asked)

        if answer := self.bounded(typed, work, begun=True):
            self.tell(asked, answer)

    def gate(self, verb: Verb, asked: Asked, typed: str) -> None:
        """Raises Refusal for whom the verb is not, and the ledger has it."""
        deck, role = self.deck, verb.role(self.deck, asked.by, asked.request)
        if deck.roles.allowed(asked.by, role) if role else deck.roles.member(asked.by):
            return
        deck.board.record(asked.by, AccessDenied(command=typed, role=role or "members"))
        if not role:
            message = "This is for full members of this workspace: no guests, no people from others."
            raise Refusal("role_needed", message, "Ask somebody here to do it for you.")
        people = mentions(deck.roles.people(role)[:5])
        hint = (
            f"Ask one of them: {people}" if people else f"An admin lists them under roles.{role} in the configuration."
        )
        raise Refusal("role_needed", f"`{typed}` is for {role}, and you are not one of them.", hint)

    def _said(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._renamed(self.deck.masker.text(value))
        if isinstance(value, dict):
            return {key: self._said(each) for key, each in value.items()}
        return [self._said(each) for each in value] if isinstance(value, list | tuple) else value

    def _renamed(self, text: str) -> str:
        return re.sub(r"(?<![\w/.:-])/(handoff|stage|promote)\b(?![/.])", lambda found: self._names[found[1]], text)


class Seen:
    """The latest `most` triggers: each click, command or sent form has one of its own."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._triggers: dict[str, None] = {}
        self._lock = threading.Lock()

    def before(self, trigger: str) -> bool:
        """Whether this one was there already; what has no trigger is always new."""
        with self._lock:
            if trigger in self._triggers:
                return True
            if trigger:
                self._triggers[trigger] = None
            if len(self._triggers) > self._most:
                del self._triggers[next(iter(self._triggers))]
            return False
