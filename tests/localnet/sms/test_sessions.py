"""The session of a task, field by field, for the three on-chain forms and for what a deal may hold."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
import yaml
from eth_account import Account

from tests.localnet.sms.sms_world import (
    APP,
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
)
from workflows.iexec import challenge
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.records import Resource
from workflows.iexec.signatures import sign_digest

JSON = {
    "framework": "SCONE",
    "version": "v5",
    "entrypoint": "python3 /app/app.py",
    "heapSize": 1 << 30,
    "fingerprint": MRENCLAVE,
}
JAVA = {
    "LD_LIBRARY_PATH": "/opt/java/openjdk/lib/server:/opt/java/openjdk/lib:/opt/java/openjdk/../lib",
    "JAVA_TOOL_OPTIONS": "-Xmx256m",
}
IMAGES = [
    {"name": "pre-compute-image", "volumes": [{"name": "iexec_in", "path": "/iexec_in"}]},
    {
        "name": "app-image",
        "volumes": [{"name": "iexec_in", "path": "/iexec_in"}, {"name": "iexec_out", "path": "/iexec_out"}],
    },
    {
        "name": "post-compute-image",
        "volumes": [
            {"name": "iexec_out", "path": "/iexec_out"},
            {"name": "post-compute-tmp", "path": "/post-compute-tmp"},
        ],
    },
]
VOLUMES = [{"name": "iexec_in"}, {"name": "iexec_out"}, {"name": "post-compute-tmp"}]


async def document(sms: Client) -> dict[str, Any]:
    await sms.made()
    made: dict[str, Any] = yaml.safe_load(sms.posted[-1])
    return made


def sign(made: dict[str, Any]) -> dict[str, str]:
    """The sign tokens, whose key only the SMS and the session know; both stages have the same."""
    keys = {
        service["environment"]["SIGN_TEE_CHALLENGE_PRIVATE_KEY"]
        for service in made["services"]
        if service["name"] != "app"
    }
    assert len(keys) == 1
    key = keys.pop()
    assert re.fullmatch("0x[0-9a-f]{64}", key)
    return {
        "IEXEC_TASK_ID": TASK,
        "SIGN_WORKER_ADDRESS": WORKER.address,
        "SIGN_TEE_CHALLENGE_PRIVATE_KEY": key,
    }


def ids(**more: str) -> dict[str, str]:
    return {"IEXEC_DEAL_ID": DEAL, "IEXEC_TASK_INDEX": "4", "IEXEC_TASK_ID": TASK, **more}


def app_environment(**more: str) -> dict[str, str]:
    return ids(
        IEXEC_IN="/iexec_in",
        IEXEC_OUT="/iexec_out",
        IEXEC_BOT_SIZE="2",
        IEXEC_BOT_FIRST_INDEX="3",
        IEXEC_BOT_TASK_INDEX="4",
        **{
            "IEXEC_DATASET_ADDRESS": DATASET,
            "IEXEC_DATASET_FILENAME": DATASET,
            "IEXEC_INPUT_FILES_NUMBER": "0",
            **more,
        },
    )


def test_four_parts_give_the_session_of_2021(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        made = await document(sms)
        tokens = sign(made)
        assert re.fullmatch("[0-9A-Za-z]{10}0000" + TASK, made["name"])
        assert made == {
            "name": made["name"],
            "version": "0.3",
            "access_policy": {"read": ["CREATOR"], "update": ["CREATOR"]},
            "services": [
                {
                    "name": "pre-compute",
                    "image_name": "pre-compute-image",
                    "mrenclaves": ["a3" * 32],
                    "pwd": "/",
                    "command": "python3 /tee/pre.py",
                    "environment": ids(
                        **JAVA,
                        IEXEC_PRE_COMPUTE_OUT="/iexec_in",
                        IS_DATASET_REQUIRED="true",
                        IEXEC_DATASET_KEY="dataset key",
                        IEXEC_DATASET_URL="/ipfs/QmData",
                        IEXEC_DATASET_CHECKSUM="0x" + "cc" * 32,
                        IEXEC_DATASET_FILENAME=DATASET,
                        IEXEC_INPUT_FILES_NUMBER="0",
                    )
                    | tokens,
                    "fspf_path": "/fspf.pb",
                    "fspf_key": "a1" * 32,
                    "fspf_tag": "a2" * 16,
                },
                {
                    "name": "app",
                    "image_name": "app-image",
                    "mrenclaves": [MRENCLAVE],
                    "pwd": "/",
                    "command": "python3 /app/app.py one two",
                    "environment": app_environment(),
                    "fspf_path": "/fspf.pb",
                    "fspf_key": KEY,
                    "fspf_tag": TAG,
                },
                {
                    "name": "post-compute",
                    "image_name": "post-compute-image",
                    "mrenclaves": ["b3" * 32],
                    "pwd": "/",
                    "command": "python3 /tee/post.py",
                    "environment": JAVA
                    | tokens
                    | {
                        "RESULT_ENCRYPTION": "false",
                        "RESULT_ENCRYPTION_PUBLIC_KEY": "",
                        "RESULT_STORAGE_CALLBACK": "false",
                        "RESULT_STORAGE_PROVIDER": "ipfs",
                        "RESULT_STORAGE_PROXY": "",
                        "RESULT_STORAGE_TOKEN": "worker token",
                    },
                },
            ],
            "images": IMAGES,
            "volumes": VOLUMES,
            "security": {
                "attestation": {"tolerate": ["debug-mode"], "ignore_advisories": [], "mode": "hardware"}
            },
        }

    on_sms(body)


def test_three_parts_take_the_command_from_the_order(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.register(f"{KEY}|{TAG}|{MRENCLAVE}")
        app = (await document(sms))["services"][1]
        assert app["command"] == "one two"
        assert (app["fspf_path"], app["fspf_key"], app["fspf_tag"]) == ("/fspf.pb", KEY, TAG)
        sms.chain.change_deal(params="python3 /app/app.py raw")  # params that are no JSON are the arguments
        assert (await document(sms))["services"][1]["command"] == "python3 /app/app.py raw"
        sms.chain.change_deal(params="{}")
        assert await sms.session() == (500, {"error": "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"})

    on_sms(body)


def test_the_json_form_gives_todays_session(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.register(json.dumps(JSON))
        made = await document(sms)
        pre, app, post = made["services"]
        assert made["version"] == "0.3.10"
        assert made["access_policy"] == {"read": ["CREATOR"], "update": ["NONE"]}
        assert made["security"] == {
            "attestation": {
                "tolerate": ["debug-mode"],
                "ignore_advisories": [],
                "mode": "maa",
                "url": "https://sharedweu.weu.attest.azure.net",
            }
        }
        assert (made["images"], made["volumes"]) == (IMAGES, VOLUMES)
        assert app == {
            "name": "app",
            "image_name": "app-image",
            "mrenclaves": [MRENCLAVE],
            "pwd": "/",
            "command": "python3 /app/app.py one two",
            "environment": app_environment(),
        }
        # the version of the app's configuration chooses the stages
        assert (pre["mrenclaves"], pre["command"]) == (["c3" * 32], "pre")
        assert (post["mrenclaves"], post["command"]) == (["d3" * 32], "post")
        assert "fspf_path" not in pre

    on_sms(body)


def without_dataset(sms: Client) -> None:
    sms.chain.change_deal(dataset=Resource(ZERO_ADDRESS, ZERO_ADDRESS, 0))


def test_without_dataset_and_input_there_is_no_pre_compute(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        without_dataset(sms)
        made = await document(sms)
        assert [service["name"] for service in made["services"]] == ["app", "post-compute"]
        assert made["images"] == IMAGES[1:]
        environment = made["services"][0]["environment"]
        assert environment == app_environment(IEXEC_DATASET_ADDRESS="", IEXEC_DATASET_FILENAME="")

    on_sms(body)


def test_input_files_need_pre_compute_and_are_named_by_hash(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        without_dataset(sms)
        sms.chain.change_deal(params=json.dumps({"iexec_args": "x", "iexec_input_files": [URL, URL + "2"]}))
        made = await document(sms)
        pre, app, _ = made["services"]
        assert pre["environment"] == JAVA | sign(made) | ids(
            IEXEC_PRE_COMPUTE_OUT="/iexec_in",
            IS_DATASET_REQUIRED="false",
            IEXEC_INPUT_FILES_NUMBER="2",
            IEXEC_INPUT_FILES_FOLDER="/iexec_in",
            IEXEC_INPUT_FILE_URL_1=URL,
            IEXEC_INPUT_FILE_URL_2=URL + "2",
        )
        assert app["environment"]["IEXEC_INPUT_FILES_NUMBER"] == "2"
        assert app["environment"]["IEXEC_INPUT_FILES_FOLDER"] == "/iexec_in"
        assert (
            app["environment"]["IEXEC_INPUT_FILE_NAME_1"] == "0x" + hashlib.sha256(URL.encode()).hexdigest()
        )

    on_sms(body)


def test_secrets_of_app_and_requester_come_in_when_they_are_there(on_sms: Run) -> None:
    wanted = {"1": "one", "2": "absent", "3": "three", "0": "one", "-1": "one", "x": "one"}

    async def body(sms: Client) -> None:
        await sms.ready()
        assert (await sms.app("dev€loper: yes #no"))[0] == 204
        assert (await sms.requester("one", "1e5"))[0] == 204
        assert (await sms.requester("three", "a\nb\t\x07 \u2028 c"))[0] == 204
        sms.chain.change_deal(params=json.dumps({"iexec_args": "x", "iexec_secrets": wanted}))
        environment = (await document(sms))["services"][1]["environment"]
        assert environment == app_environment(
            IEXEC_APP_DEVELOPER_SECRET="dev€loper: yes #no",
            IEXEC_APP_DEVELOPER_SECRET_1="dev€loper: yes #no",
            IEXEC_REQUESTER_SECRET_1="1e5",
            IEXEC_REQUESTER_SECRET_3="a\nb\t\x07 \u2028 c",
        )

    on_sms(body)


def test_another_requester_gets_none_of_these_secrets(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        assert (await sms.requester("one", "mine"))[0] == 204
        sms.chain.change_deal(
            params=json.dumps({"iexec_args": "x", "iexec_secrets": {"1": "one"}}),
            requester=Account.create().address,
        )
        environment = (await document(sms))["services"][1]["environment"]
        assert "IEXEC_REQUESTER_SECRET_1" not in environment

    on_sms(body)


def storage(made: dict[str, Any]) -> tuple[str, str, str, str]:
    environment = made["services"][-1]["environment"]
    names = ("CALLBACK", "PROVIDER", "PROXY", "TOKEN")
    return tuple(environment[f"RESULT_STORAGE_{name}"] for name in names)


def test_result_storage(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        assert await sms.web3("dataset key") == 204
        assert await sms.session() == (500, {"error": "POST_COMPUTE_GET_STORAGE_TOKENS_FAILED"})
        assert await sms.web2("iexec-result-iexec-ipfs-token", "mine") == 204
        assert storage(await document(sms)) == ("false", "ipfs", "", "mine")
        assert await sms.web2("iexec-result-iexec-ipfs-token", "workers", WORKER) == 204
        assert await sms.web2("iexec-result-iexec-result-proxy-url", "http://proxy:13200", POOL) == 204
        assert storage(await document(sms)) == ("false", "ipfs", "http://proxy:13200", "workers")
        sms.chain.change_deal(params='{"iexec_args":"x","iexec_result_storage_proxy":"http://own"}')
        assert storage(await document(sms)) == ("false", "ipfs", "http://own", "workers")
        sms.chain.change_deal(params='{"iexec_args":"x","iexec_result_storage_provider":"dropbox"}')
        assert await sms.session() == (500, {"error": "POST_COMPUTE_GET_STORAGE_TOKENS_FAILED"})
        assert await sms.web2("iexec-result-dropbox-token", "drop") == 204
        assert storage(await document(sms)) == ("false", "dropbox", "", "drop")
        sms.chain.change_deal(callback=APP)
        assert storage(await document(sms)) == ("true", "", "", "")

    on_sms(body)


def test_result_encryption_needs_the_key_of_the_beneficiary(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        beneficiary = Account.create()
        sms.chain.change_deal(
            beneficiary=beneficiary.address, params='{"iexec_args":"x","iexec_result_encryption":true}'
        )
        assert await sms.web2("iexec-result-encryption-public-key", "of the requester", REQUESTER) == 204
        refusal = {"error": "POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY"}
        assert await sms.session() == (500, refusal)
        assert await sms.web2("iexec-result-encryption-public-key", "PEM", beneficiary) == 204
        environment = (await document(sms))["services"][-1]["environment"]
        assert environment["RESULT_ENCRYPTION"] == "true"
        assert environment["RESULT_ENCRYPTION_PUBLIC_KEY"] == "PEM"

    on_sms(body)


@pytest.mark.parametrize(
    ("fingerprint", "error"),
    [
        ("", "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        ("nonsense", "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (MRENCLAVE, "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        ("{", "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (f"{KEY[1:]}|{TAG}|{MRENCLAVE}|run", "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (f"{KEY}|{TAG}0|{MRENCLAVE}|run", "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (f"{KEY}|{TAG}|{MRENCLAVE[:-1]}g|run", "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (f"{KEY}|{TAG}|{MRENCLAVE}|", "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (json.dumps(JSON | {"version": "v9"}), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (json.dumps(JSON | {"heapSize": 0}), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (json.dumps(JSON | {"entrypoint": ""}), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (json.dumps(JSON | {"fingerprint": "ab"}), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
    ],
)
def test_a_fingerprint_that_is_none_has_a_name(on_sms: Run, fingerprint: str, error: str) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.register(fingerprint)
        assert await sms.session() == (500, {"error": error})
        assert sms.posted == []

    on_sms(body)


def test_what_else_is_refused_has_a_name_too(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        assert await sms.session() == (500, {"error": "PRE_COMPUTE_GET_DATASET_SECRET_FAILED"})
        await sms.ready()
        sms.chain.change_deal(params='{"iexec_args":"x","bulk_cid":"QmBulk"}')
        assert await sms.session() == (500, {"error": "SECURE_SESSION_GENERATION_FAILED"})
        sms.chain.datasets.clear()
        assert await sms.session() == (500, {"error": "GET_TASK_DESCRIPTION_FAILED"})

    on_sms(body)


def test_a_cas_that_refuses_has_a_name_and_no_secret_of_the_session_is_logged(
    on_sms: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.cas_refuses = True
        assert await sms.session() == (500, {"error": "SECURE_SESSION_STORAGE_CALL_FAILED"})

    caplog.set_level("DEBUG")
    on_sms(body)
    assert "SECURE_SESSION_STORAGE_CALL_FAILED" in caplog.text
    assert "dataset key" not in caplog.text
    assert "worker token" not in caplog.text


def test_an_empty_enclave_challenge_is_refused(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        digest = challenge.joined(WORKER.address, TASK, "")
        changes = {"enclaveChallenge": "", "signature": {"value": sign_digest(POOL, digest)}}
        body = {"chainTaskId": TASK, "workerWallet": WORKER.address} | changes
        headers = {"Authorization": sign_digest(WORKER, digest)}
        async with sms.http.post(f"{sms.url}/tee/sessions", json=body, headers=headers) as answer:
            assert answer.status == 500
            error = "GET_SIGNATURE_TOKENS_FAILED_EMPTY_PUBLIC_ENCLAVE_CHALLENGE"
            assert await answer.json() == {"error": error}
        assert sms.posted == []

    on_sms(body)
