"""The sample: its VMs, its shop and its packages, through SSH, as the bot and an admin use them."""

import asyncio
import json
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml

from lab import seed
from lab.world import LabError, World, open_world

DEADLINE = 90
ARCHIVED = 'sqlite3 shop.db "select count(archived) from orders"'
STAGING = {"web": ["staging-web"], "db": ["staging-db"]}
PROD = {"web": ["prod-web-1", "prod-web-2"], "db": ["prod-db"]}


def run(story: Callable[[], Awaitable[None]]) -> None:
    """Runs one story in an event loop of its own."""
    asyncio.run(asyncio.wait_for(story(), DEADLINE))


def login(world: World, name: str) -> Any:
    """A connection with what the lab's folder offers: its key and its known_hosts."""
    keys = world.folder / "keys"
    return asyncssh.connect(
        world.inventory.find(name).address,
        world.kept.ssh_port,
        username="deploy",
        client_keys=[keys / "deploy"],
        known_hosts=str(keys / "known_hosts"),
        config=None,
        agent_path=None,
    )


async def said(world: World, name: str, command: str, code: int = 0) -> str:
    """What a command says on a VM, both streams; it must end with `code`."""
    async with login(world, name) as ssh:
        done = await ssh.run(command, stderr=asyncssh.STDOUT)
    assert done.exit_status == code, done.stdout
    return str(done.stdout).strip()


async def curl(world: World, name: str, path: str, *options: str) -> str:
    """What the shop of a VM answers to that VM's own curl: the status, and the body."""
    command = ["curl", "-sS", "-w", " %{http_code}", *options, f"http://127.0.0.1:8080{path}"]
    return await said(world, name, shlex.join(command))


async def perform(world: World, package: str, part: str, hosts: dict[str, list[str]]) -> None:
    """Does a package's deploy or rollback by hand, step by step as its handoff.yaml says."""
    folder = seed.SAMPLE / "packages" / package
    manifest = yaml.load((folder / "handoff.yaml").read_text(), yaml.BaseLoader)
    for name in [name for names in hosts.values() for name in names]:
        async with login(world, name) as ssh, ssh.start_sftp_client() as sftp:
            await sftp.put(folder, "unpacked", recurse=True)
            await ssh.run("find unpacked -name '*.sh' -exec chmod +x {} +", check=True)
    for step in manifest[part]:
        for name in hosts[step["on"]][: 1 if step.get("once") else None]:
            match step:
                case {"run": command}:
                    doing = command
                case {"script": script}:
                    doing = f"./{script}"
                case {"copy": {"from": source, "to": target}}:
                    doing = f'cp -r {source}. "$HOME/{target}"'
            await said(world, name, f"cd unpacked && export QUARTERDECK_VERSION={manifest['version']} && {doing}")


def test_the_shop_lives_through_a_rehearsal_of_both_packages(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_world(tmp_path, ssh_port=2222) as world:
            machines = [world.inventory.find("staging-web"), world.inventory.find("staging-db")]
            for machine in machines:
                await machine.power_on()
            prod_schema = await said(world, "prod-db", "sqlite3 shop.db .schema")
            assert await said(world, "staging-db", "sqlite3 shop.db .schema") != prod_schema
            restored = await said(world, "staging-db", "./restore-latest.sh")
            told = re.fullmatch(r"orders-\d{8}T020000Z\.db: (\d+) orders, the newest of .+", restored)
            assert told, restored
            count = int(told[1])
            assert 190 < count <= 204
            assert await said(world, "staging-db", "sqlite3 shop.db .schema") == prod_schema
            await said(world, "staging-web", "./shopctl start")
            assert await curl(world, "staging-web", "/health") == "ok 2.3.0\n 200"
            before = [await machine.take_snapshot("before") for machine in machines]

            await perform(world, "webshop-2.4.0", "deploy", STAGING)
            assert await curl(world, "staging-web", "/health") == "ok 2.4.0\n 200"
            assert "no such column: archived" in await said(world, "staging-db", ARCHIVED, code=1)
            for asked in (["/orders?archived=0"], ["/orders/1/archive", "-X", "POST"]):
                answer = await curl(world, "staging-web", *asked)
                assert "the database refused: no such column: archived" in answer
                assert answer.endswith(" 500")
            await perform(world, "webshop-2.4.0", "rollback", STAGING)
            assert await curl(world, "staging-web", "/health") == "ok 2.3.0\n 200"

            for machine, snapshot in zip(machines, before, strict=True):
                await machine.revert(snapshot)
                await machine.power_on()
            await perform(world, "webshop-2.4.1", "deploy", STAGING)
            assert await said(world, "staging-db", ARCHIVED) == str(count)
            archived = await curl(world, "staging-web", "/orders/1/archive", "-X", "POST")
            assert '"archived": 1' in archived
            left, _, _status = (await curl(world, "staging-web", "/orders?archived=0")).rpartition(" ")
            assert [order["id"] for order in json.loads(left)] == list(range(2, count + 1))
            qa_schema = await said(world, "qa-db", "sqlite3 shop.db .schema")
            assert await said(world, "staging-db", "sqlite3 shop.db .schema") == qa_schema != prod_schema

            await perform(world, "webshop-2.4.1", "deploy", PROD)
            assert await curl(world, "prod-web-2", "/version") == "2.4.1\n 200"
            await perform(world, "webshop-2.4.1", "rollback", PROD)
            assert await curl(world, "prod-web-2", "/version") == "2.3.0\n 200"
            assert await said(world, "prod-db", "sqlite3 shop.db .schema") == prod_schema

    run(story)


def test_what_prod_sells_reaches_staging_through_the_backup(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_world(tmp_path) as world:
            order = json.dumps({"customer": "Ines Prado", "item": "Desk lamp", "cents": 4900})
            bought = await curl(world, "prod-web-1", "/orders", "-d", order)
            assert bought.endswith(" 201"), bought
            assert "205 orders" in await said(world, "prod-db", "./backup-now.sh")
            await world.inventory.find("staging-db").power_on()
            assert "205 orders" in await said(world, "staging-db", "./restore-latest.sh")
            last = 'sqlite3 shop.db "select customer from orders order by id desc limit 1"'
            assert await said(world, "staging-db", last) == "Ines Prado"

            await world.inventory.find("prod-db").power_off()
            answer = await curl(world, "prod-web-1", "/health")
            assert "does not answer" in answer
            assert answer.endswith(" 503")
            assert (await curl(world, "qa-web", "/health")).endswith(" 200")

    run(story)


def test_a_vm_reboots_itself_after_it_has_said_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_world(tmp_path) as world:
            machine = world.inventory.find("prod-web-1")
            boot_id = await said(world, "prod-web-1", "sysctl -n kernel.random.boot_id")
            assert boot_id == machine.boot_id
            rebooted = asyncio.Event()

            async def noticed(_: object) -> None:
                if machine.power == "poweredOn":
                    rebooted.set()

            machine.on_power.append(noticed)
            assert await said(world, "prod-web-1", "sudo -n shutdown -r now; echo $?") == "0"
            await rebooted.wait()
            assert await said(world, "prod-web-1", "sysctl -n kernel.random.boot_id") not in ("", boot_id)
            # The boot starts the shop at this moment: who says so too waits for it.
            assert "runs, pid" in await said(world, "prod-web-1", "./shopctl start && ./shopctl status")
            assert await curl(world, "prod-web-1", "/health") == "ok 2.3.0\n 200"
            assert "the lab answered" in await said(world, "qa-web", "LAB_VM=nobody poweroff", code=1)

    run(story)


def test_services_start_and_stop_as_often_as_one_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_world(tmp_path) as world:
            assert "runs, pid" in await said(world, "qa-web", "./shopctl start && ./shopctl start && ./shopctl status")
            stopped = await said(world, "qa-web", "./shopctl stop && ./shopctl stop && ./shopctl status", code=3)
            assert stopped == "shop is stopped"
            # The numbers of other VMs' processes, in a pid file that a revert brought back, are nothing to this VM.
            others = world.inventory.find("prod-web-1")
            pid = int((others.disk / "run" / "shop.pid").read_text())
            await said(world, "qa-web", f"echo {pid} > run/shop.pid && ./shopctl stop")
            assert pid in others.processes()
            broken = await said(world, "qa-web", "echo 'import nothing' > app/shop.py; ./shopctl start", code=1)
            assert "shop does not answer on http://127.0.0.1:8080/version" in broken
            assert "No module named 'nothing'" in broken

    run(story)


def test_two_apps_share_a_staging_vm(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_world(tmp_path) as world:
            assert await said(world, "crm-prod", "sh crm/report.sh") == "2 contacts"
            await world.inventory.find("staging-web").power_on()
            await perform(world, "crm-1.0.0", "deploy", {"web": ["staging-web"]})
            assert await said(world, "staging-web", "sh crm/report.sh") == "2 contacts of 2 companies"
            await perform(world, "crm-1.0.0", "rollback", {"web": ["staging-web"]})
            assert await said(world, "staging-web", "sh crm/report.sh; cat crm/VERSION") == "2 contacts\n0.9.0"

    run(story)


def test_labs_live_side_by_side_but_not_in_one_folder(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_world(tmp_path / "one") as one, open_world(tmp_path / "two") as two:
            assert one.kept.block != two.kept.block
            with pytest.raises(LabError, match="another lab runs in"):
                await open_world(tmp_path / "one").__aenter__()
            with pytest.raises(LabError, match=f"port {two.kept.slack_port} of 127.0.0.1 is taken"):
                await open_world(tmp_path / "three", slack_port=two.kept.slack_port).__aenter__()

    run(story)


def lab(folder: Path) -> "subprocess.Popen[str]":
    """`python -m lab`, once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "lab", "--dir", folder], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line == "ready\n":
            return process
    raise AssertionError("".join(lines))


def test_the_command_seeds_once_goes_on_as_it_was_and_ends_every_process(tmp_path: Path) -> None:
    folder = tmp_path / "my lab"  # with a space, as people's folders have
    told = ("quarterdeck.yaml", "webshop.tests.yaml", "hosts", "keys/known_hosts", "keys/deploy", "lab.json")
    seen = []
    for number in (1, 2):
        process = lab(folder)
        orders = folder / "vms" / "prod-db" / "disk" / "shop.db"
        assert sqlite3.connect(orders).execute("select count(*) from orders").fetchone() == (203 + number,)
        seen.append({name: (folder / name).read_text() for name in told})
        database = sqlite3.connect(orders)
        with database:
            database.execute("insert into orders (customer, item, cents, placed) values ('Ida', 'Ink', 1, 'now')")
        database.close()
        process.send_signal((signal.SIGTERM, signal.SIGINT)[number - 1])
        _, last = process.communicate(timeout=30)
        assert (process.returncode, last) == (0, "")
        mark = f"HOME={folder}/vms/".encode()
        assert not [one for one in Path("/proc").glob("[0-9]*/environ") if mark in readable(one)]
    assert seen[0] == seen[1]


def readable(environ: Path) -> bytes:
    """The environment of a process, or nothing where it has ended or is somebody else's."""
    try:
        return environ.read_bytes()
    except OSError:
        return b""


def test_the_configuration_is_whole_and_names_what_is_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_world(tmp_path / 'it\'s "here"') as world:
            config = yaml.load(world.config.read_text(), yaml.BaseLoader)
            assert "{{" not in world.config.read_text()
            assert config["packages"]["sources"] == [f"{world.folder}/packages/"]
            assert sorted(path.name for path in (world.folder / "packages").iterdir()) == [
                "crm-1.0.0-rc.1.zip",
                "crm-1.0.0.zip",
                "crm-1.0.1.zip",
                "webshop-2.4.0.zip",
                "webshop-2.4.1.tar.gz",
            ]
            for app in config["apps"].values():
                assert (world.folder / app["tests"]).exists()
            assert (world.folder / config["vcenters"]["main"]["ca_file"]).exists()
            for environment in config["environments"].values():
                for hosts in environment["hosts"].values():
                    for host in hosts if isinstance(hosts, list) else [hosts]:
                        machine = next(m for m in world.inventory.machines if m.address == host["ssh"]["host"])
                        assert host.get("vm", machine.name) == machine.name
                        assert (world.folder / host["ssh"]["key_file"]).exists()

    run(story)


@pytest.mark.parametrize(("package", "suffix"), seed.ARCHIVES.items())
def test_a_package_names_all_that_it_does_and_packs_to_the_same_bytes(
    package: str, suffix: str, tmp_path: Path
) -> None:
    folder = seed.SAMPLE / "packages" / package
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    seed.pack(folder, one)
    copy = tmp_path / "copied later and elsewhere"
    seed.copy_tree(folder, copy)
    (copy / "handoff.yaml").chmod(0o600)
    seed.pack(copy, two)
    assert one.read_bytes() == two.read_bytes()

    if suffix == ".zip":
        with zipfile.ZipFile(one) as archive:
            modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    else:
        with tarfile.open(one) as archive:
            modes = {info.name: info.mode for info in archive}
    manifest = yaml.load((folder / "handoff.yaml").read_text(), yaml.BaseLoader)
    covered = tuple(path for change in manifest["changes"] for path in change["paths"])
    for name, mode in modes.items():
        assert name in ("handoff.yaml", "DEPLOY.md") or name.startswith(covered)
        assert bool(mode & 0o100) == name.endswith(".sh")
    for step in manifest["deploy"] + manifest["rollback"]:
        assert step["name"] in (folder / "DEPLOY.md").read_text()
