"""Where drain, undrain and maintenance stand, what they do, and what is asked when a run ends badly between them."""

from typing import Any

import pytest
from builders import PACKAGE, PROD, Story, drive, material, prod, site
from msgspec.structs import replace

from plans import events as e
from plans.actions import At, Outcome, Shell, Together
from plans.documents import load
from plans.engine import Ask, Finish, Perform, standing
from plans.errors import Refusal
from plans.hooks import Hooked, by_hand
from plans.package import Manifest
from plans.phases import Plan
from plans.promotion import promotion, rollback
from plans.rehearsal import rehearsal

DRAIN = 'drain: [{name: Take it out, for: web, on: runner, run: lb off "$QUARTERDECK_HOST"}]\n'
UNDRAIN = 'undrain: [{name: Put it in, for: web, on: runner, run: lb on "$QUARTERDECK_HOST"}]\n'
MAINTENANCE = """maintenance:
  begin: [{name: Silence the alarms, on: runner, run: monitor off}]
  end: [{name: Arm the alarms, on: runner, run: monitor on}]
"""


def package(*steps: str) -> Manifest:
    head, _, rest = PACKAGE.partition("deploy:")
    listed = "".join(f"  - {{{step}}}\n" for step in steps)
    return load(f"{head}deploy:\n{listed}rollback:{rest.partition('rollback:')[2]}".encode(), Manifest, "handoff.yaml")


def on_prod(*steps: str, hooks: str = DRAIN + UNDRAIN) -> Plan:
    return promotion(material("prod", target=prod(PROD + hooks), manifest=package(*steps)))


def deployed(plan: Plan) -> list[str]:
    named = [f"{step.name} ({' '.join(step.hosts)})" for step in plan.steps if step.phase == "deploy"]
    assert named.pop(0).startswith("Unpack the package")
    return named


STOP, MIGRATE, START = (
    "name: Stop, on: web, run: stop",
    "name: Migrate, on: db, run: go",
    "name: Start, on: web, run: go",
)
COPY = "name: Copy, on: web, serial: 1, run: copy"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((MIGRATE,), ["Migrate (db)"]),
        ((STOP,), ["Take it out (web web/2)", "Stop (web web/2)", "Put it in (web web/2)"]),
        (
            (COPY,),
            [
                *("Take it out (web)", "Copy (web)", "Put it in (web)"),
                *("Take it out (web/2)", "Copy (web/2)", "Put it in (web/2)"),
            ],
        ),
        (
            ("name: Copy, on: web, serial: 2, run: copy",),
            ["Take it out (web web/2)", "Copy (web web/2)", "Put it in (web web/2)"],
        ),
        (
            (STOP, MIGRATE, COPY, START),
            [
                *("Take it out (web web/2)", "Stop (web web/2)", "Migrate (db)", "Copy (web web/2)"),
                *("Start (web web/2)", "Put it in (web web/2)"),
            ],
        ),
        (
            (COPY, MIGRATE, "name: Restart, on: web, serial: 1, run: restart"),
            [
                *("Take it out (web)", "Copy (web)", "Put it in (web)"),
                *("Take it out (web/2)", "Copy (web/2)", "Put it in (web/2)"),
                "Migrate (db)",
                *("Take it out (web)", "Restart (web)", "Put it in (web)"),
                *("Take it out (web/2)", "Restart (web/2)", "Put it in (web/2)"),
            ],
        ),
        (
            ("name: Once, on: web, once: true, run: go", "name: Tell, manual: Tell them."),
            ["Take it out (web)", "Once (web)", "Put it in (web)", "Tell ()"],
        ),
    ],
)
def test_where_a_host_is_drained_and_undrained(steps: tuple[str, ...], expected: list[str]) -> None:
    plan = on_prod(*steps)
    assert deployed(plan) == expected
    assert [step.number for step in plan.steps] == list(range(1, len(plan.steps) + 1))


def test_what_each_undraining_takes_back() -> None:
    plan = on_prod(COPY)
    pairs = [(step.number, step.takes_back) for step in plan.steps if step.name == "Put it in"]
    drains = [step.number for step in plan.steps if step.name == "Take it out"]
    assert [taken for _, taken in pairs] == [(number,) for number in drains]


def test_without_hooks_a_serial_step_stays_one_step() -> None:
    assert deployed(on_prod(COPY, hooks="")) == ["Copy (web web/2)"]


def test_a_hook_without_for_is_for_every_host_and_without_on_runs_there() -> None:
    hooks = "drain: [{name: Out, run: down}]\nundrain: [{name: In, run: up}]\n"
    plan = on_prod(MIGRATE, hooks=hooks)
    assert deployed(plan) == ["Out (db)", "Migrate (db)", "In (db)"]
    (out,) = [step.step for step in plan.steps if step.name == "Out"]
    ((shell,), _) = drive(out, site(host="db", environment="prod"))
    assert isinstance(shell, Shell)
    assert (shell.at, shell.command, shell.cwd) == (At("prod", "db"), "down", None)
    assert shell.env["QUARTERDECK_HOST"] == "db"


def test_maintenance_stands_around_what_changes_prod_and_its_tests_and_not_around_the_watch() -> None:
    for lay_out, phase in ((promotion, "deploy"), (rollback, "rollback")):
        plan = lay_out(material("prod", target=prod(PROD + MAINTENANCE)))
        begin = next(step for step in plan.steps if step.name == "Silence the alarms")
        end = next(step for step in plan.steps if step.name == "Arm the alarms")
        assert (begin.phase, begin.hosts, end.phase) == (phase, ("",), "test")
        assert begin.number == min(step.number for step in plan.steps if step.phase == phase)
        assert end.number == max(step.number for step in plan.steps if step.phase == "test")
        assert end.takes_back == (begin.number,)


def test_on_staging_too_with_the_way_back_inside() -> None:
    target = replace(
        material().target,
        **{
            key: getattr(prod(PROD + DRAIN + UNDRAIN + MAINTENANCE), key) for key in ("drain", "undrain", "maintenance")
        },
    )
    plan = rehearsal(material(target=target))
    assert (plan.steps[-1].name, plan.steps[-1].phase) == ("Arm the alarms", "undo")
    first = next(step for step in plan.steps if step.phase == "deploy")
    assert first.name == "Silence the alarms"
    assert [step.name for step in plan.steps].count("Take it out") == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DRAIN, "drain and undrain go together"),
        (UNDRAIN, "drain and undrain go together"),
        ("maintenance: {begin: [{name: A, run: b}], end: []}", "each step says `on:`"),
        ("maintenance: {begin: [{name: A, run: b, on: runner, for: web}], end: []}", "none `for:`"),
        ("maintenance: {begin: []}", "end"),
        (DRAIN.replace("for: web", "serial: 1") + UNDRAIN, "a hook has no serial"),
        (DRAIN.replace("for: web", "for: runner") + UNDRAIN, "runner is the bot's own machine"),
    ],
)
def test_hooks_that_make_no_sense_are_refused(text: str, why: str) -> None:
    with pytest.raises(Refusal, match=why):
        prod(PROD + text)


# --- what a hook does -------------------------------------------------------------------------------------------------

HOOKED = Hooked(name="Put it in", run="lb on", at=("runner",), timeout="30s")


def test_a_hook_runs_where_it_says_and_is_told_which_host_it_is_about() -> None:
    ((shell,), ended) = drive(HOOKED, site(host="web/2", environment="prod"))
    assert isinstance(shell, Shell)
    assert (shell.at, shell.timeout, shell.ask_when_overdue) == (At("prod", "runner"), 30, False)
    assert (shell.env["QUARTERDECK_HOST"], shell.env["QUARTERDECK_ENVIRONMENT"]) == ("web/2", "prod")
    assert ended.ok


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (("ok", "ok"), "ok"),
        (("failed", "ok"), "errored"),
        (("ok", "errored"), "errored"),
        (("failed", "aborted"), "aborted"),
    ],
)
def test_a_hook_on_several_hosts_is_as_good_as_the_worst_and_never_blames_the_package(
    results: tuple[Any, ...], expected: str
) -> None:
    many = Outcome("ok", value=tuple(Outcome(result, exit=1) for result in results))
    ((asked,), ended) = drive(replace(HOOKED, at=("lb", "lb/2")), site(host="web"), many)
    assert isinstance(asked, Together)
    assert [shell.at.host for shell in asked.shells] == ["lb", "lb/2"]
    assert ended.result == expected


def test_the_line_that_a_person_types_instead() -> None:
    assert by_hand(HOOKED, ("web", "web/2")) == (
        "on runner: QUARTERDECK_HOST=web lb on",
        "on runner: QUARTERDECK_HOST=web/2 lb on",
    )
    assert by_hand(HOOKED, ("",)) == ("on runner: lb on",)
    assert by_hand(replace(HOOKED, at=()), ("db",)) == ("on db: QUARTERDECK_HOST=db lb on",)


# --- a bad end between them -------------------------------------------------------------------------------------------

PLAN = on_prod(STOP, hooks=DRAIN + UNDRAIN + MAINTENANCE)


def until(name: str) -> Story:
    """A promotion whose steps were ok up to that one, which is next."""
    story = Story().begin("promotion", environment="prod")
    while isinstance(move := story.move(PLAN), Perform) and move.step.name != name:
        story.step(PLAN)
    return story


def answer(story: Story, choice: str) -> None:
    story.ask(PLAN)
    (question,) = [q for q in (story.run().question,) if q]
    story.tell(e.RunDecided(run=1, step=question.step, choice=choice), by="U02ADMIN")


def names(story: Story) -> list[str]:
    return [step.name for step in standing(story.run(), PLAN)]


def test_after_a_failure_undraining_and_the_end_of_maintenance_are_asked_for() -> None:
    story = until("Stop").step(PLAN, "failed", exit=3)
    answer(story, "abort")
    asked = story.move(PLAN)
    assert isinstance(asked, Ask)
    assert (asked.step.name, asked.choices) == ("Put it in", ("undrain", "leave"))
    assert asked.why.startswith("web, web/2 drained, and the run is about to end: failed, “Stop” failed on web: exit 3")
    answer(story, "undrain")
    story.step(PLAN)
    asked = story.move(PLAN)
    assert isinstance(asked, Ask)
    assert (asked.step.name, asked.choices) == ("Arm the alarms", ("end", "leave"))
    assert names(story) == ["Arm the alarms"]
    answer(story, "leave")
    end = story.move(PLAN)
    assert isinstance(end, Finish)
    assert (end.verdict, end.reason) == ("failed", "“Stop” failed on web: exit 3")
    assert names(story) == ["Arm the alarms"], "which is said with the end"


def test_an_undraining_that_goes_wrong_then_is_asked_about() -> None:
    story = until("Stop").step(PLAN, "failed", exit=3)
    answer(story, "abort")
    answer(story, "undrain")
    story.step(PLAN, "errored", exit=1)
    asked = story.move(PLAN)
    assert isinstance(asked, Ask)
    assert asked.choices == ("retry", "skip")
    answer(story, "retry")
    again = story.move(PLAN)
    assert isinstance(again, Perform)
    assert {place.attempt for place in again.places} == {2}
    story.step(PLAN, "errored", exit=1)
    answer(story, "skip")
    asked = story.move(PLAN)
    assert isinstance(asked, Ask)
    assert asked.step.name == "Arm the alarms"
    assert names(story) == ["Put it in", "Arm the alarms"]


def test_a_crash_while_it_undrains_goes_on_with_that() -> None:
    story = until("Stop").step(PLAN, "failed", exit=3)
    answer(story, "abort")
    answer(story, "undrain")
    move = story.move(PLAN)
    assert isinstance(move, Perform)
    story.start(move)
    again = story.move(PLAN)
    assert isinstance(again, Perform)
    assert [place.resume for place in again.places] == [True, True]


def test_a_stop_asks_nothing_and_leaves_it_drained() -> None:
    story = until("Stop").tell(e.RunAborting(run=1, now=False), by="U02ADMIN")
    end = story.move(PLAN)
    assert isinstance(end, Finish)
    assert end.verdict == "aborted"
    assert names(story) == ["Put it in", "Arm the alarms"]


def test_nothing_is_asked_for_what_was_never_begun_or_was_skipped() -> None:
    story = until("Silence the alarms").step(PLAN, "errored", exit=1)
    answer(story, "skip")
    story.step(PLAN).step(PLAN, "errored", exit=1)
    answer(story, "skip")
    story.step(PLAN, "failed", exit=3)
    answer(story, "abort")
    assert isinstance(story.move(PLAN), Finish)
    assert names(story) == []


def test_a_hook_that_fails_after_the_tests_asks_and_skipped_it_does_not_fail_the_promotion() -> None:
    story = until("Arm the alarms").step(PLAN, "errored", exit=1)
    asked = story.move(PLAN)
    assert isinstance(asked, Ask)
    assert asked.choices == ("retry", "skip", "abort")
    answer(story, "skip")
    move = story.move(PLAN)
    assert isinstance(move, Perform)
    assert move.step.phase == "watch"
    assert names(story) == ["Arm the alarms"]


def test_where_all_went_well_nothing_stands() -> None:
    story = until("Begin the watch")
    assert names(story) == []
