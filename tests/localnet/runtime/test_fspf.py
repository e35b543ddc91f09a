"""The file shield: an altered, added or missing file refuses and is named; the FSPF itself cannot be altered."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.localnet.runtime import protect
from workflows.localnet.runtime.fspf import AUTHENTICATED, ENCRYPTED, NOT_PROTECTED, Fspf, Region, unpack
from workflows.localnet.runtime.places import Places
from workflows.localnet.runtime.refusals import BadFiles, Refused
from workflows.localnet.runtime.shield import check, raise_shield

NAMES = st.sampled_from(["a", "b.py", "deep", "deep/c", "deep/er/d", "é\u202e", "with space"])
TREES = st.dictionaries(NAMES, st.binary(max_size=300), min_size=1, max_size=5)
CHANGES = st.sampled_from(["flip", "append", "empty", "remove", "add", "mode", "link", "folder", "pipe"])


class Built:
    """A folder with a protected `app`, and what checks it."""

    def __init__(self, folder: Path, files: dict[str, bytes], protection: str = AUTHENTICATED) -> None:
        self.app, self.file = folder / "app", folder / "fspf.pb"
        self.places = Places("", "", str(folder / "memory"), "")
        source = self.app if protection == AUTHENTICATED else folder / "plain"
        source.mkdir()
        for name, content in files.items():
            path = source / name
            if not path.is_dir() and not any(part.is_file() for part in path.parents):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        file, app = str(self.file), str(self.app)
        protect.create(file)
        protect.add_region(file, "/", "/", NOT_PROTECTED, 32, 4096)
        protect.add_region(file, app, app, protection, 32, 4096)
        if protection == ENCRYPTED:
            protect.add_files(file, app, str(source), app)
        else:
            protect.add_files(file, app, app)
        words = protect.encrypt(file).split()
        self.tag, self.key = words[8], words[10]

    def check(self) -> Fspf:
        return check(str(self.file), bytes.fromhex(self.key), self.tag)

    def mount(self) -> Fspf:
        return raise_shield(str(self.file), bytes.fromhex(self.key), self.tag, self.places)


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return Built(tmp_path, {"app.py": b"print(1)", "deep/data": b"data"})


def alter(path: Path, change: str) -> Path:
    """Change a file, and say which path must be named."""
    if change == "flip":
        content = path.read_bytes() or b"\0"
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif change == "append":
        path.write_bytes(path.read_bytes() + b"\n")
    elif change == "empty":
        path.write_bytes(b"" if path.stat().st_size else b"not empty")
    elif change == "add":
        path = path.with_name("added")
        path.touch()
    elif change == "mode":
        path.chmod(path.stat().st_mode ^ 0o100)
    else:
        kept = path.read_bytes()
        path.unlink()
        if change == "link":
            other = path.parent.parent / "elsewhere"
            other.write_bytes(kept)
            path.symlink_to(other)
        elif change == "folder":
            path.mkdir()
        elif change == "pipe":
            os.mkfifo(path)
    return path


@given(TREES, CHANGES, st.data())
@settings(deadline=None, max_examples=60)
def test_whatever_was_changed_is_named(files: dict[str, bytes], change: str, data: st.DataObject) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        built = Built(folder, files)
        built.check()
        present = sorted(path for path in built.app.rglob("*") if path.is_file())
        path = alter(data.draw(st.sampled_from(present)), change)
        with pytest.raises(BadFiles) as caught:
            built.check()
        assert str(path) in str(caught.value) or "elsewhere" in str(caught.value)
    finally:
        shutil.rmtree(folder)


@given(TREES, st.sampled_from(["flip", "append", "remove", "add", "link", "pipe"]), st.data())
@settings(deadline=None, max_examples=40)
def test_ciphertext_too(files: dict[str, bytes], change: str, data: st.DataObject) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        built = Built(folder, files, ENCRYPTED)
        present = sorted(path for path in built.app.rglob("*") if path.is_file())
        alter(data.draw(st.sampled_from(present)), change)
        with pytest.raises(BadFiles) as caught:
            built.mount()
        assert str(built.app) in str(caught.value)
    finally:
        shutil.rmtree(folder)


@given(st.data())
@settings(deadline=None)
def test_no_byte_of_the_fspf_can_be_altered(data: st.DataObject) -> None:
    fspf = Fspf([Region("/", "/", "/", NOT_PROTECTED, "", 4096, {})])
    key = bytes(range(32))
    packed = fspf.pack(key)
    assert unpack(packed, key).regions == fspf.regions
    at = data.draw(st.integers(0, len(packed) - 1))
    bit = data.draw(st.integers(0, 7))
    altered = bytearray(packed)
    altered[at] ^= 1 << bit
    for other in (bytes(altered), packed[:at], packed + b"\0"):
        with pytest.raises(BadFiles):
            unpack(other, key)
    with pytest.raises(BadFiles):
        unpack(packed, bytes(32))


@given(st.binary(max_size=200))
def test_noise_is_no_fspf(noise: bytes) -> None:
    with pytest.raises(BadFiles):
        unpack(noise)


def test_an_fspf_of_another_build_is_refused_by_its_tag(built: Built, tmp_path: Path) -> None:
    old = built.tag
    words = protect_again(built)
    assert words[8] != old
    assert words[10] != built.key
    with pytest.raises(BadFiles, match=words[8]):
        built.check()


def protect_again(built: Built) -> list[str]:
    file = str(built.file)
    protect.create(file)
    protect.add_region(file, "/", "/", NOT_PROTECTED, 32, 4096)
    return protect.encrypt(file).split()


def test_links_are_kept_and_compared(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / "plain").mkdir()
    built = Built(tmp_path / "plain", {"a": b"a", "b": b"b"})
    link = built.app / "link"
    link.symlink_to("a")
    with pytest.raises(BadFiles, match="link was added"):
        built.check()
    file, app = str(built.file), str(built.app)
    protect.create(file)
    protect.add_region(file, app, app, AUTHENTICATED, 32, 4096)
    protect.add_files(file, app, app)
    words = protect.encrypt(file).split()
    built.tag, built.key = words[8], words[10]
    built.check()
    link.unlink()
    link.symlink_to("b")
    with pytest.raises(BadFiles, match="link was changed"):
        built.check()


def test_a_root_that_is_a_link_is_resolved_and_its_files_belong_once(tmp_path: Path) -> None:
    usr, lib = tmp_path / "usr", tmp_path / "lib"
    (usr / "lib").mkdir(parents=True)
    (usr / "lib/x.so").write_text("x")
    (usr / "y").write_text("y")
    lib.symlink_to("usr/lib")
    file = str(tmp_path / "fspf.pb")
    protect.create(file)
    protect.add_region(file, "/", "/", NOT_PROTECTED, 32, 4096)
    for folder in (str(usr), str(lib)):
        protect.add_region(file, folder, folder, AUTHENTICATED, 32, 4096)
        protect.add_files(file, folder, folder)
    words = protect.encrypt(file).split()
    key = bytes.fromhex(words[10])
    fspf = check(file, key, words[8])
    by_path = {region.path: region for region in fspf.regions}
    assert list(fspf.owned(by_path[str(usr)])) == ["y"]
    assert list(fspf.owned(by_path[str(lib)])) == ["x.so"]
    assert protect.show(file, words[10]).count("x.so") == 1

    (usr / "lib/x.so").write_text("z")
    with pytest.raises(BadFiles, match=r"x\.so was changed"):
        check(file, key, words[8])
    (usr / "lib/x.so").write_text("x")
    shutil.copytree(usr / "lib", tmp_path / "elsewhere")
    lib.unlink()
    lib.symlink_to("elsewhere")
    with pytest.raises(BadFiles, match="instead of"):
        check(file, key, words[8])


def test_the_longest_region_owns_a_path(tmp_path: Path) -> None:
    app, free = tmp_path / "app", tmp_path / "app/cache"
    free.mkdir(parents=True)
    (app / "a").write_text("a")
    file = str(tmp_path / "fspf.pb")
    protect.create(file)
    protect.add_region(file, "/", "/", NOT_PROTECTED, 32, 4096)
    protect.add_region(file, str(app), str(app), AUTHENTICATED, 32, 4096)
    protect.add_region(file, str(free), str(free), NOT_PROTECTED, 32, 4096)
    protect.add_files(file, str(app), str(app))
    words = protect.encrypt(file).split()
    (free / "written later").write_text("anything")
    check(file, bytes.fromhex(words[10]), words[8])
    (app / "caches").write_text("beside it")
    with pytest.raises(BadFiles, match="caches was added"):
        check(file, bytes.fromhex(words[10]), words[8])


def test_encrypted_files_come_back_whole(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    built = Built(tmp_path, {"deep/big": content, "small": b""}, ENCRYPTED)
    (tmp_path / "plain/deep").chmod(0o500)
    assert (built.app / "deep/big").read_bytes() != content
    built.mount()
    assert built.app.is_symlink()
    assert (built.app / "deep/big").read_bytes() == content
    assert (built.app / "small").read_bytes() == b""
    assert Path(built.places.memory).stat().st_mode & 0o777 == 0o700


def test_a_folder_in_memory_that_someone_else_made_is_not_used(tmp_path: Path) -> None:
    built = Built(tmp_path, {"a": b"a"}, ENCRYPTED)
    Path(built.places.memory).mkdir(mode=0o777)
    Path(built.places.memory).chmod(0o777)
    with pytest.raises(Refused, match="private"):
        built.mount()


def test_an_ephemeral_region_is_an_empty_folder_in_memory(tmp_path: Path) -> None:
    scratch, file = tmp_path / "scratch", str(tmp_path / "fspf.pb")
    scratch.mkdir()
    protect.create(file)
    protect.add_region(file, "/", "/", NOT_PROTECTED, 32, 4096)
    protect.add_region(file, str(scratch), "", ENCRYPTED, 32, 4096)
    words = protect.encrypt(file).split()
    places = Places("", "", str(tmp_path / "memory"), "")
    raise_shield(file, bytes.fromhex(words[10]), words[8], places)
    assert scratch.resolve().is_relative_to(places.memory)
    assert list(scratch.iterdir()) == []


def test_what_the_user_may_not_read_is_not_counted_as_missing(tmp_path: Path) -> None:
    """As in an image whose app does not run as root: /etc/ssl/private is not for it, nor for its program."""
    built = Built(tmp_path, {"a": b"a", "private/key": b"key", "secret": b"secret"})
    (built.app / "private").chmod(0o700)
    (built.app / "secret").chmod(0o600)
    file, app = str(built.file), str(built.app)
    protect.create(file)
    protect.add_region(file, app, app, AUTHENTICATED, 32, 4096)
    protect.add_files(file, app, app)
    words = protect.encrypt(file).split()
    built.tag, built.key = words[8], words[10]
    built.check()
    assert as_another_user(tmp_path, built) == "accepted"
    (built.app / "secret").chmod(0o640)
    assert as_another_user(tmp_path, built) == f"{built.app / 'secret'} was changed"


def as_another_user(folder: Path, built: Built) -> str:
    """What `check` says to a user who owns none of the files; a user who is not root cannot become another."""
    if os.geteuid():
        (built.app / "private").chmod(0o000)
    for path in (folder, *folder.parents[:3]):
        path.chmod(path.stat().st_mode | 0o055)
    built.file.chmod(0o644)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if not os.geteuid():
                os.setuid(65534)
            built.check()
            os.write(writing, b"accepted")
        except BaseException as error:
            os.write(writing, str(error).split(":")[0].encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()
