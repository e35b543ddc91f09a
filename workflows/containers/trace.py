"""BuildKit's status messages: `moby.buildkit.trace` (protobuf) brought to the form of buildx's rawjson.

Field numbers: moby/buildkit api/services/control/control.proto, StatusResponse. Only what a progress
display needs is decoded; anything malformed is left out, never an exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

Field = tuple[int, int | bytes]
Status = dict[str, list[dict[str, Any]]]


def decode(message: bytes) -> Status:
    """The four lists of a StatusResponse; keys and shapes as in rawjson, except that log data are bytes."""
    status: Status = {"vertexes": [], "statuses": [], "logs": [], "warnings": []}
    for number, value in fields(message):
        if isinstance(value, bytes) and number in _LISTS:
            name, shape = _LISTS[number]
            status[name].append(_record(value, shape))
    return status


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a protobuf message: varints as int, length-delimited ones as bytes; ends at garbage."""
    at, size = 0, len(message)
    while at < size:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(message, at)
            if at <= size:
                yield key >> 3, number
        elif kind == 2:
            length, at = _varint(message, at)
            if at + length > size:
                return
            yield key >> 3, message[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint and where it ends; past the end of the data when it is cut or longer than 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    return 0, len(data) + 1


def _time(message: bytes) -> str | None:
    """A google.protobuf.Timestamp as ISO 8601."""
    parts = {number: value for number, value in fields(message) if isinstance(value, int)}
    try:
        moment = datetime.fromtimestamp(parts.get(1, 0), timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{parts.get(2, 0) % 10**9:09d}Z"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


_SHAPES: dict[str, dict[int, tuple[str, Any]]] = {
    "vertex": {
        1: ("digest", _text), 3: ("name", _text), 4: ("cached", bool), 5: ("started", _time),
        6: ("completed", _time), 7: ("error", _text),
    },
    "status": {1: ("id", _text), 2: ("vertex", _text), 4: ("current", int), 5: ("total", int)},
    "log": {1: ("vertex", _text), 3: ("stream", int), 4: ("data", bytes)},
    "warning": {1: ("vertex", _text), 3: ("short", bytes), 5: ("url", _text)},
}  # fmt: skip
_LISTS = {
    1: ("vertexes", "vertex"),
    2: ("statuses", "status"),
    3: ("logs", "log"),
    4: ("warnings", "warning"),
}


def _record(message: bytes, shape: str) -> dict[str, Any]:
    known = _SHAPES[shape]
    record: dict[str, Any] = {}
    for number, value in fields(message):
        if number in known:
            name, convert = known[number]
            if isinstance(value, int) == (convert in (int, bool)):
                record[name] = convert(value)
    return record
