"""Answers within Slack's limits, whatever is in them."""

import json
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from bot.line.blocks import Message
from handlers import COMMANDS, blocks
from lab.slack.blocks import MESSAGE_BUDGET, complaints, size, view_complaints
from plans.errors import Refusal
from plans.gates import Gate
from plans.records import EnvironmentState, Freeze, Question, Release, Run

AT = "2026-11-23T20:30:00.000Z"
NASTY = "<!channel> & *<@U1>* `x` \x1b[31m\u202e" + "ÄÖ<&>" * 2000
RELEASE = Release(
    id="R-1",
    app="webshop",
    version="2.4.1",
    digest="a" * 64,
    bytes=123456,
    source=NASTY,
    by="U01DEV",
    at=AT,
    summary=NASTY,
    notes=NASTY,
    changes=(NASTY,) * 300,
    warnings=(NASTY,) * 300,
    scheduled=AT,
    scheduled_by="U02ADMIN",
)
QUESTION = Question(number=1, step=3, host=None, why=NASTY, choices=("retry", "skip"), role="admins", at=AT)
RUN = Run(
    number=3,
    kind="rehearsal",
    release="R-1",
    app="webshop",
    environment="staging",
    plans="",
    by="U02ADMIN",
    at=AT,
    open=(QUESTION,),
    questions=(QUESTION,),
)
ENDED = replace(RUN, open=(), verdict="failed", reason=NASTY, finished="2026-11-23T21:30:00.000Z")
STATE = EnvironmentState(name="staging", locked=NASTY, locked_by="U02ADMIN", inspection=3)
GATES = tuple(Gate("withdrawn", True, NASTY, NASTY) for _ in range(30))


@pytest.mark.parametrize(
    "message",
    [
        blocks.said("Done.", "", "More."),
        blocks.refused(Refusal("package_refused", NASTY, "\n".join([NASTY[:300]] * 400))),
        blocks.refused(Refusal("busy", "Short.")),
        blocks.fault("0123abcd", begun=True),
        blocks.listing("Nothing", [], none="Nothing here."),
        blocks.listing("Many", [blocks.release_row(RELEASE, ENDED, on_prod=False)] * 100, none="", more="More: there"),
        blocks.listing("Runs", [blocks.run_row(run, RELEASE, None) for run in [RUN, ENDED] * 20], none=""),
        blocks.listing("All", [blocks.environment_row(STATE, RUN, [NASTY] * 5)] * 20, none=""),
        blocks.listing("Prod", [blocks.prod_row("webshop", STATE, RELEASE)] * 20, none=""),
        blocks.listing("Later", [blocks.scheduled_row(RELEASE, ZoneInfo("Europe/Berlin"))] * 20, none=""),
        blocks.listing("Freeze", [blocks.freeze_row(Freeze(until=AT, reason=NASTY, by="U1", at=AT))], none=""),
        blocks.handed_off("webshop 2.4.1 is R-1 now.", ()),
        blocks.handed_off("webshop 2.4.1 is R-1 now.", (NASTY,) * 300),
        blocks.release(RELEASE, ENDED, on_prod=False, needed=2, approved=("U02ADMIN",)),
        blocks.release(replace(RELEASE, withdrawn=NASTY), None, on_prod=False, needed=0, approved=()),
        blocks.gates(RELEASE, GATES, {"withdrawn": 12.0}),
        *(blocks.helped(command, verbs) for command, verbs in COMMANDS.items()),
    ],
)
def test_slack_takes_every_answer_and_nobody_is_called_by_it(message: Message) -> None:
    assert complaints(list(message.blocks), "message") == []
    assert size(list(message.blocks)) < MESSAGE_BUDGET
    assert 0 < len(message.text) <= 4000
    everything = json.dumps([message.text, message.blocks])
    assert "<!channel>" not in everything
    assert "\\u202e" not in everything


@pytest.mark.parametrize(
    "view",
    [
        blocks.handoff_form(("https://artifacts.example.com/", NASTY), "500MB", "{}"),
        blocks.note_form(3, QUESTION, "done_with_help", "{}"),
    ],
)
def test_slack_takes_every_form(view: blocks.Block) -> None:
    assert view_complaints(view, "modal") == []


def test_a_refusal_reads_as_code_sentence_and_what_to_do() -> None:
    told = blocks.refused(Refusal("busy", "Run 3 by <@U02ADMIN> holds <prod>.", "Wait, or: /promote abort"))
    assert told.text == (
        "*Not done* (`busy`): Run 3 by <@U02ADMIN> holds &lt;prod&gt;.\n*What to do:* Wait, or: /promote abort"
    )


def test_a_long_list_says_how_much_of_it_is_not_shown() -> None:
    told = blocks.listing("Releases", [f"row {n}" for n in range(50)], none="", more="`/handoff show R-1`")
    text = json.dumps(told.blocks)
    assert "row 19" in text
    assert "row 20" not in text
    assert "30 more are not shown" in text
