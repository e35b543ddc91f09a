"""Starts without a session: the interpreter itself, SCONE_HASH, SCONE_VERSION, and refusals."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.localnet.runtime.standin import Base
from workflows.localnet.runtime import build
from workflows.localnet.runtime.layout import measure, settings_from_env


def old_pythons() -> list[str]:
    """Every Python 3 of this machine that is older than the product's own, and this one."""
    found: list[Path] = []
    versions = Path(pwd.getpwuid(os.getuid()).pw_dir, ".pyenv/versions")
    for minor in range(6, 10):
        found += versions.glob(f"3.{minor}.*/bin/python3")
        found += [Path(f"/usr/bin/python3.{minor}"), Path(f"/usr/local/bin/python3.{minor}")]
    return sorted({str(path.resolve()) for path in found if path.exists()} | {sys.executable})


def test_the_interpreter_runs_as_if_it_had_been_called(base: Base) -> None:
    code = "import sys, os; print(sys.orig_argv, os.environ['HOST'], sys.executable); raise SystemExit(9)"
    ran = base.run("/somewhere/python3", "-c", code, "one two", HOST="seen")
    assert ran.returncode == 9
    assert ran.stdout.startswith(f"['/somewhere/python3', '-c', {code!r}, 'one two'] seen")
    assert ran.stderr == ""


@pytest.mark.parametrize("name", ["python", "python3", "python3.11", "/venv/bin/python"])
def test_every_spelling_of_python(base: Base, name: str) -> None:
    assert base.run(name, "-c", "print(1)").stdout == "1\n"


@pytest.mark.parametrize("name", ["node", "nodejs", "python2", "perl"])
def test_an_interpreter_that_the_base_does_not_have(base: Base, name: str) -> None:
    ran = base.run(name, "-c", "print(1)")
    assert ran.returncode == 247
    assert "only python3" in ran.stderr


def test_links_and_nested_shebangs(base: Base) -> None:
    """As in a base: links to the zipapp itself, and a script whose interpreter is such a link."""
    real = base.folder / "scone"
    inner = (
        Path(base.places.archive).read_bytes().split(b"\n", 1)[1],
        base.folder / "unzipped",
    )
    (base.folder / "body.zip").write_bytes(inner[0])
    with zipfile.ZipFile(base.places.archive) as archive:
        archive.extractall(inner[1])
    main = inner[1] / "__main__.py"
    places = f"Places(os.path.realpath(sys.path[0]), {base.places.settings!r})"
    main.write_text(re.sub(r"Places\(.*\)\)\)", places + "))", main.read_text()))
    shutil.make_archive(str(base.folder / "changed"), "zip", inner[1])
    real.write_bytes(f"#!{sys.executable} -ISB\n".encode() + (base.folder / "changed.zip").read_bytes())
    real.chmod(0o755)
    link = base.folder / "python3"
    link.symlink_to("scone")
    script = base.folder / "script"
    script.write_text(f"#!{link}\nimport sys; print(sys.argv[1:])\n")
    script.chmod(0o755)
    ran = subprocess.run([script, "argument"], capture_output=True, text=True, check=True)
    assert ran.stdout == "['argument']\n"
    ran = subprocess.run([real, "--version"], capture_output=True, text=True, check=True)
    assert "SIMULATED" in ran.stdout


def test_pipes_end_programs_as_usual(base: Base) -> None:
    """Python ignores SIGPIPE; what it becomes must not inherit that."""
    code = "import signal; print(signal.getsignal(signal.SIGPIPE))"
    here = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    status = "import re; print(re.search('SigIgn:.*', open('/proc/self/status').read()).group())"
    ran = base.run("python3", "-c", status)
    assert (
        ran.stdout
        == subprocess.run([sys.executable, "-c", status], capture_output=True, text=True, check=True).stdout
    )
    assert base.run("python3", "-c", code).stdout == here


def test_hash_is_one_line_and_runs_nothing(base: Base) -> None:
    ran = base.run("python3", "-c", "print('ran')", SCONE_HASH="1", SCONE_HEAP="16M", SCONE_MODE="sim")
    parts = [Path(base.places.archive).read_bytes(), Path(sys.executable).resolve().read_bytes()]
    assert ran.stdout == measure(settings_from_env({"SCONE_HEAP": "16M"}), parts) + "\n"
    assert re.fullmatch("[0-9a-f]{64}\n", ran.stdout)
    assert (ran.returncode, ran.stderr) == (0, "")
    again = base.run("python3", "another.py", SCONE_HASH="1", SCONE_HEAP="16M", SCONE_MODE="HW")
    assert again.stdout == ran.stdout
    assert base.run("python3", SCONE_HASH="1", SCONE_HEAP="17M").stdout != ran.stdout
    assert base.run("python3", "-c", "print('ran')", SCONE_HASH="0").stdout == "ran\n"


def test_own_libraries_are_measured(base: Base) -> None:
    before = base.run("python3", SCONE_HASH="1").stdout
    library = base.folder / "libpython.so"
    library.write_bytes(b"library")
    file = Path(base.places.settings, "base.json")
    known = json.loads(file.read_text())
    known["interpreters"]["python3"]["libraries"] = [str(library)]
    file.write_text(json.dumps(known))
    with_library = base.run("python3", SCONE_HASH="1").stdout
    library.write_bytes(b"another")
    assert len({before, with_library, base.run("python3", SCONE_HASH="1").stdout}) == 3


def test_version_prints_settings_and_runs(base: Base) -> None:
    env = {"SCONE_HEAP": "256M", "SCONE_ALLOW_DLOPEN": "2", "SCONE_MODE": "SIM"}
    ran = base.run("python3", "-c", "print('ran')", SCONE_VERSION="1", **env)
    hashed = base.run("python3", SCONE_HASH="1", **env).stdout
    assert ran.stdout == (
        "SCONE_QUEUES=4\nSCONE_SLOTS=256\nSCONE_SIGPIPE=0\nSCONE_MMAP32BIT=0\nSCONE_SSPINS=100\n"
        "SCONE_SSLEEP=4000\nSCONE_CONFIG=/etc/sgx-musl.conf\nSCONE_TCS=8\nSCONE_LOG=WARNING\n"
        "SCONE_HEAP=268435456\nSCONE_STACK=2097152\nSCONE_ESPINS=10000\nSCONE_MODE=sim\n"
        "SCONE_ALLOW_DLOPEN=yes (unprotected)\nSCONE_MPROTECT=no\nSCONE_FORK=no\nSCONE_FORK_OS=0\n\n"
        "SCONE_CONFIG_ID: <not specified>\nmusl version: none (SIMULATED)\nSCONE version: 5.8.0 (SIMULATED)\n"
        f"Enclave hash: {hashed}ran\n"
    )
    assert "Application runs in SGX simulation mode." in ran.stderr


@pytest.mark.parametrize("mode", ["hw", "HW", "Hw"])
def test_hardware_mode_has_no_device(base: Base, mode: str) -> None:
    ran = base.run("python3", "-c", "print('ran')", SCONE_MODE=mode)
    assert ran.returncode == 242
    assert ran.stdout == ""
    assert ran.stderr.startswith("[Error] Could not create enclave: Error opening SGX device\n")
    assert "SIMULATED" in ran.stderr


@pytest.mark.parametrize("mode", ["sim", "SIM", "auto", "AUTO", ""])
def test_the_other_modes_run(base: Base, mode: str) -> None:
    assert base.run("python3", "-c", "print('ran')", SCONE_MODE=mode).stdout == "ran\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [("SCONE_MODE", "fast"), ("SCONE_HEAP", "lots"), ("SCONE_TCS", "0"), ("SCONE_FORK", "yes")],
)
def test_nonsense_starts_nothing(base: Base, name: str, value: str) -> None:
    for more in ({}, {"SCONE_HASH": "1"}):
        ran = base.run("python3", "-c", "print('ran')", **{name: value}, **more)
        assert ran.returncode == 241
        assert ran.stdout == ""
        assert f"{name}={value!r}" in ran.stderr


def test_an_image_that_is_no_base(base: Base) -> None:
    Path(base.places.settings, "base.json").write_text("{}")
    ran = base.run("python3", "-c", "print('ran')")
    assert ran.returncode == 247
    assert "base.json" in ran.stderr


@pytest.mark.parametrize("python", old_pythons())
def test_it_runs_on_every_python_of_a_base(base: Base, python: str) -> None:
    old = dataclasses.replace(base, python=python)
    assert old.run("python3", "-c", "print('ran')").stdout == "ran\n"
    assert old.run("python3", SCONE_HASH="1").stdout == base.run("python3", SCONE_HASH="1").stdout
    app, file = base.folder / "app", str(base.folder / "fspf.pb")
    app.mkdir()
    (app / "é").write_text("content")
    for arguments in (
        ("create", file),
        ("addr", file, "/", "-n", "--kernel", "/"),
        ("addr", file, str(app), "-a", "--kernel", str(app)),
        ("addf", file, str(app), str(app)),
    ):
        done = old.run("scone", "fspf", *arguments)
        assert done.returncode == 0, done.stderr
    words = old.run("scone", "fspf", "encrypt", file).stdout.split()
    env = {"SCONE_FSPF": file, "SCONE_FSPF_TAG": words[8], "SCONE_FSPF_KEY": words[10]}
    assert old.run("python3", "-c", "print('ran')", **env).stdout == "ran\n"
    (app / "é").write_text("altered")
    assert old.run("python3", "-c", "print('ran')", **env).returncode == 244


def test_the_zipapp_is_reproducible() -> None:
    data = build.zipapp()
    assert build.zipapp() == data
    other = subprocess.run(
        [
            sys.executable,
            "-c",
            "from workflows.localnet.runtime.build import zipapp; import sys; sys.stdout.buffer.write(zipapp())",
        ],
        env={**os.environ, "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
    )
    assert other.stdout == data
    assert data.startswith(b"#!/usr/bin/python3 -ISB\n")


def test_the_zipapp_holds_nothing_newer_than_python_3_6(zipapp: Path) -> None:
    with zipfile.ZipFile(zipapp) as archive:
        names = archive.namelist()
        assert "workflows/sgx/enclave.py" in names
        assert "workflows/localnet/runtime/build.py" not in names
        for name in names:
            tree = ast.parse(archive.read(name), name, feature_version=(3, 6))
            imported = {
                alias.name.split(".")[0]
                for node in ast.walk(tree)
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in ([ast.alias(node.module)] if isinstance(node, ast.ImportFrom) else node.names)
            }
            assert imported <= {"workflows", *sys.stdlib_module_names} - {"__future__", "dataclasses"}
