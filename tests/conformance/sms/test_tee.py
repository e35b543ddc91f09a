"""Cases 42 to 60: framework, properties, challenges, sessions, and who may have them."""

from __future__ import annotations

import json
import os
import re
import secrets as random
from dataclasses import dataclass
from typing import Any

import pytest
from eth_account import Account

from tests.conformance.sms.onchain import NOTHING, World
from tests.conformance.sms.wire import Sms

case = pytest.mark.case

PREFIX = "EXECUTION_NOT_AUTHORIZED_"
ENCLAVE = "0x" + "ee" * 20
MRENCLAVE = "54" * 32


@pytest.fixture(scope="module")
def served(sms: Sms, localnet: dict[str, Any] | None) -> dict[str, Any]:
    """The properties that the SMS serves; a localnet has them once the images of its stages are there."""
    for _ in range(1 if localnet is None else 15):  # our own waits for them itself, for a while
        found = sms.call("GET", "/tee/properties/SCONE")
        if found.status == 200:
            document: dict[str, Any] = found.json()
            return document
    if localnet is not None and not engine_needed():
        pytest.skip("the localnet has no container engine to make the images of its stages")
    raise AssertionError(found)


def engine_needed() -> bool:
    """Whether a missing engine is a fault here, not a reason to skip."""
    return bool(os.environ.get("CREAMTEA_REQUIRE_ENGINE"))


@pytest.fixture(scope="module")
def version(served: dict[str, Any]) -> str:
    return str(served.get("teeFrameworkVersion", "v5"))  # the real service tells it since 9.0


def fingerprint(version: str, **changes: Any) -> str:
    return json.dumps(
        {"framework": "SCONE", "version": version, "entrypoint": "python3 /app/app.py", "heapSize": 1 << 30,
         "fingerprint": MRENCLAVE, **changes}
    )  # fmt: skip


@dataclass(frozen=True)
class Tasks:
    """An app, an active task of it for a TEE, and two that are refused."""

    app: str
    active: str
    no_tee: str
    over: str


@pytest.fixture(scope="module")
def tasks(world: World, version: str) -> Tasks:
    app = world.app(fingerprint(version))
    plain = world.app("")
    return Tasks(app, world.task(app), world.task(plain, tag=NOTHING), world.finished(plain))


@pytest.fixture(scope="module")
def worker(sms: Sms) -> Any:
    """A worker that has somewhere to put results."""
    account = Account.create()
    assert sms.web2(account, "iexec-result-iexec-ipfs-token", "token").status == 204
    return account


@case(42)
def test_the_framework(sms: Sms) -> None:
    said = sms.call("GET", "/tee/framework")
    assert (said.status, said.text) == (200, '"SCONE"')


@case(43, 45)
def test_the_properties_of_the_first_and_of_a_named_version(
    sms: Sms, served: dict[str, Any], version: str
) -> None:
    assert set(served) == {
        "teeFramework", "teeFrameworkVersion", "preComputeProperties", "postComputeProperties", "lasImage"
    }  # fmt: skip
    assert served["teeFramework"] == "SCONE"
    for stage in (served["preComputeProperties"], served["postComputeProperties"]):
        assert set(stage) == {"image", "fingerprint", "entrypoint", "heapSizeInBytes"}
        assert all(
            isinstance(stage[name], str) and stage[name] for name in ("image", "fingerprint", "entrypoint")
        )
        assert isinstance(stage["heapSizeInBytes"], int)
    said = sms.call("GET", f"/tee/properties/SCONE/{version}")
    assert (said.status, said.json()) == (200, served)


@case(44, 46)
@pytest.mark.parametrize("other", ["GRAMINE", "tdx"])
def test_the_properties_of_another_framework(sms: Sms, version: str, other: str) -> None:
    assert sms.call("GET", f"/tee/properties/{other}").status == 409
    assert sms.call("GET", f"/tee/properties/{other}/{version}").status == 409


@case(47)
def test_the_properties_of_an_unknown_version(sms: Sms, served: dict[str, Any]) -> None:
    for framework in ("SCONE", "GRAMINE"):  # the version comes first
        assert sms.call("GET", f"/tee/properties/{framework}/v6.0.4").status == 404


@case(48)
def test_a_framework_in_any_case_and_none(sms: Sms, served: dict[str, Any], version: str) -> None:
    for name in ("scone", "Scone", "sCoNe"):
        assert sms.call("GET", f"/tee/properties/{name}").status == 200
    for name in ("azer", "%20"):
        assert sms.call("GET", f"/tee/properties/{name}").status == 400
        assert sms.call("GET", f"/tee/properties/{name}/{version}").status == 400
    assert sms.call("GET", "/tee/properties/").status == 404


def refused(tasks: Tasks, stranger: Any, pool: Any) -> dict[str, tuple[str, Any]]:
    """For each error a task and who signs in the pool's place; all that comes later in the order is wrong too."""
    return {
        "GET_CHAIN_TASK_FAILED": ("0x" + random.token_hex(32), stranger),
        "TASK_NOT_ACTIVE": (tasks.over, stranger),
        "NO_MATCH_ONCHAIN_TYPE": (tasks.no_tee, stranger),
        "INVALID_SIGNATURE": (tasks.active, stranger),
    }


@case(49, 60)
def test_a_challenge_is_refused(sms: Sms, tasks: Tasks, stranger: Any, world: World) -> None:
    for task, signer in refused(tasks, stranger, world.wallet).values():
        said = sms.challenge(task, signer)
        assert (said.status, said.text) == (401, "")
    for task in (tasks.over, tasks.no_tee):
        assert sms.challenge(task, world.wallet).status == 401


@case(55, 60)
def test_a_session_is_refused_with_the_first_reason(
    sms: Sms, tasks: Tasks, worker: Any, stranger: Any, world: World
) -> None:
    for error, (task, signer) in refused(tasks, stranger, world.wallet).items():
        said = sms.session(task, ENCLAVE, worker, signer)
        assert (said.status, said.json()) == (401, {"error": PREFIX + error})
    said = sms.session("", ENCLAVE, worker, stranger)
    assert (said.status, said.json()) == (401, {"error": PREFIX + "EMPTY_PARAMS_UNAUTHORIZED"})


@case(51)
def test_a_task_has_one_challenge(sms: Sms, tasks: Tasks, world: World) -> None:
    first, second = (sms.challenge(tasks.active, world.wallet) for _ in range(2))
    assert (first.status, second.status) == (200, 200)
    assert re.fullmatch("0x[0-9a-fA-F]{40}", first.text)
    assert first.text == second.text


@case(53)
def test_a_session_is_made(sms: Sms, tasks: Tasks, worker: Any, world: World) -> None:
    enclave = sms.challenge(tasks.active, world.wallet).text
    said = sms.session(tasks.active, enclave, worker, world.wallet)
    assert said.status == 200, said
    assert set(said.json()) - {"error"} == {"data"}
    assert said.json().get("error") is None
    data = said.json()["data"]
    assert re.fullmatch("[0-9A-Za-z]{10}0000" + tasks.active, data["sessionId"])
    assert re.fullmatch(r"[^/]+:\d+", data["secretProvisioningUrl"])


@case(54)
def test_a_session_signed_by_another(sms: Sms, worker: Any, stranger: Any) -> None:
    """Before anything else: the task need not even be there."""
    said = sms.session("0x" + "11" * 32, ENCLAVE, worker, stranger, header=stranger)
    assert (said.status, said.json()) == (401, {"error": "INVALID_AUTHORIZATION"})


@case(57, 59)
def test_a_session_without_its_secrets(
    sms: Sms, tasks: Tasks, world: World, worker: Any, stranger: Any
) -> None:
    """Missing dataset key, storage token and beneficiary key; a requester's secret that is not there is no error."""

    def asked(task: str, by: Any) -> tuple[int, str | None]:
        said = sms.session(task, ENCLAVE, by, world.wallet)
        return said.status, said.json().get("error")

    assert asked(tasks.active, stranger) == (500, "POST_COMPUTE_GET_STORAGE_TOKENS_FAILED")
    dataset = world.dataset()
    task = world.task(tasks.app, dataset=dataset)
    assert asked(task, worker) == (500, "PRE_COMPUTE_GET_DATASET_SECRET_FAILED")
    assert sms.web3(dataset, "key", world.wallet).status == 204
    assert asked(task, worker) == (200, None)
    task = world.task(tasks.app, iexec_result_encryption=True)
    assert asked(task, worker) == (500, "POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY")
    task = world.task(tasks.app, iexec_secrets={"1": "absent", "0": "zero", "x": "none"})
    assert asked(task, worker) == (200, None)


@case(58)
def test_a_session_of_an_app_without_a_configuration(
    sms: Sms, world: World, version: str, worker: Any
) -> None:
    for text, error in (
        ("nonsense", "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (fingerprint(version, heapSize=0), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (fingerprint("v0.0.1"), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
    ):
        said = sms.session(world.task(world.app(text)), ENCLAVE, worker, world.wallet)
        assert (said.status, said.json()) == (500, {"error": error})
