"""The `scone` command: SCONE's printed lines, to the letter, and its arguments."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.localnet.runtime.standin import Base

HEX32, HEX64 = "([0-9a-f]{32})", "([0-9a-f]{64})"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    app.mkdir()
    (app / "app.py").write_text("print(1)")
    return tmp_path


def scone(base: Base, *arguments: object) -> subprocess.CompletedProcess[str]:
    return base.run("/usr/local/bin/scone", *map(str, arguments))


def line(base: Base, *arguments: object) -> str:
    done = scone(base, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_printed_lines(base: Base, folder: Path) -> None:
    file, app = folder / "fspf.pb", folder / "app"
    tags = set()
    for arguments, printed in (
        (("create", file), f"Created empty file system protection file in {file}. AES-GCM tag: {HEX32}\n"),
        (
            ("addr", file, "/", "--not-protected", "--kernel", "/"),
            f"Added region / to file system protection file {file} new AES-GCM tag: {HEX32}\n",
        ),
        (
            ("addr", file, app, "--authenticated", "--kernel", app),
            f"Added region {app} to file system protection file {file} new AES-GCM tag: {HEX32}\n",
        ),
        (
            ("addf", file, app, app),
            f"Added files to file system protection file {file} new AES-GCM tag: {HEX32}\n",
        ),
    ):
        match = re.fullmatch(printed, line(base, "fspf", *arguments))
        assert match
        tags.add(match[1])
        assert line(base, "fspf", "show", "--tag", file) == match[1] + "\n"
    assert len(tags) == 4
    printed = line(base, "fspf", "encrypt", file)
    match = re.fullmatch(
        f"Encrypted file system protection file {file} AES-GCM tag: {HEX32} key: {HEX64}\n", printed
    )
    assert match
    assert printed.split()[8] == match[1]  # what awk '{print $9}' takes in old scripts
    assert printed.split()[10] == match[2]
    assert line(base, "fspf", "show", "-t", file) == match[1] + "\n"
    shown = line(base, "fspf", "show", file, match[2])
    assert "SIMULATED" in shown
    assert (
        f"region / not-protected kernel / entries: 0\nregion {app} authenticated kernel {app} entries: 1\n"
        in shown
    )
    assert "app.py" in shown


@pytest.mark.parametrize(
    "protection", [("-n",), ("-e",), ("-a",), ("--not-protected",), ("--encrypted",), ("--authenticated",)]
)
@pytest.mark.parametrize("place", [("--kernel", "/somewhere"), ("--ephemeral",)])
def test_options_may_stand_before_and_after(
    base: Base, folder: Path, protection: tuple[str, ...], place: tuple[str, ...]
) -> None:
    file = folder / "fspf.pb"
    line(base, "fspf", "create", file, "1")
    assert line(base, "fspf", "addr", *protection, *place, file, "/one").startswith("Added region /one ")
    assert line(base, "fspf", "addr", file, "/two", *place, *protection).startswith("Added region /two ")
    more = ("-c", "65536", "-k", "16")
    assert line(base, "fspf", "addr", file, *protection, *more, *place, "/three/").startswith(
        "Added region /three/ "
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "COMMAND"),
        (("fspf",), "SUBCOMMAND"),
        (("fspf", "explode"), "explode"),
        (("fspf", "create"), "FILE"),
        (("fspf", "addr", "f", "/", "--kernel", "/"), "--authenticated"),
        (("fspf", "addr", "f", "/", "-a"), "--ephemeral"),
        (("fspf", "addr", "f", "/", "-a", "-e", "--kernel", "/"), "not allowed with"),
        (("fspf", "addr", "f", "/", "-a", "--ephemeral", "--kernel", "/"), "not allowed with"),
        (("fspf", "addr", "f", "/", "-a", "--kernel", "/", "-k", "17"), "16, 24 or 32"),
        (("fspf", "addr", "f", "/", "-a", "--kernel", "/", "-c", "0"), "number of bytes"),
        (("fspf", "addr", "f", "/", "--auth", "--kernel", "/"), "--auth"),
        (("fspf", "addf", "f", "/app"), "SOURCE_DIR"),
        (("fspf", "addf", "f", "/app", "/app", "/out", "/more"), "/more"),
        (("fspf", "encrypt", "f", "extra"), "extra"),
        (("fspf", "show", "f", "00"), "64 hex digits"),
    ],
)
def test_usage_errors(base: Base, arguments: tuple[str, ...], says: str) -> None:
    done = scone(base, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage: scone" in done.stderr
    assert says in done.stderr


def test_what_cannot_be_done_is_said(base: Base, folder: Path) -> None:
    file, app = folder / "fspf.pb", folder / "app"

    def refused(says: str, *arguments: object) -> None:
        done = scone(base, "fspf", *arguments)
        assert done.returncode >= 240
        assert done.stdout == ""
        assert says in done.stderr

    refused("No such file", "addr", file, "/", "-a", "--kernel", "/")
    line(base, "fspf", "create", file)
    refused("no region in it", "encrypt", file)
    refused("not an absolute path", "addr", file, ".", "-a", "--kernel", "/")
    refused("no region", "addf", file, app, app)
    line(base, "fspf", "addr", file, app, "--encrypted", "--kernel", app)
    refused("already", "addr", file, app, "--encrypted", "--kernel", app)
    refused("OUTPUT_DIR is required", "addf", file, app, app)
    refused("overlap", "addf", file, app, app, app / "out")
    refused("is not a folder", "addf", file, app, folder / "nothing", folder / "out")
    line(base, "fspf", "addr", file, app / "inner", "-a", "--kernel", app / "inner")
    refused("root region / is required", "encrypt", file)
    line(base, "fspf", "addr", file, "/", "--not-protected", "--kernel", "/")
    refused("not-protected", "addf", file, "/", "/")
    refused("inside the encrypted region", "encrypt", file)

    line(base, "fspf", "create", file)
    line(base, "fspf", "addr", file, "/", "--not-protected", "--kernel", "/")
    line(base, "fspf", "encrypt", file)
    refused("is encrypted", "addr", file, "/more", "-a", "--kernel", "/more")
    refused("is encrypted", "show", file)
    refused("not its key", "show", file, "11" * 32)


def test_version_and_help_say_simulated(base: Base) -> None:
    assert "SIMULATED" in line(base, "--version")
    assert "SIMULATED" in line(base, "--help")
