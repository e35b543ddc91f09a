"""Values encrypted at rest: AES-256-GCM under a key in a private file of its own, or from the environment."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workflows.core.failure import Failed, Missing
from workflows.core.files import create_private, private_dir
from workflows.localnet.database import Database

_NONCE = 12
_SIZE = 32


class Vault:
    """Seals values under `key`, or else under the one in `path` (made with mode 0600 when absent).

    `context` binds a value to its place: moved to another row, it does not open.
    """

    def __init__(self, path: Path, key: bytes | None = None) -> None:
        if key is None:
            private_dir(path.parent)
            try:
                create_private(path, secrets.token_bytes(_SIZE))
            except FileExistsError:
                pass
            key = read_key(path)
        self._aes = AESGCM(key)

    def seal(self, plain: bytes, context: str) -> bytes:
        """nonce ‖ ciphertext ‖ tag."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._aes.encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """The plain value. Failed when it was altered, moved, or sealed under another key."""
        try:
            return self._aes.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())
        except (InvalidTag, ValueError):
            raise Failed(
                "a stored value does not open with the key of this state directory",
                "The database and its key belong together: restore both, or use a new state directory.",
                name="vault_key_mismatch",
            ) from None

    def tie(self, database: Database) -> None:
        """Failed unless the database's values are under this key; the first key that comes is its own."""
        with database.transaction() as sql:
            sql.execute("CREATE TABLE IF NOT EXISTS vault (proof BLOB NOT NULL)")
            row = sql.execute("SELECT proof FROM vault").fetchone()
            if row is None:
                sql.execute("INSERT INTO vault VALUES (?)", (self.seal(b"", _PROOF),))
            else:
                self.open(row[0], _PROOF)


_PROOF = "vault"


def taken(variable: str) -> str:
    """The text of an environment variable, which no process that we start will inherit; empty when not set."""
    return os.environ.pop(variable, "").strip()


def taken_key(variable: str) -> bytes | None:
    """The key in an environment variable, 64 hex digits, taken out of it; None when not set."""
    text = taken(variable)
    if not text:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _SIZE:
        raise Missing(f"{variable} is not a key of 64 hex digits", "openssl rand -hex 32 makes one")
    return key


def read_private(path: Path) -> bytes:
    """The content of a file that only its owner may read; Failed when others may, OSError when it is not there."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise Failed(
            f"the key file {path.name} may be read by others (mode {mode:o})",
            f"chmod 600 {path}",
            name="key_file_not_private",
        )
    return path.read_bytes()


def read_key(path: Path) -> bytes:
    """The key in a private file; Failed when it is none."""
    key = read_private(path)
    if len(key) != _SIZE:
        raise Failed(
            f"the key file {path.name} holds {len(key)} bytes instead of {_SIZE}",
            "Restore it from a copy, or start with a new state directory.",
            name="key_file_damaged",
        )
    return key
