"""Each finding that a package's author can get, with its code and its place; and the names that members may have."""

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest

from plans.checks import Check, ManualCheck, RunCheck
from plans.content import packed, scan
from plans.errors import Refusal
from plans.findings import Finding
from plans.lint import MOST_FINDINGS, lint, version_taken
from plans.members import Names
from plans.package import Contents, Member, Package, understand
from plans.records import Release
from plans.testplan import TestPlan

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
        {"name": "Restart the shop", "on": "web", "run": "systemctl restart webshop"},
    ],
    "rollback": [
        {"name": "Take the flag away", "on": "db", "run": "sqlite3 shop.db < undo.sql"},
        {"name": "Put the old files back", "on": "web", "run": "cp -a /srv/before/. /srv/webshop/"},
    ],
}
DOCUMENT = """# Migrate the orders

# Install
the files

# Restart the shop
# Take the flag away
# Put the old files back
"""
FILES = ("DEPLOY.md", "files/app/shop.py", "files/app/static/a.css", "handoff.yaml", "scripts/001.sh")
ROLES = {"staging": ("web", "db"), "prod": ("web", "db")}


def package(
    changed: dict[str, Any] | None = None, *, document: str = DOCUMENT, files: Iterable[str] = FILES
) -> Package:
    members = tuple(Member(path, 1, path.startswith("scripts/"), "0" * 64) for path in files)
    text = json.dumps(MANIFEST | (changed or {})).encode()
    return understand(Contents(members=members, manifest=text, document=document.encode()))


def found(package: Package, roles: Any = ROLES, tests: TestPlan | None = None) -> list[tuple[str, str, str]]:
    findings = lint(package, roles=roles, tests=tests)
    assert all(finding.place and finding.message and finding.hint for finding in findings)
    return [(finding.level, finding.code, finding.place) for finding in findings]


def test_a_complete_package_has_no_findings() -> None:
    assert found(package()) == []


def step(**keys: Any) -> dict[str, Any]:
    """One more step before the last one."""
    more = {"name": "Install the files again", "on": "web"} | keys
    return {"deploy": [*MANIFEST["deploy"][:-1], more, MANIFEST["deploy"][-1]]}


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
        (step(run="a", on="cache"), {"unknown_role", "step_without_rollback"}),
        (step(run="a", on="runner"), {"runner_not_allowed", "step_without_rollback"}),
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
    text = "## migrate THE orders\n\ninstall the\n  files, restart the shop; **put the old files back**"
    [finding] = lint(package(document=text))
    assert (finding.code, "Take the flag away" in finding.message) == ("step_not_documented", True)


def test_a_name_in_the_middle_of_a_word_names_no_step() -> None:
    named = DOCUMENT.replace("Restart the shop", "Restart the shops")
    assert found(package(document=named)) == [("error", "step_not_documented", "DEPLOY.md")]


def test_a_document_that_was_not_saved_as_utf_8_is_told_of() -> None:
    assert found(package(document=DOCUMENT + "\ufffd")) == [("warning", "not_utf8", "DEPLOY.md")]


WEB, DB, MORE_WEB = MANIFEST["deploy"][1], MANIFEST["deploy"][0], {"name": "More", "on": "web"}


@pytest.mark.parametrize(
    ("deploy", "warned"),
    [
        ([DB, WEB], "deploy: Install the files"),
        ([WEB, DB], "deploy: Install the files"),
        ([MORE_WEB | {"run": "systemctl stop webshop"}, DB, WEB], "deploy: Install the files"),
        ([DB, WEB, MORE_WEB | {"copy": {"from": "files/app/shop.py", "to": "/srv/"}}], "deploy: More"),
        ([DB, WEB, MORE_WEB | {"run": "systemctl restart webshop"}], ""),
        ([DB, WEB, MORE_WEB | {"script": "scripts/001.sh"}], ""),
        ([DB, WEB, MORE_WEB | {"reboot": "true"}], ""),
        ([DB, WEB, {"name": "More", "manual": "Restart it."}], ""),
        ([DB, MORE_WEB | {"copy": {"from": "scripts/001.sh", "to": "/srv/"}}], ""),
    ],
)
def test_code_that_nothing_could_have_restarted(deploy: list[Any], warned: str) -> None:
    expected = [("warning", "nothing_restarted", warned)] if warned else []
    assert found(package({"deploy": deploy}, document=f"{DOCUMENT} More")) == expected


@pytest.mark.parametrize(
    ("rollback", "places"),
    [
        ([{"name": "Undo", "on": "db", "run": "a"}], ["deploy: Install the files"]),
        ([{"name": "Undo", "on": "web", "run": "a"}], ["deploy: Migrate the orders"]),
        (
            [{"name": "Undo", "on": "web", "reboot": "true"}],
            ["deploy: Migrate the orders", "deploy: Install the files"],
        ),
        ([{"name": "Undo", "manual": "Ask Ann."}], []),
    ],
)
def test_a_role_that_the_rollback_leaves_as_it_is(rollback: list[Any], places: list[str]) -> None:
    findings = found(package({"rollback": rollback}, document=f"{DOCUMENT} Undo"))
    assert sorted(place for _, _, place in findings) == sorted(places)
    assert {(level, code) for level, code, _ in findings} <= {("warning", "step_without_rollback")}


def test_a_change_that_no_check_names_is_told_of_where_the_checks_are_known() -> None:
    check: Check = RunCheck(name="Orders can be archived", on="db", run="true", covers=("SHOP-101", "E-1"))
    manual: Check = ManualCheck(name="Look", manual="Look.", covers=("SHOP-102",))
    assert found(package(), tests=TestPlan("webshop", critical=(check,), deep=(manual,))) == []
    assert found(package(), tests=TestPlan("webshop", critical=(check,))) == [
        ("warning", "untested_change", "changes: SHOP-102")
    ]
    assert found(package(), tests=None) == []


@pytest.mark.parametrize(
    ("file", "findings"),
    [
        ("sql/undo.sql", [("warning", "stray_file", "sql/undo.sql")]),
        (".env", [("warning", "stray_file", ".env")]),
        ("README.md", []),
        ("LICENSE.txt", []),
    ],
)
def test_a_file_that_nothing_names(file: str, findings: list[Any]) -> None:
    assert found(package(files=[*FILES, file])) == findings


def test_a_file_that_a_step_uses_belongs_to_a_change_wherever_it_is() -> None:
    files = [*FILES, "conf/shop.ini", "run.sh"]
    for more in ({"copy": {"from": "conf", "to": "/etc/"}}, {"copy": {"from": "conf/shop.ini", "to": "/etc/"}}):
        findings = found(package(step(**more), document=MORE, files=files))
        assert ("error", "uncovered_file", "conf/shop.ini") in findings
        assert ("warning", "stray_file", "run.sh") in findings
    assert ("error", "uncovered_file", "run.sh") in found(package(step(script="run.sh"), document=MORE, files=files))


def test_a_version_that_is_taken_is_told_of_with_the_release_that_has_it() -> None:
    about: dict[str, Any] = {"digest": "", "bytes": 1, "source": "", "by": "U01DEV", "at": ""}
    releases = [
        Release(id="R-1", app="webshop", version="2.4.1", **about),
        Release(id="R-2", app="webshop", version="2.4.0", **about),
        Release(id="R-3", app="crm", version="2.4.1", **about),
    ]
    [finding] = version_taken(package().manifest, releases)
    assert (finding.level, finding.code, finding.place) == ("warning", "version_taken", "version: 2.4.1")
    assert "R-1 is webshop 2.4.1 too, with other bytes." in finding.message


def test_a_role_must_be_there_on_staging_and_on_prod() -> None:
    findings = lint(package(), roles={"staging": ("web", "db"), "prod": ("db",)})
    assert {(finding.code, finding.message) for finding in findings} == {("unknown_role", "prod has no role web.")}
    assert len(findings) == 3


def test_without_a_configuration_no_role_is_judged() -> None:
    findings = found(package(step(run="a", on="cache"), document=MORE), roles=None)
    assert {level for level, _, _ in findings} == {"warning"}


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (None, "no_manifest"),
        (b"app: \xff", "not_utf8"),
        (b"app: a", "invalid_manifest"),
        (b"[" * 1000, "invalid_manifest"),
        (json.dumps(MANIFEST | {"app": "../../etc"}).encode(), "invalid_manifest"),
        (json.dumps(MANIFEST | {"summary": " "}).encode(), "invalid_manifest"),
        (json.dumps(MANIFEST | {"changes": [MANIFEST["changes"][0] | {"id": ""}]}).encode(), "invalid_manifest"),
        (json.dumps(MANIFEST | {"changes": [MANIFEST["changes"][0] | {"summary": ""}]}).encode(), "invalid_manifest"),
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
        (b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----", [("private_key", "f, line 1")]),
        ("x\nTest Customer\n".encode("utf-16"), [("forbidden_content", "f, line 2")]),
        (b"\xfe\xff" + KEY.decode().encode("utf-16-be"), [("private_key", "f, line 1")]),
        (b"#!/bin/sh\r\necho\r\n", [("windows_line_ends", "f, line 1")]),
        (b"#!/bin/sh\necho\r\n", [("windows_line_ends", "f, line 2")]),
        (b"#! /usr/bin/env -S bash -e\n\necho\r\n", [("windows_line_ends", "f, line 3")]),
        (b"#!/usr/bin/python3\r\nprint()\r\n", [("windows_line_ends", "f, line 1")]),
        (b"#!/usr/bin/python3\nprint()\r\n", []),
        (b"#!/usr/bin/pwsh\nx\r\n", []),
        (b"echo\r\n", []),
        (b"", []),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_what_is_in_a_file_is_found_however_it_is_cut(data: bytes, expected: list[Any], size: int) -> None:
    forbidden = (re.compile("@example\\.com", re.MULTILINE), re.compile("^Test Customer$", re.MULTILINE))
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert codes(scan("f", chunks, forbidden)) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("a.sh", 1), ("a.bash", 1), ("a.txt", 0), ("a.ps1", 0), ("a.sh.txt", 0)]
)
def test_a_script_is_known_by_its_name_too(name: str, expected: int) -> None:
    assert codes(scan(name, [b"echo\r\n"])) == [("windows_line_ends", f"{name}, line 1")] * expected


@pytest.mark.parametrize(
    ("head", "is_packed"),
    [
        (b"PK\x03\x04rest", True),
        (b"\x1f\x8b\x08", True),
        (b"7z\xbc\xaf\x27\x1c", True),
        (b"\0" * 257 + b"ustar\0", True),
        (b"\x7fELF", False),
        (b"PK", False),
        (b"", False),
    ],
)
def test_what_is_packed_is_known_by_how_it_begins(head: bytes, is_packed: bool) -> None:
    assert packed(head) is is_packed


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
