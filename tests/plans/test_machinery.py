"""Quarterdeck's own steps, driven by hand: what they ask of the world, and how they end."""

import hashlib
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import msgspec
import pytest
from builders import DIGEST, drive, only, shell, site

from plans.actions import (
    Action,
    Ask,
    At,
    AwaitHost,
    Disconnect,
    Note,
    Outcome,
    Power,
    ReadNetworks,
    Record,
    RemoveSnapshot,
    RevertTo,
    Shell,
    TakeSnapshot,
    Together,
    Upload,
)
from plans.events import IsolationJudged, RestoreReused, SnapshotRemoved, SnapshotTaken, WatchChecked
from plans.isolation import Isolation
from plans.machinery import (
    Answer,
    Attest,
    BeginWatch,
    GoBack,
    KeepSnapshot,
    Mark,
    PowerOn,
    ProbeIsolation,
    ProveIsolation,
    RemoveSnapshots,
    Reuse,
    Unpack,
)
from plans.networks import Network, Nic, Segment, View, Vm
from plans.records import Attested
from plans.site import OK

WEB = At("staging", "web")
LOST = Outcome("errored", reason="vCenter does not answer")
ABORTED = Outcome("aborted", reason="stopped before it was answered")


def without_notes(asked: list[Action]) -> list[Action]:
    return [action for action in asked if not isinstance(action, Note)]


class TestPower:
    def test_goes_back_to_its_snapshot(self) -> None:
        asked, ended = drive(GoBack(snapshots={"web": "snapshot-3", "db": "snapshot-4"}), site())
        assert without_notes(asked) == [RevertTo(WEB, "snapshot-3")]
        assert ended.ok

    def test_is_powered_off_where_there_is_no_snapshot_yet(self) -> None:
        asked, ended = drive(GoBack(snapshots={"db": "snapshot-4"}), site())
        assert without_notes(asked) == [Power(WEB, on=False)]
        assert ended.ok

    def test_is_powered_on_and_waited_for(self) -> None:
        assert drive(PowerOn(), site()) == ([Power(WEB, on=True)], Outcome("ok", exit=0))
        assert drive(Answer(), site())[0] == [AwaitHost(WEB, 600.0)]

    @pytest.mark.parametrize("step", [GoBack(snapshots={"web": "x"}), GoBack(snapshots={}), PowerOn(), Answer()])
    def test_ends_as_the_machine_says(self, step: object) -> None:
        trouble = (OK, LOST) if isinstance(step, GoBack) else (LOST,)
        assert drive(step, site(), *trouble)[1] == LOST


DB = At("staging", "db")
CLOSED = Network(
    name="isolated",
    kind="standard",
    vlans=((0, 0),),
    segments=(Segment(host="esxi-1", switch="vSwitch2", uplinks=(), kernel=()),),
    beside=(),
    vms=(),
)


CUT = Outcome("ok", value=["NIC 1", "NIC 2"])


def seen(name: str, network: Network = CLOSED) -> Outcome:
    nic = Nic(label="NIC 1", network="net", connected=False, start_connected=True, guest_control=True)
    vms = {name: Vm(name=name, nics=(nic,))}
    return Outcome("ok", value=View(vcenter="one", vm=name, vms=vms, networks={"net": network}))


class TestIsolation:
    RULES = Isolation(networks=("isolated",), must_not_reach=("10.0.0.5:443",))
    STEP = ProveIsolation(hosts=("web", "db"), isolation=RULES)

    def prove(self, *told: Outcome, step: ProveIsolation = STEP) -> tuple[list[Action], Outcome]:
        return drive(step, site(host=None), *told)

    def test_every_host_is_looked_at_and_the_judgement_is_on_the_ledger(self) -> None:
        asked, ended = self.prove(seen("web"), seen("db"))
        assert without_notes(asked)[:2] == [ReadNetworks(WEB), ReadNetworks(DB)]
        judged = asked[-1]
        assert isinstance(judged, Record)
        assert isinstance(judged.event, IsolationJudged)
        assert (judged.event.run, judged.event.verdict, judged.event.doubts) == (7, "proved", ())
        assert judged.event.evidence[0] == "web: NIC 1 is on isolated (connected: no, at power-on: yes)"
        assert len(judged.event.evidence) == 3
        assert ended.ok

    def test_a_way_out_is_closed_before_anything_else_and_named(self) -> None:
        asked, ended = self.prove(seen("web"), seen("db", Network(name="prod")), OK, CUT)
        assert [type(action) for action in asked[2:]] == [Record, Disconnect, Note, Record]
        assert asked[3] == Disconnect(DB)
        closed = "db: disconnected NIC 1, NIC 2"
        assert isinstance(asked[4], Note)
        assert closed in asked[4].text
        first, last = asked[2].event, asked[5].event  # type: ignore[union-attr]
        assert first.verdict == last.verdict == "violated"
        assert last.evidence == (*first.evidence, closed)
        assert ended.result == "errored"
        assert ended.reason == (
            "isolation is violated: db: NIC 1 is on prod, which is not one of isolated (connected: no, at power-on: "
            "yes). db: disconnected NIC 1, NIC 2. In vCenter, put NIC 1 of db on isolated and connect it again"
        )

    def test_a_way_out_that_could_not_be_closed_is_said(self) -> None:
        asked, ended = self.prove(seen("web", Network(name="prod")), seen("db", Network(name="prod")), OK, LOST, CUT)
        assert asked[3:5] == [Disconnect(WEB), Disconnect(DB)]
        assert "web: NOT DISCONNECTED: vCenter does not answer" in ended.reason

    def test_an_interrupted_violation_stays_one_and_every_way_out_is_closed(self) -> None:
        step = msgspec.structs.replace(self.STEP, violated=True)
        asked, ended = self.prove(seen("web"), seen("db"), OK, CUT, CUT, step=step)
        assert asked[3:5] == [Disconnect(WEB), Disconnect(DB)]
        assert asked[-1].event.verdict == "violated"  # type: ignore[union-attr]
        assert ended.reason.startswith("isolation is violated: it was violated before Quarterdeck was interrupted")

    def test_what_only_an_admin_can_know_asks_for_the_word_of_one(self) -> None:
        opaque = msgspec.structs.replace(CLOSED, kind="opaque")
        asked, ended = self.prove(seen("web", opaque), seen("db", opaque))
        assert ended.result == "errored"
        assert ended.reason.endswith("all the same types: /stage attest staging REASON")
        doubts = asked[-1].event.doubts  # type: ignore[union-attr]
        word = Attested(by="U02ADMIN", at="2026-11-23T21:00:00Z", reason="rule 12", covers=doubts, digest="d")
        attested = msgspec.structs.replace(self.STEP, attested=word)
        asked, ended = self.prove(seen("web", opaque), seen("db", opaque), step=attested)
        assert asked[-1].event.verdict == "attested"  # type: ignore[union-attr]
        assert ended.ok

    def test_a_vcenter_that_does_not_answer_is_no_proof_and_the_others_are_looked_at(self) -> None:
        asked, ended = self.prove(LOST, seen("db", Network(name="prod")), OK, CUT)
        assert without_notes(asked)[3] == Disconnect(DB)
        assert "web: vCenter could not be asked about it: vCenter does not answer" in asked[-1].event.evidence  # type: ignore[union-attr]
        asked, ended = self.prove(LOST, seen("db"))
        assert (
            ended.reason == "isolation is unproved: web: vCenter could not be asked about it: vCenter does not answer"
        )

    def test_an_abort_is_one(self) -> None:
        assert self.prove(ABORTED) == ([ReadNetworks(WEB)], ABORTED)


class TestProbes:
    RULES = Isolation(networks=("isolated",), must_not_reach=("10.0.0.5:443",), must_reach=("db:5432",))
    STEP = ProbeIsolation(hosts={"web": "sh", "db": "sh"}, isolation=RULES)
    QUIET = Outcome("ok", exit=0, output="10.0.0.5:443 silent nc\ndb:5432 open nc\n")

    def test_are_tried_in_every_guest_at_once(self) -> None:
        asked, ended = drive(self.STEP, site(host=None), Outcome("ok", value=(self.QUIET, self.QUIET)))
        assert isinstance(asked[0], Together)
        assert [shell.at for shell in asked[0].shells] == [WEB, DB]
        assert [type(action) for action in asked[1:]] == [Note, Record]
        assert ended.ok

    def test_prods_answer_disconnects_the_guest_that_got_it(self) -> None:
        loud = Outcome("ok", exit=0, output="db:5432 open nc\n10.0.0.5:443 open bash\n")
        asked, ended = drive(self.STEP, site(host=None), Outcome("ok", value=(self.QUIET, loud)), OK, CUT)
        assert asked[2] == Disconnect(DB)
        assert ended.reason.startswith("isolation is violated: db: 10.0.0.5:443 answers (tried with bash); it must not")

    def test_an_abort_is_one(self) -> None:
        asked, ended = drive(self.STEP, site(host=None), Outcome("ok", value=(self.QUIET, ABORTED)))
        assert ended == ABORTED
        assert len(asked) == 1


class TestSnapshot:
    STEP = KeepSnapshot(older={"web": ("snapshot-1", "snapshot-2"), "db": ("snapshot-3",)})
    TAKEN = Record(
        SnapshotTaken(run=7, host="web", environment="staging", snapshot="snapshot-9", name="quarterdeck-abc-run-7")
    )

    def test_carries_the_runs_token_and_replaces_our_older_ones(self) -> None:
        asked, ended = drive(self.STEP, site(), Outcome("ok", value="snapshot-9"))
        assert asked == [
            TakeSnapshot(WEB, "quarterdeck-abc-run-7", "R-1 run 7 on staging"),
            self.TAKEN,
            RemoveSnapshot(WEB, "snapshot-1"),
            Record(SnapshotRemoved(run=7, host="web", environment="staging", snapshot="snapshot-1")),
            RemoveSnapshot(WEB, "snapshot-2"),
            Record(SnapshotRemoved(run=7, host="web", environment="staging", snapshot="snapshot-2")),
        ]
        assert ended.ok

    def test_the_older_ones_stay_where_none_could_be_taken(self) -> None:
        asked, ended = drive(self.STEP, site(), LOST)
        assert [type(action) for action in asked] == [TakeSnapshot]
        assert ended == LOST

    def test_one_that_could_not_be_removed_is_not_said_to_be_gone(self) -> None:
        asked, ended = drive(self.STEP, site(), Outcome("ok", value="snapshot-9"), OK, LOST)
        assert asked[1:] == [self.TAKEN, RemoveSnapshot(WEB, "snapshot-1")]
        assert ended == LOST

    def test_says_by_which_steps_it_was_restored(self) -> None:
        asked, _ = drive(KeepSnapshot(older={}, recipe="abc"), site(), Outcome("ok", value="snapshot-9"))
        assert [action.event.recipe for action in asked if isinstance(action, Record)] == ["abc"]  # type: ignore[union-attr]

    def test_the_old_ones_go_before_a_restore(self) -> None:
        step = RemoveSnapshots({"web": ("snapshot-1",), "db": ("snapshot-3",)})
        removed = Record(SnapshotRemoved(run=7, host="web", environment="staging", snapshot="snapshot-1"))
        assert drive(step, site()) == ([RemoveSnapshot(WEB, "snapshot-1"), removed], OK)
        assert drive(step, site(), LOST) == ([RemoveSnapshot(WEB, "snapshot-1")], LOST)

    def test_an_earlier_restore_that_is_stood_on_is_on_the_ledger(self) -> None:
        asked, ended = drive(Reuse(of=3, restored="2026-11-23T19:00:00Z"), site(host=None))
        event = RestoreReused(run=7, of=3, restored="2026-11-23T19:00:00Z")
        assert without_notes(asked) == [Record(event)]
        assert ended.ok


class TestAttest:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (Outcome("ok", value="done"), OK),
            (Outcome("ok", value="failed", reason="no idea"), Outcome("errored", reason="no idea")),
            (
                Outcome("ok", value="failed"),
                Outcome("errored", reason="an admin says that it could not be brought back"),
            ),
            (ABORTED, ABORTED),
        ],
    )
    def test_an_admin_says_whether_prod_can_be_brought_back(self, answer: Outcome, expected: Outcome) -> None:
        asked, ended = drive(Attest(), site(environment="prod", host="db"), answer)
        question = "prod db has no snapshot. Can it be brought back as it is now?"
        assert asked == [Ask(question, ("done", "failed"), "admins")]
        assert ended == expected


class TestWatch:
    def test_begins_and_marks(self) -> None:
        assert drive(BeginWatch(), site(host=None))[1].ok
        for ok in (True, False):
            asked, ended = drive(Mark(mark="10m"), site(host=None, group_ok=ok))
            assert asked == [Record(WatchChecked(run=7, mark="10m", ok=ok))]
            assert ended.ok


FILES = {
    "handoff.yaml": (b"app: webshop\n", False),
    "scripts/001.sh": (b"#!/bin/sh\necho one\n", False),
    "files/bin/tool's $(x)": (b"#!/bin/sh\n", True),
    "files/data.txt": (b"data", False),
}
"""A package: what is in each file, and whether it is executable in the archive."""


class TestUnpack:
    """The command that unpacks, run by this machine's own shell."""

    def archive(self, base: Path, suffix: str) -> str:
        base.mkdir(parents=True)
        path = base / f"package{suffix}"
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w") as packed:
                for name, (data, executable) in FILES.items():
                    member = zipfile.ZipInfo(name)
                    member.external_attr = (0o100755 if executable else 0o100644) << 16
                    packed.writestr(member, data)
        else:
            with tarfile.open(path, "w:gz") as tar:
                for name, (data, executable) in FILES.items():
                    path_here = base / "member"
                    path_here.write_bytes(data)
                    path_here.chmod(0o755 if executable else 0o644)
                    tar.add(path_here, name)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(base / f"{digest}{suffix}")
        return digest

    def unpack(self, base: Path, digest: str, suffix: str, path: str | None = None) -> tuple[Outcome, Path, str]:
        where = site(base=str(base), digest=digest, suffix=suffix)
        seen: list[subprocess.CompletedProcess[str]] = []

        def answer(action: Action) -> Outcome:
            if isinstance(action, Upload):
                assert action == Upload(WEB, digest, f"{base}/{digest}{suffix}")
                return OK
            assert isinstance(action, Shell)
            ran = shell(action.command, base.parent, path)
            seen.append(ran)
            return Outcome("failed" if ran.returncode else "ok", exit=ran.returncode, reason="exit code")

        step = Unpack(executable=("scripts/001.sh",))
        _, ended = drive(step, where, answer, answer)
        return ended, Path(where.package), seen[0].stderr

    def check_unpacked(self, package: Path) -> None:
        found = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
        assert found == set(FILES)
        for name, (data, executable) in FILES.items():
            assert (package / name).read_bytes() == data
            assert os.access(package / name, os.X_OK) is (executable or name == "scripts/001.sh"), name

    @pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
    @pytest.mark.parametrize("folder", ["base", "a base with $HOME 'quotes'"])
    def test_the_archive_is_unpacked_and_what_is_executable_stays_so(
        self, tmp_path: Path, suffix: str, folder: str
    ) -> None:
        base = tmp_path / folder
        ended, package, _ = self.unpack(base, self.archive(base, suffix), suffix)
        assert ended.ok
        self.check_unpacked(package)

    @pytest.mark.parametrize("tool", ["unzip", "python3"])
    def test_either_tool_will_do_for_a_zip(self, tmp_path: Path, tool: str) -> None:
        base = tmp_path / "base"
        ended, package, _ = self.unpack(base, self.archive(base, ".zip"), ".zip", only(tmp_path, tool))
        assert ended.ok
        self.check_unpacked(package)

    def test_without_either_it_is_the_hosts_fault_and_says_so(self, tmp_path: Path) -> None:
        base = tmp_path / "base"
        ended, package, said = self.unpack(base, self.archive(base, ".zip"), ".zip", only(tmp_path))
        assert (ended.result, ended.exit, ended.reason) == ("errored", 4, "nothing here can unpack a zip")
        assert "install one, or hand off a tar.gz" in said
        assert not package.exists()

    def test_other_bytes_than_those_handed_off_are_not_unpacked(self, tmp_path: Path) -> None:
        base = tmp_path / "base"
        digest = self.archive(base, ".zip")
        (base / f"{digest}.zip").write_bytes(b"other bytes")
        ended, package, said = self.unpack(base, digest, ".zip")
        assert (ended.result, ended.exit) == ("errored", 3)
        assert ended.reason == "the archive on the host is not what was handed off"
        assert digest in said
        assert not package.exists()

    def test_what_does_not_unpack_is_the_hosts_fault_not_the_packages(self, tmp_path: Path) -> None:
        base = tmp_path / "base"
        base.mkdir()
        digest = hashlib.sha256(b"no archive").hexdigest()
        (base / f"{digest}.tar.gz").write_bytes(b"no archive")
        ended, package, _ = self.unpack(base, digest, ".tar.gz")
        assert ended.result == "errored"
        assert ended.reason.startswith("the package could not be unpacked: ")
        assert not package.exists()

    def test_it_begins_with_a_fresh_directory_every_time(self, tmp_path: Path) -> None:
        base = tmp_path / "base"
        digest = self.archive(base, ".tar.gz")
        package = Path(site(base=str(base)).package)
        for stale in (package.name, f"{package.name}.new"):
            (base / stale).mkdir()
            (base / stale / "stale").write_text("from an attempt before")
        ended, package, _ = self.unpack(base, digest, ".tar.gz")
        assert ended.ok
        self.check_unpacked(package)
        assert not (base / f"{package.name}.new").exists()

    def test_a_package_without_scripts_is_unpacked(self, tmp_path: Path) -> None:
        base = tmp_path / "base"
        digest = self.archive(base, ".zip")
        where = site(base=str(base), digest=digest, suffix=".zip")
        asked, _ = drive(Unpack(executable=()), where)
        (command,) = [action.command for action in asked if isinstance(action, Shell)]
        assert shell(command, tmp_path).returncode == 0
        assert Path(where.package, "scripts/001.sh").exists()
        assert not os.access(Path(where.package, "scripts/001.sh"), os.X_OK)

    @pytest.mark.parametrize("outcome", [LOST, ABORTED])
    def test_an_upload_that_did_not_arrive_is_not_unpacked(self, outcome: Outcome) -> None:
        asked, ended = drive(Unpack(executable=()), site(), outcome)
        assert asked == [Upload(WEB, DIGEST, f"/var/tmp/quarterdeck/abc/{DIGEST}.tar.gz")]
        assert ended == outcome

    @pytest.mark.parametrize("outcome", [LOST, ABORTED])
    def test_a_lost_or_stopped_command_is_told_as_it_ended(self, outcome: Outcome) -> None:
        assert drive(Unpack(executable=()), site(), OK, outcome)[1] == outcome
