"""Decides whether the parts of a configuration fit: names lead somewhere, and no staging is a prod."""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from plans.checks import Check, ManualCheck
from plans.environment import App, Environment, Host, VCenter
from plans.facts import Fact
from plans.restore_tests import RestoreTest
from plans.restoring import RestoreClone
from plans.testplan import TestPlan
from plans.windows_facts import COLLECTED

ROLES = ("admins", "testers", "developers")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WINDOWS = f"There are: {', '.join(sorted(COLLECTED))}. Or write a command of your own for run."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


class Problem(msgspec.Struct, frozen=True):
    """What does not fit: the dotted path of the key in the configuration, or in the test plan of the app `plan`."""

    path: str
    message: str
    hint: str = ""
    plan: str = ""


def problems(
    environments: Mapping[str, Environment],
    apps: Mapping[str, App],
    vcenters: Mapping[str, VCenter],
    tests: Mapping[str, TestPlan],
    restore_tests: Sequence[RestoreTest] = (),
) -> Iterator[Problem]:
    """Everything that does not fit, that which explains the rest first. `tests`: each app's test plan."""
    for name, environment in environments.items():
        yield from _environment(f"environments.{name}", name, environment, vcenters)
    for name, app in apps.items():
        yield from _app(f"apps.{name}", name, app, environments)
        if {app.staging, app.prod, app.qa or app.prod} <= environments.keys():
            sides = {side: environments[side] for side in (app.staging, app.prod, app.qa) if side}
            yield from _questions(f"apps.{name}", app, sides)
            yield from _plan(name, tests[name], environments[app.staging], environments[app.prod])
    yield from _restored(restore_tests, environments, apps)
    yield from _mixed(environments, apps, vcenters)


def _restored(
    tests: Sequence[RestoreTest], environments: Mapping[str, Environment], apps: Mapping[str, App]
) -> Iterator[Problem]:
    """Only what is somebody's staging and has a restore can be tested every night."""
    stagings = {app.staging: None for app in apps.values()}
    for i, test in enumerate(tests):
        path, name = f"restore_tests[{i}].environment", test.environment
        if name not in stagings or name not in environments:
            yield Problem(path, f"{name} is no app's staging: nothing is restored there.", _there(stagings))
        elif not environments[name].restore:
            hint = f"Say what restores it: environments.{name}.restore (docs/restore.md)."
            yield Problem(path, f"{name} has no restore that could be tested.", hint)
        elif name in (other.environment for other in tests[:i]):
            yield Problem(path, f"{name} has a restore test already.", "Take one of the two out.")


def _environment(path: str, name: str, environment: Environment, vcenters: Mapping[str, VCenter]) -> Iterator[Problem]:
    yield from _named(path, name, "an environment")
    for role, listed in environment.hosts.items():
        at = f"{path}.hosts.{role}"
        yield from _named(at, role, "a role")
        if role == "runner":
            yield Problem(at, "runner is the machine that the bot runs on.", "Give the role another name.")
        if listed == ():
            yield Problem(at, "no host is listed.", "List one, or take the role out.")
    for at, host in _hosts(path, environment):
        if host.vcenter and host.vcenter not in vcenters:
            yield Problem(f"{at}.vcenter", f"there is no vCenter {host.vcenter}.", _there(vcenters))
    yield from _beside(path, name, environment)
    for key, steps in (("restore", environment.restore), ("backup", environment.backup)):
        for i, step in enumerate(steps):
            yield from _role(f"{path}.{key}[{i}].on", step.on, name, environment)
            if isinstance(step, RestoreClone) and step.on in (*environment.hosts, "runner"):
                yield from _cloned(f"{path}.{key}[{i}].on", step, environment)
    yield from _hooks(path, name, environment)


def _hooks(path: str, name: str, environment: Environment) -> Iterator[Problem]:
    maintenance = environment.maintenance
    hooks = {"drain": environment.drain, "undrain": environment.undrain}
    hooks |= {"maintenance.begin": maintenance.begin, "maintenance.end": maintenance.end} if maintenance else {}
    for key, each in hooks.items():
        for i, hook in enumerate(each):
            for field, role in (("on", hook.on), ("for", hook.for_)):
                if role:
                    yield from _role(f"{path}.{key}[{i}].{field}", role, name, environment)


def _beside(path: str, name: str, environment: Environment) -> Iterator[Problem]:
    """What stands for neighbours: each is called by its own name, on machines of its own."""
    names = [*environment.hosts, *environment.named(), "runner"]
    vms = [(host.vcenter, host.vm) for host in environment.named().values()]
    for i, one in enumerate(environment.infrastructure):
        at = f"{path}.infrastructure[{i}]"
        yield from _named(f"{at}.name", one.name, "infrastructure")
        if one.name in names:
            yield Problem(f"{at}.name", f"something is called {one.name} there already.", "Give it another name.")
        if (one.vcenter, one.vm) in vms:
            yield Problem(f"{at}.vm", f"{one.vm} is a machine of {name} already.", "Name each VM once.")
        names.append(one.name)
        vms.append((one.vcenter, one.vm))
    emulators = [one.name for one in environment.emulators]
    for i, emulator in enumerate(environment.emulators):
        at = f"{path}.emulators[{i}]"
        if emulators.index(emulator.name) != i:
            yield Problem(f"{at}.name", f"two emulators are called {emulator.name}.", "Rename one.")
        if emulator.on not in environment.hosts:
            yield Problem(f"{at}.on", f"{name} has no role {emulator.on}.", _there(environment.hosts))


def _cloned(path: str, step: RestoreClone, environment: Environment) -> Iterator[Problem]:
    """A clone is another VM of the same name: it can only be found by that."""
    named = environment.named()
    for host in environment.role(step.on):
        if host not in named or not named[host].vm:
            yield Problem(path, f"{host} has no vm, so that none can be made anew.", "Name its vcenter and vm.")
        elif _UUID.fullmatch(named[host].vm):
            hint = "Name the VM by its name or its inventory path."
            yield Problem(path, f"the vm of {host} is an instance UUID, and its clone has another one.", hint)


def _app(path: str, name: str, app: App, environments: Mapping[str, Environment]) -> Iterator[Problem]:
    yield from _named(path, name, "an app")
    for key, environment in (("staging", app.staging), ("prod", app.prod), ("qa", app.qa)):
        if environment not in environments and (environment or key != "qa"):
            yield Problem(f"{path}.{key}", f"there is no environment {environment}.", _there(environments))
    if app.staging not in environments:
        return
    staging, at = environments[app.staging], f"environments.{app.staging}"
    if staging.isolation is None or not staging.isolation.networks:
        hint = "Name the isolated networks: isolation: {networks: […]}"
        yield Problem(at, f"it is the staging of {name} and has no isolation.networks.", hint)
    for side in (app.prod, app.qa):
        if side in environments and environments[side].inspection is not None:
            hint = f"Only a staging may be looked at: take it out, or put it under environments.{app.staging}."
            yield Problem(f"environments.{side}.inspection", f"{side} is no staging: nobody is let in there.", hint)
    for side in (app.prod, app.qa):
        if side in environments and (environments[side].infrastructure or environments[side].emulators):
            key = "infrastructure" if environments[side].infrastructure else "emulators"
            hint = f"Put it under environments.{app.staging}."
            yield Problem(f"environments.{side}.{key}", f"only a staging has {key}, and {side} is none.", hint)
    for where, host in _hosts(at, staging):
        if not host.vm:
            yield Problem(where, f"it is a host of the staging of {name} and has no vm.", "Name its vcenter and vm.")


def _questions(path: str, app: App, sides: Mapping[str, Environment]) -> Iterator[Problem]:
    """Health and facts, which are asked on each side."""
    for i, check in enumerate(app.health):
        yield from _check(f"{path}.health[{i}]", check, {side: sides[side] for side in (app.staging, app.prod)})
    names = [fact.name for fact in app.facts]
    for i, fact in enumerate(app.facts):
        if names.index(fact.name) != i:
            yield Problem(f"{path}.facts[{i}].name", f"two facts are called {fact.name}.", "Rename one.")
        for pattern in fact.ignore:
            if not _compiles(pattern):
                yield Problem(f"{path}.facts[{i}].ignore", f"{pattern} is not a regular expression.")
        for side, environment in sides.items():
            yield from _role(f"{path}.facts[{i}].on", fact.on, side, environment)
        yield from _collected(f"{path}.facts[{i}].collect", fact, sides)


def _collected(path: str, fact: Fact, sides: Mapping[str, Environment]) -> Iterator[Problem]:
    """A ready-made fact is asked of all hosts in the same words."""
    if not fact.collect:
        return
    having = [environment for environment in sides.values() if fact.on in environment.hosts]
    shells = {environment.shell(host) for environment in having for host in environment.role(fact.on)}
    if len(shells) > 1:
        message = f"the hosts of {fact.on} have two kinds of shell, and their answers cannot be compared."
        yield Problem(path, message, "Write a command of your own for run, or give the hosts one shell.")
    for shell in shells:
        if fact.lacks(shell):
            yield Problem(path, f"{fact.collect} cannot be collected on hosts with shell: {shell}.", _WINDOWS)


def _plan(name: str, plan: TestPlan, staging: Environment, prod: Environment) -> Iterator[Problem]:
    if plan.app != name:
        yield Problem("app", f"this is the test plan of {plan.app}, named as that of {name}.", plan=name)
    for group, checks in (("critical", plan.critical), ("deep", plan.deep)):
        for i, check in enumerate(checks):
            sides = {"staging": staging} | ({"prod": prod} if check.prod else {})
            for problem in _check(f"{group}[{i}]", check, sides):
                yield msgspec.structs.replace(problem, plan=name)


def _check(path: str, check: Check, sides: Mapping[str, Environment]) -> Iterator[Problem]:
    if isinstance(check, ManualCheck) and check.by not in ROLES:
        yield Problem(f"{path}.by", f"there is no role {check.by}.", f"There are: {', '.join(ROLES)}.")
    for side, environment in sides.items():
        if check.on:
            yield from _role(f"{path}.on", check.on, side, environment)


def _role(path: str, role: str, name: str, environment: Environment) -> Iterator[Problem]:
    if role != "runner" and role not in environment.hosts:
        yield Problem(path, f"{name} has no role {role}.", f"{_there(environment.hosts)} Or runner, the bot's machine.")


def _mixed(
    environments: Mapping[str, Environment], apps: Mapping[str, App], vcenters: Mapping[str, VCenter]
) -> Iterator[Problem]:
    """A machine that is staging here must not be prod there: it would be reverted."""
    prod = {app.prod: name for name, app in apps.items() if app.prod in environments}
    taken = {
        machine: environment
        for environment in prod
        for _, host in _hosts("", environments[environment])
        for machine in _machines(host, vcenters)
    }
    for name, app in apps.items():
        if app.staging in prod:
            message = f"{app.staging} is the prod of {prod[app.staging]}."
            yield Problem(f"apps.{name}.staging", message, "Name an environment that may be reverted.")
        elif app.staging in environments:
            for at, host in _hosts(f"environments.{app.staging}", environments[app.staging]):
                for machine in _machines(host, vcenters) & taken.keys():
                    message = f"{machine} is a machine of {taken[machine]} too, which is prod."
                    yield Problem(at, message, "Name the VM of staging: it will be reverted.")


def _machines(host: Host, vcenters: Mapping[str, VCenter]) -> set[str]:
    """The machine by each of the names that it goes by."""
    names = set()
    if host.vm and host.vcenter in vcenters:
        names.add(f"{host.vm} of {vcenters[host.vcenter].host}:{vcenters[host.vcenter].port}")
    if host.ssh:
        through = f" through {host.ssh.gateway.host}" if host.ssh.gateway else ""
        names.add(f"{host.ssh.host}:{host.ssh.port}{through}")
    return names


def _hosts(path: str, environment: Environment) -> Iterator[tuple[str, Host]]:
    """Each host with the path of its key."""
    for role, listed in environment.hosts.items():
        if isinstance(listed, Host):
            yield f"{path}.hosts.{role}", listed
        else:
            yield from ((f"{path}.hosts.{role}[{i}]", host) for i, host in enumerate(listed))
    yield from ((f"{path}.infrastructure[{i}]", one) for i, one in enumerate(environment.infrastructure))


def _named(path: str, name: str, what: str) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(path, f"{what} is named with letters, digits and . _ + - alone.", "Rename it.")


def _there(names: Mapping[str, object]) -> str:
    return f"There are: {', '.join(names)}." if names else "There is none."


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
