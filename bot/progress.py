"""Touches the channel, alone: tells what the ledger calls for, and keeps what was told true.

What may be relied on, across restarts, outages and lost answers:

- Every record that the channel is told of (plans/: `due`) has a key, and each key is posted once: what `message.posted`
  has is not posted again, and what may have been posted unrecorded is looked for by its mark first. A key is posted
  anew only where its message was deleted or can no longer be edited, with a second `message.posted`.
- Within a thread, a run's card and the replies under it, messages stand in the order of the records that call for them
  (`seq`; of one record's, the end is last): each is posted only when the one before is in the channel and recorded.
- Between threads, what stands in the channel itself goes first, then a thread with a question that waits for its
  answer, then one with an end; of those the one that has the least to tell before that, of all others the oldest.
- Edits have no place in that order, and many are one: a message is edited to what is true when its turn comes. Nor have
  files (a step's whole output), but that they come after the reply of their step.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from bot.board import Board
from bot.line.blocks import Message
from bot.line.channel import NO_THREAD, NOT_EDITED, TOO_RICH, Channel, Later, Look, Lost, Mark, Refused, Sent
from bot.line.pace import Pace, Rate
from bot.line.troubles import Trouble
from bot.telling.attachments import Attached, Attachments
from bot.telling.backlog import Post, asked_now, changes, edits_in_order, files_in_order, in_order, thread_of
from bot.telling.drafts import Drafts
from bot.telling.outbox import Outbox
from bot.telling.scribe import Noted, Scribe
from plans.errors import Refusal
from plans.records import Run

log = logging.getLogger(__name__)

RATES = {"chat.postMessage": Rate(1.0, 10), "chat.update": Rate(60 / 45, 5), "conversations": Rate(60 / 45, 10)}
"""Within Slack's: a post a second a channel with a short burst, 50 edits a minute for all runs together, 50 looks."""

IN_A_ROW = 5
"""Posts after which an edit goes first: where Slack is slow, a post may be made all the time."""

ASK = 300.0
"""Seconds without anything to tell after which Slack is asked whether it still could be."""

BLIND = frozenset({"missing_scope"})
"""Refusals of a look that leave the bot able to post."""

_POST, _EDIT, _LOOK, _UPLOAD, _SLACK = "chat.postMessage", "chat.update", "conversations", "files", "slack"


class Publisher:
    """The only one who posts and edits. It works from the board alone, in one thread: no run ever waits for it.

    `saw`: told what is wrong with Slack for everything that is told, None where nothing is; `now` gives seconds that
    only grow. `idle` is set when all is told.
    """

    def __init__(
        self,
        board: Board,
        channel: Channel,
        scribe: Scribe,
        attachments: Attachments,
        *,
        saw: Callable[[Trouble | None], None] = lambda trouble: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.idle = threading.Event()
        self._board = board
        self._channel = channel
        self._drafts = Drafts(scribe)
        self._attachments = attachments
        self._saw = saw
        self._outbox = Outbox(board, self._hear)
        self._pace = Pace(RATES, now)
        self._wake = threading.Condition()
        self._heard: list[Noted] = []
        self._stopping = self._hurried = False
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._looks: dict[str, tuple[tuple[Post, ...], Look]] = {}
        self._shown: dict[str, Message] = {}
        self._losses = self._in_a_row = 0
        self._ask_at = 0.0
        self._refused: dict[str, str] = {}

    def listen(self) -> None:
        """From here on it knows of everything that is to be told."""
        self._outbox.listen()

    def start(self) -> None:
        self.listen()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Waits at most that many seconds for the call that is under way; what is left is told at the next start."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout)

    def hurry(self) -> None:
        """Slack was reached again: what waits for it does not wait longer."""
        with self._wake:
            self._hurried = True
            self._wake.notify()

    def flush(self, timeout: float) -> bool:
        """Waits until everything that is on the ledger is told; False where that many seconds were not enough."""
        return self.idle.wait(timeout)

    def turn(self) -> float | None:
        """Does the next thing that may be done now: 0 when it did one, else the seconds until one may be done, None
        when nothing is left to do. Tests call it in the thread's place."""
        with self._wake:
            heard, self._heard = self._heard, []
            hurried, self._hurried = self._hurried, False
        if hurried:
            self._pace.good(_SLACK)
            self._ask_at = 0.0
        self._outbox.take(heard)
        longest: float | None = None
        for wait, act in self._ready():
            if not wait:
                act()
                return 0.0
            longest = wait if longest is None else min(longest, wait)
        return longest

    def _hear(self, noted: Noted) -> None:
        """Called under the board's lock: only noted down."""
        with self._wake:
            self._heard.append(noted)
            self.idle.clear()
            self._wake.notify()

    def _run(self) -> None:
        while not self._stopping:
            try:
                wait = self.turn()
                if wait is None and self._is_idle():
                    wait = self._ask()
            except Exception as fault:
                if isinstance(fault, Refusal) and fault.code == "stopping":
                    return
                log.exception("a message could not be told")
                wait = self._pace.fail(_SLACK)
            with self._wake:
                if not (self._stopping or self._heard or self._hurried or wait == 0):
                    self._wake.wait(wait)

    def _is_idle(self) -> bool:
        with self._wake:
            if not self._heard:
                self.idle.set()
            return self.idle.is_set()

    def _ask(self) -> float:
        """While there is nothing to tell, Slack is asked now and then whether it could be told: who put the bot out of
        its channel is to hear of it before there is something to say. Seconds until it is asked again."""
        now = self._pace.now()
        if now < self._ask_at:
            return self._ask_at - now
        match self._channel.stands():
            case Sent():
                self._good(_SLACK)
            case Lost(why):
                self._back_off(why)
            case Refused(error) as refused if refused.mend and error not in BLIND:
                self._stuck(refused, _SLACK)
        wait = self._pace.wait(_SLACK) or ASK
        self._ask_at = self._pace.now() + wait
        return wait

    def _ready(self) -> list[tuple[float, Callable[[], None]]]:
        """All that could be done next, the most wanted first, each with the seconds until it may be."""
        pace = self._pace
        found: list[tuple[float, Callable[[], None]]] = []
        for post in in_order(self._outbox.posts.values(), asked_now(self._board.table(Run))):
            method = _LOOK if post.key in self._outbox.unsure else _POST
            act = partial(self._look if post.key in self._outbox.unsure else self._tell, post)
            found.append((pace.wait(_SLACK, method, post.thread), act))
        for post in files_in_order(self._outbox.posts.values()):
            method = _LOOK if post.key in self._outbox.unsure else _UPLOAD
            act = partial(self._look if post.key in self._outbox.unsure else self._upload, post)
            found.append((pace.wait(_SLACK, method, post.key), act))
        stale = edits_in_order(self._outbox.editable(), self._board.table(Run))
        edits = [(pace.wait(_SLACK, _EDIT, key), partial(self._edit, key)) for key in stale]
        return [*edits, *found] if self._in_a_row >= IN_A_ROW else [*found, *edits]

    def _tell(self, post: Post) -> None:
        thread = self._outbox.ts(post.under) if post.under else None
        if post.under and thread is None:
            return self._outbox.again(post.under)
        message = self._drafts.first(post)
        self._pace.spend(_POST)
        self._in_a_row += 1
        match self._channel.post(message, _mark(post), thread):
            case Sent(ts):
                if changes(post.key):
                    self._shown[post.key] = message
                self._told(post, ts)
            case Later(seconds):
                self._pace.pause(_POST, seconds)
            case Lost(why):
                self._outbox.unsure.add(post.key)
                self._back_off(why)
            case Refused() as refused:
                self._post_refused(post, refused)

    def _told(self, post: Post, ts: str) -> None:
        """Slack has it, so it is written down; where that fails the message is looked for before it is tried again."""
        self._good(post.thread)
        try:
            self._outbox.told(post, self._channel.id, ts)
        except OSError as error:
            return self._back_off(f"the ledger does not take what was told: {error}")

    def _post_refused(self, post: Post, refused: Refused) -> None:
        if refused.error in TOO_RICH and self._drafts.simpler(post.key, refused.error):
            return
        if refused.error in NO_THREAD and post.under:
            log.warning("the message of %s is gone (%s): it is posted anew", post.under, refused.error)
            self._pace.fail(post.thread)
            return self._outbox.again(post.under)
        self._stuck(refused, post.thread)

    def _look(self, post: Post) -> None:
        """A page further on in the search for the messages of one place whose fate is not known."""
        asked, look = self._looks.get(post.under) or self._begin_to_look(post.under)
        self._pace.spend(_LOOK)
        match self._channel.look(look):
            case Later(seconds):
                return self._pace.pause(_LOOK, seconds)
            case Lost(why):
                return self._back_off(why)
            case Refused(error) as refused:
                del self._looks[post.under]
                if refused.mend and error not in BLIND:
                    return self._stuck(refused, post.thread)
                log.warning("Slack does not let the bot look (%s): a message may be posted twice", error)
        if look.over:
            self._looks.pop(post.under, None)
            self._found(asked, look)

    def _begin_to_look(self, under: str) -> tuple[tuple[Post, ...], Look]:
        unsure = (self._outbox.posts[key] for key in self._outbox.unsure)
        asked = tuple(post for post in unsure if post.under == under)
        look = Look(self._outbox.ts(under) if under else None, min(post.since for post in asked))
        self._looks[under] = asked, look
        return asked, look

    def _found(self, asked: tuple[Post, ...], look: Look) -> None:
        """What is there is told; the others are not there."""
        self._outbox.unsure -= {one.key for one in asked}
        for one in asked:
            if one.is_file and self._file(one).name in look.files:
                self._told(one, self._outbox.ts(one.reply) or "")
            elif ts := look.messages.get(_mark(one)):
                self._told(one, ts)
                if changes(one.key):  # it shows what was true when it was sent
                    self._outbox.edits[one.key] = None

    def _edit(self, key: str) -> None:
        ts = self._outbox.ts(key) or ""
        del self._outbox.edits[key]
        message = self._drafts.again(key)
        if message == self._shown.get(key):
            return
        self._pace.spend(_EDIT)
        self._in_a_row = 0
        match self._channel.edit(message, ts):
            case Sent():
                self._shown[key] = message
                self._good(key)
                return
            case Later(seconds):
                self._pace.pause(_EDIT, seconds)
            case Lost(why):
                self._back_off(why)
            case Refused(error) if error in NOT_EDITED:
                self._good(key)
                return self._not_edited(key, error)
            case Refused(error) if error in TOO_RICH and self._drafts.simpler(key, error):
                pass
            case Refused(error) as refused:
                if not refused.mend:
                    self._good(key)
                    return log.warning("%s stays as it was told: Slack refuses its edit (%s)", key, error)
                self._stuck(refused, key)
        self._outbox.edits[key] = None

    def _not_edited(self, key: str, error: str) -> None:
        """The card of a run that goes on is posted anew; what is over stays as it was told."""
        run = self._board.run(int(key.split("/")[1])) if key.startswith("run/") else None
        if run is not None and run.active and key == thread_of(key):
            log.warning("%s can no longer be edited (%s): it is posted anew", key, error)
            return self._outbox.again(key)
        log.warning("%s can no longer be edited (%s) and stays as it is", key, error)

    def _file(self, post: Post) -> Attached:
        assert post.noted  # what is posted anew, without a record, is a message
        return self._attachments.file(post.key, post.noted)

    def _upload(self, post: Post) -> None:
        thread = self._outbox.ts(post.under) if post.under else None
        file, reply = self._file(post), self._outbox.ts(post.reply)
        content = file.content()
        answer = self._channel.upload(file.name, file.title, content, thread) if content else Sent()
        match answer:
            case Sent():
                return self._told(post, reply or "")
            case Later(seconds):
                return self._pace.pause(_UPLOAD, seconds)
            case Lost(why):
                self._outbox.unsure.add(post.key)
                return self._back_off(why)
            case Refused(error) if error in NO_THREAD:
                return self._post_refused(post, answer)
            case Refused() if answer.mend:
                return self._stuck(answer, post.key)
        log.warning("%s is not in the channel (%s)", file.name, answer)
        self._told(post, reply or "")

    def _back_off(self, why: str) -> None:
        seconds = self._pace.fail(_SLACK)
        self._losses += 1
        if self._losses > 1:  # one answer that is lost is no trouble
            self._saw(Trouble("unreachable", why))
        log.info("an answer of Slack's was lost (%s): the next try is in %.0f s", why, seconds)

    def _stuck(self, refused: Refused, name: str) -> None:
        """Refused for what a person must mend: tried again, ever more slowly."""
        self._pace.fail(_SLACK if refused.mend else name)
        if refused.mend:
            self._saw(Trouble(refused.error, self._channel.id))
        elif self._refused.get(name) != refused.error:
            self._refused[name] = refused.error
            log.error("%s cannot be told in %s: %s", name, self._channel.id, refused.error)

    def _good(self, name: str) -> None:
        self._pace.good(_SLACK, name)
        self._losses = 0
        self._refused.pop(name, None)
        self._saw(None)


def _mark(post: Post) -> Mark:
    return Mark(post.key, post.record)
