"""Secrets and volumes that one session exports to another: who gets them, and who does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.localnet.cas.cas_world import APP, World
from workflows.localnet.runtime.refusals import NotAttested

On = Callable[[Callable[[World], Awaitable[None]]], None]

HEAD = f"""version: "0.3.10"
security: {{attestation: {{tolerate: [debug-mode]}}}}
services: [{{name: app, image_name: i, command: run, mrenclaves: [{APP}], environment: {{SEEN: "SHOWN"}}}}]
"""


def session(name: str, shown: str = "", more: str = "", predecessor: str = "") -> str:
    """A session whose app sees what `shown` stands for."""
    before = f"predecessor: {predecessor}\n" if predecessor else ""
    return f"name: {name}\n{before}" + HEAD.replace("SHOWN", shown) + (more or "images: [{name: i}]\n")


def word(export: str = "", value: str = "shared-word") -> str:
    return f"images: [{{name: i}}]\nsecrets: [{{name: word, kind: ascii, value: {value}{export}}}]\n"


def taking(origin: str, more: str = "", kind: str = "") -> str:
    source = f"{{session: {origin}, secret: word{more}}}"
    return f"images: [{{name: i}}]\nsecrets: [{{name: mine, {kind}import: {source}}}]\n"


async def post(world: World, text: str, client: str = "sms") -> str:
    status, answer = await world.request("POST", "/session", text, client)
    assert status == 201, answer
    digest: str = answer["hash"]
    return digest


async def seen(world: World, name: str) -> str:
    environment = (await world.attested(f"{name}/app")).environment
    return environment["SEEN"]


async def refusal(world: World, name: str) -> str:
    with pytest.raises(NotAttested) as caught:
        await world.attested(f"{name}/app")
    assert "shared-word" not in str(caught.value)
    return str(caught.value)


def test_redis_and_flask_of_scones_tutorial_share_certificates(on_cas: On) -> None:
    """https://sconedocs.github.io/flask_demo/: sessions that name each other, old formats, kinds left out."""
    redis = """secrets:
  - {name: redis_key, kind: private-key}
  - {name: redis, kind: x509, private_key: redis_key, issuer: redis_ca_cert, dns: [redis]}
  - {name: redis_client_key, kind: private-key, export: [{session: flask}]}
  - name: redis_client_cert
    kind: x509
    issuer: redis_ca_cert
    private_key: redis_client_key
    export:
    - session: flask
  - {name: redis_ca_key, kind: private-key}
  - {name: redis_ca_cert, kind: x509-ca, private_key: redis_ca_key, export: [{session: flask}]}
images: [{name: i}]
"""
    flask = """secrets:
  - {name: redis_client_key, import: {session: redis, secret: redis_client_key}}
  - {name: redis_client_cert, import: {session: redis, secret: redis_client_cert}}
  - {name: redis_ca_cert, import: {session: redis, secret: redis_ca_cert}}
images:
  - name: i
    injection_files:
      - {path: /tls/redis-ca.crt, content: $$SCONE::redis_ca_cert.chain$$}
      - {path: /tls/client.crt, content: $$SCONE::redis_client_cert.crt$$}
      - {path: /tls/client.key, content: $$SCONE::redis_client_cert.key$$}
      - {path: /tls/chain.crt, content: "$$SCONE::redis_client_cert:chain$$"}
      - {path: /tls/same.key, content: $$SCONE::redis_client_key$$}
"""

    async def body(world: World) -> None:
        await post(world, session("flask", more=flask), "flask-owner")
        assert 'session "redis", which is not there' in await refusal(world, "flask")
        await post(world, session("redis", more=redis), "redis-owner")
        authority, certificate, key, chain, same = [
            file.content or b"" for file in (await world.attested("flask/app")).files
        ]
        issuer, leaf = map(x509.load_pem_x509_certificate, (authority, certificate))
        leaf.verify_directly_issued_by(issuer)
        spki = [
            each.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for each in (leaf.public_key(), load_pem_private_key(key, None).public_key())
        ]
        assert spki[0] == spki[1]
        assert (same, chain) == (key, authority)

    on_cas(body)


def test_only_who_is_named_gets_it(on_cas: On) -> None:
    async def body(world: World) -> None:
        digest = await post(world, session("named", "$$SCONE::mine$$", taking("origin")))
        await post(world, session("named/inner", "$$SCONE::mine$$", taking("origin")))
        await post(world, session("other", "$$SCONE::mine$$", taking("origin")))
        old = ""
        for export, got in (
            ("", []),
            (", export_public: true", []),
            (", export: {session: named}", ["named"]),
            (", export: [{session: other}, {session: named}]", ["named", "other"]),
            (f", export: {{session: named, session_hash: {digest}}}", ["named"]),
            (f", export: {{session: named, session_hash: {'0' * 64}}}", []),
            (", export: {namespace: named}", ["named", "named/inner"]),
            (", export: {session: ./named}", []),
            (", export: {session: ../named}", ["named"]),
        ):
            old = await post(world, session("origin", more=word(export), predecessor=old))
            for name in ("named", "named/inner", "other"):
                if name in got:
                    assert await seen(world, name) == "shared-word", (export, name)
                else:
                    assert f'does not export secret "word" to session "{name}"' in await refusal(
                        world, name
                    ), export

    on_cas(body)


def test_who_imports_may_insist_on_a_version_and_a_kind(on_cas: On) -> None:
    async def body(world: World) -> None:
        shared = word(", export: [{namespace: a}]")
        digest = await post(world, session("origin", more=shared))
        await post(world, session("a"))
        for name, origin, more, kind, reason in (
            ("hash", "origin", f", session_hash: {digest}", "", None),
            ("stale", "origin", f", session_hash: {'0' * 64}", "", "which is not at the hash"),
            ("kind", "origin", "", "kind: ascii, ", None),
            ("key", "origin", "", "kind: private-key, ", "is of kind ascii, not private-key"),
            ("up", "../../origin", "", "", None),
            ("absent", "origin", "", "", 'does not export secret "wort"'),
            ("certificate", "origin", "", "kind: x509, ", "is of kind ascii, not x509"),
        ):
            text = session(f"a/{name}", "$$SCONE::mine$$", taking(origin, more, kind))
            await post(world, text.replace("secret: word", "secret: wort") if name == "absent" else text)
            if reason is None:
                assert await seen(world, f"a/{name}") == "shared-word"
            else:
                assert reason in await refusal(world, f"a/{name}")
        await post(world, session("origin", more=shared + "salt: " + "1" * 32 + "\n", predecessor=digest))
        assert "which is not at the hash" in await refusal(world, "a/hash")
        assert await seen(world, "a/kind") == "shared-word"

    on_cas(body)


def test_a_format_that_turns_out_not_to_be_there_is_refused_at_attestation(on_cas: On) -> None:
    made = """images: [{name: i}]
secrets:
  - {name: raw, kind: binary, value: 00FF, export: {namespace: n}}
  - {name: key, kind: private-key}
  - {name: crt, kind: x509, private_key: key, export: {namespace: n}}
"""

    async def body(world: World) -> None:
        await post(world, session("origin", more=made))
        await post(world, session("n"))
        for name, secret, form, reason in (
            ("hex", "raw", ":hex", None),
            ("bytes", "raw", "", "holds bytes"),
            ("form", "raw", ":pem", "has no format 'pem'"),
            ("key", "crt", ":privatekey", "has no format 'privatekey'"),
            ("old", "crt", ".key", "has no format"),
        ):
            more = taking("origin").replace("secret: word", f"secret: {secret}")
            await post(world, session(f"n/{name}", f"$$SCONE::mine{form}$$", more))
            if reason is None:
                assert await seen(world, f"n/{name}") == "00ff"
            else:
                assert reason in await refusal(world, f"n/{name}")

    on_cas(body)


def test_an_imported_value_is_nobodys_to_read(on_cas: On) -> None:
    async def body(world: World) -> None:
        await post(world, session("origin", more=word(", export: {session: named}")))
        text = session("named", "$$SCONE::mine$$", taking("origin"))
        await post(world, text)
        assert (await world.request("GET", "/v1/sessions/named"))[1]["session"] == text
        for path in ("session=named", "session=named,secret=mine", "session=origin,secret=word"):
            status, answer = await world.request("GET", f"/v1/values/{path}", client=None)
            assert (status, "shared-word" in str(answer)) == (404, False)

    on_cas(body)


def test_volumes_are_shared_by_their_name_or_alias(on_cas: On) -> None:
    def giving(export: str) -> str:
        return f"images: [{{name: i, volumes: [{{name: v, path: /v}}]}}]\nvolumes: [{{name: v{export}}}]\n"

    def having(volume: str, more: str = "") -> str:
        return (
            "images: [{name: i, volumes: [{name: theirs, path: /w}]}]\n"
            f"volumes: [{{name: theirs, import: {{session: origin, volume: {volume}{more}}}}}]\n"
        )

    async def key(world: World, name: str) -> Any:
        return (await world.attested(f"{name}/app")).volumes[0].key

    async def body(world: World) -> None:
        await post(world, session("plain", more=having("v")))
        await post(world, session("alias", more=having("output")))
        old = ""
        for export, got in (
            ("", []),
            (", export: {session: plain}", ["plain"]),
            (
                ", export: [{session: plain}, {to: {session: alias}, volume_alias: output}]",
                ["plain", "alias"],
            ),
            (", export: {to: {session: plain}, volume_alias: output}", []),
        ):
            old = await post(world, session("origin", more=giving(export), predecessor=old))
            for name in ("plain", "alias"):
                if name in got:
                    volume = (await world.attested(f"{name}/app")).volumes[0]
                    assert (volume.name, volume.path, volume.key) == (
                        "theirs",
                        "/w",
                        await key(world, "origin"),
                    )
                else:
                    assert f'to session "{name}"' in await refusal(world, name)

    on_cas(body)
