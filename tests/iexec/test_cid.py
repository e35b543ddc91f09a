"""CIDs as kubo and IPFS's own JavaScript importer make them."""

import itertools

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
CHUNK, WIDTH = cid.CHUNK, cid.WIDTH

# (length, version 0, version 1) of bytes 0…250 repeated; made with npm's ipfs-only-hash 4.0.0
PATTERN = [
    (
        0,
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    ),
    (
        1,
        "QmS9JArPwa55ePgDnyg6TzX24mYTS1b1vLqWNebyVotKxQ",
        "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu",
    ),
    (
        CHUNK - 1,
        "QmRfm83kqBpGJbGxJg1en9hpwq8eNnP4E2Dj8K73F4m983",
        "bafkreiagptg6ztonoojy4wflk3wwusl5xt4vcy6uult4wa7oemsjtxhjsu",
    ),
    (
        CHUNK,
        "QmeqfRyS3vkku7n6krqC3DgGMex3x2sCpSeKMDmrG13QQq",
        "bafkreibruh455iawsviqslif5c7uurdcfdemh22mtnytyzvnzn75kpejxy",
    ),
    (
        CHUNK + 1,
        "QmUSjGawaz4ptvREcMKSMJneWCa5j8dAz2wSAAvHtW2rnB",
        "bafybeiexg2oqkfnj56l7fcmawswqbijt5shq4b5rg6a546uwpkqqzwjioi",
    ),
    (
        2 * CHUNK,
        "QmX9AxjaxS7HCFKUdcQRgNKmfEj9hhjTsE57CB5iPe8zus",
        "bafybeihjlsmgtdumwxouubhh32wpo5k73zuptoz5bcxxcx3tflxmhyct2a",
    ),
    (
        2 * CHUNK + 1,
        "QmePkCgTbAcZgGDqVBd5SVyL7mRdv5ctvdmkCZSoercCej",
        "bafybeib2ym6g3qle2co2mwlypyzu65jqcpnkt5r7i7dijhq5echor6grza",
    ),
    (CHUNK * WIDTH, "QmXCym15aFeWjAWyPFaAgwVmkuKB7EBsV77Skt54KmxChF", ""),
    (CHUNK * WIDTH + 1, "QmTedsTekQQkgACJXb1sPZSW8bLdS9LPMrT7L4YdjNRd4n", ""),
    (CHUNK * (WIDTH + 1), "Qmbp67kThKoJFnWu7pUgwCu81WttemMnD13oG4uj9DiY5E", ""),
]


def text_of(data: bytes, version: int = 0) -> str:
    return str(fed([data], version).cid())


def fed(pieces: list[bytes], version: int = 0) -> cid.FileHasher:
    hasher = cid.FileHasher(version)
    for piece in pieces:
        hasher.update(piece)
    return hasher


@pytest.mark.parametrize(("version", "data", "text"), KNOWN)
def test_known_files(version: int, data: bytes, text: str) -> None:
    assert text_of(data, version) == text
    verifier = cid.Verifier(cid.parse(text))
    verifier.update(data)
    assert verifier.verdict() is True


@pytest.mark.parametrize(("length", "zero", "one"), PATTERN)
def test_cids_of_ipfss_own_importer(length: int, zero: str, one: str) -> None:
    data = (bytes(range(251)) * (length // 251 + 1))[:length]
    assert text_of(data) == zero
    if one:
        assert text_of(data, 1) == one


def test_a_tree_of_three_levels_with_raw_leaves() -> None:
    zeros = bytes(CHUNK * WIDTH + 1)
    assert text_of(zeros) == "QmehMASWcBsX7VcEQqs6rpR5AHoBfKyBVEgmkJHjpPg8jq"
    assert text_of(zeros, 1) == "bafybeihqwzd3o6q6v3pmwhzjy22vokhr767burokmqemg63hptx2nqd7ym"


@given(st.lists(st.integers(0, 300_000), max_size=4), st.sampled_from([0, 1]))
def test_how_a_file_is_cut_into_pieces_does_not_matter(sizes: list[int], version: int) -> None:
    data = bytes(range(256)) * (sum(sizes) // 256 + 1)
    ends = list(itertools.accumulate(sizes))
    pieces = fed([data[end - size : end] for size, end in zip(sizes, ends, strict=True)], version)
    whole = fed([data[: sum(sizes)]], version)
    assert whole.cid() == pieces.cid() == whole.cid()
    assert whole.total() == pieces.total()


@pytest.mark.parametrize(
    ("length", "version", "total"),
    [(0, 0, 6), (1, 0, 9), (12, 0, 20), (12, 1, 12), (CHUNK, 0, 262_158), (CHUNK, 1, CHUNK)],
)
def test_the_total_is_kubo_s_size(length: int, version: int, total: int) -> None:
    assert fed([b"a" * length], version).total() == total


def test_there_is_no_version_two() -> None:
    with pytest.raises(ValueError, match="version 2"):
        cid.FileHasher(2)


@pytest.mark.parametrize(("version", "data", "text"), KNOWN)
def test_the_parts_of_a_cid_make_it_again(version: int, data: bytes, text: str) -> None:
    parsed = cid.parse(text)
    assert (str(parsed), parsed.version, parsed) == (text, version, fed([data], version).cid())
    assert parsed.multihash == b"\x12\x20" + parsed.digest


@given(st.text(max_size=60))
def test_any_text_is_a_cid_or_is_refused(text: str) -> None:
    try:
        assert len(cid.parse(text).multihash) == 34
    except ValueError as error:
        assert "not a CID" in str(error)


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
