"""Result archives of every generation: told apart, decrypted, unpacked, refused with one error."""

import base64
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.core.failure import Failed, Missing
from workflows.iexec import results
from workflows.iexec.dataset import refused

KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
FILES = {"computed.json": b'{"deterministic-output-path":"/iexec_out/result.txt"}', "result.txt": b"42\n"}
in_folder = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def aes(key: bytes, mode: Any, data: bytes) -> bytes:
    pad = 16 - len(data) % 16
    encryptor = Cipher(algorithms.AES(key), mode).encryptor()
    return encryptor.update(data + bytes([pad]) * pad) + encryptor.finalize()


def v9(inner: bytes, public: rsa.RSAPublicKey | None = None) -> dict[str, bytes]:
    key, iv = os.urandom(32), os.urandom(16)
    return {
        "aes-key.rsa": (public or KEY.public_key()).encrypt(key, padding.PKCS1v15()),
        "iexec_out.zip.aes": iv + aes(key, modes.CBC(iv), inner),
    }


def v5(inner: bytes, public: rsa.RSAPublicKey | None = None) -> dict[str, bytes]:
    key = os.urandom(16)
    coded = (public or KEY.public_key()).encrypt(base64.b64encode(key), padding.PKCS1v15())
    return {
        "aes-key.rsa": base64.b64encode(coded),
        "iexec_out.zip.aes": base64.b64encode(aes(key, modes.ECB(), inner)),
    }


def v4(inner: bytes, public: rsa.RSAPublicKey | None = None) -> dict[str, bytes]:
    key, iv = os.urandom(32), os.urandom(16)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    return {
        "iexec_out/encrypted_key": (public or KEY.public_key()).encrypt(key, oaep),
        "iexec_out/result.zip.aes": iv + aes(key, modes.CBC(iv), inner),
        "stdout.txt": b"",
    }


MAKERS = {"v9": v9, "v5": v5, "v4": v4}


def save(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(zipped(files))
    return path


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("size", [0, 3, 1_500_000])
def test_every_generation_opens(tmp_path: Path, kind: str, size: int) -> None:
    files = {**FILES, "big.bin": os.urandom(size)}
    path = save(tmp_path / "result.zip", MAKERS[kind](zipped(files)))
    assert results.kind(path) == kind
    opened = results.extract(path, tmp_path / "out", KEY)
    assert {name: (opened.folder / name).read_bytes() for name in opened.files} == files
    assert opened.kind == kind
    assert bool(opened.warnings) == (kind != "v9")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "result.zip"]


def test_line_ends_in_the_old_base64_are_harmless(tmp_path: Path) -> None:
    files = v5(zipped(FILES))
    files = {name: base64.encodebytes(base64.b64decode(data)) for name, data in files.items()}
    opened = results.extract(save(tmp_path / "r.zip", files), tmp_path / "out", KEY)
    assert (opened.kind, (tmp_path / "out" / "result.txt").read_bytes()) == ("v5", b"42\n")


def test_a_plain_archive_needs_no_key(tmp_path: Path) -> None:
    path = save(tmp_path / "r.zip", FILES)
    assert results.kind(path) == "plain"
    assert results.extract(path, tmp_path / "out").files == ("computed.json", "result.txt")


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.enc").write_bytes(os.urandom(64))
    assert results.kind(tmp_path / "data.enc") is None
    with pytest.raises(Failed, match="not a zip archive"):
        results.extract(tmp_path / "data.enc", tmp_path / "out")


@pytest.mark.parametrize("kind", MAKERS)
def test_without_the_key_it_is_asked_for(tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / "r.zip", MAKERS[kind](zipped(FILES)))
    with pytest.raises(Missing) as caught:
        results.extract(path, tmp_path / "out")
    assert caught.value.name == "key_needed"


def bad_archives(kind: str) -> list[dict[str, bytes]]:
    inner = zipped(FILES)
    good = MAKERS[kind](inner)
    key_name, payload_name = list(good)[:2]
    wrong_key = MAKERS[kind](inner, OTHER.public_key())
    cases = [wrong_key, MAKERS[kind](b"no zip at all, but padded well"), MAKERS[kind](b"")]
    for cut in (0, 15, 16, 31, 33, len(good[payload_name]) - 1, len(good[payload_name]) - 16):
        cases.append({**good, payload_name: good[payload_name][:cut]})
    cases.append({**good, payload_name: wrong_key[payload_name]})
    cases.append({**good, key_name: good[key_name][:-1]})
    cases.append({**good, key_name: b"\x00" * len(good[key_name])})
    cases.append({**good, key_name: b""})
    cases.append({**good, key_name: KEY.public_key().encrypt(b"short", padding.PKCS1v15())})
    return cases


@pytest.mark.parametrize("kind", MAKERS)
def test_everything_wrong_with_a_ciphertext_is_one_error_and_leaves_nothing(
    tmp_path: Path, kind: str
) -> None:
    for case in bad_archives(kind):
        path = save(tmp_path / "r.zip", case)
        with pytest.raises(Failed) as caught:
            results.extract(path, tmp_path / "out", KEY)
        expected = refused()
        assert (caught.value.message, caught.value.hint, caught.value.name) == (
            expected.message,
            expected.hint,
            expected.name,
        )
        assert [entry.name for entry in tmp_path.iterdir()] == ["r.zip"]


@in_folder
@given(kind=st.sampled_from(sorted(MAKERS)), where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_never_leaves_half_a_result(tmp_path: Path, kind: str, where: int, bit: int) -> None:
    files = MAKERS[kind](zipped(FILES))
    name = list(files)[where % 2]
    data = bytearray(files[name])
    data[where % len(data)] ^= 1 << bit
    path = save(tmp_path / "r.zip", {**files, name: bytes(data)})
    try:
        opened = results.extract(path, tmp_path / "out", KEY)
    except Failed:
        assert [entry.name for entry in tmp_path.iterdir()] == ["r.zip"]
    else:  # a bit that no check covers (a date in the inner zip): the files themselves have their CRC
        assert {name: (opened.folder / name).read_bytes() for name in opened.files} == FILES
        opened.folder.rename(tmp_path.parent / f"{tmp_path.name}-{os.urandom(4).hex()}")


def test_a_hostile_archive_inside_an_encrypted_one_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "r.zip", v9(zipped({"../evil": b"x"})))
    with pytest.raises(Failed) as caught:
        results.extract(path, tmp_path / "out", KEY)
    assert caught.value.name == "hostile_archive"
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.zip"]


def test_limits_of_the_sdk_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "r.zip", {**v9(zipped(FILES)), "aes-key.rsa": b"\x00" * 1001})
    with pytest.raises(Failed, match="too large"):
        results.extract(path, tmp_path / "out", KEY)
    monkeypatch.setattr(results, "PAYLOAD_LIMIT", 1000)
    path = save(tmp_path / "r.zip", v9(zipped({"a": os.urandom(2000)})))
    with pytest.raises(Failed, match="larger than"):
        results.extract(path, tmp_path / "out", KEY)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.zip"]


def test_two_payloads_of_one_name_are_refused(tmp_path: Path) -> None:
    files = v9(zipped(FILES))
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning):
            archive.writestr("iexec_out.zip.aes", b"other")
    with pytest.raises(Failed, match="twice"):
        results.extract(tmp_path / "r.zip", tmp_path / "out", KEY)


def test_computed_json_survives(tmp_path: Path) -> None:
    opened = results.extract(save(tmp_path / "r.zip", v9(zipped(FILES))), tmp_path / "out", KEY)
    assert json.loads((opened.folder / "computed.json").read_text())
