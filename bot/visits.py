"""Touches the hosts of a failed staging to let the developers in who handed the release off, while it may be looked at.

Nobody is let in to anything else: where no rehearsal has just failed there is nothing to enter.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.board import Board
from bot.config import Settings
from bot.inspections import inspection
from bot.material import Materials
from bot.runs import Runs
from plans.actions import At, Outcome, Shell
from plans.environment import Host
from plans.errors import Refusal
from plans.inspections import TIMEOUT, OverSsh, letting_in, mark, public_key, way_in
from plans.rule_events import InspectionEntered
from plans.rule_records import Inspection
from vmops.perform import Performer


class Visits:
    """Keys are put on at `enter`; the next run takes them off, whichever it is: that which ends the inspection, too."""

    def __init__(
        self, board: Board, settings: Settings, materials: Materials, performer: Performer, runs: Runs
    ) -> None:
        self._board = board
        self._settings = settings
        self._materials = materials
        self._performer = performer
        self._runs = runs
        self._entering = threading.Lock()

    def enter(self, environment: str, *, by: str) -> InspectionEntered:
        """Lets whoever handed the failed release off in; the record of it. Takes as long as the hosts take.

        Raises Refusal: `prod`, `no_verdict`, `no_inspection`, `not_configured`, `no_key`, `bad_key`, `not_let_in`,
        `already_let_in`.
        """
        with self._entering:
            opened = self._opened(environment)
            over, hosts = self._over(environment), self._hosts(environment)
            release = self._board.release(self._board.run(opened.run).release or "")
            keys = {release.by: self._key(environment, over, release.by)}
            if keys.keys() <= set(opened.people) and hosts.keys() <= set(opened.hosts):
                message = f"<@{release.by}> was let in to {environment} already."
                raise Refusal("already_let_in", message, f"The thread of run {opened.run} says how they log in.")
            return self._entered(opened, hosts, keys, over.user, by)

    def _entered(
        self, opened: Inspection, hosts: dict[str, Host], keys: dict[str, str], user: str, by: str
    ) -> InspectionEntered:
        environment = opened.environment
        with self._alone(environment):
            outcomes = {name: self._let_in(opened, name, keys, user) for name in hosts}
            good = tuple(name for name, outcome in outcomes.items() if outcome.ok)
            if not good:
                why = "; ".join(f"{name}: {outcome.reason}" for name, outcome in outcomes.items())
                raise Refusal("not_let_in", f"No host of {environment} took the key: {why}.", "Mend that, then again.")
            ways = tuple(_way(name, hosts[name], user) for name in good)
            event = InspectionEntered(
                run=opened.run, environment=environment, people=tuple(keys), hosts=good, ways=ways
            )
            with self._board.deciding:
                self._opened(environment)
                self._board.record(by, event)
        return event

    def _opened(self, environment: str) -> Inspection:
        if any(app.prod == environment for app in self._settings.apps.values()):
            raise Refusal("prod", f"{environment} is prod: nobody is let in there.", "Staging may be looked at.")
        found = inspection(self._board, environment)
        if found is not None:
            return found
        run = self._runs.holder(environment, ())
        if run is not None:
            message = f"Run {run.number} on {environment} has no verdict yet: testing ends before anybody looks."
            raise Refusal("no_verdict", message, f"Wait for its end, or stop it: /stage abort {run.number}")
        message = f"Nothing on {environment} is there to be looked at: no rehearsal has just failed on it."
        raise Refusal("no_inspection", message, "It opens with the verdict of a rehearsal that failed: /stage history")

    def _over(self, environment: str) -> OverSsh:
        configured = self._settings.environments[environment].inspection
        if configured is None:
            hint = f"An admin adds environments.{environment}.inspection.ssh.people to the configuration."
            raise Refusal("not_configured", f"Nobody may be let in to {environment}.", hint)
        return configured.ssh

    def _key(self, environment: str, over: OverSsh, person: str) -> str:
        path = over.people.get(person)
        at = f"environments.{environment}.inspection.ssh.people"
        if path is None:
            raise Refusal("no_key", f"There is no public key of <@{person}>.", f"An admin adds it: {at}.{person}")
        try:
            return public_key(Path(path).read_text(encoding="utf-8", errors="replace"), person)
        except OSError as error:
            message = f"The public key of <@{person}> cannot be read: {error.strerror}."
            raise Refusal("no_key", message, f"It is named in {at}.{person}") from None

    def _hosts(self, environment: str) -> dict[str, Host]:
        named = self._settings.environments[environment].named()
        found = {name: host for name, host in named.items() if host.lets_in}
        if not found:
            message = f"No host of {environment} is reached by ssh with a POSIX shell: there is no way in for a key."
            raise Refusal("not_configured", message, "See its hosts in the configuration.")
        return found

    def _let_in(self, opened: Inspection, host: str, keys: dict[str, str], user: str) -> Outcome:
        command = letting_in(keys, mark(self._materials.ledger_name), opened.run, user)
        return self._performer.perform(
            Shell(at=At(opened.environment, host), command=command, timeout=TIMEOUT),
            job=f"{opened.run}-inspect-{self._board.ledger.tail.seq}-{host.replace('/', '.')}",
            sink=lambda _: None,
            cancel=threading.Event(),
        )

    @contextmanager
    def _alone(self, environment: str) -> Iterator[None]:
        """A run that is started meanwhile begins after this, and takes off again what this has put on."""
        machines = self._board.run(self._opened(environment).run).machines
        with self._board.deciding:
            self._opened(environment)
            self._runs.aside[environment] = machines
        try:
            yield
        finally:
            with self._board.deciding:
                self._runs.aside.pop(environment, None)
            self._runs.enter_all()


def _way(name: str, host: Host, user: str) -> str:
    assert host.ssh  # lets_in says so
    gateway = f"{host.ssh.gateway.host}:{host.ssh.gateway.port}" if host.ssh.gateway else ""
    return way_in(name, host.ssh.host, host.ssh.port, user or host.ssh.user, gateway)
