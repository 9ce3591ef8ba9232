"""VMs through a vCenter: every change may be asked for twice, none is made twice, and what is wrong is a sentence."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec
import pytest
from far_ends import DEADLINE, NAMESPACE, Lab, answers
from pyVmomi.SoapAdapter import SoapStubAdapter

from plans.actions import (
    At,
    AwaitHost,
    FindVm,
    Outcome,
    Power,
    ReadNetworks,
    RemoveSnapshot,
    Restart,
    RevertTo,
    Shell,
    TakeSnapshot,
)
from plans.environment import Environment, VCenter
from vmops import machine
from vmops.perform import Performer

WEB = At("staging", "web")


class Bot:
    """A bot whose staging web host is that VM of that vCenter; `calls` are the SOAP methods that it called."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch, vm: str = "staging-web", **vcenter: Any) -> None:
        self.host = msgspec.structs.replace(lab.host("staging-web"), vm=vm)
        self.calls: list[str] = []
        self.lose: set[str] = set()
        send = SoapStubAdapter.InvokeMethod

        def invoke(stub: Any, mo: Any, info: Any, args: Any, outerStub: Any = None) -> Any:
            self.calls.append(info.wsdlName)
            answer = send(stub, mo, info, args, outerStub)
            if info.wsdlName in self.lose:
                self.lose.remove(info.wsdlName)
                raise HTTPException("the reply was lost")
            return answer

        monkeypatch.setattr(SoapStubAdapter, "InvokeMethod", invoke)
        self.performer = Performer(
            {"main": lab.vcenter(**vcenter)},
            {"staging": Environment(hosts={"web": self.host})},
            namespace=NAMESPACE,
            archives=lambda digest: Path(digest),
        )
        self.cancel = threading.Event()

    def __call__(self, action: Any, job: str = "j") -> Outcome:
        return self.performer.perform(action, job=job, sink=lambda _: None, cancel=self.cancel)


@pytest.fixture
def make(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bot]]:
    made: list[Bot] = []

    def one(**options: Any) -> Bot:
        made.append(Bot(lab, monkeypatch, **options))
        return made[-1]

    yield one
    for bot in made:
        bot.performer.close()


@pytest.fixture
def bot(make: Callable[..., Bot]) -> Iterator[Bot]:
    """A bot, and a staging VM that is off before and after."""
    one = make()
    assert one(Power(WEB, on=False)).ok
    one.calls.clear()
    yield one
    one.lose.clear()
    assert one(Power(WEB, on=False)).ok


def test_power_is_what_was_asked_for_and_asking_again_changes_nothing(bot: Bot) -> None:
    assert bot(Power(WEB, on=True)).ok
    assert bot(AwaitHost(WEB, DEADLINE)).ok
    assert bot(Power(WEB, on=True)).ok
    assert bot.calls.count("PowerOnVM_Task") == 1
    assert bot(Power(WEB, on=False)).ok
    assert not answers(bot.host.ssh.host, bot.host.ssh.port)  # type: ignore[union-attr]
    assert bot(Power(WEB, on=False)).ok
    assert bot.calls.count("PowerOffVM_Task") == 1


def test_a_snapshot_is_taken_once_reverted_to_by_reference_and_removed(bot: Bot) -> None:
    assert bot(Power(WEB, on=True)).ok
    assert bot(AwaitHost(WEB, DEADLINE)).ok
    assert bot(Shell(at=WEB, command="echo before >state"), job="one").ok
    taken = bot(TakeSnapshot(WEB, "quarterdeck-run-7", "R-1 run 7 on staging"))
    assert taken.ok, taken.reason
    assert taken.value.startswith("snapshot-")
    assert bot(TakeSnapshot(WEB, "quarterdeck-run-7", "again")).value == taken.value
    assert bot.calls.count("CreateSnapshot_Task") == 1
    assert bot(Shell(at=WEB, command="echo after >state"), job="two").ok
    assert bot(RevertTo(WEB, taken.value)).ok
    assert not answers(bot.host.ssh.host, bot.host.ssh.port)  # type: ignore[union-attr]
    assert bot(Power(WEB, on=True)).ok
    assert bot(AwaitHost(WEB, DEADLINE)).ok
    assert bot(Shell(at=WEB, command="cat state"), job="three").output == "before\n"
    assert bot(RemoveSnapshot(WEB, taken.value)).ok
    assert bot(RemoveSnapshot(WEB, taken.value)).ok
    assert bot.calls.count("RemoveSnapshot_Task") == 1
    gone = bot(RevertTo(WEB, taken.value))
    assert gone.reason == f"staging web: 0 snapshots are {taken.value} instead of one; there are: none"


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("PowerOnVM_Task", Power(WEB, on=True)),
        ("CreateSnapshot_Task", TakeSnapshot(WEB, "quarterdeck-lost", "")),
        ("RevertToSnapshot_Task", RevertTo(WEB, "quarterdeck-kept")),
        ("RemoveSnapshot_Task", RemoveSnapshot(WEB, "quarterdeck-kept")),
    ],
)
def test_a_lost_answer_is_met_by_looking_never_by_asking_again(bot: Bot, method: str, action: Any) -> None:
    assert bot(TakeSnapshot(WEB, "quarterdeck-kept", "")).ok
    bot.lose.add(method)
    outcome = bot(action)
    assert outcome.ok, outcome.reason
    assert bot.calls.count(method) - (method == "CreateSnapshot_Task") == 1
    for name in ("quarterdeck-kept", "quarterdeck-lost"):
        assert bot(RemoveSnapshot(WEB, name)).ok


def test_a_change_that_never_arrived_is_said_not_repeated(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ARRIVING", 0.5)
    send = SoapStubAdapter.InvokeMethod

    def invoke(stub: Any, mo: Any, info: Any, *rest: Any) -> Any:
        if info.wsdlName == "CreateSnapshot_Task":
            bot.calls.append("tried")
            raise ConnectionResetError("reset")
        return send(stub, mo, info, *rest)

    monkeypatch.setattr(SoapStubAdapter, "InvokeMethod", invoke)
    outcome = bot(TakeSnapshot(WEB, "quarterdeck-x", ""))
    assert outcome.result == "errored"
    assert "its answer was lost: reset; no task came of it" in outcome.reason
    assert bot.calls.count("tried") == 1


def test_a_lost_answer_to_a_question_is_asked_for_again(bot: Bot) -> None:
    bot.lose.add("RetrievePropertiesEx")
    assert bot(ReadNetworks(WEB)).ok


def test_a_session_that_died_is_opened_again(bot: Bot, lab: Lab) -> None:
    first = bot(FindVm(WEB)).value
    content = bot.performer._hosts._session("main")._content
    content.sessionManager.Logout()
    logins = bot.calls.count("Login")
    with ThreadPoolExecutor(4) as pool:
        assert {outcome.value for outcome in pool.map(bot, [FindVm(WEB)] * 8)} == {first}
    assert bot.calls.count("Login") == logins + 1


def test_two_changes_at_once_wait_for_each_other(bot: Bot) -> None:
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(bot, [TakeSnapshot(WEB, f"quarterdeck-{n}", "") for n in range(4)]))
    assert all(one.ok for one in taken), taken
    assert len({one.value for one in taken}) == 4
    for one in taken:
        assert bot(RemoveSnapshot(WEB, one.value)).ok


def test_a_restart_from_inside_is_seen_in_vcenter_and_on_the_host(bot: Bot) -> None:
    assert bot(Power(WEB, on=True)).ok
    before = bot(AwaitHost(WEB, DEADLINE)).value
    after = bot(Restart(WEB, DEADLINE), job=f"reboot-{before}")
    assert after.ok, after.reason
    assert after.value != before
    assert bot(Restart(WEB, DEADLINE), job=f"reboot-{before}").value == after.value


def test_a_vm_is_found_by_name_path_and_uuid_and_is_the_same(make: Callable[..., Bot]) -> None:
    bot = make()
    identity = bot(FindVm(WEB)).value
    center, _, uuid = identity.partition("/")
    assert (len(center), len(uuid)) == (36, 36)
    assert bot.performer.identity(WEB) == identity
    for vm in ("/lab/vm/staging-web", "lab/vm/staging-web", uuid, uuid.upper()):
        assert make(vm=vm)(FindVm(WEB)).value == identity, vm


@pytest.mark.parametrize("vm", ["staging-nothing", "/lab/vm/nothing", "/lab", "12345678-1234-1234-1234-123456789abc"])
def test_a_vm_that_is_not_there_is_a_sentence(make: Callable[..., Bot], vm: str) -> None:
    outcome = make(vm=vm)(Power(WEB, on=True))
    assert outcome.result == "errored"
    assert outcome.reason == (f"staging web: vCenter 127.0.0.1 has no VMs {vm}; see what the user may see in vCenter")


@pytest.mark.parametrize(
    ("vcenter", "said"),
    [
        ({"password": "wrong"}, "refuses the user quarterdeck@vsphere.local or its password"),
        ({"ca_file": ""}, "its certificate is not trusted"),
        ({"ca_file": "/nowhere.pem"}, "ca_file /nowhere.pem cannot be used: No such file or directory"),
        ({"host": "localhost.invalid"}, "cannot be reached"),
    ],
)
def test_a_vcenter_that_cannot_be_used_is_a_sentence(make: Callable[..., Bot], vcenter: Any, said: str) -> None:
    outcome = make(**vcenter)(FindVm(WEB))
    assert outcome.result == "errored"
    assert said in outcome.reason


def test_an_unverified_vcenter_is_said_loudly(make: Callable[..., Bot], caplog: pytest.LogCaptureFixture) -> None:
    assert make(ca_file="", verify=False)(FindVm(WEB)).ok
    assert "NOT VERIFIED" in caplog.text


def test_nobody_knows_a_vcenter_that_the_configuration_lacks(lab: Lab) -> None:
    host = msgspec.structs.replace(lab.host("staging-web"), vcenter="other")
    vcenters: dict[str, VCenter] = {}
    performer = Performer(
        vcenters, {"staging": Environment(hosts={"web": host})}, namespace=NAMESPACE, archives=lambda _: Path()
    )
    outcome = performer.perform(FindVm(WEB), job="j", sink=lambda _: None, cancel=threading.Event())
    assert outcome.reason == "staging web: the configuration has no vCenter other"
