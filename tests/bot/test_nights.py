"""What is done every night, by a clock that the test moves: begun once, waiting for what is there, told where not."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from deck_room import ADMIN, DEV, NoMachines, Still, configured, packed

from bot.board import Board
from bot.chores.nights import Nights
from bot.config import load_config
from bot.intake import Intake
from bot.ledger import Ledger, stamp
from bot.masking import Masker
from bot.material import Materials
from bot.packages import Store
from bot.telling.notices import notice
from plans.errors import Refusal
from plans.events import (
    AnyEvent,
    ConfigLoaded,
    Entry,
    EnvironmentLocked,
    EnvironmentUnlocked,
    RestoreMeasured,
    RunFinished,
    StepStarted,
)
from plans.records import Run
from plans.rule_events import RestoreTestMissed, RestoreTestOverdue
from vmops.transport import Unreachable

EVENING = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
"""22:00 in Berlin."""


def berlin(clock: str, day: int = 24) -> datetime:
    """A time in Berlin, of a day of that November."""
    return datetime.fromisoformat(f"2026-11-{day}T{clock}:00+01:00")


class House:
    """A board with a clock of its own, and what is armed on it; `anew` is the bot started again."""

    def __init__(self, folder: Path) -> None:
        self.time = EVENING
        self.seen: list[AnyEvent] = []
        configured(folder)
        config = folder / "quarterdeck.yaml"
        document = yaml.load(config.read_text(), yaml.BaseLoader)
        document["environments"]["staging"]["restore"] = [{"name": "Restore", "on": "db", "run": "restore"}]
        document["restore_tests"] = [{"environment": "staging", "at": "02:00", "within": "4h"}]
        config.write_text(json.dumps(document))
        self.settings = load_config(config)
        self.machines: Any = NoMachines()
        self.board = Board(Ledger.open(self.settings.data_dir), lambda: self.time)
        self.board.listeners.append(self._heard)
        self.anew()

    def anew(self) -> None:
        roles: Any = SimpleNamespace(allowed=lambda user, role: True)
        self.store = Store(self.settings.data_dir, self.settings.max_bytes)
        materials = Materials(self.board, self.settings, self.store)
        self.runs = Still(self.board, self.settings, materials, self.machines, roles, Masker(()))
        self.armed: dict[str, tuple[datetime, Callable[[], object]]] = {}
        self.nights = Nights(self.board, self.settings, self.runs, self._at)
        with self.board.deciding:
            self.nights.arm()

    def _at(self, name: str, at: datetime, work: Callable[[], object]) -> None:
        self.armed[name] = (at, work)

    def _heard(self, entry: Entry) -> None:
        self.seen.append(entry.event)
        self.nights.heard(entry)

    def until(self, time: datetime) -> None:
        """The clock goes on to then, and what becomes due on the way is done, as the bot's clock would."""
        while due := [(at, name) for name, (at, _) in self.armed.items() if at <= time]:
            at, name = min(due)
            self.time = max(self.time, at)
            work = self.armed.pop(name)[1]
            try:
                work()
            except Refusal as refusal:
                self.refused = refusal.code
        self.time = time

    def begun(self, kind: str = "restore_test") -> list[tuple[str, str]]:
        """When runs of a kind began, and where."""
        return [(stamp(datetime.fromisoformat(run.at)), run.environment) for run in self.of(kind)]

    def of(self, kind: str) -> list[Run]:
        return [run for run in self.board.table(Run) if run.kind == kind]

    def records(self, kind: type[AnyEvent]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]

    def ends(self, run: Run, verdict: str = "passed", *, restored: bool = True) -> None:
        if restored:
            self.board.record(
                "quarterdeck",
                RestoreMeasured(run=run.number, host="db", name="Restore", artifact_age_seconds=60, seconds=1),
            )
        reason = "" if verdict == "passed" else "“Restore” errored on db: no backup"
        self.board.record("quarterdeck", RunFinished(run=run.number, verdict=verdict, clean=True, reason=reason))

    def rehearses(self, environment: str = "staging") -> Run:
        if environment != "staging":
            return self.runs.start("check", by=ADMIN, environment=environment)
        release = Intake(self.board, self.settings, self.store).hand_off(str(packed(self.settings)), by=DEV)[0].id
        return self.runs.start("rehearsal", by=ADMIN, environment=environment, release=release)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.board.close()


def at(clock: str, day: int = 24) -> str:
    return stamp(berlin(clock, day))


class TestRestoreTests:
    def test_one_begins_every_night_at_its_time(self, house: House) -> None:
        house.until(berlin("01:59"))
        assert house.begun() == []
        house.until(berlin("02:00"))
        assert house.begun() == [(at("02:00"), "staging")]
        house.ends(house.of("restore_test")[0])
        house.until(berlin("12:00", 25))
        assert house.begun() == [(at("02:00"), "staging"), (at("02:00", 25), "staging")]
        assert {run.by for run in house.of("restore_test")} == {"quarterdeck"}

    def test_after_a_start_in_the_night_it_is_not_begun_twice(self, house: House) -> None:
        house.until(berlin("02:00"))
        house.ends(house.of("restore_test")[0])
        house.anew()
        house.until(berlin("05:59"))
        assert len(house.begun()) == 1

    def test_a_bot_that_comes_back_in_time_begins_it_then(self, house: House) -> None:
        house.time = berlin("05:30")
        house.anew()
        house.until(berlin("05:31"))
        assert house.begun() == [(at("05:30"), "staging")]

    @pytest.mark.parametrize("environment", ["staging", "crm-staging"])
    def test_a_run_there_or_on_its_machines_is_waited_for(self, house: House, environment: str) -> None:
        run = house.rehearses(environment)
        house.until(berlin("03:00"))
        assert house.begun() == []
        house.ends(run)
        house.until(berlin("03:01"))
        assert house.begun() == [(at("03:00"), "staging")]

    def test_an_inspection_is_waited_for_and_left_alone(self, house: House) -> None:
        run = house.rehearses()
        house.ends(run, "failed")
        house.until(berlin("03:00"))
        assert house.begun() == []
        assert house.board.environment("staging").inspection == run.number
        reset = house.runs.start_at_once("check", ("vm-web",), by="quarterdeck", environment="staging", release=None)
        house.until(berlin("03:30"))
        house.ends(reset)
        house.until(berlin("03:31"))
        assert house.begun() == [(at("03:30"), "staging")]

    def test_an_unlock_lets_it_begin(self, house: House) -> None:
        house.board.record(ADMIN, EnvironmentLocked(environment="staging", reason="new disks"))
        house.until(berlin("04:00"))
        assert house.begun() == []
        house.board.record(ADMIN, EnvironmentUnlocked(environment="staging"))
        house.until(berlin("04:00"))
        assert house.begun() == [(at("04:00"), "staging")]

    def test_what_is_there_all_the_time_is_why_it_was_not_done_that_night(self, house: House) -> None:
        run = house.rehearses()
        house.until(berlin("06:00"))
        assert house.records(RestoreTestMissed) == [
            RestoreTestMissed(environment="staging", why=f"run {run.number} (rehearsal) is on staging")
        ]
        house.ends(run)
        house.until(berlin("01:00", 25))
        assert house.begun() == []
        house.until(berlin("02:00", 25))
        assert house.begun() == [(at("02:00", 25), "staging")]
        assert len(house.records(RestoreTestMissed)) == 1

    def test_after_a_start_the_night_is_still_written_down(self, house: House) -> None:
        house.board.record(ADMIN, EnvironmentLocked(environment="staging", reason="new disks"))
        house.time = berlin("05:00")
        house.anew()
        house.until(berlin("06:00"))
        (missed,) = house.records(RestoreTestMissed)
        assert missed.why == f"staging is locked by <@{ADMIN}>: new disks"

    def test_a_night_in_which_the_bot_was_off_is_written_down_at_the_start(self, house: House) -> None:
        house.board.record("quarterdeck", ConfigLoaded(digest="d", changed=()))
        house.time = berlin("06:00")
        house.anew()
        house.until(berlin("07:00"))
        house.anew()
        house.until(berlin("08:00"))
        assert house.records(RestoreTestMissed) == [RestoreTestMissed(environment="staging", why="Quarterdeck was off")]
        house.until(berlin("02:00", 25))
        assert house.begun() == [(at("02:00", 25), "staging")]

    def test_a_night_before_it_was_configured_is_not_missed(self, house: House) -> None:
        house.time = berlin("03:00")
        house.board.record("quarterdeck", ConfigLoaded(digest="d", changed=()))
        house.time = berlin("06:00")
        house.anew()
        house.until(berlin("07:00"))
        assert house.records(RestoreTestMissed) == []

    def test_what_was_missed_yesterday_does_not_stand_for_tonight(self, house: House) -> None:
        house.board.record("quarterdeck", ConfigLoaded(digest="d", changed=()))
        house.time = berlin("03:00", 25)
        house.anew()
        house.until(berlin("03:00", 25))
        assert house.begun() == [(at("03:00", 25), "staging")]

    def test_a_vcenter_that_tells_nothing_is_asked_again(self, house: House) -> None:
        def unknown(_: Any) -> str:
            raise Unreachable("vCenter main cannot be reached")

        house.machines = SimpleNamespace(identity=unknown)
        house.anew()
        house.until(berlin("02:30"))
        assert house.begun() == []
        house.machines.identity = NoMachines().identity
        house.until(berlin("02:31"))
        assert len(house.begun()) == 1

    def test_one_that_never_tells_is_why_it_was_not_done(self, house: House) -> None:
        def unknown(_: Any) -> str:
            raise Unreachable("vCenter main cannot be reached")

        house.machines = SimpleNamespace(identity=unknown)
        house.anew()
        house.until(berlin("06:00"))
        (missed,) = house.records(RestoreTestMissed)
        assert "vCenter main cannot be reached" in missed.why


class TestTheCall:
    def test_the_admins_are_called_daily_until_one_passes(self, house: House) -> None:
        house.until(berlin("02:00"))
        house.ends(house.of("restore_test")[0])
        for day in (25, 26, 27):
            house.until(berlin("02:00", day))
            house.ends(house.of("restore_test")[-1], "errored", restored=False)
        house.until(berlin("12:00", 27))
        calls = house.records(RestoreTestOverdue)
        assert [call.passed for call in calls] == [at("02:00"), at("02:00")]
        assert calls[0].last.startswith("run "), "what became of the latest"
        house.until(berlin("02:00", 28))
        house.ends(house.of("restore_test")[-1])
        called = len(house.records(RestoreTestOverdue))
        house.until(berlin("01:00", 29))
        assert len(house.records(RestoreTestOverdue)) == called

    def test_they_are_called_right_after_a_start_that_comes_too_late_for_it(self, house: House) -> None:
        house.until(berlin("02:00"))
        house.ends(house.of("restore_test")[0])
        house.time = berlin("12:00", 28)
        house.anew()
        house.until(berlin("12:00", 28))
        (call,) = house.records(RestoreTestOverdue)
        assert call == RestoreTestOverdue(environment="staging", passed=at("02:00"), last="run 1 passed")
        house.anew()
        house.until(berlin("12:01", 28))
        assert len(house.records(RestoreTestOverdue)) == 1

    def test_where_none_ever_passed_it_counts_from_the_first_night(self, house: House) -> None:
        house.board.record(ADMIN, EnvironmentLocked(environment="staging", reason="new disks"))
        house.until(berlin("05:59", 26))
        assert house.records(RestoreTestOverdue) == []
        house.until(berlin("06:00", 26))
        (call,) = house.records(RestoreTestOverdue)
        assert call.passed == ""
        assert call.last == f"not done: staging is locked by <@{ADMIN}>: new disks"

    def test_it_calls_them_by_name_and_says_what_to_do(self, house: House) -> None:
        event = RestoreTestOverdue(environment="staging", passed=at("02:00"), last="run 3 errored: no backup")
        said = notice(house.board.record("quarterdeck", event), ("U02ADMIN", "S01ADMINS")).text
        for words in ("<@U02ADMIN> <!subteam^S01ADMINS>", "run 3 errored: no backup", "/stage check staging"):
            assert words in said
        assert "has passed since" in said
        never = RestoreTestOverdue(environment="staging", passed="", last="none was begun")
        assert "has ever passed" in notice(house.board.record("quarterdeck", never)).text


class TestLookouts:
    def test_every_prod_whose_app_has_facts_is_looked_at_every_night(self, house: House) -> None:
        house.until(berlin("03:00"))
        assert house.begun("lookout") == [(at("03:00"), "prod")]
        house.ends(house.of("lookout")[0], restored=False)
        house.until(berlin("03:00", 25))
        assert house.begun("lookout") == [(at("03:00"), "prod"), (at("03:00", 25), "prod")]

    def test_one_that_was_missed_is_made_up_for_at_the_start(self, house: House) -> None:
        house.until(berlin("03:00"))
        house.ends(house.of("lookout")[0], restored=False)
        house.time = berlin("09:00", 25)
        house.anew()
        house.until(berlin("09:00", 25))
        assert house.begun("lookout")[1:] == [(at("09:00", 25), "prod")]

    def test_a_locked_prod_is_looked_at_the_next_night(self, house: House) -> None:
        house.board.record(ADMIN, EnvironmentLocked(environment="prod", reason="audit"))
        house.until(berlin("03:00"))
        assert house.refused == "locked"
        house.board.record(ADMIN, EnvironmentUnlocked(environment="prod"))
        house.until(berlin("03:00", 25))
        assert house.begun("lookout") == [(at("03:00", 25), "prod")]

    def test_what_begins_on_prod_ends_it(self, house: House) -> None:
        house.until(berlin("03:00"))
        (looking,) = house.of("lookout")
        step = StepStarted(run=looking.number, phase="lookout", step=1, name="Look", host=None, attempt=1)
        house.board.record("quarterdeck", step)
        release = Intake(house.board, house.settings, house.store).hand_off(str(packed(house.settings)), by=DEV)[0].id
        machines = house.runs.machines("prod")
        assert house.runs.holder("prod", machines) is None
        run = house.runs.start_at_once("promotion", machines, by=ADMIN, environment="prod", release=release)
        ended = house.board.run(looking.number)
        assert (ended.verdict, ended.reason) == ("aborted", "it gave way to a promotion")
        assert house.runs.waits_for(run) is None

    def test_it_waits_for_what_is_there_already(self, house: House) -> None:
        release = Intake(house.board, house.settings, house.store).hand_off(str(packed(house.settings)), by=DEV)[0].id
        machines = house.runs.machines("prod")
        run = house.runs.start_at_once("promotion", machines, by=ADMIN, environment="prod", release=release)
        house.until(berlin("03:00"))
        waits = house.runs.waits_for(house.of("lookout")[0])
        assert waits is not None
        assert waits.number == run.number

    def test_no_time_is_never(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        house = House(tmp_path / "other")
        try:
            config = house.settings.path
            config.write_text(json.dumps(json.loads(config.read_text()) | {"policy": {"lookout": ""}}))
            house.settings = load_config(config)
            house.anew()
            house.until(berlin("12:00", 25))
            assert house.begun("lookout") == []
        finally:
            house.board.close()


def test_what_is_done_at_night_has_no_part_in_a_runs_plans(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    before = settings.digest_of_plans(["webshop"], "d", "staging")
    text = settings.path.read_text()
    settings.path.write_text(text + "policy: {lookout: '04:30', restore_test_max_age: 24h, digest: fri 12:00}\n")
    assert load_config(settings.path).digest_of_plans(["webshop"], "d", "staging") == before
    settings.path.write_text(text + "policy: {snapshot_max_age: 24h}\n")
    assert load_config(settings.path).digest_of_plans(["webshop"], "d", "staging") != before
