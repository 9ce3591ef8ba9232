"""What people type, and what it is taken for."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers import COMMANDS
from handlers.arguments import Surroundings
from handlers.deck import forms
from handlers.letters import plain
from handlers.times import spoken, when
from handlers.words import Request, parse
from plans.errors import Refusal

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)  # half past nine in the evening in Berlin
AROUND = Surroundings(NOW, BERLIN, ("staging", "prod", "crm-staging"))
DIGEST = "a" * 64


def read(typed: str) -> Request:
    command, _, line = typed.partition(" ")
    return parse(command, forms(COMMANDS[command]), line, AROUND)


def refused(typed: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(typed)
    return caught.value


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/handoff", {"verb": "open"}),
        ("/handoff list", {"verb": "list"}),
        ("/handoff show r-7", {"verb": "show", "release": "R-7"}),
        ("/handoff withdraw 2", {"verb": "withdraw", "release": "R-2"}),
        ("/handoff withdraw R–2 it’s broken", {"verb": "withdraw", "release": "R-2", "text": "it’s broken"}),
        (
            "/handoff <https://a.example/r/p-1.zip> sha256:" + DIGEST.upper(),
            {"verb": "", "source": "https://a.example/r/p-1.zip", "digest": DIGEST},
        ),
        (
            "/handoff <https://a.example/p.zip?a=1&amp;b=2|a.example>",
            {"verb": "", "source": "https://a.example/p.zip?a=1&b=2"},
        ),
        (
            "/handoff “/srv/drops/my shop.zip” " + DIGEST,
            {"verb": "", "source": "/srv/drops/my shop.zip", "digest": DIGEST},
        ),
        ("/handoff webshop-2.4.1.tar.gz", {"verb": "", "source": "webshop-2.4.1.tar.gz"}),
        ("/stage", {"verb": "help"}),
        ("/stage HELP me", {"verb": "help", "text": "me"}),
        ("/stage run", {"verb": "run"}),
        ("/stage RUN R-12", {"verb": "run", "release": "R-12"}),
        ("/stage\u00a0run\u00a0 r12", None),
        ("/stage run\u00a0 \u200br12", {"verb": "run", "release": "R-12"}),
        ("/stage check", {"verb": "check"}),
        ("/stage reset Crm–Staging", {"verb": "reset", "environment": "crm-staging"}),
        ("/stage answer 3 retry", {"verb": "answer", "run": 3, "choice": "retry"}),
        (
            "/stage answer 3/2 Skip: not &lt;needed&gt; here",
            {"verb": "answer", "run": 3, "question": 2, "choice": "skip", "text": "not <needed> here"},
        ),
        (
            "/stage answer 3 done with help from <@U03|toni> in <#C1|deploys>",
            {"verb": "answer", "run": 3, "choice": "done_with_help", "text": "from <@U03> in #deploys"},
        ),
        ("/stage answer 3 “pass”", {"verb": "answer", "run": 3, "choice": "pass"}),
        ("/stage answer 3 failed", {"verb": "answer", "run": 3, "choice": "failed"}),
        ("/stage abort", {"verb": "abort"}),
        ("/stage abort now", {"verb": "abort", "now": True}),
        ("/stage abort 4 NOW", {"verb": "abort", "run": 4, "now": True}),
        (
            "/stage lock staging no <!here> please",
            {"verb": "lock", "environment": "staging", "text": "no @here please"},
        ),
        ("/stage lock the network", {"verb": "lock", "text": "the network"}),
        ("/promote 2", {"verb": "", "release": "R-2"}),
        (
            "/promote R-2 at 22:00",
            {"verb": "", "release": "R-2", "at": datetime(2026, 11, 23, 22, 0, tzinfo=BERLIN)},
        ),
        ("/promote check r-2", {"verb": "check", "release": "R-2"}),
        ("/promote freeze month end", {"verb": "freeze", "text": "month end"}),
        (
            "/promote freeze until 2026-12-27T08:00 Take care",
            {"verb": "freeze", "at": datetime(2026, 12, 27, 8, 0, tzinfo=BERLIN), "text": "Take care"},
        ),
        ("/promote abort 3", {"verb": "abort", "run": 3}),
        ("/promote abort R-3", {"verb": "abort", "release": "R-3"}),
    ],
)
def test_a_line_is_read(typed: str, meant: dict[str, Any] | None) -> None:
    if meant is None:
        assert plain(typed) == "/stage run r12"
    else:
        assert read(typed) == Request(**meant)


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        ("/stage rnu R-1", "unknown_verb", "Did you mean /stage run R-1?"),
        ("/stage xyzzy", "unknown_verb", "/stage help"),
        ("/handoff lst", "unknown_verb", "/handoff list"),
        ("/promote R-x", "unknown_verb", "/promote help"),
        ("/stage ''", "unknown_verb", "/stage help"),
        ("/stage run shop", "bad_release", "R-1"),
        ("/stage run R-1 quickly", "unexpected_words", "quickly"),
        ("/stage status staging", "unexpected_words", "staging"),
        ("/stage answer", "missing_word", "the number of a run"),
        ("/stage answer 3", "missing_word", "an answer"),
        ("/stage answer three retry", "bad_run", "/stage history"),
        ("/stage answer 3 retyr", "bad_choice", "Did you mean retry?"),
        ("/stage lock staging", "missing_word", "a reason"),
        ("/stage reset stagin", "unknown_environment", "Did you mean staging?"),
        ("/handoff show", "missing_word", "a release"),
        ("/handoff /srv/p.zip sha256:12", "bad_digest", "sha256sum"),
        ("/promote R-1 at", "bad_time", "22:00"),
        ("/promote R-1 at noon", "bad_time", "“noon”"),
        ("/promote R-1 at 25:00", "bad_time", "no time that there is"),
        ("/promote R-1 at 2026-02-30 10:00", "bad_time", "no time that there is"),
        ("/promote R-1 at 2026-11-23 21:00", "bad_time", "2026-11-23 21:00 CET (UTC+01:00) is over"),
        ("/promote R-1 at 2027-03-28 02:30", "bad_time", "does not come"),
        ("/promote R-1 at 2027-10-31 02:30", "bad_time", "comes twice"),
        ("/promote freeze until 23:00", "missing_word", "a reason"),
        ("/promote defective R-1", "missing_word", "a reason"),
    ],
)
def test_what_is_not_understood_is_told_with_what_to_type(typed: str, code: str, told: str) -> None:
    refusal = refused(typed)
    assert refusal.code == code
    assert told in str(refusal)


def test_a_time_of_day_that_is_over_means_tomorrow_and_is_said_back_with_its_offset() -> None:
    at, rest = when("21:29 because", NOW, BERLIN)
    assert spoken(at) == "2026-11-24 21:29 CET (UTC+01:00)"
    assert rest == "because"
    summer = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert spoken(when("23:00", summer, BERLIN)[0]) == "2026-07-01 23:00 CEST (UTC+02:00)"


def test_tomorrow_may_come_after_a_night_in_which_the_clocks_change() -> None:
    before = datetime(2027, 3, 27, 12, 0, tzinfo=UTC)
    assert when("11:00", before, BERLIN)[0] == datetime(2027, 3, 28, 9, 0, tzinfo=UTC)
    after_the_gap = datetime(2027, 3, 28, 12, 0, tzinfo=UTC)
    assert when("02:30", after_the_gap, BERLIN)[0] == datetime(2027, 3, 29, 0, 30, tzinfo=UTC)


WORDS = ["run", "R-1", "answer", "3", "at", "until", "22:00", "9999-12-31", "0001-01-01", "23:59", "now", "freeze"]
WORDS += ["lock", "abort", "staging", "“", "'", '"', "<", "|", ">", "\u00a0", "<@U1|x>", "&lt;", "sha256:", "\ud800"]
LIKELY = st.one_of(st.text(), st.lists(st.sampled_from(WORDS)).map(" ".join))


@given(command=st.sampled_from(sorted(COMMANDS)), line=LIKELY)
def test_any_text_ends_in_a_request_or_a_refusal(command: str, line: str) -> None:
    try:
        request = parse(command, forms(COMMANDS[command]), line, AROUND)
    except Refusal as refusal:
        ended = bool(refusal.message and refusal.hint)
    else:
        ended = request.verb in COMMANDS[command]
    assert ended
    plain(line).encode()
