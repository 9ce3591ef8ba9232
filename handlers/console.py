"""Decides who types on the bot's own host, and what they are told: the same gate and error boundary as in Slack."""

import time
from collections.abc import Callable
from concurrent.futures import Future

from slack_sdk import WebClient

from bot.ctl import ANSWERED_WITHIN, DONE, REFUSED, WRONG, Peer, Reply
from bot.line.blocks import Message
from handlers import blocks
from handlers.ctl import SLASHED, called, read
from handlers.deck import Answer, Asked, Deck, Verb
from handlers.reception import Reception
from handlers.terminal import readable
from plans.errors import Refusal
from plans.events import AccessDenied, CtlUsed


class Console:
    """Where the lines of `quarterdeck ctl` arrive. `client` is the bot's own; no answer goes out by it."""

    def __init__(self, deck: Deck, client: WebClient) -> None:
        self._deck = deck
        self._client = client
        self._reception = Reception(deck, time.monotonic, {name: called(name) for name in SLASHED})

    def answer(self, peer: Peer, line: str, gone: Callable[[], bool]) -> Reply:
        """What becomes of a line that a user of this host typed; nothing is begun for one who has `gone` by then.

        Who of the workspace that is, the configuration says; that it is they, the operating system.
        """
        typed = self._reception.shown("ctl", line)
        user = self._deck.settings.config.ctl.users.get(peer.name)
        if user is None:
            return self._bounded(typed, lambda: self._refuse_stranger(peer, typed), begun=False)
        if self._deck.roles.vouch(user):
            self._deck.runs.enter_all()
        try:
            verb, request = read(line, self._deck.surroundings())
        except Refusal as wrong:
            return self._reply(WRONG, blocks.refused(wrong))
        asked = Asked(
            by=user,
            channel="",
            client=self._client,
            arrived=time.monotonic(),
            since=self._deck.last_run(),
            request=request,
        )

        def work() -> Answer:
            if verb.at_once:
                return verb.do(self._deck, self._reception.taken(verb, asked, typed))
            return self._lined_up(verb, asked, typed, peer, gone)

        return self._bounded(typed, lambda: _by_id(user, work), begun=not verb.at_once)

    def _lined_up(self, verb: Verb, asked: Asked, typed: str, peer: Peer, gone: Callable[[], bool]) -> Answer:
        """The answer of a worker. The ledger has first that it came from here: what it does follows that."""
        self._deck.board.record(asked.by, CtlUsed(user=peer.name, command=typed))
        meant = self._reception.taken(verb, asked, typed)
        answer: Future[Answer] = Future()

        def work() -> None:
            try:
                if gone():
                    raise Refusal("gone", "Whoever asked had gone before it was their turn; nothing was done.")
                self._reception.gate(verb, meant, typed)
                answer.set_result(verb.do(self._deck, meant))
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                answer.set_exception(error)

        self._deck.workers.submit(work)
        try:
            return answer.result(ANSWERED_WITHIN)
        except TimeoutError:
            if answer.done():
                raise
            message = f"It takes more than {ANSWERED_WITHIN / 60:.0f} minutes, and goes on by itself."
            raise Refusal("takes_long", message, f"What came of it: {called('status')}") from None

    def _refuse_stranger(self, peer: Peer, typed: str) -> Answer:
        denied = AccessDenied(command=f"{typed} (typed by {peer.name} on the bot's host)", role="ctl.users")
        self._deck.board.record("quarterdeck", denied)
        message = f"The configuration does not say who {peer.name}, a user of this host, is in the workspace."
        raise Refusal("role_needed", message, f"An admin adds a line under ctl.users: {peer.name}: U… (their id).")

    def _bounded(self, typed: str, work: Callable[[], Answer], *, begun: bool) -> Reply:
        done, answer = self._reception.outcome(typed, work, begun=begun)
        return self._reply(DONE if done else REFUSED, answer)

    def _reply(self, code: int, answer: Answer) -> Reply:
        told = self._reception.outward(answer or Message(""))
        return Reply(code, readable(told["text"], told["blocks"]))


def _by_id(user: str, work: Callable[[], Answer]) -> Answer:
    """The answer, or what helps here where only Slack knows whether somebody may."""
    try:
        return work()
    except Refusal as refusal:
        if refusal.code != "roles_unknown":
            raise
        hint = f"Without Slack whoever the configuration lists by id may: an admin adds {user} to a role under roles:."
        raise Refusal(refusal.code, refusal.message, hint) from None
