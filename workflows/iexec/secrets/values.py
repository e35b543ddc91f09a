"""Values of secrets on their way in: read whole, checked in bytes, refused before anything is sent."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from workflows.core.failure import Missing
from workflows.core.text import invisible, plural
from workflows.iexec.secrets.kinds import Kind
from workflows.iexec.sms import check
from workflows.iexec.sms_answers import MAX_SIZE

_LINE_END = 2  # bytes at the end of a file that are not counted


def read(path: Path) -> str:
    """The text of a file without its line end. Missing: not to be read, not UTF-8, or of a size no SMS takes."""
    try:
        with path.expanduser().open("rb") as source:
            return take(source, str(path))
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror}", "check the path and its mode") from None


def take(source: BinaryIO, what: str) -> str:
    """The same of an open stream, which is read no further than a secret is long; `what` names it."""
    raw = source.read(MAX_SIZE + _LINE_END + 1)
    if len(raw) > MAX_SIZE + _LINE_END:  # not even by what its beginning ends with: the rest would be lost
        raise _size(what, f"more than {MAX_SIZE} bytes")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Missing(f"{what} is not UTF-8 text", "an SMS keeps text: encode it, in base64 say") from None
    count = len(text.encode())
    if not 0 < count <= MAX_SIZE:
        raise _size(what, f"more than {MAX_SIZE} bytes" if count else "nothing")
    if "\0" in text:
        raise Missing(
            f"{what} holds a zero byte, which no environment variable can",
            "an app gets its secrets in its environment: encode it, in base64 say", name="secret_zero_byte",
        )  # fmt: skip
    return text


def oddities(value: str) -> Iterator[str]:
    """What nobody sees in a value and may not have meant, as sentences; nothing of the value is in them."""
    mark = "\ufeff"
    if value.startswith(mark):
        yield "it begins with a byte order mark, which editors do not show"
    text = value.removeprefix(mark)
    lines = text.split("\n")
    if len(lines) > 1:
        yield f"it has {plural(len(lines), 'line')}"
    elif text != text.strip():
        yield "it begins or ends with blanks"
    if any(invisible(line) for line in lines):
        yield "it has characters that are not shown"


def checked(kind: Kind, value: str) -> str:
    """The value as it is sent; a dataset key is trimmed, as the SDK does. Missing, without the value, otherwise."""
    check(value)
    if kind.id == "dataset-key":
        value = value.strip()
        if not _is_key(value):
            raise Missing(
                "a dataset key is 32 bytes as base64, 44 characters",
                "give the key file that creamtea encrypt or iexec dataset encrypt made",
                name="bad_value",
            )
    if kind.id == "result-proxy-url" and urlsplit(value).scheme not in ("http", "https"):
        raise Missing(
            "this is not an http or https URL", "give the URL of the pool's result proxy", name="bad_value"
        )
    return value


def _size(what: str, held: str) -> Missing:
    return Missing(f"{what} holds {held}", f"a secret has 1 to {MAX_SIZE} bytes", name="secret_size")


def _is_key(value: str) -> bool:
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(raw) == 32 and base64.b64encode(raw).decode() == value
