"""Staging is like prod before anything is deployed to it, or the rehearsal does not go on."""

from typing import Any

from stories.house import ADMIN, House, hand_off, outcomes

from bot.tales.story import Evening


def checked(evening: Evening) -> tuple[int, dict[str, Any]]:
    run = evening.started(ADMIN, "/stage check staging", "check")
    return run, evening.finished(run)


def log(house: House, evening: Evening, run: int, name: str) -> str:
    """The whole log of a step that has no host."""
    (step,) = {record["data"]["step"] for record in evening.records("step.started", run=run, name=name)}
    (path,) = {record["data"]["log"] for record in evening.records("step.finished", run=run, step=step)}
    return (house.folder / "var" / path).read_text()


def test_a_difference_from_prod_stops_the_rehearsal_and_is_readable_in_the_thread(house: House) -> None:
    evening = house.open()
    columns = " ".join(f"alter table orders add column extra_{n} text;" for n in range(3))
    tables = " ".join(f"create table later_{n} (id integer);" for n in range(20))
    evening.on_host("prod", "db", f"sqlite3 shop.db '{columns} {tables}'")
    release = hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    end = evening.finished(run)
    assert end["verdict"] == "errored"
    assert "Compare with prod" in end["reason"]
    assert outcomes(evening, run, "Compare with prod") == {None: "errored"}
    assert not evening.records("step.started", run=run, phase="deploy")
    assert not evening.records("snapshot.taken", run=run)

    told = evening.told(run, "schema: staging db and prod db differ").text
    diff = told.split("```\n")[1].splitlines()
    assert diff[0] == "schema: staging db and prod db differ"
    assert "  only on prod db: " in told
    assert len(diff) <= 12
    assert "lines more, in the log" in told
    whole = log(house, evening, run, "Compare with prod")
    assert "--- staging db\n+++ prod db" in whole
    assert all(f"+column later_{n}.id: INTEGER" in whole for n in range(20))


def big(house: House, lines: int) -> Evening:
    """The shop with one more fact: a long one, with a file of the host's at its end."""

    def change(config: dict[str, Any]) -> None:
        run = f"seq {lines}; cat last 2>/dev/null || true"
        config["apps"]["webshop"]["facts"].append({"name": "big", "on": "db", "run": run, "ignore": ["^#"]})

    return house.open(change)


def test_a_long_fact_is_compared_to_its_last_line(house: House) -> None:
    evening = big(house, 100_000)  # 589 kB
    evening.on_host("prod", "db", "echo '# is left out' >last")
    _, end = checked(evening)
    assert end["verdict"] == "passed", end["reason"]
    evening.on_host("prod", "db", "echo 'only here' >last")
    run, end = checked(evening)
    assert end["verdict"] == "errored"
    told = evening.told(run, "big: staging db and prod db differ").text
    assert "  only on prod db: only here" in told


def test_a_fact_that_is_too_long_is_not_compared_in_part(house: House) -> None:
    evening = big(house, 700_000)  # 4.8 MB
    _, end = checked(evening)
    assert end["verdict"] == "errored"
    assert "fact big on staging db: its output is longer than 4 MiB" in end["reason"]
