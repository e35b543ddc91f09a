"""The journal is written before the act, and read back whatever happened to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.core.failure import Failed, Unavailable
from workflows.core.journal import Journal


def filled(folder: Path, count: int = 4) -> Journal:
    journal = Journal(folder)
    for number in range(count):
        journal.append("done", f"step{number}", run="r", inputs=str(number), data={"outputs": {"n": number}})
    return journal


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    filled(tmp_path)
    again = Journal(tmp_path)
    entry = again.last("done", "step2")
    assert entry is not None
    assert entry.data == {"outputs": {"n": 2}}
    assert entry.inputs == "2"
    assert again.last("done", "nothing") is None


def test_modes_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = filled(tmp_path)
    finally:
        os.umask(before)
    assert journal.folder.stat().st_mode & 0o777 == 0o700
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_intents_are_pending_until_the_step_is_done(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("intent", "deploy", inputs="a", data={"tx": 1})
    journal.append("intent", "deploy", inputs="b", data={"tx": 2})
    assert [entry.data["tx"] for entry in journal.pending("deploy")] == [1, 2]
    assert [entry.data["tx"] for entry in Journal(tmp_path).pending("deploy", "b")] == [2]
    journal.append("done", "deploy")
    assert journal.pending("deploy") == []


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(1, 200))
def test_a_torn_last_line_is_set_aside(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    path = filled(folder).path
    data = path.read_bytes()
    last = len(data.rstrip(b"\n").rsplit(b"\n", 1)[-1]) + 1
    path.write_bytes(data[: -min(cut, last)])
    again = Journal(folder)
    kept = [number for number in range(4) if again.last("done", f"step{number}")]
    assert kept[:3] == [0, 1, 2]
    again.append("done", "later")
    assert Journal(folder).last("done", "later") is not None


@settings(max_examples=100, deadline=None)
@given(where=st.floats(0, 0.7), value=st.integers(0, 255))
def test_a_flipped_byte_is_refused_by_its_line_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, where: float, value: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    path = filled(folder).path
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] = value
    path.write_bytes(bytes(data))
    try:
        Journal(folder)
    except Failed as failure:
        assert "line" in failure.message
        assert path.read_bytes() == bytes(data)


def test_two_runs_in_one_project_are_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from workflows.core.journal import Journal\n"
        "with Journal(pathlib.Path(sys.argv[1])).lock():\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(Failed, match=str(other.pid)), Journal(tmp_path).lock():
        pass
    other.kill()
    other.wait()
    other.stdout.close()
    with Journal(tmp_path).lock():
        pass


def test_reading_makes_nothing_and_mends_nothing(tmp_path: Path) -> None:
    assert Journal(tmp_path / "nowhere").last("run") is None
    assert not (tmp_path / "nowhere").exists()
    journal = filled(tmp_path)
    torn = journal.path.read_bytes()[:-7]
    journal.path.write_bytes(torn)
    assert Journal(tmp_path).last("done") is not None
    assert journal.path.read_bytes() == torn
    with Journal(tmp_path).lock():
        assert journal.path.read_bytes().endswith(b"\n")


def test_the_lock_brings_what_another_run_wrote_meanwhile(tmp_path: Path) -> None:
    ours, theirs = Journal(tmp_path), Journal(tmp_path)
    with theirs.lock():
        theirs.append("done", "deploy", run="r", inputs="i")
    with ours.lock():
        assert ours.last("done", "deploy") is not None


def test_a_line_that_does_not_fit_on_the_disk_leaves_nothing_and_stops_the_run(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    before = journal.path.read_bytes()
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from workflows.core.failure import Unavailable; from workflows.core.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 20},) * 2)\n"
        "try: Journal(Path(sys.argv[1])).append('intent', 'deploy', data={'transaction': 'x' * 200})\n"
        "except Unavailable as failure: print(failure.name)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "journal\n"
    assert journal.path.read_bytes() == before


def test_a_folder_that_cannot_hold_the_state_is_the_machines_word(tmp_path: Path) -> None:
    (tmp_path / ".creamtea").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match="cannot be made"):
        Journal(tmp_path).append("run")
