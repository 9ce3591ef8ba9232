"""What Windows machines are told, as text: no PowerShell is at hand to run it."""

import base64
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from far_ends import NAMESPACE
from hypothesis import given
from hypothesis import strategies as st

from plans.actions import At
from plans.environment import Environment, Guest, Host, Ssh, VCenter
from plans.windows import quote
from vmops import powershell
from vmops.boots import restarting
from vmops.guest import GuestTransport, Windows
from vmops.hosts import Hosts
from vmops.powershell import POWERSHELL, arguments
from vmops.scripts import Spec
from vmops.transport import Limit
from vmops.windows import WindowsTransport

HOSTILE = [
    "it's",
    "'; Remove-Item C:\\ -Recurse; '",
    "\u2019; Remove-Item C:\\ -Recurse; \u2018",
    '$(Get-Date) `n $HOME "quoted"',
    "two\nlines",
    "%PATH% & calc",
    "",
]
SINGLE = "'\u2018\u2019\u201a\u201b"


def literal(text: str) -> tuple[str, str]:
    """What PowerShell reads from the single-quoted string at the beginning, and the rest: its tokenizer's own rule."""
    assert text[0] in SINGLE
    read, at = "", 1
    while True:
        if text[at] in SINGLE:
            if text[at + 1 : at + 2] not in (*SINGLE,):
                return read, text[at + 1 :]
            at += 1  # of two quotes the first one counts
            read += text[at - 1]
        else:
            read += text[at]
        at += 1


def assigned(script: str, name: str) -> str:
    """The literal that the script gives a variable."""
    return literal(script[script.index(f"\n${name} = '") + len(f"\n${name} = ") :])[0]


def unpacked(line: str) -> str:
    """What an -EncodedCommand stands for."""
    return base64.b64decode(line.rpartition(" ")[2]).decode("utf-16-le")


@given(st.text())
@pytest.mark.parametrize("also", HOSTILE)
def test_a_quoted_text_is_read_as_it_is_and_ends_where_it_ends(also: str, text: str) -> None:
    for value in (also, text, also + text):
        assert literal(quote(value) + "; rest") == (value, "; rest")


def test_a_command_its_directory_and_its_variables_are_text_until_they_run() -> None:
    env = {f"V{n}": value for n, value in enumerate(HOSTILE)}
    command = "Write-Output 'it''s'\nexit 3"
    script = POWERSHELL.follow(Spec("C:\\work", "ns", "7-2-1", command, "a 'b'", env), "token", 3, 4)
    ran = assigned(script, "run")
    assert f"\n{command}\n" in ran
    for name, value in env.items():
        at = ran.index(f"$env:{name} = ") + len(f"$env:{name} = ")
        assert literal(ran[at:])[0] == value
    at = ran.index("Set-Location -LiteralPath ([IO.Path]::Combine($HOME, ") + len(
        "Set-Location -LiteralPath ([IO.Path]::Combine($HOME, "
    )
    assert literal(ran[at:])[0] == "a 'b'"
    assert "\n$outAt = [long]3\n$errAt = [long]4\n" in script
    assert "\n$d = [IO.Path]::Combine((Resolve-Full 'C:\\work'), 'jobs', '7', '7-2-1')\n" in script


def test_without_a_directory_a_command_starts_in_the_login_directory() -> None:
    script = POWERSHELL.follow(Spec("work", "ns", "7-2-1", "pwd"), "token", 0, 0)
    assert "try { Set-Location -LiteralPath $HOME " in assigned(script, "run")


def test_the_exit_code_is_that_of_what_was_done_last() -> None:
    ran = assigned(POWERSHELL.follow(Spec("work", "ns", "7-2-1", "git fetch"), "token", 0, 0), "run")
    assert ran.endswith(
        "\ngit fetch\nif ($?) { exit 0 } elseif ($LASTEXITCODE) { exit $LASTEXITCODE } else { exit 1 }\n"
    )


def test_a_job_starts_once_outside_of_the_session_and_leaves_its_end_in_files() -> None:
    script = POWERSHELL.follow(Spec("work", "ns", "7-2-1", "pwd"), "token", 0, 0)
    started = script.index("Invoke-CimMethod -ClassName Win32_Process -MethodName Create")
    assert script.index('if (-not (Test-Path -LiteralPath "$d\\pid"))') < started
    supervisor = assigned(script, "supervisor")
    assert supervisor.startswith("C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe -NoLogo -NoProfile ")
    assert len(supervisor) < 8191  # what cmd.exe would take, and Windows itself more
    supervise = unpacked(supervisor)
    claim, run, end = (
        supervise.index(words) for words in ("'CreateNew'", "-File run.ps1 >>out 2>>err <nul", "[IO.File]::Move(")
    )
    assert claim < run < end


def test_both_outputs_are_followed_from_their_offsets_in_pieces_between_tokens() -> None:
    script = POWERSHELL.follow(Spec("work", "ns", "7-2-1", "pwd"), "a'token", 5, 6)
    words = (
        "Write-Bytes $out $token\nWrite-Bytes $err $token\n",
        "Copy-Piece out $outAt $out\nCopy-Piece err $errAt $err\n",
        "$end = 'on' }\n",
        'Write-Bytes $err "$token$end`n"\n',
    )
    places = [script.rindex(each) for each in words]
    assert places == sorted(places)
    assert assigned(script, "token") == "a'token"
    for how in ("unstarted", "gone", "rebooted", "on"):
        assert f"'{how}'" in script
    assert '"$end stopped"' in script


def test_a_stop_claims_what_never_began_and_ends_the_tree_of_what_did() -> None:
    script = POWERSHELL.stop(Spec("work", "ns", "7-2-1", "pwd"), "token")
    places = [
        script.index(words)
        for words in ("'CreateNew'", "Close-Answer 'ended'", "$same.StartTime.Ticks -eq", "Stop-Process -Id $_ -Force")
    ]
    assert places == sorted(places)
    assert "Close-Answer \"left $($found -join ' ')\"" in script


@pytest.mark.parametrize("name", HOSTILE[:-1])
def test_a_file_is_checked_and_renamed_under_any_name(name: str) -> None:
    digest = "ab" * 32
    place, take = POWERSHELL.place(name, digest), POWERSHELL.take(f"{name}.new", name, digest)
    assert assigned(f"\n{place}".replace("Resolve-Full ", ""), "to") == name
    assert assigned(f"\n{take}".replace("Resolve-Full ", ""), "to") == name
    assert assigned(f"\n{take}".replace("Resolve-Full ", ""), "beside") == f"{name}.new"
    for script in (place, take):
        assert "(Get-FileHash -Algorithm SHA256 -LiteralPath $" in script
        assert f"-eq '{digest}'" in script
    assert "Move-Item -LiteralPath $beside -Destination $to -Force" in take
    assert "Remove-Item -LiteralPath $beside -Force; $is" in take
    assert quote(name) in POWERSHELL.digest(name)


@pytest.mark.parametrize(
    "script",
    [
        POWERSHELL.follow(Spec("work", "ns", "7-2-1", "pwd"), "token", 0, 0),
        POWERSHELL.stop(Spec("work", "ns", "7-2-1", "pwd"), "token"),
        POWERSHELL.asking("boot_id", "token"),
    ],
)
def test_a_script_is_one_block_which_half_of_it_is_not(script: str) -> None:
    assert script.startswith("& {\n")
    assert script.endswith("\n}\n")
    assert "\0" not in script


def test_a_question_tells_its_exit_code_between_tokens() -> None:
    script = POWERSHELL.asking("boot_id", "token")
    assert re.search(r"\n\$code = 0\ntry \{\n.*\nboot_id\n.*\} catch \{\n.*\$code = 1\n\}\n", script, re.DOTALL)
    assert script.endswith('Write-Bytes $err "$token$code`n"\n}\n')


def hosts(**way: Any) -> Hosts:
    host = Host(vcenter="main", vm="win", shell="powershell", workdir="C:\\quarterdeck", **way)
    center = VCenter(host="127.0.0.1", port=9, username="u", password="p")
    return Hosts({"main": center}, {"qa": Environment(hosts={"web": host})}, NAMESPACE)


def test_a_host_that_says_so_is_told_in_powershell_over_either_way_in() -> None:
    ssh = Ssh(host="127.0.0.1", port=9, user="u", key_file="k", known_hosts="h")
    at = At("qa", "web")
    over_ssh, by_tools = hosts(ssh=ssh).transport(at), hosts(guest=Guest(username="u", password="p")).transport(at)
    assert isinstance(over_ssh, WindowsTransport)
    assert isinstance(by_tools, GuestTransport)
    for transport in (over_ssh, by_tools):
        assert transport.language is POWERSHELL
        assert "Restart-Computer -Force" in restarting(transport, "base", NAMESPACE, "7-2-1").command
        transport.close()


def test_over_ssh_a_script_and_a_file_go_in_as_base64_and_a_file_comes_out_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bytes]] = []

    class Line:
        def stream(self, command: str, limit: Limit, *, data: Any = (), out: Any = None, err: Any = None) -> Any:
            told.append((unpacked(command), b"".join(base64.b64decode(line) for line in b"".join(data).splitlines())))
            return 0, ""

        alive = True

    monkeypatch.setattr("vmops.ssh.Connection", lambda ssh: None)
    monkeypatch.setattr("vmops.ssh._Line", lambda connection, name: Line())
    transport = hosts(ssh=Ssh(host="h", user="u", key_file="k", known_hosts="h")).transport(At("qa", "web"))
    content = bytes(range(256)) * 1000
    (tmp_path / "file").write_bytes(content)
    transport.exec("'gr\u00fc\u00dfe'", print, print, Limit.of(9))
    transport.put(tmp_path / "file", "it's", Limit.of(9))
    transport.get("it's", print, Limit.of(9))
    (ran, script), (wrote, data), (read, nothing) = told
    assert (ran, script.decode()) == (powershell.RECEIVE, "'gr\u00fc\u00dfe'")
    assert "[IO.File]::Create((Resolve-Full 'it''s'))" in wrote
    assert data == content
    assert "[IO.File]::OpenRead((Resolve-Full 'it''s'))" in read
    assert nothing == b""


def test_in_a_guest_a_script_is_a_file_with_a_mark_and_its_answer_is_composed_there() -> None:
    system = Windows()
    assert system.bytes("'\u00fc'") == b"\xef\xbb\xbf'\xc3\xbc'"
    assert [system.whole(path) for path in ("C:\\a", "c:/a", "\\\\share\\x\\a", "a\\b", "./a")] == [True] * 3 + [
        False
    ] * 2
    line = system.arguments("C:\\Temp\\it's", "ab12", ["cd34"])
    assert shlex.split(line)[:-1] == [
        "-NoLogo",
        "-NoProfile",
        "-NonInteractive",
        "-ExecutionPolicy",
        "Bypass",
        "-EncodedCommand",
    ]
    assert len(line) < 60_000
    script = unpacked(line)
    assert "Set-Location -LiteralPath 'C:\\Temp\\it''s'" in script
    assert "-File ab12.ps1 >ab12.out 2>ab12.err <nul" in script
    assert "Remove-Item -Path 'cd34.*', 'ab12.*' -Exclude 'ab12.answer'" in script
    assert line == arguments(script)
