"""What people wish for, the verbs and buttons that say it, and the days on which they do: for tests of both ends."""

import getpass
import hashlib
import os
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deck_room import ADMIN, DEV, DeckRoom
from msgspec.structs import replace

from bot.ctl import Peer
from handlers.arguments import CHOICES
from plans.events import IsolationJudged, SnapshotTaken, StepStarted
from plans.inspections import Inspecting, OverSsh
from plans.rule_events import DifferenceFound, InspectionOpened

ME = Peer(os.getuid(), getpass.getuser())
KEY = "ssh-ed25519 " + b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()
MAPPED = f"ctl: {{users: {{{ME.name}: {ADMIN}}}}}\n"


def released(deck: DeckRoom) -> None:
    deck.release()


def rehearsed(deck: DeckRoom) -> None:
    deck.release()
    deck.rehearsed("R-1")


def scheduled(deck: DeckRoom) -> None:
    rehearsed(deck)
    deck.types(ADMIN, "/promote R-1 at 2030-07-01 22:00")


def unapproved(deck: DeckRoom) -> None:
    """A policy that asks for an approval."""
    rehearsed(deck)
    config = deck.settings.config
    policy = replace(config.policy, approvals=1)
    object.__setattr__(deck.deck, "settings", replace(deck.settings, config=replace(config, policy=policy)))


def promoted(deck: DeckRoom) -> None:
    """The promotion is watching: it holds nothing."""
    rehearsed(deck)
    run = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")
    deck.happens(StepStarted(run=run.number, phase="watch", step=9, name="Mark 10m", host=None, attempt=1))


def running(deck: DeckRoom) -> None:
    deck.release()
    deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-1")


def asking(deck: DeckRoom) -> None:
    running(deck)
    deck.asks(1, choices=("retry", "abort"))


def checking(deck: DeckRoom) -> None:
    running(deck)
    deck.checks(1)


def doubted(deck: DeckRoom) -> None:
    rehearsed(deck)
    deck.happens(IsolationJudged(run=1, verdict="unproved", evidence=("a GPU",), doubts=("web: a GPU",)))


def kept(deck: DeckRoom) -> None:
    running(deck)
    for host in ("web", "db"):
        deck.happens(SnapshotTaken(run=1, host=host, snapshot=host, environment="staging", name="s"))
    deck.ends(1)


def locked(deck: DeckRoom) -> None:
    deck.types(ADMIN, "/stage lock prod the network")


def pointed_out(deck: DeckRoom) -> None:
    rehearsed(deck)
    found = DifferenceFound(run=1, key="schema", fact="schema", host="db", kind="qa", brief="qa has a column")
    deck.happens(found)


def on_prod(deck: DeckRoom) -> None:
    rehearsed(deck)
    run = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")
    deck.ends(run.number)


def stranded(deck: DeckRoom) -> None:
    """A promotion that has failed on prod, with a snapshot of before it."""
    rehearsed(deck)
    number = deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1").number
    deck.happens(SnapshotTaken(run=number, host="web", snapshot="web", environment="prod", name="s"))
    deck.happens(StepStarted(run=number, phase="deploy", step=4, name="Stop the shop", host="web", attempt=1))
    deck.ends(number, "failed")


def escaped(deck: DeckRoom) -> None:
    on_prod(deck)
    deck.types(ADMIN, "/promote escape R-1 totals are wrong")


def by_hand(deck: DeckRoom) -> None:
    deck.types(ADMIN, "/promote outside prod the disk was full")


def failed(deck: DeckRoom) -> None:
    """Its developer has a key, and staging may be looked at."""
    running(deck)
    deck.ends(1, "failed")
    deck.happens(InspectionOpened(run=1, environment="staging", until="2030-07-01T22:00:00.000Z"))
    key = deck.drops / "dev.pub"
    key.write_text(KEY)
    config = deck.settings.config
    inspecting = Inspecting(ssh=OverSsh(people={DEV: str(key)}))
    staging = replace(config.environments["staging"], inspection=inspecting)
    config = replace(config, environments=config.environments | {"staging": staging})
    visits = deck.deck.visits
    visits._settings = replace(deck.settings, config=config)
    object.__setattr__(deck.deck, "settings", visits._settings)


def frozen(deck: DeckRoom) -> None:
    deck.types(ADMIN, "/promote freeze holidays")


def promoting(deck: DeckRoom) -> None:
    rehearsed(deck)
    deck.runs.start("promotion", by=ADMIN, environment="prod", release="R-1")


def frozen_and_rehearsed(deck: DeckRoom) -> None:
    frozen(deck)
    rehearsed(deck)


@dataclass
class Case:
    """A line, what the second one who types it is told, what it writes down, and whether it counts for each admin."""

    line: str
    told: str
    record: str
    given: Callable[[DeckRoom], Any] = lambda deck: deck.packed()
    each: bool = False

    def prepared(self, deck: DeckRoom) -> str:
        """The line, on its day."""
        self.given(deck)
        package = deck.packed()
        return self.line.format(package=package, digest=hashlib.sha256(package.read_bytes()).hexdigest())


TYPED = {
    "stage assign": Case("/stage assign 1 1 <@U03TESTER>", "already_assigned", "check.assigned", checking),
    "handoff": Case("/handoff {package}", "are R-1 already", "package.handed_off"),
    "handoff digest": Case("/handoff {package} sha256:{digest}", "are R-1 already", "package.handed_off"),
    "handoff withdraw": Case("/handoff withdraw R-1 no", "already_withdrawn", "release.withdrawn", released),
    "stage run": Case("/stage run R-1", "already_running", "run.started", released),
    "stage check": Case("/stage check staging", "already_running", "run.started"),
    "stage reset": Case("/stage reset staging", "already_running", "run.started", kept),
    "stage answer": Case("/stage answer 1 retry", "already_answered", "run.decided", asking),
    "stage answer note": Case("/stage answer 1/1 retry I made room", "already_answered", "run.decided", asking),
    "stage abort": Case("/stage abort 1", "already_aborting", "run.aborting", running),
    "stage abort now": Case("/stage abort 1 now", "already_aborting", "run.aborting", running),
    "stage lock": Case("/stage lock prod the network", "already_locked", "environment.locked"),
    "stage unlock": Case("/stage unlock prod", "not_locked", "environment.unlocked", locked),
    "stage attest": Case("/stage attest staging dark", "already_attested", "isolation.attested", doubted),
    "stage inspect": Case("/stage inspect", "already_let_in", "inspection.entered", failed),
    "stage inspect in": Case("/stage inspect staging", "already_let_in", "inspection.entered", failed),
    "stage dispose": Case("/stage dispose R-1 schema soon", "already_disposed", "difference.disposed", pointed_out),
    "stage waive": Case("/stage waive schema until 2030-07-01 soon", "already_waived", "waiver.given"),
    "stage waive in": Case("/stage waive staging schema until 2030-07-01 soon", "already_waived", "waiver.given"),
    "promote outside": Case("/promote outside prod the disk was full", "already_told", "change.outside"),
    "promote review": Case("/promote review prod all is well", "nothing_to_review", "review.given", by_hand),
    "promote report": Case("/promote report R-1", "already_reported", "report.asked", rehearsed),
    "promote escape": Case("/promote escape R-1 totals are wrong", "already_recorded", "escape.recorded", on_prod),
    "promote accept": Case("/promote accept E-1 rare", "already_closed", "escape.closed", escaped),
    "promote refuse": Case("/promote refuse R-1 not now", "already_refused", "approval.refused", unapproved),
    "promote": Case("/promote R-1", "busy", "run.started", rehearsed),
    "promote at": Case("/promote R-1 at 2030-07-01 22:00", "already_scheduled", "promotion.scheduled", rehearsed),
    "promote emergency": Case("/promote R-1 emergency it is down", "busy", "promotion.forced", frozen_and_rehearsed),
    "promote rollback": Case("/promote rollback R-1", "busy", "run.started", promoted),
    "promote revert": Case("/promote revert R-1 prod", "busy", "run.started", stranded),
    "promote leave": Case("/promote leave R-1 closed", "already_left", "promotion.left", stranded),
    "promote approve": Case("/promote approve R-1", "it counts once", "approval.given", released, each=True),
    "promote defective": Case("/promote defective R-1 bad", "already_defective", "release.defective", released),
    "promote freeze": Case("/promote freeze holidays", "already_frozen", "freeze.set"),
    "promote freeze until": Case("/promote freeze until 2030-07-01 22:00 holidays", "already_frozen", "freeze.set"),
    "promote unfreeze": Case("/promote unfreeze", "not_frozen", "freeze.lifted", frozen),
    "promote abort": Case("/promote abort R-1", "not_scheduled", "promotion.unscheduled", scheduled),
    "promote abort run": Case("/promote abort 2", "already_aborting", "run.aborting", promoting),
    "promote abort now": Case("/promote abort 2 now", "already_aborting", "run.aborting", promoting),
}
OPENS = {"handoff open"}
"""Verbs that open a form, which is what is sent twice."""


PRESSED = {
    "rehearse": Case("R-1", "already_running", "run.started", released),
    "abort": Case("1", "already_aborting", "run.aborting", running),
    "promote": Case("R-1", "busy", "run.started", rehearsed),
    "rollback": Case("R-1", "busy", "run.started", promoted),
    "report": Case("R-1", "already_reported", "report.asked", rehearsed),
    "leave": Case("R-1", "already_left", "promotion.left", stranded),
    "approve": Case("R-1", "it counts once", "approval.given", released, each=True),
    **{
        f"answer:{choice}": Case("1/1", "already_answered", "run.decided", asking)
        for choice in sorted(set(CHOICES) - {"fail", "failed", "done_with_help"})
    },
}
ONLY_SAYS = {"revert"}
"""Buttons that answer with what to type, and do nothing."""

NOTED = {"answer:fail", "answer:failed", "answer:done_with_help"}
"""Buttons that open a form, which is what is sent twice."""


def asked(deck: DeckRoom, action: str) -> None:
    running(deck)
    deck.asks(1, choices=(action.removeprefix("answer:"), "leave"))
