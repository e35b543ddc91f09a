"""Files outside of a project are used when the person named them, and not when only the project does."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_engine import Base, Face, ended, go
from workflows.core import outside
from workflows.core.events import Event
from workflows.core.fields import Field
from workflows.core.step import Context, Work


class Reads(Base):
    id, title = "reads", "Reads"
    fields = (
        Field("data", "Data", "path", required=False, manifest="data"),
        Field("pins", "Pins", "path", many=True, numbered=True, required=False, manifest="pins"),
    )

    def run(self, ctx: Context) -> Work:
        yield from ()
        return {"data": ctx["data"], "pins": ctx["pins"]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "inside.csv").write_text("theirs")
    (tmp_path / "mine.key").write_text("mine")
    return folder


def names(project: Path, **values: str) -> None:
    text = "".join(f"{name} = {value}\n" for name, value in values.items())
    (project / "creamtea.toml").write_text(text)


def run(project: Path, face: Face | None = None, **options: Any) -> tuple[int, Sequence[Event], Context]:
    return go(project, face or Face(), [Reads()], **options)


def trouble(events: Sequence[Event]) -> dict[str, str]:
    error = ended(events, "reads").error
    assert error is not None
    return dict(error)


@pytest.mark.parametrize("how", ["absolute", "dots", "home", "link", "linked folder", "numbered"])
def test_a_file_that_only_the_project_names_is_refused(
    project: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = project.parent / "mine.key"
    monkeypatch.setenv("HOME", str(project.parent))
    (project / "link.csv").symlink_to(mine)
    (project / "folder").symlink_to(project.parent)
    written = {
        "absolute": f'"{mine}"', "dots": '"../mine.key"', "home": '"~/mine.key"', "link": '"link.csv"',
        "linked folder": '"folder/mine.key"', "numbered": f'["1=inside.csv", "2={mine}"]',
    }[how]  # fmt: skip
    names(project, **{"pins" if how == "numbered" else "data": written})
    code, events, _ = run(project)
    error = trouble(events)
    assert code == 2 and str(mine) in error["message"] and "only creamtea.toml names it" in error["message"]
    assert "--pins" in error["hint"] if how == "numbered" else "--data" in error["hint"]


def test_what_is_inside_is_used_wherever_the_project_lies(project: Path) -> None:
    (project.parent / "way").symlink_to(project)
    names(project, data='"inside.csv"')
    code, _, ctx = run(project.parent / "way")
    assert code == 0 and ctx.outputs["reads"]["data"].endswith("inside.csv")


@pytest.mark.parametrize("by", ["flag", "environment"])
def test_what_the_person_named_once_is_his_to_use_again_in_this_project_only(project: Path, by: str) -> None:
    mine = str(project.parent / "mine.key")
    named = {"given": {"data": mine}} if by == "flag" else {"environ": {"CREAMTEA_DATA": mine}}
    assert run(project, **named)[0] == 0
    assert mine in (project / "creamtea.toml").read_text()
    code, _, ctx = run(project)
    assert code == 0 and ctx.outputs["reads"]["data"] == mine
    assert stat.S_IMODE(outside.kept().stat().st_mode) == 0o600
    other = project.parent / "another"
    other.mkdir()
    names(other, data=f'"{mine}"')
    assert run(other)[0] == 2


def test_a_link_that_leads_elsewhere_now_is_another_file(project: Path) -> None:
    (project / "link").symlink_to(project.parent / "mine.key")
    assert run(project, given={"data": str(project / "link")})[0] == 0
    assert run(project)[0] == 0
    (project.parent / "other.key").write_text("other")
    (project / "link").unlink()
    (project / "link").symlink_to(project.parent / "other.key")
    assert run(project)[0] == 2


def test_a_person_has_to_write_it_himself(project: Path) -> None:
    mine = str(project.parent / "mine.key")
    names(project, data=f'"{mine}"', pins=f'["1=inside.csv", "2={mine}"]')
    face = Face()
    code, _, ctx = run(project, face, interactive=True)
    data, pins = face.forms[0]
    assert data.value is None and mine in str(data.problem)
    assert pins.value == [f"1={project / 'inside.csv'}"] and mine in str(pins.problem)
    assert code == 0 and ctx.outputs["reads"] == {"data": None, "pins": pins.value}, (
        "enter goes on without it"
    )

    names(project, data=f'"{mine}"')
    face = Face()
    face.fills = [{"data": mine}]
    assert run(project, face, interactive=True)[2].outputs["reads"]["data"] == mine
    assert run(project)[0] == 0, "he wrote it: now it is known"


def test_a_damaged_record_allows_nothing(project: Path) -> None:
    mine = str(project.parent / "mine.key")
    assert run(project, given={"data": mine})[0] == 0
    outside.kept().write_bytes(b"\xff{}\n[]\n5\n{\n")
    assert run(project)[0] == 2
    assert run(project, given={"data": mine})[0] == 0
    assert run(project)[0] == 0
