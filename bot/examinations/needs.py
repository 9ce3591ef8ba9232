"""Decides what a run would ask of each environment: which are staging, which prod, and where HTTP is asked from."""

from collections.abc import Iterator

from bot.config import Settings
from plans.actions import At
from plans.checks import Check, HttpCheck
from plans.environment import Environment
from plans.phases import on
from plans.restoring import RestoreClone


def stagings(settings: Settings) -> frozenset[str]:
    """The environments that are some app's staging."""
    return frozenset(app.staging for app in settings.apps.values())


def prods(settings: Settings) -> frozenset[str]:
    """The environments that are some app's prod."""
    return frozenset(app.prod for app in settings.apps.values())


def cloned(settings: Settings, at: At) -> bool:
    """Whether a restore makes that host's VM anew."""
    target = settings.environments[at.environment]
    return any(at.host in on(target, step) for step in _clones(target))


def cloned_from(settings: Settings, at: At) -> bool:
    """Whether a restore of an app's staging clones that host of its prod."""
    role = at.host.partition("/")[0]
    apps = [app for app in settings.apps.values() if app.prod == at.environment]
    steps = [step for app in apps for step in _clones(settings.environments[app.staging])]
    return any(step.clone.from_ in (role, at.host) for step in steps)


def asks_http(settings: Settings, environment: str, role: str) -> bool:
    """Whether a check is asked over HTTP from the hosts of that role."""
    return any(isinstance(check, HttpCheck) and check.on == role for check in _checks(settings, environment))


def uses_runner(settings: Settings) -> bool:
    """Whether any step of the admins, a check or a fact runs on the bot's own machine."""
    steps = [step for each in settings.environments.values() for step in (*each.restore, *each.backup)]
    facts = [fact for app in settings.apps.values() for fact in app.facts]
    checks = [check for name in settings.environments for check in _checks(settings, name)]
    return any(one.on == "runner" for one in (*steps, *facts, *checks))


def _clones(target: Environment) -> list[RestoreClone]:
    return [step for step in target.restore if isinstance(step, RestoreClone)]


def _checks(settings: Settings, environment: str) -> Iterator[Check]:
    """Health checks on staging and prod; the test plan's on staging, on prod those that are safe there."""
    for name, app in settings.apps.items():
        if environment in (app.staging, app.prod):
            yield from app.health
        for check in settings.tests[name].checks():
            if environment == app.staging or (environment == app.prod and check.prod):
                yield check
