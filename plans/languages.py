"""Decides in which language a host is told what package steps, checks and probes want of it."""

from collections.abc import Iterable
from typing import Protocol

from plans.posix import Posix
from plans.windows import Windows


class Language(Protocol):
    """Commands for the shell of a host; whatever they are told reaches it as it is, never as a part of the command.

    A step's command starts in the unpacked package; a path that is not absolute is relative to the login directory,
    unless it is said to be the package's.
    """

    def starting(self, package: str, command: str) -> str:
        """The command, told in QUARTERDECK_PACKAGE as an absolute path where it starts; `package` is that directory."""
        ...

    def script(self, path: str, arguments: Iterable[str]) -> str:
        """Run a script of the package."""
        ...

    def copy(self, source: str, to: str) -> str:
        """Put a file of the package, or the contents of a folder, at `to`, and print where each came.

        Each is written beside, compared with what was sent, and renamed; nothing is deleted.
        """
        ...

    def unpack(self, archive: str, digest: str, package: str, executable: Iterable[str]) -> str:
        """Make the directory `package` of an archive, .zip or .tar.gz, anew; the files `executable` can be executed.

        Exit code 3 where the archive has another SHA-256 (hex), 4 where the host has nothing to unpack it with.
        """
        ...

    def ask(self, url: str, most: int) -> str:
        """GET: print the status on a line of its own, then the body, `most` bytes of it. No redirect is followed.

        Exit code 126 where no temporary file can be made, 127 where the host has nothing to ask with.
        """
        ...

    def probe(self, targets: Iterable[str]) -> str:
        """Try each host:port, all at once; a line for each, `TARGET ANSWER TOOL` (see `plans.probes.Answer`)."""
        ...


LANGUAGES: dict[str, Language] = {"sh": Posix(), "powershell": Windows()}
"""By what the configuration calls a host's shell."""
