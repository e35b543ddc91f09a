"""A quote or a SIGSTRUCT in the text that it travels in: hex, base64, PEM, JSON, one a line."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from workflows.sgx.source import Malformed

_HEX = re.compile(rb"(0[xX])?([0-9a-fA-F]{2})+")
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s([A-Za-z0-9+/=\s]+)-----END \1-----")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_SHORTEST = 432  # a quote without its signature


def unwrap(data: bytes, known: Callable[[bytes], bool]) -> bytes | None:
    """The one `known` thing that is written in a text; None when there is none, Malformed for several."""
    inner = [_decoded(part) for part in _parts(data)]
    found = {one for one in inner if one is not None and len(one) >= _SHORTEST and known(one)}
    if len(found) > 1:
        raise Malformed(
            f"{len(found)} quotes or SIGSTRUCTs are written in the file",
            "Give each of them in a file of its own.",
        )
    whole = _decoded(data)
    if whole is not None and known(whole):  # over several lines, the first of which may look like it too
        return whole
    return found.pop() if found else None


def _parts(data: bytes) -> Iterator[bytes]:
    """What may be such a thing: the strings of a JSON document, or PEM blocks, or lines."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        blocks = [match[2] for match in _PEM.finditer(data)]
        yield from blocks or (line for line in data.splitlines() if len(line) >= _SHORTEST)
    else:
        yield from _strings(document)


def _strings(document: Any) -> Iterator[bytes]:
    open_ = [document]
    while open_:
        one = open_.pop()
        if isinstance(one, dict):
            open_ += one.values()
        elif isinstance(one, list):
            open_ += one
        elif isinstance(one, str) and one.isascii():
            yield one.encode()


def _decoded(data: bytes) -> bytes | None:
    """What is written in hex or base64."""
    text = b"".join(data.split()).strip(b"\"'")
    if _HEX.fullmatch(text):
        return bytes.fromhex(text[2 if text[1:2] in (b"x", b"X") else 0 :].decode())
    try:
        return base64.b64decode(_padded(text.translate(_URL_SAFE)), validate=True)
    except binascii.Error:
        return None


def _padded(text: bytes) -> bytes:
    """Base64 for addresses may come without its padding."""
    return text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4)
