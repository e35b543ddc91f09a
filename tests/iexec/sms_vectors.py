"""The published vectors of what clients of the SMS sign (sms.md §13), for the functions and for the server."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Literal

from eth_account import Account

Kind = Literal["web3", "web2", "app", "requester"]


@dataclass(frozen=True)
class Push:
    """A secret, the challenge over it, and the signature of `account`; `address` is its object or owner."""

    account: Any
    kind: Kind
    address: str
    name: str
    value: str
    digest: str
    signature: str


ONES = Account.from_key("0x" + "11" * 32)
DEVELOPER = Account.from_key("0x2fac4d263f1b20bfc33ea2bcb1cbe1521322dbde81d04b0c454ffff1218f0ed6")
POOL = Account.from_key("0xe2a973b083fae8043543f15313955aecee9de809a318656c1cfb22d3a6d52de1")
DEAD = "0x000000000000000000000000000000000000dEaD"
PEM = base64.b64encode(b"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----").decode()

# §13.1
WORKER, TASK, ENCLAVE = "0x87ae2b87b5db23830572988fb1f51242fbc471ce", "0x" + "11" * 32, "0x" + "ee" * 20
SCHEDULER = (
    "0x748e091bf16048cb5103E0E10F9D5a8b7fBDd860",
    "0xd94b63fc2d3ec4b96daf84b403bbafdc8c8517e8e2addd51fec0fa4e67801be8",
    "0x9a43BB008b7A657e1936ebf5d8e28e5c5E021596",
)
JOINED = [
    (SCHEDULER[:1], "0x7ec1be13dbade2e3bfde8c2bdf68859dfff4ea620b3340c451ec56b5fa505ab1"),
    (SCHEDULER[:2], "0x9ca8cbf81a285c62778678c874dae13fdc6857566b67a9a825434dd557e18a8d"),
    (SCHEDULER, "0x54a76d209e8167e1ffa3bde8e3e7b30068423ca9554e1d605d8ee8fd0f165562"),
    ((WORKER, TASK, ENCLAVE), "0x92ccfe8ca6af2199a9ab4495cd93a9d4acce64bf9601587378e9e0b9eb355b92"),
    (("", TASK, ""), "0xb569321de72d0af89c2fb48a484de3fc9343f31600ae1f3e13d633cb48cbf816"),
]
# by POOL over the last two
SESSION_SIGNATURE = "0x93fd638120333219e548761cf98155b795683fd4b6ee2bb290b3f3bb1ecde4940ccf464cdbe904556a9fd4938889c9236fdb0d00ca5694daf47425f2a304647d1c"  # noqa: E501
CHALLENGE_SIGNATURE = "0xbb8b51d77f3fcd52f9efb7ba88ffbd296612cccb9d8d9392335e104a53ba4f232e3cd8a8f4542f040a8de362861d785d3742dbb58cdeecc5edb60a0cbd44d9d91b"  # noqa: E501
# the one of the real service's tests that is another's
WRONG_SIGNATURE = "0xf869daaca2407b7eabd27c3c4c5a3f3565172ca7211ac1d8bfacea2beb511a4029446a07cccc0884c2193b269dfb341461db8c680a8898bb53862d6e48340c2e1b"  # noqa: E501
WRONG_SIGNER = "0x8394ED181C0B73C2229BCbA6f0C9D1Bb2623085c"

# §13.2, §13.3
PUSHES = [
    Push(
        ONES, "web3", DEAD, "", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "0x333f1712aa396ef38bf4a3226ab9099560cec6870acfb9cdbde6d25b669de35d",
        "0xc2b0dc47ed58af6df438630e74ab58321f9ee5456478d8c80ac2bc7d55fef64d2bc6a4d1fa5601002d126225d3e386aa566c89a24ad04bae512d910548b6c3d11b",
    ),
    Push(
        ONES, "web2", ONES.address, "foo", "bar",
        "0xb2258154bdee6ef38a9f45744ac0ea5023e6cf96318455c0f44fac5b5c96645f",
        "0x2a56d76807f57a651cb8e8d729c459229b0b14adaf6c66f4fde7bd1972c90eb34ca162d56168033fafe747edfbca0bddca000ac0ec16d6aaa7e40779522ddc031b",
    ),
    Push(
        ONES, "requester", ONES.address, "foo", "bar",
        "0xb2258154bdee6ef38a9f45744ac0ea5023e6cf96318455c0f44fac5b5c96645f",
        "0x2a56d76807f57a651cb8e8d729c459229b0b14adaf6c66f4fde7bd1972c90eb34ca162d56168033fafe747edfbca0bddca000ac0ec16d6aaa7e40779522ddc031b",
    ),
    Push(
        ONES, "app", DEAD, "", "s3cret",
        "0xbcc82561856665c12d2b908f1eb9d3a3516c1530d70fe3f48ef4e5b2fbaf78f9",
        "0xfa494a58d3b37945fa3bcf0b14ff494e61e048f147a3ae09367e9bb631a6620356b967aa93fdc940b8b97746819f5a6d6f5fc11cb27491650c36df1bce0031eb1c",
    ),
    Push(
        DEVELOPER, "requester", DEVELOPER.address, "foo", "oops",
        "0x1b348f08201707634a9cd0b4656d202f5fdff0e8c1ab428cf1f3eba7e6bfc916",
        "0x3761337187839b07c81535a0f4bd868c2ca8c0f0fb5e230e0dd8f7957d52aac40315d507f8dfd7ba02ee6dc80e1dbaf94459887f7582db3948958757edca7b221c",
    ),
    Push(
        DEVELOPER, "app", DEVELOPER.address, "", "é€😀 4k?",
        "0xc3660c6e5fad6e2397260688b7d3101351f2d90e7297925e98b3accd93ee6eb4",
        "0x5ca07a72aa03b7c4c4e4b4d548d012d90f24ac2098cbf760bd913e010f2933804e88cf516cbec4071e309cb2ffeccd304657f225740388fe1faa8c659e771f6c1b",
    ),
    Push(
        DEVELOPER, "web3", DEVELOPER.address, "", "YWJj",
        "0x189b01cc9dafb66cd72e67dfff210051789ba199bcd192e8d53e52cc4d11d2d7",
        "0x13b575c04c40a202d5875fdde82fef1017594df8362d3bf6155351d4280f56e95ff4fc7311b4ee380bb379b94b715011b470ddb7879c1648a68a9cc9957ebcbc1c",
    ),
    Push(
        DEVELOPER, "web2", DEVELOPER.address, "iexec-result-encryption-public-key", PEM,
        "0x077fb241f5867e8073d1b15466ea86717723eb9bc87de935e021ef6603cea9a1",
        "0xba8a6ce62ff780d1a0c73386e6566bd0a035b893659ed34061a89849a2752f883b912425636d3e50a3980b443bb3445524a6081dc92b43a068250dec9dcba7471b",
    ),
    Push(
        DEVELOPER, "web2", DEVELOPER.address, "iexec-result-dropbox-token", "tok",
        "0x8f6dfe10a7a62e6ea58a5bf27bf8e3bbc075aa69a147f79c2fae5c5cb3c099ed",
        "0xd12e616915e757fb604d5e942da316b3e7f436abd231551939ceef228003a8035d51ec94c241b2e12af442cba1e393e26d2bbf0d594fbad9441a3154e2bad0351b",
    ),
]  # fmt: skip
# What the SDK signs for a name that climbs; its URL library makes the path /requesters/x of it.
CLIMBING = Push(
    DEVELOPER, "requester", DEVELOPER.address, "../../x", "oops",
    "0x52a750bee2c13903c8c8055937897d9599b310964828045cbe925096f38ad31d",
    "0x5317166321bd497c3a7a8e5ccb6f4c6d439570734e5e21de93516c1c77416d507df26300be2867483e31c9c178970f0c847da26f07016e36cb522c14545acb8b1b",
)  # fmt: skip
