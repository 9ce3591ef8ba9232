"""VMs of the whole lab through its vCenter: what is changed there is seen on the host, and the other way about."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from far_ends import DEADLINE, NAMESPACE, Lab, answers

from plans.actions import At, AwaitHost, FindVm, Outcome, Power, RemoveSnapshot, Restart, RevertTo, Shell, TakeSnapshot
from plans.environment import Environment
from vmops.perform import Performer

WEB = At("staging", "web")


class Bot:
    """A bot whose staging web host is the lab's."""

    def __init__(self, lab: Lab, **host: Any) -> None:
        self.host = msgspec.structs.replace(lab.host("staging-web"), **host)
        self.performer = Performer(
            {"main": lab.vcenter()},
            {"staging": Environment(hosts={"web": self.host})},
            namespace=NAMESPACE,
            archives=Path,
        )

    def __call__(self, action: Any, job: str = "j") -> Outcome:
        return self.performer.perform(action, job=job, sink=lambda _: None, cancel=threading.Event())

    def reachable(self) -> bool:
        assert self.host.ssh
        return answers(self.host.ssh.host, self.host.ssh.port)


@pytest.fixture
def bot(lab: Lab) -> Iterator[Bot]:
    """A bot, and a staging VM that is off before and after."""
    one = Bot(lab)
    assert one(Power(WEB, on=False)).ok
    yield one
    assert one(Power(WEB, on=False)).ok
    one.performer.close()


def test_a_revert_brings_the_disk_back_and_leaves_the_host_off(bot: Bot) -> None:
    assert bot(Power(WEB, on=True)).ok
    assert bot(AwaitHost(WEB, DEADLINE)).ok
    assert bot(Shell(at=WEB, command="echo before >state"), job="one").ok
    taken = bot(TakeSnapshot(WEB, f"quarterdeck-{NAMESPACE}-run-7", "R-1 run 7 on staging"))
    assert taken.ok, taken.reason
    assert bot(Shell(at=WEB, command="echo after >state"), job="two").ok
    assert bot(RevertTo(WEB, taken.value)).ok
    assert not bot.reachable()
    assert bot(Power(WEB, on=True)).ok
    assert bot(AwaitHost(WEB, DEADLINE)).ok
    assert bot(Shell(at=WEB, command="cat state"), job="three").output == "before\n"
    assert bot(RemoveSnapshot(WEB, taken.value)).ok
    assert bot(Power(WEB, on=False)).ok
    assert not bot.reachable()


def test_a_restart_from_inside_is_seen_in_vcenter_and_on_the_host(bot: Bot) -> None:
    assert bot(Power(WEB, on=True)).ok
    before = bot(AwaitHost(WEB, DEADLINE)).value
    after = bot(Restart(WEB, DEADLINE), job=f"reboot-{before}")
    assert after.ok, after.reason
    assert after.value != before
    assert bot(Restart(WEB, DEADLINE), job=f"reboot-{before}").value == after.value


def test_nobody_knows_a_vcenter_that_the_configuration_lacks(lab: Lab) -> None:
    assert Bot(lab, vcenter="other")(FindVm(WEB)).reason == "staging web: the configuration has no vCenter other"
