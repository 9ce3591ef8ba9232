"""Each finding that a package's author can get, with its code and its place; and the names that members may have."""

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest

from plans.errors import Refusal
from plans.members import Names
from plans.package import MOST_FINDINGS, Contents, Finding, Member, Package, lint, scan, understand

MANIFEST: dict[str, Any] = {
    "app": "webshop",
    "version": "2.4.1",
    "summary": "Order history",
    "changes": [
        {"id": "SHOP-101", "kind": "database", "summary": "A flag", "paths": ["scripts/001.sh"]},
        {"id": "SHOP-102", "kind": "code", "summary": "The page", "paths": ["files/app/"]},
    ],
    "deploy": [
        {"name": "Migrate the orders", "on": "db", "script": "scripts/001.sh"},
        {"name": "Install the files", "on": "web", "copy": {"from": "files/app/", "to": "/srv/webshop/"}},
    ],
    "rollback": [{"name": "Take the flag away", "on": "db", "run": "sqlite3 shop.db < undo.sql"}],
}
DOCUMENT = "# Migrate the orders\n\n# Install\nthe files\n\n# Take the flag away\n"
FILES = ("DEPLOY.md", "files/app/shop.py", "files/app/static/a.css", "handoff.yaml", "scripts/001.sh")
ROLES = {"staging": ("web", "db"), "prod": ("web", "db")}


def package(
    changed: dict[str, Any] | None = None, *, document: str = DOCUMENT, files: Iterable[str] = FILES
) -> Package:
    members = tuple(Member(path, 1, path.startswith("scripts/"), "0" * 64) for path in files)
    text = json.dumps(MANIFEST | (changed or {})).encode()
    return understand(Contents(members=members, manifest=text, document=document.encode()))


def found(package: Package, roles: Any = ROLES) -> list[tuple[str, str, str]]:
    return [(finding.level, finding.code, finding.place) for finding in lint(package, roles=roles)]


def test_a_complete_package_has_no_findings() -> None:
    assert found(package()) == []


def step(**keys: Any) -> dict[str, Any]:
    return {"deploy": [*MANIFEST["deploy"], {"name": "Install the files again", "on": "web"} | keys]}


MORE = DOCUMENT + "\nInstall the files again\n"


@pytest.mark.parametrize(
    ("changed", "findings"),
    [
        ({"changes": []}, {"no_changes", "uncovered_file"}),
        ({"deploy": []}, {"no_steps"}),
        ({"rollback": []}, {"database_without_rollback"}),
        ({"rollback": [], "changes": MANIFEST["changes"][1:]}, {"no_rollback", "uncovered_file"}),
        ({"changes": [*MANIFEST["changes"], MANIFEST["changes"][0]]}, {"duplicate_change"}),
        ({"deploy": [*MANIFEST["deploy"], MANIFEST["deploy"][0]]}, {"duplicate_step"}),
        ({"rollback": MANIFEST["rollback"] * 2}, {"duplicate_step"}),
        (step(run="a", on="cache"), {"unknown_role"}),
        (step(run="a", on="runner"), {"runner_not_allowed"}),
        (step(run="a", timeout="2h"), {"long_timeout"}),
        (step(run="a", timeout="1h"), set()),
        (step(script="scripts/002.sh"), {"unknown_script"}),
        (step(script="scripts"), {"unknown_script"}),
        (step(script="files/app/shop.py"), {"not_executable"}),
        (step(copy={"from": "files/web/", "to": "/srv/"}), {"unknown_file"}),
        (step(copy={"from": "files/app/shop.py/", "to": "/srv/"}), {"unknown_file"}),
        (step(copy={"from": "../secret", "to": "/srv/"}), {"unknown_file"}),
        (step(copy={"from": "/etc/passwd", "to": "/srv/"}), {"unknown_file"}),
        (step(copy={"from": "files/app/shop.py", "to": "/srv/"}), set()),
        (step(copy={"from": "files/app", "to": "/srv/"}), set()),
        (step(manual="Phone somebody."), set()),
    ],
)
def test_each_finding_of_the_manifest(changed: dict[str, Any], findings: set[str]) -> None:
    assert {code for _, code, _ in found(package(changed, document=MORE))} == findings


@pytest.mark.parametrize(
    ("paths", "findings"),
    [
        (["files/"], []),
        (["files/app/shop.py", "files/app/static"], []),
        (["files/app/shop.py"], [("error", "uncovered_file", "files/app/static/a.css")]),
        (["files/app/", "files/ap"], [("error", "unknown_path", "changes: SHOP-102")]),
        (["files/app/", "files/app/shop.py/"], [("error", "unknown_path", "changes: SHOP-102")]),
        (["files/app/", ""], [("error", "unknown_path", "changes: SHOP-102")]),
        (["files/app/", "."], [("error", "unknown_path", "changes: SHOP-102")]),
    ],
)
def test_every_file_belongs_to_a_change_and_every_path_to_a_file(paths: list[str], findings: list[Any]) -> None:
    changes = [MANIFEST["changes"][0], MANIFEST["changes"][1] | {"paths": paths}]
    assert found(package({"changes": changes})) == findings


def test_a_path_or_script_that_is_misspelt_gets_the_nearest() -> None:
    [finding] = lint(package(step(script="scripts/01.sh"), document=MORE))
    assert finding.hint == "Did you mean scripts/001.sh?"
    assert finding.place == "deploy: Install the files again"


@pytest.mark.parametrize("document", ["", "  \n"])
def test_a_package_needs_its_document(document: str) -> None:
    assert found(package(document=document)) == [("error", "no_document", "DEPLOY.md")]


def test_the_document_names_every_step_whatever_its_line_breaks() -> None:
    [finding] = lint(package(document="## migrate THE orders\n\ninstall the\n  files"))
    assert (finding.code, "Take the flag away" in finding.message) == ("step_not_documented", True)


def test_a_role_must_be_there_on_staging_and_on_prod() -> None:
    [finding] = lint(package(), roles={"staging": ("web", "db"), "prod": ("db",)})
    assert (finding.code, finding.message) == ("unknown_role", "prod has no role web.")


def test_without_a_configuration_no_role_is_judged() -> None:
    assert found(package(step(run="a", on="cache"), document=MORE), roles=None) == []


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (None, "no_manifest"),
        (b"app: \xff", "not_utf8"),
        (b"app: a", "invalid_manifest"),
        (b"[" * 1000, "invalid_manifest"),
        (json.dumps(MANIFEST | {"app": "../../etc"}).encode(), "invalid_manifest"),
        (json.dumps(MANIFEST | {"app": "web shop"}).encode(), "invalid_manifest"),
        (json.dumps(MANIFEST | {"version": "1.0\n"}).encode(), "invalid_manifest"),
        (json.dumps(MANIFEST | {"version": "x" * 65}).encode(), "invalid_manifest"),
        (json.dumps(MANIFEST | {"version": "$(reboot)"}).encode(), "invalid_manifest"),
        (json.dumps(MANIFEST | {"deploy": MANIFEST["deploy"] * 300}).encode(), "invalid_manifest"),
    ],
)
def test_a_manifest_that_cannot_be_understood(manifest: bytes | None, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        understand(Contents(members=(), manifest=manifest))
    assert caught.value.code == code


def test_a_manifest_one_folder_down_is_pointed_at() -> None:
    with pytest.raises(Refusal, match="no_manifest") as caught:
        understand(Contents(members=(Member("webshop/handoff.yaml", 1, False, ""),)))
    assert caught.value.hint == "It is at webshop/handoff.yaml: pack the contents of that folder."


@pytest.mark.parametrize("name", ["two\nlines", "x" * 151, "\u202egnirts"])
def test_a_step_is_named_in_one_short_line(name: str) -> None:
    assert "bad_step_name" in {code for _, code, _ in found(package(step(run="a", name=name), document=MORE + name))}


def test_a_thousand_mistakes_are_told_of_in_a_hundred_lines() -> None:
    findings = lint(package(files=[*FILES, *(f"files/{i}" for i in range(9000))]))
    assert len(findings) == MOST_FINDINGS + 1
    assert findings[-1].code == "more_findings"


def test_a_thousand_warnings_never_hide_an_error() -> None:
    slow = [{"name": f"Step {i}", "on": "web", "run": "a", "timeout": "9h"} for i in range(400)]
    named = DOCUMENT + "\n".join(str(each["name"]) for each in slow)
    levels = [level for level, _, _ in found(package({"deploy": slow, "rollback": []}, document=named))]
    assert levels == ["warning"] * MOST_FINDINGS + ["error"]


def codes(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.place) for finding in findings]


KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"x\n" + KEY + b"\ny", [("private_key", "f, line 2")]),
        (b"-----BEGIN RSA PRIVATE KEY-----", [("private_key", "f, line 1")]),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----", [("private_key", "f, line 1")]),
        (b"PuTTY-User-Key-File-3: ssh-rsa", [("private_key", "f, line 1")]),
        (b"-----BEGIN PUBLIC KEY-----", []),
        (b"a\nb@example.com\nc@example.com", [("forbidden_content", "f, line 2")]),
        (b"\0\xff\xfe" + KEY, [("private_key", "f, line 1")]),
        (b"Test Customer", [("forbidden_content", "f, line 1")]),
        (b"x Test Customer", []),
        (b"x\nTest Customer\n", [("forbidden_content", "f, line 2")]),
        (b"#!/bin/sh\r\necho\r\n", [("windows_line_ends", "f")]),
        (b"#!/bin/sh\necho\r\n", []),
        (b"echo\r\n", []),
        (b"", []),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_what_is_in_a_file_is_found_however_it_is_cut(data: bytes, expected: list[Any], size: int) -> None:
    forbidden = (re.compile("@example\\.com", re.MULTILINE), re.compile("^Test Customer$", re.MULTILINE))
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert codes(scan("f", chunks, forbidden)) == expected


def test_a_line_of_many_megabytes_is_searched_in_bounded_pieces() -> None:
    chunks = [b"x" * 1_000_000] * 4 + [b"x" + KEY[:10], KEY[10:] + b"x" * 1000]
    assert codes(scan("f", iter(chunks))) == [("private_key", "f, line 1")]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["./", "./handoff.yaml", "files/", "files/a"], []),
        (["files/a", "files/"], []),
        (["a b/ä—ö.txt", "日本"], []),
        (["/etc/passwd"], ["absolute_path"]),
        (["//etc/passwd"], ["absolute_path"]),
        (["C:/x"], ["absolute_path"]),
        (["./C:x"], ["absolute_path"]),
        ([".//etc/passwd"], []),
        (["../x"], ["parent_path"]),
        (["a/../x"], ["parent_path"]),
        (["./../x"], ["parent_path"]),
        ([".."], ["parent_path"]),
        (["a\\..\\x"], ["backslash"]),
        (["a//b"], ["bad_name"]),
        (["a/./b"], ["bad_name"]),
        ([""], ["bad_name"]),
        (["."], ["bad_name"]),
        (["a\nb"], ["bad_name"]),
        (["a\0b"], ["bad_name"]),
        (["a\x1b[2Jb"], ["bad_name"]),
        (["a\u202eb"], ["bad_name"]),
        (["a\udcff"], ["name_not_utf8"]),
        (["x" * 256], ["name_too_long"]),
        (["ä" * 128], ["name_too_long"]),
        (["/".join("a" * 33)], ["name_too_long"]),
        (["/".join(["x" * 100] * 11)], ["name_too_long"]),
        (["a", "a"], ["duplicate_name"]),
        (["a/", "a/"], ["duplicate_name"]),
        (["./a", "a"], ["duplicate_name"]),
        (["a", "A"], ["case_collision"]),
        (["files/a", "Files/b"], ["case_collision"]),
        (["ä", "a\u0308"], ["case_collision"]),
        (["straße", "STRASSE"], ["case_collision"]),
        (["a", "a/b"], ["file_and_folder"]),
        (["a/b", "a"], ["file_and_folder"]),
        (["a/", "a"], ["file_and_folder"]),
        (["a", "a/"], ["file_and_folder"]),
    ],
)
def test_names_that_two_tools_could_read_differently_are_refused(names: list[str], expected: list[str]) -> None:
    seen = Names()
    found = [seen.admit(name, folder=name.endswith("/")) for name in names]
    assert [finding.code for finding in found if finding] == expected
    assert all(finding.place.isprintable() for finding in found if finding)
