"""What stands around the endpoints: the documents of errors, browsers of other origins, and /v3/api-docs."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.iexec.sms_vectors import DEVELOPER
from tests.localnet.sms.sms_world import APP, DATASET, REQUESTER, TASK, Client, Run
from workflows.iexec import challenge
from workflows.iexec.signatures import sign_digest
from workflows.localnet import service

EVIL = {"Origin": "https://evil.example"}
OPEN = ("/secrets/web3", "/secrets/web2", f"/apps/{APP}/secrets", f"/requesters/{APP}/secrets/key")


@pytest.mark.parametrize(
    ("method", "path", "status", "error", "message"),
    [
        ("GET", "/nope", 404, "Not Found", None),
        ("GET", "/tee/framework/", 404, "Not Found", None),
        ("GET", "/secrets/web2", 405, "Method Not Allowed", None),
        ("POST", "/secrets/web2?ownerAddress=0x", 400, "Bad Request", "parameter 'secretName'"),
        ("POST", f"/secrets/web3?secretAddress={DATASET}", 400, "Bad Request", "header 'Authorization'"),
        ("POST", "/tee/sessions", 400, "Bad Request", "header 'Authorization'"),
        ("POST", f"/tee/challenges/{TASK}", 400, "Bad Request", "header 'Authorization'"),
        ("GET", "/tee/properties/azer", 400, "Bad Request", "SCONE, GRAMINE, TDX"),
    ],
)
def test_an_error_is_the_document_that_spring_makes(
    on_sms: Run, method: str, path: str, status: int, error: str, message: str | None
) -> None:
    async def body(sms: Client) -> None:
        async with sms.http.request(method, sms.url + path) as answer:
            assert (answer.status, answer.content_type) == (status, "application/json")
            document = await answer.json()
            assert status != 405 or set(answer.headers["Allow"].split(",")) >= {"HEAD", "POST", "PUT"}
        assert datetime.fromisoformat(document.pop("timestamp")).tzinfo
        assert message is None or message in document.pop("message")
        assert document == {"status": status, "error": error, "path": path.partition("?")[0]}

    on_sms(body)


def test_an_empty_body_and_one_that_is_no_json_are_told(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        status, text = await sms.call("POST", OPEN[2], b"", "0x")
        assert (status, json.loads(text)["message"]) == (400, "Required request body is missing.")
        status, text = await sms.call("POST", "/tee/sessions", b"{", "0x")
        assert status == 400 and "JSON" in json.loads(text)["message"]

    on_sms(body)


@pytest.mark.parametrize("path", ["/tee/sessions", OPEN[2]])
def test_a_body_that_does_not_come_is_not_waited_for(
    on_sms: Run, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(service, "PATIENCE", 0.1)

    async def body(sms: Client) -> None:
        url = urlsplit(sms.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: 0x\r\nContent-Length: 9\r\n\r\n"
        writer.write(head.encode() + b"half")
        assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"408"
        writer.close()

    on_sms(body)


@pytest.mark.parametrize("path", OPEN)
def test_a_browser_is_told_what_it_may_and_reads_every_answer(on_sms: Run, path: str) -> None:
    async def ask(sms: Client, **headers: str) -> Any:
        async with sms.http.options(sms.url + path, headers=headers) as answer:
            return answer.status, answer.headers

    async def body(sms: Client) -> None:
        methods = {"HEAD", "POST", "PUT"} if path == "/secrets/web2" else {"HEAD", "POST"}
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"):
            wanted = {
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization",
            }
            status, headers = await ask(sms, **EVIL, **wanted)
            assert status == (200 if method in methods else 403)
            assert headers.get("Access-Control-Allow-Methods") == (method if method in methods else None)
        status, headers = await ask(sms)
        assert (status, set(headers["Allow"].split(","))) == (200, methods | {"OPTIONS"})
        for method, status in (("GET", 405), ("POST", 400)):
            async with sms.http.request(method, sms.url + path, headers=EVIL) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == "*"

    on_sms(body)


def test_nothing_else_is_open_to_browsers(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        for path in ("/tee/framework", "/tee/sessions", "/admin/backup", "/version", "/secrets", "/nope"):
            for method in ("GET", "POST", "OPTIONS"):
                headers = EVIL | {"Access-Control-Request-Method": "POST"}
                async with sms.http.request(method, sms.url + path, headers=headers) as answer:
                    assert not [name for name in answer.headers if name.startswith("Access-Control")]

    on_sms(body)


def test_api_docs_say_what_each_route_takes(on_sms: Run) -> None:
    async def body(sms: Client) -> None:
        paths = json.loads((await sms.call("GET", "/v3/api-docs"))[1])["paths"]

        def takes(method: str, path: str) -> set[tuple[str, str, bool]]:
            return {(it["in"], it["name"], it["required"]) for it in paths[path][method]["parameters"]}

        signed = ("header", "Authorization", True)
        assert takes("head", "/secrets/web3") == {("query", "secretAddress", True)}
        names = {("query", "ownerAddress", True), ("query", "secretName", True)}
        assert takes("head", "/secrets/web2") == names
        assert takes("put", "/secrets/web2") == names | {signed}
        assert takes("post", "/tee/sessions") == {signed}
        assert ("header", "X-API-KEY", True) in takes("post", "/admin/backup")
        assert ("query", "destinationFileName", False) in takes(
            "post", "/admin/{storage}/copy-to/{destination}"
        )
        for path, methods in paths.items():
            for method, operation in methods.items():
                body = "requestBody" in operation
                assert body == (method in ("post", "put") and path.split("/")[1] not in ("admin",)) or (
                    path == "/tee/challenges/{task}"
                )
                assert all(code.isdecimal() for code in operation["responses"])

    on_sms(body)


def test_an_address_without_0x_owns_nothing(on_sms: Run) -> None:
    """It would be stored where no session looks."""

    async def body(sms: Client) -> None:
        for address in (DATASET[2:], DATASET + "00", "0x123"):
            signature = sign_digest(DEVELOPER, challenge.web3(address, "v"))
            assert await sms.status("POST", f"/secrets/web3?secretAddress={address}", "v", signature) == 401
        signature = sign_digest(DEVELOPER, challenge.app(APP[2:], "v"))
        assert await sms.status("POST", f"/apps/{APP[2:]}/secrets", "v", signature) == 401
        odd = "0x" + DATASET[2:].swapcase()
        assert await sms.web3("v", address=odd) == 204
        assert await sms.status("HEAD", f"/secrets/web3?secretAddress={DATASET}") == 204

    on_sms(body)


def test_the_last_byte_of_a_signature_is_27_or_28(on_sms: Run) -> None:
    """What other libraries take beside it, web3j does not; the other half of the curve it does."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

    async def body(sms: Client) -> None:
        path = f"/secrets/web2?ownerAddress={REQUESTER.address}&secretName=name"
        signature = sign_digest(REQUESTER, challenge.web2(REQUESTER.address, "name", "v"))
        raw = bytes.fromhex(signature[2:])
        s, last = int.from_bytes(raw[32:64], "big"), raw[64]
        others = [raw[:64] + bytes([last + step]) for step in (-27, 2, 8)]
        compact = raw[:32] + (s | (last - 27) << 255).to_bytes(32, "big")
        for other in (*others, compact, raw + b"\0", raw[:64]):
            assert await sms.status("POST", path, "v", "0x" + other.hex()) == 401
        for text in ("Bearer " + signature, signature[2:], "0x", "nonsense"):
            assert await sms.status("POST", path, "v", text) == 401
        high = raw[:32] + (order - s).to_bytes(32, "big") + bytes([55 - last])
        assert await sms.status("POST", path, "v", "0x" + high.hex().upper()) == 204

    on_sms(body)
