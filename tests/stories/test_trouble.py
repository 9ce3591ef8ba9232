"""What goes wrong in the middle, and what the team and the hosts see of it."""

import threading
from typing import Any

from stories.house import ADMIN, OTHER_ADMIN, House, hand_off, outcomes, question

from bot.tales.story import Evening


def test_a_package_changes_its_bytes_after_the_hand_off(house: House) -> None:
    evening = house.open()
    release = hand_off(evening, evening.packages / "crm-1.0.0.zip")
    stored = next((house.folder / "var" / "packages").glob("*.zip"))
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes() + b"x")
    answer = evening.types(ADMIN, f"/stage run {release}")
    assert "Not done" in answer
    assert not evening.records("run.started")
    assert "not_rehearsed" in evening.types(ADMIN, f"/promote {release}")


def test_two_admins_press_the_same_button(house: House) -> None:
    evening = house.open()
    release = hand_off(
        evening, house.package("9.0", [{"name": "Cannot work", "on": "web", "run": "exit 3"}], app="crm")
    )
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    asked = question(evening, run)
    both = [
        threading.Thread(target=evening.desk.presses, args=(who, asked, "answer:retry")) for who in (ADMIN, OTHER_ADMIN)
    ]
    told = {who: len(evening.desk.ephemerals(who)) for who in (ADMIN, OTHER_ADMIN)}
    for one in both:
        one.start()
    for one in both:
        one.join()
    question(evening, run, 2)
    assert len(evening.records("run.decided", run=run)) == 1
    first = evening.records("run.decided", run=run)[0]["by"]
    late = OTHER_ADMIN if first == ADMIN else ADMIN

    def answer() -> Any:
        return [m for m in evening.desk.ephemerals(late)[told[late] :] if "already_answered" in m.text]

    evening.soon(answer, "the second press got no sentence")
    assert len(evening.records("step.started", run=run, name="Cannot work")) == 2


def test_an_old_button_is_pressed_an_hour_later(house: House) -> None:
    evening = house.open()
    release = hand_off(
        evening, house.package("9.0", [{"name": "Cannot work", "on": "web", "run": "exit 3"}], app="crm")
    )
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    asked = question(evening, run)
    evening.desk.presses(ADMIN, asked, "answer:abort")
    assert evening.finished(run)["verdict"] == "failed"
    count = len(evening.desk.ephemerals(OTHER_ADMIN))
    evening.desk.presses(OTHER_ADMIN, asked, "answer:retry", force=True)
    told = evening.soon(lambda: evening.desk.ephemerals(OTHER_ADMIN)[count:], "no sentence")
    assert "already" in told[-1].text
    assert len(evening.records("run.decided", run=run)) == 1


def test_abort_now_in_the_middle_of_a_long_step_ends_the_remote_process(house: House) -> None:
    evening = house.open()
    nap = f"sleep 98765.{house.folder.stat().st_ino}"
    release = hand_off(
        evening, house.package("9.0", [{"name": "Sleep long", "on": "web", "run": f"{nap} & wait"}], app="crm")
    )
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.soon(lambda: evening.records("step.started", run=run, name="Sleep long"), "the step does not start")
    evening.soon(lambda: house.processes(nap), "nothing runs on the host")
    evening.types(OTHER_ADMIN, f"/stage abort {run} now")
    end = evening.finished(run)
    assert end["verdict"] == "aborted"
    assert outcomes(evening, run, "Sleep long") == {"web": "aborted"}
    assert house.processes(nap) == []


def test_three_hosts_one_at_a_time_stop_after_the_first_bad_one(house: House) -> None:
    evening = house.open(lambda config: _three_hosts(house, config))
    steps = [
        {"name": "Fail on the second", "on": "web", "serial": 1, "run": 'echo here; [ "$SECOND" != yes ]'},
        {"name": "Never reached", "on": "web", "run": "true"},
    ]
    release = hand_off(evening, house.package("9.0", steps, app="crm"))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    asked = question(evening, run)
    assert "web/2" in asked.text
    assert outcomes(evening, run, "Fail on the second") == {"web": "ok", "web/2": "failed"}
    evening.desk.presses(ADMIN, asked, "answer:abort")
    assert evening.finished(run)["verdict"] == "failed"
    assert "web/3" not in outcomes(evening, run, "Fail on the second")
    assert not evening.records("step.started", run=run, name="Never reached")


def test_two_apps_on_one_staging_vm_wait_for_each_other(house: House) -> None:
    evening = house.open()
    slow = [{"name": "Wait for a sign", "on": "web", "run": "until [ -e $HOME/go ]; do sleep 0.05; done"}]
    shop = hand_off(evening, house.package("9.0", slow))
    crm = hand_off(evening, evening.packages / "crm-1.0.0.zip")
    first = evening.started(ADMIN, f"/stage run {shop}", "rehearsal")
    evening.soon(lambda: evening.records("step.started", run=first, name="Wait for a sign"), "it does not start")
    second = evening.started(ADMIN, f"/stage run {crm}", "rehearsal")
    evening.soon(lambda: f"run {first}" in evening.thread(second).text, "the card does not say what it waits for")
    assert not evening.records("step.started", run=second)
    evening.on_host("staging", "web", "touch go")
    assert evening.finished(second)["verdict"] == "passed"
    ended = evening.records("run.finished", run=first)[0]["seq"]
    assert all(r["seq"] > ended for r in evening.records("step.started", run=second))


def test_a_bot_that_is_killed_in_the_middle_goes_on(house: House) -> None:
    evening = house.open(house.untested)
    steps = [
        {"name": "Count", "on": "web", "run": "echo once >> $HOME/count; until [ -e $HOME/go ]; do sleep 0.05; done"}
    ]
    release = hand_off(evening, house.package("9.0", steps, app="crm"))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.soon(lambda: evening.records("step.started", run=run, name="Count"), "it does not start")
    evening.soon(lambda: "once" in _shown(evening), "the command does not run")
    house.kill_bot()
    house.start_bot()
    evening.on_host("crm-staging", "web", "touch go")
    assert evening.finished(run)["verdict"] == "passed"
    assert _shown(evening).split() == ["once"]
    assert len(evening.records("step.finished", run=run)) == len(evening.records("step.started", run=run))


def _shown(evening: Evening) -> str:
    return evening.on_host("crm-staging", "web", "cat count 2>/dev/null || true")


def _three_hosts(house: House, config: dict[str, Any]) -> None:
    """crm's staging is three machines, and the second knows that it is."""
    environments = config["environments"]
    first, db = environments["crm-staging"]["hosts"]["web"], environments["staging"]["hosts"]["db"]
    addresses = dict(reversed(line.split()) for line in (house.folder / "hosts").read_text().splitlines())
    third = first | {"vm": "staging-spare", "ssh": first["ssh"] | {"host": addresses["staging-spare"]}}
    environments["crm-staging"]["hosts"]["web"] = [first, db | {"env": {"SECOND": "yes"}}, third]
    house.untested(config)


def test_two_hosts_past_their_time_are_asked_about_in_one_question_and_both_are_stopped(house: House) -> None:
    nap = "sleep 98764."

    def two_on_prod(config: dict[str, Any]) -> None:
        house.untested(config)
        environments = config["environments"]
        first, second = environments["crm-prod"]["hosts"]["web"], environments["prod"]["hosts"]["web"][1]
        environments["crm-prod"]["hosts"]["web"] = [first, second]

    evening = house.open(two_on_prod)
    nap += str(house.folder.stat().st_ino)
    slow = f'[ "$QUARTERDECK_ENVIRONMENT" != crm-prod ] || {nap}'
    steps = [{"name": "Be slow", "on": "web", "run": slow, "timeout": "1s"}]
    release = hand_off(evening, house.package("9.0", steps, app="crm"))
    assert evening.finished(evening.started(ADMIN, f"/stage run {release}", "rehearsal"))["verdict"] == "passed"
    run = evening.started(ADMIN, f"/promote {release}", "promotion")
    asked = question(evening, run)
    assert "crm-prod web: still running" in asked.text
    assert "crm-prod web/2: still running" in asked.text
    assert house.processes(nap)
    evening.desk.presses(ADMIN, asked, "answer:stop")
    again = question(evening, run, 2)
    assert outcomes(evening, run, "Be slow") == {"web": "failed", "web/2": "failed"}
    assert house.processes(nap) == []
    evening.desk.presses(ADMIN, again, "answer:abort")
    assert evening.finished(run)["verdict"] == "failed"


def test_on_prod_a_step_past_its_time_asks_before_it_is_stopped(house: House) -> None:
    evening = house.open(house.untested)
    slow = 'until [ "$QUARTERDECK_ENVIRONMENT" != crm-prod ] || [ -e $HOME/go ]; do sleep 0.05; done; echo done'
    release = hand_off(
        evening, house.package("9.0", [{"name": "Be slow", "on": "web", "run": slow, "timeout": "1s"}], app="crm")
    )
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    assert evening.finished(run)["verdict"] == "passed"
    run = evening.started(ADMIN, f"/promote {release}", "promotion")
    asked = question(evening, run)
    assert "in the rehearsal it took" in asked.text
    assert [button.label for button in asked.buttons] == ["Wait", "Stop"]
    evening.on_host("crm-prod", "web", "touch go")
    evening.desk.presses(ADMIN, asked, "answer:wait")
    assert evening.finished(run)["verdict"] == "passed"
    assert outcomes(evening, run, "Be slow") == {"web": "ok"}
    assert len(evening.records("step.started", run=run, name="Be slow")) == 1
