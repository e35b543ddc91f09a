"""What a worker gets from the SMS before it may start enclaves: challenge, storage token, session."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed
from workflows.core.step import Cancel
from workflows.core.text import clean
from workflows.iexec import ids, web
from workflows.iexec.signatures import sign_digest
from workflows.iexec.sms import Sms

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

STORAGE_TOKEN = "iexec-result-iexec-ipfs-token"  # noqa: S105 - the name of a secret, not one
_PREFIX = "TEE_SESSION_GENERATION_"
_HINTS = {
    "PRE_COMPUTE_GET_DATASET_SECRET_FAILED": "Push the dataset's key: creamtea secrets push.",
    "POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY": "Make and push the beneficiary's result "
    "key, or ask for a result that is not encrypted.",
    "APP_COMPUTE_NO_ENCLAVE_CONFIG": "Register the app with a fingerprint that this SMS knows.",
    "APP_COMPUTE_INVALID_ENCLAVE_CONFIG": "Check the app's fingerprint: creamtea verify APP.",
}


@dataclass(frozen=True)
class Granted:
    """`session` is its name in CAS, `enclave` the challenge's address, `authorization` the pool's signature."""

    session: str
    enclave: str
    authorization: str


class SessionClient:
    """Talks to SMS and result proxy for one worker of one pool. Failures have iExec's cause names. Blocks."""

    def __init__(self, sms: str, proxy: str, pool: LocalAccount, worker: LocalAccount) -> None:
        self._sms = sms
        self._proxy = proxy
        self._pool = pool
        self._worker = worker

    def properties(self, version: str) -> dict[str, Any]:
        """Images of pre-compute and post-compute of a framework version."""
        try:
            found = Sms(self._sms).properties(version)
        except Failed as error:
            raise _no_services(error.message) from None
        if found is None:
            raise _no_services(f"the SMS has no TEE services of version {version}")
        return dict(found)

    def grant(self, task: str, *, storage: bool, cancel: Cancel) -> Granted:
        """A session for a task that is active on the chain; `storage` when its result is to be uploaded."""
        enclave = self._challenge(task, cancel)
        digest = ids.authorization_hash(self._worker.address, task, enclave)
        authorization = sign_digest(self._pool, digest)
        document = {
            "chainTaskId": task,
            "workerWallet": self._worker.address,
            "enclaveChallenge": enclave,
            "signature": {"value": authorization},
        }
        headers = {"Authorization": sign_digest(self._worker, digest), "Content-Type": "application/json"}
        if storage:
            self._push_token(document, headers, cancel)
        body = json.dumps({**document, "dealId": "", "taskIndex": 0}).encode()
        reply = web.request("POST", f"{self._sms}/tee/sessions", headers=headers, body=body, cancel=cancel)
        answer = reply.json() if reply.status in (200, 401, 500) else {}
        if reply.status != 200:
            raise _refused(str(answer.get("error") or "UNKNOWN_ISSUE"), reply.status)
        return Granted(str(answer["data"]["sessionId"]), enclave, authorization)

    def location(self, task: str) -> str:
        """`/ipfs/<cid>` of an uploaded result. Failed RESULT_LINK_MISSING."""
        reply = web.request("GET", f"{self._proxy}/v1/results/{task}/ipfshash")
        if reply.status != 200:
            raise Failed("the result proxy has no result of this task", name="RESULT_LINK_MISSING")
        return f"/ipfs/{reply.text()}"

    def _challenge(self, task: str, cancel: Cancel) -> str:
        headers = {"Authorization": sign_digest(self._pool, ids.keccak_hex(task))}
        reply = web.request("POST", f"{self._sms}/tee/challenges/{task}", headers=headers, cancel=cancel)
        if reply.status != 200:
            raise Failed(
                f"the SMS gave no enclave challenge (status {reply.status})",
                "Is the task active, and does this pool run it?",
                name="TEE_PREPARATION_FAILED",
            )
        return ids.address(reply.text().strip('"'))

    def _push_token(self, document: dict[str, Any], headers: dict[str, str], cancel: Cancel) -> None:
        """The worker's own storage token: post-compute uploads with it."""
        url = f"{self._proxy}/v1/results/token"
        reply = web.request("POST", url, headers=headers, body=json.dumps(document).encode(), cancel=cancel)
        if reply.status != 200:
            raise Failed(
                f"the result proxy gave the worker no token (status {reply.status})",
                name=_PREFIX + "POST_COMPUTE_GET_STORAGE_TOKENS_FAILED",
            )
        Sms(self._sms, self._worker, cancel=cancel).push_secret(
            STORAGE_TOKEN, reply.body.decode("ascii"), replace=True
        )


def _no_services(message: str) -> Failed:
    return Failed(
        message,
        "Its TEE services are built with the localnet; see its log.",
        name="GET_TEE_SERVICES_CONFIGURATION_FAILED",
    )


def _refused(name: str, status: int) -> Failed:
    name = clean(name)[:120]
    return Failed(
        f"the SMS gave no session: {name} (status {status})", _HINTS.get(name, ""), name=_PREFIX + name
    )
