"""Fetching anvil and PoCo with the real npm, from the real lock."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from workflows.core.events import Event, Lines, TaskChanged
from workflows.core.failure import Unavailable
from workflows.localnet import toolchain
from workflows.localnet.toolchain import Toolchain

LOCK = Path(toolchain.__file__).with_name("npm") / "package-lock.json"


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def program(folder: Path, text: str) -> None:
    folder.mkdir()
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_lock_names_every_file_by_hash_and_no_registry() -> None:
    lock = json.loads(LOCK.read_text())
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert packages
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry and "hasInstallScript" not in entry
    assert "http" not in LOCK.read_text()
    wanted = json.loads(LOCK.with_name("package.json").read_text())["dependencies"]
    assert wanted == lock["packages"][""]["dependencies"]
    assert {f"node_modules/{name}": version for name, version in wanted.items()} == {
        path: entry["version"] for path, entry in packages.items()
    }


@pytest.mark.chain
def test_what_is_installed_runs_without_node(tools: Toolchain) -> None:
    said = subprocess.run([tools.anvil, "--version"], env={}, capture_output=True, text=True, check=True)
    assert "1.7.1" in said.stdout
    assert json.loads((tools.poco / "package.json").read_text())["version"] == "6.1.0"


@pytest.mark.chain
def test_a_second_call_starts_nothing(
    tools: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    events: list[Event] = []
    assert toolchain.ensure(events.append) == tools
    assert events == []


def test_a_failing_npm_leaves_nothing_half_installed(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        tmp_path / "bin", "mkdir node_modules; printf 'npm error \\033[31mno such registry\\n' >&2; exit 1"
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    events: list[Event] = []
    with pytest.raises(Unavailable, match="no such registry") as caught:
        toolchain.ensure(events.append)
    assert caught.value.hint and caught.value.exit_code == 3
    assert "\x1b" not in caught.value.message
    assert toolchain.installed() is None
    left = [path.name for path in toolchain.folder().parent.iterdir()]
    assert left == [".lock"]
    assert [event.state for event in events if isinstance(event, TaskChanged)] == ["running", "failed"]
    assert any(
        "no such registry" in line for event in events if isinstance(event, Lines) for line in event.text
    )


@pytest.mark.chain
def test_a_package_that_does_not_match_its_hash_is_refused(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "npm"
    shutil.copytree(LOCK.parent, changed)
    lock = json.loads(LOCK.read_text())
    entry = lock["packages"]["node_modules/@iexec/poco"]
    entry["integrity"] = "sha512-" + "A" * 86 + "=="
    (changed / "package-lock.json").write_text(json.dumps(lock))
    monkeypatch.setattr(toolchain, "_NPM", changed)
    with pytest.raises(Unavailable, match=r"(?i)integrity"):
        toolchain.ensure()
    assert toolchain.installed() is None


def test_another_platform_is_told_at_once(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(Unavailable, match="aarch64") as caught:
        toolchain.ensure()
    assert "live network" in caught.value.hint


@pytest.mark.chain
def test_the_cache_is_for_its_owner_only(tools: Toolchain) -> None:
    assert stat.S_IMODE(toolchain.folder().resolve().parent.stat().st_mode) == 0o700
