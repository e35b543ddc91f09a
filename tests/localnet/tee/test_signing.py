"""The small cryptography of the stages against the libraries that the host has."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_hash.auto import keccak as reference
from hypothesis import given
from hypothesis import strategies as st

from workflows.localnet.tee.signing import N, keccak, personal_sign, private_key


@given(st.binary(max_size=700))
def test_keccak_is_ethereums(data: bytes) -> None:
    assert keccak(data) == reference(data)


def test_keccak_at_the_edges_of_a_block() -> None:
    for length in (0, 135, 136, 137, 271, 272, 273):
        assert keccak(bytes(length)) == reference(bytes(length))


@given(st.integers(1, N - 1), st.binary(min_size=32, max_size=32))
def test_signatures_are_those_of_eth_account(key: int, digest: bytes) -> None:
    signed = Account.from_key(key.to_bytes(32, "big")).sign_message(encode_defunct(digest))
    assert personal_sign(key, digest) == "0x" + bytes(signed.signature).hex()


@pytest.mark.parametrize("text", ["", "0x", "zz" * 32, "00" * 32, f"{N:064x}", "0x1234"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        private_key(text)
