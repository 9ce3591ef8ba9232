"""Decides how a guest tries whether addresses answer it, and what the answers say of its isolation."""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from plans.actions import At, Outcome, Shell
from plans.isolation import Finding, Isolation, Judgement, conclude
from plans.languages import LANGUAGES
from plans.records import Attested

Answer = Literal["open", "refused", "silent", "unresolved", "unknown"]
"""`refused` is an answer too: something with that address said no. `unknown`: no tool here could tell."""

SECONDS = 60.0
"""For all addresses of a guest: they are tried at once, each for three seconds with each tool at most."""


class Tried(msgspec.Struct, frozen=True):
    """How one address answered, and the tool that tried it: the empty name where the guest has none."""

    answer: Answer
    tool: str


def probe(at: At, shell: str, isolation: Isolation) -> Shell:
    """The command, for `sh` or `powershell`, that tries every address that must or must not be reached from there."""
    targets = (*isolation.must_not_reach, *isolation.must_reach)
    return Shell(at=at, command=LANGUAGES[shell].probe(targets), timeout=SECONDS)


def judge_probes(outcomes: Mapping[str, Outcome], isolation: Isolation, attested: Attested | None) -> Judgement:
    """`outcomes`: a host's name to how its probe ended. What was not tried, or in vain, proves nothing."""
    return conclude([each for host, outcome in outcomes.items() for each in _guest(host, outcome, isolation)], attested)


def _guest(host: str, outcome: Outcome, isolation: Isolation) -> Iterator[Finding]:
    if not outcome.ok:
        said = f"{host}: nothing could be tried from inside: {outcome.reason}"
        yield Finding("unproved", said, (host,), doubt=False)
        return
    tried = _read(outcome.output)
    for target in isolation.must_not_reach:
        yield _forbidden(host, target, tried.get(target, _NOTHING))
    for target in isolation.must_reach:
        yield _control(host, target, tried.get(target, _NOTHING))
    if not isolation.must_reach:
        yield Finding("proved", f"{host}: no counter-check from inside: isolation.must_reach names no address")


def _forbidden(host: str, target: str, tried: Tried) -> Finding:
    at = f"{host}: {target}"
    match tried.answer:
        case "open" | "refused":
            how = "answers" if tried.answer == "open" else "refuses the connection, so it is there"
            mend = f"Find the way from {host} to {target} and close it, then connect the network cards again"
            return Finding("violated", f"{at} {how} (tried with {tried.tool}); it must not be reached", (host,), mend)
        case "silent":
            return Finding("proved", f"{at} does not answer (tried with {tried.tool})", (host,))
        case "unresolved":
            mend = "Give its address instead of its name in isolation.must_not_reach"
            return Finding("unproved", f"{at}: the guest cannot look its name up", (host,), mend)
    return Finding("unproved", f"{at} could not be tried: {_without(tried)}", (host,), _TOOLS)


def _control(host: str, target: str, tried: Tried) -> Finding:
    at = f"{host}: {target}"
    if tried.answer == "open":
        return Finding("proved", f"{at} answers, as it must (tried with {tried.tool})", (host,))
    if tried.answer == "unknown":
        return Finding("unproved", f"{at} could not be tried: {_without(tried)}", (host,), _TOOLS)
    mend = f"See why {target} cannot be reached, or name another address in isolation.must_reach"
    said = f"{at} does not answer, though it must: the silence of the others proves nothing"
    return Finding("unproved", said, (host,), mend)


_NOTHING = Tried("unknown", "")
_TOOLS = "Install nc, bash, python3 or curl there"


def _without(tried: Tried) -> str:
    return f"{tried.tool} does not say how it went" if tried.tool else "it has neither nc, bash, python3 nor curl"


def _read(output: str) -> dict[str, Tried]:
    """What the command printed, by address; what is not its own (a login banner, say) is passed over."""
    lines = re.findall(r"^(\S+:[0-9]+) (open|refused|silent|unresolved|unknown) (\w*)\r?$", output, re.MULTILINE)
    return {target: Tried(answer, tool) for target, answer, tool in lines}
