"""Touches the log, and the admins in person: says what is wrong with Slack, again while it lasts, and its end."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from http.client import HTTPException
from typing import get_args

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.line.troubles import Ongoing, Place, Saying, Trouble, judge, next_look
from bot.masking import Masker

log = logging.getLogger("quarterdeck.slack")

IDLE = 3600.0


class Watch:
    """`saw` is called with whatever is seen and never waits. `people`: the ids of the admins, asked for when there is
    something to write to them.

    `now` gives epoch seconds. A word that could not reach an admin is said again with the next one, not before.
    """

    def __init__(
        self,
        client: WebClient,
        people: Callable[[], Iterable[str]],
        masker: Masker,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = WebClient(
            token=client.token,
            base_url=client.base_url,
            timeout=10,
            ssl=client.ssl,
            proxy=client.proxy,
            retry_handlers=[],
        )
        self._people = people
        self._masker = masker
        self._now = now
        self._change = threading.Condition()
        self._known: dict[Place, Ongoing] = {}
        self._letters: list[str] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="slack-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends without waiting for a letter that is under way."""
        with self._change:
            self._stopping = True
            self._change.notify()

    def saw(self, place: Place, trouble: Trouble | None) -> None:
        """What is wrong there now; None where nothing is."""
        with self._change:
            if trouble is not None or place in self._known:
                self._judge(place, trouble)
                self._change.notify()

    def trouble(self, place: Place) -> Ongoing | None:
        """What is wrong there, as far as it is known."""
        with self._change:
            return self._known.get(place)

    def _judge(self, place: Place, seen: Trouble | None) -> None:
        known, saying = judge(place, self._known.get(place), seen, self._now())
        if known is None:
            self._known.pop(place, None)
        else:
            self._known[place] = known
        if saying is not None:
            self._say(saying)

    def _say(self, saying: Saying) -> None:
        if saying.logged:
            log.log(logging.INFO if saying.over else logging.ERROR, "%s", saying.text)
        if saying.direct:
            self._letters.append(self._masker.text(saying.text))

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._letters and not self._stopping:
                    for place in get_args(Place):
                        if known := self._known.get(place):
                            self._judge(place, known.trouble)
                    if not self._letters:
                        self._change.wait(self._rest())
                if self._stopping:
                    return
                letters, self._letters = self._letters, []
            people = tuple(self._people())
            for letter in letters:
                for person in people:
                    self._write(person, letter)

    def _rest(self) -> float:
        return min((next_look(known, self._now()) for known in self._known.values()), default=IDLE)

    def _write(self, person: str, letter: str) -> None:
        try:
            self._client.chat_postMessage(channel=person, text=letter, unfurl_links=False)
        except SlackApiError as error:
            log.warning("%s could not be told in person: %s", person, error.response.get("error"))
        except (SlackClientError, HTTPException, OSError) as error:
            log.warning("%s could not be told in person: %s", person, error)
