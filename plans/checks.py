"""Decides how a check is asked and judged: a command, an HTTP request from the host itself, or a person."""

import re
import shlex
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from plans.actions import Ask, Note, Outcome
from plans.quantities import Duration
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
        if self.expect.stdout is not None and not re.search(self.expect.stdout, outcome.output, re.MULTILINE):
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


_PYTHON = (
    "import sys, urllib.request as r, urllib.error as e\n"
    "try: a = r.urlopen(sys.argv[1], timeout=10)\n"
    "except e.HTTPError as x: a = x\n"
    "except Exception as x: sys.exit(str(x))\n"
    "sys.stdout.buffer.write(a.read(60000)); print(); print(a.status)"
)
_HTTP = f"""if command -v curl >/dev/null 2>&1; then
  exec curl -sS --max-time 10 -w '\\n%{{http_code}}\\n' -- "$url"
elif command -v python3 >/dev/null 2>&1; then
  exec python3 -c {shlex.quote(_PYTHON)} "$url"
elif command -v wget >/dev/null 2>&1; then
  wget -q -T 10 -t 1 -S -O - -- "$url" 2>"${{TMPDIR:-/tmp}}/qd-$$"; answer=$?
  printf '\\n'; sed -n 's/^ *HTTP\\/[0-9.]* \\([0-9][0-9]*\\).*/\\1/p' "${{TMPDIR:-/tmp}}/qd-$$" | tail -n 1
  if [ "$answer" = 8 ]; then answer=0; fi
  rm -f "${{TMPDIR:-/tmp}}/qd-$$"; exit "$answer"
fi
echo "no curl, python3 or wget here to ask with" >&2
exit 127
"""


class HttpCheck(WrittenCheck, frozen=True, tag="http"):
    """An HTTP request made on the host itself, so that it sees what the host sees."""

    http: Http

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.on:
            raise ValueError("`on:` is missing: the role of the hosts to ask from")

    def actions(self, site: Site) -> Actions:
        yield Note(f"GET {self.http.url}\n")
        outcome = yield site.shell(f"url={shlex.quote(self.http.url)}\n{_HTTP}", self.timeout)
        if outcome.exit is None:
            return outcome
        if outcome.exit == 127:
            reason = "no curl, python3 or wget on the host to ask with: install one"
            return msgspec.structs.replace(outcome, result="errored", reason=reason)
        return self.judge(outcome)

    def judge(self, outcome: Outcome) -> Outcome:
        """ok or failed, from an outcome whose output is the body and then, on a line of its own, the status."""
        body, _, status = outcome.output.rstrip("\n").rpartition("\n")
        if outcome.exit != 0 or not status.isdigit():
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
        answer = yield Ask(self.manual, ("pass", "fail"), self.by)
        if answer.value == "fail":
            return Outcome("failed", reason=answer.reason or "the tester says it fails")
        return OK


Check = RunCheck | HttpCheck | ManualCheck


def _compiles(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
