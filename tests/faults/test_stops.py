"""A bot that is stopped while something hangs: gone in ten seconds, and what it was at goes on after the next start."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from faults import checker, scenes
from faults.accounts import due
from faults.harness import Site, opened
from faults.people import Team
from faults.tally import Tally
from faults.test_faulty_machines import Wires

HANGS = 60.0

Hang = Callable[[Site, Wires], AbstractContextManager[None]]


@contextmanager
def vcenter(site: Site, wires: Wires) -> Iterator[None]:
    """No call is answered."""
    site.order("POST", "/lab/faults", {"do": "delay", "seconds": HANGS, "times": 1000})
    yield
    site.order("DELETE", "/lab/faults", None)


@contextmanager
def ssh(site: Site, wires: Wires) -> Iterator[None]:
    """No byte comes through to any host or back."""
    for proxy in wires.proxies.values():
        proxy.hold()
    yield
    for proxy in wires.proxies.values():
        proxy.cut()


@contextmanager
def terminal(site: Site, wires: Wires) -> Iterator[None]:
    """Somebody holds the host's socket open and types nothing."""
    with ExitStack() as clients:
        for _ in range(20):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(site.folder / "var" / "ctl" / "socket"))
        yield


@pytest.mark.parametrize("hangs", [vcenter, ssh, terminal])
def test_a_stop_waits_for_nothing_that_hangs(tmp_path: Path, tally: Tally, hangs: Hang) -> None:
    with ExitStack() as stack:
        wires = Wires(stack)
        site = stack.enter_context(opened(tmp_path / "lab", wires.lay))
        team = Team(site)
        release = team.hands_off(scenes.package(site, "1.0.0", [{"name": "Long", "on": "web", "run": site.act(2)}]))
        run = team.begins(f"/stage run {release}", "rehearsal")
        began = "Long" if hangs is not vcenter else "Power on"
        team.wait(lambda: site.book.of("step.started", run=run, name=began), "the step")
        with hangs(site, wires):
            site.stop()
        assert team.sees_through(run)["verdict"] == "passed"
        team.is_told(due)
        site.kill()
        findings = checker.check(scenes.evidence(site))
        tally.count("the bot stopped while something hangs", 1, findings)
        assert not findings
        assert not site.errors()
