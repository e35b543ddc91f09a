"""AES through libcrypto agrees with another implementation, and opens nothing that was altered."""

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given
from hypothesis import strategies as st

from workflows.localnet.runtime.libcrypto import Opener, Sealer, decrypt_cbc, seal, unseal
from workflows.localnet.runtime.refusals import Altered

keys = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@given(keys, st.binary(max_size=5000), st.binary(max_size=40))
def test_gcm_is_gcm(key: bytes, plaintext: bytes, aad: bytes) -> None:
    sealed = seal(key, plaintext, aad)
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], aad) == plaintext
    nonce = os.urandom(12)
    assert unseal(key, nonce + AESGCM(key).encrypt(nonce, plaintext, aad), aad) == plaintext


@given(keys, st.lists(st.binary(max_size=70)), st.data())
def test_a_stream_is_its_blocks(key: bytes, blocks: list[bytes], data: st.DataObject) -> None:
    nonce = bytes(12)
    sealer = Sealer(key, nonce)
    ciphertext = b"".join(map(sealer.update, blocks))
    tag = sealer.finish()
    assert ciphertext + tag == AESGCM(key).encrypt(nonce, b"".join(blocks), None)
    cut = data.draw(st.integers(0, len(ciphertext)))
    opener = Opener(key, nonce, tag)
    assert opener.update(ciphertext[:cut]) + opener.update(ciphertext[cut:]) == b"".join(blocks)
    opener.finish()


@given(st.binary(max_size=100), st.data())
def test_no_bit_can_be_flipped(plaintext: bytes, data: st.DataObject) -> None:
    key = bytes(32)
    sealed = bytearray(seal(key, plaintext, b"aad"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Altered):
        unseal(key, bytes(sealed), b"aad")
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(bytes(sealed[:12]), bytes(sealed[12:]), b"aad")


@given(st.binary(max_size=27))
def test_what_is_too_short(short: bytes) -> None:
    with pytest.raises(Altered):
        unseal(bytes(32), short)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="31"):
        Sealer(bytes(31), bytes(12))
    with pytest.raises(ValueError, match="nonce of 16"):
        Sealer(bytes(32), bytes(16))
    with pytest.raises(Altered):
        Opener(bytes(32), bytes(12), bytes(15))


@given(st.binary(max_size=2000), st.integers(1, 64))
def test_cbc_is_cbc(plaintext: bytes, block: int) -> None:
    key, iv = os.urandom(32), os.urandom(16)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    blocks = (ciphertext[at : at + block] for at in range(0, len(ciphertext), block))
    assert b"".join(decrypt_cbc(key, iv, blocks)) == plaintext
    with pytest.raises(Altered):
        list(decrypt_cbc(key, iv, [ciphertext[:-1]]))
