"""Somebody is at work on staging during a rehearsal: it passes, and does not count."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import asyncssh
from pyVim.connect import Disconnect, SmartConnect
from stories.house import ADMIN, TESTER, House, hand_off, question

from bot.config import load_config
from bot.tales.story import Evening
from lab.world import VCENTER_ADMIN


def at_the_tester(evening: Evening) -> tuple[str, int]:
    """A rehearsal of webshop 2.4.1 that waits for the tester."""
    release = hand_off(evening, evening.packages / "webshop-2.4.1.tar.gz")
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    question(evening, run)
    return release, run


def ended(evening: Evening, run: int) -> dict[str, Any]:
    evening.desk.presses(TESTER, question(evening, run), "answer:pass")
    return evening.finished(run)


def log_in(house: House, host: str, command: str, *, terminal: bool, key: Path | None = None) -> str:
    """What a person with an SSH client of their own sees of a staging host."""
    addresses = dict(reversed(line.split()) for line in (house.folder / "hosts").read_text().splitlines())

    async def visit() -> str:
        keys = house.folder / "keys"
        async with asyncssh.connect(
            addresses[host],
            load_config(house.config).environments["staging"].named()["web"].ssh.port,
            username="deploy",
            client_keys=[key or keys / "deploy"],
            known_hosts=str(keys / "known_hosts"),
            config=None,
            agent_path=None,
        ) as ssh:
            return str((await ssh.run(command, term_type="xterm" if terminal else None, check=True)).stdout)

    return asyncio.run(visit())


def in_vcenter(house: House, deed: Any) -> None:
    """Somebody else, logged in to vCenter, does something to the VM staging-db."""
    configured = load_config(house.config).config.vcenters["main"]
    trust = ssl.create_default_context(cafile=configured.ca_file)
    there = SmartConnect(
        host=configured.host, port=configured.port, user=VCENTER_ADMIN, pwd=configured.password, sslContext=trust
    )
    try:
        deed(there.content.searchIndex.FindByInventoryPath("/lab/vm/staging-db"))
    finally:
        Disconnect(there)


def refused(evening: Evening, release: str) -> str:
    answer = evening.types(ADMIN, f"/promote {release}")
    assert "rehearsal_not_clean" in answer
    assert "rehearsal_not_clean" in evening.types(ADMIN, f"/promote check {release}")
    assert not evening.records("run.started", kind="promotion")
    return answer


def test_nobody_but_quarterdeck_is_nobody(house: House) -> None:
    evening = house.open()
    _, run = at_the_tester(evening)
    end = ended(evening, run)
    assert (end["verdict"], end["clean"]) == ("passed", True)
    assert not evening.records("hand.seen")
    assert not evening.records("hands.unknown")
    assert len(evening.records("step.finished", run=run)) > 2


def test_a_login_at_a_terminal_is_seen_though_it_comes_with_quarterdecks_own_key(house: House) -> None:
    evening = house.open()
    release, run = at_the_tester(evening)
    assert log_in(house, "staging-web", "echo fixed | tee -a fixed", terminal=True) == "fixed\n"
    end = ended(evening, run)
    assert (end["verdict"], end["clean"]) == ("passed", False)
    (seen,) = evening.records("hand.seen", run=run)
    assert seen["data"]["host"] == "web"
    assert seen["data"]["what"].startswith("deploy logged in from 127.")
    assert "a hand on web: deploy logged in from 127." in evening.told(run, "was not left alone").text
    assert "deploy logged in from 127." in refused(evening, release)


def test_a_command_without_a_terminal_is_seen_by_its_key(house: House) -> None:
    evening = house.open()
    _, run = at_the_tester(evening)
    key = house.folder / "theirs"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)
    public = asyncssh.read_private_key(key).export_public_key().decode().strip()
    evening.on_host("staging", "db", f"mkdir -p .ssh; echo '{public}' >>.ssh/authorized_keys")
    log_in(house, "staging-db", "sqlite3 shop.db 'delete from orders'", terminal=False, key=key)
    assert not ended(evening, run)["clean"]
    hosts = {seen["data"]["host"] for seen in evening.records("hand.seen", run=run)}
    assert "db" in hosts


def test_what_somebody_does_in_vcenter_is_seen(house: House) -> None:
    evening = house.open()
    release, run = at_the_tester(evening)
    in_vcenter(house, lambda vm: vm.AcquireTicket("webmks"))
    end = ended(evening, run)
    assert (end["verdict"], end["clean"]) == ("passed", False)
    (seen,) = evening.records("hand.seen", run=run)
    assert seen["data"]["host"] == "db"
    assert f"{VCENTER_ADMIN} in vCenter: Remote console connection requested" in seen["data"]["what"]
    evening.told(run, "Remote console connection requested")
    refused(evening, release)
