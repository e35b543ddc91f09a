"""The environments of the three enclaves of a task (sms.md §8.3): what each receives, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.iexec.ids import sha256_hex
from workflows.localnet.sms.chain import TaskDescription
from workflows.localnet.sms.store import Store

_DROPBOX = "dropbox"
_LONGEST_KEY = (
    64  # of a requester's secret; iExec's SMS fails over a longer one (`TeeTaskComputeSecretHeader`)
)
_ENCRYPTION_KEY = "iexec-result-encryption-public-key"
_DROPBOX_TOKEN = "iexec-result-dropbox-token"  # noqa: S105 - the name of a secret, not one
_IPFS_TOKEN = "iexec-result-iexec-ipfs-token"  # noqa: S105
_PROXY_URL = "iexec-result-iexec-result-proxy-url"
_JAVA = {
    # the real side images are Java; kept so that the session is the one that iExec's SMS makes
    "LD_LIBRARY_PATH": "/opt/java/openjdk/lib/server:/opt/java/openjdk/lib:/opt/java/openjdk/../lib",
    "JAVA_TOOL_OPTIONS": "-Xmx256m",
}


class GenerationError(Exception):
    """No session for this task: `name` is one of the real service's TeeSessionGenerationError names."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


@dataclass(frozen=True)
class Environments:
    """Variables of each enclave; `pre` is None when nothing has to be brought in."""

    pre: dict[str, str] | None
    app: dict[str, str]
    post: dict[str, str]


def environments(store: Store, task: TaskDescription, worker: str, enclave_challenge: str) -> Environments:
    """All three, in the order in which the real service collects them. Raises GenerationError; blocks."""
    if task.params.bulk_cid is not None:
        raise GenerationError(
            "SECURE_SESSION_GENERATION_FAILED", "Bulk processing is not served here - taskId: " + task.id
        )
    sign = _sign(store, task, worker, enclave_challenge)
    pre = _pre(store, task) | sign if task.needs_pre_compute else None
    app = _app(store, task)
    post = _post(store, task, worker) | sign
    return Environments(pre, app, post)


def _sign(store: Store, task: TaskDescription, worker: str, enclave_challenge: str) -> dict[str, str]:
    if not worker:
        raise GenerationError(
            "GET_SIGNATURE_TOKENS_FAILED_EMPTY_WORKER_ADDRESS", f"Empty worker address - taskId: {task.id}"
        )
    if not enclave_challenge:
        raise GenerationError(
            "GET_SIGNATURE_TOKENS_FAILED_EMPTY_PUBLIC_ENCLAVE_CHALLENGE",
            f"Empty public enclave challenge - taskId: {task.id}",
        )
    challenge = store.challenge(task.id, task.task.final_deadline)
    return {
        "IEXEC_TASK_ID": task.id,
        "SIGN_WORKER_ADDRESS": worker,
        "SIGN_TEE_CHALLENGE_PRIVATE_KEY": challenge.private_key,
    }


def _ids(task: TaskDescription) -> dict[str, str]:
    return {
        "IEXEC_DEAL_ID": task.deal.dealid,
        "IEXEC_TASK_INDEX": str(task.task.index),
        "IEXEC_TASK_ID": task.id,
        "IEXEC_INPUT_FILES_NUMBER": str(len(task.params.input_files)),
        **({"IEXEC_INPUT_FILES_FOLDER": "/iexec_in"} if task.params.input_files else {}),
    }


def _pre(store: Store, task: TaskDescription) -> dict[str, str]:
    tokens = {
        "IEXEC_PRE_COMPUTE_OUT": "/iexec_in",
        "IS_DATASET_REQUIRED": _flag(task.dataset is not None),
        **_ids(task),
        **{f"IEXEC_INPUT_FILE_URL_{n}": url for n, url in enumerate(task.params.input_files, 1)},
        **_JAVA,
    }
    if task.dataset is not None:
        key = store.get("web3", task.dataset.address)
        if key is None:
            raise GenerationError(
                "PRE_COMPUTE_GET_DATASET_SECRET_FAILED", f"Empty dataset secret - taskId: {task.id}"
            )
        tokens |= {
            "IEXEC_DATASET_KEY": key,
            "IEXEC_DATASET_URL": task.dataset.multiaddr,
            "IEXEC_DATASET_CHECKSUM": task.dataset.checksum,
            "IEXEC_DATASET_FILENAME": task.dataset.address,
        }
    return tokens


def _app(store: Store, task: TaskDescription) -> dict[str, str]:
    dataset = task.deal.dataset.address  # the zero address when there is none, as with the real service
    tokens = {
        "IEXEC_IN": "/iexec_in",
        "IEXEC_OUT": "/iexec_out",
        **_ids(task),
        "IEXEC_BOT_SIZE": str(task.deal.bot_size),
        "IEXEC_BOT_FIRST_INDEX": str(task.deal.bot_first),
        "IEXEC_BOT_TASK_INDEX": str(task.task.index),
        # both hold the address: the original file name stays with the owner
        "IEXEC_DATASET_ADDRESS": dataset,
        "IEXEC_DATASET_FILENAME": dataset,
    }
    for n, url in enumerate(task.params.input_files, 1):
        tokens[f"IEXEC_INPUT_FILE_NAME_{n}"] = sha256_hex(url.encode())
    secret = store.get("app", task.deal.app.address, "1")
    if secret is not None:
        tokens["IEXEC_APP_DEVELOPER_SECRET"] = tokens["IEXEC_APP_DEVELOPER_SECRET_1"] = secret
    # a secret that was never pushed is simply absent, as with the real service
    for n, name in task.params.secrets.items():
        if not 1 <= len(name) <= _LONGEST_KEY:
            raise GenerationError(
                "SECURE_SESSION_GENERATION_FAILED",
                f"Secret {n} of the request cannot have such a name - taskId: {task.id}",
            )
        value = store.get("requester", task.deal.requester, name)
        if value is not None:
            tokens[f"IEXEC_REQUESTER_SECRET_{n}"] = value
    return tokens


def _post(store: Store, task: TaskDescription, worker: str) -> dict[str, str]:
    key = ""
    if task.params.result_encryption:
        key = store.get("web2", task.deal.beneficiary, _ENCRYPTION_KEY) or ""
        if not key:
            raise GenerationError(
                "POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY",
                f"Empty beneficiary encryption key - taskId: {task.id}",
            )
    return {
        **_JAVA,
        "RESULT_ENCRYPTION": _flag(task.params.result_encryption),
        "RESULT_ENCRYPTION_PUBLIC_KEY": key,
        "RESULT_STORAGE_CALLBACK": _flag(task.callback),
        **_storage(store, task, worker),
    }


def _storage(store: Store, task: TaskDescription, worker: str) -> dict[str, str]:
    if task.callback:
        return {"RESULT_STORAGE_PROVIDER": "", "RESULT_STORAGE_PROXY": "", "RESULT_STORAGE_TOKEN": ""}
    provider = task.params.storage_provider or "ipfs"
    proxy = task.params.storage_proxy
    if provider == _DROPBOX:
        token = store.get("web2", task.deal.requester, _DROPBOX_TOKEN)
    else:
        token = store.get("web2", worker, _IPFS_TOKEN)
        if token is None:
            token = store.get("web2", task.deal.requester, _IPFS_TOKEN)
        if proxy is None:
            proxy = store.get("web2", task.deal.workerpool.owner, _PROXY_URL)
    if not token:
        raise GenerationError(
            "POST_COMPUTE_GET_STORAGE_TOKENS_FAILED", f"Empty requester storage token - taskId: {task.id}"
        )
    return {
        "RESULT_STORAGE_PROVIDER": provider,
        "RESULT_STORAGE_PROXY": proxy or "",
        "RESULT_STORAGE_TOKEN": token,
    }


def _flag(value: bool) -> str:
    return "true" if value else "false"
