"""Values encrypted at rest: AES-256-GCM under a key that lives in a private file of its own."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from workflows.core.failure import Failed
from workflows.core.files import create_private, private_dir

_NONCE = 12


class Vault:
    """Seals values under the key in `path` (made with mode 0600 when absent).

    `context` binds a value to its place: moved to another row, it does not open.
    """

    def __init__(self, path: Path) -> None:
        private_dir(path.parent)
        try:
            create_private(path, secrets.token_bytes(32))
        except FileExistsError:
            pass
        self._aes = AESGCM(_key(path))

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
                "The database and its key file belong together: restore both, or use a new state directory.",
                name="vault_key_mismatch",
            ) from None


def _key(path: Path) -> bytes:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise Failed(
            f"the key file {path.name} may be read by others (mode {mode:o})",
            f"chmod 600 {path}",
            name="key_file_not_private",
        )
    key = path.read_bytes()
    if len(key) != 32:
        raise Failed(
            f"the key file {path.name} holds {len(key)} bytes instead of 32",
            "Restore it from a copy, or start with a new state directory.",
            name="key_file_damaged",
        )
    return key
