"""What people say and press, and what the clock strikes for: in any order, at any time, twice, and too late."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from builders import DIGEST, handed_off
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from office import ADMIN, DEV, OTHER
from premises import Premises

from bot.ledger import stamp
from plans import events as e
from plans import rule_events as r
from plans.records import Due, Release
from plans.rule_records import Difference, Escape, Review

PEOPLE = st.sampled_from([ADMIN, OTHER])


class Admins(Premises):
    @rule(seconds=st.sampled_from([1, 60, 700, 700, 3600, 8 * 86400, -60, -7200]))
    def time_passes(self, seconds: int) -> None:
        """And now and then the clock is put back."""
        self.time += timedelta(seconds=seconds)

    @rule(times=st.integers(1, 5))
    def the_clock_strikes(self, times: int) -> None:
        for _ in range(times):
            self.strike()

    @precondition(lambda self: len(self.releases()) < 4)
    @rule(by=st.sampled_from([DEV, DEV, ADMIN]))
    def hand_off(self, by: str) -> None:
        number = 1 + len(self.releases())
        self.board.record(by, handed_off(f"R-{number}", f"2.4.{number}"))

    @precondition(lambda self: any(self.board.table(Due)))
    @rule(messages=st.integers(1, 12))
    def slack_is_told(self, messages: int) -> None:
        for _ in range(messages):
            self.tell()

    @rule(data=st.data(), kind=st.sampled_from(["rehearsal", "rehearsal", "check", "reset"]))
    def start(self, data: st.DataObject, kind: str) -> None:
        release = data.draw(st.sampled_from(self.releases())) if kind == "rehearsal" else None
        where = data.draw(st.sampled_from(["staging", "staging", "staging-2"]))
        self.pressed_twice(lambda: self.runs.start(kind, by=ADMIN, environment=where, release=release))

    @rule(data=st.data(), by=st.sampled_from([ADMIN, ADMIN, OTHER, DEV]), emergency=st.sampled_from(["", "", "fire"]))
    def promote(self, data: st.DataObject, by: str, emergency: str) -> None:
        release = data.draw(st.sampled_from(self.releases()))
        self.pressed_twice(lambda: self.promotions.promote(release, by=by, emergency=emergency))

    @rule(data=st.data(), records=st.integers(0, 3), emergency=st.sampled_from(["", "fire"]))
    def promote_until_the_power_is_cut(self, data: st.DataObject, records: int, emergency: str) -> None:
        release = data.draw(st.sampled_from(self.releases()))
        self.cut_off(lambda: self.promotions.promote(release, by=ADMIN, emergency=emergency), records)

    @rule(data=st.data(), minutes=st.sampled_from([0, 5, 600]), by=PEOPLE)
    def promote_later(self, data: st.DataObject, minutes: int, by: str) -> None:
        release = data.draw(st.sampled_from(self.releases()))
        self.pressed_twice(lambda: self.promotions.schedule(release, self.later(60 * minutes), by=by))

    @precondition(lambda self: any(release.scheduled for release in self.board.table(Release)))
    @rule(data=st.data(), taken_back=st.booleans())
    def it_is_due(self, data: st.DataObject, taken_back: bool) -> None:
        release = data.draw(st.sampled_from([one.id for one in self.board.table(Release) if one.scheduled]))
        if taken_back:
            self.pressed_twice(lambda: self.promotions.unschedule(release, by=ADMIN, reason="not tonight"))
        else:
            self.promotions.due(release)

    @rule(data=st.data(), kind=st.sampled_from(["rollback", "revert", "revert unsure", "leave"]))
    def take_back(self, data: st.DataObject, kind: str) -> None:
        release, do = data.draw(st.sampled_from(self.releases())), self.promotions
        ways: dict[str, Callable[[], object]] = {
            "rollback": lambda: do.rollback(release, by=ADMIN),
            "revert": lambda: do.revert(release, "prod", by=ADMIN),
            "revert unsure": lambda: do.revert(release, "perhaps", by=ADMIN),
            "leave": lambda: do.leave(release, "it is good enough", by=ADMIN),
        }
        watched = {run.number for run in self.active() if run.phase == "watch"}
        begun = self.attempt(ways[kind])
        assert not begun or kind != "revert unsure", "nobody said that it was meant"
        ended = {number for number in watched if not self.board.run(number).active}
        assert begun or not ended, "a way back that was refused has ended a watch"
        self.ended_early |= ended

    def approval(self, release: str, **other: str) -> e.ApprovalGiven:
        """A yes to what would be promoted now, or to something else."""
        now = {"digest": DIGEST, "plans": self.promotions.plans(release)}
        return e.ApprovalGiven(release=release, **(now | other))

    @rule(data=st.data(), by=PEOPLE)
    def promote_against_what_is_said(self, data: st.DataObject, by: str) -> None:
        """Somebody says something, and what was rehearsed, if anything was, is promoted at once nevertheless."""
        rehearsed = [release.id for release in self.board.table(Release) if release.rehearsal]
        release = data.draw(st.sampled_from(rehearsed or self.releases()))
        said: list[tuple[Any, Any]] = [
            (e.FreezeSet(until=None, reason="sale"), e.FreezeLifted()),
            (e.EnvironmentLocked(environment="prod", reason="audit"), e.EnvironmentUnlocked(environment="prod")),
            (self.approval(release), None),
            (self.approval(release, digest="e" * 64), None),
            (self.approval(release, plans="before"), None),
            (r.ApprovalRefused(release=release, reason="not today"), None),
        ]
        told, taken_back = data.draw(st.sampled_from(said))
        emergency = data.draw(st.sampled_from(["", "fire"]))
        self.board.record(by, told)
        self.pressed_twice(lambda: self.promotions.promote(release, by=by, emergency=emergency))
        if taken_back:
            self.board.record(ADMIN, taken_back)

    @rule(data=st.data(), by=PEOPLE)
    def somebody_interferes(self, data: st.DataObject, by: str) -> None:
        release = data.draw(st.sampled_from(self.releases()))
        said: list[Any] = [
            e.ReleaseWithdrawn(release=release, reason=""),
            e.ReleaseDefective(release=release, reason="it loses orders"),
            self.approval(release),
            e.EnvironmentLocked(environment="staging", reason="disk"),
            e.EnvironmentLocked(environment="prod", reason="audit"),
            e.EnvironmentUnlocked(environment="staging"),
            e.EnvironmentUnlocked(environment="prod"),
            e.FreezeSet(until=None, reason="sale"),
            e.FreezeSet(until=stamp(self.later(3600)), reason="an hour"),
            e.FreezeLifted(),
            e.FreezeLifted(),
            r.WaiverGiven(environment="staging", fact="schema", until=stamp(self.later(86400)), reason="known"),
        ]
        self.board.record(by, data.draw(st.sampled_from(said)))

    @rule(data=st.data(), by=PEOPLE)
    def somebody_looks_after_prod(self, data: st.DataObject, by: str) -> None:
        """Prod is changed by hand, with or without a word; a defect has escaped to it, or is accepted; a review."""
        promoted = [release.id for release in self.board.table(Release) if release.promotion]
        escapes = list(self.board.table(Escape))
        number = f"E-{1 + len(escapes)}"
        said: list[Any] = [None, r.ChangeOutside(environment="prod", reason="the disk was full")]
        said += [
            r.EscapeRecorded(escape=number, app="webshop", release=one, text="it loses orders") for one in promoted
        ]
        said += [_closed(escape.id) for escape in escapes if escape.open]
        said += [r.ReviewGiven(subject=review.subject, text="it was right") for review in self.board.table(Review)]
        told = data.draw(st.sampled_from(said))
        if told is None or isinstance(told, r.ChangeOutside):
            self.schema += 1
        if told is not None:
            self.board.record(by, told)

    @precondition(lambda self: any(one.open for one in self.board.table(Difference)))
    @rule(data=st.data())
    def dispose(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.board.table(Difference) if one.open]))
        release = self.board.run(one.run).release or ""
        self.board.record(ADMIN, r.DifferenceDisposed(run=one.run, release=release, key=one.key, reason="it may be"))

    @rule(data=st.data())
    def the_admins_edit_something(self, data: st.DataObject) -> None:
        """The test plan is another now, or the one before; prod lacks a role of the package's, or has it again."""
        if data.draw(st.booleans()):
            self.edition = data.draw(st.sampled_from(["plans", "plans", "other plans"]))
        else:
            self.fits = not self.fits


def _closed(escape: str) -> r.EscapeClosed:
    return r.EscapeClosed(escape=escape, how="accepted", release="", check="", reason="we live with it")
