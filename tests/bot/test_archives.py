"""Archives of every bad kind are refused before a byte of them is unpacked."""

import gzip
import hashlib
import io
import os
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from makers import FILES, MEGABYTE, codes, header, tar_of, tar_with, zip_of, zip_with

from bot.archives.contents import read
from bot.archives.files import copy
from bot.config import Packages
from bot.packages import inspect
from plans.errors import Refusal


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "package"


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


def test_a_member_or_archive_that_is_too_large_is_refused(archive: Path) -> None:
    noise = os.urandom(2 * MEGABYTE)
    for data in (tar_of({"a": noise}), zip_of({"a": bytes(2 * MEGABYTE)}), zip_of({"a": noise})):
        archive.write_bytes(data)
        [finding] = read(archive, max_bytes=MEGABYTE, rules=Packages()).unsafe
        assert finding.code == "too_large"
        assert "1,000,000 bytes" in finding.message


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


def test_a_full_disk_is_not_taken_for_a_fault_of_the_source() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(Refusal) as refused:
        copy(io.BytesIO(b"a package"), full, most=MEGABYTE)  # type: ignore[arg-type]
    assert refused.value.code == "not_written"
    assert "No space left" in refused.value.message
