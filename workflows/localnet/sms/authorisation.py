"""Who signed this, and may this worker run this task in this enclave?

The second is decided from the chain, first failure wins (sms.md §6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from workflows.iexec import challenge, tags
from workflows.iexec.ids import ZERO_HASH
from workflows.iexec.records import TaskStatus
from workflows.iexec.signatures import signer_of
from workflows.localnet.sms.chain import Chain

_LAST_BYTES = ("1b", "1c")  # web3j takes no other


class AuthorizationError(str, Enum):
    """The names that clients of the real service know."""

    EMPTY_PARAMS_UNAUTHORIZED = "EMPTY_PARAMS_UNAUTHORIZED"
    GET_CHAIN_TASK_FAILED = "GET_CHAIN_TASK_FAILED"
    TASK_NOT_ACTIVE = "TASK_NOT_ACTIVE"
    GET_CHAIN_DEAL_FAILED = "GET_CHAIN_DEAL_FAILED"
    NO_MATCH_ONCHAIN_TYPE = "NO_MATCH_ONCHAIN_TYPE"
    INVALID_SIGNATURE = "INVALID_SIGNATURE"


@dataclass(frozen=True)
class WorkerpoolAuthorization:
    """The workerpool owner's word that `worker` may run `task` in the enclave with this challenge address."""

    task: str
    worker: str
    enclave_challenge: str
    signature: str

    @classmethod
    def of(cls, document: Any) -> WorkerpoolAuthorization:
        """From `{chainTaskId, workerWallet, enclaveChallenge, signature:{value}}`. ValueError: not that."""
        if not isinstance(document, Mapping):
            raise ValueError("not a JSON object")
        signature = document.get("signature")
        if isinstance(signature, Mapping):
            signature = signature.get("value")
        values = [document.get(name) for name in ("chainTaskId", "workerWallet", "enclaveChallenge")]
        texts = ["" if value is None else value for value in (*values, signature)]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a field is not text")
        return cls(*texts)

    def digest(self) -> str:
        """keccak(worker ‖ task ‖ enclave challenge); ValueError when one of them is not hex."""
        return challenge.joined(self.worker, self.task, self.enclave_challenge)

    def signed_by(self, signature: str, address: str) -> bool:
        """Whether `address` signed this authorisation."""
        try:
            return signed_by(self.digest(), signature, address)
        except ValueError:
            return False


def signed_by(digest: str, signature: str, address: str) -> bool:
    """Whether the key of `address` made the signature (65 bytes r‖s‖v, v 27 or 28); ERC-1271 wallets cannot."""
    if not signature.lower().endswith(_LAST_BYTES):
        return False
    signer = signer_of(digest, signature)
    return signer is not None and signer.lower() == address.lower()


def check(chain: Chain, authorization: WorkerpoolAuthorization | None) -> AuthorizationError | None:
    """The first reason why a task may not be run, None when it may. Blocks on the chain."""
    if authorization is None or not authorization.task:
        return AuthorizationError.EMPTY_PARAMS_UNAUTHORIZED
    try:
        task = chain.view_task(authorization.task)
    except Exception:  # whatever the chain client raises, the task could not be read
        return AuthorizationError.GET_CHAIN_TASK_FAILED
    if task.dealid == ZERO_HASH:
        return AuthorizationError.GET_CHAIN_TASK_FAILED
    if task.status != TaskStatus.ACTIVE:
        return AuthorizationError.TASK_NOT_ACTIVE
    try:
        deal = chain.view_deal(task.dealid)
    except Exception:
        return AuthorizationError.GET_CHAIN_DEAL_FAILED
    if deal is None:
        return AuthorizationError.GET_CHAIN_DEAL_FAILED
    if tags.framework(deal.tag) is None:
        return AuthorizationError.NO_MATCH_ONCHAIN_TYPE
    if not authorization.signed_by(authorization.signature, deal.workerpool.owner):
        return AuthorizationError.INVALID_SIGNATURE
    return None
