"""Decides which environment a line is about."""

from collections.abc import Collection

from handlers.deck import Deck
from plans.errors import Refusal


def stagings(deck: Deck) -> set[str]:
    return {app.staging for app in deck.settings.apps.values()}


def one(named: str, candidates: Collection[str], usage: str) -> str:
    """The environment that was named, or the only one that it could be. Raises Refusal with the list of them."""
    listed = ", ".join(sorted(candidates))
    if named and named not in candidates:
        raise Refusal("wrong_environment", f"This cannot be done to {named}.", f"It can be done to: {listed}.")
    if named:
        return named
    if len(candidates) != 1:
        raise Refusal("which_environment", f"Which environment? There are {listed}.", f"Type: {usage}")
    return next(iter(candidates))
