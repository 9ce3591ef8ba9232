"""`quarterdeck doctor` over a whole lab: one thing is broken at a time, and what is said of it is read."""

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import msgspec
import pytest
import yaml
from pyVmomi import vim

from bot import __main__ as command
from bot import doctor as conductor
from bot.config import load_config
from bot.doctor import examine
from bot.examinations import Examination, Finding, bad, good
from bot.examinations.hosts import _inside
from bot.examinations.privileges import AROUND, CLONED, GUEST, PROD, SOURCE, STAGING
from bot.examinations.visit import TOOLS, Seen
from bot.ledger import hold
from lab import vcenter
from lab.records import Question
from lab.slack.api import METHODS
from lab.slack.rates import FREE, Limiter, Rate
from lab.vcenter import services
from lab.world import World, open_world
from vmops.transport import Trouble

DEADLINE = 60.0
Document = dict[str, Any]
Said = list[dict[str, Any]]


@dataclass
class Place:
    """A lab in a thread of this process, so that anything in it can be broken; `state` is its vCenter's."""

    world: World
    state: Any
    loop: asyncio.AbstractEventLoop
    secrets: list[str] = field(default_factory=list)

    def does(self, work: Any) -> Any:
        """Awaits something in the lab's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def vm(self, name: str) -> Any:
        return self.world.inventory.find(name)

    def config(self, change: Callable[[Document], object] = lambda document: None) -> Path:
        """The lab's configuration with one thing changed, beside it, so that relative paths lead where they did."""
        document = yaml.load(self.world.config.read_text(), yaml.BaseLoader)
        change(document)
        path = self.world.folder / "changed.yaml"
        path.write_text(json.dumps(document))
        return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("lab")
    states: list[Any] = []
    create = vcenter.create_app

    def remembered(*arguments: Any) -> Any:
        app = create(*arguments)
        states.append(app.state.vcenter.state)
        return app

    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    opened: list[World] = []
    ready = threading.Event()

    async def live() -> None:
        try:
            async with open_world(folder) as world:
                opened.append(world)
                ready.set()
                await stop.wait()
        finally:
            ready.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vcenter, "create_app", remembered)
        thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
        thread.start()
        try:
            assert ready.wait(DEADLINE)
            assert opened, "the lab did not start"
            place = Place(opened[0], states[0], loop)
            place.world.workspace.limiter = Limiter(dict.fromkeys(METHODS, FREE))  # it is asked all the time here
            place.secrets = [secret for secret in load_config(place.world.config).secrets if len(secret) > 7]
            yield place
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(DEADLINE)
            loop.close()


Doctor = Callable[..., tuple[int, Said]]


@pytest.fixture
def doctor(lab: Place, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """The command's exit code and what it says; no secret is ever in it."""

    def ask(path: Path) -> tuple[int, Said]:
        code = command.run(["doctor", "--config", str(path), "--json"])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert not [secret for secret in lab.secrets if secret in out + err]
        said = json.loads(out)
        assert all(list(one) == ["check", "subject", "ok", "detail", "mend"] for one in said)
        assert all(one["detail"] and (one["ok"] or one["mend"]) for one in said)
        assert code == (0 if all(one["ok"] for one in said) else 1)
        return code, said

    return ask


def test_a_good_lab_is_all_ok_and_says_that_staging_is_off(lab: Place, doctor: Doctor) -> None:
    code, said = doctor(lab.world.config)
    assert code == 0
    assert [one for one in said if not one["ok"] or one["mend"]] == []
    found = {(one["check"], one["subject"]): one["detail"] for one in said}
    assert found["login", "staging web"].startswith("powered off, as staging is between rehearsals")
    assert found["login", "prod web/2"] == "deploy is let in"
    assert found["staging_is_not_prod", "staging"] == "none of its 2 VMs is one of prod's 4"
    assert found["scope", "the bot's"] == "all 12 that are needed"
    assert found["isolation", "staging"].startswith("proved: ")


def test_people_get_a_table_in_words_and_below_it_what_to_do(lab: Place, capfd: pytest.CaptureFixture[str]) -> None:
    assert command.run(["doctor", "--config", str(lab.world.config)]) == 0
    out, _ = capfd.readouterr()
    assert re.search(r"^ok +login +prod db +deploy is let in *$", out, re.MULTILINE)
    assert out.endswith("looked at: everything is ok\n")
    path = lab.config(lambda document: document["slack"].update(channel="C02GENERAL"))
    assert command.run(["doctor", "--config", str(path)]) == 1
    out, _ = capfd.readouterr()
    assert re.search(r"^NOT OK +channel +C02GENERAL +the bot is not in #general *$", out, re.MULTILINE)
    assert "\nNOT OK: channel, C02GENERAL: the bot is not in #general\n  mend: Invite the bot: type /invite" in out
    assert out.endswith("looked at: 1 not ok\n")


# What is changed in the configuration, of what something is said then, what, and how it is mended.

Change = Callable[[Document], object]


def put(path: str, value: Any) -> Change:
    """The key at that path becomes the value."""

    def change(document: Document) -> None:
        *above, last = path.split(".")
        at: Any = document
        for key in above:
            at = at[int(key) if isinstance(at, list) else key]
        at[last] = value

    return change


def gateway(**more: str) -> Change:
    """prod's database is reached through prod's first web host."""

    def change(document: Document) -> None:
        hosts = document["environments"]["prod"]["hosts"]
        hosts["db"]["ssh"]["gateway"] = {
            key: hosts["web"][0]["ssh"][key] for key in ("host", "port", "user", "key_file", "known_hosts")
        } | more

    return change


DB = "environments.prod.hosts.db"
CONFIGURED: dict[str, tuple[Change, str, str, str, str]] = {
    "wrong bot token": (put("slack.bot_token", "xoxb-1"), "bot_token", "http", "refuses it: invalid_auth", "xoxb-…"),
    "wrong app token": (
        put("slack.app_token", "xapp-1"),
        "app_token",
        "http",
        "refuses it: invalid_auth",
        "connections:write",
    ),
    "no such channel": (
        put("slack.channel", "C09NOWHERE"),
        "channel",
        "C09NOWHERE",
        "channel_not_found",
        "Check slack.channel",
    ),
    "not in the channel": (
        put("slack.channel", "C02GENERAL"),
        "channel",
        "C02GENERAL",
        "is not in #general",
        "/invite @quarterdeck",
    ),
    "a shared channel": (
        put("slack.channel", "C04SHARED"),
        "channel",
        "C04SHARED",
        "#partners is shared with another org",
        "no other organisation",
    ),
    "a guest": (
        put("roles.admins", ["U02ADMIN", "U04GUEST"]),
        "role",
        "admins U04GUEST",
        "Gil Guest is a guest",
        "Take U04GUEST out",
    ),
    "an outsider": (
        put("roles.developers", ["U05OTHER"]),
        "role",
        "developers U05OTHER",
        "belongs to another workspace",
        "Take U05OTHER out",
    ),
    "nobody": (put("roles.testers", ["U99"]), "role", "testers U99", "user_not_found", "Take U99 out"),
    "no such group": (
        put("roles.admins", ["U02ADMIN", "S09"]),
        "role",
        "admins S09",
        "no_such_subteam",
        "take S09 out of roles.admins",
    ),
    "no testers": (
        put("roles.testers", []),
        "test_plan",
        "webshop",
        "waits for one of the testers, and nobody is one",
        "roles.testers",
    ),
    "no source": (
        put("packages.sources", ["/nowhere/"]),
        "package_source",
        "/nowhere",
        "there is no such folder",
        "mount",
    ),
    "a source that is down": (
        put("packages.sources", ["http://127.0.0.1:1/"]),
        "package_source",
        "http://127.0.0.1:1/",
        "refused",
        "curl -I",
    ),
    "no data_dir": (
        put("data_dir", "quarterdeck.yaml/var"),
        "data_dir",
        "quarterdeck.yaml",
        "cannot be written to: Not a directory",
        "another data_dir",
    ),
    "no such network": (
        put("environments.staging.isolation.networks", ["isolated-staging", "lost"]),
        "isolation_network",
        "staging lost",
        "the vCenter main shows no network lost",
        "let the user see the network",
    ),
    "no such VM": (put(f"{DB}.vm", "prod-database"), "vm", "prod db", "has no VMs? prod-database", "instance UUID"),
    "an unknown host": (
        put(f"{DB}.ssh.known_hosts", "empty"),
        "host_key",
        "prod db",
        "is unknown: no line of .*empty is about it",
        r"ssh-keyscan -p \d+ 127\..* >> .*empty",
    ),
    "a changed host key": (
        put(f"{DB}.ssh.known_hosts", "changed"),
        "host_key",
        "prod db",
        r"shows the key ssh-ed25519 (SHA256:\S+), but line 2 of \S+changed has ssh-ed25519 (?!\1)SHA256:\S+: the m",
        r"on the machine's own console .* ssh-keyscan -p \d+ 127\..* ssh-keygen -R '\[127\.",
    ),
    "a host key of another kind": (
        put(f"{DB}.ssh.known_hosts", "rsa"),
        "host_key",
        "prod db",
        r"shows the key ssh-ed25519 SHA256:\S+, but line 1 of .*rsa has ssh-rsa SHA256:\S+: the machine was set up",
        "on the machine's own console",
    ),
    "a wrong user": (
        put(f"{DB}.ssh.user", "nobody"),
        "login",
        "prod db",
        "refused user nobody with the key",
        "ssh-keygen -y -f .*authorized_keys",
    ),
    "no key": (
        put(f"{DB}.ssh.key_file", "keys/lost"),
        "login",
        "prod db",
        "keys/lost cannot be read",
        "ssh-keygen -t ed25519",
    ),
    "a wrong port": (put(f"{DB}.ssh.port", "1"), "login", "prod db", "Connection refused", r"nc -vz 127\.\S+ 1"),
    "no place to work in": (
        put(f"{DB}.workdir", "shop.db/work"),
        "workdir",
        "prod db",
        "shop.db .*cannot be written to: ",
        "another workdir",
    ),
    "an unknown gateway": (
        gateway(known_hosts="empty"),
        "host_key",
        "prod db’s gateway",
        "is unknown: no line of .*empty",
        "ssh-keyscan",
    ),
}


@pytest.mark.parametrize("broken", CONFIGURED)
def test_what_the_configuration_gets_wrong_is_said_of_it_alone(lab: Place, doctor: Doctor, broken: str) -> None:
    change, check, subject, detail, mend = CONFIGURED[broken]
    lines = (lab.world.folder / "keys/known_hosts").read_text().splitlines()
    address = lab.vm("prod-db").address
    (lab.world.folder / "empty").write_text("")
    other = next(line.split(" ", 1)[1] for line in lines if address not in line)
    own = next(line.split(" ", 1)[0] for line in lines if address in line)
    (lab.world.folder / "changed").write_text(f"# of prod\n{own} {other}\n")
    rsa = asyncssh.generate_private_key("ssh-rsa").export_public_key().decode()
    (lab.world.folder / "rsa").write_text(f"{own} {rsa}")
    code, said = doctor(lab.config(change))
    assert code == 1
    wrong = [one for one in said if not one["ok"]]
    if broken == "no such VM":  # without which it cannot be told that staging is not prod
        assert {one["check"] for one in wrong[:2]} == {"staging_is_not_prod"}
        wrong = wrong[2:]
    if broken == "an unknown gateway":  # and so the host behind it
        assert wrong.pop()["detail"] == "not looked at, because its gateway cannot be used"
    assert [one["check"] for one in wrong] == [check]
    assert wrong[0]["subject"].startswith(subject) or broken == "no data_dir"
    assert re.search(detail, wrong[0]["detail"])
    assert re.search(mend, wrong[0]["mend"])


def test_a_way_through_a_gateway_is_looked_at_on_both_its_doors(lab: Place, doctor: Doctor) -> None:
    code, said = doctor(lab.config(gateway()))
    assert code == 0
    by = lab.vm("prod-web-1").address
    doors = [one["subject"] for one in said if one["check"] == "login" and one["subject"].startswith("prod db")]
    assert doors == [f"prod db’s gateway {by}", "prod db"]


VCENTER: dict[str, tuple[Change, str, str, str]] = {
    "a wrong password": (put("vcenters.main.password", "guess"), "vcenter", "refuses the user", "vSphere Client"),
    "a wrong port": (put("vcenters.main.port", "1"), "vcenter", "cannot be reached: Connection refused", "port 1 is"),
    "an unknown CA": (put("vcenters.main.ca_file", ""), "vcenter_tls", "is not trusted", "openssl s_client"),
}


@pytest.mark.parametrize("broken", VCENTER)
def test_a_vcenter_that_cannot_be_used_is_said_once_and_hides_nothing_else(
    lab: Place, doctor: Doctor, broken: str
) -> None:
    change, check, detail, mend = VCENTER[broken]
    _, said = doctor(lab.config(change))
    told = {(one["check"], one["subject"]): one for one in said}
    assert re.search(detail, told[check, "main"]["detail"])
    assert re.search(mend, told[check, "main"]["mend"])
    assert told["vm", "prod db"]["detail"] == "not looked at, because the vCenter main cannot be used"
    assert told["vm", "prod db"]["mend"] == "Mend the vCenter main first."
    assert told["isolation", "staging"]["mend"] == "Mend the vCenter first."
    assert told["login", "staging db"]["detail"].endswith("whether that is because its VM is off could not be asked")
    assert told["login", "prod db"]["ok"]
    assert told["bot_token", lab.world.page + "api/"]["ok"]


def test_a_vcenter_that_is_not_verified_is_said_loudly(lab: Place, doctor: Doctor) -> None:
    code, said = doctor(lab.config(put("vcenters.main.verify", "false")))
    assert code == 0
    loud = next(one for one in said if one["check"] == "vcenter_tls")
    assert loud["detail"].startswith("NOT VERIFIED (verify: false): whoever answers as 127.0.0.1 gets the password")
    assert "ca_file" in loud["mend"]


def test_slack_that_wants_to_be_asked_less_often_says_nothing_against_the_token(lab: Place, doctor: Doctor) -> None:
    with setting(lab.world.workspace, limiter=Limiter({"apps.connections.open": Rate(1, 0)})):
        code, said = doctor(lab.world.config)
    assert code == 0
    assert "less often" in next(one["detail"] for one in said if one["check"] == "app_token")


# What is broken out there, and put right again.


@contextmanager
def setting(thing: Any, **values: Any) -> Iterator[None]:
    before = {name: getattr(thing, name) for name in values}
    for name, value in values.items():
        setattr(thing, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(thing, name, value)


@contextmanager
def denied(lab: Place) -> Iterator[None]:
    lab.state.denied.add("VirtualMachine.State.RevertToSnapshot")
    try:
        yield
    finally:
        lab.state.denied.clear()


@contextmanager
def unscoped(lab: Place) -> Iterator[None]:
    lab.world.workspace.scopes.discard("usergroups:read")
    try:
        yield
    finally:
        lab.world.workspace.scopes.add("usergroups:read")


@contextmanager
def twice(lab: Place) -> Iterator[None]:
    clone = lab.does(lab.world.inventory.clone(lab.vm("prod-db"), "prod-db", place="old"))
    try:
        yield
    finally:
        lab.does(lab.world.inventory.destroy(clone))


@contextmanager
def off(lab: Place) -> Iterator[None]:
    lab.does(lab.vm("crm-prod").power_off())
    try:
        yield
    finally:
        lab.does(lab.vm("crm-prod").power_on())


@contextmanager
def late(lab: Place) -> Iterator[None]:
    """prod-db's clock is ten minutes behind."""
    date = lab.world.folder / "tools/date"
    date.write_text('#!/bin/sh\n[ "$LAB_NAME" = prod-db ] || exec /bin/date "$@"\necho $(($(/bin/date +%s) - 600))\n')
    date.chmod(0o755)
    try:
        yield
    finally:
        date.unlink()


@contextmanager
def late_vcenter(lab: Place) -> Iterator[None]:
    now = services.now
    with setting(services, now=lambda: now() + timedelta(minutes=10)):
        yield


def wired(lab: Place) -> Any:
    """staging-db's card is on prod's network."""
    return setting(lab.vm("staging-db").nics[0], network="prod-lan")


def group(lab: Place) -> Any:
    return setting(lab.world.workspace.groups["S01ADMINS"], users=[])


def asked(lab: Place) -> Any:
    return setting(lab.vm("prod-db"), question=Question("1", "msg.hbacommon.outofspace: no space", {"0": "Retry"}))


BROKEN: dict[str, tuple[Callable[[Place], Any], dict[tuple[str, str], tuple[str, str]]]] = {
    "a scope is lacking": (
        unscoped,
        {
            ("scope", "usergroups:read"): ("has not got it", "install it again"),
            ("role", "admins S01ADMINS"): ("missing_scope", "take S01ADMINS out"),
        },
    ),
    "an empty group": (group, {("role", "admins S01ADMINS"): ("has no members", "Put the admins into the group")}),
    "an archived channel": (
        lambda lab: setting(lab.world.workspace.channels["C01DEPLOYS"], is_archived=True),
        {("channel", "C01DEPLOYS"): ("#deploys is archived", "Bring the channel back")},
    ),
    "a privilege is lacking": (
        denied,
        {
            ("privileges", host): (
                r"lacks VirtualMachine.State.RevertToSnapshot \(the way back",
                r"Add to the user's role on staging-.*RevertToSnapshot \(docs/vcenter-role.md\)",
            )
            for host in ("staging web", "staging db", "crm-staging web")
        },
    ),
    "a VM that is there twice": (
        twice,
        {
            ("vm", "prod db"): ("has 2 VMs prod-db: /lab/vm/old/prod-db, /lab/vm/prod-db", "instance UUID"),
            ("staging_is_not_prod", "staging"): (
                "cannot be told without knowing prod db",
                "Mend what is told of those VMs",
            ),
            ("staging_is_not_prod", "crm-staging"): (
                "cannot be told without knowing prod db",
                "Mend what is told of those VMs",
            ),
        },
    ),
    "a prod VM that is off": (
        off,
        {
            ("vm", "crm-prod web"): ("crm-prod is powered off", "Power it on"),
            ("login", "crm-prod web"): ("cannot be reached: Connection refused", "nc -vz"),
        },
    ),
    "a question": (
        asked,
        {("snapshot", "prod db"): ("waits for an answer to “msg.hbacommon.outofspace: no space”", "Answer it")},
    ),
    "disks that want consolidation": (
        lambda lab: setting(lab.vm("prod-db"), consolidation_needed=True),
        {("snapshot", "prod db"): ("need consolidation", "Consolidate")},
    ),
    "an independent disk": (
        lambda lab: setting(lab.vm("staging-db").disks[0], mode="independent_persistent"),
        {("snapshot", "staging db"): ("Hard disk 1 is independent", "protect: backup")},
    ),
    "a full datastore": (
        lambda lab: setting(lab.world.inventory, free_space=1000),
        {
            ("snapshot", host): ("datastore1 has 0.0 GB free", "Make room")
            for host in ("staging web", "staging db", "prod web", "prod web/2", "prod db", "crm-staging web")
        }
        | {("snapshot", "crm-prod web"): ("datastore1 has 0.0 GB free", "Make room")},
    ),
    "a card on a wrong network": (
        wired,
        {("isolation", "staging"): ("violated: db: .* is on prod-lan, which is not one of", "isolated-staging")},
    ),
    "a clock ten minutes off": (
        late,
        {("clock", "prod db"): (r"is 10 min (\d+ s )?behind this machine's", "NTP")},
    ),
    "a vCenter's clock ten minutes off": (
        late_vcenter,
        {("vcenter_clock", "main"): (r"is (10 min|9 min 59 s) (\d+ s )?ahead of this machine's", "NTP")},
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_wrong_out_there_is_said_of_it_alone(lab: Place, doctor: Doctor, broken: str) -> None:
    break_it, expected = BROKEN[broken]
    with break_it(lab):
        _, said = doctor(lab.world.config)
    wrong = {(one["check"], one["subject"]): one for one in said if not one["ok"]}
    assert wrong.keys() == expected.keys()
    for about, (detail, mend) in expected.items():
        assert re.search(detail, wrong[about]["detail"])
        assert re.search(mend, wrong[about]["mend"])


def test_tools_that_do_not_run_matter_where_they_are_the_way_in(lab: Place, doctor: Doctor) -> None:
    with setting(lab.vm("prod-db").guest, tools="guestToolsNotRunning"):
        code, said = doctor(lab.world.config)
        assert code == 0
        warned = [one for one in said if one["mend"]]
        assert [(one["check"], one["subject"]) for one in warned] == [("vmware_tools", "prod db")]
        assert "Start VMware Tools in prod-db" in warned[0]["mend"]

        def through_tools(document: Document) -> None:
            host = document["environments"]["prod"]["hosts"]["db"]
            del host["ssh"]
            host["guest"] = {"username": "deploy", "password": "${file:keys/guest-password}"}

        _, said = doctor(lab.config(through_tools))
    found = next(one for one in said if one["check"] == "vmware_tools" and one["subject"] == "prod db")
    assert (found["ok"], found["detail"]) == (False, "VMware Tools are not running, and they are the only way in")


def test_what_an_admin_may_attest_to_is_only_to_know_about(lab: Place, doctor: Doctor) -> None:
    switches = [one for one in lab.world.inventory.switches if one.name == "vSwitch2"]
    with setting(switches[1], uplinks=["vmnic0"]):
        code, said = doctor(lab.world.config)
    assert code == 0
    doubted = next(one for one in said if one["check"] == "isolation" and one["subject"] == "staging")
    assert doubted["detail"].startswith("unproved: isolated-staging")
    assert "Give the isolated network a switch of its own" in doubted["mend"]
    assert "or an admin who knows better types /stage attest staging REASON" in doubted["mend"]


@pytest.mark.parametrize(
    ("lacking", "subject", "why", "where"),
    [
        ("VirtualMachine.Inventory.CreateFromExisting", "folder vm", "the clone is made in it", "the folder vm"),
        ("Resource.AssignVMToPool", "resource pool Resources", "the clone is put into it", "the resource pool"),
        ("Datastore.AllocateSpace", "datastore datastore1", "the clone's disks lie on it", "the datastore"),
        ("Network.Assign", "network isolated-staging", "the clone's network cards are", "the network isolated-staging"),
    ],
)
def test_what_a_clone_needs_is_looked_at_where_it_will_be(
    lab: Place, doctor: Doctor, lacking: str, subject: str, why: str, where: str
) -> None:
    clone = [{"name": "Clone it", "on": "db", "clone": {"from": "db"}}]
    config = lab.config(put("environments.staging.restore", clone))
    code, said = doctor(config)
    found = {one["subject"]: one["detail"] for one in said if one["check"] == "privileges"}
    assert code == 0
    assert found["staging db"] == "all 10 that are needed on it"
    assert {name for name in found if name.startswith("staging db’s ")} == {
        f"staging db’s {place}"
        for place in ("folder vm", "resource pool Resources", "datastore datastore1", "network isolated-staging")
    }
    with setting(lab.state, denied={lacking}):
        _, said = doctor(config)
    (wrong,) = [one for one in said if not one["ok"]]
    assert (wrong["check"], wrong["subject"]) == ("privileges", f"staging db’s {subject}")
    assert f"the user lacks {lacking} ({why}" in wrong["detail"]
    assert f"Add to the user's role on {where}" in wrong["mend"]


def test_staging_that_is_prod_under_another_name_is_found_by_its_identity(lab: Place, doctor: Doctor) -> None:
    same = put("environments.staging.hosts.db.vm", lab.vm("prod-db").instance_uuid)
    _, said = doctor(lab.config(same))
    wrong = [one for one in said if one["check"] == "staging_is_not_prod" and not one["ok"]]
    assert [(one["subject"], one["detail"]) for one in wrong] == [("staging db", "it is the same VM as prod db")]
    assert "it will be reverted" in wrong[0]["mend"]


def test_a_running_bot_that_holds_the_data_directory_is_named(lab: Place, doctor: Doctor, tmp_path: Path) -> None:
    held = hold(tmp_path)
    try:
        _, said = doctor(lab.config(put("data_dir", str(tmp_path))))
    finally:
        os.close(held)
    found = next(one for one in said if one["check"] == "data_dir")
    assert found["ok"]
    assert f"a running bot holds it, process {os.getpid()}" in found["detail"]


def test_a_configuration_that_does_not_load_is_the_one_finding(lab: Place, doctor: Doctor) -> None:
    path = lab.world.folder / "wrong.yaml"
    path.write_text(
        lab.world.config.read_text().replace("timezone: Europe/Berlin", "timezone: Europe/Berlin\ncolor: 1")
    )
    code, said = doctor(path)
    assert code == 1
    assert [one["check"] for one in said] == ["configuration"]
    assert re.search(r"wrong\.yaml, line \d+.*color", said[0]["detail"])


# What cannot be had in a lab: machines that lack things, and examinations that hang.

WHOLE = Seen(
    ahead=0.2, boot="b", tools=frozenset(TOOLS), at="/var/tmp", absent=True, unwritable="", runs=True, free=10**10
)
INSIDE: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, []),
    "setsid": ({"tools": WHOLE.tools - {"setsid"}}, [("NOT OK", "no setsid: no step can be started")]),
    "sha256sum": ({"tools": WHOLE.tools - {"sha256sum"}}, [("NOT OK", "no sha256sum: an archive's digest")]),
    "HTTP": (
        {"tools": WHOLE.tools - {"curl", "wget", "python3"}},
        [("NOT OK", "no curl, python3 or wget: checks are asked over HTTP")],
    ),
    "zip": (
        {"tools": WHOLE.tools - {"unzip", "python3"}},
        [("warning", "neither unzip nor python3, so a zip cannot be unpacked")],
    ),
    "boot id": ({"boot": "unknown"}, [("NOT OK", "no boot id")]),
    "noexec": ({"runs": False}, [("NOT OK", "/var/tmp .* lets no program run that lies in it")]),
    "read-only": ({"unwritable": "Read-only file system"}, [("NOT OK", "cannot be written to: Read-only file")]),
    "a full disk": ({"free": 50_000_000}, [("NOT OK", "0.05 GB are free")]),
    "little room": ({"free": 500_000_000}, [("warning", "0.50 GB are free")]),
    "a clock ahead": ({"ahead": 601.0}, [("NOT OK", "is 10 min 1 s ahead of this machine's")]),
}


@pytest.mark.parametrize("lacking", INSIDE)
def test_what_a_host_lacks_is_named_with_what_it_is_for(lacking: str) -> None:
    change, expected = INSIDE[lacking]
    seen = msgspec.structs.replace(WHOLE, **change)
    told = [one for one in _inside("prod web", seen, 500_000_000, unpacks=True, asked=True) if one.mend]
    assert len(told) == len(expected)
    for finding, (word, detail) in zip(told, expected, strict=True):
        assert finding.word == word
        assert re.search(detail, finding.detail)


def test_one_that_hangs_or_fails_hides_no_other_and_who_waits_is_told(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "PATIENCE", 0.01)
    released = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield good("door", "slow", "opens")
        released.wait(DEADLINE)

    def fails() -> Iterator[Finding]:
        raise Trouble("web: no connection")
        yield

    def breaks() -> Iterator[Finding]:
        yield from ()
        raise KeyError("x")

    ways = {"slow": hangs, "sad": fails, "wrong": breaks, "last": lambda: iter([bad("door", "last", "shut", "Open.")])}
    found = examine([Examination("login", name, way) for name, way in ways.items()], deadline=0.3)
    released.set()
    assert [(one.check, one.subject, one.ok, one.detail) for one in found] == [
        ("door", "slow", True, "opens"),
        ("login", "slow", False, "it was not done within 0 s and was given up"),
        ("login", "sad", False, "web: no connection"),
        ("login", "wrong", False, "looking at it failed: KeyError: 'x'"),
        ("door", "last", False, "shut"),
    ]
    assert re.search(r"\d of 4 looked at; to come: slow \(login\)", capfd.readouterr().err)


def test_a_shell_that_starts_slowly_is_told_with_its_time(
    lab: Place, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a real sshd, where every command waits as it does for a slow start-up file."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "vmops"))
    from far_ends import open_sshd

    with open_sshd(tmp_path) as sshd:
        key = (tmp_path / "key.pub").read_text()
        (tmp_path / "key.pub").write_text(f'command="sleep 0.7; eval \\"$SSH_ORIGINAL_COMMAND\\"" {key}')
        ssh = {name: str(value) for name, value in msgspec.to_builtins(sshd.ssh).items() if value is not None}

        def slow(document: Document) -> None:
            document["environments"]["qa"]["hosts"]["web"] = {"ssh": ssh, "workdir": str(tmp_path / "work")}

        code, said = doctor(lab.config(slow))
    found = next(one for one in said if one["check"] == "shell_start" and one["subject"] == "qa web")
    assert code == 0
    assert re.fullmatch(r"a new shell takes \d\.\d s before it does anything", found["detail"])
    assert "~/.bashrc" in found["mend"]
    assert not (tmp_path / "work").exists()


# The role.


def test_the_documented_role_is_the_one_that_is_checked() -> None:
    text = (Path(__file__).parents[2] / "docs/vcenter-role.md").read_text()
    rows = re.findall(r"^\| `(VirtualMachine\.\S+)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [*STAGING.items(), *PROD.items(), *CLONED.items(), *SOURCE.items(), *GUEST.items()]
    around = re.findall(r"^\| ([\w ]+) \| `(\S+)` \| (.+) \|$", text, re.MULTILINE)
    assert around == [(place, *row) for place, needed in AROUND.items() for row in needed.items()]


def test_the_role_holds_what_vsphere_asks_for_each_change_that_is_made() -> None:
    asked = {
        kind._GetMethodInfo(method).privId
        for kind, method in (
            (vim.VirtualMachine, "PowerOn"),
            (vim.VirtualMachine, "PowerOff"),
            (vim.VirtualMachine, "CreateSnapshot"),
            (vim.VirtualMachine, "ConsolidateDisks"),
            (vim.vm.Snapshot, "Revert"),
            (vim.vm.Snapshot, "Remove"),
        )
    }
    assert asked <= STAGING.keys()
    assert PROD.keys() <= asked
