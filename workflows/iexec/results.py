"""Results of tasks: which kind of archive it is, decrypted for the beneficiary, unpacked.

Three generations of encrypted archives exist (iexec post-compute; SDK `result-utils`): the current one and
two older ones that are still read, with a warning, and never made.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from zipfile import BadZipFile, ZipFile

from workflows.core.failure import Failed, Missing
from workflows.core.step import Cancel
from workflows.core.text import size as human
from workflows.iexec.archive import Limits, is_zip, opened, refused, unpack
from workflows.iexec.dataset import refused as not_decrypted
from workflows.iexec.dataset import unpadded
from workflows.iexec.streams import CHUNK, Tell, scratch, trouble

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.ciphers import CipherContext

Kind = Literal["plain", "v9", "v5", "v4"]
"""`v9`: AES-256-CBC, raw. `v5`: AES-128-ECB in base64 (SDK 5 to 7). `v4`: RSA-OAEP (SDK 3 and 4)."""

_NAMES: dict[Kind, tuple[str, str]] = {
    "v9": ("aes-key.rsa", "iexec_out.zip.aes"),
    "v4": ("iexec_out/encrypted_key", "iexec_out/result.zip.aes"),
}
_KEY_LIMIT = 1000
PAYLOAD_LIMIT = 1_000_000_000
_LEGACY = {
    "v5": "This result was encrypted by an old post-compute (AES-128-ECB, equal blocks show): it is weak.",
    "v4": "This result was encrypted in the format of SDK 3 and 4, which no current worker makes.",
}


@dataclass(frozen=True)
class Result:
    """An opened result: `files` are relative POSIX paths below `folder`, `warnings` are for the user."""

    kind: Kind
    folder: Path
    files: tuple[str, ...]
    size: int
    warnings: tuple[str, ...] = ()


def kind(path: Path) -> Kind | None:
    """What kind of result archive a file is, told by its content; None when it is no zip (a dataset, say)."""
    if not is_zip(path):
        return None
    with opened(path) as archive:
        names = set(archive.namelist())
        if set(_NAMES["v4"]) <= names:
            return "v4"
        if not set(_NAMES["v9"]) <= names:
            return "plain"
        return "v5" if _is_base64(_entry(archive, _NAMES["v9"][0])) else "v9"


def extract(
    path: Path,
    folder: Path,
    key: RSAPrivateKey | None = None,
    limits: Limits | None = None,
    progress: Tell | None = None,
    cancel: Cancel | None = None,
) -> Result:
    """Open a result archive into a new folder, decrypting it when it is encrypted.

    Missing without the key that an encrypted one needs. A wrong key, a changed archive and a bad padding are
    one and the same Failed; nothing is left then.
    """
    found = kind(path)
    if found is None:
        raise Failed(
            f"{path} is not a zip archive, so not a result", "Download the result again.", name="bad_archive"
        )
    if found == "plain":
        plain = unpack(path, folder, limits, progress, cancel)
        return Result("plain", plain.folder, plain.files, plain.size)
    if key is None:
        raise Missing(
            f"{path} is encrypted for its beneficiary",
            "Give the beneficiary's private key with --key-file (…/<0xaddress>_key).",
            name="key_needed",
        )
    with trouble(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch(folder.parent) as inner:
            with opened(path) as archive:
                _decrypt(archive, found, key, inner, cancel)
            _check_inner(inner)
            files = unpack(inner, folder, limits, progress, cancel)
    warnings = (_LEGACY[found],) if found in _LEGACY else ()
    return Result(found, files.folder, files.files, files.size, warnings)


def _decrypt(
    archive: ZipFile, found: Kind, key: RSAPrivateKey, target: BinaryIO, cancel: Cancel | None
) -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key_name, payload_name = _NAMES["v4" if found == "v4" else "v9"]
    secret = _session_key(_entry(archive, key_name), found, key)
    pieces = _pieces(archive, payload_name, cancel)
    if len(secret) == 16:
        pieces = _from_base64(pieces)
        context: CipherContext = Cipher(algorithms.AES(secret), modes.ECB()).decryptor()  # noqa: S305 - as was made
    else:
        iv, pieces = _split(pieces, 16)
        context = Cipher(algorithms.AES(secret), modes.CBC(iv)).decryptor()
    held, count = b"", 0
    for piece in pieces:
        count += len(piece)
        plain = held + context.update(piece)
        target.write(plain[:-16])
        held = plain[-16:]
    if count == 0 or count % 16 or len(held) != 16:
        raise not_decrypted()
    target.write(unpadded(held))
    target.seek(0)


def _session_key(coded: bytes, found: Kind, key: RSAPrivateKey) -> bytes:
    """The AES key of an archive. OpenSSL answers a bad RSA padding with random bytes: they fail below."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    scheme: Any = padding.PKCS1v15()
    if found == "v4":
        scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 - Node's default
    try:
        if found == "v5":
            coded = _unbase64(coded)
        secret = key.decrypt(coded, scheme)
        if found == "v5":
            secret = _unbase64(secret)
    except (ValueError, binascii.Error):
        raise not_decrypted() from None
    if len(secret) != (16 if found == "v5" else 32):
        raise not_decrypted()
    return secret


def _entry(archive: ZipFile, name: str) -> bytes:
    """The whole of a small entry."""
    _once(archive, name)
    with archive.open(name) as file:
        data = file.read(_KEY_LIMIT + 1)
    if len(data) > _KEY_LIMIT:
        raise refused(f"{name} is too large", "archive_too_large")
    return data


def _pieces(archive: ZipFile, name: str, cancel: Cancel | None) -> Iterator[bytes]:
    """The bytes of the payload, in chunks, up to what the SDK accepts."""
    _once(archive, name)
    done = 0
    with archive.open(name) as file:
        while chunk := file.read(CHUNK):
            if cancel is not None:
                cancel.check()
            done += len(chunk)
            if done > PAYLOAD_LIMIT:
                raise refused(f"its payload is larger than {human(PAYLOAD_LIMIT)}", "archive_too_large")
            yield chunk


def _once(archive: ZipFile, name: str) -> None:
    infos = [info for info in archive.infolist() if info.filename == name]
    if len(infos) != 1 or infos[0].flag_bits & 0x1 or infos[0].compress_type not in (0, 8):
        raise refused(f"{name} is there twice, or packed in an unusual way")


def _split(pieces: Iterator[bytes], count: int) -> tuple[bytes, Iterator[bytes]]:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= count:
            return head[:count], _chain(head[count:], pieces)
    raise not_decrypted()


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _from_base64(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    try:
        for piece in pieces:
            text = rest + b"".join(piece.split())
            whole = len(text) // 4 * 4
            rest = text[whole:]
            yield base64.b64decode(text[:whole], validate=True)
        yield base64.b64decode(rest, validate=True)
    except (ValueError, binascii.Error):
        raise not_decrypted() from None


def _unbase64(text: bytes) -> bytes:
    return base64.b64decode(b"".join(text.split()), validate=True)


def _is_base64(data: bytes) -> bool:
    with contextlib.suppress(ValueError, binascii.Error):
        return bool(_unbase64(data))
    return False


def _check_inner(file: BinaryIO) -> None:
    """What came out must be a zip: with a wrong key even a padding may fit by chance."""
    try:
        ZipFile(file).close()
    except (BadZipFile, ValueError, OSError, NotImplementedError):
        raise not_decrypted() from None
    file.seek(0)
