"""CIDs as kubo makes them; the values are public knowledge of the IPFS community."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from workflows.iexec import cid

KNOWN = [
    (0, b"", "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"),
    (0, b"hello world\n", "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"),
    (1, b"", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
]


@pytest.mark.parametrize(("version", "data", "text"), KNOWN)
def test_known_files(version: int, data: bytes, text: str) -> None:
    hasher = cid.FileHasher(version)
    hasher.update(data)
    assert hasher.text() == text
    verifier = cid.Verifier(cid.parse(text))
    verifier.update(data)
    assert verifier.verdict() is True


@given(st.lists(st.integers(0, 300_000), max_size=4), st.sampled_from([0, 1]))
def test_the_cut_of_the_pieces_does_not_matter(sizes: list[int], version: int) -> None:
    whole, pieces = cid.FileHasher(version), cid.FileHasher(version)
    whole.update(b"a" * sum(sizes))
    for size in sizes:
        pieces.update(b"a" * size)
    assert whole.digest() == pieces.digest() == whole.digest()


def test_a_large_file_is_a_tree_of_two_levels() -> None:
    one, two = cid.FileHasher(), cid.FileHasher()
    one.update(b"\x00" * cid.CHUNK * cid.WIDTH)
    two.update(b"\x00" * (cid.CHUNK * cid.WIDTH + 1))
    assert len({one.text(), two.text()}) == 2


def test_a_wrong_file_is_told_from_one_that_may_be_cut_otherwise() -> None:
    raw, tree = cid.parse(KNOWN[2][2]), cid.parse(KNOWN[1][2])
    for parsed, verdict in ((raw, False), (tree, None)):
        verifier = cid.Verifier(parsed)
        verifier.update(b"another")
        assert verifier.verdict() is verdict


@pytest.mark.parametrize(
    "text",
    ["", "Qm", "Qm" + "1" * 44, "zzz", "bafkrei", "\x00", "../../etc", "Q" * 5000,
     CID("base32", 1, "raw", ("sha2-512", b"\x00" * 64)).encode(),
     CID("base32", 1, "dag-cbor", ("sha2-256", b"\x00" * 32)).encode()],
)  # fmt: skip
def test_what_is_no_file_s_cid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a CID"):
        cid.parse(text)
