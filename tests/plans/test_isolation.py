"""What vCenter says of network cards, and whether staging is cut off then."""

from collections.abc import Sequence

import pytest

from plans.actions import Nic
from plans.isolation import Isolation, Verdict, judge

RULES = Isolation(networks=("isolated", "second"))

# network, connected, connected at power-on, verdict
CARDS: list[tuple[str | None, bool | None, bool | None, Verdict]] = [
    ("isolated", True, True, "proved"),
    ("isolated", False, True, "proved"),
    ("isolated", None, None, "proved"),
    ("second", True, True, "proved"),
    ("production", True, True, "violated"),
    ("production", True, False, "violated"),
    ("production", False, True, "violated"),
    ("production", True, None, "violated"),
    ("production", None, True, "violated"),
    ("production", False, False, "proved"),
    ("production", None, None, "unproved"),
    ("production", False, None, "unproved"),
    ("production", None, False, "unproved"),
    ("Isolated", True, True, "violated"),
    ("isolated ", True, True, "violated"),
    ("", True, True, "violated"),
    (None, True, True, "unproved"),
    (None, False, True, "unproved"),
    (None, None, None, "unproved"),
    (None, False, False, "proved"),
]


@pytest.mark.parametrize(("network", "connected", "at_start", "verdict"), CARDS)
def test_one_card(network: str | None, connected: bool | None, at_start: bool | None, verdict: Verdict) -> None:
    found = judge({"web": [Nic("Network adapter 1", network, connected, at_start)]}, RULES)
    assert found.verdict == verdict
    assert found.evidence == (found.why,)
    assert found.why.startswith("web: Network adapter 1 is ")


GOOD = Nic("Network adapter 1", "isolated", True, True)
BAD = Nic("Network adapter 2", "production", False, True)
UNKNOWN = Nic("Network adapter 3", None, True, True)
WRONG = "db: Network adapter 2 is on production, which is not one of isolated, second (connected: no, at power-on: yes)"


@pytest.mark.parametrize(
    ("cards", "verdict", "why"),
    [
        ({}, "unproved", "there is no machine whose network cards vCenter could tell"),
        ({"web": []}, "proved", "web: has no network card"),
        ({"web": None}, "unproved", "web: vCenter did not tell its network cards"),
        ({"web": [GOOD], "db": [GOOD, BAD]}, "violated", WRONG),
        ({"web": None, "db": [UNKNOWN, BAD]}, "violated", WRONG),
        ({"web": [GOOD], "db": None}, "unproved", "db: vCenter did not tell its network cards"),
        (
            {"web": [UNKNOWN]},
            "unproved",
            "web: Network adapter 3 is on a network that vCenter does not name (connected: yes, at power-on: yes)",
        ),
    ],
)
def test_the_worst_card_is_the_verdict_and_says_why(
    cards: dict[str, Sequence[Nic] | None], verdict: Verdict, why: str
) -> None:
    found = judge(cards, RULES)
    assert (found.verdict, found.why) == (verdict, why)


def test_every_card_looked_at_is_evidence() -> None:
    found = judge({"web": [GOOD], "db": [GOOD, BAD], "cache": None, "queue": []}, RULES)
    assert [line.partition(" ")[0] for line in found.evidence] == ["web:", "db:", "db:", "cache:", "queue:"]


def test_without_a_listed_network_every_connected_card_violates() -> None:
    assert judge({"web": [GOOD]}, Isolation(networks=())).verdict == "violated"
