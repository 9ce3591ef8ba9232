"""What the doctor asks of a Windows host, as text, and what it makes of the answer."""

import re
from typing import cast

import pytest

from bot.examinations.tools import tools
from bot.examinations.visit import WINDOWS_TOOLS, Seen, visit
from vmops.powershell import POWERSHELL
from vmops.transport import Limit, Sink, Transport

DEADLINE = 60.0
TOLD = ("clock 1", "boot 638", "tool tar.exe", "absent yes", "at C:\\work", "runs yes", "free 5000000000")


class Answers:
    """A way into a Windows machine that answers every script with these lines."""

    language = POWERSHELL

    def __init__(self, *lines: str) -> None:
        self.lines, self.scripts = lines, list[str]()

    def exec(self, script: str, out: Sink, err: Sink, limit: Limit) -> int:
        found = re.search(r"\n\$token = '(.*)'\n", script)
        assert found
        self.scripts.append(script)
        out("\r\n".join((f"{found[1]}{self.lines[0]}", *self.lines[1:], "")).encode())
        err(f"{found[1]}{found[1]}0\n".encode())
        return 0


def visited(*lines: str) -> tuple[Seen, str]:
    """What is seen where these lines come, and the script that asked for them."""
    way = Answers(*lines)
    return visit(cast(Transport, way), "powershell", "C:\\it's here", Limit.of(DEADLINE)), way.scripts[-1]


def test_a_windows_host_is_visited_in_its_own_words() -> None:
    seen, script = visited(*TOLD)
    assert "\n$workdir = 'C:\\it''s here'\n" in script
    assert "foreach ($tool in 'Get-FileHash', 'Expand-Archive', 'tar.exe') {" in script
    assert (
        script.index("[IO.File]::WriteAllText($probe") < script.index("-File $probe") < script.index("Delete($probe)")
    )
    assert (seen.boot, seen.tools, seen.at, seen.absent) == ("638", {"tar.exe"}, "C:\\work", True)
    assert (seen.unwritable, seen.runs, seen.free) == ("", True, 5_000_000_000)
    assert seen.ahead < -(10**9)


def test_a_folder_where_nothing_can_be_written_is_told_with_the_reason() -> None:
    seen, _ = visited("clock 1", "at C:\\work", "unwritable Access to the path is denied.")
    assert (seen.unwritable, seen.runs, seen.free) == ("Access to the path is denied.", False, None)


@pytest.mark.parametrize(
    ("lacking", "word", "said"),
    [
        ((), "ok", "has Expand-Archive, Get-FileHash, tar.exe"),
        (
            ("tar.exe",),
            "warning",
            "no tar.exe, which Windows has since 10 and Server 2019, so a tar.gz cannot be unpacked",
        ),
        (("Get-FileHash",), "NOT OK", "no Get-FileHash: an archive's digest cannot be checked"),
        (("Expand-Archive",), "NOT OK", "no Expand-Archive: no zip can be unpacked"),
    ],
)
def test_what_a_windows_host_lacks_is_named_with_what_it_is_for(lacking: tuple[str, ...], word: str, said: str) -> None:
    seen, _ = visited("at C:\\work", *(f"tool {tool}" for tool in WINDOWS_TOOLS if tool not in lacking))
    (found,) = tools("prod web", seen, unpacks=True, asked=True)
    assert (found.word, found.detail) == (word, said)
