"""Tasks that must not give a result: each fails with the cause that iExec names, and leaves nothing half-done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.chain import Tally
from tests.e2e.contract import Run
from tests.e2e.house import Ended, House
from tests.e2e.protocol import Requester
from workflows.iexec.matching import Orders

FAILED = "APP_COMPUTE_FAILED"


@pytest.fixture(scope="module")
def requester(network: dict[str, Any]) -> Requester:
    return Requester(network)


@pytest.fixture(scope="module")
def silent(
    house: House, network: dict[str, Any], ledger_image: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Ended]:
    """A project whose every step but the last was done, and whose app wrote nothing."""
    project = apps.ledger(tmp_path_factory.mktemp("faults"))
    return project, house.onboard(project, "--image", ledger_image, "--no-encrypt-result", "--args", "silent")


@pytest.fixture(scope="module")
def project(silent: tuple[Path, Ended]) -> Path:
    """One project for all; other arguments each time."""
    return silent[0]


class TestOfTheApp:
    """What an app can do wrong."""

    def test_no_computed_json(
        self, house: House, network: dict[str, Any], silent: tuple[Path, Ended]
    ) -> None:
        _refused(house, network, silent[1], "watch", "POST_COMPUTE_COMPUTED_FILE_NOT_FOUND", "computed.json")

    @pytest.mark.parametrize(
        ("args", "cause", "words"),
        [
            ("crash", FAILED, ["exit code 7", "the ledger is torn"]),
            ("long", "POST_COMPUTE_TOO_LONG_RESULT_FILE_NAME", ["r" * 27 + ".json", "31"]),
        ],
    )
    def test_an_app_that_fails(
        self, house: House, network: dict[str, Any], requester: Requester, project: Path,
        args: str, cause: str, words: list[str],
    ) -> None:  # fmt: skip
        run = _refused(house, network, house.onboard(project, "--args", args), "watch", cause, *words)
        assert run.error["hint"]
        assert not requester.completed(run.outputs["request"]["task"])
        assert not (project / "creamtea-results").exists()
        if args == "crash":
            assert "opening the ledger" in run.said("app", "watch")

    def test_an_input_file_that_cannot_be_had(
        self, house: House, network: dict[str, Any], project: Path
    ) -> None:
        missing = f"{network['ipfs']['gateway']}/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"
        ended = house.onboard(project, "--args", "report inputs", "--input-file", missing)
        _refused(house, network, ended, "watch", "PRE_COMPUTE_INPUT_FILE_DOWNLOAD_FAILED", "QmYwAPJz")

    def test_plain_lines_show_the_cause_the_output_and_what_to_do(self, house: House, project: Path) -> None:
        words = ["--plain", "--yes", "--args", "crash plainly"]
        ended = house.creamtea("run", "onboard", "--project", project, *words)
        assert ended.code == 1
        shown = ended.out.splitlines()
        told = next(index for index, line in enumerate(shown) if FAILED in line and "✗" in line)
        assert any("the ledger is torn" in line for line in shown[:told])
        assert shown[told + 1].strip().startswith("→")
        assert "\x1b" not in ended.out


class TestOfTheImage:
    """The enclave is not what was registered."""

    @pytest.fixture(scope="class")
    def built(self, house: House, network: dict[str, Any], ledger_image: str, tmp_path_factory: Any) -> Run:
        """The ledger as it should be, registered."""
        project = apps.ledger(tmp_path_factory.mktemp("built"))
        ended = house.onboard(project, "--image", ledger_image, workflow="deploy")
        assert ended.code == 0, ended.err
        return ended.run()

    def test_a_file_altered_after_the_fingerprint(
        self, house: House, network: dict[str, Any], ledger: Path, built: Run
    ) -> None:
        wrong = apps.ROUNDING.replace("100", "101").encode()
        image = house.altered(built.outputs["build"]["image"], files={"/app/rules/rounding.py": wrong})
        ended = house.onboard(ledger, "--image", image, "--no-encrypt-result", "--args", "report altered")
        run = _refused(house, network, ended, "watch", FAILED, "/app/rules/rounding.py")
        assert run.outcome("build") == "skipped"  # its label says that it was built from these files
        assert run.outputs["measure"]["fingerprint"] == built.outputs["measure"]["fingerprint"]
        assert not any("the report has" in line for line in run.said("app"))

    def test_another_heap_than_the_fingerprints_is_not_even_registered(
        self, house: House, network: dict[str, Any], ledger: Path, built: Run
    ) -> None:
        before = Tally.of(network)
        image = house.altered(built.outputs["build"]["image"], "ENV SCONE_HEAP=2G")
        ended = house.onboard(ledger, "--image", image)
        _refused(house, network, ended, "measure", "mrenclave_differs")
        assert Tally.of(network) == before

    def test_another_heap_gets_no_session(
        self, house: House, network: dict[str, Any], requester: Requester, built: Run
    ) -> None:
        image = house.altered(built.outputs["build"]["image"], "ENV SCONE_HEAP=2G")
        self._no_session(
            house,
            network,
            requester,
            image,
            f"{built.outputs['measure']['fingerprint']}|python3 /app/main.py",
        )

    def test_another_heap_size_in_the_json_form_gets_no_session(
        self, house: House, network: dict[str, Any], requester: Requester, built: Run
    ) -> None:
        fingerprint = {
            "framework": "SCONE", "version": "v5.9", "entrypoint": "python3 /app/main.py", "heapSize": 2 << 30,
            "fingerprint": built.outputs["measure"]["mrenclave"],
        }  # fmt: skip
        self._no_session(house, network, requester, built.outputs["build"]["image"], json.dumps(fingerprint))

    def test_another_interpreter_gets_no_session(
        self, house: House, network: dict[str, Any], requester: Requester, ledger: Path, built: Run
    ) -> None:
        name = built.outputs["build"]["image"]
        about = json.loads(house.engine.read_file(name, "/etc/scone-simulated/base.json") or b"")
        path = about["interpreters"]["python3"]["path"]
        other = (house.engine.read_file(name, path) or b"") + b"one byte more"
        image = house.altered(name, files={path: other})
        ended = house.onboard(ledger, "--image", image)
        _refused(house, network, ended, "measure", "mrenclave_differs")
        self._no_session(
            house,
            network,
            requester,
            image,
            f"{built.outputs['measure']['fingerprint']}|python3 /app/main.py",
        )

    @staticmethod
    def _no_session(
        house: House, network: dict[str, Any], requester: Requester, image: str, fingerprint: str
    ) -> None:
        """The app runs as registered, and CAS refuses its enclave."""
        app = requester.deploy(image, house.engine.require(image).id, fingerprint)
        task, end = requester.request(requester.orders(app, args="report"))
        assert (end.status, end.cause) == ("FAILED", FAILED), end
        assert "MRENCLAVE" in end.message and end.hint
        assert not any("the report has" in line for line in requester.said)
        assert not requester.completed(task)
        assert house.room(network["pid"]) == []


class TestOfTheSecrets:
    """A key that nobody pushed: foretold before anything is signed, and refused when that is not heeded."""

    def test_a_dataset_key_that_was_never_pushed(
        self, house: House, network: dict[str, Any], requester: Requester, project: Path
    ) -> None:
        data = project.parent / "data.csv"
        data.write_text("what,amount\nsilver,3\n")
        ended = house.onboard(project, "--only", "encrypt_dataset", "--dataset", data)
        assert ended.code == 0, ended.run().error
        dataset = ended.run().outputs["encrypt_dataset"]["dataset"]
        before = Tally.of(network)
        cause = "TEE_SESSION_GENERATION_PRE_COMPUTE_GET_DATASET_SECRET_FAILED"
        ended = house.onboard(project, "--from", "request", "--dataset", data)
        run = _refused(house, network, ended, "request", cause, dataset)
        assert "secrets push" in run.error["hint"]
        assert Tally.of(network) == before
        orders = requester.orders(_app(project), args="python3 /app/main.py report", dataset=dataset)
        self._foretold_and_failed(house, network, requester, orders, cause)

    def test_a_result_key_that_was_never_pushed(
        self, house: House, network: dict[str, Any], requester: Requester, project: Path
    ) -> None:
        [stranger] = [it["address"] for it in network["accounts"] if it["role"] == "owner"]
        orders = requester.orders(
            _app(project), args="python3 /app/main.py report", beneficiary=stranger, encrypt=True
        )
        cause = "TEE_SESSION_GENERATION_POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY"
        self._foretold_and_failed(house, network, requester, orders, cause)

    @staticmethod
    def _foretold_and_failed(
        house: House, network: dict[str, Any], requester: Requester, orders: Orders, cause: str
    ) -> None:
        assert [one.predicts for one in requester.foretold(orders)] == [cause]
        task, end = requester.request(orders)
        assert (end.status, end.cause) == ("FAILED", cause) and end.hint, end
        assert not requester.completed(task)
        assert house.room(network["pid"]) == []


def _refused(house: House, network: dict[str, Any], ended: Ended, step: str, cause: str, *words: str) -> Run:
    run = ended.run()
    assert ended.code == 1 and run.end["outcome"] == "failed", (ended.code, run.error)
    assert run.events[-2]["step"] == step and run.outcome(step) == "failed", run.outcomes
    assert run.error["name"] == cause, run.error
    assert all(word in run.error["message"] for word in words), run.error
    assert step not in run.outputs
    assert house.room(network["pid"]) == []
    return run


def _app(project: Path) -> str:
    lines = [json.loads(line) for line in (project / ".creamtea" / "journal.jsonl").read_text().splitlines()]
    return str(
        [it for it in lines if it["step"] == "deploy_app" and it["kind"] == "done"][-1]["data"]["outputs"][
            "app"
        ]
    )
