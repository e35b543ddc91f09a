"""Framework, properties, challenges and the authorisation of sessions (sms.md §12, cases 42 to 61)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.localnet.sms.sms_world import (
    CONFIG,
    DEAL,
    ENCLAVE,
    POOL,
    STAGES,
    TASK,
    WORKER,
    Client,
    Run,
    challenged,
)
from workflows.iexec import challenge
from workflows.iexec.ids import ZERO_HASH
from workflows.iexec.records import TaskStatus
from workflows.iexec.signatures import sign_digest
from workflows.localnet.sms.properties import TeeServices
from workflows.localnet.sms.store import Store

V59: dict[str, Any] = {
    "teeFramework": "SCONE",
    "teeFrameworkVersion": "v5.9",
    "preComputeProperties": {
        "image": "pre:5.9",
        "fingerprint": "a3" * 32,
        "entrypoint": "python3 /tee/pre.py",
        "heapSizeInBytes": 3 << 30,
    },
    "postComputeProperties": {
        "image": "post:5.9",
        "fingerprint": "b3" * 32,
        "entrypoint": "python3 /tee/post.py",
        "heapSizeInBytes": 4 << 30,
    },
    "lasImage": "las:5.9",
}


def test_the_first_version_is_the_one_without_a_name(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        for path in ("scone", "SCONE/v5.9"):
            status, text = await sms.call("GET", f"/tee/properties/{path}")
            assert (status, json.loads(text)) == (200, V59)
        status, text = await sms.call("GET", "/tee/properties/scone/v5")
        assert (status, json.loads(text)["preComputeProperties"]["image"]) == (200, "pre:5")

    on_sms(body)


def test_a_framework_version_is_found_by_its_exact_name() -> None:
    assert STAGES.pipeline() == STAGES.pipeline("v5.9")
    assert STAGES.pipeline("v5.90") is None
    assert TeeServices().pipeline() is None


def test_a_task_has_one_challenge_which_outlives_a_restart(on_sms: Run) -> None:
    seen = set()

    async def body(sms: Client) -> None:
        for _ in range(2):
            status, address = await challenged(sms)
            assert status == 200
            assert address.startswith("0x")
            assert len(address) == 42
            seen.add(address)

    on_sms(body)
    on_sms(body)
    assert len(seen) == 1


def break_empty(sms: Client) -> dict[str, Any]:
    return {"chainTaskId": ""}


def break_task(sms: Client) -> dict[str, Any]:
    sms.chain.tasks.clear()
    return {}


def break_unset(sms: Client) -> dict[str, Any]:
    sms.chain.change_task(status=TaskStatus.UNSET, dealid=ZERO_HASH)
    return {}


def break_active(sms: Client) -> dict[str, Any]:
    sms.chain.change_task(status=TaskStatus.COMPLETED)
    sms.chain.deals.clear()  # comes later in the order
    return {}


def break_deal(sms: Client) -> dict[str, Any]:
    sms.chain.deals.clear()
    return {}


def break_tag(sms: Client) -> dict[str, Any]:
    sms.chain.change_deal(tag="0x" + "00" * 31 + "01")
    return {"signature": {"value": "0x" + "00" * 65}}


def break_signature(sms: Client) -> dict[str, Any]:
    return {"signature": {"value": sign_digest(WORKER, challenge.joined(WORKER.address, TASK, ENCLAVE))}}


REFUSALS = [
    (break_empty, "EMPTY_PARAMS_UNAUTHORIZED"),
    (break_task, "GET_CHAIN_TASK_FAILED"),
    (break_unset, "GET_CHAIN_TASK_FAILED"),
    (break_active, "TASK_NOT_ACTIVE"),
    (break_deal, "GET_CHAIN_DEAL_FAILED"),
    (break_tag, "NO_MATCH_ONCHAIN_TYPE"),
    (break_signature, "INVALID_SIGNATURE"),
]


@pytest.mark.parametrize(("change", "error"), REFUSALS)
def test_a_session_is_refused_with_the_first_reason(on_sms: Run, change: Any, error: str) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        changes = change(sms)
        if changes.get("chainTaskId") == "":  # the worker signs what it sends
            digest = challenge.joined(WORKER.address, "", ENCLAVE)
            headers = {"Authorization": sign_digest(WORKER, digest)}
            document = {"chainTaskId": "", "workerWallet": WORKER.address, "enclaveChallenge": ENCLAVE}
            async with sms.http.post(f"{sms.url}/tee/sessions", json=document, headers=headers) as answer:
                assert answer.status == 401
                assert await answer.json() == {"error": f"EXECUTION_NOT_AUTHORIZED_{error}"}
            return
        assert await sms.session(**changes) == (401, {"error": f"EXECUTION_NOT_AUTHORIZED_{error}"})
        assert sms.posted == []

    on_sms(body)


@pytest.mark.parametrize(
    "change", [change for change, _ in REFUSALS if change not in (break_empty, break_signature)]
)
def test_a_challenge_is_refused_for_the_same_reasons(on_sms: Run, change: Any) -> None:
    async def body(sms: Client) -> None:
        change(sms)
        assert await challenged(sms) == (401, "")

    on_sms(body)


def test_a_challenge_for_anybody_but_the_pool_is_refused(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        assert await challenged(sms, WORKER) == (401, "")
        assert await sms.status("POST", f"/tee/challenges/{TASK}") == 400

    on_sms(body)


def test_case_54_the_workers_own_signature_comes_first(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        sms.chain.tasks.clear()
        assert await sms.session(header=POOL) == (401, {"error": "INVALID_AUTHORIZATION"})

    on_sms(body)


def test_what_is_no_request_is_400(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        for text in ("", "[]", "{", '{"chainTaskId":1}', '"x"'):
            assert await sms.status("POST", "/tee/sessions", text, "0x00") == 400
        assert await sms.status("POST", "/tee/sessions", "{}") == 400

    on_sms(body)


def test_case_50_a_challenge_that_cannot_be_made_is_404(on_sms: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    async def body(sms: Client) -> None:
        assert await challenged(sms) == (404, "")

    monkeypatch.setattr(Store, "challenge", full)
    on_sms(body)


def test_case_52_a_challenge_lives_as_long_as_its_task(on_sms: Run, tmp_path: Path) -> None:
    """The scheduler asks first: the deadline is read from the chain then, not when the session is made."""

    async def body(sms: Client) -> None:
        sms.chain.change_task(final_deadline=1000)
        assert (await challenged(sms))[0] == 200

    on_sms(body)
    store = Store(tmp_path / "sms")
    assert (store.purge(1000), store.purge(1001)) == (0, 1)
    store.close()


def test_deal_is_the_one_of_the_task(on_sms: Run) -> None:
    """What the request says of its deal is not believed: the task on the chain names it."""

    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.register(json.dumps(CONFIG))
        status, _ = await sms.session(dealId="0x" + "99" * 32, taskIndex=99)
        assert status == 200
        assert f'"IEXEC_DEAL_ID": "{DEAL}"' in sms.posted[0]
        assert '"IEXEC_TASK_INDEX": "4"' in sms.posted[0]

    on_sms(body)
