"""How developers are let in to a failed staging: which keys, for how long, and what a host's /bin/sh makes of it."""

import os
import subprocess
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from builders import STAGING, Story, drive, material, site, staging
from msgspec.structs import replace

from plans.actions import Shell
from plans.calendars import OfficeHours
from plans.environment import Environment
from plans.errors import Refusal
from plans.events import SnapshotTaken
from plans.inspections import (
    Inspecting,
    OverSsh,
    TakeKeysOff,
    closes,
    letting_in,
    mark,
    public_key,
    taking_off,
    way_in,
)
from plans.rehearsal import rehearsal, reset
from plans.rule_events import InspectionClosed, InspectionEntered, InspectionOpened
from plans.rule_records import Inspection

BERLIN = ZoneInfo("Europe/Berlin")
OF = mark("abc")


def key(kind: str = "ssh-ed25519", inside: str = "") -> str:
    name = (inside or kind).encode()
    return f"{kind} {b64encode(len(name).to_bytes(4, 'big') + name + bytes(36)).decode()}"


@pytest.mark.parametrize(
    ("finished", "hours", "until"),
    [
        ("2026-11-23T21:00:00Z", None, "2026-11-23T23:00:00"),
        ("2026-11-23T21:00:00Z", OfficeHours(), "2026-11-24T09:00:00"),
        ("2026-11-23T16:00:00Z", OfficeHours(), "2026-11-24T08:00:00"),
        ("2026-11-27T16:30:00Z", OfficeHours(), "2026-11-30T08:30:00"),
    ],
)
def test_the_countdown_is_of_office_hours_where_there_are_some(
    finished: str, hours: OfficeHours | None, until: str
) -> None:
    assert closes(finished, 7200, hours, BERLIN) == datetime.fromisoformat(until).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", [f"{key()} ann@laptop\n", f"\n{key('ssh-rsa')}\n", key("ecdsa-sha2-nistp256")])
def test_a_public_key_is_its_kind_and_itself(text: str) -> None:
    assert public_key(text, "U01DEV") == " ".join(text.split()[:2])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        f"{key()}\n{key()}\n",
        f'command="sh" {key()}',
        f"restrict {key()}",
        key("ssh-dss"),
        key("ssh-ed25519", inside="ssh-rsa"),
        "ssh-ed25519 AAAA;rm",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n",
    ],
)
def test_anything_else_is_no_public_key(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        public_key(text, "U01DEV")
    assert refused.value.code == "bad_key"
    assert "U01DEV" in refused.value.message


@pytest.mark.parametrize(
    ("port", "gateway", "typed"),
    [
        (22, "", "web: ssh deploy@10.0.0.9"),
        (2222, "jump:22", "web: ssh -J jump:22 -p 2222 deploy@10.0.0.9"),
    ],
)
def test_what_a_developer_types(port: int, gateway: str, typed: str) -> None:
    assert way_in("web", "10.0.0.9", port, "deploy", gateway) == typed


class Host:
    """A login directory, and the real shell."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / ".ssh" / "authorized_keys"

    def __call__(self, command: str) -> subprocess.CompletedProcess[str]:
        env = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        return subprocess.run(["/bin/sh", "-c", command], env=env, capture_output=True, text=True, timeout=20)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_keys_are_put_on_beside_those_that_are_there_and_taken_off_again(host: Host) -> None:
    host.file.parent.mkdir(mode=0o700)
    host.file.write_text("ssh-ed25519 AAAA the bot's own")  # without an end of line
    assert host(letting_in({"U01DEV": key(), "U09DEV": key("ssh-rsa")}, OF, 3, "")).returncode == 0
    assert host.file.read_text().splitlines() == [
        "ssh-ed25519 AAAA the bot's own",
        f"restrict,pty {key()} quarterdeck-inspection-abc-run-3-U01DEV",
        f"restrict,pty {key('ssh-rsa')} quarterdeck-inspection-abc-run-3-U09DEV",
    ]
    assert host.file.stat().st_mode & 0o777 == 0o600
    assert host(letting_in({"U01DEV": key()}, OF, 3, "")).returncode == 0
    assert len(host.file.read_text().splitlines()) == 2, "once more is no more"
    assert host(taking_off(OF, "")).returncode == 0
    assert host.file.read_text() == "ssh-ed25519 AAAA the bot's own\n"
    assert sorted(path.name for path in host.file.parent.iterdir()) == ["authorized_keys"]


def test_where_there_is_no_file_one_is_made_and_where_there_is_nothing_to_take_off_nothing_is(host: Host) -> None:
    assert host(taking_off(OF, "")).returncode == 0
    assert not host.file.parent.exists()
    assert host(letting_in({"U01DEV": key()}, OF, 3, "")).returncode == 0
    assert host.file.parent.stat().st_mode & 0o777 == 0o700
    assert host(taking_off(mark("another"), "")).returncode == 0
    assert len(host.file.read_text().splitlines()) == 1, "another ledger's are its own"
    assert host(taking_off(OF, "")).returncode == 0
    assert host.file.read_text() == ""


def test_a_link_is_left_alone(host: Host) -> None:
    host.file.parent.mkdir()
    (host.home / "managed").write_text("")
    host.file.symlink_to(host.home / "managed")
    refused = host(letting_in({"U01DEV": key()}, OF, 3, ""))
    assert refused.returncode == 1
    assert "is a link" in refused.stderr
    assert (host.home / "managed").read_text() == ""


def test_another_user_of_the_host_is_reached_through_sudo_and_the_same_one_is_not(host: Host, tmp_path: Path) -> None:
    sudo = tmp_path / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\necho "$1 $2 $3 $4" >>"$HOME/asked"\nshift 4\nexec "$@"\n')
    sudo.chmod(0o755)
    me = subprocess.check_output(["id", "-un"], text=True).strip()
    path = f"PATH={sudo.parent}:$PATH\n"
    assert host(path + letting_in({"U01DEV": key()}, OF, 3, me)).returncode == 0
    assert not (host.home / "asked").exists()
    assert host(path + taking_off(OF, "inspector")).returncode == 0
    assert (host.home / "asked").read_text() == "-n -H -u inspector\n"
    assert host.file.read_text() == ""


INSPECTED = STAGING + 'inspection: {ssh: {people: {U01DEV: keys/dev.pub}, user: ""}}\n'


def test_every_run_there_takes_the_keys_off_as_soon_as_the_hosts_answer() -> None:
    there = staging(INSPECTED)
    assert there.inspection == Inspecting(ssh=OverSsh(people={"U01DEV": "keys/dev.pub"}))
    names = [step.name for step in rehearsal(material(target=there)).steps]
    assert names.index("Take the keys of an inspection off") == names.index("Wait until it answers") + 1
    (step,) = [step for step in rehearsal(material(target=there)).steps if isinstance(step.step, TakeKeysOff)]
    assert step.hosts == ("web", "db")
    assert not any(isinstance(step.step, TakeKeysOff) for step in rehearsal(material()).steps)
    asked, end = drive(TakeKeysOff(user="ann"), site())
    assert asked == [Shell(at=site().at, command=taking_off(OF, "ann"), timeout=60.0)]
    assert end.ok


def test_hosts_without_ssh_or_without_a_posix_shell_have_no_such_step() -> None:
    named = staging(INSPECTED).named()
    hosts = {"web": replace(named["web"], shell="powershell"), "db": named["db"]}
    there = replace(staging(INSPECTED), hosts=hosts)
    (step,) = [step for step in rehearsal(material(target=there)).steps if isinstance(step.step, TakeKeysOff)]
    assert step.hosts == ("db",)


@pytest.mark.parametrize("text", ["people: {ann: k}", "people: {U01DEV: k}, user: 'a b'", "user: deploy"])
def test_who_may_be_let_in_is_a_user_of_slack_and_a_user_of_the_host(text: str) -> None:
    with pytest.raises(Refusal):
        staging(STAGING + f"inspection: {{ssh: {{{text}}}}}\n")


class TestOnTheBoard:
    OPENED = InspectionOpened(run=1, environment="staging", until="2026-11-24T09:00:00Z")

    def opened(self) -> Story:
        return Story().begin().end("failed").tell(self.OPENED)

    def test_it_opens_with_a_bundle_for_the_thread(self) -> None:
        story = self.opened()
        assert story.documents["inspections", "staging"] == Inspection(
            environment="staging", run=1, until="2026-11-24T09:00:00Z", at=story.entries[-1].at
        )
        assert "run/1/end/log/1" in story.outbox

    def test_who_came_in_is_known_and_told(self) -> None:
        story = self.opened()
        story.tell(InspectionEntered(run=1, environment="staging", people=("U01DEV",), hosts=("web",), ways=("ssh",)))
        found = story.documents["inspections", "staging"]
        assert isinstance(found, Inspection)
        assert (found.people, found.hosts) == (("U01DEV",), ("web",))
        assert f"run/1/visit/{story.entries[-1].seq}" in story.outbox

    def test_it_is_closed_for_its_own_run_alone(self) -> None:
        story = self.opened()
        story.tell(InspectionClosed(run=9, environment="staging", why="no"))
        assert ("inspections", "staging") in story.documents
        story.tell(InspectionClosed(run=1, environment="staging", why="run 2 (reset) begins there"))
        assert ("inspections", "staging") not in story.documents


def test_a_reset_takes_them_off_too() -> None:
    there: Environment = staging(INSPECTED)
    story = Story().begin()
    for name in ("web", "db"):
        story.tell(SnapshotTaken(run=1, host=name, environment="staging", snapshot=f"s-{name}", name="s"))
    state = story.environment()
    steps = reset(material(target=there, state=state)).steps
    assert [step.name for step in steps][-1] == "Take the keys of an inspection off"
