"""Touches the inspection of a failed staging, for `/stage`: lets the developers in whose release failed on it."""

from msgspec.structs import replace

from bot.line.blocks import line, person
from handlers import blocks
from handlers.deck import Answer, Asked, Deck, Verb
from handlers.words import Form, Request
from plans.errors import Refusal
from plans.rule_records import Inspection


def _inspect(deck: Deck, asked: Asked) -> Answer:
    environment = asked.request.environment
    event = deck.visits.enter(environment, by=asked.by)
    people = ", ".join(person(one) for one in event.people)
    missing = [name for name in deck.settings.environments[environment].named() if name not in event.hosts]
    left = f"Not on {line(', '.join(missing))}: a key does not get in there." if missing else ""
    where = line(", ".join(event.hosts))
    return blocks.said(f"{people} may log in on {where} of {line(environment)}; the thread says how.", left)


def _open(deck: Deck, request: Request) -> Request:
    """Left open, it is the one environment that may be looked at now, or the only one that it could be."""
    if request.environment:
        return request
    opened = [one.environment for one in deck.board.table(Inspection)]
    stagings = sorted({app.staging for app in deck.settings.apps.values()})
    able = opened or stagings
    if len(able) != 1:
        raise Refusal(
            "which_environment", f"Which environment? There are {', '.join(able)}.", "Type: /stage inspect ENVIRONMENT"
        )
    return replace(request, environment=able[0])


VERBS = (
    Verb(
        Form("inspect", ("environment?",), "/stage inspect [ENVIRONMENT]"),
        "Lets who handed the failed release off look at staging, by their public key, until it is reverted.",
        "admins",
        _inspect,
        meant=_open,
    ),
)
