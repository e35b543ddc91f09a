"""Secrets of a session: made or given, put where placeholders are, kept over updates, shown when exported."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.localnet.cas.cas_world import APP, World
from workflows.localnet.runtime.refusals import NotAttested

On = Callable[[Callable[[World], Awaitable[None]]], None]

SESSION = """
name: NAME
version: "0.3.10"
services:
  - name: app
    image_name: image
    mrenclaves: [MRENCLAVE]
    command: "run --password $$SCONE::word$$ '$$SCONE::given|escape(json)$$ x'"
    environment:
      PLAIN: "$$SCONE:word$$ $$SCONE::"
      TWICE: "$$SCONE::word$$-$$SCONE::word$$"
      HEX: "$$SCONE::raw:hex$$ $$SCONE::raw.hex$$"
      BASE: "$$SCONE::bytes:base64$$ $$SCONE::bytes:base64url$$ $$SCONE::bytes:base32$$ $$SCONE::bytes:base32nopad$$"
      KEY: "$$SCONE::key$$"
      CERTIFICATE: "$$SCONE::server:crt$$"
      CHAIN: "$$SCONE::server:chain$$"
      OLD_CHAIN: "$$SCONE::server.chain$$"
      PRIVATE: "$$SCONE::server:privatekey$$"
      PUBLIC: "$$SCONE::public$$"
images:
  - name: image
    injection_files:
      - /etc/app.conf
      - path: /etc/content
        permission: 0o400
        content: "raw=$$SCONE::bytes$$ der=$$SCONE::server:crt:der$$ end"
    provide_secrets: [word, bytes]
secrets:
  - {name: word, kind: ascii, size: 12}
  - {name: given, kind: ascii, value: 'say "$$SCONE::word$$"'}
  - {name: raw, kind: binary, size: 32}
  - {name: bytes, kind: binary, value: FBFF00FE, export_public: true}
  - {name: key, kind: private-key, key_type: P-384, migrate: MIGRATE}
  - {name: ca-key, kind: private-key, key_type: Ed25519}
  - {name: ca, kind: x509-ca, private_key: ca-key, common_name: "Our CA", export_public: true}
  - {name: server-key, kind: private-key, key_type: RSA-2048}
  - name: server
    kind: x509
    private_key: server-key
    issuer: ca
    endpoint: server
    san: ["dns:*.example.com", "ip:192.168.1.2"]
  - {name: public, kind: public-key, private_key: key}
security: {attestation: {tolerate: [debug-mode]}}
"""


def written(name: str = "one", **more: str) -> str:
    fields = {"NAME": name, "MRENCLAVE": APP, "MIGRATE": "true"} | more
    return re.sub("|".join(fields), lambda match: fields[match[0]], SESSION)


async def configured(world: World, name: str = "one") -> dict[str, Any]:
    """What the enclave receives, as the launcher reads it."""
    given = await world.attested(f"{name}/app")
    return {"command": given.command, "files": given.files, "secrets": given.secrets, **given.environment}


def test_placeholders_are_replaced_by_values_of_their_format(on_cas: On) -> None:
    async def body(world: World) -> None:
        await world.client().post(written())
        given = await configured(world)
        word = given["command"][2]
        assert re.fullmatch("[!-~]{12}", word)
        # one value, put in once: what a secret's value looks like is not looked at again
        assert given["command"] == ["run", "--password", word, 'say \\"$$SCONE::word$$\\" x']
        assert given["PLAIN"] == "$$SCONE:word$$ $$SCONE::"
        assert given["TWICE"] == f"{word}-{word}"
        first, second = given["HEX"].split()
        assert re.fullmatch("[0-9a-f]{64}", first)
        assert first == second
        assert given["BASE"] == "+/8A/g== -_8A_g== 7P7QB7Q= 7P7QB7Q"

        key = serialization.load_pem_private_key(given["KEY"].encode(), None)
        assert key.curve.name == "secp384r1"
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert given["PUBLIC"].encode() == public

        certificate = x509.load_pem_x509_certificate(given["CERTIFICATE"].encode())
        authority = x509.load_pem_x509_certificate(given["CHAIN"].encode())
        certificate.verify_directly_issued_by(authority)
        authority.verify_directly_issued_by(authority)
        assert certificate.subject.rfc4514_string() == "CN=*.example.com"
        assert authority.subject.rfc4514_string() == "CN=Our CA"
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(name.value) for name in names] == ["*.example.com", "192.168.1.2"]
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
        private = serialization.load_pem_private_key(given["PRIVATE"].encode(), None)
        assert (private.key_size, private.public_key()) == (2048, certificate.public_key())
        assert given["OLD_CHAIN"] == given["CHAIN"] + given["CERTIFICATE"]

        own, content = given["files"]
        assert (own.path, own.content, own.mode) == ("/etc/app.conf", None, 0o700)
        der = certificate.public_bytes(serialization.Encoding.DER)
        assert (content.path, content.mode) == ("/etc/content", 0o400)
        assert content.content == b"raw=\xfb\xff\x00\xfe der=" + der + b" end"
        # files of the image may use what the image is given, in every format, and nothing else
        assert {name.partition(":")[0].partition("|")[0] for name in given["secrets"]} == {
            "word", "bytes", "bytes.hex"
        }  # fmt: skip
        assert given["secrets"]["bytes:hex"] == b"fbff00fe"
        assert given["secrets"]["word|escape(json)"] == json.dumps(word)[1:-1].encode()

    on_cas(body)


def test_values_are_made_once_differ_between_sessions_and_are_sealed_at_rest(on_cas: On) -> None:
    first: dict[str, Any] = {}

    async def body(world: World) -> None:
        await world.client().post(written())
        await world.client().post(written("two"))
        first.update(await configured(world))
        assert await configured(world) == first
        other = await configured(world, "two")
        for name in ("TWICE", "HEX", "KEY", "CERTIFICATE"):
            assert other[name] != first[name]

    async def restarted(world: World) -> None:
        assert await configured(world) == first
        for file in world.folder.joinpath("cas").rglob("*"):
            if file.is_file():
                assert first["command"][2].encode() not in file.read_bytes()

    on_cas(body)
    on_cas(restarted)


@pytest.mark.parametrize("migrate", ["true", "false"])
def test_an_update_keeps_what_migrates(on_cas: On, migrate: str) -> None:
    async def body(world: World) -> None:
        digest = await world.client().post(written(MIGRATE=migrate))
        before = await configured(world)
        update = written(MIGRATE=migrate).replace("name: one\n", f"name: one\npredecessor: {digest}\n")
        digest = await world.client().post(update)
        after = await configured(world)
        assert (after["TWICE"], after["HEX"]) == (before["TWICE"], before["HEX"])
        assert (after["KEY"] == before["KEY"]) == (migrate == "true")
        assert after["CERTIFICATE"] != before["CERTIFICATE"]  # certificates are made again
        again = update.replace("kind: ascii, size: 12", "kind: ascii, size: 13")
        await world.client().post(re.sub("predecessor: .*", f"predecessor: {digest}", again))
        last = await configured(world)
        assert re.fullmatch("[!-~]{13}", last["command"][2])  # of another size, so made again
        assert last["HEX"] == before["HEX"]

    on_cas(body)


def test_only_what_is_exported_is_shown_and_that_to_everybody(on_cas: On) -> None:
    async def body(world: World) -> None:
        await world.client().post(written())
        status, answer = await world.request("GET", "/v1/values/session=one", client=None)
        assert (status, sorted(answer["values"])) == (200, ["bytes", "ca"])
        status, value = await world.request("GET", "/v1/values/session=one,secret=bytes", client=None)
        assert (status, value) == (
            200,
            {"kind": "binary", "value": "fbff00fe", "expires": None, "renew": None},
        )
        status, value = await world.request("GET", "/v1/values/session=one,secret=ca", client="stranger")
        assert (status, value["kind"]) == (200, "x509-ca")
        shown = x509.load_pem_x509_certificate(value["value"].encode())
        assert (await configured(world))["CHAIN"].encode() == shown.public_bytes(serialization.Encoding.PEM)
        for path in (
            "session=one,secret=word",
            "session=one,secret=none",
            "session=two",
            "session=two,secret=a",
        ):
            status, answer = await world.request("GET", f"/v1/values/{path}", client=None)
            assert (status, answer["msg"][1]) == (
                404,
                "Secret does not exist or is not visible for a public client",
            )
        assert (await world.request("GET", "/v1/values/one", client=None))[0] == 400

    on_cas(body)


def test_an_empty_value_that_is_given_is_the_value(on_cas: On) -> None:
    async def body(world: World) -> None:
        text = f"""
name: one
version: "0.3"
services: [{{name: app, mrenclaves: [{APP}], command: run, environment: {{A: "[$$SCONE::a$$$$SCONE::b:hex$$]"}}}}]
secrets: [{{name: a, kind: ascii, value: ""}}, {{name: b, kind: binary, value: ""}}]
security: {{attestation: {{tolerate: [debug-mode]}}}}
"""
        await world.client().post(text)
        assert (await configured(world))["A"] == "[]"

    on_cas(body)


def test_given_keys_of_every_kind_make_certificates_or_are_refused(on_cas: On) -> None:
    kinds: dict[str, Any] = {
        "ed448": ed448.Ed448PrivateKey.generate(), "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "p521": ec.generate_private_key(ec.SECP521R1()), "x25519": x25519.X25519PrivateKey.generate(),
    }  # fmt: skip

    def text(name: str, *, issued: bool) -> str:
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        secrets: list[dict[str, str]] = [
            {"name": "k", "kind": "private-key", "value": kinds[name].private_bytes(*form).decode()},
            {"name": "c", "kind": "x509", "private_key": "k", "export_public": "true"},
        ]
        if issued:
            secrets += [
                {"name": "a", "kind": "private-key"},
                {"name": "ca", "kind": "x509-ca", "private_key": "a"},
            ]
            secrets[1]["issuer"] = "ca"
        return json.dumps({"name": f"{name}-{issued}", "version": "0.3.10", "secrets": secrets})

    async def body(world: World) -> None:
        for name in kinds:
            for issued in (False, True):
                status, answer = await world.request("POST", "/session", text(name, issued=issued))
                if name == "x25519" and not issued:
                    assert (status, "cannot sign" in answer["reason"]) == (400, True), answer
                    continue
                assert status == 201, answer
                path = f"/v1/values/session={name}-{issued},secret=c"
                pem = (await world.request("GET", path, client=None))[1]["value"]
                public = x509.load_pem_x509_certificate(pem.encode()).public_key()
                assert public == kinds[name].public_key()

    on_cas(body)


def test_an_enclave_that_is_not_the_services_gets_no_secret(on_cas: On) -> None:
    async def body(world: World) -> None:
        await world.client().post(written())
        word = (await configured(world))["command"][2]
        world.measured = "00" * 32
        with pytest.raises(NotAttested) as caught:
            await world.attested("one/app")
        assert word not in str(caught.value)
        assert base64.b64encode(word.encode()).decode() not in str(caught.value)

    on_cas(body)
