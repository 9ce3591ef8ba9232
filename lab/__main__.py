"""Touches the terminal and the signals: runs one lab in the foreground until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from lab.world import LabError, open_world


def run(dir: Path, slack_port: int = 0, vcenter_port: int = 0, ssh_port: int = 2222) -> int:
    """Runs the lab of `dir` until SIGTERM or SIGINT; says `ready` on stderr once everything answers.

    A port of 0 is the last time's, or any. Returns the exit code: 0, or 1 when there can be no lab here.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with open_world(dir, slack_port=slack_port, vcenter_port=vcenter_port, ssh_port=ssh_port) as world:
            print(f"Slack for your browser: {world.page}", file=sys.stderr)
            print(f"Start the bot with: quarterdeck serve --config {world.config}", file=sys.stderr)
            print(f"Packages to hand off: {world.folder / 'packages'}/", file=sys.stderr)
            print("ready", file=sys.stderr, flush=True)
            await stop.wait()

    try:
        asyncio.run(main())
    except (LabError, OSError) as error:  # a folder that cannot be written, say
        print(f"quarterdeck lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m lab", description="A Slack, a vCenter and hosts for one laptop.")
    parser.add_argument("--dir", type=Path, default=Path("quarterdeck-lab"))
    parser.add_argument("--slack-port", type=int, default=0)
    parser.add_argument("--vcenter-port", type=int, default=0)
    parser.add_argument("--ssh-port", type=int, default=2222)
    arguments = parser.parse_args()
    raise SystemExit(run(arguments.dir, arguments.slack_port, arguments.vcenter_port, arguments.ssh_port))
