"""What becomes of a run whose bot is killed in the middle, while something happens to its hosts."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stories.house import ADMIN, House, hand_off, outcomes, question

from bot.config import load_config
from bot.tales.story import Evening
from plans.actions import At, Power
from vmops.perform import Performer

MIGRATE = "echo once >>$HOME/count; echo 12 of 40 tables; until [ -e $HOME/go ]; do sleep 0.05; done"


class Night:
    """A house whose bot is killed in the middle of a step, and whose hosts crash."""

    def __init__(self, house: House, evening: Evening) -> None:
        self.house, self.evening = house, evening
        settings = load_config(house.config)
        self.hands = Performer(settings.config.vcenters, settings.environments, namespace="night", archives=Path)

    def rehearses(self, **step: Any) -> tuple[str, int]:
        """A rehearsal of a package whose only step waits for a sign: the release, and the run."""
        deploy = [{"name": "Migrate", "on": "web", "run": MIGRATE} | step]
        release = hand_off(self.evening, self.house.package("9.0", deploy, app="crm"))
        return release, self.evening.started(ADMIN, f"/stage run {release}", "rehearsal")

    def promotes(self, **step: Any) -> int:
        """The same package on its way to prod."""
        release, run = self.rehearses(**step)
        self.goes("crm-staging")
        assert self.evening.finished(run)["verdict"] == "passed"
        return self.evening.started(ADMIN, f"/promote {release}", "promotion")

    def kills(self, run: int, name: str = "Migrate", attempt: int = 1) -> None:
        """The bot is killed once the host has begun the command of that step."""

        def begun() -> bool:
            started = self.evening.records("step.started", run=run, name=name, attempt=attempt)
            known = self.evening.records("job.started", run=run, attempt=attempt)
            return {r["data"]["step"] for r in started} & {r["data"]["step"] for r in known} != set()

        self.evening.soon(begun, f"{name} does not begin")
        self.house.kill_bot()

    def counted(self, where: str) -> list[str]:
        """How often the command ran, as the host remembers it."""
        return self.evening.on_host(where, "web", "cat count 2>/dev/null || true").split()

    def goes(self, where: str) -> None:
        """The command runs and gets its sign."""
        self.evening.soon(lambda: self.counted(where), "the command does not run")
        self.evening.on_host(where, "web", "touch go")

    def crashes(self, where: str, host: str = "web") -> None:
        """The host loses its power and gets it back."""
        for on in (False, True):
            action = Power(At(where, host), on=on)
            outcome = self.hands.perform(action, job="", sink=lambda _: None, cancel=threading.Event())
            assert outcome.ok, outcome.reason

    def forgets(self, run: int) -> None:
        """Nothing is left on any host of the jobs of a run."""
        found = list((self.house.folder / "vms").glob(f"*/disk/.quarterdeck/*/jobs/{run}"))
        assert found
        for folder in found:
            shutil.rmtree(folder)


@pytest.fixture
def night(house: House) -> Iterator[Night]:
    made = Night(house, house.open(house.untested))
    yield made
    made.hands.close()


def attempts(evening: Evening, run: int) -> list[tuple[int, str | None, int]]:
    return [(d["step"], d["host"], d["attempt"]) for d in (r["data"] for r in evening.records("step.started", run=run))]


def test_a_run_of_staging_starts_over_by_itself_from_its_own_snapshot(night: Night) -> None:
    release, run = night.rehearses()
    night.kills(run)
    night.crashes("crm-staging")
    night.house.start_bot()
    (restarted,) = night.evening.soon(lambda: night.evening.records("run.restarted", run=run), "it does not start over")
    assert "“Migrate” was interrupted on web" in restarted["data"]["why"]
    assert "the host was restarted while the command ran" in restarted["data"]["why"]
    night.goes("crm-staging")
    end = night.evening.finished(run)
    assert (end["verdict"], end["clean"]) == ("passed", True)
    assert night.counted("crm-staging") == ["once"], "the snapshot was not reverted"
    assert len(attempts(night.evening, run)) == len(set(attempts(night.evening, run)))
    proofs = [r["seq"] for r in night.evening.records("isolation.judged", run=run, verdict="proved")]
    on_again = night.evening.records("step.started", run=run, name="Power on")[-1]["seq"]
    assert any(restarted["seq"] < proof < on_again for proof in proofs)
    assert not night.evening.records("run.paused", run=run)
    night.evening.told(run, "starts over by itself")
    assert night.evening.started(ADMIN, f"/promote {release}", "promotion")


def test_the_third_time_somebody_is_asked(night: Night) -> None:
    _, run = night.rehearses()
    for attempt in (1, 2, 3):
        night.kills(run, attempt=attempt)
        night.crashes("crm-staging")
        night.house.start_bot()
    asked = question(night.evening, run)
    assert len(night.evening.records("run.restarted", run=run)) == 2
    assert [button.label for button in asked.buttons] == ["Retry", "Skip", "Abort"]
    night.evening.desk.presses(ADMIN, asked, "answer:abort")
    assert night.evening.finished(run)["verdict"] == "errored"


def test_on_prod_an_admin_is_asked_with_what_the_host_says(night: Night) -> None:
    run = night.promotes()
    night.kills(run)
    night.crashes("crm-prod")
    night.house.start_bot()
    asked = question(night.evening, run)
    for words in ("“Migrate”", "attempt 1 began", "the host was restarted while the command ran", "12 of 40 tables"):
        assert words in asked.text, words
    assert night.counted("crm-prod") == ["once"]
    night.evening.desk.presses(ADMIN, asked, "answer:retry")
    night.evening.soon(lambda: len(night.counted("crm-prod")) == 2, "it is not tried again")
    night.goes("crm-prod")
    assert night.evening.finished(run)["verdict"] == "passed"
    assert night.counted("crm-prod") == ["once", "once"]


def test_a_command_of_which_the_host_has_nothing_left_is_not_run_again_by_itself(night: Night) -> None:
    run = night.promotes()
    night.kills(run)
    night.crashes("crm-prod")
    night.forgets(run)
    night.house.start_bot()
    asked = question(night.evening, run)
    assert "the host has nothing of it any more" in asked.text
    assert "12 of 40 tables" in asked.text, "what was known of its output before is not shown"
    night.evening.desk.presses(ADMIN, asked, "answer:skip")
    assert night.evening.finished(run)["verdict"] == "passed"
    assert night.counted("crm-prod") == ["once"]


def test_a_step_that_may_be_run_again_is_without_a_word(night: Night) -> None:
    run = night.promotes(rerun="safe")
    night.evening.soon(lambda: night.counted("crm-prod"), "it does not run")
    night.house.kill_bot()
    night.crashes("crm-prod")
    night.evening.on_host("crm-prod", "web", "touch go")
    night.house.start_bot()
    assert night.evening.finished(run)["verdict"] == "passed"
    assert night.counted("crm-prod") == ["once", "once"]
    assert not night.evening.records("run.paused", run=run)


def test_what_ended_while_the_bot_was_dead_is_collected(night: Night) -> None:
    run = night.promotes()
    night.kills(run)
    night.goes("crm-prod")
    night.house.start_bot()
    assert night.evening.finished(run)["verdict"] == "passed"
    assert night.counted("crm-prod") == ["once"]
    assert outcomes(night.evening, run, "Migrate") == {"web": "ok"}


def test_a_run_does_not_go_on_with_another_machine(night: Night) -> None:
    _, run = night.rehearses()
    night.kills(run)
    for environment, host, name in (("crm-staging", "web", "taken-away"), ("staging", "db", "staging-web")):
        night.hands._hosts.machine(At(environment, host)).vm.Rename_Task(name)
    before = night.evening.everything()
    night.house.start_bot()
    end = night.evening.finished(run)
    assert end["verdict"] == "errored"
    assert "crm-staging web is another machine now" in end["reason"]
    assert "“Migrate” on web had begun, nobody knows how it ended, and it may still go on" in end["reason"]
    done = [r["type"] for r in night.evening.everything()[len(before) :] if r["type"].startswith(("step", "job"))]
    assert done == []


def test_a_promotion_does_not_go_on_by_a_test_plan_that_was_edited_meanwhile(night: Night) -> None:
    run = night.promotes()
    night.kills(run)
    night.house.untested({})
    plan = night.house.folder / "crm.tests.yaml"
    plan.write_text(plan.read_text().replace("It lives", "It lives still"))
    night.house.start_bot()
    end = night.evening.finished(run)
    assert end["verdict"] == "errored"
    assert "the test plan, the environment or the policy was changed while this run was under way" in end["reason"]
    assert "“Migrate” on web had begun" in end["reason"]
    assert night.counted("crm-prod") == ["once"]
    night.evening.told(run, "an admin decides. Try it again")


def test_a_restore_that_was_interrupted_is_done_again_and_one_that_was_not_is_kept(house: House) -> None:
    restores = house.folder / "restores"

    def change(config: dict[str, Any]) -> None:
        (house.folder / "webshop.tests.yaml").write_text("app: webshop\ncritical: [{name: Up, on: db, run: 'true'}]\n")
        run = f"echo $QUARTERDECK_RUN >>{restores}; until [ -e {house.folder}/go ]; do sleep 0.05; done"
        step = {"name": "Restore the orders", "on": "db", "run": f"{run}; ./restore-latest.sh"}
        config["environments"]["staging"]["restore"] = [step]

    night = Night(house, house.open(change))
    try:
        wait = "until [ -e $HOME/go ]; do sleep 0.05; done"
        release = hand_off(night.evening, house.package("9.0", [{"name": "Migrate", "on": "db", "run": wait}]))
        run = night.evening.started(ADMIN, f"/stage run {release}", "rehearsal")
        night.kills(run, "Restore the orders")
        night.crashes("staging", "db")
        (house.folder / "go").touch()
        house.start_bot()
        night.kills(run, "Migrate")
        night.crashes("staging", "db")
        house.start_bot()
        night.evening.soon(lambda: len(night.evening.records("run.restarted", run=run)) == 2, "it does not start over")
        night.evening.soon(
            lambda: len(night.evening.records("step.started", run=run, name="Migrate")) == 2, "it is not deployed again"
        )
        night.evening.on_host("staging", "db", "touch go")
        assert night.evening.finished(run)["verdict"] == "passed"
        assert restores.read_text().split() == [str(run)] * 2
        assert night.evening.records("restore.reused", run=run)[0]["data"]["of"] == run
        orders = {where: night.evening.on_host(where, "db", "sqlite3 shop.db .dump") for where in ("staging", "prod")}
        assert orders["staging"] == orders["prod"]
    finally:
        night.hands.close()


def test_the_marks_that_came_while_the_bot_was_dead_are_each_seen_to_once(house: House) -> None:
    def change(config: dict[str, Any]) -> None:
        house.untested(config)
        config["policy"]["watch"] = ["2s", "3s", "4s"]

    evening = house.open(change)
    release = hand_off(evening, house.package("9.0", [{"name": "Deploy", "on": "web", "run": "true"}], app="crm"))
    assert evening.finished(evening.started(ADMIN, f"/stage run {release}", "rehearsal"))["verdict"] == "passed"
    run = evening.started(ADMIN, f"/promote {release}", "promotion")
    evening.soon(lambda: evening.records("step.finished", run=run, step=_first_of_watch(evening, run)), "no watch")
    house.kill_bot()
    killed = time.monotonic()
    evening.soon(lambda: time.monotonic() > killed + 5, "time stands still")
    house.start_bot()
    assert evening.finished(run)["verdict"] == "passed"
    marks = [record["data"] for record in evening.records("watch.checked", run=run)]
    assert [(mark["mark"], mark["ok"]) for mark in marks] == [("2s", True), ("3s", True), ("4s", True)]
    assert all(mark["late"] > 0.5 for mark in marks)


def _first_of_watch(evening: Evening, run: int) -> int | None:
    begun = evening.records("step.started", run=run, phase="watch")
    return begun[0]["data"]["step"] if begun else None
