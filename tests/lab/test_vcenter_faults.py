"""What goes wrong in the lab's vCenter when tests order it, from inside and over HTTP."""

import json
import time
from http.client import HTTPException
from typing import Any

import pytest
from pyVmomi import vim
from vcenter_room import Server, done, finish, until, vm_of

from lab.records import Question
from lab.vcenter.faults import Ask, Delay, DropReplies, ExpireSessions, FailTasks, Refuse


def order(server: Server, **fault: Any) -> int:
    """Orders a fault over HTTP; the status."""
    return server.http("POST", "/lab/faults", json.dumps(fault).encode())[0]


def pending(server: Server) -> list[dict[str, Any]]:
    """What is still to come, over HTTP."""
    return list(json.loads(server.http("GET", "/lab/faults")[1]))


def test_a_dropped_reply_leaves_the_change_made(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    server.vcenter.faults.add(DropReplies("CreateSnapshot_Task", times=2))
    for _ in range(2):
        with pytest.raises((OSError, HTTPException)):
            vm.CreateSnapshot_Task("once", "", False, False)
        until(lambda: all(task.info.state == "success" for task in vm.recentTask), "the end")
    done(si, vm.CreateSnapshot_Task("answered", "", False, False))
    assert [one.name for one in server.web.all_snapshots()] == ["once", "once", "answered"]
    assert server.vcenter.faults.pending == []


def test_a_task_fails_as_it_was_ordered_to(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    server.vcenter.faults.add(FailTasks("PowerOnVM_Task", "InsufficientResourcesFault", "no memory left"))
    server.vcenter.faults.add(FailTasks("CreateSnapshot_Task", "HostCommunication"))
    error = finish(si, vm.PowerOnVM_Task()).error
    assert isinstance(error, vim.fault.InsufficientResourcesFault)
    assert error.msg == "no memory left"
    assert server.web.power == "poweredOff"
    done(si, vm.PowerOnVM_Task())
    assert type(finish(si, vm.CreateSnapshot_Task("no", "", False, False)).error).__name__.endswith("HostCommunication")


def test_all_sessions_end_at_once(server: Server, si: vim.ServiceInstance) -> None:
    async def expire() -> None:
        server.vcenter.faults.add(ExpireSessions())

    server.ask(expire())
    with pytest.raises(vim.fault.NotAuthenticated):
        _ = vm_of(si, server.web).name


def test_calls_are_delayed_and_connections_cut(server: Server, si: vim.ServiceInstance) -> None:
    server.vcenter.faults.add(Delay(0.3, "CurrentTime"))
    begun = time.monotonic()
    si.CurrentTime()
    assert time.monotonic() - begun >= 0.3
    server.vcenter.faults.add(Refuse(60))
    for call in (si.CurrentTime, lambda: server.http("GET", "/guestFile?token=x")):
        with pytest.raises((OSError, HTTPException)):
            call()
    server.vcenter.faults.clear()
    si.CurrentTime()
    server.vcenter.faults.add(Refuse(0.01))
    until(lambda: not server.vcenter.faults.refusing, "the end of it")
    si.CurrentTime()


def test_a_question_comes_up_in_the_middle_of_a_task(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    server.vcenter.faults.add(Ask("PowerOnVM_Task", Question("1", "Moved or copied?", {"0": "Moved"})))
    task = vm.PowerOnVM_Task()
    until(lambda: vm.runtime.question, "the question")
    vm.AnswerVM("1", "0")
    done(si, task)


def test_a_vcenter_that_closes_waits_for_no_answer(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)
    server.vcenter.faults.add(Ask("PowerOnVM_Task", Question("1", "Moved or copied?", {"0": "Moved"})))
    vm.PowerOnVM_Task()
    until(lambda: vm.runtime.question, "the question")
    server.ask(server.vcenter.close())
    assert server.web.power == "poweredOff"


def test_another_process_orders_faults_over_http(server: Server, si: vim.ServiceInstance) -> None:
    assert order(server, do="fail_tasks", method="PowerOnVM_Task", fault="FileFault", times=3) == 200
    assert order(server, do="drop_replies", method="CurrentTime") == 200
    assert [(one["do"], one["times"]) for one in pending(server)] == [("fail_tasks", 3), ("drop_replies", 1)]
    for wrong in (
        {"do": "nothing"},
        {"do": "drop_replies", "method": "PowerUp"},
        {"do": "fail_tasks", "method": "PowerOnVM_Task", "fault": "NoSuchFault"},
    ):
        assert order(server, **wrong) == 400
    with pytest.raises((OSError, HTTPException)):
        si.CurrentTime()
    assert server.http("DELETE", "/lab/faults")[0] == 200
    assert pending(server) == []
    assert order(server, do="refuse", seconds=60) == 200
    assert order(server, do="expire_sessions") == 200
    server.http("DELETE", "/lab/faults")
    with pytest.raises(vim.fault.NotAuthenticated):
        si.CurrentTime()


def test_another_process_sets_what_a_vm_and_its_datastore_are_like(server: Server, si: vim.ServiceInstance) -> None:
    vm = vm_of(si, server.web)

    def patch(key: str, **given: Any) -> int:
        return server.http("PATCH", f"/lab/machines/{key}", json.dumps(given).encode())[0]

    question = {"id": "1", "text": "Sure?", "choices": {"0": "Yes"}}
    assert (
        patch("staging-web", question=question, consolidation_needed=True, disks=[{"sharing": "sharingMultiWriter"}])
        == 204
    )
    assert (vm.runtime.question.text, vm.runtime.consolidationNeeded) == ("Sure?", True)
    assert patch("staging-web", question=None, guest={"username": "u", "password": "p", "operations": False}) == 204
    assert vm.runtime.question is None
    assert server.web.guest.operations is False
    assert server.web.disks[0].sharing == "sharingMultiWriter"
    assert (patch("nobody", question=None), patch("staging-web", power="poweredOn")) == (404, 400)
    assert server.http("PUT", "/lab/datastore", b'{"free_space": 7}')[0] == 204
    assert vm.datastore[0].summary.freeSpace == 7
