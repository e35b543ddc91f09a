"""A private key under a passphrase: PKCS#8 with PBES2, PBKDF2-HMAC-SHA256 and AES-256-CBC (RFC 8018, RFC 5958).

`cryptography` writes the same form with 2048 rounds and no way to ask for more; this one costs a guesser three
hundred times as much. Every OpenSSL since 1.0 reads it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ROUNDS = 600_000
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA256 = bytes.fromhex("06082a864886f70d0209")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
_NULL = b"\x05\x00"
_SEQUENCE, _OCTETS, _INTEGER = 0x30, 0x04, 0x02


def encrypted_pem(key: RSAPrivateKey, passphrase: str, rounds: int = ROUNDS) -> bytes:
    """The PEM of a private key, encrypted."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    salt, iv = os.urandom(16), os.urandom(16)
    derived = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, rounds, 32)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(derived), modes.CBC(iv)).encryptor()
    coded = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    derivation = _der(
        _SEQUENCE, _der(_OCTETS, salt), _der(_INTEGER, _number(rounds)), _der(_SEQUENCE, _HMAC_SHA256, _NULL)
    )
    scheme = _der(
        _SEQUENCE,
        _der(_SEQUENCE, _PBKDF2, derivation),
        _der(_SEQUENCE, _AES_256_CBC, _der(_OCTETS, iv)),
    )
    document = _der(_SEQUENCE, _der(_SEQUENCE, _PBES2, scheme), _der(_OCTETS, coded))
    body = "\n".join(textwrap.wrap(base64.b64encode(document).decode(), 64))
    name = "ENCRYPTED PRIVATE KEY"
    return f"-----BEGIN {name}-----\n{body}\n-----END {name}-----\n".encode()


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _number(value: int) -> bytes:
    """A positive INTEGER's content: big-endian, with a leading zero where the first bit is set."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big")
