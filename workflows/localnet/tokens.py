"""JSON Web Tokens, HS256, for the result proxy: who may upload (RFC 7519, one algorithm, one key)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import Any

from workflows.core.files import create_private, private_dir

_HEADER = {"alg": "HS256", "typ": "JWT"}


class Tokens:
    """Makes and reads tokens under the key in `path` (32 bytes, 0600, made when absent)."""

    def __init__(self, path: Path, lifetime: int = 30 * 24 * 3600) -> None:
        private_dir(path.parent)
        try:
            create_private(path, secrets.token_bytes(32))
        except FileExistsError:
            pass
        self._key = path.read_bytes()
        self._lifetime = lifetime

    def issue(self, subject: str, now: int) -> str:
        """A token for a wallet; `now` in Unix seconds."""
        claims = {"sub": subject, "iat": now, "exp": now + self._lifetime, "jti": secrets.token_hex(8)}
        body = f"{_encode(_HEADER)}.{_encode(claims)}"
        return f"{body}.{_text(self._mac(body))}"

    def subject(self, token: str, now: int) -> str | None:
        """The wallet of a token; None when it is not ours, altered or expired."""
        body, _, signature = token.strip().rpartition(".")
        try:
            if not hmac.compare_digest(_bytes(signature), self._mac(body)):
                return None
            header, claims = (json.loads(_bytes(part)) for part in body.split("."))
        except ValueError:
            return None
        if header != _HEADER or not isinstance(claims, dict) or not isinstance(claims.get("sub"), str):
            return None
        expires = claims.get("exp")
        return claims["sub"] if isinstance(expires, int) and now < expires else None

    def _mac(self, body: str) -> bytes:
        return hmac.new(self._key, body.encode(), hashlib.sha256).digest()


def _encode(value: dict[str, Any]) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
