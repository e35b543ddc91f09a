"""A Node app with a locked dependency: the other two forms of the fingerprint, no dataset, a plain result."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.contract import Run
from tests.e2e.house import House
from workflows.iexec.ids import ZERO_ADDRESS


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return apps.chunks(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def image(house: House) -> str:
    return house.image("chunks")


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("form", ["4", "json"])
def test_a_node_app_in_the_other_forms(house: House, project: Path, image: str, form: str) -> None:
    ended = house.onboard(
        project, "--image", image, "--form", form, "--no-encrypt-result", "--args", f"abcdefg{form}"
    )
    run = ended.run()
    assert ended.code == 0, run.error
    _form(run, form)
    assert run.outputs["encrypt_dataset"] == dict.fromkeys(("dataset", "tx", "checksum", "multiaddr", "file"))
    assert run.outputs["push_secrets"] == {"pushed": []}
    folder = Path(run.outputs["result"]["folder"])
    expected = {"4": ["abc", "def", "g4"], "json": ["abc", "def", "gjs", "on"]}[form]
    none = "" if form == "4" else ZERO_ADDRESS
    assert json.loads((folder / "chunks.json").read_text()) == {"dataset": none, "chunks": expected}
    [archive] = (project / ".creamtea" / "results").glob(f"{run.outputs['watch']['task'][:18]}*")
    with zipfile.ZipFile(
        archive
    ) as opened:  # what is in public storage is readable by everyone, as was asked
        assert json.loads(opened.read("chunks.json"))["chunks"] == expected


def _form(run: Run, form: str) -> None:
    measured, found = run.outputs["measure"], run.outputs["measure"]["fingerprint"]
    if form == "4":
        assert found.endswith("|node /app/index.js")
    else:
        assert json.loads(found) == {
            "framework": "SCONE", "version": "v5.9", "entrypoint": "node /app/index.js", "heapSize": 1 << 30,
            "fingerprint": measured["mrenclave"],
        }  # fmt: skip


def test_the_second_form_reuses_the_image(house: House, project: Path) -> None:
    logs = [json.loads(line) for line in (project / ".creamtea" / "journal.jsonl").read_text().splitlines()]
    built = [
        it["data"]["outputs"]["image_id"] for it in logs if it["kind"] == "done" and it["step"] == "build"
    ]
    assert len(set(built)) == 1
    apps_made = [
        it["data"]["outputs"]["app"] for it in logs if it["kind"] == "done" and it["step"] == "deploy_app"
    ]
    assert len(set(apps_made)) == 2


@pytest.mark.parametrize("user", ["node", "1000"])
def test_a_dockerfile_of_ones_own_with_another_user(
    house: House, network: dict[str, Any], place: Path, user: str
) -> None:
    """The base is swapped for one that has no such user, who then reads a dataset and writes a result."""
    project = apps.chunks(place)
    (place / "data.txt").write_text("of the task\n")
    (project / "Dockerfile").write_text(
        "FROM node:20-alpine\nWORKDIR /srv\nCOPY package.json package-lock.json ./\nRUN npm ci\n"
        f"COPY index.js ./\nUSER {user}\nCMD node index.js\n"
    )
    words = ["--image", house.image(f"user-{user}"), "--dataset", place / "data.txt", "--args", "abcd"]
    ended = house.onboard(project, *words, "--no-encrypt-result")
    run = ended.run()
    assert ended.code == 0, run.error
    notes = [it["text"] for it in run.of("noted", "dockerfile")]
    assert any(
        note.startswith("FROM node:20-alpine is replaced by") and "(Node 10)" in note for note in notes
    )
    assert house.engine.api.inspect_image(str(words[1]))["Config"]["User"] == user
    found = json.loads((Path(run.outputs["result"]["folder"]) / "chunks.json").read_text())
    assert found["chunks"] == ["abc", "d"] and found["dataset"].strip("0x")
