"""Touches the machines that an action names: finds the adapter for it, and turns whatever happens into an outcome."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from plans.actions import (
    Action,
    At,
    AwaitHost,
    Disconnect,
    EndFormer,
    FindVm,
    Outcome,
    Power,
    PutClone,
    ReadHappenings,
    ReadLogins,
    ReadNetworks,
    RemoveSnapshot,
    Restart,
    RevertTo,
    Shell,
    TakeCloneBack,
    TakeSnapshot,
    Upload,
)
from plans.environment import Environment, VCenter
from plans.quantities import spell
from vmops.boots import await_host, restart, restarting
from vmops.clocks import compare_clocks
from vmops.hosts import RUNNER, Hosts
from vmops.jobs import BRIEFLY, PATIENCE, Ending, Job
from vmops.logins import read_logins
from vmops.scripts import Spec
from vmops.tidy import tidy
from vmops.transport import Cancelled, Limit, Overdue, Refused, Sink, Trouble
from vmops.upload import upload

STOPPING = 60.0
"""Seconds within which a job must be stopped, proved gone and its last output fetched."""

LAST_LOOK = 5.0
"""Seconds that a job found again has at least: it may have ended long ago."""

Snapshot = TakeSnapshot | RevertTo | RemoveSnapshot
Clone = PutClone | TakeCloneBack | EndFormer
Look = ReadLogins | ReadHappenings
Other = Upload | AwaitHost | FindVm | ReadNetworks | Disconnect | Power | Snapshot | Clone | Look

_WHY = {
    "signalled": "outcome unknown: it was ended by a signal from outside, as a shutdown sends it",
    "nowhere": "the directory to start in is not there",
    "unstarted": "the command was never started",
    "gone": "outcome unknown: its process is gone, without an exit code",
    "rebooted": "outcome unknown: the host was restarted while the command ran",
    "lost": "outcome unknown: the command had begun, and the host has nothing of it any more",
}

UPLOADING = 3600.0
TASK = 3600.0
CUTTING = 120.0
LOOKING = 60.0
"""Seconds for one upload; for one change of a VM: snapshots of large disks take their time; to cut its network; to look
who logged in."""


class Performer:
    """Performs actions on machines, for any number of threads.

    `namespace` tells this ledger's files on the hosts from another's; `archives` finds an archive in the bot's store
    by its digest.
    """

    def __init__(
        self,
        vcenters: Mapping[str, VCenter],
        environments: Mapping[str, Environment],
        *,
        namespace: str,
        archives: Callable[[str], Path],
    ) -> None:
        self._namespace = namespace
        self._archives = archives
        self._hosts = Hosts(vcenters, environments, namespace)

    def perform(
        self,
        action: Action,
        *,
        job: str,
        sink: Sink,
        cancel: threading.Event,
        deadline: float | None = None,
        resume: bool = False,
        stop: bool = False,
        known: bool = False,
        started: Callable[[], None] | None = None,
    ) -> Outcome:
        """Performs one action and says how it ended; whatever goes wrong out there is an outcome too.

        `job` names a command on its host, beforehand and once for all: with `resume` it is found again under it, and
        `sink`, which gets every byte of output in the order seen, gets all of it again; one that never began begins.
        `deadline`: the seconds from now that replace the action's timeout. `cancel`, once set, ends the remote
        process group: aborted. `stop` ends a running job: failed, or what it came to where it was over already.
        `started` is called once the host has begun the command; one that is `known` to have begun never begins again.
        """
        if not isinstance(action, Shell | Restart | Other):
            raise TypeError(f"{type(action).__name__} is nothing that one machine could do")
        try:
            if isinstance(action, Shell):
                limit = Limit.of(action.timeout if deadline is None else max(deadline, LAST_LOOK), cancel)
                spec = self._spec(action, job, known)
                return self._shell(action, self._job(action, spec, sink, resume or stop, started), limit, stop)
            if isinstance(action, Restart):
                return Outcome("ok", value=self._restart(action, job, sink, cancel, known, started))
            return Outcome("ok", value=self._do(action, job, sink, cancel))
        except Trouble as trouble:
            unknown = resume and isinstance(action, Shell | Restart)
            return Outcome("errored", reason=f"{action.at}: {trouble}", unknown=unknown)
        except Overdue:
            return Outcome("errored", reason=f"{action.at}: it took too long and was given up")
        except Cancelled:
            return Outcome("aborted", reason=f"{action.at}: it was given up on request")

    def base(self, at: At) -> str:
        """The directory that is this ledger's own on that host, as commands there write it. Raises Refused."""
        return self._hosts.base(at)

    def identity(self, at: At) -> str:
        """The machine's identity, for locks: the VM's, or the address where there is none. Raises Trouble."""
        if at.host == RUNNER:
            return RUNNER
        host = self._hosts.host(at)
        if host.vm:
            return self._hosts.machine(at, anew=True).identity
        assert host.ssh  # a host without a VM has no other way in
        return f"ssh:{host.ssh.host}:{host.ssh.port}"

    def close(self) -> None:
        """Closes all connections and sessions; remote jobs are left running."""
        self._hosts.close()

    def _spec(self, action: Shell, job: str, known: bool) -> Spec:
        env = {**self._hosts.env(action.at), **action.env}
        return Spec(self.base(action.at), self._namespace, job, action.command, action.cwd, env, known)

    def _job(self, action: Shell, spec: Spec, sink: Sink, again: bool, started: Callable[[], None] | None) -> Job:
        first = PATIENCE if again else BRIEFLY
        return Job(self._hosts.transport(action.at), spec, sink, keep=action.keep, first=first, started=started)

    def _shell(self, action: Shell, job: Job, limit: Limit, stop: bool) -> Outcome:
        after = f"stopped after {spell(action.timeout)}"
        if stop:
            return _stopped(action.at, job, Outcome("failed", reason=after))
        try:
            return _judge(action.at, job, job.follow(limit), Outcome("failed", reason="it was stopped"))
        except Cancelled:
            return _stopped(
                action.at, job, Outcome("aborted", reason="ended on request, with every process it had started")
            )
        except Overdue:
            if action.ask_when_overdue:
                reason = f"{action.at}: still running after {spell(action.timeout)}"
                return Outcome("errored", reason=reason, overdue=True)
            return _stopped(action.at, job, Outcome("failed", reason=after))

    def _restart(
        self,
        action: Restart,
        job: str,
        sink: Sink,
        cancel: threading.Event,
        known: bool,
        started: Callable[[], None] | None,
    ) -> str:
        if action.at.host == RUNNER:
            raise Refused("the machine that Quarterdeck itself runs on is not restarted")
        transport = self._hosts.transport(action.at)
        spec = restarting(transport, self.base(action.at), self._namespace, job, known)
        return restart(transport, spec, sink, Limit.of(action.timeout, cancel), started)

    def _do(self, action: Other, job: str, sink: Sink, cancel: threading.Event) -> object:
        """Everything but commands: the outcome's value."""
        at = action.at

        def say(line: str) -> None:
            sink(f"{line}\n".encode())

        match action:
            case Upload():
                archive, limit = self._archives(action.digest), Limit.of(UPLOADING, cancel)
                upload(self._hosts.transport(at), archive, action.digest, action.to, limit)
                tidy(self._hosts.transport(at), self.base(at), job)
            case AwaitHost():
                transport, limit = self._hosts.transport(at), Limit.of(action.timeout, cancel)
                boot = await_host(transport, limit)
                compare_clocks(transport, limit)
                return boot
            case FindVm():
                return self._hosts.machine(at, anew=True).identity
            case ReadNetworks():
                return self._hosts.machine(at).networks()
            case ReadLogins(since=since):
                return read_logins(self._hosts.transport(at), since, Limit.of(LOOKING, cancel))
            case ReadHappenings(since=since):
                return self._hosts.happenings(at, since)
            case Disconnect():
                return self._hosts.machine(at).disconnect(Limit.of(CUTTING))  # also where somebody wants to stop
            case Power():
                self._hosts.machine(at).power(action.on, Limit.of(TASK, cancel), say)
            case TakeSnapshot() | RevertTo() | RemoveSnapshot():
                return self._snapshot(action, Limit.of(TASK, cancel), say)
            case PutClone() | TakeCloneBack() | EndFormer():
                return self._clone(action, cancel, say)
        return None

    def _clone(self, action: Clone, cancel: threading.Event, say: Callable[[str], None]) -> object:
        clones = self._hosts.clones(action.at, action.token)
        match action:
            case PutClone(source=source, snapshot=snapshot, timeout=timeout):
                of, limit = self._hosts.vm(source, action.at), Limit.of(timeout, cancel)
                return clones.put(of, snapshot == "fresh", self._namespace, limit, say)
            case TakeCloneBack(source=source):  # also where somebody wants to stop
                clones.take_back(self._hosts.vm(source, action.at), self._namespace, Limit.of(TASK), say)
            case EndFormer():
                clones.end(Limit.of(TASK, cancel), say)
        return None

    def _snapshot(self, action: Snapshot, limit: Limit, say: Callable[[str], None]) -> object:
        machine, ledger = self._hosts.machine(action.at), self._namespace
        match action:
            case TakeSnapshot(name=name, description=description):
                return machine.take_snapshot(name, description, ledger, limit, say)
            case RevertTo(snapshot=snapshot):
                machine.revert(snapshot, ledger, limit, say)
            case RemoveSnapshot(snapshot=snapshot):
                machine.remove_snapshot(snapshot, ledger, limit, say)
        return None


def _stopped(at: At, job: Job, outcome: Outcome) -> Outcome:
    """Ends the job and fetches the rest of its output; `outcome` unless it had ended by itself."""
    limit = Limit.of(STOPPING)
    try:
        job.stop(limit)
        return _judge(at, job, job.follow(limit), outcome)
    except Overdue:
        raise Trouble("it could not be stopped in time: it may still be running") from None


def _judge(at: At, job: Job, ending: Ending, stopped: Outcome) -> Outcome:
    """What an ending means; `stopped` where somebody ended it."""
    output, cut = job.head.decode(errors="replace"), job.cut
    if ending.stopped:
        return msgspec.structs.replace(stopped, output=output, cut=cut)
    if ending.how != "exited":
        unknown = ending.how not in ("nowhere", "unstarted")
        return Outcome("errored", output=output, cut=cut, reason=f"{at}: {_WHY[ending.how]}", unknown=unknown)
    if ending.exit:
        return Outcome("failed", exit=ending.exit, output=output, cut=cut, reason=f"exit code {ending.exit}")
    return Outcome("ok", exit=0, output=output, cut=cut)
