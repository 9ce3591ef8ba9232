"""Decides whether staging is cut off from the network, from what vCenter says of its network cards."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from plans.actions import Nic

Verdict = Literal["proved", "attested", "violated", "unproved"]


class Isolation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    networks: tuple[str, ...]
    allowed_bridges: tuple[str, ...] = ()
    must_not_reach: tuple[str, ...] = ()
    must_reach: tuple[str, ...] = ()


class Judgement(msgspec.Struct, frozen=True):
    """`evidence` has one sentence for each network card looked at, and for each that could not be.

    `why` is the first of them that says what the verdict says.
    """

    verdict: Verdict
    evidence: tuple[str, ...]
    why: str


def judge(cards: Mapping[str, Sequence[Nic] | None], isolation: Isolation) -> Judgement:
    """`cards`: a host's name to its cards, None where vCenter did not tell them.

    A card violates isolation when it is connected, or will be at power-on, to a network that is not listed. What is
    not told is not taken for granted, nor is a place without a single machine to look at: unproved.
    """
    judged = [(verdict, f"{host}: {said}") for host, nics in cards.items() for verdict, said in _host(nics, isolation)]
    if not judged:
        judged = [("unproved", "there is no machine whose network cards vCenter could tell")]
    worst = min((verdict for verdict, _ in judged), key=_WORST_FIRST.index)
    why = next(said for verdict, said in judged if verdict == worst)
    return Judgement(worst, tuple(said for _, said in judged), why)


_WORST_FIRST: tuple[Verdict, ...] = ("violated", "unproved", "attested", "proved")


def _host(nics: Sequence[Nic] | None, isolation: Isolation) -> list[tuple[Verdict, str]]:
    if nics is None:
        return [("unproved", "vCenter did not tell its network cards")]
    return [_card(nic, isolation.networks) for nic in nics] or [("proved", "has no network card")]


def _card(nic: Nic, allowed: Sequence[str]) -> tuple[Verdict, str]:
    if nic.connected is False and nic.start_connected is False:
        return "proved", f"{nic.label} is not connected, nor at power-on"
    flags = f"connected: {_word(nic.connected)}, at power-on: {_word(nic.start_connected)}"
    if nic.network is None:
        return "unproved", f"{nic.label} is on a network that vCenter does not name ({flags})"
    if nic.network not in allowed:
        verdict: Verdict = "violated" if nic.connected or nic.start_connected else "unproved"
        return verdict, f"{nic.label} is on {nic.network}, which is not one of {', '.join(allowed)} ({flags})"
    return "proved", f"{nic.label} is on {nic.network} ({flags})"


def _word(flag: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[flag]
