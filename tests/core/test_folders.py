"""Folders that are hardly a project, told before anything is written there."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.core.folders import unlikely, warning
from workflows.core.journal import FOLDER


def test_home_and_what_stands_above_it(home: Path) -> None:
    assert unlikely(home) == "your home folder"
    assert unlikely(home.parent) == "the folder of the home folders"
    assert unlikely(home / "Downloads") == "a folder for everything"
    assert unlikely(home / "hello") is None
    assert unlikely(home / "hello" / "Downloads") is None


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("/", "the root"), ("/etc", "of the system"), ("/usr/lib/python3", "of the system"), ("/var/tmp", "shares"),
        ("/srv", "shares"), ("/srv/hello", None), ("/tmp/hello", None), ("/usr/src/app", None), ("/opt/app", None),
    ],
)  # fmt: skip
def test_folders_of_the_machine(folder: str, why: str | None) -> None:
    found = unlikely(Path(folder))
    assert found is None if why is None else why in (found or "")


def test_where_it_has_worked_before_it_is_not_told_again(home: Path) -> None:
    assert "your home folder" in (warning(home) or "")
    (home / FOLDER).mkdir()
    assert warning(home) is None


def test_no_home_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("~x").expanduser())
    assert unlikely(tmp_path / "hello") is None
