"""The beneficiary's key pair: layouts of both tools, passphrases, what the SMS gets."""

import base64
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from workflows.core.failure import Failed, Missing
from workflows.iexec import keys, pkcs8

ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> keys.KeyPair:
    return keys.create(tmp_path_factory.mktemp("keys") / "beneficiary", ADDRESS, "correct horse")


def test_the_pair_has_the_names_and_modes_it_should(pair: keys.KeyPair) -> None:
    assert (pair.private.name, pair.public.name) == (f"{ADDRESS}_key", f"{ADDRESS}_key.pub")
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(pair.private.parent.stat().st_mode) == 0o700
    assert pair.protected
    assert pair.private.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert pair.public.read_text().startswith("-----BEGIN PUBLIC KEY-----")


def test_openssl_opens_it_with_the_passphrase_and_agrees_on_the_public_half(pair: keys.KeyPair) -> None:
    public = subprocess.run(
        ["openssl", "pkey", "-in", pair.private, "-passin", "stdin", "-pubout"],
        input=b"correct horse\n", capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert public.decode() == pair.public.read_text()
    assert b"4096 bit" in subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", pair.public, "-noout", "-text"], capture_output=True, check=True
    ).stdout  # fmt: skip


def test_a_guesser_has_to_work_for_every_try(pair: keys.KeyPair) -> None:
    shown = subprocess.run(
        ["openssl", "asn1parse", "-in", pair.private], capture_output=True, check=True, text=True
    ).stdout
    assert "PBES2" in shown and "PBKDF2" in shown and "hmacWithSHA256" in shown and "aes-256-cbc" in shown
    assert f"INTEGER           :{pkcs8.ROUNDS:06X}" in shown and pkcs8.ROUNDS >= 600_000


@pytest.mark.parametrize("passphrase", ["x", "correct horse", "pässwörd €", "a" * 200])
@pytest.mark.parametrize("rounds", [1, 127, 128, 40_000])
def test_any_passphrase_opens_what_it_closed(tmp_path: Path, passphrase: str, rounds: int) -> None:
    key = rsa.generate_private_key(65537, 2048)
    (tmp_path / "key").write_bytes(pkcs8.encrypted_pem(key, passphrase, rounds))
    assert keys.load_private(tmp_path / "key", passphrase).private_numbers() == key.private_numbers()
    with pytest.raises(Failed):
        keys.load_private(tmp_path / "key", passphrase + "x")


def test_both_halves_fit(pair: keys.KeyPair) -> None:
    coded = keys.load_public(pair.public).encrypt(b"session key", padding.PKCS1v15())
    assert (
        keys.load_private(pair.private, "correct horse").decrypt(coded, padding.PKCS1v15()) == b"session key"
    )


def test_a_pair_is_found_and_never_replaced(pair: keys.KeyPair) -> None:
    before = pair.private.read_bytes()
    assert keys.create(pair.private.parent, ADDRESS.lower(), "another") == pair
    assert keys.find(pair.private.parent, ADDRESS.upper().replace("0X", "0x")) == pair
    assert keys.find(pair.private.parent, "0x" + "ab" * 20) is None
    assert keys.find(pair.private.parent / "nowhere", ADDRESS) is None
    assert pair.private.read_bytes() == before


def test_the_passphrase_is_asked_for_and_checked_without_being_shown(pair: keys.KeyPair) -> None:
    with pytest.raises(Missing, match="passphrase"):
        keys.load_private(pair.private)
    with pytest.raises(Failed) as caught:
        keys.load_private(pair.private, "battery staple")
    assert caught.value.name == "wrong_passphrase"
    assert "battery" not in f"{caught.value!r} {caught.value.hint}"
    with pytest.raises(Missing, match="empty"):
        keys.create(pair.private.parent, "0x" + "ab" * 20, "")


def test_the_sms_gets_base64_of_the_whole_pem(pair: keys.KeyPair) -> None:
    value = keys.sms_value(pair)
    assert base64.b64decode(value).decode() == pair.public.read_text()
    assert len(value) < 4096


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_the_unencrypted_layout_of_the_sdk_is_read(tmp_path: Path, form: str) -> None:
    key = rsa.generate_private_key(65537, 2048)
    path = tmp_path / f"{ADDRESS}_key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            getattr(serialization.PrivateFormat, form),
            serialization.NoEncryption(),
        )
    )
    assert not keys.is_protected(path)
    assert keys.load_private(path).private_numbers() == key.private_numbers()
    assert keys.load_private(path, "not needed").private_numbers() == key.private_numbers()


def test_without_a_passphrase_the_layout_is_the_sdk_s_but_private(tmp_path: Path) -> None:
    made = keys.create(tmp_path, ADDRESS, None)
    assert not made.protected and stat.S_IMODE(made.private.stat().st_mode) == 0o600
    assert made.private.read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_what_is_no_rsa_key_is_refused(tmp_path: Path) -> None:
    curve = ec.generate_private_key(ec.SECP256K1())
    (tmp_path / "curve").write_bytes(
        curve.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (tmp_path / "curve.pub").write_bytes(
        curve.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    weak = rsa.generate_private_key(65537, 1024).public_key()
    (tmp_path / "weak.pub").write_text(keys.public_pem(weak))
    pkcs1 = rsa.generate_private_key(65537, 2048).public_key()
    (tmp_path / "pkcs1.pub").write_bytes(
        pkcs1.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    )
    (tmp_path / "text").write_text("-----BEGIN PRIVATE KEY-----\nhello\n-----END PRIVATE KEY-----\n")
    (tmp_path / "locked").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhello\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    for name in ("curve", "text", "curve.pub"):
        with pytest.raises(Failed, match="not an RSA private key"):
            keys.load_private(tmp_path / name)
    with pytest.raises(Failed, match="passphrase"):
        keys.load_private(tmp_path / "locked", "x")
    for name in ("curve.pub", "text", "pkcs1.pub"):
        with pytest.raises(Failed, match="not an RSA public key"):
            keys.load_public(tmp_path / name)
    with pytest.raises(Failed, match="1024 bits"):
        keys.load_public(tmp_path / "weak.pub")
