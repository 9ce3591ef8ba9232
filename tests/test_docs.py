"""What the README shows is what the code takes."""

import re
import shutil
from pathlib import Path

import pytest

from bot.config import Configuration, load_config
from bot.manifest import SCOPES
from plans.documents import load
from plans.environment import Environment
from plans.package import Manifest
from plans.restoring import RestoreClone, RestoreRun
from plans.testplan import TestPlan

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def example(kind: str) -> str:
    found = re.search(rf"<!-- {kind} -->\n```yaml\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no example of a {kind}"
    return found[1]


def test_the_examples_are_taken_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "quarterdeck.yaml").write_text(example("config"))
    (tmp_path / "webshop.tests.yaml").write_text(example("tests"))
    tokens = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "VC_PASSWORD": "secret"}
    settings = load_config(tmp_path / "quarterdeck.yaml", environ=tokens)
    assert isinstance(settings.config, Configuration)
    assert settings.tests["webshop"] == load(example("tests").encode(), TestPlan, "README")
    manifest = load(example("package").encode(), Manifest, "README")
    assert {step.on for step in manifest.steps()} <= set(settings.environments["prod"].hosts)


def test_the_files_that_it_names_are_there() -> None:
    for path in re.findall(r"\]\((docs/[^)]+)\)|`((?:bot|handlers|plans|vmops|lab)/[\w./]*)`", README):
        assert (ROOT / (path[0] or path[1])).exists(), path


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_two_commands_are_the_makefiles() -> None:
    targets = (ROOT / "Makefile").read_text()
    for command in ("demo", "test"):
        assert f"make {command}" in README
        assert f"\n{command}:" in targets


def test_the_manifest_asks_for_what_the_bot_calls() -> None:
    assert {"channels:history", "groups:history", "chat:write", "commands", "files:write"} <= set(SCOPES)


def test_the_restores_that_the_documentation_shows_are_taken() -> None:
    text = (ROOT / "docs" / "restore.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    hosts = "hosts: {db: {ssh: {host: h, user: u, key_file: k, known_hosts: n}}}\n"
    taken = [load((hosts + example).encode(), Environment, "docs/restore.md") for example in examples]
    assert [[type(step) for step in environment.restore] for environment in taken] == [
        [RestoreRun, RestoreRun],
        [RestoreClone, RestoreRun],
    ]


def test_the_nights_that_the_documentation_shows_are_taken(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "nights.md").read_text()
    tested, plan, looked = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert load(plan.encode(), TestPlan, "docs/nights.md").critical[0].before
    base = re.sub(r"^policy:.*?(?=^\S|\Z)", "", example("config"), flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "webshop.tests.yaml").write_text(example("tests"))
    tokens = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "VC_PASSWORD": "secret"}
    for shown in (tested, looked):
        (tmp_path / "quarterdeck.yaml").write_text(base + shown)
        settings = load_config(tmp_path / "quarterdeck.yaml", environ=tokens)
        assert settings.policy.lookout == "03:00"
        assert settings.policy.restore_test_max_age == "48h"
    (tmp_path / "quarterdeck.yaml").write_text(base + tested)
    (test,) = load_config(tmp_path / "quarterdeck.yaml", environ=tokens).config.restore_tests
    assert (test.environment, test.at, test.within) == ("staging", "02:00", "4h")
