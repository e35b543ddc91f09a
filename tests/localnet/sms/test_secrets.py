"""What the conformance cases (tests/conformance/sms) leave open on secrets: headers, routes, browsers, the disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.localnet.sms.sms_world import APP, DATASET, DEVELOPER, REQUESTER, Client, Run
from workflows.iexec import challenge
from workflows.iexec.signatures import sign_digest


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


def test_known_weakness_a_signature_is_good_for_another_kind_another_time_and_to_roll_back(
    on_sms: Run,
) -> None:
    """Kept, as clients of the real service depend on it (docs/sms.md): there is no nonce in what is signed."""

    async def body(sms: Client) -> None:
        first = sign_digest(REQUESTER, challenge.web2(REQUESTER.address, "foo", "old"))
        named = f"/secrets/web2?ownerAddress={REQUESTER.address}&secretName=foo"
        assert await sms.status("POST", named, "old", first) == 204
        assert await sms.web2("foo", "new", method="PUT") == 204
        assert await sms.status("PUT", named, "old", first) == 204
        assert await sms.status("POST", f"/requesters/{REQUESTER.address}/secrets/foo", "old", first) == 204

    on_sms(body)


def test_known_weakness_a_database_that_fails_is_409_to_who_posts(
    on_sms: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kept for clients (docs/sms.md); whoever only asks, or changes a value, is not told that it exists."""
    exists = '{"error":["Secret already exists"]}'

    async def body(sms: Client) -> None:
        other = sqlite3.connect(tmp_path / "sms" / "sms.sqlite")
        other.execute("DROP TABLE secrets")
        other.close()
        assert await sms.web3("value") == 409
        assert await sms.web2("a", "value") == 409
        assert await sms.app("value") == (409, exists)
        assert await sms.requester("a", "value") == (409, exists)
        assert await sms.web2("a", "value", method="PUT") == 500
        assert await sms.status("HEAD", f"/apps/{APP}/secrets") == 500

    on_sms(body)
    assert caplog.text.count("the database failed: OperationalError") == 4


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
