"""Decides what a step is told of where it runs, and what all steps share."""

from collections.abc import Generator
from typing import Literal

import msgspec

from plans.actions import Action, At, Outcome, Shell
from plans.languages import LANGUAGES, Language
from plans.quantities import Duration, seconds

Actions = Generator[Action, Outcome, Outcome]
"""A step at work: it yields what it wants done, is sent how that ended, and returns how the step ended."""

OK = Outcome("ok")


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where one step runs, once: the run, the environment and the host (None where the step has none).

    `base` is the directory on the host that is this ledger's own, `ledger` the ledger's short name; `log` is the
    step's log, relative to the data directory; `digest` and `suffix` (.zip or .tar.gz) name the
    release's archive; `in_package` says that written steps start in the unpacked package, not in the login directory;
    `group_ok` says whether all earlier steps of the same group were ok, `late` how many seconds after its time the
    group began; `shell_of_host` is sh or powershell.
    """

    run: int
    environment: str
    host: str | None
    base: str
    ledger: str
    log: str
    release: str = ""
    version: str = ""
    digest: str = ""
    suffix: str = ""
    production: bool = False
    in_package: bool = False
    group_ok: bool = True
    late: float = 0.0
    shell_of_host: str = "sh"

    @property
    def at(self) -> At:
        return At(self.environment, self.host or "runner")

    @property
    def package(self) -> str:
        """The directory on the host into which this run unpacks the archive; one machine may be two hosts."""
        return f"{self.base}/{self.run}-package-{(self.host or 'all').replace('/', '.')}"

    @property
    def language(self) -> Language:
        """That of the host's shell."""
        return LANGUAGES[self.shell_of_host]

    def variables(self) -> dict[str, str]:
        """The environment of a written step (CONTRACT.md, 3)."""
        own = {
            "QUARTERDECK_RELEASE": self.release,
            "QUARTERDECK_VERSION": self.version,
            "QUARTERDECK_RUN": str(self.run),
            "QUARTERDECK_ENVIRONMENT": self.environment,
        }
        return own | ({"QUARTERDECK_PACKAGE": self.package} if self.in_package else {})

    def shell(self, command: str, timeout: Duration) -> Shell:
        """A written command at this site, `timeout` as people write it."""
        return Shell(
            at=self.at,
            command=self.language.starting(self.package, command) if self.in_package else command,
            cwd=self.package if self.in_package else None,
            env=self.variables(),
            timeout=seconds(timeout),
            ask_when_overdue=self.production and self.in_package,
        )


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """A step that nobody wrote."""


class Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every step that somebody wrote has: in a package, or in the admins' configuration.

    The tag is the key that tells the kind in the file (`run:`, `copy:` …).
    """

    name: str
    on: str = ""
    once: bool = False
    serial: int = 0
    timeout: Duration = "10m"
    rerun: Literal["safe", "never"] = "never"

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a step needs a name")
        if self.serial < 0:
            raise ValueError("serial is a number of hosts, 1 or more")


class OnHosts(Written, frozen=True):
    """A step that machines do: it says on which."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.on:
            raise ValueError("`on:` is missing: the role of the hosts to run this on")
