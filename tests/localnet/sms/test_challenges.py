"""The published vectors of what an SMS client signs (sms.md §13)."""

from __future__ import annotations

import pytest

from workflows.localnet.sms import challenges

SIGNER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"  # of the key 0x11…11
SDK = "0xabcd1339Ec7e762e639f4887E2bFe5EE8023E23E"  # of the key with which the npm SDK was measured
DEAD = "0x000000000000000000000000000000000000dead"
POOL = "0xc911f9345717ba7c8ec862ce002af3e058df84e4"
WORKER = "0x87ae2b87b5db23830572988fb1f51242fbc471ce"
TASK, ENCLAVE = "0x" + "11" * 32, "0x" + "ee" * 20
PEM = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KQUE9PQotLS0tLUVORCBQVUJMSUMgS0VZLS0tLS0="

HASHES = [
    (challenges.requester("", "0", ""), "0x31991eefc2731228bdd25dbc5a242722eda3869f9b06536dbd96a774e5228509"),
    (challenges.web3("0x123", "ghijk"), "0x8d0b92aaf96f66f172d7615b81f257ebdece2278b7da6c60127cad45852eaaf6"),
    (
        challenges.concatenation("0x748e091bf16048cb5103E0E10F9D5a8b7fBDd860"),
        "0x7ec1be13dbade2e3bfde8c2bdf68859dfff4ea620b3340c451ec56b5fa505ab1",
    ),
    (
        challenges.concatenation(
            "0x748e091bf16048cb5103E0E10F9D5a8b7fBDd860",
            "0xd94b63fc2d3ec4b96daf84b403bbafdc8c8517e8e2addd51fec0fa4e67801be8",
        ),
        "0x9ca8cbf81a285c62778678c874dae13fdc6857566b67a9a825434dd557e18a8d",
    ),
    (
        challenges.concatenation(
            "0x748e091bf16048cb5103E0E10F9D5a8b7fBDd860",
            "0xd94b63fc2d3ec4b96daf84b403bbafdc8c8517e8e2addd51fec0fa4e67801be8",
            "0x9a43BB008b7A657e1936ebf5d8e28e5c5E021596",
        ),
        "0x54a76d209e8167e1ffa3bde8e3e7b30068423ca9554e1d605d8ee8fd0f165562",
    ),
    (
        challenges.concatenation(WORKER, TASK, ENCLAVE),
        "0x92ccfe8ca6af2199a9ab4495cd93a9d4acce64bf9601587378e9e0b9eb355b92",
    ),
    (
        challenges.concatenation("", TASK, ""),
        "0xb569321de72d0af89c2fb48a484de3fc9343f31600ae1f3e13d633cb48cbf816",
    ),
]

SIGNED = [
    (
        challenges.concatenation(WORKER, TASK, ENCLAVE),
        "0x93fd638120333219e548761cf98155b795683fd4b6ee2bb290b3f3bb1ecde4940ccf464cdbe904556a9fd4938889c9236fdb0d00ca5694daf47425f2a304647d1c",
        POOL,
    ),
    (
        challenges.concatenation("", TASK, ""),
        "0xbb8b51d77f3fcd52f9efb7ba88ffbd296612cccb9d8d9392335e104a53ba4f232e3cd8a8f4542f040a8de362861d785d3742dbb58cdeecc5edb60a0cbd44d9d91b",
        POOL,
    ),
    (
        challenges.web3(DEAD, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        "0xc2b0dc47ed58af6df438630e74ab58321f9ee5456478d8c80ac2bc7d55fef64d2bc6a4d1fa5601002d126225d3e386aa566c89a24ad04bae512d910548b6c3d11b",
        SIGNER,
    ),
    (
        challenges.web2(SIGNER, "foo", "bar"),
        "0x2a56d76807f57a651cb8e8d729c459229b0b14adaf6c66f4fde7bd1972c90eb34ca162d56168033fafe747edfbca0bddca000ac0ec16d6aaa7e40779522ddc031b",
        SIGNER,
    ),
    (
        challenges.app(DEAD, "s3cret"),
        "0xfa494a58d3b37945fa3bcf0b14ff494e61e048f147a3ae09367e9bb631a6620356b967aa93fdc940b8b97746819f5a6d6f5fc11cb27491650c36df1bce0031eb1c",
        SIGNER,
    ),
    (
        challenges.requester(SDK, "foo", "oops"),
        "0x3761337187839b07c81535a0f4bd868c2ca8c0f0fb5e230e0dd8f7957d52aac40315d507f8dfd7ba02ee6dc80e1dbaf94459887f7582db3948958757edca7b221c",
        SDK,
    ),
    (
        challenges.app(SDK, "é€😀 4k?"),
        "0x5ca07a72aa03b7c4c4e4b4d548d012d90f24ac2098cbf760bd913e010f2933804e88cf516cbec4071e309cb2ffeccd304657f225740388fe1faa8c659e771f6c1b",
        SDK,
    ),
    (
        challenges.web3(SDK, "YWJj"),
        "0x13b575c04c40a202d5875fdde82fef1017594df8362d3bf6155351d4280f56e95ff4fc7311b4ee380bb379b94b715011b470ddb7879c1648a68a9cc9957ebcbc1c",
        SDK,
    ),
    (
        challenges.web2(SDK, "iexec-result-encryption-public-key", PEM),
        "0xba8a6ce62ff780d1a0c73386e6566bd0a035b893659ed34061a89849a2752f883b912425636d3e50a3980b443bb3445524a6081dc92b43a068250dec9dcba7471b",
        SDK,
    ),
    (
        challenges.web2(SDK, "iexec-result-dropbox-token", "tok"),
        "0xd12e616915e757fb604d5e942da316b3e7f436abd231551939ceef228003a8035d51ec94c241b2e12af442cba1e393e26d2bbf0d594fbad9441a3154e2bad0351b",
        SDK,
    ),
    (
        challenges.requester(SDK, "../../x", "oops"),
        "0x5317166321bd497c3a7a8e5ccb6f4c6d439570734e5e21de93516c1c77416d507df26300be2867483e31c9c178970f0c847da26f07016e36cb522c14545acb8b1b",
        SDK,
    ),
]


@pytest.mark.parametrize(("made", "published"), HASHES)
def test_published_hashes(made: str, published: str) -> None:
    assert made == published


@pytest.mark.parametrize(("digest", "signature", "signer"), SIGNED)
def test_published_signatures_recover(digest: str, signature: str, signer: str) -> None:
    assert challenges.signed_by(digest, signature, signer)
    assert not challenges.signed_by(digest, signature, DEAD)


def test_the_wrong_pool_signature_of_the_real_tests_is_of_another() -> None:
    wrong = "0xf869daaca2407b7eabd27c3c4c5a3f3565172ca7211ac1d8bfacea2beb511a4029446a07cccc0884c2193b269dfb341461db8c680a8898bb53862d6e48340c2e1b"  # noqa: E501
    digest = challenges.concatenation(WORKER, TASK, ENCLAVE)
    assert not challenges.signed_by(digest, wrong, POOL)
    assert challenges.signed_by(digest, wrong, "0x8394ED181C0B73C2229BCbA6f0C9D1Bb2623085c")


def test_one_signature_is_good_for_web2_and_requester_secrets_as_with_the_real_service() -> None:
    assert challenges.web2(SDK, "foo", "bar") == challenges.requester(SDK, "foo", "bar")
