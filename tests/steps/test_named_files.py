"""Files that a run needs are looked at before it begins: one that is gone, and one that only the project names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workflows.cli import main, options
from workflows.cli.person import Unattended
from workflows.cli.prepare import prepare as prepared
from workflows.core.engine import Engine
from workflows.core.events import Event, Noted
from workflows.core.failure import Missing
from workflows.core.journal import FOLDER, Journal
from workflows.core.step import Context, visible
from workflows.steps.push_secrets import PushSecrets


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "tea"
    folder.mkdir()
    (folder / "app.py").touch()
    (tmp_path / "mine.key").write_text("mine")
    return folder


def prepare(project: Path, *words: str, interactive: bool = False) -> Context:
    taken = options.parse_run(["onboard", "--project", str(project), *words])
    _, ctx = prepared(taken, interactive=interactive)
    ctx.close()
    return ctx


@pytest.mark.parametrize(
    ("written", "flag"),
    [
        ('app_secret_file = "dev.secret"', "--app-secret-file"),
        ('requester_secret = ["1=dev.secret"]', "--requester-secret"),
        ('dataset.file = "dev.secret"', "--dataset"),
    ],
)
def test_a_remembered_file_that_is_gone_is_told_before_anything_is_written(
    project: Path, written: str, flag: str
) -> None:
    (project / "creamtea.toml").write_text(written + "\n")
    with pytest.raises(Missing, match=r"there is no file .*dev\.secret") as caught:
        prepare(project)
    assert f"{flag} '' goes on without" in caught.value.hint
    assert not (project / FOLDER).exists()
    prepare(project, flag, "")  # as told
    prepare(project, "--only", "build")  # which needs no such file
    prepare(project, interactive=True)  # who can be asked is asked


def test_a_person_hears_at_the_beginning_what_a_later_step_will_ask_for(project: Path) -> None:
    (project / "creamtea.toml").write_text('app_secret_file = "dev.secret"\n')
    taken = options.parse_run(["onboard", "--project", str(project)])
    steps, ctx = prepared(taken, interactive=True)
    events: list[Event] = []
    ctx.cancel.set()
    Engine(steps, ctx, events.append, Unattended(yes=True)).run()
    [note] = [one for one in events if isinstance(one, Noted)]
    assert "dev.secret" in note.text and "the step Secrets will ask" in note.hint


def test_a_file_outside_that_only_the_project_names_is_told_before_anything_is_written(project: Path) -> None:
    mine = project.parent / "mine.key"
    (project / "creamtea.toml").write_text('app_secret_file = "../mine.key"\n')
    with pytest.raises(Missing, match=r"mine\.key is outside of this project") as caught:
        prepare(project)
    assert "--app-secret-file" in caught.value.hint and not (project / FOLDER).exists()
    prepare(project, "--app-secret-file", str(mine))


def test_a_journal_of_somebody_else_names_no_file_outside_either(project: Path) -> None:
    mine = str(project.parent / "mine.key")
    journal = Journal(project)
    journal.append("run", run="r", data={"workflow": "onboard", "given": {"app_secret_file": mine}})
    with pytest.raises(Missing, match=r"mine\.key is outside of this project") as caught:
        prepared(options.parse_resume(["--project", str(project)]))
    assert "--app-secret-file" in caught.value.hint
    words = ["--project", str(project), "--app-secret-file", mine]
    steps, ctx = prepared(options.parse_resume(words))
    ctx.cancel.set()
    Engine(steps, ctx, lambda _: None, Unattended(yes=True), given={"app_secret_file": mine}).run()
    prepared(options.parse_resume(["--project", str(project)]))


@pytest.mark.parametrize("flag", ["--wallet", "--password-file", "--passphrase-file", "--output"])
def test_a_run_with_a_file_outside_goes_on_without_naming_it_again(project: Path, flag: str) -> None:
    mine = str(project.parent / "mine.key")
    first = options.parse_run(["onboard", "--project", str(project), flag, mine])
    steps, ctx = prepared(first)
    ctx.cancel.set()
    Engine(steps, ctx, lambda _: None, Unattended(yes=True), given=first.given).run()
    resumed = options.parse_resume(["--project", str(project)])
    _, ctx = prepared(resumed)
    ctx.close()
    assert mine in resumed.given.values()


@pytest.mark.parametrize("words", [(), ("--from", "push_secrets")])
def test_a_network_that_is_not_there_is_told_by_the_step_that_needs_it(
    project: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (project / "creamtea.toml").write_text('network = "gone"\n')
    assert main(["run", "onboard", "--yes", "--json", "--project", str(project), *words]) != 0
    ended = [
        one for one in map(json.loads, capsys.readouterr().out.splitlines()) if one["type"] == "step_ended"
    ]
    assert ended and "gone" in ended[-1]["error"]["message"], ended


def test_the_headless_faces_say_it_as_lines_and_as_a_document(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "creamtea.toml").write_text('[dataset]\nfile = "/etc/hostname"\n')
    assert main(["run", "onboard", "--yes", "--json", "--project", str(project)]) == 2
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert "outside of this project" in error["message"] and "--dataset" in error["hint"]
    assert main(["run", "onboard", "--yes", "--project", str(project)]) == 2
    assert "outside of this project" in capsys.readouterr().err


@pytest.mark.parametrize("given", [True, False])
def test_a_passphrase_file_that_is_given_counts_on_the_localnet_too(project: Path, given: bool) -> None:
    words = ["--passphrase-file", str(project.parent / "mine.key")] if given else []
    ctx = prepare(project, *words)
    shown = [field.name for field in visible(PushSecrets.fields, ctx)]
    assert ("passphrase_file" in shown) is given
