"""Who was at work on a machine: over the real sshd and the lab's, and in both vCenters."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from far_ends import Bot, Sshd, Target
from pyVim.task import WaitForTask
from pyVmomi import vim
from vcenters import WEB, Center
from vcenters import Bot as CenterBot

from plans.actions import At, ReadHappenings, ReadLogins
from plans.hands import Seen, logins
from vmops import happenings
from vmops.login_scripts import SH
from vmops.transport import Limit


def seen(bot: Bot | CenterBot, action: Any) -> Seen:
    outcome = bot.perform(action) if isinstance(bot, Bot) else bot(action)
    assert outcome.ok, outcome.reason
    assert isinstance(outcome.value, Seen)
    return outcome.value


def test_every_host_tells_who_logged_in_or_why_it_does_not(bot: Bot, target: Target) -> None:
    bot.shell("true")
    found = seen(bot, ReadLogins(target.at, time.time()))
    assert found.read or found.unread
    assert abs(found.ahead) < 60


@pytest.mark.parametrize("target", ["lab"], indirect=True)
def test_the_lab_tells_that_quarterdeck_was_there_and_nobody_else(bot: Bot, target: Target) -> None:
    found = seen(bot, ReadLogins(target.at, time.time() - 3600))
    assert found.read == ("its journal", "its wtmp")
    assert found.hands == ()


def test_a_session_without_a_terminal_leaves_no_trace_in_wtmp_and_one_with_it_does(sshd: Sshd) -> None:
    wtmp = Path("/var/log/wtmp")
    ssh = [
        "ssh", "-F", "none", "-p", str(sshd.port), "-i", sshd.ssh.key_file,
        "-o", f"UserKnownHostsFile={sshd.ssh.known_hosts}", "-o", "BatchMode=yes", f"{sshd.ssh.user}@127.0.0.1",
    ]  # fmt: skip
    if shutil.which("ssh") is None or sshd.ssh.user != "root" or not wtmp.exists():
        pytest.skip("only root's sshd writes wtmp, where there is one")
    before = wtmp.stat().st_size
    subprocess.run([*ssh, "true"], check=True, capture_output=True, timeout=30)
    assert wtmp.stat().st_size == before
    subprocess.run([*ssh[:3], "-tt", *ssh[3:], "true"], check=True, capture_output=True, timeout=30)
    assert wtmp.stat().st_size > before


def test_the_script_reads_what_the_real_utmpdump_prints(tmp_path: Path) -> None:
    """Records in text, made a wtmp by utmpdump itself, and read back by it."""
    if shutil.which("utmpdump") is None:
        pytest.skip("util-linux has it")
    now = int(time.time())
    when = {ago: time.strftime("%Y-%m-%dT%H:%M:%S,000000+00:00", time.gmtime(now - ago)) for ago in (500, 50)}
    place = f"[{'10.0.0.7':<20}] [{'10.0.0.7':<15}]"
    text = (
        f"[2] [00000] [~~  ] [reboot  ] [~           ] [{'6.1':<20}] [{'0.0.0.0':<15}] [{when[500]}]\n"
        f"[7] [01234] [ts/0] [ann     ] [pts/0       ] {place} [{when[50]}]\n"
    )
    record = subprocess.run(["utmpdump", "-r"], input=text.encode(), capture_output=True, check=True, timeout=20)
    (tmp_path / "wtmp").write_bytes(record.stdout)
    script = f"ago=100\n{SH}".replace("/var/log/wtmp", str(tmp_path / "wtmp"))
    told = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True, timeout=20)
    found = logins(told.stdout, time.time())
    assert "its wtmp" in found.read
    assert [hand.what for hand in found.hands] == ["ann logged in from 10.0.0.7"]


class TestVCenter:
    def test_quarterdecks_own_deeds_are_nobodys(self, center: Center) -> None:
        bot, since = CenterBot(center), time.time()
        try:
            machine = bot.performer._hosts.machine(WEB)
            machine.power(True, Limit.of(60))
            assert seen(bot, ReadHappenings(WEB, since)).hands == ()
        finally:
            bot.performer.close()

    def test_somebody_elses_are_theirs_from_then_on(self, center: Center, monkeypatch: pytest.MonkeyPatch) -> None:
        bot = CenterBot(center)
        try:
            session = bot.performer._hosts._session("main")
            session.read(lambda content: content.about)
            since = time.time()
            WaitForTask(center.own.PowerOnVM_Task())
            monkeypatch.setattr(happenings, "happenings", _with_another_name)
            found = seen(bot, ReadHappenings(WEB, since))
            assert any("owered" in hand.what for hand in found.hands), found
            assert all(hand.at - found.ahead >= since - 2 for hand in found.hands)
            assert seen(bot, ReadHappenings(WEB, time.time() + 60)).hands == ()
        finally:
            bot.performer.close()


def _with_another_name(found: Any, own: str, ahead: float) -> Seen:
    """Both vCenters of the tests have one user: here the bot is called otherwise."""
    assert own
    return _happenings(found, f"not {own}", ahead)


_happenings = happenings.happenings


def test_more_events_than_one_answer_holds_are_read_in_parts(center: Center, monkeypatch: pytest.MonkeyPatch) -> None:
    if center.lab is None:
        pytest.skip("govmomi's simulator does not look at the time that is asked for")
    lab, vm = center.lab, center.own
    argument = vim.event.VmEventArgument(name="staging-web", vm=vim.VirtualMachine(vm._moId))
    since = time.time()
    for number in range(25):
        center.soon(_posted, lab, argument, number)
        time.sleep(0.002)  # real events are not all of one moment, and what is of one cannot be divided
    monkeypatch.setattr(happenings, "PAGE", 10)
    bot = CenterBot(center)
    try:
        found = seen(bot, ReadHappenings(WEB, since))
    finally:
        bot.performer.close()
    assert len(found.hands) == 25


def _posted(lab: Any, argument: Any, number: int) -> None:
    lab.state.events.post(vim.event.VmMessageEvent, "ann", f"deed {number}", vm=argument)


@pytest.mark.parametrize("target", ["sshd"], indirect=True)
def test_a_host_without_a_vm_has_no_events(bot: Bot, target: Target) -> None:
    outcome = bot.perform(ReadHappenings(At("staging", "web"), time.time()))
    assert outcome.result == "errored"
    assert "names no vm" in outcome.reason
