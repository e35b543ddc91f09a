"""A second run does nothing twice; a changed input does what depends on it, and no more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chain import Tally
from tests.e2e.contract import ONBOARD
from tests.e2e.house import House
from tests.e2e.onboarded import Onboarded

LOOKS = ("doctor", "network", "base_image")  # they ask the world each time, and change nothing in it


def test_the_same_run_again(house: House, network: dict[str, Any], onboarded: Onboarded) -> None:
    before = Tally.of(network)
    ended = house.onboard(onboarded.project, *onboarded.words)
    run = ended.run()
    assert ended.code == 0, run.error
    assert run.outcomes == {step: "done" if step in LOOKS else "skipped" for step in ONBOARD}
    assert Tally.of(network) == before  # not even a block
    first = onboarded.run.outputs
    for step in ONBOARD[1:]:
        same = {name: first[step][name] for name in first[step] if name != "tx"}
        assert {name: run.outputs[step][name] for name in same} == same, step
    assert run.outputs["deploy_app"]["tx"] is None and run.outputs["encrypt_dataset"]["tx"] is None
    assert len(list((onboarded.project / "creamtea-results").iterdir())) == 1


class TestChanged:
    """One project after the other change; the tests of this class go together."""

    @pytest.fixture(scope="class")
    def project(self, onboarded: Onboarded, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The onboarded project in another place, as after a clone or a move, state and all."""
        place = tmp_path_factory.mktemp("again") / onboarded.project.name
        return Path(shutil.copytree(onboarded.project, place))

    @pytest.fixture(scope="class")
    def image(self, house: House) -> str:
        return house.image("changed")

    def test_another_developer_secret_is_no_silent_success(
        self, house: House, onboarded: Onboarded, project: Path
    ) -> None:
        other = project.parent / "other"
        other.write_text("another developer secret")
        words = [other if str(word).endswith("/app") else word for word in onboarded.words]
        ended = house.onboard(project, *words, "--only", "push_secrets")
        assert (ended.code, ended.run().error["name"]) == (1, "app_secret_differs")
        again = house.onboard(project, *onboarded.words, "--only", "push_secrets").run()
        assert again.outcome("push_secrets") == "skipped"

    def test_changed_code_is_another_app(
        self, house: House, network: dict[str, Any], onboarded: Onboarded, project: Path, image: str
    ) -> None:
        (project / "rules" / "rounding.py").write_text("def cents(amount):\n    return int(amount)\n")
        before = Tally.of(network)
        secrets = onboarded.words.index("--app-secret-file")  # six words, which the project remembers
        words = [*onboarded.words[:secrets], *onboarded.words[secrets + 6 :], "--output", project / "opened"]
        words[words.index("--image") + 1] = image
        ended = house.onboard(project, *words)
        run = ended.run()
        assert ended.code == 0, run.error
        assert run.outcome("encrypt_dataset") == "skipped"
        assert Tally.of(network).less(before) == {"apps": 1, "datasets": 0, "deals": 1, "sent": 2}
        first, now = onboarded.run.outputs, run.outputs
        assert now["measure"]["fspf_tag"] != first["measure"]["fspf_tag"]
        assert now["measure"]["mrenclave"] == first["measure"]["mrenclave"]  # scripts are not in it
        assert now["deploy_app"]["app"] != first["deploy_app"]["app"]
        for path in (now["dockerfile"]["path"], now["result"]["folder"], now["build"]["log"]):
            assert Path(path).is_relative_to(project)
        assert run.written("report.json")["total"] == 1300
        assert now["push_secrets"] == first["push_secrets"]
        assert any("the app before had a developer secret" in note for note in run.notes("deploy_app"))

    def test_deploy_sends_nothing_while_nothing_changes(
        self, house: House, network: dict[str, Any], project: Path, image: str
    ) -> None:
        before = Tally.of(network)
        (project / "main.py").touch()
        (project / "rules" / "rounding.pyc").write_bytes(b"a cache that goes into no image")
        built = house.engine.require(image).id
        house.engine.tag(house.altered(image), image)  # another image under the name, labels and all
        ended = house.onboard(project, workflow="deploy")
        run = ended.run()
        assert ended.code == 0, run.error
        steps = ("doctor", "network", "base_image", "dockerfile", "build", "measure", "deploy_app")
        assert tuple(run.outcomes) == steps
        assert [run.outcome(step) for step in steps[-3:]] == ["skipped"] * 3
        assert Tally.of(network) == before
        assert house.engine.require(image).id == built

    def test_another_heap_is_another_enclave(
        self, house: House, network: dict[str, Any], project: Path
    ) -> None:
        journal = [
            json.loads(line) for line in (project / ".creamtea" / "journal.jsonl").read_text().splitlines()
        ]
        earlier = [it for it in journal if it["kind"] == "done" and it["step"] == "measure"][-1]["data"][
            "outputs"
        ]
        before = Tally.of(network)
        ended = house.onboard(project, "--heap", "512M", workflow="deploy")
        run = ended.run()
        assert ended.code == 0, run.error
        assert house.engine.require(run.outputs["build"]["image_id"]).environment["SCONE_HEAP"] == "512M"
        assert run.outputs["measure"]["mrenclave"] != earlier["mrenclave"]
        assert Tally.of(network).less(before) == {"apps": 1, "datasets": 0, "deals": 0, "sent": 1}
        # Drafted anew, with a decrypted result in the project meanwhile.
        assert (project / "opened" / "report.json").is_file()
        assert "opened" not in (project / "Dockerfile.scone").read_text()
