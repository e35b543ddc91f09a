"""Unpacking archives from strangers: nothing outside the folder, nothing half there, no bombs."""

import io
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.step import Cancel
from workflows.iexec.archive import Limits, is_zip, unpack


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name  # the constructor would mend some of what is tested here
    info.external_attr = mode << 16
    return info


def pack(*entries: tuple[zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # duplicate names are the point
        for info, data in entries:
            archive.writestr(info, data, compress_type=method)
    return buffer.getvalue()


def named(*names: str) -> bytes:
    return pack(*((entry(name), b"evil") for name in names))


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new) and old in data
    return data.replace(old, new)


def lying(claimed: int) -> bytes:
    """A zip whose directory claims another size than its stream has."""
    data = bytearray(pack((entry("a"), b"x" * 5000)))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + offset, claimed)
    return bytes(data)


def overlapping() -> bytes:
    """Many directory entries over one and the same stream (a bomb without nesting)."""
    data = pack((entry("a"), b"\x00" * 10_000_000))
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    record = data[start:end]
    count = 500
    directory = b"".join(record.replace(b"a", bytes([97 + i % 26]), 0) for i in range(count))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
    return data[:start] + directory + tail


def link(target: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    return entry("a", stat.S_IFLNK | 0o777), target


HOSTILE: dict[str, Callable[[], bytes]] = {
    "parent": lambda: named("../evil"),
    "parent inside": lambda: named("a/../../evil"),
    "parent harmless": lambda: named("a/../evil"),
    "parent last": lambda: named("a/.."),
    "only dots": lambda: named(".."),
    "absolute": lambda: named("/etc/evil"),
    "double slash": lambda: named("//host/share/evil"),
    "backslash parent": lambda: named("..\\evil"),
    "backslash inside": lambda: named("a\\..\\..\\evil"),
    "backslash root": lambda: named("\\evil"),
    "UNC": lambda: named("\\\\host\\share\\evil"),
    "drive": lambda: named("C:\\evil"),
    "drive slash": lambda: named("C:/evil"),
    "drive relative": lambda: named("c:evil"),
    "device path": lambda: named("\\\\.\\PhysicalDrive0"),
    "NUL": lambda: renamed(named("good.txtXevil"), b"good.txtX", b"good.txt\x00"),
    "NUL hides a parent": lambda: renamed(named("aX/../../evil"), b"aX/", b"a\x00/"),
    "newline": lambda: named("a\nb"),
    "escape": lambda: named("\x1b[2Jevil"),
    "DEL": lambda: named("a\x7fb"),
    "no name": lambda: renamed(pack((entry("."), b"evil")), b".", b"."),
    "symlink": lambda: pack(link(b"/etc/passwd")),
    "symlink, then through it": lambda: pack(link(b"/tmp"), (entry("a/evil"), b"evil")),
    "symlink to itself": lambda: pack(link(b".")),
    "symlink as folder": lambda: pack((entry("a/", stat.S_IFLNK | 0o777), b"..")),
    "fifo": lambda: pack((entry("a", stat.S_IFIFO | 0o644), b"")),
    "device": lambda: pack((entry("a", stat.S_IFBLK | 0o644), b"")),
    "socket": lambda: pack((entry("a", stat.S_IFSOCK | 0o644), b"")),
    "folder that is a file": lambda: pack((entry("a", stat.S_IFDIR | 0o755), b"evil")),
    "twice": lambda: named("a", "a"),
    "twice by dots": lambda: named("a", "./a"),
    "twice by slashes": lambda: named("d/a", "d//a"),
    "twice by case": lambda: named("computed.json", "Computed.JSON"),
    "twice by sharp s": lambda: named("straße", "STRASSE"),
    "twice by accents": lambda: named("caf\u00e9", "cafe\u0301"),
    "file and folder": lambda: named("a", "a/b"),
    "folder and file": lambda: named("a/b", "a"),
    "file and folder by case": lambda: named("A", "a/b"),
    "folder entry and file": lambda: pack((entry("a/", stat.S_IFDIR | 0o755), b""), (entry("A"), b"x")),
    "deep": lambda: named("d/" * 40 + "a"),
    "long part": lambda: named("a" * 256),
    "long part in bytes": lambda: named("é" * 128),
    "bzip2": lambda: pack((entry("a"), b"x" * 1000), method=zipfile.ZIP_BZIP2),
    "lzma": lambda: pack((entry("a"), b"x" * 1000), method=zipfile.ZIP_LZMA),
    "bomb": lambda: pack(*((entry(f"{i}"), b"\x00" * 1_000_000) for i in range(12))),
    "too large": lambda: pack((entry("a"), os.urandom(1000) * 11_000), method=zipfile.ZIP_STORED),
    "overlapping": overlapping,
    "many": lambda: pack(*((entry(f"{i}"), b"") for i in range(101))),
    "many folders": lambda: named(*(f"{i}/b/c/d/e/f/g/h/i/j/k" for i in range(20))),
    "more claimed than there": lambda: lying(9000),
    "less claimed than there": lambda: lying(10),
    "bad crc": lambda: renamed(pack((entry("a"), b"x" * 99)), *(
        struct.pack("<I", crc) for crc in (zlib.crc32(b"x" * 99), 1)
    )),
    "cut": lambda: named("a")[:-5],
    "no zip": lambda: b"PK\x03\x04" + b"nothing of the sort" * 10,
    "empty": lambda: b"",
}  # fmt: skip
SMALL = Limits(size=10_000_000, files=100, ratio=100, free=1_000_000)


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_leave_nothing(tmp_path: Path, case: str) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    (tmp_path / "bad.zip").write_bytes(HOSTILE[case]())
    with pytest.raises(Failed) as caught:
        unpack(tmp_path / "bad.zip", outer / "folder", SMALL)
    assert caught.value.name in {"hostile_archive", "bad_archive", "too_many_files", "archive_too_large"}
    assert caught.value.hint
    assert "\x1b" not in caught.value.message and "\n" not in caught.value.message
    assert list(outer.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip", "outer"]


def test_a_zip_password_is_refused(tmp_path: Path) -> None:
    data = bytearray(named("a"))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(Failed, match="zip password"):
        unpack(tmp_path / "bad.zip", tmp_path / "folder")


def test_a_directory_of_a_million_entries_is_refused_before_it_is_read(tmp_path: Path) -> None:
    record = named("a")
    start, end = record.index(b"PK\x01\x02"), record.index(b"PK\x05\x06")
    directory = record[start:end] * 1_000_000
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), start, 0)
    (tmp_path / "bad.zip").write_bytes(record[:start] + directory + tail)
    with pytest.raises(Failed) as caught:
        unpack(tmp_path / "bad.zip", tmp_path / "folder")
    assert caught.value.name == "too_many_files"


def test_odd_but_harmless_names_stay_inside(tmp_path: Path) -> None:
    names = ["CON", "aux.txt", ".hidden", "a b", "-rf", "~", "$HOME", "12:30.log", "…", "d/./e", "deep//er"]
    (tmp_path / "odd.zip").write_bytes(named(*names))
    opened = unpack(tmp_path / "odd.zip", tmp_path / "folder")
    assert set(opened.files) == {
        "CON",
        "aux.txt",
        ".hidden",
        "a b",
        "-rf",
        "~",
        "$HOME",
        "12:30.log",
        "…",
        "d/e",
        "deep/er",
    }
    assert (tmp_path / "folder" / "d" / "e").read_bytes() == b"evil"


def test_an_honest_archive_arrives_whole_and_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        data = pack(
            (entry("computed.json"), b"{}"),
            (entry("sub/", stat.S_IFDIR | 0o777), b""),
            (entry("sub/run.sh", stat.S_IFREG | 0o6777), b"echo"),
            (entry("empty"), b""),
        )
        (tmp_path / "good.zip").write_bytes(data)
        told: list[tuple[int, int | None]] = []
        opened = unpack(
            tmp_path / "good.zip", tmp_path / "new" / "folder", None, lambda *now: told.append(now)
        )
    finally:
        os.umask(before)
    assert opened.files == ("computed.json", "empty", "sub/run.sh")
    assert opened.size == 6 and told[-1] == (6, 6)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in opened.folder.rglob("*")}
    assert modes == {"computed.json": 0o600, "empty": 0o600, "sub": 0o700, "run.sh": 0o600}
    assert stat.S_IMODE(opened.folder.stat().st_mode) == 0o700


def test_highly_compressible_results_are_no_bombs_while_small(tmp_path: Path) -> None:
    (tmp_path / "zeros.zip").write_bytes(pack((entry("zeros"), b"\x00" * 20_000_000)))
    assert unpack(tmp_path / "zeros.zip", tmp_path / "folder").size == 20_000_000


@pytest.mark.parametrize("there", ["file", "full", "link"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "folder"
    if there == "file":
        folder.write_text("mine")
    elif there == "full":
        folder.mkdir()
        (folder / "mine").touch()
    else:
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a.zip").write_bytes(named("a"))
    with pytest.raises(Missing):
        unpack(tmp_path / "a.zip", folder)
    assert not list(tmp_path.rglob("a"))


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.zip").write_bytes(named("a"))
    assert unpack(tmp_path / "a.zip", tmp_path / "folder").files == ("a",)


def test_cancelled_leaves_nothing(tmp_path: Path) -> None:
    cancel = Cancel()
    (tmp_path / "a.zip").write_bytes(pack((entry("a"), os.urandom(5_000_000))))
    with pytest.raises(Cancelled):
        unpack(tmp_path / "a.zip", tmp_path / "folder", None, lambda *_: cancel.set(), cancel)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.sampled_from("abA./\\:\x00 é~"), min_size=1, max_size=12), min_size=1, max_size=4
    )
)
def test_whatever_the_names_nothing_leaves_the_folder(tmp_path: Path, names: list[str]) -> None:
    outer = tmp_path / "outer"
    outer.mkdir(exist_ok=True)
    source = io.BytesIO(named(*names))
    try:
        opened = unpack(source, outer / "folder")
    except Failed:
        assert list(outer.iterdir()) == []
    else:
        assert list(outer.iterdir()) == [outer / "folder"]
        found = {str(p.relative_to(opened.folder)) for p in opened.folder.rglob("*") if p.is_file()}
        assert found == set(opened.files)
        opened.folder.rename(tmp_path / os.urandom(8).hex())
    assert {path.parent for path in tmp_path.rglob("folder")} <= {outer}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(min_value=0), value=st.integers(0, 255))
def test_damaged_archives_fail_cleanly_or_open(tmp_path: Path, where: int, value: int) -> None:
    data = bytearray(named("first", "second/third"))
    data[where % len(data)] = value
    try:
        opened = unpack(io.BytesIO(bytes(data)), tmp_path / "folder")
    except Failed:
        assert not (tmp_path / "folder").exists()
    else:
        opened.folder.rename(tmp_path / os.urandom(8).hex())


def test_a_zip_is_told_by_both_ends(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(named("a"))
    (tmp_path / "b").write_bytes(b"\x00" * 16 + named("a"))
    (tmp_path / "c").write_bytes(b"PK\x03\x04" + os.urandom(50))
    assert [is_zip(tmp_path / name) for name in ("a", "b", "c", "absent")] == [True, False, False, False]
