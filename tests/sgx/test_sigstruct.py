"""SIGSTRUCTs: what they say, and that no bit of them can be changed unnoticed."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sgx.enclaves import build, key, sigstruct
from tests.sgx.test_signed_enclaves import Plan
from workflows.cli import main
from workflows.core.failure import Failed
from workflows.sgx import intel
from workflows.sgx import sigstruct as reader
from workflows.sgx.inspection import Inspection, inspect

MRENCLAVE = bytes(range(32))


@pytest.fixture(scope="module")
def good() -> bytes:
    return sigstruct(MRENCLAVE, date="20231104", vendor=0x8086, prod=513, svn=65535)


def test_its_fields(good: bytes, tmp_path: Path) -> None:
    (tmp_path / "enclave.sig").write_bytes(good)
    found = inspect(tmp_path / "enclave.sig")
    document = found.document
    signed = document["sigstruct"]
    modulus = key().public_key().public_numbers().n.to_bytes(384, "little")
    assert found.sound
    assert document["kind"] == "sigstruct"
    assert document["mrenclave"] is document["matches"] is document["pages"] is document["heap"] is None
    assert signed["mrenclave"] == MRENCLAVE.hex()
    assert signed["mrsigner"] == hashlib.sha256(modulus).hexdigest()
    assert (signed["date"], signed["vendor"]) == ("2023-11-04", 0x8086)
    assert (signed["isvprodid"], signed["isvsvn"]) == (513, 65535)
    assert signed["attributes"] == "04000000000000000300000000000000"
    assert signed["attribute_names"] == ["MODE64BIT"]
    assert not signed["debug"]
    assert signed["signature_valid"]


def test_every_bit_counts(good: bytes) -> None:
    assert reader.parse(good).valid
    passed = []
    for bit in range(len(good) * 8):
        altered = bytearray(good)
        altered[bit // 8] ^= 1 << bit % 8
        if reader.parse(bytes(altered)).valid:
            passed.append(bit)
    assert passed == []


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (3, {"header", "signature"}),
        (30, {"header", "signature"}),
        (60, {"reserved", "signature"}),
        (200, {"signature", "q1", "q2"}),
        (512, {"exponent"}),
        (600, {"signature", "q1", "q2"}),
        (960, {"signature"}),
        (1030, {"reserved"}),
        (1100, {"q1"}),
        (1500, {"q2"}),
    ],
)
def test_what_is_wrong_is_named(good: bytes, at: int, wrong: set[str], tmp_path: Path) -> None:
    altered = bytearray(good)
    altered[at] ^= 0x40
    (tmp_path / "altered.sig").write_bytes(altered)
    found = inspect(tmp_path / "altered.sig")
    checks = found.document["sigstruct"]["checks"]
    assert {name for name, ok in checks.items() if not ok} == wrong
    assert found.document["sigstruct"]["signature_valid"] is False
    assert not found.sound


@pytest.mark.parametrize(
    "number", [0, 1, 2, (1 << 3072) - 1, 1 << 3071], ids=["zero", "one", "two", "largest", "power of two"]
)
def test_a_hostile_modulus(good: bytes, number: int) -> None:
    altered = good[:128] + number.to_bytes(384, "little") + good[512:]
    assert not reader.parse(altered).valid


def test_a_forged_cube_is_no_signature(good: bytes) -> None:
    """With e = 3, who reads only the beginning of the padding takes a cube root for a signature."""
    digest = hashlib.sha256(good[:128] + good[900:1028]).digest()
    start = b"\0\1\xff\0" + bytes.fromhex("3031300d060960864801650304020105000420") + digest
    target = int.from_bytes(start.ljust(384, b"\xff"), "big")
    root = 1 << 1020
    while root**3 > target:  # Newton's way down to the cube root
        root = (2 * root + target // root**2) // 3
    assert (root**3).to_bytes(384, "big").startswith(start)
    forged = good[:516] + root.to_bytes(384, "little") + good[900:]
    assert reader.parse(forged).checks()["signature"] is False


def warnings_of(folder: Path, data: bytes) -> str:
    return "\n".join(inspect_bytes(folder, data).document["warnings"])


def test_what_deserves_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert warnings_of(tmp_path, sigstruct(MRENCLAVE)) == ""
    assert "DEBUG is set" in warnings_of(tmp_path, sigstruct(MRENCLAVE, attributes=struct.pack("<QQ", 6, 3)))
    assert "may set DEBUG" in warnings_of(tmp_path, sigstruct(MRENCLAVE, mask=b"\xfd" + b"\xff" * 15))
    assert "provisioning key" in warnings_of(
        tmp_path, sigstruct(MRENCLAVE, attributes=struct.pack("<QQ", 0x14, 3))
    )
    assert "launch key" in warnings_of(tmp_path, sigstruct(MRENCLAVE, attributes=struct.pack("<QQ", 0x24, 3)))
    assert "date" in warnings_of(tmp_path, sigstruct(MRENCLAVE, date="20a60131"))
    mrsigner = reader.parse(sigstruct(MRENCLAVE)).mrsigner
    monkeypatch.setitem(reader.PUBLIC_KEYS, mrsigner, "a key that everybody has")
    assert "a key that everybody has" in warnings_of(tmp_path, sigstruct(MRENCLAVE))
    monkeypatch.setitem(reader.INTEL, mrsigner, "launch")
    assert "signed by Intel" in warnings_of(tmp_path, sigstruct(MRENCLAVE))


def test_the_signers_that_are_known() -> None:
    """As published: the sample key of Intel's SDK, the signer of Intel's launch enclave and of its QE."""
    assert "83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e" in reader.PUBLIC_KEYS
    assert "acb77012053e05a63d413b8bbae8fb6c5d73b3f2996d91c43bbbf90959c0f8d4" in reader.INTEL
    assert reader.INTEL.keys() >= intel.QUOTING_ENCLAVES.keys()


def test_a_debug_release_is_told(tmp_path: Path) -> None:
    """Bit 31 of the header's type, as in the launch enclave that Intel publishes."""
    signed = sigstruct(MRENCLAVE, kind=1 << 31)
    assert signed[:16].hex() == "06000000e10000000000010000000080"
    found = inspect_bytes(tmp_path, signed)
    assert found.sound
    assert any("debug release" in text for text in found.document["warnings"])
    assert not inspect_bytes(tmp_path, sigstruct(MRENCLAVE, kind=1 << 30)).sound


def inspect_bytes(folder: Path, data: bytes) -> Inspection:
    (folder / "some.sig").write_bytes(data)
    return inspect(folder / "some.sig")


def test_another_signer_is_another_mrsigner() -> None:
    other = rsa.generate_private_key(public_exponent=3, key_size=3072)
    one, two = reader.parse(sigstruct(MRENCLAVE)), reader.parse(sigstruct(MRENCLAVE, other))
    assert one.valid
    assert two.valid
    assert one.mrsigner != two.mrsigner


@pytest.mark.parametrize("text", [lambda data: data.hex(), lambda data: "0x" + data.hex().upper() + "\n"])
def test_in_hex(good: bytes, text, tmp_path: Path) -> None:
    (tmp_path / "sig.txt").write_text(text(good))
    assert inspect(tmp_path / "sig.txt").document["sigstruct"]["mrenclave"] == MRENCLAVE.hex()


def test_found_in_a_file_of_another_kind(good: bytes, tmp_path: Path) -> None:
    """As a sconified program has it: the layout is not known, so nothing is computed."""
    program = b"\x7fELF\x02\x01\x01".ljust(64, b"\0") + bytes(5 << 20)
    for at in (64, 100_001, (4 << 20) - 17, len(program) - 1808):
        (tmp_path / "python3").write_bytes(program[:at] + good + program[at + 1808 :])
        found = inspect(tmp_path / "python3")
        assert found.sound
        assert found.document["kind"] == "sigstruct"
        assert found.document["offset"] == at
        assert found.document["mrenclave"] is None
        assert any("SCONE" in warning for warning in found.document["warnings"])


def test_of_several_a_valid_one_is_shown(good: bytes, tmp_path: Path) -> None:
    broken = good[:960] + bytes(32) + good[992:]
    (tmp_path / "program").write_bytes(bytes(10) + broken + bytes(7) + good + bytes(3))
    found = inspect(tmp_path / "program")
    assert found.document["offset"] == 10 + 1808 + 7
    assert any("2 SIGSTRUCTs" in warning for warning in found.document["warnings"])


def test_a_cut_enclave_is_not_taken_for_its_sigstruct(tmp_path: Path) -> None:
    built = build(Plan())
    file = tmp_path / "cut.signed.so"
    file.write_bytes(built.file[: built.meta + 0x1000])
    with pytest.raises(Failed, match="ends before"):
        inspect(file)


@given(st.binary(max_size=3000), st.integers(0, 1808))
@settings(max_examples=50)
def test_noise_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, cut: int
) -> None:
    file = tmp_path_factory.mktemp("noise") / "file"
    for data in (noise, sigstruct(MRENCLAVE)[:cut] if cut < 1808 else noise):
        file.write_bytes(data)
        try:
            inspect(file)
        except Failed as failure:
            assert failure.hint
            assert "\n" not in failure.message


def test_the_command(good: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "enclave.sig"
    file.write_bytes(good)
    assert main(["measure", str(file)]) == 0
    assert "✓ RSA-3072" in capsys.readouterr().out
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert main(["measure", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["sigstruct"]["signature_valid"] is False
    assert main(["measure", str(file)]) == 1
    assert "wrong: q2" in capsys.readouterr().out
    file.write_bytes(good[:-1])
    assert main(["measure", str(file)]) == 1
    assert "creamtea: " in capsys.readouterr().err
