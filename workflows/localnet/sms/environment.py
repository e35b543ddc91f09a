"""The environments of the three enclaves of a task: what each receives, and nothing else.

`today` is iexec-sms 9 (`SecretSessionBaseService`; sms.md §8.3). `of_2021` is what filled `palaemonTemplate.vm` in
May 2021 (iexec-sms ce7e6fe1 with iexec-common e7ead64: `PalaemonSessionService`, `IexecEnvUtils`, `ResultUtils`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workflows.iexec.ids import sha256_hex
from workflows.localnet.sms.chain import TaskDescription
from workflows.localnet.sms.ingredients import Ingredients
from workflows.localnet.tee.stage import GATEWAY_OF_2021, name_of_2021

_IN, _OUT = "/iexec_in", "/iexec_out"


@dataclass(frozen=True)
class Environments:
    """Variables of each enclave; `pre` is None when nothing has to be brought in."""

    pre: dict[str, str] | None
    app: dict[str, str]
    post: dict[str, str]


def today(task: TaskDescription, have: Ingredients) -> Environments:
    """As since 2025: dataset and input files are named by address and hash, the deal by its id."""
    files = task.params.input_files
    dataset = task.deal.dataset.address.lower()  # zero without one; both names of the app hold it
    ids = {
        "IEXEC_DEAL_ID": task.deal.dealid,
        "IEXEC_TASK_INDEX": str(task.task.index),
        "IEXEC_TASK_ID": task.id,
        "IEXEC_INPUT_FILES_NUMBER": str(len(files)),
        **({"IEXEC_INPUT_FILES_FOLDER": _IN} if files else {}),
    }
    sign = {
        "IEXEC_TASK_ID": task.id,
        "SIGN_WORKER_ADDRESS": have.worker,
        "SIGN_TEE_CHALLENGE_PRIVATE_KEY": have.private_key,
    }
    java = _java("/opt/java/openjdk")
    bulk = _bulk_names(have)
    pre = {
        **java,
        "IEXEC_PRE_COMPUTE_OUT": _IN,
        "IS_DATASET_REQUIRED": _flag(task.dataset is not None),
        **bulk,
        **_bulk_places(have),
        **ids,
        **_numbered("IEXEC_INPUT_FILE_URL_", files),
        **sign,
    }
    if task.dataset is not None:
        pre |= {
            "IEXEC_DATASET_KEY": have.dataset_key,
            "IEXEC_DATASET_URL": task.dataset.multiaddr,
            "IEXEC_DATASET_CHECKSUM": task.dataset.checksum,
            "IEXEC_DATASET_FILENAME": dataset,
        }
    app = {
        **ids,
        **_folders_and_bag(task),
        "IEXEC_DATASET_ADDRESS": dataset,
        "IEXEC_DATASET_FILENAME": dataset,
        **bulk,
        **_numbered("IEXEC_INPUT_FILE_NAME_", (sha256_hex(url.encode()) for url in files)),
        **have.secrets,
    }
    post = {
        **java,
        **_result(have),
        "RESULT_ENCRYPTION": _flag(task.params.result_encryption),
        "RESULT_STORAGE_CALLBACK": _flag(task.callback),
        **sign,
    }
    return Environments(pre if task.needs_pre_compute else None, app, post)


def of_2021(task: TaskDescription, have: Ingredients) -> Environments:
    """As in May 2021: dataset and input files have their own names, and what there is none of is empty.

    `have.secrets` came with the template of June 2022; old apps get them too, or they could have none.
    """
    files = task.params.input_files
    address = task.deal.dataset.address.lower() if task.deal.has_dataset else ""
    name, uri, checksum = address, "", ""
    if task.dataset is not None:
        name, checksum = task.dataset.name or address, task.dataset.checksum
        at_home = task.dataset.multiaddr.startswith("/ipfs/Qm")
        uri = (GATEWAY_OF_2021 if at_home else "") + task.dataset.multiaddr
    shared = {
        "IEXEC_TASK_ID": task.id,
        "IEXEC_DATASET_FILENAME": name,
        "IEXEC_INPUT_FILES_FOLDER": _IN,
        "IEXEC_INPUT_FILES_NUMBER": str(len(files)),
    }
    java = _java("/usr/lib/jvm/java-11-openjdk")
    pre = {
        **java,
        **shared,
        "IEXEC_PRE_COMPUTE_OUT": _IN,
        "IS_DATASET_REQUIRED": _flag(task.dataset is not None),
        "IEXEC_DATASET_KEY": have.dataset_key,
        "IEXEC_DATASET_URL": uri,
        "IEXEC_DATASET_CHECKSUM": checksum,
        **_numbered("IEXEC_INPUT_FILE_URL_", files),
    }
    app = {
        **shared,
        **_folders_and_bag(task),
        "IEXEC_DATASET_ADDRESS": address,
        **_numbered("IEXEC_INPUT_FILE_NAME_", map(name_of_2021, files)),
        **have.secrets,
    }
    post = {
        **java,
        **_result(have),
        "RESULT_TASK_ID": task.id,
        "RESULT_ENCRYPTION": _yes(task.params.result_encryption),
        "RESULT_STORAGE_CALLBACK": _yes(task.callback),
        "RESULT_SIGN_WORKER_ADDRESS": have.worker,
        "RESULT_SIGN_TEE_CHALLENGE_PRIVATE_KEY": have.private_key,
    }
    return Environments(pre if task.needs_pre_compute else None, app, post)


def _folders_and_bag(task: TaskDescription) -> dict[str, str]:
    return {
        "IEXEC_IN": _IN,
        "IEXEC_OUT": _OUT,
        "IEXEC_BOT_SIZE": str(task.deal.bot_size),
        "IEXEC_BOT_FIRST_INDEX": str(task.deal.bot_first),
        "IEXEC_BOT_TASK_INDEX": str(task.task.index),
    }


def _result(have: Ingredients) -> dict[str, str]:
    return {
        "RESULT_ENCRYPTION_PUBLIC_KEY": have.encryption_key,
        "RESULT_STORAGE_PROVIDER": have.storage.provider,
        "RESULT_STORAGE_PROXY": have.storage.proxy,
        "RESULT_STORAGE_TOKEN": have.storage.token,
    }


def _bulk_names(have: Ingredients) -> dict[str, str]:
    """What both pre-compute and the app are told of the datasets of a bulk task."""
    if have.bulk is None:
        return {}
    names = {f"IEXEC_DATASET_{n}_FILENAME": one.name for n, one in enumerate(have.bulk, 1)}
    return {"IEXEC_BULK_SLICE_SIZE": str(len(have.bulk)), **names}


def _bulk_places(have: Ingredients) -> dict[str, str]:
    """The rest of it, for pre-compute."""
    places: dict[str, str] = {}
    for n, one in enumerate(have.bulk or (), 1):
        prefix = f"IEXEC_DATASET_{n}_"
        places |= {prefix + "URL": one.url, prefix + "CHECKSUM": one.checksum, prefix + "KEY": one.key}
    return places


def _java(home: str) -> dict[str, str]:
    """The real side images are Java; kept so that the session is the one that iExec's SMS makes."""
    return {
        "LD_LIBRARY_PATH": f"{home}/lib/server:{home}/lib:{home}/../lib",
        "JAVA_TOOL_OPTIONS": "-Xmx256m",
    }


def _numbered(prefix: str, values: Iterable[str]) -> dict[str, str]:
    return {f"{prefix}{n}": value for n, value in enumerate(values, 1)}


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
