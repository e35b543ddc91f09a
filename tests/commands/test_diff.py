"""`creamtea diff` on what is kept in a project, on files and signed enclaves: the document and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scone.measurements import BUILD, builds
from tests.sgx.enclaves import ADD, HEAP, REG, Entry, Plan, R, W, build, thread
from workflows.cli import main
from workflows.commands import sides
from workflows.commands.diff import Diff
from workflows.core.failure import Cancelled
from workflows.core.journal import FOLDER
from workflows.core.step import Cancel
from workflows.scone import record


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return builds(tmp_path / "app")


def diff(capsys: pytest.CaptureFixture[str], project: Path, *words: str) -> tuple[int, dict, str]:  # type: ignore[type-arg]
    capsys.readouterr()
    code = main(["diff", *words, "--project", str(project), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_two_builds(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document, _ = diff(capsys, project, "1", "3")
    assert code == 1
    assert document["v"] == 1 and document["same"] is False
    assert document["parts"] == {"fspf_key": "changed", "fspf_tag": "changed", "mrenclave": "same"}
    first = document["causes"][0]
    assert (first["rank"], first["sentence"], first["path"]) == (1, "heap 1 GiB → 2 GiB", None)
    assert first["evidence"] == "SCONE_HEAP 1073741824 → 2147483648"
    assert document["a"]["name"] == "build 1 · build 1"


@pytest.mark.parametrize(
    ("a", "b"), [("2", "2"), ("last", "3"), ("build:1", "#1"), ("1" * 12, "sha256:" + "1" * 64)]
)
def test_one_build_by_all_its_names(
    project: Path, capsys: pytest.CaptureFixture[str], a: str, b: str
) -> None:
    code, document, _ = diff(capsys, project, a, b)
    assert (code, document["same"], document["causes"], document["warnings"]) == (0, True, [], [])


def test_files_of_records(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sent-by-a-friend.json"
    file.write_text(record.write(BUILD))
    assert diff(capsys, project, str(file), "1")[0] == 0
    code, document, _ = diff(capsys, project, str(file), "2")
    assert code == 1
    assert "the key is random for every build, this is expected" in document["causes"][0]["sentence"]


def test_signed_enclaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for pages in (16, 32):
        built = build(Plan(layout=[Entry(HEAP, pages, ADD, REG | R | W), *thread()]))
        paths.append(str(built.write(tmp_path / f"{pages}.signed.so")))
    code, document, _ = diff(capsys, tmp_path, *paths)
    assert code == 1
    assert [cause["sentence"] for cause in document["causes"]] == ["heap 64 KiB → 128 KiB"]
    assert document["parts"] == {"fspf_key": None, "fspf_tag": None, "mrenclave": "changed"}
    assert diff(capsys, tmp_path, paths[0], paths[0])[0] == 0


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("9", "builds here: 1 to 3"),
        ("app:0x1234", "no build, file, app or local image"),
        ("no/such:1", "no build"),
    ],
)
@pytest.mark.engine
def test_what_means_nothing(project: Path, capsys: pytest.CaptureFixture[str], word: str, said: str) -> None:
    code, document, err = diff(capsys, project, "1", word)
    assert code == 2
    assert said in err
    assert set(document) == {"v", "error"}


def test_a_damaged_record_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / FOLDER / record.FOLDER / f"0001-{'1' * 12}.json"
    path.write_text(path.read_text()[:-30])
    code, _, err = diff(capsys, project, "1", "2")
    assert code == 2
    assert path.name in err and "no JSON" in err


def test_nothing_is_written_into_a_folder_that_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.json"
    file.write_text(record.write(BUILD))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert diff(capsys, empty, str(file), str(file))[0] == 0
    assert list(empty.iterdir()) == []


def test_the_two_side_by_side(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["diff", "1", "3", "--project", str(project)]) == 1
    lines = capsys.readouterr().out.splitlines()
    heap = next(line for line in lines if " heap " in line)
    assert heap.split() == ["≠", "heap", "1", "GiB", "2", "GiB", "changed"]
    stack = next(line for line in lines if " stack " in line)
    assert stack.startswith("=") and "changed" not in stack
    assert " 1. heap 1 GiB → 2 GiB" in lines
    assert all(len(line) <= 80 for line in lines if line[:1] in "≠=·" and line)
    assert any(line.startswith("! heap 1 GiB") for line in lines)


def test_values_are_whole_in_the_document(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, document, _ = diff(capsys, project, "1", "3")
    rows = {row["name"]: row for row in document["rows"]}
    assert rows["FSPF key"]["a"] == BUILD.fingerprint.fspf_key
    assert rows["image"]["b"] == "3" * 64
    assert (rows["interpreter"]["a"], rows["its SHA-256"]["state"]) == ("/usr/local/bin/python3", "same")


def test_builds_to_choose_from(project: Path) -> None:
    found = sides.builds(project)
    assert [choice.value for choice in found] == ["3", "2", "1"]
    assert "image 333333333333" in found[0].note
    assert sides.builds(project / "nowhere") == []


def test_a_comparison_that_was_cancelled_ends_so(project: Path) -> None:
    cancel = Cancel()
    cancel.set()
    options = {"a": "1", "b": "3", "project": project, "network": "localnet", "rpc": None}
    with pytest.raises(Cancelled):
        Diff().run(options, lambda _: None, cancel)
