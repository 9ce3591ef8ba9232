"""Envelopes that Slack would not send, at the registered listeners: refused, left out or answered, never a fault."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from deck_room import ADMIN, DEV, GUEST, TESTER, DeckRoom
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import bent, examples, odd_text
from slack_bolt import App, BoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_room import room

from handlers import register
from handlers.buttons import TWINS
from handlers.workers import Workers

LINES = st.sampled_from(
    ["status", "run R-1", "answer 1 retry", "abort 1 now", "lock prod audit", "unlock", "check", "R-1", "R-1 at 22:00",
     "check R-1", "rollback R-1", "freeze until 23:00 sale", "approve R-1", "list", "show R-1", "withdraw R-1", "help"]
)  # fmt: skip
PEOPLE = st.sampled_from([ADMIN, DEV, TESTER, GUEST, "U99", ""])
_numbers = count()


def fresh() -> st.SearchStrategy[str]:
    return st.builds(lambda: f"2.{next(_numbers)}")


COMMANDS = st.fixed_dictionaries(
    {
        "command": st.sampled_from(["/handoff", "/stage", "/promote"]),
        "text": LINES | odd_text(),
        "user_id": PEOPLE,
        "team_id": st.just("T01LAB"),
        "channel_id": st.just("C01DEPLOYS"),
        "trigger_id": fresh(),
        "response_url": st.just(""),
    }
)
PRESSES = st.fixed_dictionaries(
    {
        "type": st.just("block_actions"),
        "user": st.fixed_dictionaries({"id": PEOPLE, "team_id": st.just("T01LAB")}),
        "team": st.just({"id": "T01LAB"}),
        "channel": st.just({"id": "C01DEPLOYS", "name": "deploys"}),
        "container": st.just({"type": "message", "message_ts": "1.000001", "thread_ts": "1.000001"}),
        "actions": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.just("button"),
                    "action_id": st.sampled_from([*TWINS, "abortion", "answer:", "answer:retrys", "strange"]),
                    "block_id": st.just("b"),
                    "value": st.sampled_from(["R-1", "1", "1/1", "R-1 at 22:00", "rollback R-1"]) | odd_text(),
                }
            ),
            min_size=1,
            max_size=2,
        ),
        "trigger_id": fresh(),
        "response_url": st.just(""),
    }
)
ABOUT = st.fixed_dictionaries(
    {"channel": st.just("C01DEPLOYS"), "address": st.just(""), "run": st.integers(0, 3), "choice": odd_text()}
).map(json.dumps)
FIELD = st.fixed_dictionaries({"type": st.just("plain_text_input"), "value": st.none() | odd_text()})
FORMS = st.fixed_dictionaries(
    {
        "type": st.just("view_submission"),
        "user": st.fixed_dictionaries({"id": PEOPLE}),
        "team": st.just({"id": "T01LAB"}),
        "trigger_id": fresh(),
        "view": st.fixed_dictionaries(
            {
                "type": st.just("modal"),
                "callback_id": st.sampled_from(["handoff", "answer", "strange"]),
                "private_metadata": ABOUT | odd_text(),
                "state": st.fixed_dictionaries(
                    {
                        "values": st.fixed_dictionaries(
                            {
                                "archive": st.just({"archive": {"type": "file_input", "files": [{"id": "F1"}]}}),
                                "source": st.fixed_dictionaries({"source": FIELD}),
                                "notes": st.fixed_dictionaries({"notes": FIELD}),
                                "note": st.fixed_dictionaries({"note": FIELD}),
                            }
                        )
                    }
                ),
            }
        ),
    }
)
ENVELOPES = COMMANDS | PRESSES | FORMS


@pytest.fixture(scope="module")
def deck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeckRoom]:
    folder: Path = tmp_path_factory.mktemp("deck")
    with room() as slack:  # without a socket: its pings would turn the dice that hypothesis throws
        made = DeckRoom(slack, folder)
        made.release()
        made.rehearsed("R-1")
        yield made
        made.workers.close()
        made.board.close()


class AtOnce(Workers):
    """Does what is lined up then and there, so that what goes wrong is known by what asked for it."""

    def __init__(self) -> None:
        super().__init__(threads=0)

    def submit(self, job: Callable[[], None]) -> None:
        job()


class Faults(logging.Handler):
    """What was logged as a fault of the bot's own; where Bolt stumbles over a payload before that, it says so."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.name.startswith(("handlers", "bot")) or "/handlers/" in text or "/bot/" in text:
            self.heard.append(text)


@pytest.fixture(scope="module")
def faults() -> Iterator[list[str]]:
    handler = Faults()
    logging.getLogger().addHandler(handler)
    yield handler.heard
    logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="module")
def app(deck: DeckRoom) -> App:
    made = App(
        client=deck.slack.client(),
        authorize=lambda enterprise_id, team_id: AuthorizeResult(
            enterprise_id=enterprise_id, team_id=team_id, bot_token=deck.slack.workspace.bot_token
        ),
        process_before_response=True,
    )
    register(made, replace(deck.deck, workers=AtOnce()))
    return made


@settings(max_examples=examples(400), deadline=None)
@given(body=ENVELOPES | bent(ENVELOPES))
def test_whatever_an_envelope_holds_it_is_no_fault(app: App, faults: list[str], body: Any) -> None:
    faults.clear()
    began = time.monotonic()
    try:
        request = BoltRequest(mode="socket_mode", body=json.loads(json.dumps(body)))
    except (TypeError, AttributeError):
        return  # Bolt itself cannot tell whose it is: the line leaves it out and says so
    response = app.dispatch(request)
    assert response.status in (200, 400, 404, 409, 500)
    assert time.monotonic() - began < 10
    assert faults == []
    assert "Something went wrong" not in str(response.body)
