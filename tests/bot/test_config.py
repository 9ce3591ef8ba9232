"""The configuration: what it says, what its mistakes are answered with, what it keeps secret, what changed."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from bot.config import Settings, changed_keys, load_config
from bot.packages import inspect
from plans.environment import Host
from plans.errors import Refusal

EXAMPLES = Path(__file__).parents[1] / "examples"
CONFIG = (EXAMPLES / "quarterdeck.yaml").read_text()
TESTS = """\
app: webshop
critical:
  - {name: It answers, on: web, run: "true", prod: safe}
  - {name: From outside, on: runner, run: "true"}
deep:
  - {name: Buy one item, manual: Buy it., by: testers}
"""
ENVIRON = {"SLACK_BOT_TOKEN": "xoxb-secret", "VC_PASSWORD": "vc secret"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/app-token").write_text("xapp-secret\n")
    (tmp_path / "quarterdeck.yaml").write_text(CONFIG)
    (tmp_path / "webshop.tests.yaml").write_text(TESTS)
    return tmp_path


def loaded(folder: Path, changes: dict[str, str] | None = None, environ: dict[str, str] = ENVIRON) -> Settings:
    """The settings, with pieces of the two files replaced."""
    for name in ("quarterdeck.yaml", "webshop.tests.yaml"):
        text = (folder / name).read_text()
        for old, new in (changes or {}).items():
            text = text.replace(old, new)
        (folder / name).write_text(text)
    return load_config(folder / "quarterdeck.yaml", environ=environ)


def test_the_configuration_says_what_its_author_wrote(folder: Path) -> None:
    settings = loaded(folder)
    config = settings.config
    assert config.slack.api_url == "https://slack.com/api/"
    assert config.roles.developers == "everybody"
    assert config.commands.stage == "/rehearse"
    assert config.ctl.users == {"alice": "U02ADMIN"}
    assert settings.policy.approvals == 1
    assert settings.policy.watch == ("10m", "30m", "45m")
    assert str(settings.timezone) == "Europe/Berlin"
    assert settings.max_bytes == 5_000_000
    assert list(settings.environments["prod"].named()) == ["web", "web/2", "db"]
    assert [host.protection for host in settings.environments["prod"].named().values()] == [
        "snapshot",
        "attested",
        "backup",
    ]
    assert [check.name for check in settings.tests["webshop"].checks()] == [
        "It answers",
        "From outside",
        "Buy one item",
    ]


def test_paths_are_relative_to_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    settings = load_config(f"{folder.name}/quarterdeck.yaml", environ=ENVIRON)
    web, prod = settings.environments["staging"].hosts["web"], settings.environments["prod"].named()["web/2"]
    assert isinstance(web, Host)
    assert web.ssh is not None
    assert prod.ssh is not None
    assert web.ssh.key_file == str(folder / "keys/deploy")
    assert web.ssh.known_hosts == str(folder / "keys/known_hosts")
    assert prod.ssh.key_file == "/k"
    assert settings.config.vcenters["main"].ca_file == str(folder / "ca.pem")
    assert settings.data_dir == folder / "var"
    assert settings.config.packages.sources == ("https://artifacts.example.com/releases/", str(folder / "drops"))
    assert web.env == {"SHOP_ENV": "staging"}


def test_what_may_be_left_out_is_left_out(folder: Path) -> None:
    (folder / "quarterdeck.yaml").write_text(
        "slack: {bot_token: b, app_token: a, channel: C1}\nroles: {admins: [U1]}\nenvironments: {}\napps: {}\n"
    )
    settings = load_config(folder / "quarterdeck.yaml")
    assert settings.data_dir == folder / "var"
    assert settings.config.roles.developers == ()
    assert settings.tests == {}


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "unknown key": ({"timezone:": "timezon:"}, "line 5, timezon: this key is not known. Did you mean timezone?"),
    "unknown key of a host": ({"env: {SHOP": "envs: {SHOP"}, "line 24, environments.staging.hosts.web.envs: this key"),
    "missing key": ({"  channel: C01DEPLOYS\n": ""}, "line 2, slack.channel: this key is missing"),
    "missing variable": ({"VC_PASSWORD": "NOPE"}, "line 16, vcenters.main.password: the environment variable NOPE"),
    "missing file": ({"keys/app-token": "keys/nope"}, "line 3, slack.app_token: the file "),
    "wrong type": ({"approvals: 1": "approvals: one"}, "policy.approvals: a whole number is wanted, found “one”"),
    "timezone": ({"Europe/Berlin": "Europe/Bärlin"}, "there is no Europe/Bärlin; one like Europe/Berlin is wanted"),
    "timezone outside": ({"Europe/Berlin": "../../etc/passwd"}, "there is no ../../etc/passwd"),
    "size": ({"5MB": "5 MB"}, "packages.max_bytes: a text like 500MB is wanted"),
    "person": ({"U03TESTER": "tester"}, "roles.testers[0]: a text like U02ADMIN or S04ADMINS"),
    "group of ctl": ({"alice: U02ADMIN": "alice: S04ADMINS"}, "ctl.users.alice: a text like U02ADMIN"),
    "admins for everybody": ({"admins: [U02ADMIN, S04ADMINS]": "admins: everybody"}, "roles.admins: a list is wanted"),
    "developers": ({"developers: everybody": "developers: nobody"}, "roles.developers: everybody is wanted"),
    "pattern": ({"Test Customer": "Test ["}, "Test [ is not a regular expression"),
    "source": ({"https://artifacts": "http://artifacts"}, "an https address is wanted"),
    "command": ({"/rehearse": "/promote"}, "commands: two commands have the same name"),
    "command's form": ({"/rehearse": "rehearse"}, "commands.stage: a text like /handoff is wanted"),
    "api_url": ({"  channel:": "  api_url: https://slack.com/api\n  channel:"}, "api_url ends with a slash"),
    "api_url elsewhere": ({"  channel:": "  api_url: http://slack.com/api/\n  channel:"}, "an https address is wanted"),
    "two ways in": (
        {"        guest:": "        ssh: {host: a, user: b, key_file: c, known_hosts: d}\n        guest:"},
        "ssh or guest",
    ),
    "no staging": (
        {"staging: staging": "staging: stage"},
        "line 43, apps.webshop.staging: there is no environment stage.",
    ),
    "no prod": ({"    prod: prod": "    prod: production"}, "apps.webshop.prod: there is no environment production."),
    "no qa": ({"    prod: prod": "    prod: prod\n    qa: qa"}, "apps.webshop.qa: there is no environment qa."),
    "no vcenter": ({"  main:": "  other:"}, "environments.staging.hosts.web.vcenter: there is no vCenter main."),
    "no isolation": ({"    isolation:\n      networks: [isolated-staging]\n": ""}, "has no isolation.networks"),
    "no networks": ({"[isolated-staging]": "[]"}, "has no isolation.networks"),
    "no vm": (
        {"        vcenter: main\n        vm: staging-web\n": ""},
        "environments.staging.hosts.web: it is a host of the staging",
    ),
    "no host": ({"      db: {ssh": "      dp: []\n      db: {ssh"}, "environments.prod.hosts.dp: no host is listed."),
    "role runner": ({"      db: {ssh": "      runner: []\n      db: {ssh"}, "Give the role another name."),
    "role of a restore": (
        {"the orders, on: db, run: /opt/r": "it, on: dp, run: /opt/r"},
        "staging.restore[0].on: staging has no role dp.",
    ),
    "clone of a UUID": (
        {
            "vm: staging-db": "vm: 5031D4A2-0000-4000-8000-0123456789ab",
            "on: db, run: /opt/restore-latest.sh": "on: db, clone: {from: db}",
        },
        "staging.restore[0].on: the vm of db is an instance UUID, and its clone has another one.",
    ),
    "clone of the runner": (
        {"on: db, run: /opt/restore-latest.sh": "on: runner, clone: {from: db}"},
        "staging.restore[0].on: runner has no vm, so that none can be made anew.",
    ),
    "clone of what": (
        {"run: /opt/restore-latest.sh": "clone: {from: db, snapshot: newest}"},
        "staging.restore[0].clone.snapshot: fresh or latest is wanted, found “newest”",
    ),
    "role of a backup": (
        {"the orders, on: db, run: /opt/b": "it, on: dp, run: /opt/b"},
        "prod.backup[0].on: prod has no role dp.",
    ),
    "role of health": (
        {"answers, on: web, http": "answers, on: wep, http"},
        "apps.webshop.health[0].on: staging has no role wep.",
    ),
    "role of a fact": ({"schema, on: db": "schema, on: dp"}, "apps.webshop.facts[0].on: staging has no role dp."),
    "two facts": ({"name: packages": "name: schema"}, "apps.webshop.facts[1].name: two facts are called schema."),
    "ignore": ({"^linux-image": "["}, "apps.webshop.facts[1].ignore: [ is not a regular expression."),
    "fact without its path": ({", path: /etc/webshop": ""}, "apps.webshop.facts[2]: collect: files needs the path"),
    "ready-made fact on Windows": (
        {
            "        env: {SHOP_ENV": "        shell: powershell\n        env: {SHOP_ENV",
            "known_hosts: h}}\n      ": "known_hosts: h}, shell: powershell}\n      ",
            "k, known_hosts: h}}\n        -": "k, known_hosts: h}, shell: powershell}\n        -",
            "collect: files, path: /etc/webshop": "collect: sudoers",
        },
        "facts[2].collect: sudoers cannot be collected on hosts with shell: powershell. There are: environment",
    ),
    "ready-made fact on two shells": (
        {"        env: {SHOP_ENV": "        shell: powershell\n        env: {SHOP_ENV"},
        "apps.webshop.facts[2].collect: the hosts of web have two kinds of shell",
    ),
    "test plan's app": ({"app: webshop": "app: crm"}, "line 1, app: this is the test plan of crm"),
    "test plan's role": (
        {"It answers, on: web": "It answers, on: wep"},
        "line 3, critical[0].on: staging has no role wep.",
    ),
    "test plan's tester": ({"by: testers": "by: tester"}, "line 6, deep[0].by: there is no role tester."),
    "test plan's key": (
        {"by: testers": "bye: testers"},
        "line 6, deep[0].bye: this key is not known. Did you mean by?",
    ),
    "same VM": (
        {"vm: prod-web-1": "vm: staging-web"},
        "hosts.web: staging-web of vcenter.example.com:443 is a machine of prod",
    ),
    "same address": ({"10.0.0.3": "10.9.0.11"}, "10.9.0.11:22 is a machine of prod too, which is prod."),
    "same environment": (
        {"    prod: prod": "    prod: staging"},
        "apps.webshop.staging: staging is the prod of webshop.",
    ),
    "name of an app": ({"  webshop:": "  web shop:"}, "an app is named with letters"),
    "name of a role": ({"      db: {ssh": "      db/2: {ssh"}, "a role is named with letters"),
}


@pytest.mark.parametrize(("changes", "says"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_answered_with_its_line_and_key(folder: Path, changes: dict[str, str], says: str) -> None:
    with pytest.raises(Refusal) as caught:
        loaded(folder, changes)
    assert caught.value.code == "invalid_document"
    assert re.match(r".*(quarterdeck|webshop\.tests)\.yaml, line \d+", caught.value.message)
    assert says in str(caught.value)
    assert "vc secret" not in str(caught.value)


def test_a_file_that_is_not_there(folder: Path) -> None:
    (folder / "webshop.tests.yaml").unlink()
    for path in (folder / "quarterdeck.yaml", folder / "nope.yaml", folder):
        with pytest.raises(Refusal, match="unreadable_config"):
            load_config(path, environ=ENVIRON)


def test_one_address_behind_two_gateways_is_two_machines(folder: Path) -> None:
    gateway = "gateway: {host: g, user: u, key_file: k, known_hosts: h}"
    loaded(folder, {"10.0.0.3": "10.9.0.11", "known_hosts: keys/known_hosts}": f"known_hosts: h, {gateway}}}"})


def test_a_check_that_is_not_for_prod_needs_its_role_on_staging_alone(folder: Path) -> None:
    more = "      queue: {vcenter: main, vm: staging-queue, guest: {username: root, password: password}}\n      db:\n"
    loaded(folder, {"      db:\n": more, "From outside, on: runner": "The queue, on: queue"})
    with pytest.raises(Refusal, match=r"critical\[1\].on: prod has no role queue"):
        loaded(folder, {'queue, run: "true"': 'queue, run: "true", prod: safe'})


def test_every_value_from_outside_and_every_password_is_a_secret(folder: Path) -> None:
    assert set(loaded(folder).secrets) == {"xoxb-secret", "xapp-secret", "vc secret", "plain-password"}


def test_a_vcenter_that_is_not_verified_is_said_aloud(folder: Path) -> None:
    assert loaded(folder).warnings == ()
    settings = loaded(folder, {"ca_file: ca.pem": "verify: false"})
    [warning] = settings.warnings
    assert warning.startswith("vcenters.main: verify: false")
    [said] = settings.unverified("staging")
    assert said.startswith("vCenter main (vcenter.example.com) is NOT VERIFIED")


def test_the_digest_is_of_the_files_before_anything_is_filled_in(folder: Path) -> None:
    first = loaded(folder)
    assert first.digest == hashlib.sha256((CONFIG + TESTS).encode()).hexdigest()
    other = loaded(folder, environ=dict.fromkeys(ENVIRON, "another"))
    assert (other.digest, other.keys) == (first.digest, first.keys)
    assert loaded(folder, {"It answers": "It still answers"}).digest != first.digest


def test_what_changed_is_told_by_key(folder: Path) -> None:
    first = loaded(folder)
    changes = {"approvals: 1": "separate_duties: false", "plain-password": "plain-passwort", "It answers": "It does"}
    second = loaded(folder, changes)
    assert changed_keys(first.keys, second.keys) == (
        "apps.webshop.tests: critical[0].name",
        "environments.staging.hosts.db.guest.password",
        "policy.approvals",
        "policy.separate_duties",
    )
    assert changed_keys(second.keys, second.keys) == ()
    assert max(map(len, second.keys.values())) == 4


def plans(settings: Settings, package: str = "a" * 64, environment: str = "staging") -> str:
    return settings.digest_of_plans(("webshop",), package, environment)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"plain-password": "another-password", "keys/deploy": "keys/other"}, True),
        ({"channel: C01DEPLOYS": "channel: C02DEPLOYS"}, True),
        ({"10.0.0.3": "10.0.0.4"}, True),
        ({"10.9.0.11": "10.9.0.12"}, False),
        ({"approvals: 1": "approvals: 2"}, False),
        ({"It answers": "It still answers"}, False),
        ({"dpkg-query -W": "dpkg-query"}, False),
        ({"restore-latest": "restore-oldest"}, False),
    ],
)
def test_a_runs_plans_are_the_same_as_long_as_what_it_does_is(
    folder: Path, changes: dict[str, str], same: bool
) -> None:
    first = loaded(folder)
    assert (plans(loaded(folder, changes)) == plans(first)) is same


def test_a_runs_plans_differ_by_package_and_environment(folder: Path) -> None:
    settings = loaded(folder)
    digests = {plans(settings), plans(settings, "b" * 64), plans(settings, environment="prod")}
    assert len(digests) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)


def test_with_a_configuration_a_package_is_held_against_it(folder: Path) -> None:
    package = folder / "package"
    (package / "files").mkdir(parents=True)
    (package / "DEPLOY.md").write_text("Cache, Web")
    (package / "files/list.txt").write_text("Test Customer")
    manifest: Any = (
        "app: {app}\nversion: '1'\nsummary: s\nchanges: [{{id: A, kind: code, summary: s, paths: [files]}}]\n"
        "deploy: [{{name: Cache, on: cache, run: a}}]\nrollback: [{{name: Web, on: web, run: a}}]\n"
    )
    (package / "handoff.yaml").write_text(manifest.format(app="webshop"))
    settings = loaded(folder)
    assert [finding.code for finding in inspect(package)[1]] == ["step_without_rollback"]
    findings = [finding for finding in inspect(package, settings)[1] if finding.level == "error"]
    assert [(finding.code, finding.place) for finding in findings] == [
        ("forbidden_content", "files/list.txt, line 1"),
        ("unknown_role", "deploy: Cache"),
        ("unknown_role", "deploy: Cache"),
    ]
    (package / "handoff.yaml").write_text(manifest.format(app="webshopp"))
    assert "unknown_app" in [finding.code for finding in inspect(package, settings)[1]]
    (package / "files/large").write_bytes(bytes(5_000_000))
    assert [finding.code for finding in inspect(package, settings)[1]] == ["too_large"]
