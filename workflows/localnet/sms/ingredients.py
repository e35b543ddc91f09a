"""What the sessions of a task are made of beside the chain: secrets, tokens and the key of its enclave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workflows.iexec.params import Params
from workflows.localnet.sms.bulk import BulkDataset, TooMuch, datasets
from workflows.localnet.sms.chain import Chain, TaskDescription
from workflows.localnet.sms.store import Store

_ENCRYPTION_KEY = "iexec-result-encryption-public-key"
_DROPBOX_TOKEN = "iexec-result-dropbox-token"  # noqa: S105 - the name of a secret, not one
_IPFS_TOKEN = "iexec-result-iexec-ipfs-token"  # noqa: S105
_PROXY_URL = "iexec-result-iexec-result-proxy-url"
_LONGEST_NAME = 64


class GenerationError(Exception):
    """No session for this task: `name` is one of the real service's TeeSessionGenerationError names."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


@dataclass(frozen=True)
class Sources:
    """Where the SMS looks; `gateway` is the base URL of the IPFS gateway with the lists of bulk tasks."""

    chain: Chain
    store: Store
    gateway: str


@dataclass(frozen=True)
class Storage:
    """Where the result goes; all empty when it goes to a contract."""

    provider: str = ""
    proxy: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Ingredients:
    """`dataset_key` and `encryption_key` are empty where none is needed; `secrets` by the app's variables.

    `bulk` is None in a task that is not one of bulk processing.
    """

    worker: str
    private_key: str = field(repr=False)
    bulk: tuple[BulkDataset, ...] | None
    dataset_key: str = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    encryption_key: str
    storage: Storage


def gather(
    sources: Sources, task: TaskDescription, worker: str, enclave_challenge: str, *, of_2021: bool = False
) -> Ingredients:
    """All of them, in the order in which the real service collects them. Raises GenerationError; blocks."""
    store = sources.store
    return Ingredients(
        worker=worker,
        private_key=_private_key(store, task, worker, enclave_challenge),
        bulk=_bulk(sources, task, of_2021),
        dataset_key=_dataset_key(store, task),
        secrets=_secrets(store, task),
        encryption_key=_encryption_key(store, task),
        storage=Storage() if task.callback else _storage(store, task, worker, of_2021),
    )


def _private_key(store: Store, task: TaskDescription, worker: str, enclave_challenge: str) -> str:
    if not worker:
        raise GenerationError(
            "GET_SIGNATURE_TOKENS_FAILED_EMPTY_WORKER_ADDRESS", f"Empty worker address - taskId: {task.id}"
        )
    if not enclave_challenge:
        raise GenerationError(
            "GET_SIGNATURE_TOKENS_FAILED_EMPTY_PUBLIC_ENCLAVE_CHALLENGE",
            f"Empty public enclave challenge - taskId: {task.id}",
        )
    return store.challenge(task.id, task.task.final_deadline).private_key


def _bulk(sources: Sources, task: TaskDescription, of_2021: bool) -> tuple[BulkDataset, ...] | None:
    if task.params.bulk_cid is None:
        return None
    if of_2021:
        raise GenerationError(
            "SECURE_SESSION_GENERATION_FAILED",
            f"Bulk processing needs an app with a fingerprint in the JSON form - taskId: {task.id}",
        )
    try:
        return datasets(sources.gateway, sources.chain, sources.store, task)
    except TooMuch as error:
        raise GenerationError("SECURE_SESSION_GENERATION_FAILED", f"{error} - taskId: {task.id}") from None


def _dataset_key(store: Store, task: TaskDescription) -> str:
    if task.dataset is None:
        return ""
    key = store.get("web3", task.dataset.address)
    if key is None:  # a blank one is stored as empty, and pre-compute's to refuse
        raise GenerationError(
            "PRE_COMPUTE_GET_DATASET_SECRET_FAILED", f"Empty dataset secret - taskId: {task.id}"
        )
    return key


def _secrets(store: Store, task: TaskDescription) -> dict[str, str]:
    """Those that are there: a secret that was never pushed is absent, as with the real service."""
    found = {}
    developer = store.get("app", task.deal.app.address, "1")
    if developer is not None:
        found["IEXEC_APP_DEVELOPER_SECRET"] = found["IEXEC_APP_DEVELOPER_SECRET_1"] = developer
    for n, name in task.params.secrets.items():
        if not 0 < len(name) <= _LONGEST_NAME:
            raise GenerationError(
                "SECURE_SESSION_GENERATION_FAILED",
                f"A secret's name is empty or too long - taskId: {task.id}",
            )
        value = store.get("requester", task.deal.requester, name)
        if value is not None:
            found[f"IEXEC_REQUESTER_SECRET_{n}"] = value
    return found


def _encryption_key(store: Store, task: TaskDescription) -> str:
    if not task.params.result_encryption:
        return ""
    key = store.get("web2", task.deal.beneficiary, _ENCRYPTION_KEY)
    if not key:
        raise GenerationError(
            "POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY",
            f"Empty beneficiary encryption key - taskId: {task.id}",
        )
    return key


def _storage(store: Store, task: TaskDescription, worker: str, of_2021: bool) -> Storage:
    """In 2021 the token was the requester's, and no pool named a proxy.

    The worker's token serves an old app too when its requester has none: today's requesters need none.
    """
    asked: Params = task.params
    proxy = asked.storage_proxy
    owners = (task.deal.requester, worker) if of_2021 else (worker, task.deal.requester)
    if asked.storage_provider == "dropbox":
        token = store.get("web2", task.deal.requester, _DROPBOX_TOKEN)
    else:
        tokens = (store.get("web2", owner, _IPFS_TOKEN) for owner in owners)
        token = next((token for token in tokens if token is not None), None)
        if proxy is None and not of_2021:
            proxy = store.get("web2", task.deal.workerpool.owner, _PROXY_URL)
    if not token:
        raise GenerationError(
            "POST_COMPUTE_GET_STORAGE_TOKENS_FAILED", f"Empty requester storage token - taskId: {task.id}"
        )
    return Storage(asked.storage_provider or "ipfs", proxy or "", token)
