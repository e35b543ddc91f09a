"""`creamtea export iexec`, read by the official client; then taken over into another project, as it was."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.contract import Run
from tests.e2e.house import House
from tests.peer.conftest import Built, build
from tests.peer.sdk import KEYS, Sdk
from workflows.core.journal import FOLDER
from workflows.core.manifest import Manifest
from workflows.localnet.genesis import account
from workflows.scone.samples import DATASET


@pytest.fixture(scope="module")
def built(house: House, network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sample on a localnet of one's own, with the wallet that everybody knows."""
    return build(house, tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def onboarded(house: House, built: Built) -> Run:
    """The run that used the app once, with a dataset and an encrypted result."""
    ended = house.onboard(
        built.project, *built.words, "--dataset", built.project / DATASET, "--args", "creamtea"
    )
    assert ended.code == 0, ended.out[-3000:] + ended.err
    return ended.run()


@pytest.fixture(scope="module")
def exported(house: House, onboarded: Run, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `creamtea export iexec` made of that project."""
    folder = tmp_path_factory.mktemp("exported") / "out"
    document = house.creamtea("export", "iexec", folder, "--project", built.project, "--json").document()
    assert (document["app"], document["dataset"]) == (
        built.app, onboarded.outputs["encrypt_dataset"]["dataset"],
    )  # fmt: skip
    assert document["orders"] == ["apporder", "datasetorder", "workerpoolorder", "requestorder"]
    for path in (*document["files"], *document["keys"]):
        assert (folder / path).is_file()
    for path in document["keys"]:
        assert stat.S_IMODE((folder / path).stat().st_mode) == 0o600
    return folder


def test_the_client_reads_what_was_exported(sdk: Sdk, exported: Path, onboarded: Run, built: Built) -> None:
    outputs = onboarded.outputs
    data = outputs["encrypt_dataset"]["dataset"]
    sdk.each_told(
        exported,
        {
            ("app", "show", *KEYS): f"App {built.app} details:",
            ("dataset", "show", *KEYS): f"Dataset {data} details:",
            ("dataset", "check-secret"): f"Secret found for dataset {data}",
            ("wallet", "show", *KEYS): "Wallet balances [65535]:",
            (
                "result",
                "check-encryption-key",
                *KEYS,
            ): f"Encryption key found for address {account('requester').address}",
        },
    )
    # The orders are those that were matched: by the hash that the client computes, the chain says they are used up.
    said = sdk.told(exported, "order", "publish", "--dataset", "--force", *KEYS)
    assert "datasetorder: API error: order already consumed" in said
    assert "apporder is fully consumed" in sdk.told(exported, "order", "fill", "--force", *KEYS, code=1)
    # From the unsigned orders of iexec.json it signs new ones: its checks pass on the exported app and dataset.
    signed = sdk.ask(exported, "order", "sign", "--app", "--dataset", "--request", *KEYS)
    assert (signed["apporder"]["app"], signed["datasetorder"]["dataset"]) == (built.app, data)


def test_the_client_opens_a_result_with_the_exported_key(sdk: Sdk, exported: Path, built: Built) -> None:
    (archive,) = (built.project / FOLDER / "results").glob("*.zip")
    said = sdk.told(exported, "result", "decrypt", archive, "--force", *KEYS)
    assert "Results successfully decrypted in" in said
    with zipfile.ZipFile(exported / "results.zip") as opened:
        assert opened.read("report.txt").decode().startswith("creamtea\n")


def test_exported_and_imported_it_is_the_same_project(
    house: House, exported: Path, built: Built, tmp_path: Path
) -> None:
    words = ("import", "iexec", exported, "--project", tmp_path, "--json")
    elsewhere = {"CREAMTEA_LOCALNET": str(tmp_path / "another-localnet")}
    first = house.creamtea(*words, env=elsewhere).document()
    ours, theirs = Manifest(built.project), Manifest(tmp_path)
    for name in ("networks.localnet.app", "networks.localnet.dataset", "app.name"):
        assert theirs.get(name) == ours.get(name) and theirs.get(name) is not None
    key = Path(FOLDER) / "keys" / f"{Path(DATASET).name}.key"
    assert (tmp_path / key).read_bytes() == (built.project / key).read_bytes()
    pair = tmp_path / "another-localnet" / "beneficiary"
    for half in pair.iterdir():
        assert half.read_bytes() == (house.state / "beneficiary" / half.name).read_bytes()
    assert len(first["keys"]) == 3 and first["kept"] == []
    again = house.creamtea(*words, env=elsewhere).document()
    assert (again["values"], again["keys"], again["kept"]) == ({}, [], [])


def test_exported_twice_nothing_is_lost(house: House, exported: Path, built: Built) -> None:
    about = exported / "iexec.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "author": "somebody"}))
    before = {path: path.read_bytes() for path in (exported / ".secrets").rglob("*") if path.is_file()}
    house.creamtea("export", "iexec", exported, "--project", built.project, "--json").document()
    assert json.loads(about.read_text())["author"] == "somebody"
    assert {path: path.read_bytes() for path in before} == before
    (exported / ".secrets/datasets" / f"{Path(DATASET).name}.key").write_text("another")
    ended = house.creamtea("export", "iexec", exported, "--project", built.project, "--json")
    assert ended.code == 1 and ended.document()["error"]["name"] == "other_key"


def test_a_project_that_registered_nothing_has_nothing_to_export(house: House, tmp_path: Path) -> None:
    ended = house.creamtea("export", "iexec", tmp_path / "out", "--project", tmp_path, "--json")
    assert ended.document()["error"]["name"] == "inside"
    (tmp_path / "empty").mkdir()
    ended = house.creamtea("export", "iexec", tmp_path / "out", "--project", tmp_path / "empty", "--json")
    assert ended.code == 2 and ended.document()["error"]["name"] == "no_app"
    assert not (tmp_path / "out").exists()
