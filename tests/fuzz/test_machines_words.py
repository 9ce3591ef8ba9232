"""What machines, Slack and typed lines say, at everything that reads it: a value, an outcome or Trouble."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from builders import drive, site
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutants import bent, examples, mangled, odd_text
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.line.channel import Later, answer
from handlers.times import day, when
from plans.actions import Outcome
from plans.changed_files import findings
from plans.checks import Http, HttpCheck
from plans.errors import Refusal
from plans.facts import Fact, digest
from plans.isolation import Isolation
from plans.probes import judge_probes
from plans.restoring import RestoreRun
from vmops.clocks import compare_clocks
from vmops.jobs import Job, ask
from vmops.logins import read_logins
from vmops.scripts import Spec
from vmops.transport import Limit, Trouble

NOW = datetime(2026, 11, 23, 21, tzinfo=UTC)
WORD = (
    st.sampled_from(["clock", "nan", "inf", "-1", "0", "²", "٣", "9" * 400, "9" * 5000, "1e999", "exited", "signalled",
                     "lost", "left", "journal", "wtmp", "logon", "nowtmp", ":", "1795467600.0", "open", "10.0.0.1:443"])
    | odd_text()
)  # fmt: skip
SAID = st.lists(WORD, max_size=6).map(" ".join) | st.lists(st.lists(WORD, max_size=4).map(" ".join), max_size=5).map(
    "\n".join
)
HANDS = b"""clock 1795467600 1795467000 10.0.0.9 22
journal 1795467300.000000 web-1 sshd[7]: Accepted publickey for deploy from 10.0.0.9 port 22 ssh2: ED25519 SHA256:x
journal 1795467400.000000 web-1 sshd[8]: Accepted password for eve from 10.0.0.7 port 9 ssh2
wtmp [2] [00000] [~~  ] [reboot  ] [~           ] [6.1  ] [0.0.0.0        ] [2026-11-20T08:00:00,000000+00:00]
wtmp [7] [00042] [ts/0] [eve     ] [pts/0       ] [10.0.0.7   ] [10.0.0.7       ] [2026-11-23T20:59:00,000000+00:00]
logon 1795467300 2 eve 10.0.0.7
nojournal it is not here
"""
TEXT = SAID.map(lambda text: text.encode(errors="replace").decode()) | mangled(st.just(HANDS)).map(
    lambda data: data.decode(errors="replace")
)


class Asked:
    """The language of a machine whose scripts are nothing but the token of their answer."""

    clock = ""

    def asking(self, command: str, token: str) -> str:
        return token

    def stop(self, spec: Spec, token: str) -> str:
        return token

    def follow(self, spec: Spec, token: str, out_at: int, err_at: int) -> str:
        return token

    def logins(self, ago: int) -> str:
        return ""


class Machine:
    """It answers every script with what it printed and what the script is said to have come to."""

    language = Asked()

    def __init__(self, came_to: bytes, printed: bytes) -> None:
        self._came_to, self._printed = came_to, printed

    def exec(self, script: str, out: Any, err: Any, limit: Limit) -> int:
        token = script.encode()
        out(token + self._printed + token)
        err(b"motd\n" + token + token + self._came_to)
        return 0


CAME_TO = SAID.map(lambda text: text.encode(errors="replace") + b"\n") | st.binary(max_size=20) | st.just(b"0\n")


@settings(max_examples=examples(200), deadline=None)
@given(came_to=CAME_TO, printed=TEXT)
@example(came_to=b"\xff\n", printed="")
@example(came_to=b"\n", printed="")
@example(came_to=b"0\n", printed="9" * 400)
def test_whatever_a_machine_answers_is_a_value_or_trouble(came_to: bytes, printed: str) -> None:
    machine: Any = Machine(came_to, printed.encode(errors="replace"))
    limit = Limit.of(0.1)
    job = Job(machine, Spec("b", "n", "1-1-1-web", "true"), lambda data: None, first=0.0, then=0.0)
    asked: list[Callable[[], object]] = [
        lambda: ask(machine, "true", limit),
        lambda: compare_clocks(machine, limit),
        lambda: [hand.told for hand in read_logins(machine, NOW.timestamp(), limit).hands],
        lambda: job.stop(limit),
    ]
    if came_to != b"on\n":
        asked.append(lambda: job.follow(limit))
    for each in asked:
        with suppress(Trouble):
            each()


@settings(max_examples=examples(300), deadline=None)
@given(TEXT)
@example("²\n")
@example("99:/srv/x:3")
@example("٣:/srv/x:3")
def test_whatever_a_command_prints_is_judged(output: str) -> None:
    said = Outcome("ok", exit=0, output=output, ended=NOW.timestamp())
    check = HttpCheck(name="Up", on="web", http=Http(url="http://127.0.0.1/"))
    assert check.judge(said).result in ("ok", "failed")
    fact = Fact(name="schema", on="db", run="x", ignore=("^#",))
    assert len(digest(fact, output)) == 64
    assert all(one.code for one in findings(output, ("SECRET",)))
    rules = Isolation(networks=("a",), must_not_reach=("10.0.0.1:443",), must_reach=("10.0.0.2:443",))
    assert judge_probes({"web": said}, rules, None).verdict in ("proved", "unproved", "violated")
    restore = RestoreRun(name="Restore", on="db", run="x", artifact_age="age")
    assert drive(restore, site(), said, said)[1].result in ("ok", "errored")


@settings(max_examples=examples(300), deadline=None)
@given(SAID)
def test_a_time_that_is_typed_is_one_or_refused(text: str) -> None:
    for read in (when, day):
        with suppress(Refusal):
            at, _ = read(text, NOW, ZoneInfo("Europe/Berlin"))
            assert at.tzinfo is not None


ANSWERS = st.fixed_dictionaries(
    {
        "ok": st.booleans(),
        "error": st.sampled_from(["ratelimited", "channel_not_found", "invalid_blocks", "fatal_error"]),
        "response_metadata": st.fixed_dictionaries({"messages": st.just(["[ERROR] must be less"])}),
        "needed": st.just("chat:write"),
    }
)
HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "retry-after", "x"]), odd_text(), max_size=2)


REFUSED = {"ok": False, "error": "ratelimited"}


@settings(max_examples=examples(200), deadline=None)
@example(data=REFUSED, headers={"Retry-After": "¹"}, status=429)
@example(data=REFUSED, headers={"Retry-After": "9" * 400}, status=429)
@given(data=bent(ANSWERS) | ANSWERS, headers=HEADERS, status=st.sampled_from([200, 429, 500, 503]))
def test_whatever_slack_refuses_with_is_an_answer(data: Any, headers: dict[str, str], status: int) -> None:
    response = SlackResponse(
        client=None, http_verb="POST", api_url="", req_args={}, data=data, headers=headers, status_code=status
    )
    told = answer(SlackApiError("said no", response))
    assert not isinstance(told, Later) or told.seconds < 86400
