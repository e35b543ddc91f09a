"""Order tags: names of bits in a bytes32 (PoCo; iexec-commons-poco `TeeUtils`)."""

from __future__ import annotations

from collections.abc import Iterable

from workflows.core.failure import Failed
from workflows.iexec.ids import hash32

BITS = {"tee": 0, "scone": 1, "gramine": 2, "tdx": 3, "gpu": 8}
FRAMEWORKS = ("scone", "gramine", "tdx")

_NAMES = {bit: name for name, bit in BITS.items()}


def encode(names: Iterable[str]) -> str:
    """Tag names, as `["tee", "scone"]` or `bit 17`, to the bytes32 of an order."""
    value = 0
    for name in names:
        word = name.strip().lower()
        bit = BITS.get(word, -1)
        if bit < 0 and word.startswith("bit ") and word[4:].isdecimal() and int(word[4:]) < 256:
            bit = int(word[4:])
        if bit < 0:
            raise Failed(f"unknown tag {name!r}", f"Known tags are {', '.join(BITS)}.", name="unknown_tag")
        value |= 1 << bit
    return "0x" + value.to_bytes(32, "big").hex()


def decode(tag: str) -> tuple[str, ...]:
    """The names of the bits that are set, lowest first; `bit 17` for one without a name."""
    value = int(hash32(tag), 16)
    return tuple(_NAMES.get(bit, f"bit {bit}") for bit in range(256) if value >> bit & 1)


def union(*tags: str) -> str:
    """All bits of all tags: the tag of a deal."""
    value = 0
    for tag in tags:
        value |= int(hash32(tag), 16)
    return "0x" + value.to_bytes(32, "big").hex()


def missing(wanted: str, offered: str) -> tuple[str, ...]:
    """The names of bits that `wanted` has and `offered` lacks."""
    return decode("0x" + (int(hash32(wanted), 16) & ~int(hash32(offered), 16)).to_bytes(32, "big").hex())


def has_tee(tag: str) -> bool:
    """Whether bit 0 asks for a trusted execution environment."""
    return bool(int(hash32(tag), 16) & 1)


def framework(tag: str) -> str | None:
    """`scone`, `gramine` or `tdx` when the low nibble is exactly tee plus one of them."""
    return {0b0011: "scone", 0b0101: "gramine", 0b1001: "tdx"}.get(int(hash32(tag), 16) & 0xF)


def check(tag: str, *, framework_needed: bool = True) -> None:
    """Refuse a tag that no worker can serve: a framework without tee, two frameworks, tee without one.

    `framework_needed=False` for dataset and request orders, where tee alone is accepted.
    """
    value = int(hash32(tag), 16)
    chosen = [name for name in FRAMEWORKS if value >> BITS[name] & 1]
    if len(chosen) > 1:
        raise Failed(
            f"the tag names more than one TEE framework: {', '.join(chosen)}",
            "A task runs in exactly one of them.",
            name="tag_frameworks_exclusive",
        )
    if chosen and not value & 1:
        raise Failed(
            f"the tag {chosen[0]} stands without tee",
            f"Use tee,{chosen[0]}.",
            name="tag_without_tee",
        )
    if value & 1 and not chosen and framework_needed:
        raise Failed(
            "the tag tee names no TEE framework",
            f"Add one of {', '.join(FRAMEWORKS)}.",
            name="tag_without_framework",
        )


TEE_SCONE = encode(("tee", "scone"))
