"""The session of every kind of deal, whole: each form of the fingerprint with each thing that a deal may ask for.

The expected documents are written from iexec-sms: `SconeSessionMakerService` and `SecretSessionBaseService` of
2026 for the JSON form, `palaemonTemplate.vm` and `PalaemonSessionService` of May 2021 (ce7e6fe1, with iexec-common
e7ead64) for three and four parts. What an old app has more than then are secrets, and the worker's storage token.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from eth_account import Account

from tests.localnet.sms.sms_world import (
    APP,
    BULK,
    CONFIG,
    DATASET,
    DEAL,
    KEY,
    MRENCLAVE,
    POOL,
    REQUESTER,
    TAG,
    TASK,
    URL,
    WORKER,
    Client,
    Run,
    bulk_order,
    ledger,
)
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.records import Resource

JAVA = {
    "LD_LIBRARY_PATH": "/opt/java/openjdk/lib/server:/opt/java/openjdk/lib:/opt/java/openjdk/../lib",
    "JAVA_TOOL_OPTIONS": "-Xmx256m",
}
JAVA_11 = {
    "LD_LIBRARY_PATH": "/usr/lib/jvm/java-11-openjdk/lib/server:/usr/lib/jvm/java-11-openjdk/lib"
    ":/usr/lib/jvm/java-11-openjdk/../lib",
    "JAVA_TOOL_OPTIONS": "-Xmx256m",
}
BENEFICIARY = Account.create()
ENTRYPOINT = 'python3 /app/app.py "in quotes"'


def config(version: str) -> str:
    return json.dumps(CONFIG | {"version": version, "entrypoint": ENTRYPOINT})


@dataclass(frozen=True)
class Form:
    """A fingerprint on the chain, and what it decides of the session."""

    fingerprint: str
    current: bool
    stages: tuple[dict[str, Any], dict[str, Any]]
    entrypoint: str = ENTRYPOINT


def stage(mrenclave: str, command: str, **shield: str) -> dict[str, Any]:
    return {"mrenclaves": [mrenclave], "command": command, **shield}


NEWEST = (
    stage("a3" * 32, "python3 /tee/pre.py"),
    stage("b3" * 32, "python3 /tee/post.py"),
)
OLDER = (stage("c3" * 32, "pre"), stage("d3" * 32, "post"))
FORMS = {
    "json of the newest": Form(config("v5.9"), True, NEWEST),
    "json of an older version": Form(config("v5"), True, OLDER),
    "four parts": Form(f"{KEY}|{TAG}|{MRENCLAVE}|{ENTRYPOINT}", False, NEWEST),
    "three parts": Form(f"{KEY}|{TAG}|{MRENCLAVE}", False, NEWEST, entrypoint=""),
}


async def nothing(sms: Client) -> None:
    """No secrets beside those without which there is no session."""


@dataclass(frozen=True)
class Case:
    """What a deal asks for: changes to the ledger's deal, secrets pushed before, and what they change."""

    args: str = "one two"
    params: dict[str, Any] = field(default_factory=dict)
    deal: dict[str, Any] = field(default_factory=dict)
    dataset: bool = False
    files: tuple[str, ...] = ()
    push: Callable[[Client], Awaitable[None]] = nothing
    app: dict[str, str] = field(default_factory=dict)
    post: dict[str, str] = field(default_factory=dict)
    bulk: tuple[str, ...] | None = None


async def encryption(sms: Client) -> None:
    assert await sms.web2("iexec-result-encryption-public-key", "UEVN", BENEFICIARY) == 204


async def dropbox(sms: Client) -> None:
    assert await sms.web2("iexec-result-dropbox-token", "drop") == 204


async def proxy(sms: Client) -> None:
    assert await sms.web2("iexec-result-iexec-result-proxy-url", "http://of-the-pool", POOL) == 204


async def requester_secrets(sms: Client) -> None:
    assert (await sms.requester("first", "1e5"))[0] == 204
    assert (await sms.requester("third", "a: 'b'\n\t#c"))[0] == 204


async def developer_secret(sms: Client) -> None:
    assert (await sms.app("yes"))[0] == 204


async def first_of_bulk(sms: Client) -> None:
    assert await sms.web3("first key", address=BULK[0]) == 204


async def everything(sms: Client) -> None:
    for push in (encryption, proxy, requester_secrets, developer_secret):
        await push(sms)


WANTED = {"1": "first", "2": "never pushed", "3": "third", "0": "first", "x": "first", "01": "first"}
NO_TOKEN = {"RESULT_STORAGE_PROVIDER": "", "RESULT_STORAGE_PROXY": "", "RESULT_STORAGE_TOKEN": ""}
ENCRYPTED = {"RESULT_ENCRYPTION": "true", "RESULT_ENCRYPTION_PUBLIC_KEY": "UEVN"}
REQUESTED = {"IEXEC_REQUESTER_SECRET_1": "1e5", "IEXEC_REQUESTER_SECRET_3": "a: 'b'\n\t#c"}
DEVELOPED = {"IEXEC_APP_DEVELOPER_SECRET": "yes", "IEXEC_APP_DEVELOPER_SECRET_1": "yes"}
CASES = {
    "nothing": Case(),
    "blank arguments": Case(args=" "),
    "arguments in quotes": Case(args="--name 'two  words'"),
    "a dataset": Case(dataset=True),
    "input files": Case(files=(URL, URL + "2")),
    "dataset and input files": Case(dataset=True, files=(URL,)),
    "callback": Case(deal={"callback": APP}, post=NO_TOKEN | {"RESULT_STORAGE_CALLBACK": "true"}),
    "result encryption": Case(
        params={"iexec_result_encryption": True},
        deal={"beneficiary": BENEFICIARY.address},
        push=encryption,
        post=ENCRYPTED,
    ),
    "callback and encryption": Case(
        params={"iexec_result_encryption": True},
        deal={"beneficiary": BENEFICIARY.address, "callback": APP},
        push=encryption,
        post=ENCRYPTED | NO_TOKEN | {"RESULT_STORAGE_CALLBACK": "true"},
    ),
    "dropbox": Case(
        params={"iexec_result_storage_provider": "dropbox"},
        push=dropbox,
        post={"RESULT_STORAGE_PROVIDER": "dropbox", "RESULT_STORAGE_TOKEN": "drop"},
    ),
    "proxy of the pool": Case(push=proxy, post={"RESULT_STORAGE_PROXY": "http://of-the-pool"}),
    "proxy of the order": Case(
        params={"iexec_result_storage_proxy": "http://mine"},
        push=proxy,
        post={"RESULT_STORAGE_PROXY": "http://mine"},
    ),
    "an empty proxy in the order": Case(params={"iexec_result_storage_proxy": ""}, push=proxy),
    "requester secrets": Case(params={"iexec_secrets": WANTED}, push=requester_secrets, app=REQUESTED),
    "requester secrets that nobody asks for": Case(push=requester_secrets),
    "a developer secret": Case(push=developer_secret, app=DEVELOPED),
    "a bulk": Case(bulk=(BULK[0].lower(), *BULK[1:]), push=first_of_bulk),
    "a bulk of nothing, with input files": Case(bulk=(), files=(URL,)),
    "everything": Case(
        params={"iexec_result_encryption": True, "iexec_secrets": WANTED},
        deal={"beneficiary": BENEFICIARY.address},
        dataset=True,
        files=(URL,),
        push=everything,
        app=REQUESTED | DEVELOPED,
        post=ENCRYPTED | {"RESULT_STORAGE_PROXY": "http://of-the-pool"},
    ),
}


def environments_today(case: Case, key: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Environments of pre-compute, app and post-compute, as now."""
    sign = {
        "IEXEC_TASK_ID": TASK,
        "SIGN_WORKER_ADDRESS": WORKER.address,
        "SIGN_TEE_CHALLENGE_PRIVATE_KEY": key,
    }
    ids = {"IEXEC_DEAL_ID": DEAL, "IEXEC_TASK_INDEX": "4", "IEXEC_TASK_ID": TASK}
    files = {"IEXEC_INPUT_FILES_NUMBER": str(len(case.files))}
    if case.files:
        files["IEXEC_INPUT_FILES_FOLDER"] = "/iexec_in"
    dataset = {
        "IEXEC_DATASET_KEY": "dataset key",
        "IEXEC_DATASET_URL": "/ipfs/QmData",
        "IEXEC_DATASET_CHECKSUM": "0x" + "cc" * 32,
        "IEXEC_DATASET_FILENAME": DATASET.lower(),
    }
    required = {"IEXEC_PRE_COMPUTE_OUT": "/iexec_in", "IS_DATASET_REQUIRED": str(case.dataset).lower()}
    orders = list(enumerate(case.bulk or (), 1))
    bulk = {f"IEXEC_DATASET_{n}_FILENAME": address for n, address in orders}
    if case.bulk is not None:
        bulk["IEXEC_BULK_SLICE_SIZE"] = str(len(orders))
    places = {f"IEXEC_DATASET_{n}_{what}": "" for n, _ in orders for what in ("URL", "CHECKSUM", "KEY")}
    if orders:
        places |= {
            "IEXEC_DATASET_1_URL": "/ipfs/Qmd1",
            "IEXEC_DATASET_1_CHECKSUM": "0x" + "cc" * 32,
            "IEXEC_DATASET_1_KEY": "first key",
            "IEXEC_DATASET_2_URL": "/ipfs/Qmd2",
            "IEXEC_DATASET_2_CHECKSUM": "0x" + "cc" * 32,
        }
    address = DATASET.lower() if case.dataset else ZERO_ADDRESS
    names = {"IEXEC_DATASET_ADDRESS": address, "IEXEC_DATASET_FILENAME": address}
    return (
        JAVA | sign | ids | files | urls(case) | required | (dataset if case.dataset else {}) | bulk | places,
        BAG
        | ids
        | files
        | names
        | bulk
        | numbered("IEXEC_INPUT_FILE_NAME_", map(hashed, case.files))
        | case.app,
        JAVA | sign | RESULT | case.post,
    )


def environments_of_2021(case: Case, key: str) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The same as in May 2021."""
    shared = {
        "IEXEC_TASK_ID": TASK,
        "IEXEC_DATASET_FILENAME": "data" if case.dataset else "",
        "IEXEC_INPUT_FILES_NUMBER": str(len(case.files)),
        "IEXEC_INPUT_FILES_FOLDER": "/iexec_in",
    }
    dataset = {
        "IEXEC_PRE_COMPUTE_OUT": "/iexec_in",
        "IS_DATASET_REQUIRED": str(case.dataset).lower(),
        "IEXEC_DATASET_KEY": "dataset key" if case.dataset else "",
        "IEXEC_DATASET_URL": "https://gateway.ipfs.io/ipfs/QmData" if case.dataset else "",
        "IEXEC_DATASET_CHECKSUM": "0x" + "cc" * 32 if case.dataset else "",
    }
    address = {"IEXEC_DATASET_ADDRESS": DATASET.lower() if case.dataset else ""}
    names = numbered("IEXEC_INPUT_FILE_NAME_", (url.rpartition("/")[2] for url in case.files))
    results = RESULT | case.post
    for flag in ("RESULT_ENCRYPTION", "RESULT_STORAGE_CALLBACK"):
        results[flag] = "yes" if results[flag] == "true" else "no"
    if results["RESULT_STORAGE_PROXY"] == "http://of-the-pool":
        results["RESULT_STORAGE_PROXY"] = ""  # pools name one since 2024
    sign = {
        "RESULT_TASK_ID": TASK,
        "RESULT_SIGN_WORKER_ADDRESS": WORKER.address,
        "RESULT_SIGN_TEE_CHALLENGE_PRIVATE_KEY": key,
    }
    return (
        JAVA_11 | shared | dataset | urls(case),
        BAG | shared | address | names | case.app,
        JAVA_11 | results | sign,
    )


BAG = {
    "IEXEC_IN": "/iexec_in",
    "IEXEC_OUT": "/iexec_out",
    "IEXEC_BOT_SIZE": "2",
    "IEXEC_BOT_FIRST_INDEX": "3",
    "IEXEC_BOT_TASK_INDEX": "4",
}
RESULT = {
    "RESULT_ENCRYPTION": "false",
    "RESULT_ENCRYPTION_PUBLIC_KEY": "",
    "RESULT_STORAGE_CALLBACK": "false",
    "RESULT_STORAGE_PROVIDER": "ipfs",
    "RESULT_STORAGE_PROXY": "",
    "RESULT_STORAGE_TOKEN": "worker token",
}


def numbered(prefix: str, values: Iterable[str]) -> dict[str, str]:
    return {f"{prefix}{n}": value for n, value in enumerate(values, 1)}


def urls(case: Case) -> dict[str, str]:
    return numbered("IEXEC_INPUT_FILE_URL_", case.files)


def hashed(url: str) -> str:
    return "0x" + hashlib.sha256(url.encode()).hexdigest()


def expected(form: Form, case: Case, name: str, key: str) -> dict[str, Any]:
    """The document; `name` and the task's private `key` are what the SMS makes up."""
    command = " ".join(part for part in (form.entrypoint, case.args.strip() and case.args) if part)
    pre, app, post = (environments_today if form.current else environments_of_2021)(case, key)
    shield = {} if form.current else {"fspf_path": "/fspf.pb", "fspf_key": KEY, "fspf_tag": TAG}
    enclaves = {
        "app": (stage(MRENCLAVE, command, **shield), app, ("iexec_in", "iexec_out")),
        "post-compute": (form.stages[1], post, ("iexec_out", "post-compute-tmp")),
    }
    if case.dataset or case.files or case.bulk is not None:
        enclaves = {"pre-compute": (form.stages[0], pre, ("iexec_in",))} | enclaves
    today = {
        "tolerate": ["debug-mode"],
        "ignore_advisories": [],
        "mode": "maa",
        "url": "https://sharedweu.weu.attest.azure.net",
    }
    of_2021 = {
        "tolerate": [
            "hyperthreading",
            "software-hardening-needed",
            "insecure-igpu",
            "outdated-tcb",
            "debug-mode",
        ],
        "ignore_advisories": [f"INTEL-SA-{n}" for n in ("00161", "00289", "00334", "00381", "00389")],
    }
    return {
        "name": name,
        "version": "0.3.10" if form.current else "0.3",
        "access_policy": {"read": ["CREATOR"], "update": ["NONE" if form.current else "CREATOR"]},
        "services": [
            {
                "name": service,
                "image_name": f"{service}-image",
                "pwd": "/",
                "environment": variables,
                **enclave,
            }
            for service, (enclave, variables, _) in enclaves.items()
        ],
        "images": [
            {
                "name": f"{service}-image",
                "volumes": [{"name": volume, "path": f"/{volume}"} for volume in mounts],
            }
            for service, (_, _, mounts) in enclaves.items()
        ],
        "volumes": [{"name": "iexec_in"}, {"name": "iexec_out"}, {"name": "post-compute-tmp"}],
        "security": {"attestation": today if form.current else of_2021},
    }


@pytest.mark.parametrize("case", CASES)
def test_the_session_is_the_one_that_iexecs_sms_makes(on_sms: Run, case: str) -> None:
    asked = CASES[case]
    params: dict[str, Any] = {"iexec_args": asked.args, **asked.params}
    if asked.files:
        params["iexec_input_files"] = list(asked.files)
    deal = dict(asked.deal)
    if not asked.dataset:
        deal["dataset"] = Resource(ZERO_ADDRESS, ZERO_ADDRESS, 0)

    async def body(sms: Client) -> None:
        await sms.ready()
        await asked.push(sms)
        if asked.bulk is not None:
            params["bulk_cid"] = await sms.slices([bulk_order(address) for address in asked.bulk])
        for name, form in FORMS.items():
            if not form.entrypoint and not asked.args.strip():
                continue  # nothing to start: refused, see test_sessions
            if not form.current and asked.bulk is not None:
                continue  # refused, see test_bulk
            vars(sms.chain).update(vars(ledger()))
            sms.chain.change_deal(params=json.dumps(params), **deal)
            sms.chain.register(form.fingerprint)
            session = await sms.made()
            made = yaml.safe_load(sms.posted[-1])
            assert re.fullmatch("[0-9A-Za-z]{10}0000" + TASK, made["name"])
            prefix = "" if form.current else "RESULT_"
            key = made["services"][-1]["environment"][f"{prefix}SIGN_TEE_CHALLENGE_PRIVATE_KEY"]
            assert re.fullmatch("0x[0-9a-f]{64}", key)
            assert made == expected(form, asked, made["name"], key), name
            assert session.service("app") is not None

    on_sms(body)


def test_the_environment_of_a_deal_of_another_requester_has_none_of_these_secrets(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        await requester_secrets(sms)
        params = json.dumps({"iexec_args": "x", "iexec_secrets": WANTED})
        sms.chain.change_deal(params=params, requester=Account.create().address)
        await sms.made()
        assert "IEXEC_REQUESTER_SECRET" not in sms.posted[-1]
        sms.chain.change_deal(requester=REQUESTER.address)
        await sms.made()
        assert "IEXEC_REQUESTER_SECRET_1" in sms.posted[-1]

    on_sms(body)
