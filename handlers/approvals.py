"""Touches approvals for `/promote`: a further admin's yes or no to a promotion."""

from datetime import datetime

from bot.line.blocks import line, moment, person
from bot.objections import done_since
from handlers import blocks
from handlers.deck import Answer, Asked, Deck, Verb
from handlers.words import Form
from plans.errors import Refusal
from plans.events import ApprovalGiven, PromotionUnscheduled
from plans.gates import counted
from plans.records import Release, Run
from plans.rule_events import ApprovalRefused
from plans.rule_records import Approval


def approved(deck: Deck, release: Release) -> tuple[str, ...]:
    """Who has approved what is to be promoted now, whoever promotes it."""
    plans, policy = deck.promotions.plans(release.id), deck.settings.policy
    return counted(_approval(deck, release), release, plans, policy, deck.board.now())


def _approval(deck: Deck, release: Release) -> Approval | None:
    return next((a for a in deck.board.table(Approval) if a.release == release.id), None)


def _promotable(deck: Deck, name: str) -> Release:
    release = deck.board.release(name)
    gone = release.withdrawn if release.withdrawn is not None else release.defective
    if gone is not None:
        code = "withdrawn" if release.withdrawn is not None else "defective"
        raise Refusal(code, f"{release.id} is {code}: {gone or 'no reason was given'}.", "Look: /handoff list")
    return release


def _approve(deck: Deck, asked: Asked) -> Answer:
    board, by = deck.board, asked.by
    with board.deciding:
        release = _promotable(deck, asked.request.release)
        if release.by == by:
            message = f"You handed {release.id} off, so your approval does not count."
            raise Refusal("same_person", message, "Another admin approves it.")
        plans = deck.promotions.plans(release.id)
        if asked.request.name and not plans.startswith(asked.request.name):
            message = f"Since that question was asked, something of {release.id} was changed: it is void."
            raise Refusal("question_void", message, f"Look at it again, then type: /promote approve {release.id}")
        before = _approval(deck, release)
        if asked.request.name:
            _refuse_late(deck, release, before, asked.since)
        if before is not None and before.refused:
            message = f"{person(before.refused_by)} refused {release.id}: {before.refused}."
            raise Refusal("was_refused", message, f"Who promotes it asks anew: /promote {release.id}")
        if by in approved(deck, release):
            return blocks.said(f"You approved {release.id} before: it counts once. {_standing(deck, release)}")
        board.record(by, ApprovalGiven(release=release.id, digest=release.digest, plans=plans))
    return blocks.said(f"Your approval of {release.id} is on the ledger. {_standing(deck, release)}")


def _refuse_late(deck: Deck, release: Release, question: Approval | None, since: int) -> None:
    """A question's button asks nothing any more when it was acted on, or when its time is over."""
    again = f"/promote approve {release.id}"
    for run in deck.board.table(Run):
        if run.number > since and (run.kind, run.release) == ("promotion", release.id):
            raise done_since(run, again)
    if question is not None and question.until and datetime.fromisoformat(question.until) <= deck.board.now():
        message = f"That question stood until {moment(question.until)}: it is void."
        raise Refusal("question_void", message, f"Look at it again, then type: {again}")


def _standing(deck: Deck, release: Release) -> str:
    policy = deck.settings.policy
    if not policy.approvals:
        return "The policy asks for none."
    count = len(approved(deck, release))
    lasts = f"Each counts for {policy.approvals_expire}, unless something changes."
    return f"{count} of {policy.approvals} are given; that of who promotes it does not count. {lasts}"


def _refuse(deck: Deck, asked: Asked) -> Answer:
    board, reason = deck.board, asked.request.text
    with board.deciding:
        release = _promotable(deck, asked.request.release)
        if not deck.settings.policy.approvals:
            message = "The policy asks for no approvals, so that nothing waits for yours."
            raise Refusal("no_approvals", message, f"To keep it off prod: /promote defective {release.id} REASON")
        before = _approval(deck, release)
        if before is not None and before.refused:
            message = f"<@{before.refused_by}> refused {release.id} already: {before.refused}."
            raise Refusal("already_refused", message, f"Who promotes it asks anew: /promote {release.id}")
        if release.scheduled is not None:  # first: whoever refused it already is not let do the rest of it
            why = f"refused by <@{asked.by}>: {reason}"
            board.record("quarterdeck", PromotionUnscheduled(release=release.id, at=release.scheduled, reason=why))
        board.record(asked.by, ApprovalRefused(release=release.id, reason=reason))
    what = f"{release.id} ({line(f'{release.app} {release.version}')})"
    return blocks.said(
        f"The promotion of {what} is refused, with your reason.",
        "It is not scheduled any more." if release.scheduled else "",
        f"All approvals that it had are void; who promotes it asks anew: `/promote {release.id}`",
    )


VERBS = (
    Verb(
        Form("approve", ("release", "asked?"), "/promote approve R-1"),
        "A further admin's yes, where the policy asks for it.",
        "admins",
        _approve,
    ),
    Verb(
        Form("refuse", ("release", "reason"), "/promote refuse R-1 REASON"),
        "A further admin's no: it ends what was approved so far, and takes it off the schedule.",
        "admins",
        _refuse,
    ),
)
