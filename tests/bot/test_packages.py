"""Folders are read like archives, packed to the same bytes each time, and archives kept exactly."""

import hashlib
import os
import socket
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from makers import FILES, MEGABYTE, codes, tar_of, zip_of

from bot.archives.contents import read
from bot.archives.files import beside
from bot.config import Packages
from bot.packages import PackageRefused, Store, inspect, pack
from plans.errors import Refusal


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "package"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "folder"
    for name, data in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    (top / "scripts/go.sh").chmod(0o755)
    return top


def test_a_folder_is_read_like_its_archive(folder: Path) -> None:
    package, findings = inspect(folder)
    assert package is not None
    assert findings == ()
    assert [member.path for member in package.members if member.executable] == ["scripts/go.sh"]


def test_what_is_no_file_in_a_folder_is_refused_and_never_opened(folder: Path) -> None:
    (folder / "files/link").symlink_to("/etc/passwd")
    (folder / "files/loop").symlink_to("..")
    os.mkfifo(folder / "files/pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.relpath(folder / "files/socket"))
        assert sorted(codes(folder)) == ["device", "device", "link", "link"]


def test_a_pipe_in_place_of_a_package_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert codes(tmp_path / "pipe") == ["unreadable"]
    assert codes(tmp_path / "nothing") == ["unreadable"]


def test_forbidden_content_and_keys_are_found_in_every_file(folder: Path) -> None:
    (folder / "files/a/b.txt").write_bytes(b"1\n2\nTest Customer\n")
    (folder / "README").write_bytes(b"-----BEGIN PRIVATE KEY-----")
    contents = read(folder, max_bytes=MEGABYTE, rules=Packages(forbidden_content=("Test Customer",)))
    assert [(finding.code, finding.place) for finding in contents.findings] == [
        ("private_key", "README, line 1"),
        ("forbidden_content", "files/a/b.txt, line 3"),
    ]


def test_a_folder_that_is_too_large_is_refused(folder: Path) -> None:
    [finding] = read(folder, max_bytes=1000, rules=Packages()).unsafe
    assert finding.code == "too_large"


def test_an_endless_manifest_is_not_kept(folder: Path) -> None:
    (folder / "handoff.yaml").write_bytes(b"# x\n" * 3_000_000)
    contents = read(folder, max_bytes=100 * MEGABYTE, rules=Packages())
    assert contents.manifest is not None
    assert len(contents.manifest) == MEGABYTE + 1
    assert codes(folder) == ["invalid_manifest"]


# Packing.


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_the_same_folder_gives_the_same_bytes(folder: Path, tmp_path: Path, suffix: str) -> None:
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    digest = pack(folder, one)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    (folder / "files/a/b.txt").chmod(0o600)
    (folder / "empty").mkdir()
    assert pack(folder, two) == digest == hashlib.sha256(one.read_bytes()).hexdigest()
    assert one.read_bytes() == two.read_bytes()
    packed, findings = inspect(one)
    unpacked, _ = inspect(folder)
    assert packed is not None
    assert unpacked is not None
    assert findings == ()
    assert sorted(packed.members, key=lambda m: m.path) == sorted(unpacked.members, key=lambda m: m.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", f"one{suffix}", f"two{suffix}"]


def test_other_tools_unpack_what_was_packed(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "one.zip")
    pack(folder, tmp_path / "one.tar.gz")
    with zipfile.ZipFile(tmp_path / "one.zip") as made:
        assert {info.filename: made.read(info) for info in made.infolist()} == FILES
        assert made.testzip() is None
    with tarfile.open(tmp_path / "one.tar.gz") as tar:
        assert {(m.uid, m.gid, m.uname, m.mtime) for m in tar} == {(0, 0, "", 315_532_800)}
        assert {m.name: m.mode for m in tar} == {name: 0o755 if name == "scripts/go.sh" else 0o644 for name in FILES}


def test_what_check_refuses_is_not_packed(folder: Path, tmp_path: Path) -> None:
    (folder / "DEPLOY.md").unlink()
    with pytest.raises(PackageRefused) as caught:
        pack(folder, tmp_path / "out.zip")
    assert [finding.code for finding in caught.value.findings] == ["no_document"]
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize(
    ("out", "code"), [("folder/out.zip", "inside_itself"), ("out.rar", "wrong_suffix"), ("no/out.zip", "unreadable")]
)
def test_a_place_that_a_package_cannot_be_packed_to(folder: Path, tmp_path: Path, out: str, code: str) -> None:
    with pytest.raises(Refusal, match=code):
        pack(folder, tmp_path / out)


# The store.


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "var", MEGABYTE)


def test_an_archive_is_kept_under_its_digest_for_its_owner_alone(store: Store, archive: Path) -> None:
    archive.write_bytes(zip_of(FILES))
    digest = store.add(archive)
    assert store.add(archive) == digest
    kept = store.path(digest)
    assert (kept.name, kept.read_bytes()) == (f"{digest}.zip", archive.read_bytes())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    assert store.package(digest).manifest.version == "2.4.1"


def test_what_a_killed_process_had_begun_to_keep_takes_up_no_room_for_long(store: Store, archive: Path) -> None:
    archive.write_bytes(zip_of(FILES))
    digest = store.add(archive)
    with beside(store.path(digest).parent) as (_, begun):
        Store(archive.parent / "var", MEGABYTE)
        assert not begun.exists()
    assert store.verify(digest)


def test_bytes_that_changed_in_the_store_are_noticed(store: Store, archive: Path) -> None:
    archive.write_bytes(tar_of(FILES))
    digest = store.add(archive)
    assert store.verify(digest) == store.path(digest)
    store.path(digest).write_bytes(tar_of(FILES | {"files/more": b""}))
    for use in (store.verify, store.package):
        with pytest.raises(Refusal, match="package_changed"):
            use(digest)


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", "", "A" * 64])
def test_what_is_not_in_the_store(store: Store, digest: str) -> None:
    with pytest.raises(Refusal, match="unknown_package"):
        store.path(digest)


def test_what_is_too_large_or_no_archive_is_not_kept(store: Store, archive: Path) -> None:
    for data, code in ((zip_of({"a": os.urandom(MEGABYTE)}), "too_large"), (b"hello", "unreadable")):
        archive.write_bytes(data)
        with pytest.raises(Refusal, match=code):
            store.add(archive)
    assert list((archive.parent / "var/packages").iterdir()) == []
