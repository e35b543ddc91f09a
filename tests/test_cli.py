"""The command line: exit codes, one document on standard output, values from flags, files and the environment."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workflows import cli
from workflows.cli.options import parse_run

CODE = "import sys; from workflows.cli import main; sys.exit(main())"


def creamtea(
    *words: str | Path, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        **options,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with blanks, a dash in front and letters of another script."""
    folder = tmp_path / "-приложение é 1"
    folder.mkdir()
    (folder / "app.py").write_text("print('hello')\n")
    return folder


WRONG = [
    (("run", "onboard", "--bogus"), 2, "usage"),
    (("run", "nothing"), 2, "missing"),
    (("run",), 2, "usage"),
    (("run", "onboard", "--from", "build", "--only", "build"), 2, "usage"),
    (("run", "onboard", "--project", "/nonexistent"), 2, "missing"),
    (("run", "onboard", "--from", "nowhere"), 2, "no_step"),
    (("run", "onboard", "--project", "/", "--dataset", "/bad\udcffname"), 2, "usage"),
    (("run", "onboard", "--project", "/", "--input-file", "ftp://a/b"), 2, "usage"),
    (("runs", "--project", "/nonexistent"), 2, "missing"),
    (("resume", "--project", "/nonexistent"), 2, "missing"),
    (("doctor", "--project", "/nonexistent"), 2, "missing"),
    (("doctor", "--network", "nowhere"), 2, "unknown_network"),
    (("steps", "--bogus"), 2, "usage"),
    (("stpes",), 2, "usage"),
    (("localnet",), 2, "usage"),
    (("localnet", "export", "out"), 3, "localnet"),
    (("localnet", "export"), 2, "usage"),
    (("decrypt", "nothing"), 2, "missing"),
    (("encrypt", "nothing"), 2, "missing"),
    (("encrypt", "nothing", "--output", "o", "--key-file", "k"), 2, "missing"),
    (("replay", "nothing"), 2, "missing"),
    (("explain",), 2, "usage"),
    (("secrets", "list"), 3, "no_localnet"),
    (("secrets", "push", "app-secret", "the value itself", "--yes"), 2, "usage"),
    (("secrets", "bogus"), 2, "usage"),
    (("secrets", "--network", "nowhere"), 2, "unknown_network"),
    (("secrets", "--project", "/nonexistent"), 2, "missing"),
]


@pytest.mark.parametrize(
    ("words", "code", "name"), WRONG, ids=[ascii(" ".join(words)) for words, _, _ in WRONG]
)
def test_what_ends_early_is_one_document_with_the_right_exit_code(
    tmp_path: Path, words: tuple[str, ...], code: int, name: str
) -> None:
    ran = creamtea(*words, "--json", cwd=tmp_path)
    [line] = ran.stdout.splitlines()
    document = json.loads(line)
    assert (ran.returncode, document["v"], document["error"]["name"]) == (code, 1, name)
    assert document["error"]["message"] in ran.stderr
    assert set(tmp_path.iterdir()) == set()


def test_looking_leaves_no_trace(tmp_path: Path) -> None:
    for words in (("runs",), ("steps",), ("doctor",), ("resume",), ("localnet", "status")):
        creamtea(*words, "--json", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_status_without_a_localnet_has_every_name(tmp_path: Path) -> None:
    ran = creamtea("localnet", "status", "--json", "--state", tmp_path / "none")
    document = json.loads(ran.stdout)
    names = {
        "rpc",
        "chain_id",
        "hub",
        "registries",
        "rlc",
        "sms",
        "cas",
        "las",
        "ipfs",
        "market",
        "result_proxy",
    }
    names |= {"workerpool", "accounts", "pid"}
    assert ran.returncode == 3
    assert {document[name] for name in names} == {None}
    assert document["state_dir"] == str(tmp_path / "none")


@pytest.mark.parametrize(
    "env",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "posix"],
)
def test_a_locale_without_our_signs_ends_nothing(tmp_path: Path, env: dict[str, str]) -> None:
    assert creamtea("runs", cwd=tmp_path, env=env).returncode == 0
    assert creamtea("explain", "✗ nothing", env=env).returncode == 1


def test_hostile_words_do_not_reach_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[31m\u202e"
    for words in (("explain", f"a{evil}"), ("run", "onboard", "--project", f"/x{evil}"), (f"st{evil}",)):
        ran = creamtea(*words, cwd=tmp_path)
        assert not set("\x1b\x07\u202e") & set(ran.stdout + ran.stderr)


def test_a_bug_of_ours_says_where_its_traceback_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("workflows.commands.explain.Explain.run", broken)
    assert cli.main(["explain", "x"]) == 70
    assert "CREAMTEA_DEBUG=1" in capsys.readouterr().err, "a command has no step and no log"
    monkeypatch.setenv("CREAMTEA_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["explain", "x"])


def test_a_step_without_its_predecessors_names_them(project: Path) -> None:
    ran = creamtea("run", "onboard", "--json", "--yes", "--from", "request", cwd=project)
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 2
    assert [event["type"] for event in events] == ["run_started", "step_started", "step_ended", "run_ended"]
    assert "--from check" in events[2]["error"]["hint"]


def test_a_step_is_named_by_its_title_too(project: Path) -> None:
    ran = creamtea("run", "onboard", "--json", "--yes", "--only", "Base Image", cwd=project)
    started = [json.loads(line) for line in ran.stdout.splitlines() if '"step_started"' in line]
    assert [event["step"] for event in started] == ["base_image"]
    shown = creamtea("steps").stdout
    assert " deploy_app       Deploy " in shown and " base_image       Base image " in shown


def test_an_unlikely_folder_has_to_be_named_where_nobody_can_be_asked(home: Path) -> None:
    (home / "app.py").touch()
    words = ("run", "onboard", "--json", "--yes", "--only", "build")
    ran = creamtea(*words, cwd=home)
    error = json.loads(ran.stdout)["error"]
    assert (ran.returncode, error["name"]) == (2, "unlikely_folder")
    assert f"{home} is your home folder" in error["message"] and f"--project {home}" in error["hint"]
    assert [path.name for path in home.iterdir()] == ["app.py"]
    for named in (("--project", "."), ()):  # the second time it is a folder that creamtea knows
        ran = creamtea(*words, *named, cwd=home)
        assert json.loads(ran.stdout.splitlines()[0])["type"] == "run_started"
        assert ("is your home folder" in ran.stderr) == bool(named)


@pytest.mark.parametrize("workflow", ["onboard", "deploy"])
@pytest.mark.parametrize(
    ("files", "name"),
    [((), "empty_project"), (("a.csv", "notes/b.txt"), "language"), (("Dockerfile",), None)],
)
def test_a_folder_without_an_app_is_refused_before_anything_is_written_there(
    tmp_path: Path, workflow: str, files: tuple[str, ...], name: str | None
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    before = sorted(tmp_path.rglob("*"))
    ran = creamtea("run", workflow, "--json", "--yes", "--only", "build", cwd=tmp_path)
    first = json.loads(ran.stdout.splitlines()[0])
    assert ran.returncode == 2
    if name is None:
        assert first["type"] == "run_started", "a Dockerfile is enough"
    else:
        assert first["error"]["name"] == name and first["error"]["hint"]
        assert sorted(tmp_path.rglob("*")) == before


def test_on_a_terminal_an_unlikely_folder_is_asked_for(home: Path) -> None:
    """With no as the answer it ends there; with yes it goes on, to find that there is no app."""
    for answer, code in ((b"\n", 130), (b"y\n", 2)):
        words = [sys.executable, "-c", CODE, "run", "onboard", "--plain", "--only", "build"]
        main, side = pty.openpty()
        with subprocess.Popen(words, stdin=side, stdout=side, stderr=side, cwd=home) as process:
            os.close(side)
            said = b""
            while b"go on all the same? [y/N] " not in said:
                said += os.read(main, 4096)
            assert not any(home.glob(".creamtea"))
            os.write(main, answer)
            while True:
                try:
                    if not os.read(main, 4096):
                        break
                except OSError:  # it has ended
                    break
            assert process.wait(60) == code
        os.close(main)
        assert not any(home.iterdir())


def test_a_run_in_a_project_that_is_in_use_is_refused_and_leaves_no_record(project: Path) -> None:
    from workflows.core.journal import Journal

    with Journal(project).lock():
        ran = creamtea("run", "onboard", "--json", cwd=project)
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["error"]["name"] == "locked"
    assert json.loads(creamtea("runs", "--json", cwd=project).stdout)["runs"] == []


def test_the_demo_signs_on_no_live_network(tmp_path: Path) -> None:
    ran = creamtea(
        "run", "demo", "--json", "--project", tmp_path / "d", "--network", "bellecour", "--only", "network"
    )
    assert ran.returncode == 2
    error = json.loads(ran.stdout.splitlines()[-2])["error"]
    assert error["name"] == "not_done"
    assert (error["message"].split(" leaves")[0], error["hint"]) == (
        "Network needs what Check", "begin there: --from check",
    )  # fmt: skip
    (tmp_path / "d" / "creamtea.toml").write_text(
        'network = "bellecour"\n[dataset]\nfile = "dataset/salaries.csv"\n'
    )
    ran = creamtea("run", "demo", "--json", "--project", tmp_path / "d")
    ended = [
        json.loads(line) for line in ran.stdout.splitlines() if '"network"' in line and '"step_ended"' in line
    ]
    assert ran.returncode == 2
    assert ended[-1]["error"]["name"] == "live_network"


def test_paths_on_the_command_line_are_the_shells(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = parse_run(
        ["onboard", "--project", str(project), "--dataset", "data.csv", "--requester-secret", "1=one",
         "--requester-secret", "2=/two", "--requester-secret", "3", "--output", "~/out"]
    )  # fmt: skip
    assert options.given == {
        "dataset": str(tmp_path / "data.csv"),
        "requester_secret": [f"1={tmp_path / 'one'}", "2=/two", "3"],
        "output": "~/out",
    }


def test_ctrl_c_at_a_prompt_ends_the_run_at_once(project: Path) -> None:
    """A person at a terminal in plain lines; the first question is the network's name."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execv(sys.executable, [sys.executable, "-c", CODE, "run", "onboard", "--plain"])
    seen = b""
    while b"Network [" not in seen:
        seen += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError:
        pass  # the terminal is closed
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert b"cancelled in" in seen


def test_a_signal_cancels_and_the_record_says_so(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "run", "onboard", "--json", "--yes"],
        stdout=subprocess.PIPE, text=True, cwd=project, env={**os.environ, "CREAMTEA_NETWORK": "bellecour"},
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    process.send_signal(signal.SIGTERM)
    lines += process.stdout.read().splitlines()
    process.wait()
    assert process.returncode == 130
    assert json.loads(lines[-1])["outcome"] == "cancelled"
    recorded = json.loads(creamtea("runs", "--json", cwd=project).stdout)["runs"]
    assert [run["outcome"] for run in recorded] == ["cancelled"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("run", "onboard", "--datset", "x"), "did you mean --dataset?"),
        (("run", "onboard", "--base-imge=x"), "did you mean --base-image?"),
        (("encrypt", "wether.csv"), "Did you mean weather.csv?"),
    ],
)
def test_a_slip_gets_what_was_meant(
    words: tuple[str, ...],
    meant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weather.csv").touch()
    assert cli.main(list(words)) == 2
    assert meant in capsys.readouterr().err
