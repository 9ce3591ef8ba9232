"""Decides how a check is asked and judged: a command, an HTTP request from the host itself, or a person."""

import re
from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from plans.actions import Ask, Note, Outcome, Pause
from plans.quantities import Duration
from plans.records import CHECKED
from plans.site import OK, Actions, Site


class WrittenCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every check has. `before`: holds for the present release too. `prod`: safe to run on prod as well."""

    name: str
    on: str = ""
    before: bool = False
    prod: Literal["safe", ""] = ""
    covers: tuple[str, ...] = ()
    timeout: Duration = "1m"

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a check needs a name")


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wanted exit code, and a regular expression searched for in standard output, by lines."""

    exit: int = 0
    stdout: str | None = None

    def __post_init__(self) -> None:
        if self.stdout is not None:
            _compiles(self.stdout)


class RunCheck(WrittenCheck, frozen=True, tag="run"):
    """A command on the host, judged by its exit code and output."""

    run: str
    expect: Expect = Expect()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.on:
            raise ValueError("`on:` is missing: the role of the hosts to ask")

    def actions(self, site: Site) -> Actions:
        outcome = yield site.shell(self.run, self.timeout)
        if outcome.exit is None:
            return outcome
        return self.judge(outcome)

    def judge(self, outcome: Outcome) -> Outcome:
        """ok or failed, from an outcome whose exit code is known."""
        if outcome.exit != self.expect.exit:
            reason = f"exit {outcome.exit}, wanted {self.expect.exit}"
            return msgspec.structs.replace(outcome, result="failed", reason=reason)
        output = outcome.output.replace("\r\n", "\n")  # as Windows ends lines
        if self.expect.stdout is not None and not re.search(self.expect.stdout, output, re.MULTILINE):
            reason = f"the output has nothing that matches {self.expect.stdout}"
            return msgspec.structs.replace(outcome, result="failed", reason=reason)
        return msgspec.structs.replace(outcome, result="ok", reason="")


class Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A GET request: the status it must answer with, and text that the body must contain."""

    url: str
    status: int = 200
    contains: str = ""

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError("url: an http or https address is wanted")


SHOWN = 60_000
"""Bytes of a body that are looked at; the status comes before it, so that a longer one cuts nothing off."""

_LACKING = {
    126: "no temporary file can be made on the host to ask with",
    127: "no curl, python3 or wget on the host to ask with: install one",
}


class HttpCheck(WrittenCheck, frozen=True, tag="http"):
    """An HTTP request made on the host itself, so that it sees what the host sees.

    A redirect is an answer like another and is not followed: it may lead out of an isolated staging.
    """

    http: Http

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.on:
            raise ValueError("`on:` is missing: the role of the hosts to ask from")

    def actions(self, site: Site) -> Actions:
        yield Note(f"GET {self.http.url}\n")
        outcome = yield site.shell(site.language.ask(self.http.url, SHOWN), self.timeout)
        if outcome.exit is None:
            return outcome
        if outcome.exit in (126, 127):
            return msgspec.structs.replace(outcome, result="errored", reason=_LACKING[outcome.exit])
        return self.judge(outcome)

    def judge(self, outcome: Outcome) -> Outcome:
        """ok or failed, from an outcome whose output is the status, on a line of its own, and then the body."""
        status, _, body = outcome.output.partition("\n")
        if outcome.exit != 0 or not re.fullmatch(r"[0-9]{3}", status):
            return msgspec.structs.replace(outcome, result="failed", reason=f"no answer from {self.http.url}")
        if int(status) != self.http.status:
            reason = f"{self.http.url} answered {status}, wanted {self.http.status}"
            return msgspec.structs.replace(outcome, result="failed", reason=reason)
        if self.http.contains not in body:
            reason = f"{self.http.url} answered {status} without “{self.http.contains}” in it"
            return msgspec.structs.replace(outcome, result="failed", reason=reason)
        return msgspec.structs.replace(outcome, result="ok", reason="")


class ManualCheck(WrittenCheck, frozen=True, tag="manual"):
    """A check that a person of the role `by` makes, with Pass or Fail and a note."""

    manual: str
    by: str = "testers"

    def actions(self, site: Site) -> Actions:
        answer = yield Ask(self.manual, CHECKED, self.by)
        if not answer.ok:
            return answer
        if answer.value == "fail":
            return Outcome("failed", reason=answer.reason or "the tester says it fails")
        return OK


Check = RunCheck | HttpCheck | ManualCheck

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between the tries of a health check: a host answers before its services do."""


class Healthy(msgspec.Struct, frozen=True):
    """A check of what may still be coming up: asked again for half a minute before its answer counts."""

    check: Check

    def actions(self, site: Site) -> Actions:
        outcome = yield from self.check.actions(site)
        for pause in PAUSES:
            if outcome.result != "failed" or isinstance(self.check, ManualCheck):
                break
            yield Note(f"{outcome.reason}; asked again in {pause} s\n")
            yield Pause(pause)
            outcome = yield from self.check.actions(site)
        return outcome


def once_each(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks without those that ask the same of the same hosts as one before them, whatever they are called."""
    kept: dict[tuple[object, ...], Check] = {}
    for check in checks:
        match check:
            case HttpCheck():
                asks: tuple[object, ...] = (check.on, check.http)
            case RunCheck():
                asks = (check.on, check.run, check.expect)
            case ManualCheck():
                asks = (check.manual, check.by)
        kept.setdefault(asks, check)
    return tuple(kept.values())


def _compiles(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
