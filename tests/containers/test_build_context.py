"""What travels with a build, and what never does."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.containers import ignore
from workflows.containers.context import Context, rewrite_from, secrets_in
from workflows.core.failure import Cancelled, Failed, Missing

KEY = "-----BEGIN EC PRIVATE KEY-----\nnot a key\n-----END EC PRIVATE KEY-----\n"
KEYSTORE = json.dumps({"version": 3, "address": "00", "crypto": {"ciphertext": "00", "kdf": "scrypt"}})


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def unpack(context: Context) -> dict[str, tarfile.TarInfo]:
    """The members of the archive by name."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.archive()))) as archive:
        return {member.name: member for member in archive.getmembers()}


def content(context: Context, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.archive()))) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def test_the_archive_is_sorted_gnu_and_without_owner_or_fraction(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {"b.py": "b", "a/x.py": "x", "run.sh": "#!/bin/sh\n", "n" * 120 + ".txt": "long", "é.txt": "e"},
    )
    (tmp_path / "run.sh").chmod(0o750)
    os.utime(tmp_path / "b.py", ns=(0, 1_700_000_000_123_456_789))
    (tmp_path / "link").symlink_to("b.py")
    context = Context(tmp_path, "FROM scratch\n")
    data = b"".join(context.archive())
    assert len(data) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert not archive.pax_headers and not any(member.pax_headers for member in members)
    names = [member.name for member in members]
    assert names == sorted(names)
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}
    found = {member.name: member for member in members}
    assert found["b.py"].mtime == 1_700_000_000
    assert found["run.sh"].mode == 0o750
    assert found["link"].linkname == "b.py"
    assert {"a", "a/x.py", "n" * 120 + ".txt", "é.txt", "Dockerfile"} <= set(found)
    assert data == b"".join(context.archive())


def test_memory_wins_over_the_disk_and_the_disk_stays(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {"Dockerfile": "FROM old\n", "protect.sh": "old", ".dockerignore": "Dockerfile\nprotect.sh\n"},
    )
    context = Context(tmp_path, "FROM python\n", {"protect.sh": b"#!/bin/sh\nnew\n", "new/deep.txt": b"1"})
    context, changes = context.rewritten({"python": "stand-in:1"})
    assert [(change.line, change.after) for change in changes] == [(1, "stand-in:1")]
    assert content(context, "Dockerfile") == b"FROM stand-in:1\n"
    assert content(context, "protect.sh") == b"#!/bin/sh\nnew\n"
    members = unpack(context)
    assert (members["protect.sh"].mode, members["new/deep.txt"].mode) == (0o755, 0o644)
    assert (tmp_path / "Dockerfile").read_text() == "FROM old\n"


def test_dockerignore_is_honoured(tmp_path: Path) -> None:
    fill(tmp_path, {
        ".dockerignore": "# comment\n*.log\n/build\n**/cache\n!keep.log\n", "a.log": "", "keep.log": "",
        "build/x": "", "src/build": "", "src/deep/cache/y": "", "src/a.py": "", "src/b.log": "",
    })  # fmt: skip
    paths = Context(tmp_path, "").paths()
    assert set(paths) == {
        "keep.log",
        "src",
        "src/build",
        "src/deep",
        "src/a.py",
        "src/b.log",
    }
    fill(tmp_path, {"Dockerfile.dockerignore": "src\n"})  # BuildKit's own name wins
    assert "src/a.py" not in Context(tmp_path, "").paths()


def test_state_history_and_keys_never_travel(tmp_path: Path) -> None:
    out = {
        ".creamtea/journal": "", "sub/.creamtea/x": "", ".git/config": "", "sub/.git/config": "", ".secrets/a_key": "",
        "dataset.key": "", "id_ed25519": "", "UTC--2026-01-01--00": KEYSTORE, "wallets/me.json": KEYSTORE,
        "tls/server.pem": KEY, "PRIVATE": KEY, "store.p12": "",
    }  # fmt: skip
    kept = {"app.py": "print()", "tls/ca.pem": "-----BEGIN CERTIFICATE-----\n", "config.json": "{}",
            "id_ed25519.pub": "", ".gitignore": "", "node_modules/agent/test/snakeoil.key": KEY}  # fmt: skip
    fill(tmp_path, {**out, **kept, ".dockerignore": "!.git/config\n!sub/.git/config\n!dataset.key\n"})
    context = Context(tmp_path, "FROM scratch\n")
    sent = {name for name, member in unpack(context).items() if member.isfile()}
    assert sent == {*kept, "Dockerfile"}
    named = {secret.path for secret in secrets_in(context)}
    assert named == {path for path in out if not {".creamtea", ".git", ".secrets"} & set(Path(path).parts)}
    assert not any(secret.sent for secret in secrets_in(context))


@pytest.mark.parametrize(
    ("name", "text"),
    [(".env", "A=1"), (".env.production", "A=1"), ("wallet.json", "{}"), ("iapp.config.json", "{}"), (".netrc", ""),
     ("gcp.json", '{"private_key": "x"}'), ("w.json", '{"mnemonic": "a b"}'), (".npmrc", "//r/:_authToken=x"),
     ("token.txt", "x"), ("my.pem", "x"), ("api_key", "x"),
     ("deep/.env", "A=1"), (".docker/config.json", "{}"), (".aws/credentials", "x")],
)  # fmt: skip
def test_files_that_must_not_be_sent_are_named(tmp_path: Path, name: str, text: str) -> None:
    fill(tmp_path, {name: text})
    (secret,) = secrets_in(Context(tmp_path, ""))
    assert (secret.path, secret.sent) == (name, True)
    assert secret.why
    fill(tmp_path, {".dockerignore": name + "\n"})
    assert secrets_in(Context(tmp_path, "")) == []


@pytest.mark.parametrize(
    "name", [".env.example", "tokens.json", "package.json", "data.json", "readme.txt", "monkey.py"]
)
def test_harmless_files_are_not_named(tmp_path: Path, name: str) -> None:
    fill(tmp_path, {name: '{"keys": ["private_key"], "crypto": "yes"}'})
    assert secrets_in(Context(tmp_path, "")) == []


def test_more_lines_for_dockerignore_come_from_the_caller(tmp_path: Path) -> None:
    fill(tmp_path, {"out/result": "", "a.py": ""})
    assert Context(tmp_path, "", apart=("out",)).paths() == ["a.py"]


NAMES = st.sampled_from(["a", "b", "ab", "A", "a.py", "b.log", "cache"])
PARTS = st.sampled_from(
    ["a", "b", "ab", "A", "*.py", "*", "**", "?", "[ab]", "[!a]", "cache", "..", ".", "b*", ""]
)


@given(
    st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=12),
    st.lists(st.tuples(st.booleans(), st.lists(PARTS, min_size=1, max_size=4).map("/".join)), max_size=7),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_patterns_mean_what_they_mean_to_docker(
    tmp_path_factory: pytest.TempPathFactory, files: list[str], patterns: list[tuple[bool, str]]
) -> None:
    from docker.utils.build import PatternMatcher

    folder = tmp_path_factory.mktemp("tree")
    for name in files:
        with contextlib.suppress(OSError):  # a file stands where another one wants a folder
            fill(folder, {name: ""})
    lines = ["!" * again + text for again, text in patterns]
    theirs = PatternMatcher(lines)
    paths = Context(folder, "", apart=tuple(lines)).paths()
    assert paths == sorted(theirs.walk(str(folder)))
    ours = ignore.Matcher(lines)
    assert [name for name in files if ours.matches(name)] == [name for name in files if theirs.matches(name)]


def test_a_folder_that_is_left_out_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"app.py": "", **{f"{place}/{n}": "" for place in ("data", ".git") for n in range(20)}})
    monkeypatch.setattr(ignore, "MOST_ENTRIES", 10)
    assert Context(tmp_path, "", apart=("data",)).paths() == ["app.py"]
    fill(tmp_path, {".dockerignore": "!data/7\n"})
    with pytest.raises(Missing) as caught:
        Context(tmp_path, "", apart=("data",)).paths()
    assert caught.value.name == "too_many_files" and "--project" in caught.value.hint


def test_looking_at_a_folder_can_be_cancelled(tmp_path: Path) -> None:
    fill(tmp_path, {"app.py": ""})
    context = Context(tmp_path, "")
    context.cancel.set()
    for look in (context.paths, context.secrets, context.digest):
        with pytest.raises(Cancelled):
            look()


def test_the_digest_follows_what_is_sent_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path, {"a.py": "1", "run": "2", ".dockerignore": "*.log\n"})
    context = Context(tmp_path, "FROM scratch\n", {"x": b"3"})
    first = context.digest()
    os.utime(tmp_path / "a.py", (1, 1))
    fill(tmp_path, {"noise.log": "", ".creamtea/journal": "", "wallet.key": ""})
    assert context.digest() == first
    for change in (
        lambda: (tmp_path / "a.py").write_text("4"),
        lambda: (tmp_path / "run").chmod(0o755),
        lambda: (tmp_path / "run").rename(tmp_path / "ran"),
        lambda: (tmp_path / "link").symlink_to("a.py"),
    ):
        before = context.digest()
        change()
        assert context.digest() != before
    assert Context(tmp_path, "FROM other\n", {"x": b"3"}).digest() != context.digest()
    assert Context(tmp_path, "FROM scratch\n", {"x": b"4"}).digest() != context.digest()


def test_sockets_and_pipes_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert set(unpack(Context(tmp_path, ""))) == {"Dockerfile"}


def test_a_file_that_vanishes_is_told_by_name(tmp_path: Path) -> None:
    fill(tmp_path, {"a": "1", "b": "2"})
    stream = Context(tmp_path, "", name="0").archive()
    next(stream)
    (tmp_path / "b").unlink()
    with pytest.raises(Failed) as caught:
        list(stream)
    assert caught.value.name == "context_unreadable"
    assert caught.value.message.startswith("b ")


def test_a_file_that_shrinks_is_not_sent_wrong(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    stream = Context(tmp_path, "").archive()
    while len(next(stream)) != 256 << 10:
        pass
    (tmp_path / "big").write_bytes(b"")
    with pytest.raises(Failed) as caught:
        list(stream)
    assert caught.value.name == "context_changed"


@given(
    st.dictionaries(
        st.lists(st.text("abéß .-_", min_size=1, max_size=60).filter(lambda part: part.strip(". ") == part), min_size=1,
                 max_size=4).map("/".join),
        st.binary(max_size=2000),
        max_size=8,
    )
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_files_in_memory_arrive_as_they_are(tmp_path: Path, extra: dict[str, bytes]) -> None:
    context = Context(tmp_path, "FROM scratch\n", extra)
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.archive()))) as archive:
        found = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]
    assert found == {**extra, "Dockerfile": b"FROM scratch\n"}


def test_the_folder_of_a_context_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Failed) as caught:
        list(Context(tmp_path / "none", "").archive())
    assert caught.value.name == "context_unreadable"


def test_rewriting_is_offered_here_too() -> None:
    assert rewrite_from("FROM a\n", {"a": "b"})[0] == "FROM b\n"
