"""Touches a Windows machine over SSH: each script is a PowerShell of its own. This was never run against one."""

import base64
from pathlib import Path

from vmops import powershell
from vmops.languages import Language
from vmops.ssh import SshTransport
from vmops.transport import Limit, Sink, Trouble

LINE = 48 * 1024
"""Bytes of a file that go over in one line of base64, in which PowerShell reads them."""


class WindowsTransport(SshTransport):
    """The verbs of `Transport`, on connections as any other machine's."""

    language: Language = powershell.POWERSHELL

    def exec(self, script: str, out: Sink, err: Sink, limit: Limit) -> int:
        command = powershell.command_line(powershell.RECEIVE)
        with self._line(limit) as line:
            return line.stream(command, limit, data=[base64.b64encode(script.encode()) + b"\n"], out=out, err=err)[0]

    def put(self, source: Path, target: str, limit: Limit) -> None:
        command = powershell.command_line(powershell.writing(target))
        with source.open("rb") as data, self._line(limit) as line:
            lines = (base64.b64encode(chunk) + b"\n" for chunk in iter(lambda: data.read(LINE), b""))
            code, said = line.stream(command, limit, data=lines)
        if code:
            raise Trouble(f"{self._name}: cannot write {target}: {said or f'exit code {code}'}")

    def get(self, source: str, sink: Sink, limit: Limit) -> None:
        command = powershell.command_line(powershell.reading(source))
        with self._line(limit) as line:
            code, said = line.stream(command, limit, out=sink)
        if code:
            raise Trouble(f"{self._name}: cannot read {source}: {said or f'exit code {code}'}")
