"""A failed staging may be looked at, afterwards: by whose release failed on it, for a while, and then it is gone."""

import asyncio
import io
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import asyncssh
from stories.house import ADMIN, DEVELOPER, House, hand_off

from bot.config import load_config
from bot.tales.story import Evening


def failed(evening: Evening) -> int:
    """A rehearsal of webshop 2.4.0, which lacks a change."""
    release = hand_off(evening, evening.packages / "webshop-2.4.0.zip")
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    assert evening.finished(run)["verdict"] == "failed"
    return run


def looks(house: House, command: str, host: str = "web") -> str:
    """What the developer sees on a staging host with a key of their own; raises where it does not let them in."""
    ssh = load_config(house.config).environments["staging"].named()[host].ssh
    assert ssh is not None

    async def visit() -> str:
        way = {"username": ssh.user, "client_keys": [house.folder / "keys" / "developer"], "config": None}
        known = {"known_hosts": ssh.known_hosts, "agent_path": None}
        async with asyncssh.connect(ssh.host, ssh.port, **way, **known) as there:
            return str((await there.run(command, term_type="xterm", check=True)).stdout)

    return asyncio.run(visit())


def let_in(house: House, host: str = "web") -> bool:
    try:
        return looks(house, "echo here", host) == "here\n"
    except asyncssh.PermissionDenied:
        return False


def bundle(evening: Evening, run: int) -> zipfile.ZipFile:
    """The archive in the run's thread."""

    def look() -> Any:
        found = [file for reply in evening.thread(run).replies for file in reply.files]
        return next((file for file in found if file["name"] == f"run-{run}.zip"), None)

    file = evening.soon(look, "no bundle is in the thread")
    assert file["size"] > 0
    return zipfile.ZipFile(io.BytesIO(fetched(evening, file)))


def fetched(evening: Evening, file: dict[str, Any]) -> bytes:
    token = load_config(evening.packages.parent / "quarterdeck.yaml").config.slack.bot_token
    request = urllib.request.Request(file["url_private_download"], headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return bytes(answer.read())


def test_the_developer_looks_after_the_verdict_and_a_reset_ends_it(house: House) -> None:
    evening = house.open()
    assert "no_inspection" in evening.types(ADMIN, "/stage inspect staging")
    run = failed(evening)
    (opened,) = evening.records("inspection.opened", run=run)
    (end,) = evening.records("run.finished", run=run)
    assert opened["seq"] > end["seq"]
    assert not let_in(house)
    assert "not_admin" in (refusal := evening.types(DEVELOPER, "/stage inspect")) or "admins" in refusal
    assert not let_in(house)

    assert "may log in on web, db" in evening.types(ADMIN, "/stage inspect")
    (entered,) = evening.records("inspection.entered", run=run)
    assert entered["by"] == ADMIN
    assert entered["data"]["people"] == [DEVELOPER]
    ssh = load_config(house.config).environments["staging"].named()["web"].ssh
    assert ssh is not None
    told = evening.told(run, "lets you look").text
    assert f"ssh -p {ssh.port} deploy@{ssh.host}" in told
    assert looks(house, "touch seen; cat .ssh/authorized_keys").count("quarterdeck-inspection-") == 1
    assert let_in(house, "db")

    names = bundle(evening, run).namelist()
    assert {"run.txt", "differences.txt"} <= set(names)
    assert any(name.startswith("logs/") for name in names)
    assert any(name.startswith("facts/schema") for name in names)

    reset = evening.started(ADMIN, "/stage reset staging", "reset")
    assert evening.finished(reset)["verdict"] == "passed"
    (closed,) = evening.records("inspection.closed", run=run)
    assert f"run {reset}" in closed["data"]["why"]
    assert not let_in(house)
    assert not let_in(house, "db")
    assert evening.on_host("staging", "web", "ls; cat .ssh/authorized_keys 2>/dev/null || true").count("seen") == 0
    assert "no_inspection" in evening.types(ADMIN, "/stage inspect staging")


def test_when_its_time_is_over_staging_is_reverted_and_nobody_gets_in_also_where_the_bot_was_killed(
    house: House,
) -> None:
    evening = house.open(lambda config: config["policy"].update(inspection="10s"))
    run = failed(evening)
    assert "may log in" in evening.types(ADMIN, "/stage inspect")
    assert let_in(house)
    house.kill_bot()
    house.start_bot()
    reset = evening.soon(lambda: evening.records("run.started", kind="reset"), "it is not reverted by itself")
    assert reset[0]["by"] == "quarterdeck"
    assert evening.finished(reset[0]["data"]["run"])["verdict"] == "passed"
    (closed,) = evening.records("inspection.closed", run=run)
    assert closed["data"]["why"] == "its time was over"
    assert not let_in(house)
    assert evening.version("staging", "web") == "2.3.0"


def test_nobody_is_let_in_before_the_verdict_nor_to_prod(house: House) -> None:
    evening = house.open()
    slow = [{"name": "Wait for a sign", "on": "web", "run": "until [ -e $HOME/go ]; do sleep 0.05; done"}]
    release = hand_off(evening, house.package("9.0", slow))
    run = evening.started(ADMIN, f"/stage run {release}", "rehearsal")
    evening.soon(lambda: evening.records("step.started", run=run, name="Wait for a sign"), "it does not start")
    assert "no_verdict" in evening.types(ADMIN, "/stage inspect staging")
    assert "prod" in evening.types(ADMIN, "/stage inspect prod")
    assert not let_in(house)
    evening.types(ADMIN, f"/stage abort {run} now")
    evening.finished(run)
    assert not evening.records("inspection.opened")
    assert Path(house.folder / "keys" / "developer.pub").exists()
