"""The step that writes the Dockerfile: drafts anew what nobody edited, and says what an edit has to mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.core.events import Asked, Noted
from workflows.core.failure import Failed
from workflows.core.journal import Journal
from workflows.core.manifest import Manifest
from workflows.core.step import Context, Done
from workflows.scone import catalogue
from workflows.steps.dockerfile import Dockerfile

NODE = "FROM node:20-alpine\nWORKDIR /srv\nCOPY . .\nUSER node\nCMD node index.js\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text("print(1)\n")
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "weather.csv").write_text("a,1\n")
    (tmp_path / "notes.txt").write_text("what it is\n")
    return tmp_path


def run(
    project: Path, *, edit: str | None = None, dataset: str | None = None, language: str = "python"
) -> list[Noted]:
    """The step as a new process would run it; its notes. edit: what the person leaves in the editor."""
    ctx = Context(project, Journal(project), Manifest(project), workflow="onboard", run="r")
    ctx.values.update(
        network="localnet", language=language, heap="1G", dataset=dataset and str(project / dataset)
    )
    reference = catalogue.default(language).reference
    ctx.outputs["base_image"] = {"reference": reference, "used": reference, "stand_in": None}
    if language == "python":
        ctx.values["entrypoint"] = "python3 /app/main.py"
    step, notes = Dockerfile(), []
    work = step.run(ctx)
    answer = None
    try:
        while True:
            event = work.send(answer)
            answer = None
            if isinstance(event, Asked):
                answer = edit if edit is not None else event.default
            elif isinstance(event, Noted):
                notes.append(event)
    except StopIteration as stop:
        ctx.journal.append("done", step.id, data={"outputs": stop.value})
    finally:
        ctx.close()
    return notes


def stale(notes: list[Noted]) -> list[Noted]:
    return [note for note in notes if "was edited, so it is kept" in note.text]


def done(project: Path) -> Done:
    """The step's probe in a new process, nothing having changed since."""
    ctx = Context(project, Journal(project), Manifest(project), workflow="onboard", run="r")
    ctx.previous = ctx.journal.last("done", "dockerfile")
    found = Dockerfile().done(ctx)
    assert found is not None
    return found


def text(project: Path) -> str:
    return (project / "Dockerfile.scone").read_text()


def test_data_stays_out_and_is_told(project):
    notes = [note.text for note in run(project)]
    assert "weather.csv stays out: looks like data; name it as the dataset, or add a COPY line" in notes
    assert "weather.csv" not in text(project) and "COPY main.py notes.txt requirements.txt /app/" in text(
        project
    )


def test_a_copy_line_for_data_is_kept_and_no_note_says_otherwise(project):
    run(project)
    run(project, edit=text(project).replace("COPY main.py", "COPY weather.csv main.py"))
    notes = [note.text for note in run(project)]
    assert "COPY weather.csv main.py" in text(project)
    assert not [note for note in notes if "weather.csv stays out" in note]


def test_what_looks_like_a_secret_stays_out_until_a_copy_line_names_it(project):
    (project / "token.txt").write_text("x")
    (project / ".env").write_text("A=1")
    (project / "secrets").mkdir()
    (project / "secrets" / "db").write_text("x")
    told = {note.text: note.level for note in run(project) if "stays out: looks like a secret" in note.text}
    wanted = "stays out: looks like a secret; if it is none, add a COPY line that names it"
    assert told == {
        f"token.txt {wanted}": "warning", f"secrets {wanted}": "warning",
        ".env stays out: looks like a secret; if it is none, give it another name": "warning",
    }  # fmt: skip
    assert "token" not in text(project) and "secrets" not in text(project)
    lines = "COPY token.txt /app/\nCOPY secrets /app/secrets\nCOPY main.py"
    notes = run(project, edit=text(project).replace("COPY main.py", lines))
    assert not [note for note in run(project) if note.text.startswith(("token.txt", "secrets"))]
    named = [note for note in notes if "names what looks like a secret" in note.text]
    assert [(note.level, note.text.rpartition(": ")[2]) for note in named] == [
        ("warning", "token.txt"), ("warning", "secrets"),
    ]  # fmt: skip
    edited = text(project)
    with pytest.raises(
        Failed, match=r"COPY names \.env, which is left out of the image: looks like a secret"
    ):
        run(project, edit=edited.replace("COPY token.txt", "COPY .env"))


def test_a_copy_of_everything_brings_no_file_that_looks_like_a_secret(project):
    (project / "Dockerfile").write_text("FROM python:3\nWORKDIR /app\nCOPY . .\nCMD python3 main.py\n")
    (project / "token.txt").write_text("x")
    notes = [note.text for note in run(project)]
    assert [note for note in notes if note.startswith("token.txt stays out: looks like a secret")]
    assert not [note for note in notes if "brings what looks like a secret" in note]


def test_an_unedited_draft_is_drafted_anew_when_a_file_became_the_dataset(project):
    run(project)
    (project / "Dockerfile.scone").write_text(text(project).rstrip())  # an editor that cuts the end
    notes = run(project, dataset="notes.txt")
    assert "notes.txt" not in text(project)
    assert [note.level for note in notes if "notes.txt stays out" in note.text] == ["warning"]


def test_an_unedited_draft_of_a_step_that_failed_is_drafted_anew(project):
    own = "FROM node:20\nENV API_TOKEN=x\nCOPY . /app\nWORKDIR /app\nCMD python3 main.py\n"
    (project / "Dockerfile").write_text(own)
    with pytest.raises(Failed, match="API_TOKEN"):
        run(project)
    assert "API_TOKEN" in text(project)
    (project / "Dockerfile").write_text(own.replace("ENV API_TOKEN=x\n", ""))
    run(project)
    assert "API_TOKEN" not in text(project)


def test_an_edited_one_gets_told_which_line_names_what_is_left_out(project):
    run(project)
    run(project, edit=text(project) + "# mine\n")
    with pytest.raises(Failed) as caught:
        run(project, dataset="notes.txt")
    line = 1 + text(project).splitlines().index("COPY main.py notes.txt requirements.txt /app/")
    assert caught.value.message.startswith(
        f"line {line}: COPY names notes.txt, which is left out of the image: data"
    )
    assert "creamtea run onboard --from dockerfile" in caught.value.hint and "# mine" in text(project)


def test_what_is_sent_and_what_is_told_agree(project):
    (project / "Dockerfile").write_text("FROM python:3\nWORKDIR /app\nCOPY . .\nCMD python3 main.py\n")
    (project / "creamtea.toml").write_text("v = 1\n")
    (project / ".git").mkdir()
    (project / ".git" / "HEAD").touch()
    (project / ".env").write_text("A=1\n")
    notes = run(project)
    [told] = [note.text for note in notes if "does not need" in note.text]
    assert told.endswith("COPY . brings what the app does not need: Dockerfile, Dockerfile.scone")
    [told] = [note.text for note in notes if "looks like data" in note.text]
    assert told.endswith("COPY . brings what looks like data: weather.csv")
    (project / ".dockerignore").write_text("Dockerfile*\n*.csv\n")
    notes = run(project)
    assert not [note for note in notes if "does not need" in note.text or "brings what looks" in note.text]


def test_a_dockerfile_for_another_base_says_what_changes(project):
    (project / "index.js").write_text("console.log(1)\n")
    (project / "Dockerfile").write_text(NODE)
    base = catalogue.default("node")
    notes = [note.text for note in run(project, language="node")]
    assert f"FROM node:20-alpine is replaced by {base.reference} (Node {base.version})" in notes
    assert 'CMD node index.js becomes ENTRYPOINT ["node", "/srv/index.js"]' in notes


def test_a_slip_in_ones_own_is_named_with_its_line(project):
    (project / "Dockerfile").write_text("FORM python:3\nCMD python3 main.py\n")
    with pytest.raises(Failed, match="line 1: unknown instruction FORM; did you mean FROM") as caught:
        run(project)
    assert f"Edit {project / 'Dockerfile'}, then: creamtea run onboard --from dockerfile" in caught.value.hint


SCRIPT = (
    "FROM sconecuratedimages/public-apps:python-3.7.3-alpine3.10-scone3.0\nCOPY main.py /app/\n"
    "COPY tee/protect-fs.sh tee/Dockerfile /build/\nRUN sh /build/protect-fs.sh /app\n"
    'ENTRYPOINT ["python", "/app/main.py"]\n'
)


def test_iexecs_example_is_taken_from_where_it_lies_with_what_it_copies(project):
    (project / "tee").mkdir()
    (project / "tee" / "protect-fs.sh").touch()
    (project / "tee" / "Dockerfile").write_text(SCRIPT)
    notes = run(project)
    assert "ENV SCONE_HEAP=1G is added" in [note.text for note in notes]
    assert "COPY tee/protect-fs.sh tee/Dockerfile /build/\n" in text(project)
    (project / "tee" / "Dockerfile").write_text(text(project))
    for made in ("Dockerfile.scone", "creamtea.toml"):
        (project / made).unlink()
    run(project)
    assert not (project / "Dockerfile.scone").exists()  # it is complete, so it is the one


def test_a_dockerfile_that_nothing_uses_is_told(project):
    (project / "docker").mkdir()
    (project / "docker" / "Dockerfile").write_text("FROM python:3.11-slim\n")
    assert "docker/Dockerfile is not used" in [note.text for note in run(project)]


OWN = 'FROM python:3.11-slim\nCOPY main.py /app/\nENTRYPOINT ["python3", "/app/main.py"]\n'


def test_a_dockerfile_changed_behind_an_edited_one_is_told_until_it_is_dealt_with(project):
    (project / "Dockerfile").write_text(OWN)
    run(project)
    assert not stale(run(project, edit=text(project) + "# mine\n"))
    (project / "Dockerfile").write_text(OWN.replace("COPY", "ENV LEVEL=2\nCOPY"))
    [told] = stale(run(project))
    assert told.level == "warning" and "Dockerfile.scone was edited, so it is kept" in told.text
    assert "creamtea run onboard --from dockerfile" in (told.hint or "")
    assert stale(run(project)), "it is told again as long as nobody did anything"
    assert [note.text for note in done(project).notes if isinstance(note, Noted)] == [told.text]
    run(project, edit=text(project).replace("# mine", "ENV LEVEL=2"))
    assert not stale(run(project)) and not done(project).notes


def test_the_way_out_of_a_stale_edit_is_a_new_draft(project):
    (project / "Dockerfile").write_text(OWN)
    run(project)
    run(project, edit=text(project) + "# mine\n")
    (project / "Dockerfile").write_text(OWN.replace("COPY", "ENV LEVEL=2\nCOPY"))
    assert stale(run(project))
    (project / "Dockerfile.scone").unlink()
    assert not stale(run(project))
    assert "ENV LEVEL=2" in text(project) and "# mine" not in text(project)
