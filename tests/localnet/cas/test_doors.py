"""Both doors of CAS against nonsense: an answer that says so, no server error, and CAS serves on."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.localnet.cas.cas_world import APP, World, session
from tests.localnet.cas.test_secrets import written
from workflows.localnet.cas import tls
from workflows.scone.session import render
from workflows.sgx.pki import development_pki
from workflows.sgx.quote import Quoter

On = Callable[[Callable[[World], Awaitable[None]]], None]

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.just("one/app"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
requests = st.binary(max_size=200) | st.builds(
    lambda fields: json.dumps(fields).encode(),
    st.fixed_dictionaries({}, optional={"config_id": _values, "quote": _values, "more": _values}),
)
texts = st.sampled_from([written(), render(session("doors"))])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A session with a few bytes or lines of it changed."""
    data = bytearray(draw(texts).encode())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 40))] = draw(st.binary(max_size=12))
    return bytes(data)


def _fuzz(strategy: st.SearchStrategy[list[Any]]) -> list[list[Any]]:
    """Examples of a strategy, collected so that one server may serve them all."""
    found: list[list[Any]] = []

    @given(strategy)
    @settings(max_examples=60, database=None, suppress_health_check=list(HealthCheck), deadline=None)
    def collect(example: list[Any]) -> None:
        found.append(example)

    collect()
    return found


def test_nonsense_at_the_enclaves_door_gets_an_error_and_nothing_else(on_cas: On) -> None:
    examples = [each for several in _fuzz(st.lists(requests, max_size=3)) for each in several]

    async def body(world: World) -> None:
        await world.client().post(render(session()))
        quote = Quoter(development_pki(world.folder / "keys")).quote(APP, bytes(64))
        context = ssl.create_default_context(cafile=str(world.root))
        examples.extend([b"", b"\n", b"[" * 5000, b"x" * (1 << 19), b"{}", b"\xff\n", quote])
        for request in examples:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", world.cas.enclave_port, ssl=context, server_hostname="cas"
            )
            await reader.readline()
            writer.write(request.replace(b"\n", b" ") + b"\n")
            try:
                answer = await asyncio.wait_for(reader.readline(), 20)
            except (ConnectionError, ssl.SSLError):
                answer = b""
            finally:
                writer.close()
            if answer:  # a line that is longer than CAS reads ends the connection
                told = json.loads(answer)
                assert list(told) == ["error"], request
                assert "internal" not in told["error"], request
            else:
                assert len(request) > 1 << 18
        assert (await world.attested("one/app")).command[0] == "python3"

    on_cas(body)


def test_nonsense_at_the_clients_door_is_refused_by_name(on_cas: On) -> None:
    paths = st.text(st.characters(codec="ascii", exclude_characters="#?\r\n"), max_size=20)
    calls = st.tuples(st.just("POST"), st.just("/session"), bodies()) | st.tuples(
        st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
        paths.map("/v1/sessions/{}".format) | paths.map("/v1/values/{}".format) | paths.map("/{}".format),
        st.binary(max_size=40),
    )
    examples = [each for several in _fuzz(st.lists(calls, max_size=3)) for each in several]

    async def body(world: World) -> None:
        await world.client().post(render(session()))
        context = tls.client_context(world.cas.client("sms"), world.root.read_text())
        async with aiohttp.ClientSession() as http:
            for method, path, data in [*examples, ("POST", "/session", b"x" * (1 << 21))]:
                async with http.request(method, world.cas.url + path, data=data, ssl=context) as answer:
                    assert answer.status < 500, (method, path, data)
                    if answer.status == 400 and path == "/session":
                        assert (await answer.json())["line"] >= 1
        assert (await world.attested("one/app")).command[0] == "python3"

    on_cas(body)
