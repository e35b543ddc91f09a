"""What decides over the session of a task, and what is refused; `test_session_table` has the whole documents."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from eth_account import Account

from tests.localnet.sms.sms_world import (
    APP,
    CONFIG,
    DATASET,
    KEY,
    MRENCLAVE,
    POOL,
    REQUESTER,
    TAG,
    TASK,
    WORKER,
    Client,
    Run,
)
from workflows.iexec import challenge
from workflows.iexec.signatures import sign_digest


async def document(sms: Client) -> dict[str, Any]:
    await sms.made()
    made: dict[str, Any] = yaml.safe_load(sms.posted[-1])
    return made


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


def test_secrets_of_app_and_requester_come_in_when_they_are_there(on_sms: Run) -> None:
    wanted = {"1": "one", "2": "absent", "3": "three", "0": "one", "-1": "one", "x": "one"}

    async def body(sms: Client) -> None:
        await sms.ready()
        assert (await sms.app("dev€loper: yes #no"))[0] == 204
        assert (await sms.requester("one", "1e5"))[0] == 204
        assert (await sms.requester("three", "a\nb\t\x07 \u2028 c"))[0] == 204
        sms.chain.change_deal(params=json.dumps({"iexec_args": "x", "iexec_secrets": wanted}))
        environment = (await document(sms))["services"][1]["environment"]
        assert {name: value for name, value in environment.items() if "_SECRET" in name} == {
            "IEXEC_APP_DEVELOPER_SECRET": "dev€loper: yes #no",
            "IEXEC_APP_DEVELOPER_SECRET_1": "dev€loper: yes #no",
            "IEXEC_REQUESTER_SECRET_1": "1e5",
            "IEXEC_REQUESTER_SECRET_3": "a\nb\t\x07 \u2028 c",
        }

    on_sms(body)


def storage(made: dict[str, Any]) -> tuple[str, str, str, str]:
    environment = made["services"][-1]["environment"]
    names = ("CALLBACK", "PROVIDER", "PROXY", "TOKEN")
    return tuple(environment[f"RESULT_STORAGE_{name}"] for name in names)


def test_result_storage(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        sms.chain.register(json.dumps(CONFIG))
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


def test_an_old_app_stores_with_the_token_of_the_requester(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()  # the worker brings a token: it does where the requester has none
        assert storage(await document(sms)) == ("no", "ipfs", "", "worker token")
        assert await sms.web2("iexec-result-iexec-ipfs-token", "mine") == 204
        assert await sms.web2("iexec-result-iexec-result-proxy-url", "http://proxy:13200", POOL) == 204
        assert storage(await document(sms)) == ("no", "ipfs", "", "mine")

    on_sms(body)


def test_a_dataset_without_a_name_is_called_by_its_address(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.datasets[DATASET] = replace(
            sms.chain.datasets[DATASET], name="", multiaddr="https://example.com/data.enc"
        )
        pre, app, _ = (service["environment"] for service in (await document(sms))["services"])
        assert pre["IEXEC_DATASET_FILENAME"] == app["IEXEC_DATASET_FILENAME"] == DATASET.lower()
        assert pre["IEXEC_DATASET_URL"] == "https://example.com/data.enc"

    on_sms(body)


def test_input_files_of_an_old_app_have_the_last_part_of_their_url(on_sms: Run) -> None:
    urls = ["https://a.org/x/in.csv?v=1#2", "https://a.org/x/", "ftp://a.org/C:\\data\\file", "name"]

    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.change_deal(params=json.dumps({"iexec_args": "x", "iexec_input_files": urls}))
        app = (await document(sms))["services"][1]["environment"]
        assert [app[f"IEXEC_INPUT_FILE_NAME_{n}"] for n in (1, 2, 3, 4)] == [
            "in.csv?v=1#2",
            "",
            "file",
            "name",
        ]

    on_sms(body)


def test_params_of_the_first_clients_are_understood_for_old_apps_only(on_sms: Run) -> None:
    params = '{"iexec_args":"Alice","iexec_developer_logger":true,"iexec_tee_post_compute_image":"i"}'

    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.change_deal(params=params)
        assert (await document(sms))["services"][1]["command"] == "python3 /app/app.py Alice"
        sms.chain.register(json.dumps(CONFIG))
        assert (await document(sms))["services"][1]["command"] == f"python3 /app/app.py {params}"

    on_sms(body)


@pytest.mark.parametrize("name", ["", None, "n" * 65])
def test_a_name_that_no_secret_can_have_ends_the_session(on_sms: Run, name: str | None) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.change_deal(params=json.dumps({"iexec_args": "x", "iexec_secrets": {"1": name}}))
        assert await sms.session() == (500, {"error": "SECURE_SESSION_GENERATION_FAILED"})

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
        assert environment["RESULT_ENCRYPTION"] == "yes"
        assert environment["RESULT_ENCRYPTION_PUBLIC_KEY"] == "PEM"

    on_sms(body)


@pytest.mark.parametrize(
    ("fingerprint", "error"),
    [
        ("", "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        ("nonsense", "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (MRENCLAVE, "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        ("{", "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        ("[]", "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (json.dumps(CONFIG | {"more": 1}), "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (json.dumps(CONFIG | {"framework": "OTHER"}), "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (json.dumps(CONFIG | {"heapSize": "much"}), "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (json.dumps(CONFIG | {"heapSize": {}}), "APP_COMPUTE_NO_ENCLAVE_CONFIG"),
        (f"{KEY[1:]}|{TAG}|{MRENCLAVE}|run", "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (f"{KEY}|{TAG}0|{MRENCLAVE}|run", "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (f"{KEY}|{TAG}|{MRENCLAVE[:-1]}g|run", "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (f"{KEY}|{TAG}|{MRENCLAVE}|", "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (json.dumps(CONFIG | {"version": "v9"}), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (json.dumps(CONFIG | {"heapSize": 0}), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (json.dumps(CONFIG | {"entrypoint": ""}), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
        (json.dumps(CONFIG | {"fingerprint": "ab"}), "APP_COMPUTE_INVALID_ENCLAVE_CONFIG"),
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
        sms.chain.datasets.clear()
        assert await sms.session() == (500, {"error": "GET_TASK_DESCRIPTION_FAILED"})

    on_sms(body)


@pytest.mark.parametrize("uri", ["", " \t"])
def test_a_dataset_without_a_place_is_ignored(on_sms: Run, uri: str) -> None:
    """`TaskDescription.containsDataset`: no key is asked for, nothing is brought in."""

    async def body(sms: Client) -> None:
        assert await sms.web2("iexec-result-iexec-ipfs-token", "worker token", WORKER) == 204
        sms.chain.datasets[DATASET] = replace(sms.chain.datasets[DATASET], multiaddr=uri)
        services = (await document(sms))["services"]
        assert [service["name"] for service in services] == ["app", "post-compute"]

    on_sms(body)


@pytest.mark.parametrize("cid", ["", " "])
def test_a_blank_bulk_is_no_bulk(on_sms: Run, cid: str) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        sms.chain.change_deal(params=json.dumps({"iexec_args": "x", "bulk_cid": cid}))
        assert (await document(sms))["services"][1]["command"].endswith(" x")

    on_sms(body)


def test_a_blank_key_of_a_dataset_is_a_key(on_sms: Run) -> None:
    """Stored as empty, and handed on: the pre-compute says that it is missing."""

    async def body(sms: Client) -> None:
        assert await sms.web3(" ") == 204
        assert await sms.web2("iexec-result-iexec-ipfs-token", "worker token", WORKER) == 204
        assert (await document(sms))["services"][0]["environment"]["IEXEC_DATASET_KEY"] == ""

    on_sms(body)


def test_a_worker_may_write_its_address_as_it_likes(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        await sms.ready()
        odd = "0x" + WORKER.address[2:].swapcase()
        status, answer = await sms.session(workerWallet=odd)
        assert status == 200, answer
        environment = yaml.safe_load(sms.posted[-1])["services"][-1]["environment"]
        assert environment["RESULT_SIGN_WORKER_ADDRESS"] == WORKER.address

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
