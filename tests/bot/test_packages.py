"""Archives of every bad kind are refused before a byte of them is unpacked; good ones are packed and kept exactly."""

import gzip
import hashlib
import io
import os
import socket
import stat
import struct
import tarfile
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import Packages
from bot.contents import read
from bot.packages import PackageRefused, Store, inspect, pack
from bot.sources import fetch
from plans.errors import Refusal

MANIFEST = b"""\
app: webshop
version: 2.4.1
summary: Order history
changes:
  - {id: SHOP-1, kind: code, summary: The page, paths: [files/, scripts/]}
deploy:
  - {name: Install, on: web, copy: {from: files/, to: /srv/}}
  - {name: Migrate, on: web, script: scripts/go.sh}
rollback:
  - {name: Undo, on: web, run: ./undo}
"""
FILES = {
    "handoff.yaml": MANIFEST,
    "DEPLOY.md": b"Install, Migrate, Undo",
    "files/a/b.txt": b"hello\n" * 1000,
    "scripts/go.sh": b"#!/bin/sh\necho go\n",
}
MEGABYTE = 1_000_000


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(mode="w:gz", fileobj=out) as tar:
        for name, data in files.items():
            tar.addfile(header(name, len(data)), io.BytesIO(data))
    return out.getvalue()


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, mode: int = 0o755) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode = size, kind, mode
    return info


def tar_with(*members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(mode="w:gz", fileobj=out) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return out.getvalue()


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2026, 11, 1, 0, 0, 0))
            info.compress_type, info.external_attr = method, (stat.S_IFREG | 0o755) << 16
            made.writestr(info, data)
    return out.getvalue()


def zip_with(name: str, mode: int = stat.S_IFREG | 0o644, *, system: int = 3) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        info = zipfile.ZipInfo("x")
        info.filename, info.create_system, info.external_attr = name, system, mode << 16
        made.writestr(info, b"data")
    return out.getvalue()


def codes(path: Path, data: bytes | None = None) -> list[str]:
    """The codes of all findings about an archive, or the code with which reading it is refused."""
    if data is not None:
        path.write_bytes(data)
    try:
        _, findings = inspect(path)
    except Refusal as refusal:
        return [refusal.code]
    return [finding.code for finding in findings]


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


@pytest.mark.parametrize(
    "data",
    [tar_of(FILES), zip_of(FILES), zip_of(FILES, zipfile.ZIP_STORED), tar_of({f"./{k}": v for k, v in FILES.items()})],
    ids=["tar.gz", "zip", "stored zip", "tar.gz of ."],
)
def test_a_good_archive_is_read_whole(archive: Path, data: bytes) -> None:
    archive.write_bytes(data)
    package, findings = inspect(archive)
    assert package is not None
    assert findings == ()
    assert package.digest == hashlib.sha256(data).hexdigest()
    assert package.bytes == len(data)
    assert {member.path: member.digest for member in package.members} == {
        name: hashlib.sha256(text).hexdigest() for name, text in FILES.items()
    }


def test_a_zip_that_was_streamed_is_read_too(archive: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as made:  # type: ignore[arg-type]
        for name, data in FILES.items():
            made.writestr(name, data)
    assert codes(archive, pipe.data) == ["not_executable"]


def test_long_names_are_read_from_both_kinds_of_tar(archive: Path) -> None:
    long = "files/" + "/".join(["folder" * 10] * 5) + "/ä.txt"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        out = io.BytesIO()
        with tarfile.open(mode="w:gz", fileobj=out, format=form) as tar:
            for name, data in (FILES | {long: b"x"}).items():
                tar.addfile(header(name, len(data)), io.BytesIO(data))
        archive.write_bytes(out.getvalue())
        package, findings = inspect(archive)
        assert package is not None
        assert findings == ()
        assert long in {member.path for member in package.members}


def pax(**records: str) -> bytes:
    info = header("a", 3)
    info.pax_headers = records
    out = io.BytesIO()
    with tarfile.open(mode="w:gz", fileobj=out, format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


LINK = header("a", kind=tarfile.SYMTYPE)
LINK.linkname = "/etc/passwd"

HOSTILE = {
    "tar: absolute path": (tar_with(header("/etc/cron.d/x")), ["absolute_path"]),
    "tar: parent path": (tar_with(header("../x")), ["parent_path"]),
    "tar: backslash": (tar_with(header("a\\b")), ["backslash"]),
    "tar: drive letter": (tar_with(header("C:/x")), ["absolute_path"]),
    "tar: line end in a name": (tar_with(header("a\nb")), ["bad_name"]),
    "tar: symbolic link": (tar_with(LINK), ["link"]),
    "tar: hard link": (tar_with(header("b", kind=tarfile.LNKTYPE)), ["link"]),
    "tar: character device": (tar_with(header("b", kind=tarfile.CHRTYPE)), ["device"]),
    "tar: block device": (tar_with(header("b", kind=tarfile.BLKTYPE)), ["device"]),
    "tar: pipe": (tar_with(header("b", kind=tarfile.FIFOTYPE)), ["device"]),
    "tar: setuid": (tar_with(header("b", mode=0o4755)), ["special_bits"]),
    "tar: same name twice": (tar_with(header("b"), header("b")), ["duplicate_name"]),
    "tar: names that differ by case": (tar_with(header("b"), header("B")), ["case_collision"]),
    "tar: file and folder": (tar_with(header("b"), header("b/c")), ["file_and_folder"]),
    "tar: sparse": (tar_with(header("b", kind=tarfile.GNUTYPE_SPARSE)), ["unreadable"]),
    "tar: unknown kind": (tar_with(header("b", kind=b"Z")), ["unreadable"]),
    "tar: name in a pax header": (pax(path="../../x"), ["parent_path"]),
    "tar: name in a pax header that is not UTF-8": (
        gzip.compress(gzip.decompress(pax(path="aäb")).replace("ä".encode(), b"\xff\xff")),
        ["name_not_utf8"],
    ),
    "tar: size in a pax header": (pax(size="99999999"), ["unreadable"]),
    "tar: negative size in a pax header": (pax(size="-512"), ["unreadable"]),
    "tar: sparse by a pax header": (pax(**{"GNU.sparse.major": "1"}), ["unreadable"]),
    "tar: a bare gzip": (gzip.compress(b"hello"), ["unreadable"]),
    "tar: an empty gzip": (gzip.compress(b""), ["unreadable"]),
    "tar: a tar without gzip": (gzip.decompress(tar_of(FILES)), ["unreadable"]),
    "tar: bytes behind the end": (gzip.compress(gzip.decompress(tar_of(FILES)) + b"x" * 512), ["unreadable"]),
    "tar: an archive behind the end": (tar_of(FILES) + tar_of({"files/hidden": b""}), ["unreadable"]),
    "tar: garbage behind the gzip": (tar_of(FILES) + b"garbage", ["unreadable"]),
    "tar: cut off": (tar_of(FILES)[:-20], ["unreadable"]),
    "tar: cut off within": (gzip.compress(gzip.decompress(tar_of(FILES))[:3000]), ["unreadable"]),
    "zip: absolute path": (zip_with("/etc/cron.d/x"), ["absolute_path"]),
    "zip: parent path": (zip_with("a/../../x"), ["parent_path"]),
    "zip: backslash": (zip_with("a\\b"), ["backslash"]),
    "zip: drive letter": (zip_with("C:x"), ["absolute_path"]),
    "zip: NUL in a name": (zip_with("a\0b"), ["bad_name"]),
    "zip: symbolic link": (zip_with("a", stat.S_IFLNK | 0o777), ["link"]),
    "zip: symbolic link of a FAT system": (zip_with("a", stat.S_IFLNK | 0o777, system=0), ["link"]),
    "zip: pipe": (zip_with("a", stat.S_IFIFO | 0o644), ["device"]),
    "zip: setuid": (zip_with("a", stat.S_IFREG | 0o4755), ["special_bits"]),
    "zip: folder with bytes": (zip_with("a/", stat.S_IFDIR | 0o755), ["unreadable"]),
    "zip: file with a folder's name": (zip_with("a/"), ["bad_name"]),
    "zip: name of an old code page": (zip_with("ab").replace(b"ab", b"\x84b"), ["name_not_utf8"]),
    "zip: two names in one header": (zip_with("abc").replace(b"abc", b"abd", 1), ["unreadable"]),
    "zip: bytes in front": (b"PK" + b"x" * 40 + zip_of(FILES), ["unreadable"]),
    "zip: bytes behind": (zip_of(FILES) + b"x", ["unreadable"]),
    "zip: cut off": (zip_of(FILES)[:-30], ["unreadable"]),
    "zip: empty": (b"PK", ["unreadable"]),
    "neither": (b"hello", ["unreadable"]),
    "nothing": (b"", ["unreadable"]),
}


@pytest.mark.parametrize(("data", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused(archive: Path, data: bytes, expected: list[str]) -> None:
    assert codes(archive, data) == expected


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """The zip with other bytes in its first structure of that signature."""
    at = data.index(signature) + offset
    return data[:at] + value + data[at + len(value) :]


ONE = zip_of({"a": b"hello" * 100})
CENTRAL, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"
FORGED = {
    "encrypted": patched(patched(ONE, CENTRAL, 8, b"\1\0"), LOCAL, 6, b"\1\0"),
    "other method": patched(patched(ONE, CENTRAL, 10, b"\x0e\0"), LOCAL, 8, b"\x0e\0"),
    "methods that differ": patched(ONE, LOCAL, 8, b"\0\0"),
    "checksums that differ": patched(ONE, LOCAL, 14, b"\0\0\0\0"),
    "a size that is too small": patched(patched(ONE, CENTRAL, 24, b"\x05\0\0\0"), LOCAL, 22, b"\x05\0\0\0"),
    "a size that is too large": patched(patched(ONE, CENTRAL, 24, b"\xff\xff\0\0"), LOCAL, 22, b"\xff\xff\0\0"),
    "a packed size past the end": patched(patched(ONE, CENTRAL, 20, b"\xff\xff\0\0"), LOCAL, 18, b"\xff\xff\0\0"),
    "an offset past the end": patched(ONE, CENTRAL, 42, b"\xff\xff\0\0"),
    "a directory past the end": patched(ONE, END, 16, b"\xff\xff\0\0"),
    "more members than there are": patched(ONE, END, 8, b"\2\0\2\0"),
    "fewer members than there are": patched(zip_of({"a": b"1", "b": b"2"}), END, 8, b"\1\0\1\0"),
    "several disks": patched(ONE, END, 4, b"\1\0"),
    "a size of four gigabytes": patched(ONE, END, 12, b"\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED)
def test_a_zip_whose_parts_contradict_each_other_cannot_be_read(archive: Path, data: bytes) -> None:
    assert codes(archive, data) == ["unreadable"]


def test_members_of_a_zip_that_share_their_bytes_cannot_be_read(archive: Path) -> None:
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packed.compress(bytes(MEGABYTE)) + packed.flush()
    sizes = (zlib.crc32(bytes(MEGABYTE)), len(body), MEGABYTE)
    local = struct.pack("<4s5H3L2H", LOCAL, 20, 0, 8, 0, 33, *sizes, 1, 0)
    central = (struct.pack("<4s6H3L5H2L", CENTRAL, 20, 20, 0, 8, 0, 33, *sizes, 1, 0, 0, 0, 0, 0, 0) + b"a") * 100
    front = local + b"a" + body
    end = struct.pack("<4s4H2LH", END, 0, 0, 100, 100, len(central), len(front), 0)
    assert codes(archive, front + central + end) == ["unreadable"]


def test_another_name_in_an_extra_field_is_refused(archive: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        info = zipfile.ZipInfo("files/a")
        info.extra = struct.pack("<2HBL", 0x7075, 5 + 6, 1, 0) + b"../../"
        made.writestr(info, b"x")
    assert codes(archive, out.getvalue()) == ["unreadable"]


def test_an_archive_that_would_fill_the_disk_is_refused_while_it_is_read(archive: Path) -> None:
    bomb = {"files/zeros": bytes(60 * MEGABYTE)}
    for data in (tar_of(bomb), zip_of(bomb)):
        assert codes(archive, data) == ["bomb"]


def test_a_member_or_archive_that_is_too_large_is_refused(archive: Path, folder: Path) -> None:
    noise = os.urandom(2 * MEGABYTE)
    for data in (tar_of({"a": noise}), zip_of({"a": bytes(2 * MEGABYTE)}), zip_of({"a": noise})):
        archive.write_bytes(data)
        [finding] = read(archive, max_bytes=MEGABYTE, rules=Packages()).unsafe
        assert finding.code == "too_large"
        assert "1,000,000 bytes" in finding.message
    [finding] = read(folder, max_bytes=1000, rules=Packages()).unsafe
    assert finding.code == "too_large"


def test_a_header_that_claims_gigabytes_costs_no_memory(archive: Path) -> None:
    claim = header("long", 1 << 33, kind=tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)
    archive.write_bytes(gzip.compress(claim + bytes(40 * MEGABYTE)))
    tracemalloc.start()
    assert codes(archive) == ["unreadable"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * MEGABYTE


def test_a_chain_of_headers_without_a_member_ends(archive: Path) -> None:
    out = header("././@LongLink", 0, kind=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT) * 20_000
    assert codes(archive, gzip.compress(out + bytes(1024))) == ["unreadable"]


def test_a_hundred_thousand_members_are_refused_quickly_and_in_little_memory(archive: Path) -> None:
    tar = b"".join(header(f"files/{i:06}").tobuf(tarfile.USTAR_FORMAT) for i in range(100_000)) + bytes(1024)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for i in range(100_000):
            made.writestr(f"files/{i:06}", b"")
    for data in (gzip.compress(tar, 1), out.getvalue()):
        archive.write_bytes(data)
        tracemalloc.start()
        before = time.process_time()
        assert codes(archive) == ["too_many_members"]
        assert time.process_time() - before < 20
        assert tracemalloc.get_traced_memory()[1] < 40 * MEGABYTE
        tracemalloc.stop()


def test_twenty_bad_names_are_enough(archive: Path) -> None:
    assert codes(archive, tar_with(*(header(f"../{i}") for i in range(500)))) == ["parent_path"] * 20


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_is_refused_and_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    whole = data.draw(
        st.sampled_from([gzip.decompress(tar_of(FILES)), zip_of(FILES), zip_of(FILES, zipfile.ZIP_STORED)])
    )
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(1, len(whole)))]
    text = bytes(damaged) if damaged.startswith(b"PK") else gzip.compress(bytes(damaged), 1)
    assert all(code.isidentifier() for code in codes(tmp_path / "package", text))


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_raise_anything_but_a_refusal(tmp_path: Path, data: bytes) -> None:
    for text in (data, b"PK" + data, gzip.compress(data), b"PK" + data + zip_of({})):
        assert all(code.isidentifier() for code in codes(tmp_path / "package", text))


# Folders.


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


# Sources.


class Releases(BaseHTTPRequestHandler):
    """Answers with a file, a redirect, nothing at all, or far too much."""

    def do_GET(self) -> None:
        match self.path.rsplit("/", 1)[1]:
            case "a.zip":
                self._answer(zip_of(FILES))
            case "moved.zip":
                self._redirect("/releases/a.zip")
            case "out.zip":
                self._redirect("/secret/a.zip")
            case "file.zip":
                self._redirect("file:///etc/passwd")
            case "large.zip":
                self._answer(bytes(2 * MEGABYTE))
            case "short.zip":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"PK")
            case _:
                self.send_error(404)

    def _answer(self, data: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """The test says what it needs."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Releases) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def test_an_address_under_a_source_is_fetched(server: str, tmp_path: Path) -> None:
    data = zip_of(FILES)
    for name in ("a.zip", "moved.zip"):
        with fetch(
            f"{server}/releases/{name}",
            [f"{server}/releases/"],
            into=tmp_path,
            most=MEGABYTE,
            digest=hashlib.sha256(data).hexdigest(),
        ) as path:
            assert path.read_bytes() == data
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nothing.zip", "unreachable"),
        ("large.zip", "too_large"),
        ("out.zip", "source_not_allowed"),
        ("file.zip", "unreachable"),
    ],
)
def test_an_answer_that_is_no_package(server: str, tmp_path: Path, name: str, code: str) -> None:
    with (
        pytest.raises(Refusal, match=code),
        fetch(f"{server}/releases/{name}", [f"{server}/releases/"], into=tmp_path, most=MEGABYTE),
    ):
        pytest.fail("it was fetched")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_breaks_off_is_not_taken_for_the_package(server: str, tmp_path: Path) -> None:
    with (
        pytest.raises(Refusal, match="unreachable"),
        fetch(f"{server}/releases/short.zip", [f"{server}/releases/"], into=tmp_path, most=MEGABYTE),
    ):
        pytest.fail("it was fetched")


def test_a_server_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        with pytest.raises(Refusal, match="unreachable"), fetch(address + "a", [address], into=tmp_path, most=1):
            pytest.fail("it was fetched")


def test_another_digest_is_refused(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a.zip")
    with (
        pytest.raises(Refusal, match="digest_differs"),
        fetch(str(tmp_path / "a.zip"), [str(tmp_path)], into=tmp_path, most=MEGABYTE, digest="0" * 64),
    ):
        pytest.fail("it was fetched")


SOURCES = ["https://artifacts.example.com/releases/", "https://mirror.example.com:8443", "/srv/drops/"]


@pytest.mark.parametrize(
    "source",
    [
        "https://artifacts.example.com/releases-old/a.zip",
        "https://artifacts.example.com/a.zip",
        "https://artifacts.example.com.evil.example/releases/a.zip",
        "https://artifacts.example.com@evil.example/releases/a.zip",
        "https://user@artifacts.example.com/releases/a.zip",
        "https://artifacts.example.com:8443/releases/a.zip",
        "http://artifacts.example.com/releases/a.zip",
        "https://artifacts.example.com/releases/../a.zip",
        "https://artifacts.example.com/releases/%2e%2e/a.zip",
        "https://artifacts.example.com/releases/..%2fa.zip",
        "https://artifacts.example.com/releases/%5c..%5ca.zip",
        "https://artifacts.example.com/releases//a.zip",
        "https://artifacts.example.com/releases/a.zip#x",
        "https://artifacts.example.com/releases/a b.zip",
        "https://artifacts.example.com:port/releases/a.zip",
        "https://[artifacts/releases/a.zip",
        "https://mirror.example.com/a.zip",
        "ftp://artifacts.example.com/releases/a.zip",
        "file:///srv/drops/a.zip",
        "/srv/drops",
        "/srv/drops/../secret/a.zip",
        "/srv/drops-old/a.zip",
        "/etc/passwd",
        "srv/drops/a.zip",
        "",
    ],
)
def test_a_source_that_is_not_allowed(source: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="source_not_allowed") as caught, fetch(source, SOURCES, into=tmp_path, most=1):
        pytest.fail("it was fetched")
    assert caught.value.hint == "Allowed are: " + ", ".join(SOURCES) + "."


def test_a_file_under_a_source_is_copied_and_a_link_out_of_it_is_not(tmp_path: Path) -> None:
    drops, into = tmp_path / "drops", tmp_path / "into"
    (drops / "web").mkdir(parents=True)
    into.mkdir()
    (tmp_path / "secret.zip").write_bytes(b"secret")
    (drops / "web/a.zip").write_bytes(b"PK")
    (drops / "out.zip").symlink_to(tmp_path / "secret.zip")
    (drops / "up").symlink_to(tmp_path)
    with fetch(str(drops / "web/a.zip"), [f"{drops}/"], into=into, most=2) as path:
        assert path.read_bytes() == b"PK"
    for name, code in (
        ("out.zip", "source_not_allowed"),
        ("up/secret.zip", "source_not_allowed"),
        ("no.zip", "unreachable"),
        ("web", "unreadable"),
    ):
        with pytest.raises(Refusal, match=code), fetch(str(drops / name), [str(drops)], into=into, most=9):
            pytest.fail("it was fetched")
    assert list(into.iterdir()) == []
