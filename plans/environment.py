"""Decides what an environment is: its hosts and their way in, isolation, restore and backup, apps, facts and policy."""

from typing import Literal

import msgspec

from plans.calendars import Freeze, OfficeHours, time_of_day, weekly_time
from plans.checks import Check, ManualCheck
from plans.facts import Fact
from plans.hooks import Hook, Maintenance
from plans.inspections import Inspecting
from plans.isolation import Isolation
from plans.neighbours import Emulator
from plans.quantities import Duration
from plans.restoring import RestoreStep
from plans.steps import Run


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parts of the admins' configuration share: an unknown key is refused."""


class VCenter(Config, frozen=True, kw_only=True):
    """A vCenter, verified by a CA file or the system's own; `verify: false` takes any certificate, said loudly."""

    host: str
    username: str
    password: str
    port: int = 443
    ca_file: str = ""
    verify: bool = True


class Gateway(Config, frozen=True, kw_only=True):
    host: str
    user: str
    key_file: str
    known_hosts: str
    port: int = 22


class Ssh(Config, frozen=True, kw_only=True):
    """A way in over SSH, by key; the host's key must be in `known_hosts`."""

    host: str
    user: str
    key_file: str
    known_hosts: str
    port: int = 22
    gateway: Gateway | None = None


class Guest(Config, frozen=True, kw_only=True):
    """A way in through VMware Tools, which needs no network at all."""

    username: str
    password: str


class Host(Config, frozen=True, kw_only=True):
    """One machine: its VM (name, inventory path or instance UUID) where it has one, and exactly one way in."""

    vcenter: str = ""
    vm: str = ""
    ssh: Ssh | None = None
    guest: Guest | None = None
    workdir: str = "/var/tmp/quarterdeck"  # noqa: S108 - a directory on the target, where the admins can name another
    env: dict[str, str] = {}
    shell: Literal["sh", "powershell"] = "sh"
    protect: Literal["snapshot", "backup", "attested", ""] = ""

    def __post_init__(self) -> None:
        if (self.ssh is None) == (self.guest is None):
            raise ValueError("exactly one way in is wanted: ssh or guest")
        if self.guest and not self.vm:
            raise ValueError("guest goes through VMware Tools: it needs the host's vm")
        if bool(self.vm) != bool(self.vcenter):
            raise ValueError("vcenter and vm go together")
        if self.protect == "snapshot" and not self.vm:
            raise ValueError("protect: snapshot needs the host's vm")

    @property
    def lets_in(self) -> bool:
        """Whether somebody can come in by a public key of their own."""
        return self.ssh is not None and self.shell == "sh"

    @property
    def protection(self) -> str:
        """How a promotion secures this host, where nothing is said: by a snapshot where there is a VM."""
        return self.protect or ("snapshot" if self.vm else "attested")


class Neighbour(Host, frozen=True, kw_only=True):
    """A VM beside staging's hosts on the isolated network: a domain controller, DNS, NTP, a mail sink. A way in is
    optional; `health` is asked on the machine itself.
    """

    name: str
    health: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        if not self.vm or not self.vcenter:
            raise ValueError("infrastructure is a VM: vcenter and vm are wanted")
        if self.ssh and self.guest:
            raise ValueError("one way in is enough: ssh or guest")
        if self.protect:
            raise ValueError("protect is for hosts of prod")
        if self.health and not (self.ssh or self.guest):
            raise ValueError("health is asked on the machine itself: it needs a way in, ssh or guest")
        if any(isinstance(check, ManualCheck) or check.on != self.name for check in self.health):
            raise ValueError(f"health is asked by itself on the machine: on: {self.name}")


class Environment(Config, frozen=True, kw_only=True):
    """`hosts`: role to a host or a list of hosts, in the order in which `serial` goes through them.

    `drain` takes a host out of use before a package changes it, `undrain` puts it back; `maintenance` stands around all
    of it and the tests. `infrastructure` and `emulators` stand for what cannot come along to staging.
    """

    hosts: dict[str, Host | tuple[Host, ...]]
    isolation: Isolation | None = None
    inspection: Inspecting | None = None
    restore: tuple[RestoreStep, ...] = ()
    restore_max_age: Duration = "24h"
    backup: tuple[Run, ...] = ()
    drain: tuple[Hook, ...] = ()
    undrain: tuple[Hook, ...] = ()
    maintenance: Maintenance | None = None
    infrastructure: tuple[Neighbour, ...] = ()
    emulators: tuple[Emulator, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.drain) != bool(self.undrain):
            raise ValueError("drain and undrain go together: who takes a host out of use says how it comes back")

    def named(self) -> dict[str, Host]:
        """Every host by its name: `web`, `web/2`, `web/3`, `db`."""
        return {name: host for role in self.hosts for name, host in self._of(role)}

    def machines(self) -> dict[str, Host]:
        """Every host by its name, and the infrastructure beside them."""
        return {**self.named(), **{one.name: one for one in self.infrastructure}}

    def role(self, role: str) -> tuple[str, ...]:
        """The names of a role's hosts; `runner` is the machine that the bot runs on."""
        return ("runner",) if role == "runner" else tuple(name for name, _ in self._of(role))

    def shell(self, host: str) -> str:
        """sh or powershell, of one of its machines or of `runner`."""
        named = self.machines()
        return named[host].shell if host in named else "sh"

    def _of(self, role: str) -> list[tuple[str, Host]]:
        hosts = self.hosts[role]
        listed = (hosts,) if isinstance(hosts, Host) else hosts
        return [(role if i == 0 else f"{role}/{i + 1}", host) for i, host in enumerate(listed)]


class App(Config, frozen=True, kw_only=True):
    tests: str
    staging: str
    prod: str
    qa: str = ""
    health: tuple[Check, ...] = ()
    facts: tuple[Fact, ...] = ()


class Policy(Config, frozen=True, kw_only=True):
    """`lookout`: the time of day at which prod is looked at for other hands, in the configuration's timezone; empty:
    never. `restore_test_max_age`: after which without a restore test that passed the admins are called.
    """

    rehearsal_max_age: Duration = "7d"
    separate_duties: bool = True
    approvals: int = 0
    approvals_expire: Duration = "24h"
    watch: tuple[Duration, ...] = ("10m", "30m", "45m")
    inspection: Duration = "2h"
    snapshot_max_age: Duration = "72h"
    rehearse_rollback: bool = True
    digest: str = "mon 09:00"
    lookout: str = "03:00"
    restore_test_max_age: Duration = "48h"
    freezes: tuple[Freeze, ...] = ()
    office_hours: OfficeHours | None = None

    def __post_init__(self) -> None:
        if self.digest:
            weekly_time(self.digest)
        if self.lookout:
            time_of_day(self.lookout)
