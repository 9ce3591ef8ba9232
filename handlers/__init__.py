"""Registers with Bolt what people type, press and send: the acknowledgement, the role gate, the error boundary."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.buttons import TWINS, offered
from handlers.deck import Asked, Deck, Verb, Verbs, forms
from handlers.envelopes import Container, Pressed, Submitted, Typed, envelope
from handlers.handoff import HANDOFF, form_request
from handlers.promote import PROMOTE
from handlers.reception import Reception, Seen
from handlers.stage import NOTED, STAGE, ask_for_note
from handlers.words import Request, parse
from plans.errors import Refusal

if TYPE_CHECKING:
    from slack_bolt import App, BoltResponse

log = logging.getLogger(__name__)

__all__ = ["Deck", "register"]

COMMANDS: dict[str, Verbs] = {"/handoff": HANDOFF, "/stage": STAGE, "/promote": PROMOTE}


def register(app: "App", deck: Deck, clock: Callable[[], float] = time.monotonic) -> None:
    """Makes the app listen to every command, button and form. Listeners never wait for a run or for a download."""
    names: dict[str, str] = msgspec.to_builtins(deck.settings.config.commands)
    reception = Reception(deck, clock, names)
    seen = Seen()

    @app.middleware
    def stamp(context: Any, body: dict[str, Any], next: Callable[[], Any]) -> "BoltResponse | None":
        """Lets each envelope in once; one that Slack brings a second time has its answer already, and gets none.

        Nor does one that waited for longer than Slack does; `arrived` is when the socket brought it, if that is told.
        """
        from slack_bolt import BoltResponse

        try:
            said = context["envelope"] = envelope(body)
        except Refusal as strange:
            log.warning("an envelope was left out: %s", strange)
            return BoltResponse(status=400)
        if said is None:
            return BoltResponse(status=404)
        if seen.before(said.trigger_id or ""):
            return BoltResponse(status=409)
        if "arrived" not in context:
            context["arrived"] = clock()
        elif reception.late(context["arrived"], "what waited for a listener"):
            return BoltResponse(status=409)
        next()
        return None

    for command, verbs in COMMANDS.items():
        app.command(names[command.removeprefix("/")])(_typed(reception, command, verbs))
    app.action(re.compile(rf"(?:{'|'.join(TWINS)})\Z"))(_pressed(reception))
    app.view("handoff")(_handed_off(reception))
    app.view("answer")(_answered(reception))


def _typed(reception: Reception, command: str, verbs: Verbs) -> Callable[..., None]:
    def listener(ack: Any, client: Any, context: Any) -> None:
        said: Typed = context["envelope"]
        asked = Asked(
            by=said.user_id,
            channel=said.channel_id,
            client=client,
            arrived=context["arrived"],
            since=reception.deck.last_run(),
            trigger=said.trigger_id or "",
            address=said.response_url or "",
        )
        typed = reception.shown(command, said.text or "")

        def take() -> Any:
            request = parse(command, forms(verbs), said.text or "", reception.deck.surroundings())
            return reception.admit(verbs[request.verb], replace(asked, request=request), typed)

        reception.acknowledge(ack, reception.bounded(typed, take))

    return listener


def _pressed(reception: Reception) -> Callable[..., None]:
    def listener(ack: Any, client: Any, context: Any) -> None:
        ack()
        said: Pressed = context["envelope"]
        action, container = said.actions[0], said.container or Container()
        value, _, at = (action.value or "").partition("|")
        asked = Asked(
            by=said.user.id,
            channel=said.channel.id if said.channel else "",
            client=client,
            arrived=context["arrived"],
            since=offered(reception.deck, container.message_ts or "", at),
            trigger=said.trigger_id or "",
            address=said.response_url or "",
            thread=container.thread_ts or "",
        )
        command, line = TWINS[action.action_id]
        line = line.format(value)
        typed = reception.shown(command, line)

        def take() -> Any:
            request = parse(command, forms(COMMANDS[command]), line, reception.deck.surroundings())
            verb = COMMANDS[command][request.verb]
            if request.choice in NOTED:
                verb = replace(verb, do=ask_for_note)
            return reception.admit(verb, replace(asked, request=request), typed)

        if answer := reception.bounded(typed, take):
            reception.later(lambda: reception.tell(asked, answer))

    return listener


def _handed_off(reception: Reception) -> Callable[..., None]:
    def listener(ack: Any, client: Any, context: Any) -> None:
        said: Submitted = context["envelope"]
        request, errors = form_request(said)
        if errors:
            ack(response_action="errors", errors=errors)
        else:
            _sent(reception, ack, HANDOFF[""], _from_form(reception, said, client, context, request), "/handoff (form)")

    return listener


def _answered(reception: Reception) -> Callable[..., None]:
    def listener(ack: Any, client: Any, context: Any) -> None:
        said: Submitted = context["envelope"]
        about, note = said.about, said.entered("note").value or ""
        request = Request(verb="answer", run=about.run, question=about.question, choice=about.choice, text=note)
        asked = _from_form(reception, said, client, context, request)
        _sent(reception, ack, STAGE["answer"], asked, f"/stage answer {about.run} {about.choice}")

    return listener


def _from_form(reception: Reception, said: Submitted, client: Any, context: Any, request: Request) -> Asked:
    about = said.about
    return Asked(
        by=said.by,
        channel=about.channel,
        client=client,
        arrived=context["arrived"],
        since=reception.deck.last_run(),
        address=about.address,
        thread=about.thread,
        request=request,
    )


def _sent(reception: Reception, ack: Any, verb: Verb, asked: Asked, typed: str) -> None:
    """A form is admitted and closes, or it stays open and says at its first field why not."""
    answer = reception.bounded(typed, lambda: reception.admit(verb, asked, typed))
    if answer is None:
        ack()
    else:
        field = "note" if asked.request.verb == "answer" else "archive"
        ack(response_action="errors", errors={field: reception.outward(answer)["text"]})
