"""The conformance cases of sms.md §12 on secrets, black-box over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.localnet.sms.sms_world import APP, DATASET, DEVELOPER, POOL, REQUESTER, Client, Run
from workflows.iexec import challenge
from workflows.iexec.signatures import sign_digest

LONG_KEY = "this-is-a-really-long-key-with-far-too-many-characters-in-its-name"
BAD_KEYS = [LONG_KEY, "this-is-a-key-with-invalid-characters:!*~"]
BAD_KEY = {"error": ["Secret key should contain at most 64 characters from [0-9A-Za-z-_]"]}
TOO_LARGE = {"error": ["Secret size should not exceed 4 Kb"]}
EXISTS = {"error": ["Secret already exists"]}
UNAUTHORISED = {"error": ["Invalid authorization"]}


def test_web3_cases_1_to_6(on_sms: Run) -> None:
    path = f"/secrets/web3?secretAddress={DATASET}"

    async def body(sms: Client) -> None:
        assert await sms.call("HEAD", path) == (404, "")
        assert await sms.web3("key", POOL) == 401
        assert await sms.web3("x" * 4097) == 413
        assert await sms.status("HEAD", path) == 404
        assert await sms.web3("key") == 204
        assert await sms.status("HEAD", path) == 204
        assert await sms.status("HEAD", path.replace(DATASET, DATASET.lower())) == 204
        assert await sms.web3("other") == 409

    on_sms(body)


def test_web2_cases_7_to_17(on_sms: Run) -> None:
    path = f"/secrets/web2?ownerAddress={REQUESTER.address}&secretName=Foo"

    async def body(sms: Client) -> None:
        assert await sms.status("HEAD", path) == 404
        assert await sms.web2("Foo", "bar", method="PUT") == 404
        assert await sms.web2("Foo", "bar", signer=POOL) == 401
        assert await sms.web2("Foo", "x" * 4097) == 413
        assert await sms.web2("Foo", "bar") == 204
        assert await sms.status("HEAD", path) == 204
        assert await sms.status("HEAD", path.replace("Foo", "fOO")) == 204  # names are lower-cased
        assert await sms.web2("foo", "other") == 409
        assert await sms.web2("Foo", "new", signer=POOL, method="PUT") == 401
        assert await sms.web2("Foo", "x" * 4097, method="PUT") == 413
        assert await sms.web2("Foo", "new", method="PUT") == 204
        assert await sms.web2("Foo", "new", method="PUT") == 204

    on_sms(body)


def test_app_cases_18_to_24_and_38(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        assert await sms.call("HEAD", f"/apps/{APP}/secrets") == (404, "")
        status, text = await sms.app("value", POOL)
        assert (status, json.loads(text)) == (401, UNAUTHORISED)
        status, text = await sms.app("x" * 4097)
        assert (status, json.loads(text)) == (413, TOO_LARGE)
        assert (await sms.app("é" * 2048))[0] == 204  # 4096 bytes in 2048 characters
        assert await sms.status("HEAD", f"/apps/{APP}/secrets") == 204
        for address in (APP, "0x" + APP[2:].upper()):
            status, text = await sms.app("again", address=address)
            assert (status, json.loads(text)) == (409, EXISTS)

    on_sms(body)


def test_requester_cases_25_to_35_and_39_to_41(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        base = f"/requesters/{REQUESTER.address}/secrets/"
        assert await sms.status("HEAD", base + "one") == 404
        status, text = await sms.requester("one", "value", POOL)
        assert (status, json.loads(text)) == (401, UNAUTHORISED)
        for key in BAD_KEYS:
            assert (await sms.requester(key, "value", POOL))[0] == 401  # checked before the key
            status, text = await sms.requester(key, "value")
            assert (status, json.loads(text)) == (400, BAD_KEY)
            assert await sms.status("HEAD", base + key) == 400
        status, text = await sms.requester("one", "x" * 4097)
        assert (status, json.loads(text)) == (400, TOO_LARGE)
        assert (await sms.requester("one", "x" * 4096))[0] == 204
        status, text = await sms.requester("one", "x")
        assert (status, json.loads(text)) == (409, EXISTS)
        assert (await sms.requester("ONE", "x"))[0] == 204  # keys are case-sensitive
        assert (await sms.requester("three", "x"))[0] == 204
        for key in ("one", "ONE", "three"):
            assert await sms.status("HEAD", base + key) == 204

    on_sms(body)


@pytest.mark.parametrize(
    "signature", ["", "0x", "0xzz", "Bearer abc", "0x" + "11" * 64, "0x" + "11" * 66, "0x" + "00" * 65]
)
def test_a_header_that_is_no_signature_is_401(on_sms: Run, signature: str) -> None:
    async def body(sms: Client) -> None:
        for method, path in (
            ("POST", f"/secrets/web3?secretAddress={DATASET}"),
            ("POST", f"/secrets/web2?ownerAddress={REQUESTER.address}&secretName=a"),
            ("PUT", f"/secrets/web2?ownerAddress={REQUESTER.address}&secretName=a"),
            ("POST", f"/apps/{APP}/secrets"),
            ("POST", f"/requesters/{REQUESTER.address}/secrets/a"),
        ):
            assert await sms.status(method, path, "value", signature) == 401

    on_sms(body)


def test_what_is_missing_is_400_and_what_does_not_exist_404_or_405(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        path = f"/secrets/web3?secretAddress={DATASET}"
        assert await sms.status("POST", path, "value") == 400
        assert await sms.status("POST", path, b"", "0x00") == 400
        assert await sms.status("POST", "/secrets/web3", "value", "0x00") == 400
        assert await sms.status("HEAD", "/secrets/web2?ownerAddress=0x00") == 400
        assert await sms.status("GET", path) == 405
        assert await sms.status("DELETE", path) == 405
        assert await sms.status("GET", "/secrets") == 404
        assert await sms.status("POST", "/secrets/web3?secretAddress=nonsense", "value", "0x00") == 401

    on_sms(body)


def test_a_signature_of_one_value_does_not_store_another(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        signature = sign_digest(DEVELOPER, challenge.app(APP, "good"))
        assert await sms.status("POST", f"/apps/{APP}/secrets", "evil", signature) == 401
        assert await sms.status("POST", f"/apps/{APP}/secrets", "good", signature) == 204

    on_sms(body)


def test_secrets_survive_a_restart_and_are_nowhere_in_clear(on_sms: Run, tmp_path: Path) -> None:
    async def first(sms: Client) -> None:
        assert (await sms.app("canary-4711"))[0] == 204
        assert await sms.web2("a", "canary-4712") == 204

    async def second(sms: Client) -> None:
        assert await sms.status("HEAD", f"/apps/{APP}/secrets") == 204

    on_sms(first)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"sms.sqlite", "sms.key"}
    for path in files:
        assert b"canary" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    on_sms(second)


def test_of_many_equal_posts_at_once_exactly_one_is_stored(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        signature = sign_digest(DEVELOPER, challenge.app(APP, "value"))
        calls = [sms.status("POST", f"/apps/{APP}/secrets", "value", signature) for _ in range(20)]
        assert sorted(await asyncio.gather(*calls)) == [204] + [409] * 19

    on_sms(body)


def test_a_foreign_host_is_refused_and_a_foreign_origin_is_told_so_on_secrets_only(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        head = f"/apps/{APP}/secrets"
        for host, status in (
            ("evil.example", 403),
            ("127.0.0.1:1", 404),
            ("sms:13300", 404),
            ("[::1]:1", 404),
        ):
            async with sms.http.head(sms.url + head, headers={"Host": host}) as answer:
                assert answer.status == status
        origin = {"Origin": "https://evil.example"}
        async with sms.http.head(sms.url + head, headers=origin) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        async with sms.http.get(f"{sms.url}/tee/framework", headers=origin) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
        ask = origin | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        async with sms.http.options(sms.url + head, headers=ask) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Methods"]) == (200, "POST")
            assert answer.headers["Access-Control-Allow-Headers"] == "authorization"

    on_sms(body)
