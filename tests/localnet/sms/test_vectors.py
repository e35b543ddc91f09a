"""The server takes what the SDK and the real scheduler signed: the published vectors (sms.md §13) over HTTP."""

from __future__ import annotations

import pytest
from yarl import URL

from tests.iexec import sms_vectors as vectors
from tests.iexec.sms_vectors import Push
from tests.localnet.sms.sms_world import Client, Run, ledger
from workflows.iexec.ids import address
from workflows.localnet.sms.authorisation import AuthorizationError, WorkerpoolAuthorization, check

STRANGER = vectors.WRONG_SIGNER


def path(push: Push) -> str:
    return {
        "web3": f"/secrets/web3?secretAddress={push.address}",
        "web2": f"/secrets/web2?ownerAddress={push.address}&secretName={push.name}",
        "app": f"/apps/{push.address}/secrets",
        "requester": f"/requesters/{push.address}/secrets/{push.name}",
    }[push.kind]


@pytest.mark.parametrize("push", vectors.PUSHES)
def test_a_published_signature_stores_its_secret_and_no_other(on_sms: Run, push: Push) -> None:
    async def body(sms: Client) -> None:
        sms.chain.owners[address(push.address)] = push.account.address
        assert await sms.status("POST", path(push), push.value + "!", push.signature) == 401
        assert await sms.status("HEAD", path(push)) == 404
        assert await sms.status("POST", path(push), push.value, push.signature) == 204
        assert await sms.status("HEAD", path(push)) == 204

    on_sms(body)


@pytest.mark.parametrize("push", vectors.PUSHES)
def test_a_published_signature_is_nothing_for_another_owner(on_sms: Run, push: Push) -> None:
    async def body(sms: Client) -> None:
        sms.chain.owners[address(push.address)] = STRANGER
        if push.kind in ("web3", "app"):
            assert await sms.status("POST", path(push), push.value, push.signature) == 401
        else:
            other = path(push).replace(push.address, STRANGER)
            assert await sms.status("POST", other, push.value, push.signature) == 401

    on_sms(body)


def test_a_climbing_name_stores_nothing_as_path_or_as_key(on_sms: Run) -> None:
    push = vectors.CLIMBING

    async def body(sms: Client) -> None:
        assert await sms.status("POST", "/requesters/x", push.value, push.signature) == 404
        url = URL(f"{sms.url}/requesters/{push.address}/secrets/..%2F..%2Fx", encoded=True)
        headers = {"Authorization": push.signature}
        async with sms.http.post(url, data=push.value, headers=headers) as answer:
            assert answer.status == 400

    on_sms(body)


def test_the_scheduler_s_published_signature_gets_a_challenge(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        url = f"/tee/challenges/{vectors.TASK}"
        status, made = await sms.call("POST", url, signature=vectors.CHALLENGE_SIGNATURE)
        assert (status, address(made)) == (200, made)
        for other in (vectors.SESSION_SIGNATURE, vectors.WRONG_SIGNATURE):
            assert await sms.status("POST", url, signature=other) == 401

    on_sms(body)


@pytest.mark.parametrize(
    ("signature", "error"),
    [
        (vectors.SESSION_SIGNATURE, None),
        (vectors.CHALLENGE_SIGNATURE, AuthorizationError.INVALID_SIGNATURE),
        (vectors.WRONG_SIGNATURE, AuthorizationError.INVALID_SIGNATURE),
    ],
)
def test_the_published_permission_to_run_a_task(signature: str, error: AuthorizationError | None) -> None:
    """Not over HTTP: there the worker signs too, and the key of the published worker is not public."""
    document = {
        "chainTaskId": vectors.TASK,
        "workerWallet": vectors.WORKER,
        "enclaveChallenge": vectors.ENCLAVE,
        "signature": {"value": signature},
    }
    assert check(ledger(), WorkerpoolAuthorization.of(document)) is error
