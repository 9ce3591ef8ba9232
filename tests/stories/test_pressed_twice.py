"""Twice is once: a second bot, an envelope that comes twice, Slack and the host at once, an old message's button."""

import subprocess
import sys
import threading

from stories.house import ADMIN, DEVELOPER, OTHER_ADMIN, House, ctl, hand_off, slack

from bot.tales.story import PATIENCE


def test_a_second_bot_says_who_holds_the_data_and_touches_nothing(house: House) -> None:
    evening = house.open()
    data = house.folder / "var"
    ledger, door = (data / "ledger.jsonl").read_bytes(), (data / "ctl" / "socket").stat()
    house.config.write_text(house.config.read_text() + "\n# another digest\n")
    command = [sys.executable, "-P", "-m", "bot", "serve", "--config", str(house.config)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 3
    assert f"process {house.bot.pid} on " in second.stderr
    assert "ready" not in second.stderr
    assert (data / "ledger.jsonl").read_bytes() == ledger
    assert (data / "ctl" / "socket").stat() == door
    assert "None goes on." in ctl(house, "status")
    assert "free" in evening.types(ADMIN, "/stage status")


def test_what_comes_twice_is_done_once_and_told_once_each(house: House) -> None:
    evening = house.open(house.untested)
    slack(evening, "POST", kind="twice", envelope="slash_commands")
    release = hand_off(evening, evening.packages / "crm-1.0.0.zip")
    assert len(evening.records("package.handed_off")) == 1

    said: list[str] = []
    here = threading.Thread(target=lambda: said.append(_either(house, "run", release)))
    here.start()
    in_slack = evening.types(OTHER_ADMIN, f"/stage run {release}")
    here.join(PATIENCE)
    assert ["already_running" in each for each in (in_slack, *said)].count(True) == 1, (in_slack, said)
    assert [record["data"]["run"] for record in evening.records("run.started")] == [1]
    assert evening.finished(1)["verdict"] == "passed"
    assert len(evening.desk.ephemerals(DEVELOPER)) == 1, "the second envelope is answered by the first's answer"

    posted = evening.soon(lambda: evening.records("message.posted", key=f"release/{release}"), "no card")
    card = evening.desk.thread(evening.channel, posted[0]["data"]["ts"])
    count = len(evening.desk.ephemerals(OTHER_ADMIN))
    evening.desk.presses(OTHER_ADMIN, card, "rehearse", force=True)
    late = evening.soon(lambda: evening.desk.ephemerals(OTHER_ADMIN)[count:], "the old button says nothing")[0].text
    assert "done_since" in late
    assert "run 1" in late
    assert len(evening.records("run.started")) == 1


def _either(house: House, *words: str) -> str:
    """What a line shows on the host, done or not."""
    command = [sys.executable, "-P", "-m", "bot", "ctl", *words, "--config", str(house.config)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return ran.stdout + ran.stderr
