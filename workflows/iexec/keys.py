"""The key pair of a beneficiary: the enclave encrypts a result for the public half (RSA 4096, SPKI).

File names are the SDK's: `<0xaddress>_key` and `<0xaddress>_key.pub`. The SDK leaves the private half
unencrypted and readable; here it is PKCS#8 under a passphrase, mode 0600.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.core.failure import Failed, Missing
from workflows.core.files import create_private, write_atomic
from workflows.iexec.ids import address as checked
from workflows.iexec.pkcs8 import encrypted_pem
from workflows.iexec.streams import reading, trouble

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

BITS = 4096
LEAST_BITS = 2048
_MAX = 64 * 1024


@dataclass(frozen=True)
class KeyPair:
    """Where the two halves lie; `protected` says whether the private one needs a passphrase."""

    private: Path
    public: Path
    protected: bool


def find(folder: Path, address: str) -> KeyPair | None:
    """The key pair of an address, whatever the case of the file names; None when there is none."""
    wanted = f"{address.lower()}_key"
    try:
        names = sorted(entry for entry in folder.iterdir() if entry.name.lower() == wanted)
    except OSError:
        return None
    if not names:
        return None
    private = names[0]
    return KeyPair(private, private.with_name(private.name + ".pub"), is_protected(private))


def create(folder: Path, address: str, passphrase: str | None) -> KeyPair:
    """Make the pair of an address in `folder`, or hand back the one that is there: it is never replaced.

    `passphrase=None` writes the SDK's unencrypted layout (mode 0600 all the same); an empty one is refused.
    """
    from cryptography.hazmat.primitives.asymmetric import rsa

    if passphrase is not None and not passphrase:
        raise Missing("the passphrase is empty", "Give one in a file, with --passphrase-file.")
    existing = find(folder, address)
    if existing is not None:
        if not existing.public.exists():  # a kill came between the two
            with trouble(existing.public):
                key = load_private(existing.private, passphrase)
                write_atomic(existing.public, public_pem(key.public_key()), mode=0o644)
        return existing
    private = folder / f"{checked(address)}_key"
    public = private.with_name(private.name + ".pub")
    key = rsa.generate_private_key(65537, BITS)
    pem = encrypted_pem(key, passphrase) if passphrase is not None else _plain_pem(key)
    with trouble(private):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_private(private, pem)
        write_atomic(public, public_pem(key.public_key()), mode=0o644)
    return KeyPair(private, public, passphrase is not None)


def is_protected(path: Path) -> bool:
    """Whether a private key file needs a passphrase."""
    pem = _pem(path)
    return b"ENCRYPTED PRIVATE KEY" in pem or b"Proc-Type: 4,ENCRYPTED" in pem


def load_private(path: Path, passphrase: str | None = None) -> RSAPrivateKey:
    """The private key of a PEM file: ours, the SDK's, or any RSA key in PKCS#8 or PKCS#1.

    Missing when it needs a passphrase and has none, Failed for a wrong one or another kind of key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = _pem(path)
    protected = is_protected(path)
    if protected and not passphrase:
        raise Missing(
            f"{path} is protected by a passphrase",
            "Give it in a file, with --passphrase-file.",
            name="passphrase",
        )
    secret = passphrase.encode() if protected and passphrase else None
    try:
        key = load_pem_private_key(pem, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if protected:
            raise Failed(
                f"{path} could not be opened with this passphrase",
                "Try again; without the passphrase results encrypted for this key stay closed.",
                name="wrong_passphrase",
            ) from None
        raise _not_a_key(path) from None
    if not isinstance(key, RSAPrivateKey):
        raise _not_a_key(path)
    return key


def load_public(path: Path) -> RSAPublicKey:
    """The public key of a PEM file, checked as post-compute needs it: RSA of 2048 bits or more, SPKI."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    pem = _pem(path)
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey) or b"-----BEGIN PUBLIC KEY-----" not in pem:
        raise Failed(
            f"{path} is not an RSA public key in SPKI form (-----BEGIN PUBLIC KEY-----)",
            f"Write it anew: openssl pkey -in {path.with_suffix('')} -pubout -out {path}",
            name="POST_COMPUTE_MALFORMED_ENCRYPTION_PUBLIC_KEY",
        )
    if key.key_size < LEAST_BITS:
        raise Failed(
            f"{path} has {key.key_size} bits, too few to protect a result",
            f"Make a key of {BITS} bits.",
            name="weak_key",
        )
    return key


def public_pem(key: RSAPublicKey) -> str:
    """The SPKI PEM text of a public key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def sms_value(pair: KeyPair) -> str:
    """What the SMS keeps under `iexec-result-encryption-public-key`: base64 of the whole public PEM."""
    return base64.b64encode(public_pem(load_public(pair.public)).encode()).decode()


def _plain_pem(key: RSAPrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _pem(path: Path) -> bytes:
    with reading(path) as (file, _):
        return file.read(_MAX)


def _not_a_key(path: Path) -> Failed:
    return Failed(
        f"{path} is not an RSA private key in PEM form",
        "Give the file that `creamtea` or `iexec result generate-encryption-keypair` made: <0xaddress>_key",
        name="bad_private_key",
    )
