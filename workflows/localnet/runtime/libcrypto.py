"""AES through OpenSSL's libcrypto, which Python's own ssl module brings: no package to install in a base.

GCM for everything the runtime protects; CBC for the datasets that pre-compute decrypts.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from workflows.localnet.runtime.refusals import Altered, NoCrypto

NONCE = 12
TAG = 16
BLOCK = 1 << 16  # how much goes through the cipher at once: more would leave the cache
_NAMES = ("libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so.1.0.0")
_GET_TAG, _SET_TAG = 0x10, 0x11  # EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG


@lru_cache(maxsize=1)
def _library() -> "Any":
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.EVP_CIPHER_CTX_new.restype = pointer
        library.EVP_CIPHER_CTX_free.argtypes = [pointer]
        library.EVP_CIPHER_CTX_ctrl.argtypes = [pointer, integer, integer, pointer]
        library.EVP_CipherInit_ex.argtypes = [pointer, pointer, pointer, pointer, pointer, integer]
        library.EVP_CipherUpdate.argtypes = [pointer, pointer, pointer, ctypes.c_char_p, integer]
        library.EVP_CipherFinal_ex.argtypes = [pointer, pointer, pointer]
        return library
    raise NoCrypto("no libcrypto (" + ", ".join(_NAMES) + ") in this image: the runtime cannot do AES")


class _Cipher:
    def __init__(self, mode: str, key: bytes, iv: bytes, encrypt: bool, aad: bytes = b"") -> None:
        if len(key) not in (16, 24, 32) or len(iv) != (NONCE if mode == "gcm" else 16):
            raise ValueError(
                f"AES-{mode.upper()} does not take a key of {len(key)} and a nonce of {len(iv)} bytes"
            )
        self._lib = _library()
        kind = getattr(self._lib, f"EVP_aes_{len(key) * 8}_{mode}")
        kind.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._lib.EVP_CIPHER_CTX_new())
        self._need(self._lib.EVP_CipherInit_ex(self._context, kind(), None, key, iv, int(encrypt)))
        if aad:
            written = ctypes.c_int()
            self._need(self._lib.EVP_CipherUpdate(self._context, None, ctypes.byref(written), aad, len(aad)))

    def update(self, data: bytes) -> bytes:
        output, written = ctypes.create_string_buffer(len(data) + 16), ctypes.c_int()
        self._need(self._lib.EVP_CipherUpdate(self._context, output, ctypes.byref(written), data, len(data)))
        return ctypes.string_at(output, written.value)

    def final(self) -> bytes:
        output, written = ctypes.create_string_buffer(16), ctypes.c_int()
        self._need(self._lib.EVP_CipherFinal_ex(self._context, output, ctypes.byref(written)))
        return ctypes.string_at(output, written.value)

    def control(self, command: int, buffer: "ctypes.Array[ctypes.c_char]") -> None:
        self._need(self._lib.EVP_CIPHER_CTX_ctrl(self._context, command, TAG, buffer))

    def __del__(self) -> None:
        if hasattr(self, "_context"):
            self._lib.EVP_CIPHER_CTX_free(self._context)

    @staticmethod
    def _need(done: int) -> None:
        if done != 1:
            raise Altered("the data does not fit its key and tag")


class Sealer:
    """AES-GCM encryption of a stream: `update` its blocks, `finish` gives the tag."""

    def __init__(self, key: bytes, nonce: bytes, aad: bytes = b"") -> None:
        self._cipher = _Cipher("gcm", key, nonce, True, aad)

    def update(self, data: bytes) -> bytes:
        """The ciphertext of this block."""
        return self._cipher.update(data)

    def finish(self) -> bytes:
        """The 16 bytes that say nothing was altered."""
        self._cipher.final()
        tag = ctypes.create_string_buffer(TAG)
        self._cipher.control(_GET_TAG, tag)
        return tag.raw


class Opener:
    """AES-GCM decryption of a stream; what `update` gives must not be used before `finish` returned."""

    def __init__(self, key: bytes, nonce: bytes, tag: bytes, aad: bytes = b"") -> None:
        if len(tag) != TAG:
            raise Altered("an AES-GCM tag has 16 bytes")
        self._cipher = _Cipher("gcm", key, nonce, False, aad)
        self._cipher.control(_SET_TAG, ctypes.create_string_buffer(tag, TAG))

    def update(self, data: bytes) -> bytes:
        """The plaintext of this block, not yet authenticated."""
        return self._cipher.update(data)

    def finish(self) -> None:
        """Altered, unless every byte is what was sealed."""
        self._cipher.final()


def fresh(count: int) -> bytes:
    """Random bytes for a key or a nonce."""
    return os.urandom(count)


def seal(key: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """nonce ‖ ciphertext ‖ tag, with a fresh nonce."""
    nonce = fresh(NONCE)
    sealer = Sealer(key, nonce, aad)
    return nonce + sealer.update(plaintext) + sealer.finish()


def unseal(key: bytes, sealed: bytes, aad: bytes = b"") -> bytes:
    """The plaintext of what `seal` gave; Altered otherwise."""
    if len(sealed) < NONCE + TAG:
        raise Altered("too short to be sealed data")
    opener = Opener(key, sealed[:NONCE], sealed[-TAG:], aad)
    plaintext = opener.update(sealed[NONCE:-TAG])
    opener.finish()
    return plaintext


def decrypt_cbc(key: bytes, iv: bytes, blocks: "Iterable[bytes]") -> "Iterator[bytes]":
    """The plaintext of an AES-CBC stream with PKCS#7 padding; Altered when the padding is wrong."""
    cipher = _Cipher("cbc", key, iv, False)
    for block in blocks:
        yield cipher.update(block)
    yield cipher.final()
