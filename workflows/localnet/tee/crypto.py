"""Result encryption with the libcrypto that Python brings: AES-256-CBC, and RSA for the AES key."""

from __future__ import annotations

import base64
import binascii
import ctypes
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from workflows.localnet.runtime import libcrypto

_RSA = 6  # EVP_PKEY_RSA
_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


class NotAKey(ValueError):  # noqa: N818 - reads as a sentence
    """The text is not an RSA public key (SPKI in PEM, base64 once more)."""


def public_key_der(text: str) -> bytes:
    """The DER bytes of the key as the SMS stores it: base64 of the whole PEM. NotAKey."""
    try:
        pem = base64.b64decode(text, validate=True).decode("ascii")
        body = pem.replace(_BEGIN, "").replace(_END, "")
        if body == pem:
            raise NotAKey("no PEM of a public key")
        der = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, UnicodeDecodeError):
        raise NotAKey("not base64 of a PEM") from None
    _free(_key(der))
    return der


def encrypt_cbc(key: bytes, iv: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """AES-CBC with PKCS#7 padding, piece by piece; the IV is not part of it."""
    cipher = libcrypto._Cipher("cbc", key, iv, True)
    for piece in pieces:
        yield cipher.update(piece)
    yield cipher.final()


def new_key() -> bytes:
    """A fresh AES-256 key."""
    return os.urandom(32)


def encrypt_rsa(der: bytes, plain: bytes) -> bytes:
    """RSAES-PKCS1-v1_5, as long as the modulus. NotAKey; ValueError when it does not fit."""
    library, key = _library(), _key(der)
    context = library.EVP_PKEY_CTX_new(key, None)
    try:
        length = ctypes.c_size_t(0)
        # PKCS #1 v1.5 is libcrypto's padding for RSA unless another one is asked for.
        done = library.EVP_PKEY_encrypt_init(context) == 1
        done = done and library.EVP_PKEY_encrypt(context, None, ctypes.byref(length), plain, len(plain)) == 1
        output = ctypes.create_string_buffer(length.value)
        done = (
            done and library.EVP_PKEY_encrypt(context, output, ctypes.byref(length), plain, len(plain)) == 1
        )
        if not done:
            raise ValueError("RSA encryption failed")
        return output.raw[: length.value]
    finally:
        library.EVP_PKEY_CTX_free(context)
        _free(key)


def _key(der: bytes) -> ctypes.c_void_p:
    library = _library()
    start = ctypes.create_string_buffer(der, len(der))
    pointer = ctypes.c_void_p(ctypes.addressof(start))
    key = library.d2i_PUBKEY(None, ctypes.byref(pointer), len(der))
    if not key:
        library.ERR_clear_error()
        raise NotAKey("not an SPKI public key")
    if _kind(library)(key) != _RSA:
        _free(ctypes.c_void_p(key))
        raise NotAKey("not an RSA key")
    return ctypes.c_void_p(key)


def _free(key: ctypes.c_void_p) -> None:
    _library().EVP_PKEY_free(key)


def _kind(library: Any) -> Any:
    # A macro until OpenSSL 1.1, a function of another name from 3.0 on.
    try:
        function = library.EVP_PKEY_get_base_id
    except AttributeError:
        function = library.EVP_PKEY_base_id
    function.argtypes = [ctypes.c_void_p]
    return function


@lru_cache(maxsize=1)
def _library() -> Any:
    library = libcrypto._library()
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name in ("d2i_PUBKEY", "EVP_PKEY_CTX_new"):
        getattr(library, name).restype = pointer
    library.d2i_PUBKEY.argtypes = [pointer, pointer, ctypes.c_long]
    library.EVP_PKEY_CTX_new.argtypes = [pointer, pointer]
    library.EVP_PKEY_encrypt_init.argtypes = [pointer]
    library.EVP_PKEY_encrypt.argtypes = [pointer, pointer, pointer, ctypes.c_char_p, size]
    for name in ("EVP_PKEY_CTX_free", "EVP_PKEY_free"):
        getattr(library, name).argtypes = [pointer]
    return library
