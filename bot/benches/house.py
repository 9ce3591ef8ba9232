"""Decides on what the bench of commands runs: four environments of a VM each, whose restore is long, and their apps."""

import json
from pathlib import Path
from typing import Any

import yaml

from bot.benches.slack import Slack

LAB = """
import sys
from bot.__main__ import run
from lab import seed
seed.LAYERS["staging-fourth"] = ("crm",)
sys.exit(run(["lab", *sys.argv[1:]]))
"""
"""The lab, with a fourth VM for staging."""

ENVIRONMENTS = {
    "load-1": "staging-web",
    "load-2": "staging-db",
    "load-3": "staging-spare",
    "load-4": "staging-fourth",
}
"""Each, and its VM."""

PACKAGE = "crm-1.0.0.zip"
STEP_SECONDS = 2
"""What one step of the restore takes: it says something every tenth of a second."""


def configured(folder: Path, slack: Slack, seconds: int) -> Path:
    """Writes the bot's configuration beside the lab's: the runs go on for as many seconds and some more."""
    sample = yaml.safe_load((folder / "quarterdeck.yaml").read_text())
    lines = (line.split() for line in (folder / "hosts").read_text().splitlines())
    addresses = {name: address for address, name in lines}
    way = sample["environments"]["crm-prod"]["hosts"]["web"]["ssh"]

    def host(machine: str) -> dict[str, Any]:
        ssh = way | {"host": addresses[machine]}
        return {"web": {"vcenter": "main", "vm": machine, "ssh": ssh, "workdir": ".quarterdeck"}}

    says = f"for i in $(seq {10 * STEP_SECONDS}); do echo restored part $i of this table; sleep 0.1; done"
    steps = [{"name": f"Restore table {n}", "on": "web", "run": says} for n in range(1, seconds // STEP_SECONDS + 20)]
    stagings = {
        name: {"hosts": host(machine), "isolation": {"networks": ["isolated-staging"]}, "restore": steps}
        for name, machine in ENVIRONMENTS.items()
    }
    apps = {name: _app(folder, name, name) for name in ENVIRONMENTS} | {"crm": _app(folder, "crm", "load-1")}
    config = {
        **{key: sample[key] for key in ("timezone", "roles", "packages", "vcenters")},
        "slack": {"bot_token": slack.workspace.bot_token, "app_token": slack.workspace.app_token}
        | {"api_url": slack.api, "channel": sample["slack"]["channel"]},
        "data_dir": "var/",
        "environments": {**stagings, "prod": {"hosts": host("crm-prod")}},
        "apps": apps,
    }
    path = folder / "bench.yaml"
    path.write_text(json.dumps(config))
    return path


def _app(folder: Path, name: str, staging: str) -> dict[str, str]:
    there = {"name": "It is there", "on": "web", "run": "test -d crm", "before": True}
    plan = folder / f"{name}.bench.yaml"
    plan.write_text(json.dumps({"app": name, "critical": [there]}))
    return {"tests": plan.name, "staging": staging, "prod": "prod"}
