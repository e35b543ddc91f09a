"""Who gets secrets: the runtime's own client, real quotes, real TLS. In exactly one case they are released."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.localnet.cas.cas_world import APP, KEY, OTHER, SECRET, TAG, World, session
from workflows.localnet.cas.attestation import report_data
from workflows.localnet.runtime.refusals import NotAttested
from workflows.scone.session import render
from workflows.scone.session_model import Attestation, Image, Mount, Volume
from workflows.sgx.pki import development_pki
from workflows.sgx.quote import Quoter

On = Callable[[Callable[[World], Awaitable[None]]], None]


def test_the_enclave_that_the_session_names_gets_its_service(on_cas: On) -> None:
    keys: dict[str, bytes] = {}

    async def body(world: World) -> None:
        given = await world.attested("one/app")
        assert given.command == ["python3", "/app/app.py", "a b"]
        assert given.environment == {"SECRET": SECRET}
        assert (given.pwd, given.fspf_path, given.fspf_key.hex(), given.fspf_tag) == (
            "/",
            "/fspf.pb",
            KEY,
            TAG,
        )
        assert [(v.name, v.path) for v in given.volumes] == [("in", "/iexec_in"), ("out", "/iexec_out")]
        keys.update({volume.name: volume.key for volume in given.volumes})
        world.measured = OTHER
        post = await world.attested("one/post")
        assert (post.fspf_path, [(v.name, v.key) for v in post.volumes]) == ("", [("out", keys["out"])])

    async def first(world: World) -> None:
        await world.client().post(render(session()))
        await body(world)

    on_cas(first)
    before = dict(keys)
    on_cas(body)  # CAS was restarted in between
    assert keys == before
    assert len(set(keys.values())) == 2


def test_a_volume_has_any_name_of_the_language(on_cas: On) -> None:
    """The folder in which its sealed file lies is called so."""
    name = "in.~-_" + "x" * 122

    async def body(world: World) -> None:
        one = session(volumes=(Volume(name), Volume("out")))
        image = Image("app-image", (Mount(name, "/iexec_in"),))
        await world.client().post(render(replace(one, images=(image, one.images[1]))))
        assert [volume.name for volume in (await world.attested("one/app")).volumes] == [name]

    on_cas(body)


def test_volume_keys_differ_between_sessions(on_cas: On) -> None:
    async def body(world: World) -> None:
        await world.client().post(render(session()))
        await world.client().post(render(session("two")))
        one, two = await world.attested("one/app"), await world.attested("two/app")
        assert not {v.key for v in one.volumes} & {v.key for v in two.volumes}

    on_cas(body)


async def refused(world: World, config_id: str, *parts: str) -> None:
    with pytest.raises(NotAttested) as caught:
        await world.attested(config_id)
    assert SECRET not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_every_other_enclave_session_and_service_is_refused_with_the_reason(on_cas: On) -> None:
    async def body(world: World) -> None:
        await world.client().post(render(session()))
        await refused(world, "one/post", "MRENCLAVE mismatch", f"expected {OTHER}", f"actual {APP}", '"post"')
        await refused(world, "two/app", 'session "two" not found')
        await refused(world, "one/nothing", 'no service "nothing"', "app, post")
        world.measured = OTHER
        await refused(world, "one/app", f"expected {APP}", f"actual {OTHER}")

    on_cas(body)


def test_who_shows_no_good_quote_learns_nothing_of_sessions(on_cas: On) -> None:
    async def body(world: World) -> None:
        await world.client().post(render(session()))
        for config_id in ("one/app", "one/none", "none/app"):
            answer = await world.by_hand(config_id, b"no quote")
            assert "does not verify" in answer["error"], answer

    on_cas(body)


def test_debug_mode_has_to_be_tolerated(on_cas: On) -> None:
    async def body(world: World) -> None:
        await world.client().post(render(session(attestation=Attestation())))
        await refused(world, "one/app", "debug mode", "does not tolerate")

    on_cas(body)


def test_a_quote_is_good_for_one_connection_one_session_and_one_root(on_cas: On, tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.client().post(render(session()))
        await world.client().post(render(session("two")))
        ours = Quoter(development_pki(world.folder / "keys"))
        foreign = Quoter(development_pki(tmp_path / "foreign"))
        kept: list[bytes] = []

        def made(
            quoter: Quoter = ours, config_id: str = "one/app", change: bytes | None = None
        ) -> Callable[[bytes, bytes], bytes]:
            def quote(nonce: bytes, certificate: bytes) -> bytes:
                data = report_data(change or nonce, config_id, certificate)
                kept.append(quoter.quote(APP, data))
                return kept[-1]

            return quote

        assert "ok" in await world.by_hand("one/app", made())
        refusals: list[tuple[Any, Any, str]] = [
            ("one/app", kept[0], "another connection"),  # replayed
            ("one/app", made(change=bytes(32)), "another connection"),  # stale nonce
            ("two/app", made(), "another connection"),  # made for another session
            ("one/app", made(foreign), "does not verify"),  # another root
            ("one/app", kept[0][:-1], "does not verify"),
            ("one/app", b"", "does not verify"),
            ("one/app", "no base64!", "not {config_id, quote}"),
            (["one/app"], kept[0], "not {config_id, quote}"),
            ("app", kept[0], "not <session>/<service>"),
        ]
        for config_id, quote, reason in refusals:
            answer = await world.by_hand(config_id, quote)
            assert list(answer) == ["error"]
            assert reason in answer["error"]
        for position in (48, 112, 368, 436, 500, 600):  # anything changed in it
            broken = bytearray(kept[0])
            broken[position] ^= 1
            assert "error" in await world.by_hand("one/app", bytes(broken))

    on_cas(body)


def test_an_enclave_that_trusts_another_root_does_not_talk_to_this_cas(on_cas: On, tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.client().post(render(session()))
        world.root.write_text(development_pki(tmp_path / "foreign").root_pem)
        await refused(world, "one/app", "certificate verify failed")

    on_cas(body)


def test_a_silent_or_broken_peer_does_not_keep_cas_from_stopping(on_cas: On) -> None:
    async def body(world: World) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", world.cas.enclave_port)
        writer.write(b"not TLS at all\n")
        context = ssl.create_default_context(cafile=str(world.root))
        await asyncio.open_connection("127.0.0.1", world.cas.enclave_port, ssl=context, server_hostname="cas")

    on_cas(body)
