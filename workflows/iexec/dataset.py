"""Dataset encryption as the iExec pre-compute reads it: IV(16) ‖ AES-256-CBC/PKCS#7 (iexec SDK ≥ 6).

CBC has no integrity of its own: the checksum on chain is what protects a dataset, so it is checked
before a byte of plaintext is released.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from workflows.core.failure import Failed, Missing
from workflows.core.files import create_private
from workflows.core.step import Cancel
from workflows.iexec.streams import CHUNK, Tell, reading, replacing, trouble

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

KEY_SIZE = 32
BLOCK = 16
SALTED = b"Salted__"
LEGACY_ROUNDS = 10_000
LEGACY_WARNING = (
    "This is the format of the SDK before 6.0 (openssl, salted): nothing accepts it any more. "
    "Encrypt the data again before you deploy it."
)
UNCHECKED_WARNING = (
    "No checksum was given, so changed bytes would not have been noticed: "
    "compare with the checksum of the dataset on chain."
)


@dataclass(frozen=True)
class Encrypted:
    """An encrypted dataset: `checksum` is 0x-hex SHA-256 of the file as it lies there, `size` its bytes."""

    checksum: str
    size: int


@dataclass(frozen=True)
class Decrypted:
    """A decrypted dataset of `size` bytes; `warnings` are sentences for the user."""

    size: int
    form: Literal["aes-256-cbc", "openssl-salted"]
    warnings: tuple[str, ...] = ()


def new_key() -> bytes:
    """32 random bytes."""
    return os.urandom(KEY_SIZE)


def key_text(key: bytes) -> str:
    """A key as it is stored and pushed to the SMS: base64, 44 characters."""
    return base64.b64encode(_sized(key)).decode()


def ensure_key(path: Path) -> bytes:
    """The key of a key file; the file is made, mode 0600, unless it exists. It is never overwritten."""
    with trouble(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = new_key()
        try:
            create_private(path, key_text(key) + "\n")
        except FileExistsError:
            return read_key(path)
    return key


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file (base64 text). Missing when it is anything else."""
    with reading(path) as (file, _):
        text = file.read(1024).strip()
    try:
        key = base64.b64decode(text, validate=True)
        if len(key) != KEY_SIZE or base64.b64encode(key) != text:
            raise ValueError
    except (binascii.Error, ValueError):
        raise Missing(
            f"{path} is not a dataset key: it must hold 32 bytes as base64, 44 characters",
            "Give another --key-file; one that does not exist yet is made for you.",
            name="bad_key_file",
        ) from None
    return key


def exposed(path: Path) -> str | None:
    """A warning when other users may read a key file (the official tools set no mode), else None."""
    if path.stat().st_mode & 0o077:
        return f"{path} can be read by other users of this machine: chmod 600 {path}"
    return None


def checksum(path: Path, progress: Tell | None = None, cancel: Cancel | None = None) -> str:
    """The checksum that goes on chain: 0x-hex SHA-256 of a file."""
    with trouble(path), reading(path) as (file, size):
        return "0x" + _digest(file, lambda done: progress and progress(done, size), cancel)


def encrypt(
    source: Path, target: Path, key: bytes, progress: Tell | None = None, cancel: Cancel | None = None
) -> Encrypted:
    """Encrypt one file of any size in chunks of 1 MiB, hashed on the way.

    `target` appears, mode 0600, when all is written; cancelled or failed, nothing is left of it.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    _differ(source, target)
    iv = os.urandom(BLOCK)
    context = Cipher(algorithms.AES(_sized(key)), modes.CBC(iv)).encryptor()
    digest = hashlib.sha256()
    with trouble(target), reading(source) as (reader, size), replacing(target) as writer:
        plain, coded = bytearray(CHUNK), bytearray(CHUNK + BLOCK)
        view, out = memoryview(plain), memoryview(coded)

        def put(count: int) -> None:
            digest.update(out[:count])
            writer.write(out[:count])

        out[:BLOCK] = iv
        put(BLOCK)
        done = 0
        while count := reader.readinto(plain):  # type: ignore[attr-defined]
            if cancel is not None:
                cancel.check()
            put(context.update_into(view[:count], coded))
            done += count
            if progress is not None:
                progress(done, max(size, done))
        pad = BLOCK - done % BLOCK
        put(context.update_into(bytes([pad]) * pad, coded))
        context.finalize()
        if cancel is not None:
            cancel.check()
    return Encrypted("0x" + digest.hexdigest(), BLOCK + done + pad)


def decrypt(
    source: Path,
    target: Path,
    key: bytes,
    expected: str | None = None,
    progress: Tell | None = None,
    cancel: Cancel | None = None,
) -> Decrypted:
    """Decrypt a dataset, or one in the openssl format of SDK 3 and 4 (`key` is then its password).

    `expected` is the checksum on chain; when the file's differs nothing is decrypted. Whatever else is wrong
    (key, length, padding) is one and the same Failed, and `target` does not appear.
    """
    _sized(key)
    _differ(source, target)
    with trouble(target), reading(source) as (reader, size):
        total = size if expected is None else 2 * size
        tell: Callable[[int], object] = lambda done: progress and progress(done, total)  # noqa: E731
        warnings: list[str] = []
        if expected is None:
            warnings.append(UNCHECKED_WARNING)
        else:
            _compare(_digest(reader, tell, cancel), expected)
        _refuse_volume(reader)
        reader.seek(0)
        head = reader.read(BLOCK)
        if head.startswith(SALTED):
            warnings.append(LEGACY_WARNING)
            context = _legacy(key, head[len(SALTED) :])
        else:
            context = _context(key, head)
        seen = hashlib.sha256(head)
        with replacing(target) as writer:
            written = _decrypt(reader, writer, context, seen, lambda done: tell(total - size + done), cancel)
            if expected is not None:  # the file may have been exchanged since the first look
                _compare(seen.hexdigest(), expected)
    return Decrypted(written, "openssl-salted" if head.startswith(SALTED) else "aes-256-cbc", tuple(warnings))


def refused() -> Failed:
    """The one failure for wrong key, length or padding: telling them apart would help attackers."""
    return Failed(
        "the file could not be decrypted with this key",
        "Check that the key belongs to this file, and that the file is whole: its checksum is on chain.",
        name="decryption_failed",
    )


def unpadded(last: bytes) -> bytes:
    """The last block without its PKCS#7 padding."""
    from cryptography.hazmat.primitives.padding import PKCS7

    unpadder = PKCS7(BLOCK * 8).unpadder()
    try:
        return unpadder.update(last) + unpadder.finalize()
    except ValueError:
        raise refused() from None


def _decrypt(
    reader: BinaryIO,
    writer: BinaryIO,
    context: CipherContext,
    seen: hashlib._Hash,
    tell: Callable[[int], object],
    cancel: Cancel | None,
) -> int:
    done, written, held = BLOCK, 0, b""
    while chunk := reader.read(CHUNK):
        if cancel is not None:
            cancel.check()
        seen.update(chunk)
        done += len(chunk)
        plain = held + context.update(chunk)
        written += writer.write(plain[:-BLOCK])
        held = plain[-BLOCK:]
        tell(done)
    if len(held) != BLOCK or done % BLOCK:
        raise refused()
    return written + writer.write(unpadded(held))


def _refuse_volume(reader: BinaryIO) -> None:
    """A SCONE volume of SDK 3 to 5 is a zip: say so instead of blaming the key."""
    reader.seek(0)
    if reader.read(4) != b"PK\x03\x04" or not zipfile.is_zipfile(reader):
        return
    try:
        with zipfile.ZipFile(reader) as archive:
            volume = any(name.endswith("volume.fspf") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return
    if volume:
        raise Failed(
            "this is a SCONE volume (SDK 3 to 5), which only a SCONE runtime can open",
            "Take the original data and encrypt it again: creamtea encrypt FILE --output F --key-file K",
            name="scone_volume",
        )


def _digest(reader: BinaryIO, tell: Callable[[int], object], cancel: Cancel | None) -> str:
    digest, done = hashlib.sha256(), 0
    while chunk := reader.read(CHUNK):
        if cancel is not None:
            cancel.check()
        digest.update(chunk)
        done += len(chunk)
        tell(done)
    return digest.hexdigest()


def _compare(actual: str, expected: str) -> None:
    if not hmac.compare_digest(("0x" + actual).encode(), expected.lower().encode()):
        raise Failed(
            f"the file's checksum is 0x{actual}, not {expected[:80]}",
            "These are other bytes than were deployed: download again, or look up the dataset's address.",
            name="checksum_mismatch",
        )


def _context(key: bytes, iv: bytes) -> CipherContext:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if len(iv) != BLOCK:
        raise refused()
    return Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()


def _legacy(password: bytes, salt: bytes) -> CipherContext:
    if len(salt) != 8:
        raise refused()
    both = hashlib.pbkdf2_hmac("sha256", password, salt, LEGACY_ROUNDS, KEY_SIZE + BLOCK)
    return _context(both[:KEY_SIZE], both[KEY_SIZE:])


def _sized(key: bytes) -> bytes:
    if len(key) != KEY_SIZE:
        raise Missing(f"a dataset key has 32 bytes, this one {len(key)}", "Give another --key-file.")
    return key


def _differ(source: Path, target: Path) -> None:
    if target.exists() and source.exists() and target.samefile(source):
        raise Missing(f"{target} is the input file", "Choose another --output.")
    if target.is_dir():
        raise Missing(f"{target} is a folder", "Give the name of a file with --output.")
