"""Whole runs of the real bot while vCenter forgets sessions, swallows answers and fails tasks, and while SSH is cut.

`make test` runs a sample, `make faults` (QUARTERDECK_FAULTS=all) the whole; QUARTERDECK_SEED repeats what a failure
named: that seed's evening comes first.
"""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from faults import scenes
from faults.harness import Site, opened
from faults.plays import PASSED, Trouble, now_and_then, play
from faults.seeds import WHOLE
from faults.tally import Tally
from proxy import DOWN, UP, Proxy, proxy_to

CHANGES = ("CreateSnapshot_Task", "RemoveSnapshot_Task", "RevertToSnapshot_Task", "PowerOnVM_Task", "PowerOffVM_Task")
FAILURES = ("GenericVmConfigFault", "InsufficientResourcesFault", "HostCommunication", "Timedout")


def ordering(*, mean: float, **fault: tuple[Any, ...]) -> Trouble:
    """Now and then a fault of vCenter, each of its values drawn from these."""

    @contextmanager
    def trouble(site: Site, dice: random.Random) -> Iterator[None]:
        def order() -> None:
            site.order("POST", "/lab/faults", {key: dice.choice(values) for key, values in fault.items()})

        order()
        try:
            with now_and_then(dice, order, mean=mean):
                yield
        finally:
            site.order("DELETE", "/lab/faults", None)

    return trouble


EITHER = ("passed", "errored")
"""Where the machinery may fail for good; it never says that the package did."""

VCENTER: dict[str, tuple[Trouble, tuple[str, ...]]] = {
    "vCenter's sessions expire": (ordering(mean=0.3, do=("expire_sessions",)), PASSED),
    "vCenter acts and its answer is lost": (ordering(mean=0.5, do=("drop_replies",), method=CHANGES), PASSED),
    "vCenter cuts every connection": (ordering(mean=1.5, do=("refuse",), seconds=(0.1, 0.5, 1.0)), EITHER),
    "vCenter is slow": (ordering(mean=0.3, do=("delay",), seconds=(0.3, 1.0)), PASSED),
    "vCenter's tasks fail": (ordering(mean=0.7, do=("fail_tasks",), method=CHANGES, fault=FAILURES), EITHER),
}
SSH = ("SSH is cut", "SSH is held, then cut")
EVENINGS = 8 if WHOLE else 1


class Wires:
    """A proxy before each host's SSH server."""

    def __init__(self, stack: ExitStack) -> None:
        self.proxies: dict[str, Proxy] = {}
        self._stack = stack

    def lay(self, site: Site, config: dict[str, Any]) -> None:
        """The scenes' environments, with every host reached by way of its proxy."""
        scenes.environments(site, config)
        lines = (site.folder / "keys" / "known_hosts").read_text().splitlines()
        keys = {line.partition("]")[0].strip("["): line.partition(" ")[2] for line in lines}
        known = site.folder / "keys" / "known_by_wire"
        for environment in config["environments"].values():
            for host in environment["hosts"]["web"]:
                ssh = host["ssh"]
                proxy = self._stack.enter_context(proxy_to(int(ssh["port"]), ssh["host"]))
                self.proxies[host["vm"]] = proxy
                with known.open("a") as file:
                    file.write(f"[127.0.0.1]:{proxy.port} {keys[ssh['host']]}\n")
                host["ssh"] = ssh | {"host": "127.0.0.1", "port": proxy.port, "known_hosts": str(known)}

    def cutting(self, site: Site, dice: random.Random) -> Any:
        """Every now and then a connection is reset, at once or in the middle of what comes next."""

        def cut() -> None:
            proxy = dice.choice(list(self.proxies.values()))
            if dice.random() < 0.5:
                proxy.cut()
            else:
                proxy.cut_after(dice.choice([UP, DOWN]), dice.randrange(4000))

        return now_and_then(dice, cut, mean=0.3)

    def holding(self, site: Site, dice: random.Random) -> Any:
        """Every now and then a path freezes, and is reset a moment later."""
        held: list[Proxy] = []

        def hold_or_cut() -> None:
            if held:
                held.pop().cut()
            else:
                held.append(dice.choice(list(self.proxies.values())))
                held[0].hold()

        return now_and_then(dice, hold_or_cut, mean=0.4)


def test_machines_that_fail_during_whole_runs(tmp_path: Path, tally: Tally, seed: int) -> None:
    bad = []
    faults = [*VCENTER, *SSH]
    for number, fault in enumerate(faults if WHOLE else random.Random(seed).sample(faults, 1)):
        with ExitStack() as stack:
            wires = Wires(stack)
            if fault in SSH:
                trouble, verdicts = wires.cutting if fault == "SSH is cut" else wires.holding, PASSED
            else:
                trouble, verdicts = VCENTER[fault]
            site = stack.enter_context(
                opened(tmp_path / f"lab-{number}", wires.lay if fault in SSH else scenes.environments)
            )
            bad += evenings(site, tally, seed, fault, trouble, verdicts)
    assert not bad, "\n".join(bad)


def evenings(site: Site, tally: Tally, seed: int, fault: str, trouble: Trouble, verdicts: tuple[str, ...]) -> list[str]:
    """What is wrong after evenings with that trouble; in every other one the bot is killed, too."""
    bad: list[str] = []
    for number in range(seed, seed + EVENINGS):
        print(f"QUARTERDECK_SEED={number}: {fault}", flush=True)
        _, findings = play(site, number, trouble, kills=3 * (number % 2), verdicts=verdicts)
        tally.count(fault, 1, findings)
        bad += [f"QUARTERDECK_SEED={number}: {fault}: {finding.kind}: {finding.what}" for finding in findings]
        if findings:
            break
    return bad
