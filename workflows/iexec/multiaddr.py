"""The `multiaddr` field of apps and datasets: a binary /ipfs multiaddr, or plain text (as in SDK 8.24)."""

from __future__ import annotations

# varint(421, the p2p/ipfs protocol), varint(34), then a SHA-256 multihash (0x12 0x20 + 32 bytes)
_PREFIX = bytes.fromhex("a50322")
_MULTIHASH = bytes.fromhex("1220")


def encode(text: str) -> bytes:
    """The bytes that go on chain: binary for `/ipfs/Qm…` and `/p2p/Qm…`, UTF-8 for image names and URLs.

    A CIDv1 path stays text: the binary form would lose its codec.
    """
    for prefix in ("/ipfs/", "/p2p/"):
        if text.startswith(prefix) and (multihash := _from_base58(text[len(prefix) :])):
            return _PREFIX + multihash
    return text.encode()


def decode(data: bytes) -> str:
    """The text of a multiaddr field; `/ipfs/Qm…` for the binary form, 0x-hex for bytes that are neither."""
    multihash = data[len(_PREFIX) :]
    if data.startswith(_PREFIX + _MULTIHASH) and len(multihash) == 34:
        from multiformats import multibase

        return "/ipfs/" + str(multibase.encode(multihash, "base58btc"))[1:]
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "0x" + data.hex()


def _from_base58(text: str) -> bytes | None:
    """The multihash of a `Qm…` text, None when it is something else."""
    if not text.startswith("Qm") or len(text) != 46:
        return None
    from multiformats import multibase

    try:
        raw = bytes(multibase.decode("z" + text))
    except Exception:  # the library has a kind of its own for every flaw
        return None
    return raw if len(raw) == 34 and raw.startswith(_MULTIHASH) else None
