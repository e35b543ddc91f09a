"""Keccak-256 and secp256k1 signatures for a program that has only Python's standard library.

Keccak with the original padding (Ethereum's, not SHA-3); ECDSA with the deterministic nonce of RFC 6979.
Not constant in time: enough for a simulated enclave, nothing to reuse elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

_MASK = (1 << 64) - 1
_RATE = 136

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Point = tuple[int, int] | None


def keccak(data: bytes) -> bytes:
    """Keccak-256, 32 bytes."""
    padded = bytearray(data + b"\x01" + bytes(-(len(data) + 1) % _RATE))
    padded[-1] |= 0x80
    state = [0] * 25
    for block in range(0, len(padded), _RATE):
        for lane in range(_RATE // 8):
            at = block + 8 * lane
            state[lane] ^= int.from_bytes(padded[at : at + 8], "little")
        state = _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


def _permute(state: list[int]) -> list[int]:
    """Keccak-f[1600]; lane (x, y) is at x + 5y."""
    register = 1
    for _ in range(24):
        column = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        for x in range(5):
            mix = column[x - 1] ^ _rotate(column[(x + 1) % 5], 1)
            for y in range(0, 25, 5):
                state[x + y] ^= mix
        x, y, current = 1, 0, state[1]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            turned = _rotate(current, (step + 1) * (step + 2) // 2 % 64)
            current, state[x + 5 * y] = state[x + 5 * y], turned
        for y in range(0, 25, 5):
            row = state[y : y + 5]
            for x in range(5):
                state[x + y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5] & _MASK)
        for bit in range(7):  # the round constant, from its shift register
            if register & 1:
                state[0] ^= 1 << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
    return state


def _rotate(lane: int, count: int) -> int:
    return ((lane << count) | (lane >> (64 - count))) & _MASK


def private_key(text: str) -> int:
    """A private key from 64 hex digits, with or without 0x. ValueError: it is none."""
    digits = text.removeprefix("0x")
    key = int(digits, 16)
    if len(digits) != 64 or not 0 < key < N:
        raise ValueError("not a private key")
    return key


def personal_sign(key: int, digest: bytes) -> str:
    """EIP-191 signature of 32 bytes: r‖s‖v, s in the lower half, v 27 or 28, as 0x-hex."""
    message = keccak(b"\x19Ethereum Signed Message:\n32" + digest)
    r, s, parity = _sign(key, message)
    return "0x" + (r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + parity])).hex()


def _sign(key: int, digest: bytes) -> tuple[int, int, int]:
    z = int.from_bytes(digest, "big")
    for nonce in _nonces(key, digest):
        point = _multiply(nonce, G)
        if point is None:
            continue
        r = point[0] % N
        s = pow(nonce, -1, N) * (z + r * key) % N
        if r == 0 or s == 0 or point[0] >= N:
            continue
        return (r, N - s, 1 - point[1] % 2) if s > N // 2 else (r, s, point[1] % 2)
    raise AssertionError("RFC 6979 never ends")


def _nonces(key: int, digest: bytes) -> Iterator[int]:
    seed = key.to_bytes(32, "big") + (int.from_bytes(digest, "big") % N).to_bytes(32, "big")
    v, k = b"\x01" * 32, b"\x00" * 32
    for mark in (b"\x00", b"\x01"):
        k = _mac(k, v + mark + seed)
        v = _mac(k, v)
    while True:
        v = _mac(k, v)
        if 0 < (candidate := int.from_bytes(v, "big")) < N:
            yield candidate
        k = _mac(k, v + b"\x00")
        v = _mac(k, v)


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _multiply(factor: int, point: Point) -> Point:
    result: Point = None
    while factor:
        if factor & 1:
            result = _add(result, point)
        point = _add(point, point)
        factor >>= 1
    return result
