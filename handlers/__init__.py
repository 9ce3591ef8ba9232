"""Registers with Bolt what people type, press and send: the acknowledgement, the role gate, the error boundary."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.buttons import TWINS, pressed
from handlers.deck import Asked, Deck, Verb, Verbs, forms
from handlers.handoff import HANDOFF, Metadata, form_request
from handlers.promote import PROMOTE
from handlers.reception import Reception, Seen
from handlers.stage import NOTED, STAGE, ask_for_note
from handlers.words import Request, parse

if TYPE_CHECKING:
    from slack_bolt import App, BoltResponse

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

        if seen.before(body.get("trigger_id", "")):
            return BoltResponse(status=409)
        if "arrived" not in context:
            context["arrived"] = clock()
        elif reception.late(context["arrived"], "what waited for a listener"):
            return BoltResponse(status=409)
        next()
        return None

    for command, verbs in COMMANDS.items():
        app.command(names[command.removeprefix("/")])(_typed(reception, command, verbs))
    app.action(re.compile("|".join(TWINS)))(_pressed(reception))
    app.view("handoff")(_handed_off(reception))
    app.view("answer")(_answered(reception))


def _typed(reception: Reception, command: str, verbs: Verbs) -> Callable[..., None]:
    def listener(ack: Any, body: dict[str, Any], client: Any, context: Any) -> None:
        asked = Asked(
            by=body["user_id"],
            channel=body["channel_id"],
            client=client,
            arrived=context["arrived"],
            trigger=body.get("trigger_id", ""),
            address=body.get("response_url", ""),
        )
        typed = reception.shown(command, body.get("text") or "")

        def take() -> Any:
            request = parse(command, forms(verbs), body.get("text") or "", reception.deck.surroundings())
            return reception.admit(verbs[request.verb], replace(asked, request=request), typed)

        reception.acknowledge(ack, reception.bounded(typed, take))

    return listener


def _pressed(reception: Reception) -> Callable[..., None]:
    def listener(ack: Any, body: dict[str, Any], action: dict[str, Any], client: Any, context: Any) -> None:
        ack()
        container = body.get("container") or {}
        asked = Asked(
            by=body["user"]["id"],
            channel=(body.get("channel") or {}).get("id", ""),
            client=client,
            arrived=context["arrived"],
            trigger=body.get("trigger_id", ""),
            address=body.get("response_url", ""),
            thread=container.get("thread_ts", ""),
        )
        command, line = TWINS[action["action_id"]]
        line = line.format(action.get("value", ""))
        typed = reception.shown(command, line)

        def take() -> Any:
            request = parse(command, forms(COMMANDS[command]), line, reception.deck.surroundings())
            verb = pressed(COMMANDS[command][request.verb], action["action_id"], container.get("message_ts", ""))
            if request.choice in NOTED:
                verb = replace(verb, do=ask_for_note)
            return reception.admit(verb, replace(asked, request=request), typed)

        if answer := reception.bounded(typed, take):
            reception.later(lambda: reception.tell(asked, answer))

    return listener


def _handed_off(reception: Reception) -> Callable[..., None]:
    def listener(ack: Any, body: dict[str, Any], view: dict[str, Any], client: Any, context: Any) -> None:
        request, errors = form_request(view)
        if errors:
            ack(response_action="errors", errors=errors)
        else:
            _sent(reception, ack, HANDOFF[""], _from_form(body, view, client, context, request), "/handoff (form)")

    return listener


def _answered(reception: Reception) -> Callable[..., None]:
    def listener(ack: Any, body: dict[str, Any], view: dict[str, Any], client: Any, context: Any) -> None:
        about = msgspec.json.decode(view["private_metadata"], type=Metadata)
        note = view["state"]["values"]["note"]["note"].get("value") or ""
        request = Request(verb="answer", run=about.run, question=about.question, choice=about.choice, text=note)
        asked = _from_form(body, view, client, context, request)
        _sent(reception, ack, STAGE["answer"], asked, f"/stage answer {about.run} {about.choice}")

    return listener


def _from_form(body: dict[str, Any], view: dict[str, Any], client: Any, context: Any, request: Request) -> Asked:
    about = msgspec.json.decode(view["private_metadata"], type=Metadata)
    return Asked(
        by=body["user"]["id"],
        channel=about.channel,
        client=client,
        arrived=context["arrived"],
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
