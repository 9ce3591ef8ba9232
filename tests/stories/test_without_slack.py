"""An evening on which Slack is away: typing on the bot's host carries it on, and the channel is told afterwards."""

import getpass
import re

from stories.house import ADMIN, House, ctl, hand_off, slack

from bot.tales.story import Evening

ME = getpass.getuser()


def test_an_evening_goes_on_without_slack_and_the_thread_tells_it_afterwards(house: House) -> None:
    evening = house.open(
        lambda config: config["roles"].update(developers="everybody", testers=["U03TESTER", "U02ADMIN"])
    )
    ours = hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    evening.soon(lambda: evening.records("message.posted", key=f"release/{ours}"), "the hand-off is not told")
    slack(evening, "POST", kind="out")
    before = len(evening.records("message.posted"))

    assert f"{ours} webshop 2.4.1" in ctl(house, "list")
    assert "crm 1.0.0 is R-2 now" in ctl(house, "handoff", str(evening.packages / "crm-1.0.0.zip"))
    assert "Run 1 started: rehearsal of webshop 2.4.1 on staging" in ctl(house, "run", ours)
    assert "already_running" in ctl(house, "run", ours, code=1)
    evening.soon(lambda: evening.records("run.paused", run=1), "the rehearsal does not come to its check by hand")
    shown = ctl(house, "status")
    assert "asks the testers" in shown
    answer = next(line for line in shown.splitlines() if "answer 1/1 pass" in line).split()
    assert answer[:2] == ["quarterdeck", "ctl"]
    assert answer[-2:] == ["--config", str(house.config)]
    assert "Run 1 has your answer: pass." in ctl(house, *answer[2:-2], "the", "list", "is", "right")
    assert "already_answered" in ctl(house, *answer[2:-2], code=1)
    assert evening.finished(1)["verdict"] == "passed"
    assert "gates are open" in ctl(house, "check", ours)
    assert "not_rehearsed" in ctl(house, "promote", "R-2", code=1)
    assert "Run 2 started: promotion of webshop 2.4.1 to prod" in ctl(house, "promote", ours)
    assert evening.finished(2)["verdict"] == "passed"
    assert evening.version("prod", "web") == "2.4.1"
    assert "webshop on prod: 2.4.1 (R-1, run 2)" in ctl(house, "status")
    used = evening.records("ctl.used", user=ME)
    assert {record["by"] for record in used} == {ADMIN}
    assert [record["data"]["command"] for record in used][1] == "ctl run R-1"
    assert len(evening.records("message.posted")) == before, "there was a Slack all the time"

    slack(evening, "DELETE")
    for run in (2, 1):  # of two ends the one is told first that has less to tell before it
        evening.soon(
            lambda run=run: evening.records("message.posted", key=f"run/{run}/end"), f"the end of run {run} is not told"
        )
        evening.soon(lambda run=run: not _untold(evening, run), f"run {run} is not told whole")
        posted = [r["data"] for r in evening.records("message.posted") if r["data"]["key"].startswith(f"run/{run}/")]
        assert len({data["key"] for data in posted}) == len(posted)
        assert [data["ts"] for data in posted] == sorted(data["ts"] for data in posted)
        assert [reply.ts for reply in evening.thread(run).replies] == [data["ts"] for data in posted]
        assert posted[-1]["key"] == f"run/{run}/end"


def _untold(evening: Evening, run: int) -> list[str]:
    """Written steps of a run that ended well and that its thread does not tell of."""
    steps = evening.records("step.started", run=run)
    names = {record["data"]["name"] for record in steps if record["data"]["written"]}
    said = "\n".join(reply.text for reply in evening.thread(run).replies)
    return [name for name in names if not re.search(re.escape(name), said)]


def test_who_is_not_mapped_is_refused_and_no_bot_is_said(house: House) -> None:
    evening = house.open(lambda config: config["ctl"].update(users={"somebody-else": ADMIN}))
    told = ctl(house, "status", code=1)
    assert "role_needed" in told
    assert f"{ME}: U…" in told
    denied = evening.records("access.denied", role="ctl.users")
    assert [(record["by"], ME in record["data"]["command"]) for record in denied] == [("quarterdeck", True)]
    house.kill_bot()
    told = ctl(house, "status", code=1)
    assert "no_bot" in told
    assert "quarterdeck serve" in told
    slack(evening, "POST", kind="out")
    house.start_bot()
    assert "role_needed" in ctl(house, "status", code=1), "a bot that starts while Slack is away is there all the same"
