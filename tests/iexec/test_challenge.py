"""What a client of the SMS signs, against the published vectors (sms.md §13)."""

import pytest
from eth_account.signers.local import LocalAccount
from hypothesis import given
from hypothesis import strategies as st

from tests.iexec import sms_vectors as vectors
from tests.iexec.sms_vectors import Push
from workflows.iexec import challenge, ids
from workflows.iexec.signatures import sign_digest, signer_of


def made(push: Push) -> str:
    if push.kind == "web3":
        return challenge.web3(push.address, push.value)
    if push.kind == "app":
        return challenge.app(push.address, push.value)
    make = challenge.web2 if push.kind == "web2" else challenge.requester
    return make(push.address, push.name, push.value)


@pytest.mark.parametrize(("parts", "published"), vectors.JOINED)
def test_joined(parts: tuple[str, ...], published: str) -> None:
    assert challenge.joined(*parts) == published


def test_the_published_challenges_with_odd_addresses() -> None:
    none, odd = challenge.requester("", "0", ""), challenge.web3("0x123", "ghijk")
    assert none == "0x31991eefc2731228bdd25dbc5a242722eda3869f9b06536dbd96a774e5228509"
    assert odd == "0x8d0b92aaf96f66f172d7615b81f257ebdece2278b7da6c60127cad45852eaaf6"


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("utf8String", "0xb33845db05fb0822f1f1e3677cc6787b8a1a7a21f3c12f9e97c70cb596222218"),
        ("hello", "0x2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
    ],
)
def test_sha256(text: str, published: str) -> None:
    assert ids.sha256_hex(text.encode()) == published


@pytest.mark.parametrize("push", [*vectors.PUSHES, vectors.CLIMBING])
def test_challenges_and_signatures_are_those_of_the_sdk(push: Push) -> None:
    assert made(push) == push.digest
    assert sign_digest(push.account, push.digest) == push.signature
    assert signer_of(push.digest, push.signature) == push.account.address


@pytest.mark.parametrize(
    ("parts", "signature"),
    [
        ((vectors.WORKER, vectors.TASK, vectors.ENCLAVE), vectors.SESSION_SIGNATURE),
        (("", vectors.TASK, ""), vectors.CHALLENGE_SIGNATURE),
    ],
)
def test_signatures_of_the_workerpool_s_owner(parts: tuple[str, ...], signature: str) -> None:
    pool: LocalAccount = vectors.POOL
    assert sign_digest(pool, challenge.joined(*parts)) == signature
    assert signer_of(challenge.joined(*parts), signature) == pool.address


def test_the_wrong_pool_signature_of_the_real_tests_is_of_another() -> None:
    digest = challenge.joined(vectors.WORKER, vectors.TASK, vectors.ENCLAVE)
    assert signer_of(digest, vectors.WRONG_SIGNATURE) == vectors.WRONG_SIGNER


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_requester_s_secret_and_a_named_one_have_one_challenge(name: str, value: str) -> None:
    owner = vectors.ONES.address
    assert challenge.web2(owner, name, value) == challenge.requester(owner, name, value)


@pytest.mark.parametrize("text", ["xyz", "0x0x11", "0x1g", "0x11\n", " 0x11"])
def test_what_is_not_hex_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not hex"):
        challenge.joined(text)
