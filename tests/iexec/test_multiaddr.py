"""The multiaddr field in both its forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import multibase

from workflows.iexec import multiaddr

CID = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG"


def test_ipfs_is_binary() -> None:
    data = multiaddr.encode(f"/ipfs/{CID}")
    assert data[:5].hex() == "a503221220"
    assert len(data) == 37
    assert multiaddr.decode(data) == f"/ipfs/{CID}"
    assert multiaddr.encode(f"/p2p/{CID}") == data


@given(digest=st.binary(min_size=32, max_size=32))
def test_every_multihash_comes_back(digest: bytes) -> None:
    text = "/ipfs/" + multibase.encode(b"\x12\x20" + digest, "base58btc")[1:]
    assert multiaddr.decode(multiaddr.encode(text)) == text


@given(text=st.text())
def test_text_comes_back(text: str) -> None:
    assert multiaddr.decode(multiaddr.encode(text)) == text


@given(data=st.binary())
def test_any_bytes_can_be_shown(data: bytes) -> None:
    assert isinstance(multiaddr.decode(data), str)


@pytest.mark.parametrize(
    "text",
    [
        "docker.io/library/python:3.11",
        "https://example.org/data.enc",
        "/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
        "/ipfs/QmTooShort",
        "/ipfs/Qm" + "0" * 44,
    ],
)
def test_everything_else_is_utf8(text: str) -> None:
    assert multiaddr.encode(text) == text.encode()
