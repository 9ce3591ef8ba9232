"""Decides what the faults are done to: the environments, the packages, and what the checker must know of them."""

import random
from typing import Any

from faults.accounts import lines_of
from faults.checker import Evidence
from faults.harness import CHANNEL, Site, package

PROD = {"prod-web-1": "web", "crm-prod": "web/2"}
STAGING = {"staging-web": "web", "staging-spare": "web/2"}
VMS = PROD | STAGING

STOP, CHANGE, START, RESTART, LOOK, STUMBLE = "Stop it", "Change it", "Start it", "Restart it", "Look at it", "Stumble"
RESTORE, BACKUP, UP = "Restore it", "Back it up", "It is up"

NOTED = frozenset({STOP, CHANGE, START, STUMBLE, RESTORE, BACKUP, UP})
SAFE = frozenset({START})

TESTS = """app: shop
critical: [{name: It is up, on: web, run: ACT, prod: safe}]
"""


def environments(site: Site, config: dict[str, Any]) -> None:
    """Two hosts on staging and two on prod, whose commands all take a moment; one app; a watch of a second."""
    addresses = dict(reversed(line.split()) for line in (site.folder / "hosts").read_text().splitlines())
    like = config["environments"]["staging"]["hosts"]["web"]

    def hosts(vms: dict[str, str]) -> dict[str, Any]:
        at = [like | {"vm": vm, "ssh": like["ssh"] | {"host": addresses[vm]}, "env": {"VM": vm}} for vm in vms]
        return {"web": at}

    restore = {"name": RESTORE, "on": "web", "run": site.act(0.05), "artifact_age": "echo 1h"}
    backup = {"name": BACKUP, "on": "web", "once": "true", "run": site.act(0.05)}
    config["environments"] = {
        "staging": {
            "hosts": hosts(STAGING),
            "isolation": {"networks": ["isolated-staging"]},
            "restore": [restore],
            "restore_max_age": "20s",
        },
        "prod": {"hosts": hosts(PROD), "backup": [backup]},
    }
    facts = [{"name": "disk", "on": "web", "run": "echo the same on both sides"}]
    config["apps"] = {"shop": {"tests": "shop.tests.yaml", "staging": "staging", "prod": "prod", "facts": facts}}
    config["policy"] = {"watch": ["1s"]}
    (site.folder / "shop.tests.yaml").write_text(TESTS.replace("ACT", repr(site.act(0))))


def steps(site: Site, dice: random.Random) -> list[dict[str, Any]]:
    """A deployment: something on both hosts, something on one after the other, and now and then something special."""

    def short() -> float:
        return dice.choice([0, 0, 0.05, 0.2])

    stumbles = "[ -e $QUARTERDECK_RUN ] || { >$QUARTERDECK_RUN; [ $QUARTERDECK_ENVIRONMENT != prod ]; }"
    special: list[dict[str, Any]] = [
        {"name": RESTART, "on": "web", "serial": 1, "reboot": True},
        {"name": LOOK, "manual": "Look whether it is well."},
        {"name": STUMBLE, "on": "web", "run": f"cd; {site.act(short(), stumbles)}"},
    ]
    return [
        {"name": STOP, "on": "web", "run": site.act(short())},
        *dice.sample(special, dice.choice([0, 1, 1, 2])),
        {"name": CHANGE, "on": "web", "serial": 1, "run": site.act(short())},
        {"name": START, "on": "web", "run": site.act(short()), "rerun": "safe"},
    ]


def draft(site: Site, version: str, dice: random.Random) -> Any:
    return package(site, version, steps(site, dice))


def evidence(site: Site) -> Evidence:
    """Everything that the checker reads, as it is now."""
    messages = []
    for message in site.desk.messages(CHANNEL):
        messages += [message.raw, *(reply.raw for reply in message.replies)]
    people = ("U01DEV", "U02ADMIN", "U03TESTER", "U06ADMIN2")
    return Evidence(
        lines=lines_of(site.book.path),
        acts=site.executed.read_text().splitlines(),
        messages=messages,
        told=[message.raw for person in people for message in site.desk.ephemerals(person)],
        vms=site.vms(),
        noted=NOTED,
        safe=SAFE,
        restarts=frozenset({RESTART}),
        prod=PROD,
    )
