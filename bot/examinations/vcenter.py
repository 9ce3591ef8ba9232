"""Looks at each vCenter: its door and clock, the isolated networks and who is on them, that no staging is prod."""

import ssl
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from bot.config import Settings
from bot.examinations import Examination, Finding, Once, bad, good, warning
from bot.examinations.needs import prods, stagings
from plans.actions import At
from plans.environment import Host, VCenter
from plans.isolation import judge
from plans.networks import View
from plans.quantities import spell
from plans.records import Attested
from vmops.clocks import ahead
from vmops.transport import Trouble, Unreachable

if TYPE_CHECKING:
    from vmops.inspect import About, Vm
    from vmops.machine import Machine
    from vmops.vcenter import Session

SKEW = 60.0
"""Seconds that a clock may differ from the bot's: less than what ages, schedules and logins are judged by."""

OLDEST = (6, 5)
"""The API that Quarterdeck speaks; every vCenter since answers in it."""


class Closed(Trouble):
    """The vCenter itself cannot be used, which is said elsewhere, once."""


class Centers:
    """What the vCenters tell, each thing asked for once. All raise Trouble, each with a sentence."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: list[Session] = []
        self.about: Once[str, tuple[Session, About, float]] = Once(self._enter)
        self.machine: Once[At, Machine] = Once(self._find)
        self.vm: Once[At, Vm] = Once(self._look)
        self.networks: Once[str, Counter[str]] = Once(self._networks)

    def host(self, at: At) -> Host:
        return self._settings.environments[at.environment].machines()[at.host]

    def session(self, vcenter: str) -> "Session":
        try:
            return self.about(vcenter)[0]
        except Trouble:
            raise Closed(f"not looked at, because the vCenter {vcenter} cannot be used") from None

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def _enter(self, vcenter: str) -> "tuple[Session, About, float]":
        """The session, what the vCenter is, and how many seconds its clock is ahead."""
        from vmops.inspect import about
        from vmops.vcenter import Session

        session = Session(self._settings.config.vcenters[vcenter])
        self._sessions.append(session)
        about(session)  # so that the login is not counted as the clock's
        before = datetime.now(UTC)
        told = about(session)
        return session, told, ahead(told.now.timestamp(), before.timestamp(), datetime.now(UTC).timestamp())

    def _find(self, at: At) -> "Machine":
        from vmops.machine import find

        host = self.host(at)
        return find(self.session(host.vcenter), host.vm)

    def _look(self, at: At) -> "Vm":
        from vmops.inspect import look

        return look(self.session(self.host(at).vcenter), self.machine(at))

    def _networks(self, vcenter: str) -> Counter[str]:
        from vmops.inspect import networks

        return networks(self.session(vcenter))


def clock(check: str, subject: str, seconds: float) -> Finding:
    """What it means that a clock is that far ahead of the bot's."""
    if abs(seconds) <= SKEW:
        return good(check, subject, f"agrees with this machine's within {max(1.0, abs(seconds)):.0f} s")
    way = "ahead of" if seconds > 0 else "behind"
    mend = f"Let {subject} and this machine take their time from the same source (NTP): `timedatectl` says which."
    return bad(check, subject, f"its clock is {spell(abs(seconds))} {way} this machine's", mend)


def examinations(settings: Settings, centers: Centers) -> Iterator[Examination]:
    """Each vCenter, each staging's networks and isolation, and each staging against prod."""
    for name, vcenter in settings.config.vcenters.items():
        yield Examination("vcenter", name, partial(_vcenter, centers, name, vcenter))
    for name in sorted(stagings(settings)):
        yield Examination("isolation_network", name, partial(_networks, settings, centers, name))
        yield Examination("isolation", name, partial(_isolation, settings, centers, name))
    for name in sorted(stagings(settings)):
        yield Examination("staging_is_not_prod", name, partial(_identity, settings, centers, name))


def _vcenter(centers: Centers, name: str, vcenter: VCenter) -> Iterator[Finding]:
    try:
        _, about, skew = centers.about(name)
    except Trouble as trouble:
        yield _shut(trouble, name, vcenter)
        return
    yield good("vcenter", name, f"{about.version}; {vcenter.username} is logged in")
    if vcenter.verify:
        by = vcenter.ca_file or "this machine's own CAs"
        yield good("vcenter_tls", name, f"the certificate of {vcenter.host} is verified by {by}")
    else:
        mend = f"Give ca_file the CA that signed {vcenter.host}'s certificate, and take verify: false out."
        loud = f"NOT VERIFIED (verify: false): whoever answers as {vcenter.host} gets the password"
        yield warning("vcenter_tls", name, loud, mend)
    spoken = tuple(int(part) for part in about.api.split(".")[:2] if part.isdecimal())
    if spoken < OLDEST:
        mend = "Upgrade it: Quarterdeck speaks vSphere 6.5 and later."
        yield bad("vcenter_api", name, f"it speaks API {about.api}", mend)
    else:
        yield good("vcenter_api", name, f"speaks {about.api}")
    yield clock("vcenter_clock", name, skew)


def _shut(trouble: Trouble, name: str, vcenter: VCenter) -> Finding:
    """Why there is no session, and what to do about it."""
    if isinstance(trouble.__cause__, ssl.SSLError):
        mend = (
            f"See who signed it: openssl s_client -connect {vcenter.host}:{vcenter.port} -showcerts; compare that with "
            f"the vCenter's own (its page offers “Download trusted root CA certificates”), and give it as ca_file."
        )
        return bad("vcenter_tls", name, str(trouble), mend)
    if isinstance(trouble, Unreachable):
        mend = f"See whether host and port are right and port {vcenter.port} is open from this machine."
        return bad("vcenter", name, str(trouble), mend)
    if type(trouble.__cause__).__name__.endswith("InvalidLogin"):
        mend = (
            f"Log in as {vcenter.username} in the vSphere Client (the user is written name@domain; see whether it is "
            f"locked), and put its password under vcenters.{name}.password."
        )
        return bad("vcenter", name, str(trouble), mend)
    return bad("vcenter", name, str(trouble), f"Mend vcenters.{name} in the configuration.")


def _networks(settings: Settings, centers: Centers, environment: str) -> Iterator[Finding]:
    staging = settings.environments[environment]
    assert staging.isolation  # a staging without it is no configuration
    for vcenter in dict.fromkeys(host.vcenter for host in staging.machines().values()):
        try:
            there = centers.networks(vcenter)
        except Closed as closed:
            yield bad("isolation_network", environment, str(closed), f"Mend the vCenter {vcenter} first.")
            continue
        for network in staging.isolation.networks:
            yield _network(f"{environment} {network}", network, there[network], vcenter)


def _network(subject: str, network: str, count: int, vcenter: str) -> Finding:
    if count == 1:
        return good("isolation_network", subject, f"is in the vCenter {vcenter}")
    if count:
        mend = "Rename all but the isolated one: a network card is told by its network's name."
        return bad("isolation_network", subject, f"{count} networks of {vcenter} are called {network}", mend)
    mend = "Write the name as the vSphere Client does, or let the user see the network (Read-only is enough)."
    return bad("isolation_network", subject, f"the vCenter {vcenter} shows no network {network}", mend)


def _isolation(settings: Settings, centers: Centers, environment: str) -> Iterator[Finding]:
    """As a run judges it before it powers anything on; what an admin's word can settle is only to know about."""
    staging = settings.environments[environment]
    assert staging.isolation  # a staging without it is no configuration
    views: dict[str, View | str] = {}
    for host in staging.machines():
        try:
            views[host] = centers.machine(At(environment, host)).networks()
        except Closed as closed:
            yield bad("isolation", environment, str(closed), "Mend the vCenter first.")
            return
        except Trouble as trouble:
            views[host] = str(trouble)
    judged = judge(views, staging.isolation)
    said = f"{judged.verdict}: {judged.why}"
    word = Attested(by="", at="", reason="", covers=judged.doubts, digest="")
    if judged.verdict in ("proved", "attested"):
        yield good("isolation", environment, said)
    elif judge(views, staging.isolation, word).verdict == "attested":
        mend = f"{judged.mend or 'Look at it'}; or an admin who knows better types /stage attest {environment} REASON."
        yield warning("isolation", environment, said, mend)
    else:
        yield bad(
            "isolation", environment, said, f"{judged.mend or 'Mend the VM or its vCenter, which is told above'}."
        )


def _identity(settings: Settings, centers: Centers, environment: str) -> Iterator[Finding]:
    """By the VMs' own identities: two names, paths or configured vCenters may lead to one machine."""
    prod, unknown = _machines(settings, centers, prods(settings))
    own, lost = _machines(settings, centers, frozenset({environment}))
    for identity, at in own.items():
        if identity in prod:
            mend = f"Name the VM of staging under environments.{environment}: it will be reverted and powered off."
            yield bad("staging_is_not_prod", str(at), f"it is the same VM as {prod[identity]}", mend)
    if unknown or lost:
        which = ", ".join(map(str, (*lost, *unknown)))
        mend = "Mend what is told of those VMs."
        yield bad("staging_is_not_prod", environment, f"cannot be told without knowing {which}", mend)
    elif not own.keys() & prod.keys():
        yield good("staging_is_not_prod", environment, f"none of its {len(own)} VMs is one of prod's {len(prod)}")


def _machines(settings: Settings, centers: Centers, names: frozenset[str]) -> tuple[dict[str, At], list[At]]:
    """The hosts with a VM in these environments by their identities, and those whose VM is not found."""
    found: dict[str, At] = {}
    unknown = []
    hosts = ((name, *each) for name in sorted(names) for each in settings.environments[name].machines().items())
    for at in (At(name, host) for name, host, configured in hosts if configured.vm):
        try:
            found[centers.machine(at).identity] = at
        except Trouble:
            unknown.append(at)
    return found, unknown
