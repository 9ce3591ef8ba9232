"""Decides who may do what: the configured roles, checked against what Slack says of each person."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from bot import config
from plans.errors import Refusal

log = logging.getLogger(__name__)
V = TypeVar("V")

PATIENCE = 1.5
"""Seconds to wait for Slack: a command is acknowledged within three."""

USERS_FRESH, USERS_KEPT = 180.0, 600.0
GROUPS_FRESH, GROUPS_KEPT = 450.0, 3600.0
CHANNELS_FRESH, CHANNELS_KEPT = 3600.0, 86400.0
VOUCHED = 43200.0
"""Seconds, an evening and its night, for which the word of the bot's host stands in for Slack's silence."""


class Answer(Protocol):
    """An answer of Slack's: a mapping, or the SDK's response."""

    def get(self, key: str, default: Any = None, /) -> Any: ...


class Directory(Protocol):
    """The calls of slack_sdk's WebClient that tell who is who."""

    def auth_test(self) -> Answer: ...
    def users_info(self, *, user: str) -> Answer: ...
    def usergroups_users_list(self, *, usergroup: str) -> Answer: ...
    def conversations_info(self, *, channel: str) -> Answer: ...


class Roles:
    """The one gate. What cannot be known in time, or was not for too long, is refused: it fails closed."""

    def __init__(
        self,
        configured: config.Roles,
        directory: Directory,
        *,
        patience: float = PATIENCE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listed: dict[str, tuple[str, ...]] = {
            "admins": configured.admins,
            "testers": configured.testers,
            "developers": () if configured.developers == "everybody" else configured.developers,
        }
        self._everybody = {"developers"} if configured.developers == "everybody" else set()
        self._directory = directory
        self._now = now
        self._vouched: dict[str, float] = {}
        self._team: tuple[str, str] | None = None
        self._users = Remembered(self._look_up, USERS_FRESH, USERS_KEPT, patience, now)
        self._groups = Remembered(self._members_of, GROUPS_FRESH, GROUPS_KEPT, patience, now)
        self._channels = Remembered(self._is_shared, CHANNELS_FRESH, CHANNELS_KEPT, patience, now)

    def allowed(self, user: str, role: str) -> bool:
        """Whether a user (by id) has a role now. Raises Refusal `roles_unknown` when Slack does not say."""
        listed = self._listed.get(role, ())
        if not (listed or role in self._everybody) or not self.member(user):
            return False
        return role in self._everybody or user in listed or self._in_a_group(user, listed)

    def member(self, user: str) -> bool:
        """Whether a user is a full member of this workspace. Raises Refusal `roles_unknown` when Slack does not say.

        Somebody who was vouched for is one until Slack says otherwise, and Slack is not waited for.
        """
        try:
            return self._users.get(user, wait=not self._is_vouched_for(user))
        except Refusal:
            if self._is_vouched_for(user):
                return self._users.last(user) is not False
            raise

    def vouch(self, user: str) -> bool:
        """Takes the word of the bot's own host that this person is there; whether it was news.

        It says who somebody is, and gives no role: the configuration does, by that person's id. Whom it only lists by
        a group has no role until Slack tells who is in it. Slack has the last word, and is waited for the first time.
        """
        news = not self._is_vouched_for(user)
        with contextlib.suppress(Refusal):
            self._users.get(user, wait=news)
        self._vouched[user] = self._now() + VOUCHED
        return news

    def people(self, role: str) -> tuple[str, ...]:
        """The ids of users and groups that the role lists, to mention them; none where everybody has it."""
        return self._listed.get(role, ())

    def persons(self, role: str) -> tuple[str, ...]:
        """The ids of the people whom the role lists, by their groups too, as far as Slack tells who is in those."""
        found: dict[str, None] = {}
        for listed in self.people(role):
            if not listed.startswith("S"):
                found[listed] = None
                continue
            with suppress(Refusal):
                found |= dict.fromkeys(sorted(self._groups.get(listed)))
        return tuple(found)

    def shared(self, channel: str) -> bool:
        """Whether people of other organisations are in a channel, as far as Slack tells the bot of it."""
        try:
            return self._channels.get(channel)
        except Refusal:
            return False

    def _is_vouched_for(self, user: str) -> bool:
        return self._now() < self._vouched.get(user, 0.0)

    def _in_a_group(self, user: str, listed: tuple[str, ...]) -> bool:
        unknown: Refusal | None = None
        for group in listed:
            try:
                if group.startswith("S") and user in self._groups.get(group):
                    return True
            except Refusal as refusal:
                unknown = refusal
        if unknown:
            raise unknown
        return False

    def _look_up(self, user: str) -> bool:
        if self._team is None:
            own = self._directory.auth_test()
            self._team = (own.get("team_id") or "", own.get("enterprise_id") or "")
        try:
            found = self._directory.users_info(user=user).get("user")
        except Exception as error:
            if _error_code(error) in ("user_not_found", "user_not_visible"):
                return False
            raise
        return is_member(found or {}, *self._team)

    def _members_of(self, group: str) -> frozenset[str]:
        return frozenset(self._directory.usergroups_users_list(usergroup=group).get("users") or ())

    def _is_shared(self, channel: str) -> bool:
        found = self._directory.conversations_info(channel=channel).get("channel") or {}
        return bool(found.get("is_ext_shared") or found.get("is_pending_ext_shared"))


def is_member(user: dict[str, Any], team: str, enterprise: str) -> bool:
    """Whether `users.info` shows a full member: of this team or enterprise, neither deleted nor a bot nor a guest."""
    if any(user.get(flag) for flag in ("deleted", "is_bot", "is_restricted", "is_ultra_restricted")):
        return False
    theirs = (user.get("enterprise_user") or {}).get("enterprise_id")
    return bool(team and user.get("team_id") == team) or bool(enterprise and theirs == enterprise)


class Remembered(Generic[V]):
    """What somebody far away said, by key.

    An answer is used as it is for `fresh` seconds; then it is asked for anew in the background, and the last one
    still serves until it is `kept` seconds old. Who has none waits at most `patience` seconds.
    """

    def __init__(
        self, ask: Callable[[str], V], fresh: float, kept: float, patience: float, now: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._fresh = fresh
        self._kept = kept
        self._patience = patience
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, V]] = {}
        self._asking: dict[str, threading.Event] = {}

    def get(self, key: str, *, wait: bool = True) -> V:
        """Raises Refusal `roles_unknown` where there is no answer, or none that is young enough.

        Without `wait` it is asked all the same, for the next time.
        """
        found = self._younger_than(self._fresh, key)
        if found is None:
            told = self._asked(key)
            found = self._younger_than(self._kept, key)
            if found is None and wait and told.wait(self._patience):
                found = self._younger_than(self._kept, key)
        if found is None:
            raise Refusal(
                "roles_unknown",
                "Slack did not say in time who you are and what you may do, so nothing was done.",
                "Try again in a moment.",
            )
        return found[1]

    def last(self, key: str) -> V | None:
        """The last answer, however old; None where there never was one."""
        with self._lock:
            found = self._known.get(key)
        return found[1] if found else None

    def _younger_than(self, seconds: float, key: str) -> tuple[float, V] | None:
        with self._lock:
            found = self._known.get(key)
        return found if found and self._now() - found[0] < seconds else None

    def _asked(self, key: str) -> threading.Event:
        """Set when the answer is there, or when there will be none; one question a key at a time."""
        with self._lock:
            told = self._asking.get(key)
            if told is None:
                told = self._asking[key] = threading.Event()
                threading.Thread(target=self._learn, args=(key, told), name=f"ask-{key}", daemon=True).start()
            return told

    def _learn(self, key: str, told: threading.Event) -> None:
        asked = self._now()
        try:
            answer = self._ask(key)
            with self._lock:
                self._known[key] = (asked, answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer, and that closes the gate
            log.warning("Slack did not say who %s is: %s", key, _error_code(error) or type(error).__name__)
        finally:
            with self._lock:
                del self._asking[key]
            told.set()


def _error_code(error: Exception) -> str:
    """Slack's own word for what went wrong, where it was Slack that said so."""
    response: Any = getattr(error, "response", None)
    return str(response.get("error") or "") if response is not None else ""
