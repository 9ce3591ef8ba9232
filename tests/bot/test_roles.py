"""Who may what: the table of those who may not, and a Slack that is slow, wrong or gone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from bot import config
from bot.roles import USERS_KEPT, VOUCHED, Roles, is_member
from plans.errors import Refusal

HOME: dict[str, Any] = {"id": "U1", "team_id": "T1", "deleted": False, "is_bot": False}


class Slack:
    """A directory that answers what it is told to, or fails; counts what it is asked."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, list[str]] = {}
        self.shared: set[str] = set()
        self.trouble: Exception | None = None
        self.asked: list[str] = []
        self.lets_go = threading.Event()
        self.lets_go.set()

    def auth_test(self) -> dict[str, Any]:
        return self._answer("auth", {"team_id": "T1", "enterprise_id": "E1"})

    def users_info(self, *, user: str) -> dict[str, Any]:
        if user not in self.users:
            self._answer(user, {})
            raise SlackApiError("no", {"ok": False, "error": "user_not_found"})
        return self._answer(user, {"user": self.users[user]})

    def usergroups_users_list(self, *, usergroup: str) -> dict[str, Any]:
        return self._answer(usergroup, {"users": list(self.groups.get(usergroup, []))})

    def conversations_info(self, *, channel: str) -> dict[str, Any]:
        return self._answer(channel, {"channel": {"is_ext_shared": channel in self.shared}})

    def _answer(self, name: str, answer: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(name)
        assert self.lets_go.wait(30)
        if self.trouble:
            raise self.trouble
        return answer

    @contextmanager
    def hangs(self) -> Iterator[None]:
        self.lets_go.clear()
        try:
            yield
        finally:
            self.lets_go.set()


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def slack() -> Slack:
    made = Slack()
    made.users["U1"] = HOME
    return made


@pytest.fixture
def time() -> Time:
    return Time()


def roles(slack: Slack, time: Callable[[], float], *, patience: float = 30.0, **listed: Any) -> Roles:
    configured = config.Roles(**({"admins": ("U1",)} | listed))
    return Roles(configured, slack, now=time, patience=patience)


@pytest.mark.parametrize(
    ("user", "member"),
    [
        (HOME, True),
        (HOME | {"is_restricted": False, "is_ultra_restricted": False}, True),
        (HOME | {"is_restricted": True}, False),
        (HOME | {"is_ultra_restricted": True}, False),
        (HOME | {"is_bot": True}, False),
        (HOME | {"deleted": True}, False),
        (HOME | {"team_id": "T2"}, False),
        (HOME | {"team_id": "T2", "is_stranger": False}, False),
        (HOME | {"team_id": ""}, False),
        (HOME | {"team_id": None}, False),
        ({"id": "U1"}, False),
        ({}, False),
        (HOME | {"team_id": "T2", "enterprise_user": {"enterprise_id": "E1"}}, True),
        (HOME | {"team_id": "T2", "enterprise_user": {"enterprise_id": "E2"}}, False),
        (HOME | {"team_id": "T2", "enterprise_user": {}}, False),
    ],
)
def test_who_is_a_member(user: dict[str, Any], member: bool) -> None:
    assert is_member(user, "T1", "E1") is member


def test_without_a_team_of_our_own_nobody_is_a_member() -> None:
    assert not is_member({"team_id": ""}, "", "")
    assert not is_member({"enterprise_user": {"enterprise_id": ""}}, "", "")


def test_a_role_without_a_list_is_nobodys(slack: Slack, time: Time) -> None:
    ours = roles(slack, time)
    assert ours.allowed("U1", "admins")
    assert not ours.allowed("U1", "testers")
    assert not ours.allowed("U1", "developers")
    assert not ours.allowed("U1", "kings")
    assert ours.people("testers") == ()


def test_everybody_means_every_member_and_no_guest(slack: Slack, time: Time) -> None:
    slack.users |= {"U2": HOME, "U3": HOME | {"is_restricted": True}}
    ours = roles(slack, time, developers="everybody")
    assert ours.allowed("U2", "developers")
    assert not ours.allowed("U3", "developers")
    assert not ours.allowed("U4", "developers")
    assert ours.people("developers") == ()


def test_a_listed_user_who_became_a_guest_has_no_role(slack: Slack, time: Time) -> None:
    slack.users["U1"] = HOME | {"is_ultra_restricted": True}
    assert not roles(slack, time).allowed("U1", "admins")


def test_a_group_gives_its_members_the_role(slack: Slack, time: Time) -> None:
    slack.groups["S1"] = ["U1", "U9"]
    ours = roles(slack, time, admins=("S1",), testers=("U7", "S2"))
    assert ours.allowed("U1", "admins")
    assert not ours.allowed("U9", "admins"), "in the group, but Slack does not know them"
    assert not ours.allowed("U1", "testers")
    assert ours.people("testers") == ("U7", "S2")


def test_answers_are_remembered_and_asked_for_anew_in_the_background(slack: Slack, time: Time) -> None:
    ours = roles(slack, time)
    assert ours.allowed("U1", "admins")
    time.now += 170
    assert ours.allowed("U1", "admins")
    assert slack.asked.count("U1") == 1
    time.now += 60
    slack.users["U1"] = HOME | {"deleted": True}
    with slack.hangs():
        assert ours.allowed("U1", "admins"), "the last answer serves while the next is on its way"
    wait_until(lambda: not ours.allowed("U1", "admins"))


def test_what_was_known_serves_for_a_while_without_slack_and_then_no_more(slack: Slack, time: Time) -> None:
    slack.groups["S1"] = ["U1"]
    ours = roles(slack, time, admins=("S1",))
    assert ours.allowed("U1", "admins")
    slack.trouble = TimeoutError()
    time.now += 599
    assert ours.allowed("U1", "admins")
    time.now += 2
    with pytest.raises(Refusal) as caught:
        ours.allowed("U1", "admins")
    assert caught.value.code == "roles_unknown"
    slack.trouble = None
    assert ours.allowed("U1", "admins")
    slack.trouble = SlackApiError("no", {"ok": False, "error": "ratelimited"})
    time.now += 3700
    slack.users["U1"] = HOME
    with pytest.raises(Refusal):
        ours.allowed("U1", "admins")


def test_a_slack_that_does_not_answer_in_time_opens_nothing(slack: Slack, time: Time) -> None:
    ours = roles(slack, time, patience=0.05)
    with slack.hangs():
        with pytest.raises(Refusal) as caught:
            ours.allowed("U1", "admins")
        assert "did not say in time" in caught.value.message
        with pytest.raises(Refusal):
            ours.member("U1")
        assert slack.asked == ["auth"], "one question at a time, however many wait for it"
    wait_until(lambda: slack.asked == ["auth", "U1"])
    wait_until(lambda: known(ours, "U1"))


def test_a_group_that_cannot_be_read_hides_no_member_of_another(slack: Slack, time: Time) -> None:
    slack.groups["S2"] = ["U1"]
    answer = slack.usergroups_users_list

    def only_the_second(*, usergroup: str) -> dict[str, Any]:
        if usergroup == "S1":
            raise SlackApiError("no", {"ok": False, "error": "no_such_subteam"})
        return answer(usergroup=usergroup)

    slack.usergroups_users_list = only_the_second  # type: ignore[method-assign]
    assert roles(slack, time, admins=("S1", "S2")).allowed("U1", "admins")
    slack.groups["S2"] = []
    with pytest.raises(Refusal):
        roles(slack, time, admins=("S1", "S2")).allowed("U1", "admins")


def test_people_are_known_by_their_groups_as_far_as_slack_tells(slack: Slack, time: Time) -> None:
    slack.groups = {"S1": ["U3", "U2"]}
    assert roles(slack, time, admins=("U1", "S1", "U2")).persons("admins") == ("U1", "U2", "U3")
    slack.trouble = SlackApiError("no", {"ok": False, "error": "missing_scope"})
    assert roles(slack, time, admins=("U1", "S1")).persons("admins") == ("U1",)


def test_channels_shared_with_others_are_known_as_far_as_slack_tells(slack: Slack, time: Time) -> None:
    slack.shared = {"C2"}
    ours = roles(slack, time)
    assert ours.shared("C2")
    assert not ours.shared("C1")
    slack.trouble = SlackApiError("no", {"ok": False, "error": "channel_not_found"})
    assert not ours.shared("C3")


def known(ours: Roles, user: str) -> bool:
    try:
        return ours.member(user)
    except Refusal:
        return False


def wait_until(seen: Callable[[], bool], within: float = 30.0) -> None:
    """For what happens in another thread and tells nobody."""
    pause = threading.Event()
    for _ in range(int(within / 0.005)):
        if seen():
            return
        pause.wait(0.005)
    raise AssertionError(f"not seen within {within} s")


def test_the_hosts_word_stands_in_for_a_slack_that_is_silent(slack: Slack, time: Time) -> None:
    ours = roles(slack, time, admins=("U1", "S1"), testers=("U9",), developers="everybody")
    slack.trouble = OSError("nothing answers")
    for user in ("U1", "U2"):
        with pytest.raises(Refusal) as caught:
            ours.allowed(user, "admins")
        assert caught.value.code == "roles_unknown"
    assert ours.vouch("U1")
    assert not ours.vouch("U1"), "it is no news"
    assert ours.allowed("U1", "admins")
    assert ours.allowed("U1", "developers")
    assert not ours.allowed("U1", "testers")
    ours.vouch("U2")
    with pytest.raises(Refusal, match="did not say"):
        ours.allowed("U2", "admins")
    time.now += VOUCHED
    with pytest.raises(Refusal):
        ours.allowed("U1", "admins")


def test_slacks_no_weighs_more_than_the_hosts_word(slack: Slack, time: Time) -> None:
    ours = roles(slack, time, admins=("U1",))
    slack.users["U1"] = HOME | {"deleted": True}
    assert not ours.member("U1")
    ours.vouch("U1")
    assert not ours.allowed("U1", "admins")


def test_who_is_vouched_for_does_not_wait_for_slack(slack: Slack, time: Time) -> None:
    ours = roles(slack, time, admins=("U1",))
    slack.users["U1"] = HOME | {"is_restricted": True}
    with slack.hangs():
        ours.vouch("U1")
        assert ours.allowed("U1", "admins")
    wait_until(lambda: not ours.allowed("U1", "admins"))


def test_slack_is_asked_before_the_hosts_word_is_taken_and_its_no_does_not_grow_old(slack: Slack, time: Time) -> None:
    ours = roles(slack, time, admins=("U1",))
    slack.users["U1"] = HOME | {"is_restricted": True}
    ours.vouch("U1")
    assert not ours.allowed("U1", "admins")
    time.now += USERS_KEPT
    with slack.hangs():
        ours.vouch("U1")
        assert not ours.allowed("U1", "admins")
