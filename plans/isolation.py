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
    """`evidence` has one sentence for each network card looked at, and for each that could not be."""

    verdict: Verdict
    evidence: tuple[str, ...]


def judge(cards: Mapping[str, Sequence[Nic] | None], isolation: Isolation) -> Judgement:
    """`cards`: a host's name to its cards, None where vCenter did not tell them.

    A card violates isolation when it is connected, or will be at power-on, to a network that is not listed. What is
    not told is not taken for granted: unproved.
    """
    evidence: list[str] = []
    verdicts: set[Verdict] = {"proved"}
    for host, nics in cards.items():
        if nics is None:
            evidence.append(f"{host}: vCenter did not tell its network cards")
            verdicts.add("unproved")
        for nic in nics or ():
            verdict, sentence = _card(nic, isolation.networks)
            verdicts.add(verdict)
            evidence.append(f"{host}: {sentence}")
        if nics is not None and not nics:
            evidence.append(f"{host}: has no network card")
    order: tuple[Verdict, ...] = ("violated", "unproved", "attested", "proved")
    return Judgement(next(v for v in order if v in verdicts), tuple(evidence))


def _card(nic: Nic, allowed: Sequence[str]) -> tuple[Verdict, str]:
    if nic.connected is False and nic.start_connected is False:
        return "proved", f"{nic.label} is not connected, nor at power-on"
    flags = f"connected: {_word(nic.connected)}, at power-on: {_word(nic.start_connected)}"
    if nic.network is None:
        return "unproved", f"{nic.label} is on a network that vCenter does not name ({flags})"
    if nic.network not in allowed:
        return "violated", f"{nic.label} is on {nic.network}, which is not one of {', '.join(allowed)} ({flags})"
    return "proved", f"{nic.label} is on {nic.network} ({flags})"


def _word(flag: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[flag]
