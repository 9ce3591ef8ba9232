"""What Windows hosts are told by package steps, checks and probes, as text: no PowerShell is at hand to run it."""

import re
from typing import Any

import pytest
from builders import DIGEST, drive, site
from hypothesis import given
from hypothesis import strategies as st

from plans.actions import Action, Outcome, Shell, Upload
from plans.checks import SHOWN, Expect, Http, HttpCheck, RunCheck
from plans.machinery import Unpack
from plans.site import OK
from plans.steps import Copy, FromTo, Run, Script
from plans.windows import quote

HOSTILE = [
    "it's",
    "'; calc; '",
    "\u2019; calc; \u2018",
    '$(calc) `n $HOME "q"',
    "two\nlines",
    "%PATH% & calc",
    "-Force",
]
SINGLE = "'\u2018\u2019\u201a\u201b"
THERE = site(shell_of_host="powershell", in_package=True)


def literal(text: str) -> tuple[str, str]:
    """What PowerShell reads from the single-quoted string at the beginning, and the rest: its tokenizer's own rule."""
    assert text[0] in SINGLE
    read, at = "", 1
    while text[at] not in SINGLE or text[at + 1 : at + 2] in (*SINGLE,):
        at += text[at] in SINGLE  # of two quotes one counts
        read, at = read + text[at], at + 1
    return read, text[at + 1 :]


def assigned(script: str, name: str) -> str:
    """The literal that the script gives a variable."""
    return literal(script.partition(f"\n${name} = ")[2])[0]


def command(step: Any) -> str:
    """The one that the step has its host run."""
    asked, _ = drive(step, THERE)
    (shell,) = [action for action in asked if isinstance(action, Shell)]
    return shell.command


def answered(step: Any, outcome: Outcome) -> Outcome:
    """How the step ends where its command ends so."""

    def answer(action: Action) -> Outcome:
        return outcome if isinstance(action, Shell) else OK

    return drive(step, THERE, answer, answer)[1]


@given(st.text(st.characters(exclude_characters="\0")))
def test_a_quoted_text_is_read_as_it_is_and_ends_where_it_ends(text: str) -> None:
    assert literal(f"{quote(text)} rest") == (text, " rest")


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_step_is_told_is_a_literal(text: str) -> None:
    copied = command(Copy(name="x", on="web", copy=FromTo(from_=f"files/{text}", to=text)))
    assert (assigned(copied, "from"), assigned(copied, "to")) == (f"files/{text}", text)
    url = f"http://127.0.0.1/?{text}"
    assert assigned(command(HttpCheck(name="x", on="web", http=Http(url=url))), "url") == url
    ran = command(Script(name="x", on="web", script=f"{text}.ps1", args=(text, "", "last")))
    rest = ran.partition("\n& ")[2]
    for word in (f"./{text}.ps1", text, "", "last"):
        read, rest = literal(rest.strip())
        assert read == word
    assert rest == ""


def test_a_step_is_told_where_the_package_is_by_its_absolute_path() -> None:
    first, rest = command(Run(name="x", on="web", run="./shopctl stop")).split("\n", 1)
    assert (first, rest) == ("$env:QUARTERDECK_PACKAGE = (Get-Location).ProviderPath", "./shopctl stop")


def test_a_script_of_another_kind_is_refused_in_its_own_step() -> None:
    refused = command(Script(name="x", on="web", script="scripts/it's.sh"))
    said, rest = literal(refused.partition("WriteLine(")[2])
    assert said.startswith("scripts/it's.sh: on a host with shell: powershell a script is a .ps1")
    assert rest == ")\nexit 1"


class TestUnpack:
    STEP = Unpack(executable=("scripts/001.ps1",))

    def test_the_digest_is_checked_before_anything_is_touched_and_the_name_comes_last(self) -> None:
        script = command(self.STEP)
        archive = f"{THERE.base}/{DIGEST}.tar.gz"
        assert (assigned(script, "archive"), assigned(script, "digest")) == (archive, DIGEST)
        assert assigned(script, "package") == THERE.package
        words = (
            "Get-FileHash -Algorithm SHA256 -LiteralPath $archive",
            "exit 3",
            "Remove-Item -LiteralPath $old -Recurse -Force",
            "Expand-Archive -LiteralPath $archive -DestinationPath",
            "& $tar -xzf $archive -C",
            '[IO.Directory]::Move("$package.new", $package)',
        )
        places = [script.index(each) for each in words]
        assert places == sorted(places)

    def test_it_is_sent_first(self) -> None:
        asked, _ = drive(self.STEP, THERE)
        assert asked[0] == Upload(THERE.at, DIGEST, f"{THERE.base}/{DIGEST}.tar.gz")

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (3, "the archive on the host is not what was handed off"),
            (4, "nothing here can unpack a tar.gz"),
            (1, "the package could not be unpacked: exit code 1"),
        ],
    )
    def test_what_does_not_unpack_is_the_hosts_fault(self, code: int, reason: str) -> None:
        ended = answered(self.STEP, Outcome("failed", exit=code, reason=f"exit code {code}"))
        assert (ended.result, ended.reason) == ("errored", reason)


def test_a_copy_is_written_beside_compared_and_renamed() -> None:
    script = command(Copy(name="x", on="web", copy=FromTo(from_="files/app/", to="C:/inetpub/shop")))
    words = (
        '$new = "$target.quarterdeck-new"',
        "[IO.File]::Copy($file, $new)",
        "(Get-Digest $file) -ne (Get-Digest $new)",
        "[IO.File]::Replace($new, $target, [NullString]::Value)",
        "[IO.File]::Move($new, $target)",
    )
    places = [script.index(each) for each in words]
    assert places == sorted(places)


class TestHttp:
    CHECK = HttpCheck(name="x", on="web", http=Http(url="http://127.0.0.1/", contains="ready"))

    def test_no_redirect_is_followed_and_no_more_is_read_than_is_looked_at(self) -> None:
        script = command(self.CHECK)
        assert "$request.AllowAutoRedirect = $false" in script
        assert assigned(script, "most") == str(SHOWN)

    def test_the_status_comes_before_the_body_as_from_any_host(self) -> None:
        assert answered(self.CHECK, Outcome("ok", exit=0, output="200\nready\r\n")).ok
        assert answered(self.CHECK, Outcome("failed", exit=1)).reason == "no answer from http://127.0.0.1/"


def test_a_line_of_windows_ends_where_a_pattern_says_that_it_ends() -> None:
    check = RunCheck(name="x", on="web", run="count", expect=Expect(stdout="^[0-9]+$"))
    assert answered(check, Outcome("ok", exit=0, output="12\r\n")).ok
    assert answered(check, Outcome("ok", exit=0, output="12 orders\r\n")).result == "failed"


def test_every_script_says_on_one_line_what_went_wrong() -> None:
    steps = (TestUnpack.STEP, Copy(name="x", on="web", copy=FromTo(from_="a", to="b")), TestHttp.CHECK)
    for script in map(command, steps):
        assert "$ErrorActionPreference = 'Stop'\n" in script
        assert re.search(r'^trap \{ \[Console\]::Error\.WriteLine\("\$_"\); exit 1 \}$', script, re.MULTILINE)
        assert script.endswith("\nexit 0\n")
