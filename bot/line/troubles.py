"""Decides what a trouble with Slack calls for: when the next try is, what is said of it, to whom, what mends it."""

from datetime import UTC, datetime
from typing import Literal

import msgspec

from plans.quantities import spell

Place = Literal["socket", "posts", "others"]
"""Where trouble shows: commands come by the socket, what is told goes by posts, others share our tokens."""

AGAIN = 3600.0
"""Seconds after which a trouble that lasts is said again."""
LASTED = 30.0
"""Seconds after which a connection counts as a good one: what ends it then is no failure to connect."""

_CTL = "Runs go on, and `quarterdeck ctl` on the bot's host does what a command or a button does"


class Trouble(msgspec.Struct, frozen=True):
    """`code`: Slack's own word for it, or `unreachable`, `silent`, `ghosts`; `detail`: what was seen."""

    code: str
    detail: str = ""


class Ongoing(msgspec.Struct, frozen=True):
    """A trouble that lasts: `since` and `said` in epoch seconds; `direct`: the admins were told of it in person."""

    trouble: Trouble
    since: float
    said: float
    direct: bool = False


class Saying(msgspec.Struct, frozen=True):
    """What is said now, in the log where `logged`, and to each listed admin in person where `direct`."""

    text: str
    logged: bool = True
    direct: bool = False
    over: bool = False


class _Kind(msgspec.Struct, frozen=True):
    """`mend`: what a person does; `direct`: seconds after which the admins are told in person, None: Slack cannot."""

    mend: str
    direct: float | None = None


_TOKEN = _Kind(
    "Install the app again, put its new tokens into the configuration (slack.bot_token, slack.app_token) and restart",
    direct=0.0,
)
_KINDS = {
    "unreachable": _Kind("Look at the network, the proxy and slack.api_url; Slack's own state is on status.slack.com"),
    "silent": _Kind("The bot connects anew by itself"),
    "ghosts": _Kind(
        "What people type reaches whichever of them, and is lost where nobody reads. Stop any second bot with the same "
        "slack.app_token; if there is none, wait: Slack ends dead connections by itself. If they stay, make a new "
        "app-level token",
        direct=45.0,
    ),
    "too_many_websockets": _Kind(
        "Ten connections with this slack.app_token are open: stop the other bots, or make a new app-level token",
        direct=0.0,
    ),
    "link_disabled": _Kind("Turn Socket Mode on again in the app's settings", direct=0.0),
    "not_in_channel": _Kind("Invite the bot there: /invite @quarterdeck", direct=0.0),
    "channel_not_found": _Kind(
        "Check slack.channel in the configuration; a private channel must invite the bot first", direct=0.0
    ),
    "is_archived": _Kind("Bring the channel back, or name another one under slack.channel", direct=0.0),
    "restricted_action": _Kind("Let the app post in that channel", direct=0.0),
    "missing_scope": _Kind("Install the app again with the scopes that `quarterdeck manifest` lists", direct=0.0),
    **dict.fromkeys(("invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"), _TOKEN),
}
REFUSED = frozenset(code for code, kind in _KINDS.items() if kind is _TOKEN)
"""Slack's words for a token that it does not take."""

_PAUSES = {"too_many_websockets": (10.0, 300.0), "link_disabled": (10.0, 300.0)} | dict.fromkeys(REFUSED, (10.0, 300.0))
"""Seconds before the next try, the first time and at most, where it is not (1, 30)."""


def mend(code: str) -> str:
    """What a person must do about the whole connection or channel; empty where it is about one message."""
    kind = _KINDS.get(code)
    return kind.mend if kind else ""


def pause(code: str, failures: int, chance: float) -> float:
    """Seconds until the next try to connect after so many failures in a row: at once after none, then ever later.
    `chance` (0 to 1) spreads them by half to either side."""
    if failures == 0:
        return 0.0
    first, most = _PAUSES.get(code, (1.0, 30.0))
    return float(min(most, first * 2 ** min(failures - 1, 10)) * (0.5 + chance))


def judge(
    place: Place, known: Ongoing | None, seen: Trouble | None, now: float
) -> tuple[Ongoing | None, Saying | None]:
    """What lasts now (`known` before this), and what is to be said: a new trouble at once, the same one every hour and
    to the admins once it is worth it, its end when it is over. `now` in epoch seconds."""
    if seen is None:
        if known is None:
            return None, None
        words = f"{_WHERE[place]} well again after {_span(known, now)}."
        return None, Saying(words, direct=known.direct, over=True)
    if known is None or known.trouble.code != seen.code:
        since = known.since if known else now
        direct = _worth(seen.code, 0.0)
        said = _words(place, seen) + "."
        return Ongoing(seen, since, now, direct), Saying(said, direct=direct)
    direct = known.direct or _worth(seen.code, now - known.since)
    again = now - known.said >= AGAIN
    if not again and direct == known.direct:
        return msgspec.structs.replace(known, trouble=seen), None
    told = f"{_words(place, seen)}; since {moment(known.since)}, for {_span(known, now)}."
    return Ongoing(seen, known.since, now if again else known.said, direct), Saying(told, logged=again, direct=direct)


def next_look(known: Ongoing, now: float) -> float:
    """Seconds until something may have to be said of a trouble that stays as it is."""
    kind = _KINDS.get(known.trouble.code)
    after = kind.direct if kind else None
    again = known.said + AGAIN - now
    return max(0.0, again if known.direct or after is None else min(again, known.since + after - now))


def moment(at: float) -> str:
    """Epoch seconds as a log shows them."""
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="seconds")


_WHERE: dict[Place, str] = {
    "socket": "The connection to Slack is",
    "posts": "What Slack is told is",
    "others": "The number of connections to Slack is",
}
_WHAT: dict[Place, str] = {
    "socket": "What people type and press in Slack does not arrive",
    "posts": "The channel cannot be told what happens; it is kept and told later",
    "others": "Slack counts more connections of this app than the bot has",
}


def _words(place: Place, trouble: Trouble) -> str:
    detail = f" ({trouble.detail})" if trouble.detail else ""
    hint = mend(trouble.code)
    return f"{_WHAT[place]}: {trouble.code}{detail}. {_CTL}" + (f". {hint}" if hint else "")


def _worth(code: str, lasted: float) -> bool:
    kind = _KINDS.get(code)
    return kind is not None and kind.direct is not None and lasted >= kind.direct


def _span(known: Ongoing, now: float) -> str:
    return spell(max(0.0, now - known.since))
