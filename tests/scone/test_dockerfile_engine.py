"""Drafted Dockerfiles built by the real engine on the stand-in bases, and what their images hold."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.containers.build import build
from workflows.containers.buildlog import BuildFailed
from workflows.containers.context import Context
from workflows.containers.engine import Engine
from workflows.localnet.images import stand_in
from workflows.scone import catalogue, dockerfile, image, samples
from workflows.scone.project import Project, look
from workflows.scone.regions import SYSTEM, Kind

pytestmark = pytest.mark.engine
ROOT_PEM = b"-----BEGIN CERTIFICATE-----\nSIMULATED test root\n-----END CERTIFICATE-----\n"
PLAIN = "plain text that must be in no layer"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.connect() as connected:
        yield connected


@pytest.fixture
def tag(engine: Engine) -> Iterator[str]:
    name = f"creamtea-test/dockerfile:{uuid.uuid4().hex[:12]}"
    yield name
    engine.remove(name, force=True)


def app(folder: Path, language: str) -> Project:
    samples.unpack(folder, language)
    for path, text in (("model/weights.txt", PLAIN), ("my notes/x y.txt", "plain"), ("config/.env", "KEY=1")):
        (folder / path).parent.mkdir()
        (folder / path).write_text(text)
    (folder / "config" / "app.ini").write_text("[app]\n")
    return look(folder)


def make(engine: Engine, project: Project, text: str, language: str, tag: str, builder: str = "auto") -> str:
    """The image's id; errors of our own check fail the test before the engine is asked."""
    findings = dockerfile.check(text, project.present, stand_in=True)
    assert [item for item in findings if item.level == "error"] == []
    base = stand_in(engine, language, lambda event: None, root_pem=ROOT_PEM)
    reference = catalogue.default(language).reference
    context, changes = Context(project.root, text, apart=project.excludes).rewritten({reference: base.image})
    assert changes
    work = build(engine, context, tag=tag, builder=builder)  # type: ignore[arg-type]
    while True:
        try:
            next(work)
        except StopIteration as end:
            return str(end.value.image_id)


def run_with_fspf(engine: Engine, tag: str, *arguments: str, before: str = "") -> tuple[int, str]:
    """Start the entrypoint with the file shield up, by hand as SCONE's guide shows it for debugging."""
    measured = image.measure(engine, tag).fingerprint
    ran = engine.run(
        tag,
        ["-c", f'{before}:; exec "$@"', "sh", *str(measured.entrypoint).split(), *arguments],
        entrypoint=["/bin/sh"],
        environment={
            "SCONE_MODE": "sim",
            "SCONE_FSPF": "/fspf.pb",
            "SCONE_FSPF_KEY": str(measured.fspf_key),
            "SCONE_FSPF_TAG": str(measured.fspf_tag),
        },
        network="none",
        timeout=120,
    )
    return ran.code, ran.out + ran.err


CHOICES: dict[str, dict[str, Kind]] = {
    "plain": {},
    "folders": {"model": "encrypted", "my notes": "not-protected"},
    "whole": {".": "encrypted"},
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("language", ["python", "node"])
def test_a_draft_becomes_a_protected_image(engine, tag, tmp_path, language, choice):
    project = app(tmp_path / "app", language)
    chosen = CHOICES[choice]
    text = dockerfile.draft(project, catalogue.default(language), regions=chosen, heap=2**28, stand_in=True)
    image_id = make(engine, project, text, language, tag)

    measured = image.measure(engine, tag)
    whole = measured.fingerprint
    assert (measured.simulated, whole.heap) == (True, 2**28)
    assert whole.entrypoint == dockerfile.entrypoint(text) == " ".join(engine.require(tag).entrypoint)
    kinds = {"/app" if name == "." else f"/app/{name}": kind for name, kind in chosen.items()}
    expected = {**dict.fromkeys([*SYSTEM, "/app"], "authenticated"), "/": "not-protected", **kinds}
    assert {path: kind for path, kind in measured.regions.items() if path != "/node_modules"} == expected

    shown = engine.run(
        tag, ["fspf", "show", "/fspf.pb", str(whole.fspf_key)], entrypoint=["scone"], network="none"
    )
    assert f"AES-GCM tag: {whole.fspf_tag}" in shown.out
    regions = {match[1]: match[2] for match in re.finditer(r"^region (/.*?) (\S+) kernel ", shown.out, re.M)}
    assert regions == measured.regions
    assert engine.read_file(image_id, "/app/config/.env") is None

    held = (engine.read_file(image_id, "/app/model/weights.txt") or b"").decode("latin-1")
    assert (held == PLAIN) == (choice == "plain")
    archive = b"".join(engine.api.get_image(tag))
    assert (PLAIN.encode() in archive) == (choice == "plain")

    code, said = run_with_fspf(engine, tag, "In", "the", "enclave")
    assert code == 0, said
    assert "wrote report.txt" in said


@pytest.mark.parametrize("builder", ["classic", "buildkit"])
def test_an_altered_file_stops_the_enclave(engine, tag, tmp_path, builder):
    project = app(tmp_path / "app", "python")
    text = dockerfile.draft(
        project, catalogue.default("python"), regions={"my notes": "not-protected"}, stand_in=True
    )
    make(engine, project, text, "python", tag, builder)
    assert run_with_fspf(engine, tag, before="echo more >> '/app/my notes/x y.txt';")[0] == 0
    assert run_with_fspf(engine, tag, before="echo 1.2.3.4 host >> /etc/hosts;")[0] == 0
    for harm in (
        "echo '#' >> /app/app.py;",
        "touch /app/new.py;",
        "rm /app/config/app.ini;",
        "touch /usr/lib/evil.so;",
    ):
        code, said = run_with_fspf(engine, tag, before=harm)
        assert code != 0, harm
        assert "wrote report.txt" not in said


def test_the_step_runs_in_busybox_too(engine, tag, tmp_path):
    """SCONE's curated images are Alpine, whose shell is busybox."""
    project = app(tmp_path / "app", "python")
    text = dockerfile.draft(
        project,
        catalogue.default("python"),
        regions={"model": "encrypted"},
        packages=["busybox"],
        stand_in=True,
    )
    ash = 'SHELL ["/bin/busybox", "sh", "-c"]'
    step = "RUN set -eu"
    assert text.count(step) == 1
    tools = " ".join(
        f"ln -sf /bin/busybox /usr/local/bin/{name};" for name in ("sed", "grep", "cat", "mkdir", "printf")
    )
    text = text.replace("FROM runtime AS protect\n", f"FROM runtime AS protect\n{ash}\n")
    text = text.replace("RUN mkdir -p /app/model", f"RUN {tools} mkdir -p /app/model")
    make(engine, project, text, "python", tag)
    measured = image.measure(engine, tag)
    assert measured.regions["/app/model"] == "encrypted"
    assert run_with_fspf(engine, tag)[0] == 0


def test_a_native_interpreter_is_refused_by_the_step(engine, tag, tmp_path):
    project = app(tmp_path / "app", "python")
    text = dockerfile.draft(
        project, catalogue.default("python"), entrypoint="/usr/bin/python3 /app/app.py", stand_in=True
    )
    with pytest.raises(BuildFailed) as caught:
        make(engine, project, text, "python", tag)
    assert any("is not SCONE" in line for line in caught.value.lines)
    assert not engine.exists(tag)


def test_a_failing_scone_command_fails_the_build(engine, tag, tmp_path):
    project = app(tmp_path / "app", "python")
    text = dockerfile.draft(project, catalogue.default("python"), stand_in=True)
    for old, new in (
        ("/usr /bin", "/usr /usr /bin"),
        ("addf /fspf.pb /app /app", "addf /fspf.pb /app /gone"),
    ):
        assert old in text
        with pytest.raises(BuildFailed):
            make(engine, project, text.replace(old, new), "python", tag)
    assert not engine.exists(tag)


def test_a_dockerfile_of_ones_own(engine, tag, tmp_path):
    project = app(tmp_path / "app", "python")
    (tmp_path / "app" / "config" / ".env").unlink()
    own = (
        "FROM python:3.11-slim\nWORKDIR /srv/app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"
        "COPY . .\nRUN useradd -m someone && chown -R someone /srv/app\nUSER someone\nCMD python app.py\n"
    )
    project = look(tmp_path / "app")
    text = dockerfile.protect(own, project, entry=catalogue.default("python"), heap=2**28)
    make(engine, project, text, "python", tag)
    measured = image.measure(engine, tag)
    assert measured.regions["/srv/app"] == "authenticated"
    assert measured.fingerprint.entrypoint == "python /srv/app/app.py"
    assert engine.require(tag).environment["SCONE_MODE"] == "auto"
