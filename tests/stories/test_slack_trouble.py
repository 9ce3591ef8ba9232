"""Slack goes away in the middle, in every way it can, and comes back: what the team reads then."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stories.house import ADMIN, House, hand_off

from bot.tales.story import Evening

SLOW = 'echo "$QUARTERDECK_RUN" >> $HOME/count; until [ -e $HOME/go ]; do sleep 0.05; done'


def steps(count: int = 3) -> list[dict[str, Any]]:
    """A step that waits for a sign, and some after it."""
    after = [{"name": f"Step {number}", "on": "web", "run": f"echo {number}"} for number in range(1, count + 1)]
    return [{"name": "Wait for a sign", "on": "web", "run": SLOW}, *after]


def told_once_and_in_order(evening: Evening) -> None:
    """By Slack's own record and the ledger's alone: each message once, each thread in the ledger's order."""
    numbers = {record["hash"]: record["seq"] for record in evening.everything()}
    for root in evening.desk.messages(evening.channel):
        seqs = [
            numbers[message.raw["metadata"]["event_payload"]["record"]]
            for message in (root, *root.replies)
            if "metadata" in message.raw
        ]
        assert seqs == sorted(seqs)
    keys = Counter(
        message.raw["metadata"]["event_payload"]["key"]
        for root in evening.desk.messages(evening.channel)
        for message in (root, *root.replies)
        if "metadata" in message.raw
    )
    assert set(keys.values()) == {1}
    assert set(keys) == {record["data"]["key"] for record in evening.records("message.posted")}


def all_told(evening: Evening, run: int) -> None:
    """Waits until the end of a run is told, which is its last message."""
    evening.soon(lambda: evening.records("message.posted", key=f"run/{run}/end"), f"the end of run {run} is not told")
    told_once_and_in_order(evening)


def rehearses(house: House, evening: Evening, count: int = 3) -> int:
    """A rehearsal that waits for a sign in the middle of its deployment."""
    release = hand_off(evening, house.package("9.0", steps(count), app="crm"))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.soon(lambda: shown(evening), "the command does not run")
    return run


def shown(evening: Evening) -> str:
    return evening.on_host("crm-staging", "web", "cat count 2>/dev/null || true").strip()


def go(evening: Evening) -> None:
    evening.on_host("crm-staging", "web", "touch go")


@contextmanager
def without_slack(house: House) -> Iterator[list[str]]:
    """A bot that is started while Slack is out, once it says that it is ready; what it says on stderr."""
    command = [sys.executable, "-P", "-m", "bot", "serve", "--config", str(house.config)]
    bot = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    said: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        assert bot.stderr is not None
        for line in bot.stderr:
            said.append(line)
            if "ready" in line:
                ready.set()
        ready.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert ready.wait(60)
        yield said
    finally:
        bot.send_signal(signal.SIGTERM)
        assert bot.wait(15) == 0
        listener.join()
        assert bot.stderr is not None
        bot.stderr.close()


def test_slack_is_out_in_the_middle_of_a_rehearsal_and_everything_is_told_when_it_is_back(house: House) -> None:
    evening = house.open(house.untested)
    run = rehearses(house, evening)
    evening.desk.breaks("out")
    go(evening)
    assert evening.finished(run)["verdict"] == "passed"
    assert not evening.records("message.posted", key=f"run/{run}/end")
    evening.desk.heals()
    all_told(evening, run)
    assert "Passed" in evening.thread(run).text or evening.told(run, "passed")
    evening.soon(lambda: evening.desk.types(ADMIN, "/stage status").ok, "no command arrives any more")


def test_slack_answers_in_every_wrong_way_and_each_message_is_there_once(house: House) -> None:
    evening = house.open(house.untested)
    run = rehearses(house, evening, 6)
    for kind, more in (
        ("429", {"seconds": 1}),
        ("500", {"done": True}),
        ("garbage", {"done": True}),
        ("nothing", {"seconds": 0.2, "done": True}),
        ("drop_after", {}),
        ("500", {"done": False}),
        ("error", {"error": "internal_error"}),
    ):
        evening.desk.breaks(kind, method="chat.postMessage", **more)
    evening.desk.breaks("garbage", method="conversations.replies", times=2)
    evening.desk.breaks("500", method="chat.update", times=2)
    evening.desk.breaks("drop_socket")
    evening.desk.breaks("disconnect")
    go(evening)
    assert evening.finished(run)["verdict"] == "passed"
    all_told(evening, run)
    evening.desk.breaks("twice", envelope="slash_commands")
    before = len(evening.records("environment.locked"))
    evening.types(ADMIN, "/stage lock crm-staging the disks are changed")
    evening.soon(lambda: len(evening.records("environment.locked")) > before, "nothing is locked")


def test_the_bot_is_killed_while_slack_is_out_and_goes_on_without_it(house: House) -> None:
    evening = house.open(house.untested)
    run = rehearses(house, evening)
    evening.desk.breaks("out")
    house.kill_bot()
    with without_slack(house) as said:
        assert "Slack is not reached yet" in "".join(said)
        go(evening)
        assert evening.finished(run)["verdict"] == "passed"
        assert shown(evening) == str(run)
        asked = [sys.executable, "-P", "-m", "bot", "ctl", "status", "--config", str(house.config)]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=60)
        assert answer.returncode == 0, answer.stderr
        evening.desk.heals()
        all_told(evening, run)
        evening.soon(lambda: evening.desk.types(ADMIN, "/stage status").ok, "no command arrives any more")


def test_out_of_the_channel_the_admins_hear_of_it_and_the_channel_later_of_everything(house: House) -> None:
    evening = house.open(house.untested)
    run = rehearses(house, evening)
    evening.desk.breaks("channel", channel=evening.channel, member=False)
    go(evening)
    assert evening.finished(run)["verdict"] == "passed"
    evening.soon(lambda: evening.desk.messages(f"D{ADMIN}"), "no admin is told")
    assert "not_in_channel" in evening.desk.messages(f"D{ADMIN}")[0].text
    assert "/invite" in evening.desk.messages(f"D{ADMIN}")[0].text
    evening.desk.heals()
    all_told(evening, run)


def test_a_stop_in_the_middle_while_slack_hangs_takes_less_than_ten_seconds_and_the_next_start_goes_on(
    house: House,
) -> None:
    evening = house.open(house.untested)
    run = rehearses(house, evening)
    evening.desk.breaks("nothing", times=1000, seconds=60)
    seen = evening.desk.cursor()
    evening.desk.types(ADMIN, "/stage lock crm-prod while the disks are changed")  # and so there is something to tell
    evening.soon(lambda: [c for c in evening.desk.calls(seen) if c["status"] == 0], "nothing hangs")
    before = len(evening.records("step.started", run=run))
    began = time.monotonic()
    house.bot.send_signal(signal.SIGTERM)
    assert house.bot.wait(15) == 0
    assert time.monotonic() - began < 10
    assert len(evening.records("step.started", run=run)) == before
    assert shown(evening) == str(run)
    go(evening)  # what runs on the host goes on there
    evening.desk.heals()
    house.kill_bot()
    house.start_bot()
    ready = time.monotonic()
    evening.soon(lambda: len(evening.records("step.started", run=run)) > before, "the run does not go on")
    assert time.monotonic() - ready < 2
    assert evening.finished(run)["verdict"] == "passed"
    assert shown(evening) == str(run)
    all_told(evening, run)


def test_a_token_that_slack_refuses_ends_a_first_start_and_no_other(house: House) -> None:
    evening = house.open(house.untested)
    house.kill_bot()
    evening.desk.breaks("revoke", error="invalid_auth")
    command = [sys.executable, "-P", "-m", "bot", "serve", "--config", str(house.config)]
    first = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert first.returncode == 2
    assert "refuses slack.bot_token: invalid_auth" in first.stderr
    evening.desk.heals()
    house.start_bot()
    release = hand_off(evening, house.package("9.0", steps(), app="crm"))
    evening.soon(lambda: evening.records("message.posted", key=f"release/{release}"), "nobody is told")
    house.kill_bot()
    evening.desk.breaks("revoke")
    with without_slack(house) as said:
        assert "token_revoked" in "".join(said)
        asked = [sys.executable, "-P", "-m", "bot", "ctl", "run", release, "--config", str(house.config)]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=60)
        assert answer.returncode == 0, answer.stderr
        go(evening)
        assert evening.finished(1)["verdict"] == "passed"
        evening.desk.heals()
        all_told(evening, 1)
    log = "".join(said)
    assert "What people type and press in Slack does not arrive: token_revoked" in log
    assert "The channel cannot be told what happens; it is kept and told later: token_revoked" in log
    assert "xoxb-" not in log
