"""The command line as its users meet it: exit codes, what is on stdout, what is on stderr, and never a traceback."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot import __main__ as command

MANIFEST = """\
app: webshop
version: 2.4.1
summary: Order history
changes:
  - {id: SHOP-1, kind: code, summary: The page, paths: [files/]}
deploy:
  - {name: Install, on: web, copy: {from: files/, to: /srv/}}
  - {name: Restart, on: web, run: systemctl restart webshop}
rollback:
  - {name: Undo, on: web, run: ./undo}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    (folder / "files").mkdir(parents=True)
    (folder / "handoff.yaml").write_text(MANIFEST)
    (folder / "DEPLOY.md").write_text("# Install\n# Restart\n# Undo\n")
    (folder / "files/a.txt").write_text("hello")
    return folder


Ran = tuple[int, str, str]


@pytest.fixture
def quarterdeck(capfd: pytest.CaptureFixture[str]) -> Any:
    def ran(*arguments: object) -> Ran:
        code = command.run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return ran


def test_a_good_package_is_acceptable(quarterdeck: Any, package: Path) -> None:
    code, out, err = quarterdeck("check", package)
    assert (code, out) == (0, "")
    assert "Without --config: roles of hosts, forbidden content and what the test plan covers are not checked." in err
    assert "Whether this version was handed off before, with other bytes, is known to the hand-off alone." in err
    assert err.endswith(f"{package}: acceptable\n")


def test_findings_are_told_of_with_code_place_and_hint(quarterdeck: Any, package: Path) -> None:
    (package / "files/b.txt").write_text("-----BEGIN PRIVATE KEY-----")
    (package / "DEPLOY.md").write_text("# Install\n# Restart\n")
    code, out, err = quarterdeck("check", package)
    assert (code, out) == (1, "")
    assert "error: private_key: files/b.txt, line 1: A private key is in this file.\n  Take it out" in err
    assert "error: step_not_documented: DEPLOY.md: DEPLOY.md does not name the step “Undo”." in err
    assert err.endswith(": refused\n")


def test_as_json_the_result_is_all_that_is_on_stdout(quarterdeck: Any, package: Path, tmp_path: Path) -> None:
    packed = tmp_path / "a.zip"
    _, digest, _ = quarterdeck("pack", package, "-o", packed)
    code, out, _ = quarterdeck("check", packed, "--json")
    assert code == 0
    assert json.loads(out) == {
        "digest": digest.strip().removeprefix("sha256:"),
        "app": "webshop",
        "version": "2.4.1",
        "acceptable": True,
        "findings": [],
    }
    (package / "handoff.yaml").write_text("app: x\n")
    code, out, _ = quarterdeck("check", package, "--json")
    result = json.loads(out)
    assert code == 1
    assert (result["digest"], result["app"], result["version"], result["acceptable"]) == (None, None, None, False)
    [finding] = result["findings"]
    assert set(finding) == {"code", "level", "place", "message", "hint"}
    assert finding["code"] == "invalid_manifest"


def test_an_unsafe_archive_is_a_finding_with_its_digest(quarterdeck: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as made:
        made.writestr("../x", b"")
    code, out, _ = quarterdeck("check", tmp_path / "bad.zip", "--json")
    result = json.loads(out)
    assert code == 1
    assert [finding["code"] for finding in result["findings"]] == ["parent_path"]
    assert re.fullmatch("[0-9a-f]{64}", result["digest"])


def test_what_cannot_be_read_ends_with_two(quarterdeck: Any, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("hello")
    for path in (tmp_path / "nothing.zip", tmp_path / "text.zip"):
        code, out, err = quarterdeck("check", path, "--json")
        assert (code, out) == (2, "")
        assert err.startswith("quarterdeck: unreadable: ")


def test_a_bad_configuration_ends_with_two_and_names_its_line(quarterdeck: Any, package: Path, tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text("slak: {}\n")
    code, _, err = quarterdeck("check", package, "--config", tmp_path / "q.yaml")
    assert code == 2
    message = f"quarterdeck: invalid_document: {tmp_path}/q.yaml, line 1, slak: this key is not known."
    assert err == f"{message}\nDid you mean slack?\n"


def test_pack_prints_the_digest_alone(quarterdeck: Any, package: Path, tmp_path: Path) -> None:
    code, out, err = quarterdeck("pack", package, "-o", tmp_path / "a.tar.gz")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", out)


def test_pack_refuses_what_check_refuses(quarterdeck: Any, package: Path, tmp_path: Path) -> None:
    (package / "DEPLOY.md").unlink()
    code, out, err = quarterdeck("pack", package, "-o", tmp_path / "a.tar.gz")
    assert (code, out) == (1, "")
    assert "error: no_document: DEPLOY.md" in err
    assert "quarterdeck: package_refused:" in err
    assert not (tmp_path / "a.tar.gz").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing command."),
        (["chek", "x"], "No such command 'chek'. Did you mean 'check'"),
        (["check"], "Missing argument 'path'."),
        (["check", "a", "b"], "unexpected extra argument"),
        (["check", "a", "--jason"], "No such option: --jason"),
        (["check", "a", "--config"], "--config"),
        (["pack", "a"], "--output"),
        (["schema"], "Choose from: package, tests, config."),
        (["schema", "plan"], "'plan' is not one of 'package', 'tests', 'config'"),
    ],
)
def test_a_wrong_call_is_answered_on_one_line(quarterdeck: Any, arguments: list[str], says: str) -> None:
    code, out, err = quarterdeck(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("quarterdeck: ")
    assert err.count("\n") == 1
    assert says in err


def test_a_mistake_of_our_own_shows_no_traceback(quarterdeck: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUARTERDECK_DEBUG", raising=False)
    monkeypatch.setattr("bot.manifest.manifest", lambda _: 1 // 0)
    code, out, err = quarterdeck("manifest")
    assert (code, out) == (1, "")
    assert "internal_error: ZeroDivisionError" in err


def test_the_manifest_is_yaml_with_the_three_commands(quarterdeck: Any) -> None:
    code, out, err = quarterdeck("manifest")
    assert (code, err) == (0, "")
    made = yaml.safe_load(out)
    commands = made["features"]["slash_commands"]
    assert [each["command"] for each in commands] == ["/handoff", "/stage", "/promote"]
    assert all(each["should_escape"] for each in commands)
    assert made["settings"]["socket_mode_enabled"] is True
    assert {"commands", "chat:write", "files:read"} <= set(made["oauth_config"]["scopes"]["bot"])
    assert len(made["display_information"]["description"]) <= 140


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """As much of JSON Schema as ours use."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    for word, enough in (("oneOf", lambda n: n == 1), ("anyOf", lambda n: n >= 1)):
        if word in schema and not enough(sum(fits(value, each, root) for each in schema[word])):
            return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    names = {dict: "object", list: "array", bool: "boolean", str: "string", int: "integer", float: "number"}
    types = schema.get("type", [])
    found = {names.get(type(value), "null")} | ({"number"} if type(value) is int else set())
    if types and not found & set([types] if isinstance(types, str) else types):
        return False
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return False
    if isinstance(value, list):
        return all(fits(each, schema.get("items", {}), root) for each in value)
    if not isinstance(value, dict):
        return True
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    if set(schema.get("required", [])) - value.keys() or (other is False and value.keys() - known.keys()):
        return False
    rest = other if isinstance(other, dict) else {}
    return all(fits(each, known.get(key, rest), root) for key, each in value.items())


class AsAnEditorReads(yaml.SafeLoader):
    """YAML 1.2's core schema, as editors have it: `on` is a word."""


AsAnEditorReads.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
AsAnEditorReads.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = {"package": "handoff.yaml", "tests": "webshop.tests.yaml", "config": "quarterdeck.yaml"}

WRONG: dict[str, list[tuple[str, str]]] = {
    "package": [
        ("run: ./shopctl", "rum: ./shopctl"),
        ("timeout: 5m", "timeout: 5 min"),
        ("kind: database", "kind: db"),
    ],
    "tests": [
        ("prod: safe", "prod: yes please"),
        ("    manual: Open", "    run: x\n    manual: Open"),
        ("app:", "ap:"),
    ],
    "config": [
        ("developers: everybody", "developers: all"),
        ("channel:", "chanel:"),
        ("max_bytes: 5MB", "max_bytes: 5 MB"),
        ("collect: files", "collect: file"),
    ],
}


@pytest.mark.parametrize("document", ["package", "tests", "config"])
def test_the_schema_takes_what_people_write_and_nothing_else(quarterdeck: Any, document: str) -> None:
    code, out, err = quarterdeck("schema", document)
    assert (code, err) == (0, "")
    schema = json.loads(out)
    text = (EXAMPLES / FILES[document]).read_text()
    assert fits(yaml.load(text, AsAnEditorReads), schema, schema)
    for good, bad in WRONG[document]:
        assert good in text
        assert not fits(yaml.load(text.replace(good, bad), AsAnEditorReads), schema, schema)


def test_the_installed_command_starts_without_the_heavy_libraries(tmp_path: Path) -> None:
    script = "import sys; from bot.__main__ import run; run(['manifest']); print(sorted(sys.modules), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert not re.search("'(fabric|paramiko|pyVmomi|slack_bolt|slack_sdk|apscheduler|tinydb|starlette)'", ran.stderr)


def test_a_reader_that_stops_reading_is_no_error(tmp_path: Path) -> None:
    pipe = f"{sys.executable} -m bot schema config | head -c 1; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.stderr == ""
