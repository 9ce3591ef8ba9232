"""What becomes a release, what is refused, and what the ledger keeps of either."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from deck_room import SAMPLES, configured, packed

from bot.board import Board
from bot.config import Settings
from bot.intake import Intake
from bot.ledger import Ledger
from bot.packages import Store
from lab.seed import ARCHIVES
from plans.errors import Refusal
from plans.events import PackageRefused, ReleaseWithdrawn
from plans.records import Release


class Yard:
    """An intake over a ledger of its own."""

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = configured(folder)
        self.board = Board(Ledger.open(self.settings.data_dir))
        self.store = Store(self.settings.data_dir, self.settings.max_bytes)
        self.intake = Intake(self.board, self.settings, self.store)
        self.refused: list[tuple[str, PackageRefused]] = []
        self.board.listeners.append(
            lambda entry: (
                self.refused.append((entry.by, entry.event)) if isinstance(entry.event, PackageRefused) else None
            )
        )

    def hands_off(self, sample: str, by: str = "U01DEV") -> Release:
        return self.intake.hand_off(str(packed(self.settings, sample)), by=by)[0]

    def altered(self, name: str, *, manifest: tuple[str, str] = ("", ""), **files: bytes) -> Path:
        """The sample 2.4.1 with a word of its manifest replaced, and files in it, as an archive in drops/."""
        drops = self.settings.path.parent / "drops"
        shutil.copytree(SAMPLES / "packages" / "webshop-2.4.1", drops / name)
        text = (drops / name / "handoff.yaml").read_text()
        assert manifest[0] in text
        (drops / name / "handoff.yaml").write_text(text.replace(*manifest))
        for path, data in files.items():
            (drops / name / path).write_bytes(data)
        return Path(shutil.make_archive(str(drops / name), "zip", drops / name))


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.board.close()


def refusal(yard: Yard, source: str, digest: str | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        yard.intake.hand_off(source, by="U01DEV", digest=digest)
    return caught.value


def test_a_package_becomes_the_next_release_with_what_it_says_of_itself(yard: Yard) -> None:
    first, second = yard.hands_off("webshop-2.4.0"), yard.hands_off("webshop-2.4.1")
    assert (first.id, second.id) == ("R-1", "R-2")
    assert (second.app, second.version, second.by) == ("webshop", "2.4.1", "U01DEV")
    assert any(change.startswith("SHOP-101 ") and change.endswith("(database)") for change in second.changes)
    archive = yard.store.verify(second.digest)
    assert archive.read_bytes() == packed(yard.settings, "webshop-2.4.1").read_bytes()
    assert second.bytes == archive.stat().st_size


def test_the_same_bytes_are_the_release_that_they_were_whoever_brings_them(yard: Yard) -> None:
    first = yard.hands_off("webshop-2.4.1")
    again, new = yard.intake.hand_off(str(packed(yard.settings)), by="U02ADMIN")
    assert (again, new) == (first, False)


def test_the_same_bytes_from_many_at_once_are_one_release(yard: Yard) -> None:
    path = str(packed(yard.settings))
    found: list[tuple[str, bool]] = []
    start = threading.Barrier(4)

    def hand_off() -> None:
        start.wait(30)
        release, new = yard.intake.hand_off(path, by="U01DEV")
        found.append((release.id, new))

    threads = [threading.Thread(target=hand_off) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == [("R-1", False), ("R-1", False), ("R-1", False), ("R-1", True)]


def test_withdrawn_bytes_are_refused_with_the_reason(yard: Yard) -> None:
    yard.hands_off("webshop-2.4.1")
    yard.board.record("U01DEV", ReleaseWithdrawn(release="R-1", reason="a script is missing"))
    told = refusal(yard, str(packed(yard.settings)))
    assert told.code == "withdrawn"
    assert "R-1" in told.message
    assert "a script is missing" in told.message


def test_the_same_version_with_other_bytes_is_warned_of(yard: Yard) -> None:
    yard.hands_off("webshop-2.4.1")
    path = yard.altered("other", manifest=("summary:", "summary: Another"))
    release, new = yard.intake.hand_off(str(path), by="U01DEV")
    assert (release.id, new) == ("R-2", True)
    assert release.warnings == ("version: 2.4.1: R-1 is webshop 2.4.1 too, with other bytes.",)


def test_what_it_is_warned_of_is_kept_on_the_release_and_refuses_nothing(yard: Yard) -> None:
    path = yard.altered("risky", manifest=("id: SHOP-98", "id: SHOP-97"))
    release, new = yard.intake.hand_off(str(path), by="U01DEV")
    assert (release.id, new) == ("R-1", True)
    assert release.warnings == ("changes: SHOP-97: No check of the test plan names SHOP-97.",)
    assert yard.board.release("R-1").warnings == release.warnings


def test_no_sample_is_warned_of(yard: Yard) -> None:
    for sample in ARCHIVES:
        assert yard.hands_off(sample).warnings == ()


def test_every_finding_is_in_the_refusal_and_its_code_on_the_ledger(yard: Yard) -> None:
    key = b"-----BEGIN " + b"OPENSSH PRIVATE KEY-----\n"
    path = yard.altered("bad", manifest=("on: web", "on: cache"), **{"files/id_rsa": key})
    told = refusal(yard, str(path))
    assert told.code == "package_refused"
    assert str(path) in told.message
    for said in ("unknown_role: deploy: ", "private_key: files/id_rsa, line 1", "uncovered_file: files/id_rsa"):
        assert said in told.hint
    by, event = yard.refused[0]
    assert by == "U01DEV"
    assert set(event.findings) == {"unknown_role", "private_key", "uncovered_file"}
    assert list(yard.board.table(Release)) == []


def test_an_app_that_nobody_configured_is_a_finding(yard: Yard) -> None:
    path = yard.altered("strange", manifest=("app: webshop", "app: warehouse"))
    told = refusal(yard, str(path))
    assert "unknown_app" in told.hint
    assert "webshop, crm" in told.hint


def test_what_is_no_archive_is_refused_and_kept_on_the_ledger(yard: Yard) -> None:
    path = yard.settings.path.parent / "drops" / "x.zip"
    path.write_bytes(b"hello")
    assert refusal(yard, str(path)).code == "unreadable"
    assert yard.refused[0][1].findings == ("unreadable",)


def test_a_source_that_is_not_there_or_not_allowed_is_no_refused_package(yard: Yard) -> None:
    drops = yard.settings.path.parent / "drops"
    assert refusal(yard, str(drops / "none.zip")).code == "unreachable"
    assert refusal(yard, "/etc/passwd").code == "source_not_allowed"
    assert yard.refused == []


def test_secrets_reach_the_ledger_in_nothing_that_a_developer_writes(yard: Yard) -> None:
    path = yard.altered("leaky", manifest=("summary:", "summary: hunter2 is secret and"))
    release, _ = yard.intake.hand_off(str(path), by="U01DEV", notes="it is hunter2 is secret")
    assert "[masked]" in release.summary
    assert release.notes == "it is [masked]"
    assert "hunter2" not in yard.board.ledger.path.read_text()
