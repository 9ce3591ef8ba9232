"""The steps that look at facts: two sides, two times, and what is pointed out to be looked at."""

import hashlib
from typing import Any

import pytest
from builders import drive as driven
from builders import site

from plans.actions import Action, KeepText, Note, Outcome, Recalled, RecallFacts, Record, Together
from plans.comparing import CollectFacts, CompareFacts, CompareSince, SeekForgotten
from plans.events import FactsCollected, PromotionRefused
from plans.facts import Fact
from plans.rule_events import DifferenceFound, WaiverUsed
from plans.site import OK

ABORTED = Outcome("aborted")
SCHEMA = Fact(name="schema", on="db", run="sqlite3 shop.db .schema", kind="database")
PACKAGES = Fact(name="packages", on="web", run="dpkg-query -W", ignore=("^linux",))


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def events(asked: list[Action]) -> list[Any]:
    return [action.event for action in asked if isinstance(action, Record)]


def found(asked: list[Action]) -> list[DifferenceFound]:
    return [event for event in events(asked) if isinstance(event, DifferenceFound)]


def outputs(*texts: Outcome | str) -> Outcome:
    return Outcome("ok", value=tuple(Outcome("ok", exit=0, output=t) if isinstance(t, str) else t for t in texts))


def drive(step: Any, where: Any, *answers: Outcome) -> tuple[list[Action], Outcome]:
    """The step, with these answers to what it asks of hosts and of what is kept; all else is simply done."""
    left = list(answers)

    def answer(action: Action) -> Outcome:
        return left.pop(0) if isinstance(action, Together | RecallFacts) else OK

    asked, ended = driven(step, where, *[answer] * 100)
    assert not left, "not everything was asked"
    return asked, ended


def recalled(**texts: str | None) -> Outcome:
    """What was known before, by "fact host"; a text that is gone is None."""
    then = {key.replace("_", " "): Recalled(sha(text or "gone"), text) for key, text in texts.items()}
    return Outcome("ok", value=then)


class TestTwoSides:
    PAIRS = ((SCHEMA, "db", "db"), (PACKAGES, "web", "web"), (PACKAGES, "web", "web/2"))

    def compare(self, *outputs: Outcome | str) -> tuple[list[Action], Outcome]:
        outcomes = tuple(Outcome("ok", exit=0, output=o) if isinstance(o, str) else o for o in outputs)
        step = CompareFacts(pairs=self.PAIRS, there="prod", app="webshop")
        return drive(step, site(host=None), Outcome("ok", value=outcomes))

    def test_all_are_collected_at_once_and_no_host_is_asked_twice(self) -> None:
        asked, ended = self.compare("s", "s", "p", "p", "p\nlinux-6")
        (together,) = [action for action in asked if isinstance(action, Together)]
        assert [(str(shell.at), shell.command) for shell in together.shells] == [
            ("staging db", "sqlite3 shop.db .schema"),
            ("prod db", "sqlite3 shop.db .schema"),
            ("staging web", "dpkg-query -W"),
            ("prod web", "dpkg-query -W"),
            ("prod web/2", "dpkg-query -W"),
        ]
        assert ended.ok

    def test_both_sides_are_on_the_ledger_by_digest(self) -> None:
        asked, _ = self.compare("s", "s", "p", "p", "other")
        s, p, other = (hashlib.sha256(text.encode()).hexdigest() for text in ("s", "p", "other"))
        assert events(asked) == [
            FactsCollected(
                run=7,
                environment="staging",
                app="webshop",
                digests={"schema db": s, "packages web": p},
                log="logs/run-7/01-web-1.log",
            ),
            FactsCollected(
                run=7,
                environment="prod",
                app="webshop",
                digests={"schema db": s, "packages web": p, "packages web/2": other},
                log="logs/run-7/01-web-1.log",
            ),
        ]

    def test_each_text_is_kept_under_its_digest_before_the_ledger_names_it(self) -> None:
        asked, _ = self.compare("s", "s", "p", "p", "p\nlinux-6")
        first = next(i for i, action in enumerate(asked) if isinstance(action, Record))
        kept = [action for action in asked[:first] if isinstance(action, KeepText)]
        assert kept == [KeepText(sha("s"), "s"), KeepText(sha("p"), "p")]

    def test_a_difference_is_the_machinerys_and_says_on_which_host(self) -> None:
        asked, ended = self.compare("s", "t", "p", "p", "p\nq")
        assert ended.result == "errored"
        assert ended.reason.splitlines() == [
            "schema: staging db and prod db differ",
            "  only on staging db: s",
            "  only on prod db: t",
            "packages: staging web and prod web/2 differ",
            "  only on prod web/2: q",
        ]
        assert isinstance(asked[-1], Note)
        assert "+q" in asked[-1].text

    @pytest.mark.parametrize(
        ("outcome", "why"),
        [
            (Outcome("failed", exit=1, reason="exit code 1"), "exit code 1"),
            (Outcome("errored", reason="no route"), "no route"),
            (Outcome("failed", exit=2), "could not be read"),
            (Outcome("failed", exit=69, reason="exit code 69", output="a\nno rpm here\n"), "exit code 69: no rpm here"),
            (
                Outcome("ok", exit=0, output="s", cut=True),
                "its output is longer than 4 MiB: let it print less, or a digest",
            ),
        ],
    )
    def test_what_could_not_be_read_whole_is_not_compared(self, outcome: Outcome, why: str) -> None:
        asked, ended = self.compare("s", outcome, "p", "p", "p")
        assert (ended.result, ended.reason) == ("errored", f"fact schema on prod db: {why}")
        assert [type(action) for action in asked] == [Together]

    def test_after_a_revert_a_difference_is_why_staging_is_restored_anew(self) -> None:
        outcomes = tuple(Outcome("ok", exit=0, output=text) for text in ("s", "t"))
        step = CompareFacts(pairs=((SCHEMA, "db", "db"),), there="prod", reused=True)
        asked, ended = drive(step, site(host=None), Outcome("ok", value=outcomes))
        assert (ended.result, ended.reason.splitlines()) == (
            "skipped",
            [
                "Restored anew: prod has changed since.",
                "schema: staging db and prod db differ",
                "  only on staging db: s",
                "  only on prod db: t",
            ],
        )
        assert isinstance(asked[-1], Note)
        assert drive(step, site(host=None), Outcome("ok", value=outcomes[:1] * 2))[1] == OK

    def test_up_to_4_mib_of_each_are_brought_back(self) -> None:
        asked, _ = self.compare("s", "s", "p", "p", "p")
        (together,) = [action for action in asked if isinstance(action, Together)]
        assert {shell.keep for shell in together.shells} == {4 * 1024 * 1024}

    def test_a_stop_is_a_stop(self) -> None:
        assert self.compare("s", ABORTED, "p", "p", "p")[1] == ABORTED


class TestWaivers:
    def test_a_waived_fact_may_differ_and_the_run_says_so(self) -> None:
        step = CompareFacts(pairs=((SCHEMA, "db", "db"),), there="prod", waived=("schema",))
        asked, ended = drive(step, site(host=None), outputs("s", "t"))
        assert ended == OK
        brief = "schema: staging db and prod db differ\n  only on staging db: s\n  only on prod db: t"
        assert events(asked)[-1] == WaiverUsed(run=7, fact="schema", brief=brief)

    def test_another_fact_that_differs_still_stops_the_run(self) -> None:
        pairs = ((SCHEMA, "db", "db"), (PACKAGES, "web", "web"))
        step = CompareFacts(pairs=pairs, there="prod", waived=("schema",))
        _, ended = drive(step, site(host=None), outputs("s", "t", "p", "q"))
        assert ended.result == "errored"
        assert ended.reason.startswith("packages: staging web and prod web differ")

    def test_a_waiver_that_is_not_needed_is_not_used(self) -> None:
        step = CompareFacts(pairs=((SCHEMA, "db", "db"),), there="prod", waived=("schema",))
        asked, ended = drive(step, site(host=None), outputs("s", "s"))
        assert ended == OK
        assert not [event for event in events(asked) if isinstance(event, WaiverUsed)]


class TestForgotten:
    """What QA has and staging lacks, and what changed though nothing listed is about it."""

    PAIRS = ((SCHEMA, "db", "db"),)

    def seek(
        self, here: Outcome, qa: Outcome | None, before: Outcome, listed: tuple[str, ...] = ("database",)
    ) -> tuple[list[Action], Outcome]:
        step = SeekForgotten(pairs=self.PAIRS, qa="qa" if qa else "", app="webshop", listed=listed)
        answers = [here, *([qa] if qa else []), before]
        return drive(step, site(host=None), *answers)

    def test_nothing_is_pointed_out_where_qa_agrees_and_every_change_is_listed(self) -> None:
        asked, ended = self.seek(outputs("new"), outputs("new"), recalled(schema_db="old"))
        assert (ended, found(asked)) == (OK, [])

    def test_what_qa_has_and_staging_lacks_is_named_in_a_sentence(self) -> None:
        asked, ended = self.seek(
            outputs("orders.id"), outputs("orders.id\norders.archived"), recalled(schema_db="orders.id")
        )
        assert ended == OK
        (difference,) = found(asked)
        assert (difference.kind, difference.key, difference.fact, difference.host) == ("qa", "schema", "schema", "db")
        first, *lines = difference.brief.splitlines()
        assert first == "qa has orders.archived, staging after 2.4.1 does not"
        assert "  only on qa db: orders.archived" in lines

    def test_what_staging_has_and_qa_lacks_is_named_too(self) -> None:
        asked, _ = self.seek(outputs("a\nb\nc"), outputs("a"), recalled(schema_db="a\nb\nc"))
        assert found(asked)[0].brief.startswith("staging after 2.4.1 has b and 1 lines more, qa does not")

    def test_what_changed_and_is_not_listed_is_pointed_out(self) -> None:
        asked, ended = self.seek(outputs("new"), None, recalled(schema_db="old"), ("code", "config"))
        assert ended == OK
        (difference,) = found(asked)
        assert (difference.kind, difference.key) == ("unlisted", "schema:unlisted")
        assert difference.brief.splitlines()[0] == (
            "schema changed on staging db, and no listed change is of kind database"
        )

    @pytest.mark.parametrize(
        ("before", "listed"),
        [
            (recalled(schema_db="new"), ()),  # not changed
            (recalled(schema_db="old"), ("database",)),  # listed
            (recalled(), ()),  # not known before
        ],
    )
    def test_else_nothing_is(self, before: Outcome, listed: tuple[str, ...]) -> None:
        assert found(self.seek(outputs("new"), None, before, listed)[0]) == []

    def test_a_change_whose_text_before_is_gone_is_pointed_out_all_the_same(self) -> None:
        (difference,) = found(self.seek(outputs("new"), None, recalled(schema_db=None), ())[0])
        assert difference.brief.startswith("schema changed on staging db")

    def test_a_fact_of_no_known_kind_is_shown_in_the_log_alone(self) -> None:
        step = SeekForgotten(pairs=((PACKAGES, "web", "web"),), qa="", app="webshop", listed=())
        asked, _ = drive(step, site(host=None), outputs("p 2"), recalled(packages_web="p 1"))
        assert found(asked) == []
        assert any(isinstance(action, Note) and "+p 2" in action.text for action in asked)

    def test_a_qa_that_cannot_be_asked_is_a_difference_and_no_verdict(self) -> None:
        asked, ended = self.seek(outputs("s"), outputs(Outcome("errored", reason="no route")), recalled(schema_db="s"))
        assert ended == OK
        (difference,) = found(asked)
        assert difference.brief == "qa could not be asked what it has: fact schema on qa db: no route"

    def test_a_staging_that_cannot_be_asked_after_the_deployment_is_left_to_the_tests(self) -> None:
        step = SeekForgotten(pairs=self.PAIRS, qa="qa", app="webshop", listed=())
        asked, ended = drive(step, site(host=None), outputs(Outcome("failed", exit=1, reason="exit code 1")))
        assert ended == OK
        assert [d.brief for d in found(asked)] == ["after the deployment fact schema on staging db: exit code 1"]

    @pytest.mark.parametrize("answers", [(outputs(ABORTED),), (outputs("s"), outputs(ABORTED))])
    def test_a_stop_is_a_stop(self, answers: tuple[Outcome, ...]) -> None:
        step = SeekForgotten(pairs=self.PAIRS, qa="qa", app="webshop", listed=())
        assert drive(step, site(host=None), *answers)[1] == ABORTED


class TestTwoTimes:
    def since(self, kind: str, now: Outcome, then: Outcome, *facts: tuple[Fact, str]) -> tuple[list[Action], Outcome]:
        asked = facts or ((SCHEMA, "db"),)
        step = CompareSince(facts=asked, app="webshop", run=3, phase="confirm", kind=kind)
        return drive(step, site(environment="prod", host=None, release="R-2"), now, then)

    @pytest.mark.parametrize("kind", ["prod", "drift", "undo"])
    def test_what_is_as_it_was_passes(self, kind: str) -> None:
        asked, ended = self.since(kind, outputs("s"), recalled(schema_db="s"))
        assert (ended, found(asked)) == (OK, [])
        assert RecallFacts(3, "confirm", "prod", "webshop") in asked

    def test_a_prod_that_moved_refuses_the_promotion_before_it_touches_anything(self) -> None:
        asked, ended = self.since("prod", outputs("new"), recalled(schema_db="old"))
        assert events(asked)[-1] == PromotionRefused(release="R-2", gates=("prod_changed_since",))
        assert ended.result == "errored"
        assert ended.reason.splitlines() == [
            "prod has changed since it was rehearsed in run 3: nothing was deployed. Rehearse it again: /stage run R-2",
            "schema: prod db in run 3 and prod db now differ",
            "  only on prod db in run 3: old",
            "  only on prod db now: new",
        ]

    def test_a_fact_that_may_change_is_only_said(self) -> None:
        warn = Fact(name="schema", on="db", run="x", change="warn")
        asked, ended = self.since("prod", outputs("new"), recalled(schema_db="old"), (warn, "db"))
        assert ended == OK
        (difference,) = found(asked)
        assert (difference.kind, difference.brief.splitlines()[0]) == ("drift", "schema on prod db has changed")

    def test_a_prod_that_moved_by_itself_is_said_and_no_verdict(self) -> None:
        asked, ended = self.since("drift", outputs("new"), recalled(schema_db="old"))
        assert (ended, [d.kind for d in found(asked)]) == (OK, ["drift"])

    def test_a_rollback_that_does_not_bring_back_what_was_has_failed(self) -> None:
        _, ended = self.since("undo", outputs("new"), recalled(schema_db="old"))
        assert ended.result == "failed"
        assert ended.reason.startswith("after the rollback staging is not as it was before\nschema: ")

    def test_lines_that_do_not_count_do_not_count(self) -> None:
        _, ended = self.since("prod", outputs("p\nlinux-7"), recalled(packages_web="p"), (PACKAGES, "web"))
        assert ended == OK

    @pytest.mark.parametrize("kind", ["prod", "drift", "undo"])
    def test_what_cannot_be_read_is_the_machinerys_fault(self, kind: str) -> None:
        step = CompareSince(facts=((SCHEMA, "db"),), app="webshop", run=3, phase="confirm", kind=kind)
        asked, ended = drive(step, site(host=None), outputs(Outcome("errored", reason="no route")))
        assert ended.result == "errored"
        assert events(asked) == []


def test_facts_are_written_down_as_they_are() -> None:
    step = CollectFacts(facts=((SCHEMA, "db"),), app="webshop")
    asked, ended = drive(step, site(environment="prod", host=None), outputs("s"))
    (event,) = events(asked)
    assert (event.environment, event.app, event.digests) == ("prod", "webshop", {"schema db": sha("s")})
    assert ended == OK
