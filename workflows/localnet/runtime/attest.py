"""Attestation: a quote from LAS, shown to CAS on the connection that the session comes back on.

LAS measures this container itself; all it takes from here is REPORTDATA. CAS sends a nonce first, and
REPORTDATA binds the quote to that nonce, to the session asked for and to CAS's certificate: a quote that
was seen elsewhere, or relayed by a false CAS, opens nothing.
"""

import base64
import hashlib
import json
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

from workflows.localnet.runtime.inject import Injected
from workflows.localnet.runtime.refusals import NotAttested
from workflows.localnet.runtime.volumes import Volume

CAS_PORT, LAS_PORT = 18765, 18766
PATIENCE = 60  # seconds for one answer: CAS may still be reading the chain
LONGEST = 4 << 20  # bytes of one line
_FOLDER = r"(?!\.\.?$)[A-Za-z0-9_.~-]{1,128}"


class Session(NamedTuple):
    """What CAS gives to an enclave that it recognises; `fspf_path` is empty when no files are protected."""

    command: "list[str]"
    environment: "dict[str, str]"
    pwd: str
    fspf_path: str
    fspf_key: bytes
    fspf_tag: str
    volumes: "list[Volume]"
    files: "list[Injected]"
    secrets: "dict[str, bytes]"


def report_data(nonce: bytes, config_id: str, certificate: bytes) -> bytes:
    """The 64 bytes that a quote must carry: SHA-256(nonce ‖ config id ‖ SHA-256(DER certificate)) ‖ zeros."""
    bound = nonce + config_id.encode() + hashlib.sha256(certificate).digest()
    return hashlib.sha256(bound).digest() + bytes(32)


def attest(config_id: str, cas: str, las: str, root: str) -> Session:
    """The session of `SESSION/SERVICE`; `cas` and `las` are `host` or `host:port`, `root` a PEM file."""
    if not re.fullmatch("[A-Za-z0-9_.~/-]{1,300}/[A-Za-z0-9_.~-]{1,128}", config_id):
        raise NotAttested(f"SCONE_CONFIG_ID={config_id!r} is not SESSION/SERVICE")
    host, port = _address(cas, CAS_PORT)
    try:
        context = ssl.create_default_context(cafile=root)
        plain = socket.create_connection((host, port), PATIENCE)
        with context.wrap_socket(plain, server_hostname=host) as channel, channel.makefile("rwb") as stream:
            nonce = _hex(_read(stream, "CAS"), "nonce", 32)
            certificate = channel.getpeercert(binary_form=True) or b""
            quote = _quote(las, report_data(nonce, config_id, certificate))
            _write(stream, {"config_id": config_id, "quote": quote})
            answer = _read(stream, "CAS")
    except (OSError, ValueError) as error:
        raise NotAttested(f"CAS {cas}: {_why(error)}") from None
    return _session(answer)


def _quote(las: str, data: bytes) -> str:
    try:
        address = _address(las, LAS_PORT)
        with socket.create_connection(address, PATIENCE) as channel, channel.makefile("rwb") as stream:
            _write(stream, {"report_data": data.hex()})
            quote = _read(stream, "LAS").get("quote")
    except (OSError, ValueError) as error:
        raise NotAttested(f"LAS {las}: {_why(error)}") from None
    if not isinstance(quote, str):
        raise NotAttested(f"LAS {las} answered without a quote")
    return quote


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _address(text: str, default: int) -> "tuple[str, int]":
    host, _, port = text.partition(":")
    if not host or (port and not re.fullmatch("[0-9]{1,5}", port)):
        raise NotAttested(f"{text!r} is not HOST or HOST:PORT")
    return host, int(port or default)


def _write(stream: "Any", message: "Mapping[str, str]") -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def _read(stream: "Any", name: str) -> "dict[str, Any]":
    line = stream.readline(LONGEST)
    if not line.endswith(b"\n"):
        raise NotAttested(f"{name} closed the connection without an answer")
    message = json.loads(line.decode())
    if not isinstance(message, dict):
        raise NotAttested(f"{name} answered nonsense")
    if "error" in message:
        why = "".join(letter for letter in str(message["error"])[:1000] if letter.isprintable())
        raise NotAttested(f"{name} refused: {why}")
    return message


def _hex(message: "Mapping[str, Any]", name: str, size: int) -> bytes:
    value = message.get(name)
    if not isinstance(value, str) or len(value) != 2 * size or not re.fullmatch("[0-9a-fA-F]*", value):
        raise NotAttested(f"CAS answered without a proper {name}")
    return bytes.fromhex(value)


def _session(answer: "Mapping[str, Any]") -> Session:
    given = answer.get("ok")
    if not isinstance(given, dict):
        raise NotAttested("CAS answered without a session")
    command, environment = given.get("command"), given.get("environment")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise NotAttested("the session has no command")
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise NotAttested("the session's environment is not made of texts")
    secrets = given.get("secrets") or {}
    if not isinstance(secrets, dict):
        raise NotAttested("the session's secrets are not named")
    path = given.get("fspf_path") or ""
    return Session(
        command,
        environment,
        _path(given.get("pwd") or "/"),
        _path(path) if path else "",
        _hex(given, "fspf_key", 32) if path else b"",
        _hex(given, "fspf_tag", 16).hex() if path else "",
        [_volume(volume) for volume in given.get("volumes") or []],
        [_injected(file) for file in given.get("files") or []],
        {name: _bytes(value) for name, value in secrets.items()},
    )


def _volume(given: "Any") -> Volume:
    if not isinstance(given, dict) or not re.fullmatch(_FOLDER, str(given.get("name"))):
        raise NotAttested("a volume of the session has no proper name")
    return Volume(given["name"], _path(given.get("path")), _hex(given, "key", 32))


def _injected(given: "Any") -> Injected:
    if not isinstance(given, dict) or not isinstance(given.get("mode"), int) or given["mode"] & ~0o777:
        raise NotAttested("an injection file of the session has no proper mode")
    content = given.get("content")
    return Injected(_path(given.get("path")), given["mode"], None if content is None else _bytes(content))


def _bytes(given: "Any") -> bytes:
    try:
        return base64.b64decode(given, validate=True)
    except (TypeError, ValueError):
        raise NotAttested("a secret of the session is not in base64") from None


def _path(given: "Any") -> str:
    if not isinstance(given, str) or not given.startswith("/") or ".." in given.split("/") or "\0" in given:
        raise NotAttested(f"the session names {given!r}, which is not an absolute path")
    return given
