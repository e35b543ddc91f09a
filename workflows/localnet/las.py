"""LAS, the local attestation service: measures the container that asks, and quotes what it measured.

It believes nothing that the launcher claims: all it takes from there is REPORTDATA. The peer's address names
the container, the engine tells its environment and gives the bytes of runtime and interpreter, and MRENCLAVE
is computed from those.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from workflows.core.text import clean
from workflows.localnet.runtime.base import interpreter_name
from workflows.localnet.runtime.layout import Settings, measure, settings_from_env
from workflows.localnet.runtime.refusals import BadSetting

if TYPE_CHECKING:
    from workflows.containers.engine import Engine

log = logging.getLogger(__name__)

ARCHIVE = "/usr/local/bin/scone"
BASE = "/etc/scone-simulated/base.json"
_REPORT_DATA = re.compile(r"[0-9a-fA-F]{128}")
_MAX_LINE = 4096
_PATIENCE = 30.0
_MOST_CACHED = 64


class NotMeasured(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The peer is no container that can be measured; the text says why."""


@dataclass(frozen=True)
class Measured:
    """What the engine showed of a container. `mrenclave` 64 hex; `interpreter` as in base.json."""

    mrenclave: str
    container: str
    interpreter: str


class Running(Protocol):
    """A running container as the engine sees it (`workflows.containers.container.Container` is one)."""

    id: str

    def inspect(self) -> dict[str, Any]:
        """The engine's record: Path, Args, Config.Env (the image's and the container's, merged)."""
        ...

    def read(self, path: str) -> bytes:
        """One file, links followed inside the container. FileNotFoundError."""
        ...


class Measurer:
    """`find(ip)` gives the running container at an address of the task network, None when there is none.

    The files are read each time, so that a container that was changed after its start is seen; only the
    hashing of the pages is remembered, by content and settings.
    """

    def __init__(self, find: Callable[[str], Running | None]) -> None:
        self._find = find
        self._known: dict[tuple[Settings, tuple[bytes, ...]], str] = {}
        self._lock = threading.Lock()

    def __call__(self, peer_ip: str) -> Measured:
        """Measure the container at this address. NotMeasured: there is none, or it is no stand-in. Blocks."""
        container = self._find(peer_ip)
        if container is None:
            raise NotMeasured("no container of this network has the peer's address")
        record = container.inspect()
        environment = _environment(record)
        name, paths = _interpreter(container, record)
        parts = [_read(container, path) for path in paths]
        try:
            settings = settings_from_env(environment)
        except BadSetting as error:
            raise NotMeasured(str(error)) from None
        return Measured(self._measure(settings, parts), container.id, name)

    def _measure(self, settings: Settings, parts: Sequence[bytes]) -> str:
        key = (settings, tuple(hashlib.sha256(part).digest() for part in parts))
        with self._lock:
            if key in self._known:
                return self._known[key]
        value = measure(settings, parts)
        with self._lock:
            while len(self._known) >= _MOST_CACHED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = value
        return value


def peers(engine: Engine, network: str) -> Callable[[str], Running | None]:
    """What a `Measurer` finds containers with: the running container at an address of an engine network."""

    def find(ip: str) -> Running | None:
        from workflows.containers.container import Container, speaking

        with speaking("the containers of the task network cannot be listed"):
            records = engine.api.containers(filters={"network": network})
        for record in records:
            joined = (record.get("NetworkSettings") or {}).get("Networks") or {}
            if ip and (joined.get(network) or {}).get("IPAddress") == ip:
                return Container(engine.api, str(record["Id"]))
        return None

    return find


class Las:
    """Answers one request a connection. `quote(mrenclave, report_data)` signs with LAS's attestation key."""

    def __init__(self, inspect: Callable[[str], Measured], quote: Callable[[str, bytes], bytes]) -> None:
        self._inspect = inspect
        self._quote = quote

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer_ip: str) -> None:
        """A relay route: one JSON line in, one out, closed."""
        try:
            line = await asyncio.wait_for(reader.readline(), _PATIENCE)
            answer = await asyncio.to_thread(self._answer, line, peer_ip)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, asyncio.TimeoutError):
            log.info("a connection to LAS ended early")
        finally:
            writer.close()

    def _answer(self, line: bytes, peer_ip: str) -> dict[str, str]:
        try:
            wanted = json.loads(line)["report_data"] if len(line) <= _MAX_LINE else None
        except (ValueError, LookupError, TypeError, RecursionError):
            wanted = None
        if not isinstance(wanted, str) or not _REPORT_DATA.fullmatch(wanted):
            return {"error": "the request is not {report_data: 128 hex digits}"}
        try:
            measured = self._inspect(peer_ip)
            quote = self._quote(measured.mrenclave, bytes.fromhex(wanted))
        except NotMeasured as error:
            log.warning("no quote for %s: %s", peer_ip, error)
            return {"error": str(error)}
        except Exception as error:  # the engine did not answer; the launcher must hear so instead of waiting
            log.warning("no quote for %s: %s", peer_ip, type(error).__name__)
            return {"error": f"the container could not be measured: {type(error).__name__}"}
        log.info("quoted %s for container %.12s", measured.mrenclave, measured.container)
        return {"quote": base64.b64encode(quote).decode()}


def _environment(record: Mapping[str, Any]) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in (record.get("Config") or {}).get("Env") or [])
    return {name: value for name, _, value in pairs if name.startswith("SCONE_")}


def _interpreter(container: Running, record: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Which interpreter the engine started, and the files of its enclave, in the order of the layout."""
    try:
        known = json.loads(_read(container, BASE))["interpreters"]
        words = [str(record.get("Path") or ""), *map(str, record.get("Args") or [])]
        named = (interpreter_name(token) for word in words for token in word.split())
        name = next((name for name in named if name in known), None)
        if name is None and len(known) == 1:  # started by a script
            name = next(iter(known))
        if name is None:
            raise NotMeasured(
                f"{clean(words[0])[:80]!r} is no interpreter of this image; it has {', '.join(sorted(known))}"
            )
        paths = [ARCHIVE, str(known[name]["path"]), *sorted(map(str, known[name]["libraries"]))]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NotMeasured(f"{BASE} of the container cannot be understood") from None
    return name, paths


def _read(container: Running, path: str) -> bytes:
    try:
        return container.read(path)
    except FileNotFoundError:
        raise NotMeasured(
            f"the container has no {clean(path)[:200]}: it is not of a stand-in image"
        ) from None
