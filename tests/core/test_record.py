"""A run on disk: whole logs, private modes, and a replay that is the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workflows.core.events import (
    Event,
    Lines,
    Noted,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    TaskChanged,
)
from workflows.core.failure import Missing
from workflows.core.files import private_dir
from workflows.core.manifest import Manifest
from workflows.core.record import Recorder, new_run, read, replay, runs

AT = "2026-01-02T03:04:0{}.000Z"
RUN: list[Event] = [
    RunStarted(at=AT.format(0), run="r", workflow="onboard", network="localnet", project="/p"),
    StepStarted(at=AT.format(1), run="r", step="build", title="Build", command="docker build ."),
    TaskChanged(at=AT.format(1), run="r", step="build", task="t", title="[1/2] RUN", state="running"),
    Lines(at=AT.format(2), run="r", step="build", task="t", text=("one", "two")),
    Noted(at=AT.format(3), run="r", step="build", level="warning", text="mind", hint="this"),
    StepEnded(at=AT.format(4), run="r", step="build", outcome="done", outputs={"image": "x"}, seconds=3.0),
    RunEnded(at=AT.format(5), run="r", outcome="done", outputs={"build": {"image": "x"}}, seconds=5.0),
]


def recorded(folder: Path) -> Path:
    _, place = new_run(folder)
    recorder = Recorder(place)
    for event in RUN:
        recorder(event)
    recorder.close()
    return place


def test_replaying_is_the_same_run(tmp_path: Path) -> None:
    path = recorded(tmp_path) / "events.jsonl"
    assert list(read(path)) == RUN
    found: list[Event] = []
    pauses: list[float] = []
    replay(path, found.append, speed=2, sleep=pauses.append)
    assert found == RUN
    assert pauses == [0.5] * 5
    replay(path, found.append, speed=0, sleep=lambda _: pytest.fail("slept"))


def test_the_whole_log_is_on_disk_and_private(tmp_path: Path) -> None:
    place = recorded(tmp_path)
    log = (place / "steps" / "build.log").read_text()
    assert "t | one\nt | two\n" in log
    assert "$ docker build ." in log
    for path in (place / "events.jsonl", place / "steps" / "build.log"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_runs_are_listed_newest_first_with_how_they_ended(tmp_path: Path) -> None:
    recorded(tmp_path)
    interrupted = recorded(tmp_path) / "events.jsonl"
    lines = interrupted.read_text().splitlines(keepends=True)
    interrupted.write_text("".join(lines[:3]) + '{"torn')
    first, second = runs(tmp_path)
    assert (first["outcome"], first["step"]) == (None, "build")
    assert (second["outcome"], second["workflow"], second["network"]) == ("done", "onboard", "localnet")


def test_what_is_no_recording_is_refused_by_line(tmp_path: Path) -> None:
    bad = tmp_path / "events.jsonl"
    bad.write_text("hello\n")
    with pytest.raises(Missing, match="line 1"):
        list(read(bad))
    with pytest.raises(Missing, match="cannot be read"):
        list(read(tmp_path / "none.jsonl"))


def test_the_manifest_keeps_comments_and_refuses_what_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "creamtea.toml"
    path.write_text('# why\nheap = "1G" # big\n')
    manifest = Manifest(tmp_path)
    manifest.set("networks.localnet.app", "0x1")
    manifest.set("heap", "2G")
    assert path.read_text().startswith('# why\nheap = "2G" # big\n')
    assert Manifest(tmp_path).get("networks.localnet.app") == "0x1"
    manifest.set("heap", None)
    assert Manifest(tmp_path).get("heap") is None
    path.write_text("heap = \n")
    with pytest.raises(Missing, match="line 1"):
        Manifest(tmp_path)


HOSTILE = (
    '{"v":1,"type":"task_changed","task":"t","title":"x","state":"exploded"}',
    '{"v":1,"type":"task_changed","task":"t","title":5,"state":"done"}',
    '{"v":1,"type":"lines","task":"t","stream":"out","text":[1]}',
    '{"v":1,"type":"noted","text":"x","level":"info","at":"yesterday"}',
    '{"v":1,"type":"run_ended","outcome":"done","outputs":[],"seconds":1}',
    "[" * 100_000,
    "\udcff",
)


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_recording_from_elsewhere_is_checked_line_by_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(line + "\n", errors="surrogateescape")
    with pytest.raises(Missing, match="line 1"):
        list(read(path))


def test_a_recording_from_elsewhere_cannot_drive_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"v":1,"type":"lines","task":"t","stream":"out","text":["a\\u001b[2Jb","c\\u202ed"]}\n')
    assert [event.text for event in read(path) if isinstance(event, Lines)] == [("ab", "cd")]


def test_one_damaged_run_does_not_hide_the_others(tmp_path: Path) -> None:
    recorded(tmp_path)
    broken = recorded(tmp_path) / "events.jsonl"
    broken.write_text("nonsense\n" + broken.read_text())
    assert sorted(str(run["outcome"]) for run in runs(tmp_path)) == ["None", "done"]


def test_the_manifest_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "creamtea.toml"
    path.write_text("# mine\n")
    path.chmod(0o600)
    Manifest(tmp_path).set("heap", "1G")
    assert path.stat().st_mode & 0o777 == 0o600


def test_folders_above_a_private_one_are_private_too(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = private_dir(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert {one.stat().st_mode & 0o777 for one in (made, *list(made.parents)[:2])} == {0o700}


FULL = """\
import resource, signal, sys
from pathlib import Path
from tests.core.test_record import RUN
from workflows.core.events import StepEnded
from workflows.core.failure import Unavailable
from workflows.core.record import Recorder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
recorder = Recorder(Path(sys.argv[1]))
recorder(RUN[0])
resource.setrlimit(resource.RLIMIT_FSIZE, (Path(sys.argv[1], "events.jsonl").stat().st_size + 5,) * 2)
try:
    recorder(RUN[1])
except Unavailable as error:
    print(error.name, error.message)
for event in RUN[2:]:
    recorder(event)
recorder.close()
print("ended")
"""


def test_a_full_disk_stops_the_run_once_and_its_end_is_heard(tmp_path: Path) -> None:
    private = tmp_path / "run"
    private.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(private)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout == "record the run's record cannot be written: File too large\nended\n", ran.stderr
    assert list(read(private / "events.jsonl")) == RUN[:1]
