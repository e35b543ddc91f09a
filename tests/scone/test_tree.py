"""The files of an image from its tar: hashed, links followed inside it, small texts by line."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.core.failure import Cancelled, Failed
from workflows.core.step import Cancel
from workflows.scone import tree
from workflows.scone.tree import Entry, Tree


def archive(members: list[tuple[str, object]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """bytes: a file; `-> x`: a link; `= x`: another name of a file; None: a folder; 0: a device."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.mode, content = 0o644, None
            if isinstance(what, bytes):
                info.size, content = len(what), io.BytesIO(what)
            elif isinstance(what, str):
                info.type = tarfile.SYMTYPE if what.startswith("->") else tarfile.LNKTYPE
                info.linkname = what[2:].strip()
            else:
                info.type, info.mode = (tarfile.DIRTYPE, 0o755) if what is None else (tarfile.CHRTYPE, 0o600)
            tar.addfile(info, content)
    return target.getvalue()


def blocks(data: bytes, size: int = 700) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def read(members: list[tuple[str, object]], size: int = 700) -> Tree:
    return tree.read(blocks(archive(members), size), lambda path: path.startswith("/app"))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [1, 511, 700, 1 << 20])
def test_every_kind_of_name(size: int) -> None:
    large = bytes(range(256)) * 1200
    found = read(
        [("/", None), ("app/", None), ("app/a.py", b"x\ny\n"), ("/app/big", large), ("bin", "-> usr/bin"),
         ("app/b.py", "= app/a.py"), ("dev/null", 0), ("app/lost", "= app/none")],
        size,
    )  # fmt: skip
    assert found.entries == {
        "/app": Entry("dir", 0o755),
        "/app/a.py": Entry("file", 0o644, sha(b"x\ny\n")),
        "/app/b.py": Entry("file", 0o644, sha(b"x\ny\n")),
        "/app/big": Entry("file", 0o644, sha(large)),
        "/app/lost": Entry("other", 0o644),
        "/bin": Entry("link", 0, "usr/bin"),
        "/dev/null": Entry("other", 0o600),
    }
    assert found.texts == {"/app/a.py": tree.lines_of(b"x\ny\n")}


def test_long_and_odd_names() -> None:
    names = ["app/" + "n" * 300 + ".py", "app/b\u202eidi.py", "app/\x1b[31m.py", "a/../../etc/x"]
    found = read([(name, b"1") for name in names])
    assert set(found.entries) == {"/" + names[0], "/" + names[1], "/" + names[2], "/etc/x"}


def test_texts_are_small_and_texts() -> None:
    small = b"a\n" * tree.MOST_LINES
    found = read(
        [("app/small", small), ("app/zero", b"a\0b"), ("app/latin", b"caf\xe9"), ("app/long", b"b\n" + small),
         ("app/large", b"c" * (tree.LARGEST_TEXT + 1)), ("usr/elsewhere", b"a\n")]
    )  # fmt: skip
    assert list(found.texts) == ["/app/small"]
    assert len(found.texts["/app/small"]) == tree.MOST_LINES


@pytest.mark.parametrize("left", [0, 100, 600, 1500])
def test_a_stream_that_breaks_off_is_told(left: int) -> None:
    data = archive([("app/a", b"x" * 5000)])[:left]
    with pytest.raises(Failed, match="could not be read to their end"):
        tree.read(blocks(data), lambda path: False)


def test_a_cancel_ends_the_reading() -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        tree.read(blocks(archive([("a", b"")])), lambda path: False, cancel)


LINKS = Tree(
    {
        "/bin": Entry("link", 0, "usr/bin"),
        "/usr/bin/python3": Entry("link", 0, "/etc/alternatives/python"),
        "/etc/alternatives/python": Entry("link", 0, "../../usr/bin/python3.11"),
        "/usr/bin/python3.11": Entry("file", 0o755, "ab"),
        "/usr/local/bin/python3": Entry("link", 0, "scone"),
        "/usr/local/bin/scone": Entry("file", 0o755, "cd"),
        "/usr/local/bin/notes": Entry("file", 0o644, "ef"),
        "/loop": Entry("link", 0, "loop"),
        "/up": Entry("link", 0, "../../../usr"),
    }
)


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("/bin", "/usr/bin"),
        ("/bin/python3", "/usr/bin/python3.11"),
        ("/up/bin/python3.11", "/usr/bin/python3.11"),
        ("/none/x", "/none/x"),
        ("/", "/"),
        ("/usr/./local/../bin", "/usr/bin"),
    ],
)
def test_links_stay_inside_the_image(path: str, leads: str) -> None:
    assert LINKS.resolve(path) == leads


def test_a_loop_ends() -> None:
    assert LINKS.resolve("/loop/x").startswith("/loop")


def test_programs_are_found_as_the_engine_finds_them() -> None:
    assert LINKS.program("python3") == ("/usr/local/bin/python3", "/usr/local/bin/scone")
    assert LINKS.program("python3", "/bin:/usr/local/bin") == ("/bin/python3", "/usr/bin/python3.11")
    assert LINKS.program("/bin/python3") == ("/bin/python3", "/usr/bin/python3.11")
    assert LINKS.program("notes") is None
    assert LINKS.program("node") is None


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), max_size=8), st.text(max_size=12)
)
def test_any_links_lead_somewhere(links: dict[str, str], path: str) -> None:
    found = Tree({"/" + name: Entry("link", 0, target) for name, target in links.items()})
    assert found.resolve(path).startswith("/")


def test_the_owner_is_the_longest_root() -> None:
    roots = {"/": 1, "/app": 2, "/app/model": 3}
    assert tree.owner("/app/model/w", roots) == "/app/model"
    assert tree.owner("/app", roots) == "/app"
    assert tree.owner("/apple", roots) == "/"
    for path in ("/x", "x/y", "", "//", "./x"):
        assert tree.owner(path, {"/app": 1}) is None
