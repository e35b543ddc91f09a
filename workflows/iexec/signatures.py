"""EIP-191 signatures over 32-byte digests: worker authorisations, enclave signatures, SMS challenges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflows.iexec.ids import address, hash32, unhex

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


def sign_digest(account: LocalAccount, digest: str) -> str:
    """`personal_sign` over the 32 raw bytes of a digest; 65 bytes r‖s‖v as 0x-hex."""
    from eth_account.messages import encode_defunct

    signed = account.sign_message(encode_defunct(primitive=unhex(hash32(digest))))
    return "0x" + bytes(signed.signature).hex()


def signer_of(digest: str, signature: str) -> str | None:
    """The address whose key made the signature of `sign_digest`; None for anything that is no signature."""
    from eth_account import Account
    from eth_account.messages import encode_defunct

    try:
        raw = unhex(signature)
        if len(raw) != 65:
            return None
        message = encode_defunct(primitive=unhex(hash32(digest)))
        return address(Account.recover_message(message, signature=raw))
    except Exception:  # the library raises many kinds; whatever it is, nobody signed this
        return None
