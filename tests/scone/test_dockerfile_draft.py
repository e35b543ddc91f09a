"""Drafted Dockerfiles: protected, clean by our own rules, and safe whatever the project holds."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.core.failure import Failed, Missing
from workflows.scone import catalogue, dockerfile, instructions, protection, shell
from workflows.scone.project import Project, look
from workflows.scone.regions import KINDS, SYSTEM

PYTHON, NODE = catalogue.default("python"), catalogue.default("node")


@pytest.fixture
def app(tmp_path: Path) -> Project:
    root = tmp_path / "my-app"
    for path in (
        "app.py",
        "util.py",
        "lib/a.py",
        "lib/inner/b.py",
        "model/w.bin",
        "my data/x y.txt",
        "config/.env",
        "config/c.ini",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / "requirements.txt").write_text("idna\n")
    return look(root)


def errors(text: str, project: Project, stand_in: bool = False) -> list[dockerfile.Finding]:
    found = dockerfile.check(text, project.present, stand_in=stand_in)
    return [item for item in found if item.level != "info"]


def declared(text: str) -> dict[str, str]:
    return {
        path: kind
        for item in instructions.read(text)
        if item.name == "RUN"
        for path, kind in shell.regions(item.value).items()
    }


def test_the_usual_draft(app):
    text = dockerfile.draft(app, PYTHON)
    names = [item.name for item in instructions.read(text)]
    assert names == [
        "FROM",
        "ENV",
        "COPY",
        "RUN",
        "COPY",
        "COPY",
        "COPY",
        "COPY",
        "COPY",
        "RUN",
        "ENTRYPOINT",
    ]
    assert f"FROM {PYTHON.reference}\n" in text
    assert "ENV SCONE_HEAP=1G\n" in text
    assert 'ENTRYPOINT ["python3", "/app/app.py"]\n' in text
    assert declared(text) == {"/": "not-protected", **dict.fromkeys([*SYSTEM, "/app"], "authenticated")}
    assert errors(text, app) == []


def test_etc_is_never_a_region(app):
    for choices in ({}, {"model": "encrypted"}, {".": "encrypted"}, {"/opt/x": "authenticated"}):
        found = declared(dockerfile.draft(app, PYTHON, regions=choices))
        assert "/etc" not in found
        assert found["/"] == "not-protected"
        assert found["/etc/ssl"] == "authenticated"


def test_dependencies_come_before_the_code(app):
    text = dockerfile.draft(app, PYTHON)
    assert text.index("pip3 install") < text.index("COPY app.py")
    assert re.search("RUN SCONE_MODE=sim SOURCE_DATE_EPOCH=[0-9]+ pip3", text)


def test_secrets_are_not_named(app):
    text = dockerfile.draft(app, PYTHON)
    assert ".env" not in text
    assert "COPY config/c.ini /app/config/\n" in text
    assert "COPY lib /app/lib\n" in text


def test_heap_entrypoint_and_packages(app):
    text = dockerfile.draft(
        app, PYTHON, heap=2**29, entrypoint="python3 /app/util.py  --fast", packages=["gcc"]
    )
    assert "ENV SCONE_HEAP=512M\n" in text
    assert 'ENTRYPOINT ["python3", "/app/util.py", "--fast"]\n' in text
    assert "printf '%s\\n' 'python3 /app/util.py --fast' > entrypoint" in text
    assert "RUN apk add --no-cache gcc\n" in text
    assert instructions.entrypoint(text) == "python3 /app/util.py --fast"


def test_the_stand_in_differs_in_os_packages_only(app):
    real = dockerfile.draft(app, PYTHON, packages=["gcc", "bash"]).splitlines()
    other = dockerfile.draft(app, PYTHON, packages=["gcc", "bash"], stand_in=True).splitlines()
    changed = [(a, b) for a, b in zip(real, other, strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][0] == "RUN apk add --no-cache gcc bash"
    assert changed[0][1].startswith("RUN apt-get update && apt-get install -y --no-install-recommends gcc &&")
    assert dockerfile.draft(app, PYTHON) == dockerfile.draft(app, PYTHON, stand_in=True)


def test_encrypted_folders_get_stages_of_their_own(app):
    text = dockerfile.draft(app, PYTHON, regions={"model": "encrypted", "my data": "encrypted"})
    stages = instructions.stages(instructions.read(text))
    assert [(stage.base, stage.name) for stage in stages] == [
        (PYTHON.reference, "runtime"), ("runtime", "protect"), ("runtime", ""),
    ]  # fmt: skip
    for stage in (stages[0], stages[2]):
        for item in stage.body:
            assert item.name != "COPY" or not {"model", "my data"} & set(item.words[:-1]), item
    plain = [item.words for item in stages[1].body if item.name == "COPY"]
    assert plain == [["model", "/plain/app/model"], ["my data", "/plain/app/my data"]]
    final = [(item.stage, item.words) for item in stages[2].body if item.name == "COPY"]
    assert final == [
        ("protect", ["/sealed/app/model", "/app/model"]), ("protect", ["/sealed/app/my data", "/app/my data"]),
        ("protect", ["/fspf.pb", "/fspf.pb"]), ("protect", ["/build", "/build"]),
    ]  # fmt: skip
    assert declared(text)["/app/model"] == declared(text)["/app/my data"] == "encrypted"
    assert errors(text, app) == []


def test_an_encrypted_app_has_its_node_modules_outside(tmp_path):
    (tmp_path / "package.json").write_text('{"dependencies": {"a": "1"}}')
    (tmp_path / "package-lock.json").write_text('{"lockfileVersion": 2}')
    (tmp_path / "app.js").touch()
    project = look(tmp_path)
    text = dockerfile.draft(project, NODE, regions={".": "encrypted"})
    assert "RUN cd / && SCONE_MODE=sim NODE_ENV=production npm ci" in text
    assert declared(text)["/node_modules"] == "authenticated"
    assert declared(text)["/app"] == "encrypted"
    assert errors(text, project) == []
    plain = dockerfile.draft(project, NODE)
    assert "RUN cd /app && SCONE_MODE=sim NODE_ENV=production npm ci" in plain
    assert "RUN command -v npm || apk add --no-cache bash nodejs-npm" in plain
    assert errors(plain, project) == []
    stand_in = dockerfile.draft(project, NODE, stand_in=True)
    assert "apk" not in stand_in
    assert errors(stand_in, project, stand_in=True) == []


def test_requirements_of_pyproject_are_quoted(tmp_path):
    (tmp_path / "app.py").touch()
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["a>=1,<2", "b; x \'$(id)\'"]\n')
    text = dockerfile.draft(look(tmp_path), PYTHON)
    run = next(item for item in instructions.read(text) if "pip3" in item.value)
    assert shell.tokens(run.value)[-2:] == ["a>=1,<2", "b; x '$(id)'"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"regions": {"nope": "authenticated"}}, "regions"),
        ({"regions": {"/etc": "authenticated"}}, "regions"),
        ({"regions": {"/etc/hosts": "authenticated"}}, "regions"),
        ({"regions": {"/": "authenticated"}}, "regions"),
        ({"regions": {"/usr": "not-protected"}}, "regions"),
        ({"regions": {"/opt": "encrypted"}}, "regions"),
        ({"regions": {"/opt/../etc": "authenticated"}}, "regions"),
        ({"regions": {"/opt/$(id)": "authenticated"}}, "regions"),
        ({"regions": {"model": "hidden"}}, "regions"),
        ({"regions": {".": "encrypted", "model": "authenticated"}}, "regions"),
        ({"regions": {".": "not-protected"}}, "regions"),
        ({"entrypoint": "sh -c a|b"}, "entrypoint"),
        ({"entrypoint": "python3 /app/\x1b[2J"}, "entrypoint"),
        ({"packages": ["a; rm -rf /"]}, "packages"),
        ({"packages": ["unheard-of"], "stand_in": True}, "packages"),
    ],
)
def test_choices_that_cannot_work(app, change, name):
    with pytest.raises(Failed) as caught:
        dockerfile.draft(app, PYTHON, **change)
    assert caught.value.name == name
    assert caught.value.hint


def test_what_cannot_be_drafted(app):
    with pytest.raises(Missing, match="no base for python"):
        dockerfile.draft(app, NODE)
    with pytest.raises(Missing, match="no base"):
        dockerfile.draft(app, dataclasses.replace(PYTHON, role="service"))
    with pytest.raises(Missing, match="no Dockerfile"):
        dockerfile.draft(dataclasses.replace(app, language=None), PYTHON)
    with pytest.raises(Missing, match="not clear"):
        dockerfile.default_entrypoint(dataclasses.replace(app, entries=()))


FOLDERS = [".", "lib", "lib/inner", "model", "my data", "config", "/opt/data"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    choices=st.dictionaries(st.sampled_from(FOLDERS), st.sampled_from(KINDS)), heap=st.integers(2**20, 2**36)
)
def test_every_choice_gives_a_clean_dockerfile_or_a_reason(app, choices, heap):
    try:
        text = dockerfile.draft(app, PYTHON, regions=choices, heap=heap)
    except Missing as refused:
        assert refused.hint
        return
    found = declared(text)
    for folder, kind in choices.items():
        path = folder if folder.startswith("/") else "/app" if folder == "." else f"/app/{folder}"
        assert found[path] == kind
    if choices.get(".", "authenticated") != "not-protected":
        assert errors(text, app) == []
    encrypted = {folder for folder, kind in choices.items() if kind == "encrypted"}
    for stage in instructions.stages(instructions.read(text)):
        for item in stage.body:
            if item.name == "COPY" and not item.stage and not item.words[-1].startswith(protection.PLAIN):
                for source in item.words[:-1]:
                    for folder in encrypted:
                        brought = {
                            path for path in app.files if path == source or path.startswith(f"{source}/")
                        }
                        assert not any(
                            folder == "." or path.startswith(f"{folder}/") for path in brought
                        ) or (source in app.dependencies)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12), max_size=4
    )
)
def test_names_never_become_instructions(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("names")
    (root / "app.py").touch()
    for name in names:
        try:
            (root / name).mkdir(exist_ok=True)
            (root / name / name).touch()
        except OSError:
            continue
    project = look(root)
    text = dockerfile.draft(project, PYTHON)
    copied = [item.words[:-1] for item in instructions.read(text) if item.name == "COPY"]
    present = {*project.files, *project.folders}
    assert {source for sources in copied for source in sources} <= present
    assert {item.name for item in instructions.read(text)} == {"FROM", "ENV", "COPY", "RUN", "ENTRYPOINT"}
