"""The client API of CAS over real TLS: who may create, read and update a session."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import sqlite3
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.localnet.cas.cas_world import APP, KEY, SECRET, World, session
from workflows.core.failure import Failed
from workflows.localnet import service
from workflows.localnet.cas import tls
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.server import Cas
from workflows.localnet.runtime.refusals import NotAttested
from workflows.localnet.vault import Vault
from workflows.scone.session import render
from workflows.sgx.pki import development_pki

On = Callable[[Callable[[World], Awaitable[None]]], None]


def test_a_session_is_created_read_by_its_creator_and_outlives_a_restart(on_cas: On) -> None:
    text = render(session())

    async def first(world: World) -> None:
        digest = await world.client().post(text)
        assert digest == hashlib.sha256(text.encode()).hexdigest()
        assert await world.request("POST", "/v1/sessions", render(session("two"))) == (
            201,
            {"hash": hashlib.sha256(render(session("two")).encode()).hexdigest()},
        )

    async def second(world: World) -> None:
        digest = hashlib.sha256(text.encode()).hexdigest()
        for path in ("/v1/sessions/one", f"/v1/sessions/one?hash={digest}"):
            assert await world.request("GET", path) == (200, {"session": text, "hash": digest})
        status, _ = await world.request("GET", f"/v1/sessions/one?hash={'0' * 64}")
        assert status == 404
        status, answer = await world.request("GET", "/v1/sessions/one", client="stranger")
        assert (status, "not found" in answer["error"]) == (404, True)
        for file in world.folder.joinpath("cas").rglob("*"):
            if file.is_file():
                assert SECRET.encode() not in file.read_bytes()
                assert KEY.encode() not in file.read_bytes()
                assert file.stat().st_mode & 0o077 == 0

    on_cas(first)
    on_cas(second)


def test_a_text_that_is_no_session_is_refused_with_line_and_reason(on_cas: On) -> None:
    async def body(world: World) -> None:
        text = render(session()) + "colour: blue\n"
        status, answer = await world.request("POST", "/session", text)
        assert (status, answer["line"]) == (400, text.count("\n"))
        assert answer["reason"] == "'colour' is not a field of the session"
        with pytest.raises(Failed, match="line 1") as caught:
            await world.client().post("name: ü\nversion: '0.3'\n")
        assert caught.value.name == "session_refused"

    on_cas(body)


def test_any_client_certificate_is_taken_and_its_key_is_who_comes(on_cas: On) -> None:
    """As SCONE's CAS does: `curl --cert --key` with a self-signed certificate, EC or RSA, of either TLS version."""

    async def body(world: World) -> None:
        folder = world.folder / "elsewhere"
        folder.mkdir()
        for name, kind in (("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]), ("rsa", ["rsa:2048"])):
            certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
            made = ["openssl", "req", "-x509", "-nodes", "-newkey", *kind, "-subj", f"/CN={name}"]
            made += ["-keyout", str(key), "-out", str(certificate)]
            subprocess.run(made, check=True, capture_output=True)
            pair = tls.Pair(certificate, key)
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = tls.client_context(pair, world.root.read_text())
                context.maximum_version = version
                text = render(session(f"{name}-{version.value}"))
                async with aiohttp.ClientSession() as http:
                    answer = await http.post(f"{world.cas.url}/session", data=text, ssl=context)
                    assert answer.status == 201
                    answer = await http.get(
                        f"{world.cas.url}/v1/sessions/{name}-{version.value}", ssl=context
                    )
                    assert answer.status == 200
            assert (await world.request("GET", f"/v1/sessions/{name}-{version.value}"))[0] == 404

    on_cas(body)


def test_a_certificate_out_of_its_time_is_refused_in_words_and_a_renewed_one_is_taken(on_cas: On) -> None:
    """The key is who comes, so a certificate made anew for it opens what the old one did."""

    async def body(world: World) -> None:
        pair = world.cas.client("renewed")
        await world.client("renewed").post(render(session("kept")))
        key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anew")])
        for since, until, status, reason in (
            (now - 9 * day, now - day, 403, "has expired"),
            (now + day, now + 9 * day, 403, "is not valid before"),
            (now - day, now + day, 200, ""),
        ):
            made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            made = made.serial_number(x509.random_serial_number()).not_valid_before(since)
            certificate = made.not_valid_after(until).sign(key, hashes.SHA256())
            pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            for method, path, text in (
                ("GET", "/v1/sessions/kept", None),
                ("POST", "/session", render(session("kept"))),
            ):
                got, answer = await world.request(method, path, text, client="renewed")
                assert got == (409 if (status, method) == (200, "POST") else status), (answer, since)
                assert reason in str(answer)

    on_cas(body)


def test_the_hash_of_a_session_is_told_to_who_may_read_it(on_cas: On) -> None:
    """It is of the text, so it would let one try out what the text may hold."""

    async def body(world: World) -> None:
        for name, read in (("open", "ANY"), ("closed", "CREATOR")):
            changes: dict[str, Any] = {"update": ("ANY",), "read": (read,)}
            digest = await world.client().post(render(session(name, **changes)))
            stale = render(session(name, predecessor="0" * 64))
            inner = render(session(f"{name}/inner", namespace_hash="0" * 64))
            for text in (stale, inner):
                status, answer = await world.request("POST", "/session", text, client="stranger")
                assert (status, digest in answer["error"]) == (409, read == "ANY"), answer
                assert "0" * 64 in answer["error"]
                status, answer = await world.request("POST", "/session", text)
                assert (status, digest in answer["error"]) == (409, True)
        assert (await world.request("GET", f"/v1/sessions/closed?hash={digest.upper()}"))[0] == 200

    on_cas(body)


def test_every_refusal_of_the_clients_door_is_in_json(on_cas: On) -> None:
    async def body(world: World) -> None:
        for method, path, text, status, reason in (
            ("POST", "/session", "#" * ((1 << 20) + 1), 413, "larger than 1048576 bytes"),
            ("GET", "/nowhere", None, 404, "nothing at /nowhere"),
            ("DELETE", "/session", None, 405, "takes POST"),
            ("GET", "/v1/sessions", None, 405, "takes POST"),
        ):
            got, answer = await world.request(method, path, text)
            assert (got, reason in answer["error"]) == (status, True), answer

    on_cas(body)


def test_who_stops_in_the_middle_of_a_session_is_told_and_let_go(
    on_cas: On, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PATIENCE", 0.3)

    async def body(world: World) -> None:
        context = tls.client_context(world.cas.client("sms"), world.root.read_text())
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", world.cas.api.port, ssl=context, server_hostname="cas"
        )
        writer.write(b"POST /session HTTP/1.1\r\nHost: cas\r\nContent-Length: 9\r\n\r\nname")
        answer = await asyncio.wait_for(reader.read(), 20)
        assert answer.startswith(b"HTTP/1.1 408 ") and b'{"error": "the session did not come' in answer
        writer.close()

    on_cas(body)


def test_a_key_of_the_environment_is_in_no_file_and_no_other_opens_what_it_sealed(tmp_path: Path) -> None:
    async def main() -> None:
        pki = development_pki(tmp_path / "keys")

        async def with_key(key: bytes) -> None:
            cas = Cas(tmp_path / "cas", pki, key=key)
            await cas.start()
            try:
                client = CasClient(cas.url, pki.root_pem, cas.client("sms"))
                await client.post(render(session("one")))
            finally:
                await cas.stop()

        await with_key(b"\x5e" * 32)
        assert not (tmp_path / "cas" / "cas.key").exists()
        with pytest.raises(Failed, match="exists"):
            await with_key(b"\x5e" * 32)
        with pytest.raises(Failed) as caught:
            await with_key(b"\x5f" * 32)
        assert caught.value.name == "vault_key_mismatch"
        for path in (tmp_path / "cas").rglob("*"):
            assert path.is_dir() or b"\x5e" * 32 not in path.read_bytes()

    asyncio.run(main())


def test_a_session_of_before_the_language_was_read_so_strictly_is_refused_by_name(
    on_cas: On, tmp_path: Path
) -> None:
    reason = "was posted when it was read less strictly"

    async def before(world: World) -> None:
        await world.client().post(render(session()))

    async def after(world: World) -> None:
        for method, path, text in (
            ("GET", "/v1/sessions/one", None),
            ("GET", "/v1/values/session=one", None),
            ("POST", "/session", render(session(predecessor="0" * 64))),
            ("POST", "/session", render(session("one/inner"))),
        ):
            status, answer = await world.request(method, path, text)
            assert (status, reason in str(answer)) == (409, True), (path, answer)
        with pytest.raises(NotAttested, match=reason):
            await world.attested("one/app")
        await world.client().post(render(session("two")))

    on_cas(before)
    sealed = Vault(tmp_path / "cas" / "cas.key").seal(b"name: &unused one\nversion: '0.3'\n", "one")
    with sqlite3.connect(tmp_path / "cas" / "cas.sqlite") as database:
        database.execute("UPDATE sessions SET text = ?", (sealed,))
    database.close()
    on_cas(after)


def test_without_a_certificate_nothing_but_public_values_is_served(on_cas: On) -> None:
    async def body(world: World) -> None:
        await world.client().post(render(session("open", read=("ANY",))))
        refusal = (403, {"error": "a client certificate is needed"})
        assert await world.request("POST", "/session", render(session()), client=None) == refusal
        assert await world.request("POST", "/v1/sessions", render(session()), client=None) == refusal
        assert await world.request("GET", "/v1/sessions/open", client=None) == refusal

    on_cas(body)


def test_a_namespace_decides_who_creates_sessions_in_it(on_cas: On) -> None:
    async def body(world: World) -> None:
        friend = tls.key_hash(world.cas.client("friend").der())

        async def post(name: str, client: str = "sms", **changes: Any) -> tuple[int, Any]:
            return await world.request("POST", "/session", render(session(name, **changes)), client=client)

        assert (await post("team/app"))[0] == 404  # first its namespace
        status, made = await post("team", create_sessions=("CREATOR", friend))
        assert status == 201
        assert (await post("team/one"))[0] == 201
        assert (await post("team/two", "friend"))[0] == 201
        assert (await post("team/three", "stranger"))[0] == 403
        assert (await post("team/one/deep", "friend"))[0] == 403  # without a list, who may update may create
        assert (await post("team/one/deep"))[0] == 201
        await post("sealed", create_sessions=("NONE",))
        assert (await post("sealed/app"))[0] == 403
        await post("park", create_sessions=("ANY",))
        assert (await post("park/app", "stranger"))[0] == 201
        assert (await post("team/four", namespace_hash="0" * 64))[0] == 409
        assert (await post("team/four", namespace_hash=made["hash"]))[0] == 201
        world.measured = APP
        assert (await world.attested("team/two/app")).environment == {"SECRET": SECRET}

    on_cas(body)


def test_policies_of_reading_and_updating(on_cas: On) -> None:
    async def body(world: World) -> None:
        friend = tls.key_hash(world.cas.client("friend").der())
        await world.client().post(render(session("open", read=("ANY",))))
        await world.client().post(render(session("shared", read=("CREATOR", friend))))
        await world.client().post(render(session("closed", read=("NONE",))))
        for name, who, status in (
            ("open", "stranger", 200),
            ("shared", "sms", 200),
            ("shared", "friend", 200),
            ("shared", "stranger", 404),
            ("closed", "sms", 404),
        ):
            assert (await world.request("GET", f"/v1/sessions/{name}", client=who))[0] == status

        fixed = render(session("fixed", update=("NONE",)))
        digest = await world.client().post(fixed)
        again = render(session("fixed", update=("NONE",), predecessor=digest))
        assert (await world.request("POST", "/session", again))[0] == 403

        digest = await world.client().post(render(session("moving")))
        assert (await world.request("POST", "/session", render(session("moving"))))[0] == 409
        stale = render(session("moving", predecessor="0" * 64))
        assert (await world.request("POST", "/session", stale))[0] == 409
        newer = render(session("moving", predecessor=digest))
        assert (await world.request("POST", "/session", newer, client="stranger"))[0] == 403
        assert (await world.request("POST", "/session", newer))[0] == 201
        assert (await world.request("POST", "/session", render(session("new", predecessor=digest))))[0] == 404

    on_cas(body)


def test_of_clients_that_post_one_session_at_once_one_has_it(on_cas: On) -> None:
    """CAS makes keys before it looks again: who was slower meets the session that the quicker one left."""
    key = "\nsecrets:\n  - {name: key, kind: private-key, key_type: RSA-2048}\n"
    clients = ("one", "two", "three", "four")

    async def body(world: World) -> None:
        for client in clients:
            world.cas.client(client)
        text = render(session("wanted", read=("CREATOR",))) + key
        posts = [world.request("POST", "/session", text, client=client) for client in clients]
        statuses = [status for status, _ in await asyncio.gather(*posts)]
        assert sorted(statuses) == [201, 403, 403, 403]
        reads = [await world.request("GET", "/v1/sessions/wanted", client=client) for client in clients]
        assert [status == 200 for status, _ in reads] == [status == 201 for status in statuses]

    on_cas(body)


def test_an_update_keeps_the_keys_of_volumes_and_the_owner(on_cas: On) -> None:
    async def body(world: World) -> None:
        first = session(update=("ANY",))
        digest = await world.client().post(render(first))
        before = await world.attested("one/app")
        newer = replace(first, predecessor=digest, read=("CREATOR",))
        assert (await world.request("POST", "/session", render(newer), client="stranger"))[0] == 201
        after = await world.attested("one/app")
        assert [v.key for v in before.volumes] == [v.key for v in after.volumes]
        assert (await world.request("GET", "/v1/sessions/one"))[0] == 200
        assert (await world.request("GET", "/v1/sessions/one", client="stranger"))[0] == 404
        earlier = f"/v1/sessions/one?hash={digest}"  # the predecessor is still to be read
        assert await world.request("GET", earlier) == (200, {"session": render(first), "hash": digest})
        assert (await world.request("GET", earlier, client="stranger"))[0] == 404

    on_cas(body)
