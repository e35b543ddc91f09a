"""Dockerfiles written for other bases, made to protect the file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.core.failure import Failed
from workflows.scone import catalogue, dockerfile, instructions
from workflows.scone.project import Project, look

PYTHON = catalogue.default("python")
USUAL = """\
FROM python:3.11-slim AS app
# a comment that stays
WORKDIR /srv
COPY requirements.txt .
RUN pip install \\
    -r requirements.txt
COPY . .
CMD ["python", "main.py"]
"""


@pytest.fixture
def app(tmp_path: Path) -> Project:
    (tmp_path / "src").mkdir()
    for path in ("main.py", "requirements.txt", "src/server.py"):
        (tmp_path / path).touch()
    return look(tmp_path)


def sound(text: str, app: Project) -> bool:
    return not [item for item in dockerfile.check(text, app.present) if item.level != "info"]


def test_a_usual_one_becomes_an_enclave_app(app):
    text = dockerfile.protect(USUAL, app, entry=PYTHON)
    assert f"# was: FROM python:3.11-slim\nFROM {PYTHON.reference} AS app\n" in text
    assert instructions.entrypoint(text) == "python /srv/main.py"
    assert "CMD" not in text
    assert "# a comment that stays\n" in text
    assert "addr /fspf.pb /srv --authenticated" in text
    assert "ENV SCONE_HEAP=1G\n" in text
    assert text.rstrip().endswith("ENV SCONE_MODE=auto")
    assert sound(text, app)
    assert dockerfile.protect(text, app, entry=PYTHON, heap=2**31) == text


def test_what_is_there_stays(app):
    text = (
        f'FROM {PYTHON.reference}\nENV SCONE_HEAP=2G\nCOPY . /app\nENTRYPOINT ["python3", "/app/main.py"]\n'
    )
    protected = dockerfile.protect(
        text, app, entry=catalogue.find("registry.scontain.com/sconecuratedimages/python:3-alpine")
    )
    kept = [line for line in text.splitlines() if line not in protected.splitlines()]
    assert kept == []
    assert "# was:" not in protected
    assert protected.count("SCONE_HEAP=2G") == 1
    assert sound(protected, app)
    smaller = dockerfile.protect(text, app, heap=2**29)
    assert "ENV SCONE_HEAP=512M" in smaller and "2G" not in smaller
    assert sound(smaller, app)


def test_regions_follow_the_place_of_the_app(app):
    text = 'FROM x\nCOPY . /usr/src/app\nENTRYPOINT ["python3", "/usr/src/app/src/server.py"]\n'
    protected = dockerfile.protect(
        text, app, entry=PYTHON, regions={"src": "not-protected", "/opt/x": "authenticated"}
    )
    assert "addr /fspf.pb /usr/src/app --authenticated" in protected
    assert "addr /fspf.pb /usr/src/app/src --not-protected" in protected
    assert "addr /fspf.pb /opt/x --authenticated" in protected
    assert "/fspf.pb /app" not in protected


def test_another_user_gets_its_turn_again(app):
    text = dockerfile.protect(USUAL.replace("CMD", "USER nobody\nCMD"), app, entry=PYTHON)
    names = [item.name for item in instructions.read(text)]
    assert names[-5:] == ["USER", "RUN", "RUN", "ENV", "USER"]
    assert text.rstrip().endswith("USER nobody")
    assert sound(text, app)


@pytest.mark.parametrize(
    "started", ["CMD python main.py", "ENTRYPOINT python main.py", 'entrypoint ["python", "./main.py"]']
)
def test_plain_words_become_exec_form(app, started):
    text = dockerfile.protect(USUAL.replace('CMD ["python", "main.py"]', started), app, entry=PYTHON)
    assert instructions.entrypoint(text) == "python /srv/main.py"


def test_a_cmd_in_several_lines_is_replaced_whole(app):
    text = dockerfile.protect(
        USUAL.replace('CMD ["python", "main.py"]', 'CMD [ \\\n  "python", \\\n  "main.py" ]'),
        app,
        entry=PYTHON,
    )
    assert instructions.entrypoint(text) == "python /srv/main.py"
    assert sound(text, app)


def test_the_last_stage_counts(app):
    text = f"FROM golang:1 AS build\nRUN make\n{USUAL}".replace(
        "COPY . .", "COPY --from=build /x /srv/x\nCOPY . ."
    )
    protected = dockerfile.protect(text, app, entry=PYTHON)
    assert protected.startswith("FROM golang:1 AS build\nRUN make\n# was: FROM python:3.11-slim\n")
    assert sound(protected, app)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no FROM"),
        ("FROM x\nRUN y\n", "starts nothing"),
        ("FROM x\nCMD python main.py && echo done\n", "starts nothing"),
        ('FROM x\nCOPY . /\nENTRYPOINT ["python3", "/main.py"]\n', "must not be protected"),
        ('FROM x AS a\nENTRYPOINT ["python3", "/app/main.py"]\nFROM a\n', "of its own"),
    ],
)
def test_what_is_in_the_way_is_said(app, text, said):
    with pytest.raises(Failed, match=said) as caught:
        dockerfile.protect(text, app, entry=PYTHON)
    assert caught.value.hint


def test_encrypted_folders_need_a_draft(app):
    with pytest.raises(Failed, match="stages of their own"):
        dockerfile.protect(USUAL, app, entry=PYTHON, regions={"src": "encrypted"})


def test_a_user_of_the_old_base_is_made_in_the_new_one(app):
    own = USUAL.replace("COPY . .", "COPY --chown=1000:web . .").replace("CMD", "USER node\nCMD")
    text = dockerfile.protect(own, app, entry=PYTHON)
    made = [item.value for item in instructions.read(text) if item.name == "RUN" and "/etc/" in item.value]
    assert [line.split(" || ")[0] for line in made[:2]] == [
        "grep -q '^web:' /etc/group", "grep -q '^node:' /etc/passwd",
    ]  # fmt: skip
    assert text.index("useradd -m node") < text.index("WORKDIR")
    assert "chown node /iexec_in /iexec_out" in text
    assert text.index("/iexec_in") < text.index("scone fspf create")
    assert text.rstrip().endswith("USER node")
    assert sound(text, app)


@pytest.mark.parametrize(
    ("more", "made"),
    [
        ("USER 1000:1000", False), ("USER root", False), ("USER $WHO", False), ("USER a;b", False),
        ("RUN useradd node\nUSER node", False), ("USER node", True),
    ],
)  # fmt: skip
def test_only_users_that_nothing_else_makes_are_made(app, more, made):
    text = dockerfile.protect(USUAL.replace("CMD", f"{more}\nCMD"), app, entry=PYTHON)
    assert ("grep -q '^node:' /etc/passwd" in text) == made
    assert ("/iexec_in" in text) == (more != "USER root")


def test_the_base_that_stays_gets_no_users(app):
    own = USUAL.replace("python:3.11-slim", PYTHON.reference).replace("CMD", "USER node\nCMD")
    assert "/etc/passwd" not in dockerfile.protect(own, app, entry=PYTHON)


def test_what_was_changed_is_told(app):
    own = USUAL.replace('CMD ["python", "main.py"]', "USER node\nCMD python main.py")
    told = [text for text, _ in dockerfile.changes(own, dockerfile.protect(own, app, entry=PYTHON))]
    assert told == [
        f"FROM python:3.11-slim is replaced by {PYTHON.reference} (Python {PYTHON.version})",
        "node is made where the new base lacks it",
        'CMD python main.py becomes ENTRYPOINT ["python", "/srv/main.py"]',
    ]
    assert list(dockerfile.changes(own, own)) == []


def test_an_unknown_instruction_is_named(app):
    with pytest.raises(Failed, match="line 1: unknown instruction FORM; did you mean FROM"):
        dockerfile.protect(USUAL.replace("FROM", "FORM"), app, entry=PYTHON)


STAGES = """\
# syntax=docker/dockerfile:1
ARG PY=3.11
FROM python:${PY}-slim AS builder
COPY requirements.txt .
RUN pip install --prefix=/install -r requirements.txt
FROM alpine:3.19 AS files
FROM docker.io/library/python:${PY}-slim
ARG HOME_DIR=/srv
ENV APP_HOME $HOME_DIR/app
WORKDIR $APP_HOME
COPY --from=builder /install /usr/local
COPY main.py $APP_HOME/
ENTRYPOINT ["python", "main.py"]
"""


def test_every_stage_of_the_language_gets_the_base_and_no_frontend_is_fetched(app):
    text = dockerfile.protect(STAGES, app, entry=PYTHON)
    assert [stage.base for stage in instructions.stages(instructions.read(text))] == [
        PYTHON.reference, "alpine:3.19", PYTHON.reference,
    ]  # fmt: skip
    assert "# syntax" not in text and text.startswith("ARG PY=3.11\n")
    assert instructions.entrypoint(text) == "python /srv/app/main.py"
    told = [what for what, _ in dockerfile.changes(STAGES, text)]
    assert told[0] == "# syntax=docker/dockerfile:1 is left out"
    assert sum("is replaced by" in what for what in told) == 2
    assert dockerfile.protect(text, app, entry=PYTHON) == text


def test_a_frontend_that_heredocs_may_need_stays(app):
    text = USUAL.replace("FROM", "# syntax=docker/dockerfile:1\nFROM", 1) + "RUN <<EOF\nls\nEOF\n"
    assert dockerfile.protect(text, app, entry=PYTHON).startswith("# syntax=docker/dockerfile:1\n")


def test_lines_are_continued_as_the_escape_directive_says(app):
    text = dockerfile.protect("# escape=`\n" + USUAL.replace("\\", "`"), app, entry=PYTHON)
    assert sound(text, app)
    assert [item.name for item in instructions.read(text)][-3:] == ["ENTRYPOINT", "RUN", "ENV"]


def test_a_script_gets_its_interpreter(app):
    text = dockerfile.protect(
        USUAL.replace('CMD ["python", "main.py"]', 'ENTRYPOINT ["./main.py", "-v"]'), app, entry=PYTHON
    )
    assert instructions.entrypoint(text) == "python3 /srv/main.py -v"
    assert sound(text, app)


def test_the_script_of_iexecs_examples_gets_the_heap_that_it_measures_with(app):
    text = (
        f"FROM {PYTHON.reference}\nCOPY main.py /app/\nCOPY tee/protect-fs.sh Dockerfile /build/\n"
        'RUN sh /build/protect-fs.sh /app\nENTRYPOINT ["python", "/app/main.py"]\n'
    )
    protected = dockerfile.protect(text, app, entry=PYTHON, heap=2**31)
    assert dockerfile.heap_of(protected) == 2**30
    assert protected.replace("# The heap that protect-fs.sh measures with.\nENV SCONE_HEAP=1G\n", "") == text
    assert [what for what, _ in dockerfile.changes(text, protected)] == ["ENV SCONE_HEAP=1G is added"]
    assert dockerfile.protect(protected, app, entry=PYTHON) == protected


def test_what_a_dockerfile_names_itself_is_sent_unless_it_is_a_secret(tmp_path):
    for path in ("app.py", "tee/protect-fs.sh", "node_modules/a.js", ".env"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    found = look(tmp_path)
    text = "FROM x\nCOPY . /all\nCOPY *modules /m\nCOPY ./tee/protect-fs.sh .env /build/\n"
    assert sorted(dockerfile.excludes(text, found)) == [".env", "node_modules"]
    assert sorted(dockerfile.excludes("FROM x\nCOPY . /all\n", found)) == sorted(found.excludes)
