"""Signed enclaves that tests build: ELF, metadata, layout, patches, and what they must measure to.

The expected stream is written record by record from Intel's manuals, sharing nothing with the reader.
"""

import hashlib
import struct
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

PAGE = 4096
R, W, X, REG, TCS = 1, 2, 4, 0x200, 0x100
ADD, EXTEND, POST_ADD = 1, 2, 8
HEAP, TCS_ID, THREAD_DATA, SSA, STACK, GUARD, RESERVED, USER = 1, 4, 5, 6, 8, 10, 20, 23
GROUP = 0x1009
MAGIC = 0x86A80294635D0E4C


@cache
def key() -> rsa.RSAPrivateKey:
    """A signer's key, made for this run: RSA-3072 with exponent 3."""
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


def sigstruct(mrenclave: bytes, signer: rsa.RSAPrivateKey | None = None, **fields: object) -> bytes:
    """1808 bytes, signed. Fields by name: kind (the header's type), vendor, date, attributes, mask, prod, svn."""
    signer = signer or key()
    number = signer.public_key().public_numbers().n
    head = bytes.fromhex("06000000e100000000000100") + struct.pack("<I", fields.get("kind", 0))
    head += (
        struct.pack("<I", fields.get("vendor", 0)) + bytes.fromhex(str(fields.get("date", "20260131")))[::-1]
    )
    head += bytes.fromhex("01010000600000006000000001000000") + bytes(88)
    body = struct.pack("<II4x16s", 0, 0xFFFFFFFF, bytes(16))
    body += fields.get("attributes", struct.pack("<QQ", 4, 3))
    body += fields.get("mask", b"\xff" * 16)
    body += (
        mrenclave + bytes(16) + bytes(16) + struct.pack("<HH", fields.get("prod", 7), fields.get("svn", 3))
    )
    signature = int.from_bytes(signer.sign(head + body, padding.PKCS1v15(), hashes.SHA256()), "big")
    q1 = signature**2 // number
    q2 = (signature**2 % number) * signature // number
    little = [value.to_bytes(384, "little") for value in (number, signature, q1, q2)]
    made = head + little[0] + struct.pack("<I", 3) + little[1] + body + bytes(12) + little[2] + little[3]
    assert len(made) == 1808
    return made


def record(tag: bytes, *numbers: int) -> bytes:
    return (tag.ljust(8, b"\0") + struct.pack(f"<{len(numbers)}Q", *numbers)).ljust(64, b"\0")


def page_records(offset: int, flags: int, content: bytes | None) -> bytes:
    """EADD, and EEXTEND for all of the content unless it is None."""
    stream = record(b"EADD", offset, flags)
    if content is not None:
        assert len(content) == PAGE
        for at in range(0, PAGE, 256):
            stream += record(b"EEXTEND", offset + at) + content[at : at + 256]
    return stream


def ecreate(size: int, ssa: int = 1) -> bytes:
    return b"ECREATE\0" + struct.pack("<IQ", ssa, size) + bytes(44)


@dataclass
class Segment:
    """`flags` are ELF's (R 4, W 2, X 1)."""

    address: int
    data: bytes
    flags: int
    memory: int = 0

    @property
    def size(self) -> int:
        return max(self.memory, len(self.data))


@dataclass
class Entry:
    id: int
    pages: int
    attributes: int = ADD | EXTEND
    flags: int = REG | R | W
    content: bytes = b""
    fill: int = 0
    rva: int = 0


@dataclass
class Group:
    count: int
    times: int
    id: int = GROUP
    step: int = 0


@dataclass
class Plan:
    """`relocations` are addresses; `textrel` says that code is relocated. `patches`: file offset and bytes."""

    segments: list[Segment] = field(
        default_factory=lambda: [Segment(0, b"\x90" * 5000, 5), Segment(0x3100, b"data" * 300, 6, 9000)]
    )
    layout: list[Entry | Group] = field(default_factory=list)
    patches: list[tuple[int, bytes]] = field(default_factory=list)
    relocations: list[int] = field(default_factory=list)
    textrel: bool = True
    version: tuple[int, int] = (1, 5)
    ssa: int = 1
    size: int = 0
    elrange: tuple[int, int, int] | None = None
    more_versions: list[tuple[int, int]] = field(default_factory=list)
    sign: dict[str, object] = field(default_factory=dict)


@dataclass
class Built:
    """The file, its MRENCLAVE, and where things are in it."""

    file: bytes
    mrenclave: str
    stream: bytes
    meta: int
    added: int
    measured: int
    layout_at: int
    patches_at: int

    def write(self, path: Path) -> Path:
        path.write_bytes(self.file)
        return path


def place(plan: Plan) -> None:
    """Give layout entries their addresses, one after another behind the image, and the enclave a size."""
    rva = max(-(-(one.address + one.size) // PAGE) * PAGE for one in plan.segments)
    for number, row in enumerate(plan.layout):
        if isinstance(row, Entry):
            row.rva = rva
            rva += row.pages * PAGE
        else:
            members = plan.layout[number - row.count : number]
            row.step = sum(member.pages for member in members) * PAGE
            rva += row.times * row.step
    plan.size = plan.size or max(2 * PAGE, 1 << (rva - 1).bit_length())


def build(plan: Plan) -> Built:
    place(plan)
    file, spots = elf(plan)
    patched = bytearray(file)
    for at, data in plan.patches:
        patched[at : at + len(data)] = data
    shift, size = 0, plan.size
    if plan.elrange:
        shift, size = plan.elrange[0] - plan.elrange[1], plan.elrange[2]
    stream = [ecreate(size, plan.ssa)]
    loaded = [*image(plan, bytes(patched), spots), *areas(plan)]
    stream += [page_records(offset + shift, flags, content) for offset, flags, content in loaded]
    whole = b"".join(stream)
    digest = hashlib.sha256(whole)
    blocks = [metadata(plan, version, digest.digest()) for version in (plan.version, *plan.more_versions)]
    note = struct.pack("<III", 13, 0x6000, 1) + b"sgx_metadata\0" + b"".join(block[0] for block in blocks)
    meta = len(file) + 25
    made = finish(file, note.ljust(25 + 0x6000, b"\0"), plan, spots)
    measured = sum(content is not None for _, _, content in loaded)
    return Built(
        made, digest.hexdigest(), whole, meta, len(loaded), measured, meta + blocks[0][1], meta + blocks[0][2]
    )


def image(plan: Plan, file: bytes, spots: dict[str, int]):
    """The pages of the loaded segments: (offset, flags, content)."""
    touched = set()
    if plan.relocations and plan.textrel:
        for address in plan.relocations:
            touched |= {address // PAGE, (address + 7) // PAGE}
    for number, segment in enumerate(plan.segments):
        lead = segment.address % PAGE
        at = spots[f"segment{number}"]
        held = bytes(lead) + file[at : at + len(segment.data)]
        filled = -(-len(held) // PAGE) if segment.data else 0
        pages = -(-(lead + segment.size) // PAGE) if segment.size else 0
        held = held.ljust(pages * PAGE, b"\0")
        flags = (
            REG | (R if segment.flags & 4 else 0) | (W if segment.flags & 2 else 0) | segment.flags % 2 * X
        )
        for page in range(pages):
            offset = segment.address - lead + page * PAGE
            extra = W if page < filled and offset // PAGE in touched else 0
            yield offset, flags | extra, held[page * PAGE : (page + 1) * PAGE]
        if plan.version == (1, 3):
            end = -(-(segment.address + segment.size) // PAGE) * PAGE
            reach = -(-(-(-segment.size // PAGE) * PAGE + segment.address) // PAGE) * PAGE
            following = (
                plan.segments[number + 1].address // PAGE * PAGE if number + 1 < len(plan.segments) else None
            )
            if segment.address and end < reach and (following is None or end < following):
                yield end, flags, bytes(PAGE)


def areas(plan: Plan):
    for number, row in enumerate(plan.layout):
        if isinstance(row, Entry):
            yield from area(row, 0)
        else:
            for turn in range(1, row.times + 1):
                for member in plan.layout[number - row.count : number]:
                    yield from area(member, turn * row.step)


def area(row: Entry, delta: int):
    start = row.rva + delta
    if not row.attributes & ADD or not (row.flags or row.content):
        return
    page = struct.pack("<I", row.fill) * 1024
    for number in range(row.pages):
        offset, measured = start + number * PAGE, bool(row.attributes & EXTEND)
        if row.content and row.flags == TCS:
            held = bytearray(row.content.ljust(PAGE, b"\0"))
            for at in (16, 48, 56):
                value = int.from_bytes(held[at : at + 8], "little") + start
                held[at : at + 8] = (value % (1 << 64)).to_bytes(8, "little")
            yield offset, row.flags, bytes(held) if measured else None
        elif row.content:
            yield offset, row.flags, row.content[number * PAGE : (number + 1) * PAGE].ljust(PAGE, b"\0")
        else:
            yield offset, row.flags, page if measured else None


def metadata(plan: Plan, version: tuple[int, int], digest: bytes) -> tuple[bytes, int, int]:
    """A metadata block, and where its layout table and its patch table begin in it."""
    extra, base = b"", 1904

    def put(data: bytes) -> int:
        nonlocal extra
        extra += data
        return base + len(extra) - len(data)

    rows = []
    for row in plan.layout:
        if isinstance(row, Group):
            rows.append(struct.pack("<HHIQ16x", row.id, row.count, row.times, row.step))
            continue
        at = put(row.content) if row.content else 0
        length = len(row.content) or row.fill
        rows.append(
            struct.pack("<HHIQIIQ", row.id, row.attributes, row.pages, row.rva, length, at, row.flags)
        )
    patches = [struct.pack("<QII16x", at, put(data), len(data)) for at, data in plan.patches]
    layout_at, patches_at = put(b"".join(rows)), put(b"".join(patches))
    elrange_at = put(struct.pack("<QQQ", *plan.elrange)) if plan.elrange else 0
    css = sigstruct(digest, **plan.sign)
    head = struct.pack(
        "<QQIIIIIIQ16s", MAGIC, version[0] << 32 | version[1], base + len(extra), 1, plan.ssa, 2632, 0, 0,
        plan.size, struct.pack("<QQ", 4, 3),
    )  # fmt: skip
    dirs = (
        patches_at,
        32 * len(patches),
        layout_at,
        32 * len(rows),
        elrange_at,
        24 if plan.elrange else 0,
        0,
        0,
    )
    return head + css + struct.pack("<8I", *dirs) + extra, layout_at, patches_at


def elf(plan: Plan) -> tuple[bytes, dict[str, int]]:
    """The file up to its metadata, and where the parts of it are."""
    count = len(plan.segments) + 1
    file, spots = bytearray(64 + 56 * count), {}
    for number, segment in enumerate(plan.segments):
        file += bytes(-(len(file) - segment.address) % PAGE)
        spots[f"segment{number}"] = len(file)
        file += segment.data
    file += bytes(-len(file) % 16)
    spots["rela"] = len(file)
    for address in plan.relocations:
        file += struct.pack("<QQq", address, 8, 0x1234)
    spots["dynamic"] = len(file)
    tags = [(7, 0x7000_0000), (8, 24 * len(plan.relocations)), (9, 24)] if plan.relocations else []
    for tag, value in [*tags, *([(22, 0)] if plan.textrel else []), (0, 0)]:
        file += struct.pack("<QQ", tag, value)
    spots["dynamic_end"] = len(file)
    for number, segment in enumerate(plan.segments):
        file[64 + 56 * number : 120 + 56 * number] = struct.pack(
            "<IIQQQQQQ", 1, segment.flags, spots[f"segment{number}"], segment.address, segment.address,
            len(segment.data), segment.size, PAGE,
        )  # fmt: skip
    size = spots["dynamic_end"] - spots["dynamic"]
    file[64 + 56 * (count - 1) : 64 + 56 * count] = struct.pack(
        "<IIQQQQQQ", 2, 6, spots["dynamic"], 0, 0, size, size, 8
    )
    return bytes(file), spots


def finish(file: bytes, note: bytes, plan: Plan, spots: dict[str, int]) -> bytes:
    """Add the metadata section, the section table and the ELF header."""
    names = b"\0.rela.dyn\0.note.sgxmeta\0.shstrtab\0"
    note_at = len(file)
    names_at = note_at + len(note)
    table_at = names_at + len(names)
    sections = [
        (0, 0, 0, 0, 0, 0),
        (1, 4, 2, 0x7000_0000, spots["rela"], 24 * len(plan.relocations)),
        (11, 7, 0, 0, note_at, len(note)),
        (25, 3, 0, 0, names_at, len(names)),
    ]
    table = b"".join(struct.pack("<IIQQQQIIQQ", *one, 0, 0, 4, 0) for one in sections)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, table_at, 0, 64, 56, len(plan.segments) + 1, 64, len(sections), 3
    )
    return header + file[64:] + note + names + table


def thread(stack: int = 2) -> list[Entry]:
    """What one thread has: guard, stack, guard, TCS, SSA, guard, thread data."""
    tcs = bytes(16) + struct.pack(
        "<QIIQQQQII", 0x1000, 0, 2, 0x400, 0, 0x13000, 0x13000, 0xFFFFFFFF, 0xFFFFFFFF
    )
    guard = Entry(GUARD, 1, 0, 0)
    return [
        Entry(GUARD, 1, 0, 0),
        Entry(STACK, stack, ADD | EXTEND, REG | R | W, fill=0xCCCCCCCC),
        Entry(guard.id, 1, 0, 0),
        Entry(TCS_ID, 1, ADD | EXTEND, TCS, tcs),
        Entry(SSA, 2),
        Entry(GUARD, 1, 0, 0),
        Entry(THREAD_DATA, 1),
    ]
