"""Reports of the stages count only with the signature of the task's enclave."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from eth_account import Account

from workflows.iexec.ids import keccak_hex
from workflows.iexec.signatures import sign_digest
from workflows.localnet.worker.reports import Expected, Reports

TASK = "0x" + "17" * 32
WORKER = "0x" + "aa" * 20
ENCLAVE = Account.from_key("0x" + "42" * 32)
DOWNLOAD = {"cause": "PRE_COMPUTE_DATASET_DOWNLOAD_FAILED"}
KEYLESS = {"cause": "PRE_COMPUTE_TEE_CHALLENGE_PRIVATE_KEY_MISSING"}
SIGNED = sign_digest(ENCLAVE, keccak_hex(TASK, WORKER))


def _post(path: str, document: Any, authorization: str = "") -> tuple[int, Expected]:
    async def body() -> tuple[int, Expected]:
        reports = Reports()
        expected = reports.expect(TASK, WORKER, ENCLAVE.address)
        await reports.start()
        try:
            headers = {"Authorization": authorization}
            async with (
                aiohttp.ClientSession() as http,
                http.post(reports.url + path, json=document, headers=headers) as answer,
            ):
                return answer.status, expected
        finally:
            await reports.stop()

    return asyncio.run(body())


def test_signed_causes_are_taken() -> None:
    documents = [
        {"cause": "PRE_COMPUTE_DATASET_DOWNLOAD_FAILED", "message": "the server\x1b[31m answered 404"},
        {"cause": "PRE_COMPUTE_DATASET_KEY_MISSING"},
    ]
    status, expected = _post(f"/compute/pre/{TASK}/exit-causes", documents, SIGNED)
    assert status == 200
    first = ("PRE_COMPUTE_DATASET_DOWNLOAD_FAILED", "the server answered 404")
    assert expected.causes == {"pre-compute": (first, ("PRE_COMPUTE_DATASET_KEY_MISSING", ""))}


def test_a_signed_result_is_taken() -> None:
    status, expected = _post(f"/compute/post/{TASK}/computed", {"result-digest": "0x00"}, SIGNED)
    assert status == 200 and expected.computed == {"result-digest": "0x00"}


@pytest.mark.parametrize(
    ("path", "document", "authorization", "status"),
    [
        (f"/compute/post/{TASK}/computed", {"result-digest": "0x00"}, "", 401),
        (f"/compute/post/{TASK}/computed", {"result-digest": "0x00"}, "0x" + "11" * 65, 401),
        (f"/compute/post/{TASK}/computed", [], SIGNED, 400),
        (f"/compute/post/{TASK}/exit-causes", [{"cause": "POST_COMPUTE_OUT_FOLDER_ZIP_FAILED"}], "", 401),
        (f"/compute/pre/{TASK}/exit-causes", [KEYLESS, DOWNLOAD], "", 401),
        (f"/compute/post/{TASK}/exit-causes", [DOWNLOAD], SIGNED, 400),
        (f"/compute/pre/{TASK}/exit-causes", [DOWNLOAD, {"cause": "APP_COMPUTE_FAILED"}], SIGNED, 400),
        (f"/compute/pre/{TASK}/exit-causes", ["cause"], SIGNED, 400),
        (f"/compute/pre/{TASK}/exit-causes", DOWNLOAD, SIGNED, 400),
        (f"/compute/pre/{TASK}/exit-causes", [], SIGNED, 400),
        (f"/compute/pre/{TASK}/computed", {}, SIGNED, 404),
        (f"/compute/pre/0x{'18' * 32}/exit-causes", [DOWNLOAD], SIGNED, 404),
    ],
)
def test_what_is_not_taken(path: str, document: Any, authorization: str, status: int) -> None:
    answered, expected = _post(path, document, authorization)
    assert answered == status and expected.causes == {} and expected.computed is None


def test_a_stage_without_a_key_may_say_so() -> None:
    cause = "POST_COMPUTE_TEE_CHALLENGE_PRIVATE_KEY_MISSING"
    status, expected = _post(f"/compute/post/{TASK}/exit-causes", [{"cause": cause}])
    assert status == 200 and expected.causes == {"post-compute": ((cause, ""),)}
