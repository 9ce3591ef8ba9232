"""Decides what the admins' hooks do: take a host out of use and put it back, announce maintenance and its end."""

import msgspec

from plans.actions import At, Outcome, Shell, Together
from plans.quantities import seconds
from plans.site import OK, Actions, Site, Written


class Hook(Written, frozen=True, tag="run", rename={"for_": "for"}):
    """A command for each host of the role `for`, without it for every host; which host it is, is in QUARTERDECK_HOST.

    `on`: where it is run; without it on that host itself.
    """

    run: str
    for_: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.serial:
            raise ValueError("a hook has no serial: it is run for the hosts that a step is about to change")
        if self.for_ == "runner":
            raise ValueError("for: the role of the hosts that it takes out of use; runner is the bot's own machine")


class Maintenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done before the first and after the last step that changes an environment or tests it."""

    begin: tuple[Hook, ...]
    end: tuple[Hook, ...]

    def __post_init__(self) -> None:
        for hook in (*self.begin, *self.end):
            if not hook.on or hook.for_:
                raise ValueError("maintenance is of the whole environment: each step says `on:`, and none `for:`")


class Hooked(Written, frozen=True, tag="hooked"):
    """A hook as it is done, on these hosts: it never blames the package."""

    run: str
    at: tuple[str, ...]

    def actions(self, site: Site) -> Actions:
        env = site.variables() | {"QUARTERDECK_HOST": site.host or ""}
        places = [At(site.environment, place) for place in self.at or (site.host or "runner",)]
        shells = tuple(Shell(at=at, command=self.run, env=env, timeout=seconds(self.timeout)) for at in places)
        ended: tuple[Outcome, ...] = (yield Together(shells)).value if len(shells) > 1 else ((yield shells[0]),)
        bad = [outcome for outcome in ended if not outcome.ok]
        worst = next((outcome for outcome in bad if outcome.result == "aborted"), bad[0] if bad else OK)
        return msgspec.structs.replace(worst, result="errored") if worst.result == "failed" else worst


def by_hand(step: Hooked, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """What a person types instead, a line for each host: where, and the command."""
    lines = []
    for host in hosts:
        about = f"QUARTERDECK_HOST={host} " if host else ""
        lines += [f"on {place}: {about}{step.run}" for place in step.at or (host,)]
    return tuple(lines)
