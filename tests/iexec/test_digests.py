"""The digest of a result by the rules of computed.json, with iexec-common's published values."""

import hashlib
import json
from pathlib import Path

import pytest

from workflows.core.failure import Failed
from workflows.iexec.digests import check_digest, digest
from workflows.iexec.ids import keccak


def result(folder: Path, computed: object, **files: bytes) -> Path:
    (folder / "computed.json").write_text(computed if isinstance(computed, str) else json.dumps(computed))
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_callback_data_as_iexec_common_computes_it(tmp_path: Path) -> None:
    folder = result(tmp_path, {"callback-data": "0x" + "00" * 31 + "01"})
    assert digest(folder) == (
        "0xb10e2d527612073b26eecdfd717e6a320cf44b4afac2b0732d9fcbe2b7fa0cf6",
        "callback",
    )


@pytest.mark.parametrize("named", ["/iexec_out/result.txt", "iexec_out/result.txt", "/result.txt"])
def test_a_file_is_its_sha256(tmp_path: Path, named: str) -> None:
    folder = result(tmp_path, {"deterministic-output-path": named}, **{"result.txt": b"hello"})
    assert digest(folder) == (
        "0x2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "file",
    )


def test_a_folder_is_the_keccak_of_its_sorted_direct_files(tmp_path: Path) -> None:
    folder = result(tmp_path, {"deterministic-output-path": "/iexec_out"}, b=b"2", a=b"1", B=b"3")
    (folder / "sub").mkdir()
    (folder / "sub" / "unseen").write_bytes(b"x")
    hashes = b"".join(
        hashlib.sha256((folder / name).read_bytes()).digest() for name in ("B", "a", "b", "computed.json")
    )
    assert digest(folder) == ("0x" + keccak(hashes).hex(), "folder")
    (folder / "sub" / "unseen").write_bytes(b"y")
    assert digest(folder)[0] == "0x" + keccak(hashes).hex()


def test_the_order_is_java_s(tmp_path: Path) -> None:
    names = ["\U0001f600", "\uffee"]  # by code points the other way round
    folder = result(tmp_path, {"deterministic-output-path": "/iexec_out/d"})
    (folder / "d").mkdir()
    for name in names:
        (folder / "d" / name).write_text(name)
    hashes = b"".join(hashlib.sha256(name.encode()).digest() for name in names)
    assert digest(folder)[0] == "0x" + keccak(hashes).hex()


@pytest.mark.parametrize(
    "computed",
    [
        "no json", "[]", "{}", "null", "[" * 100_000,
        {"deterministic-output-path": ""},
        {"deterministic-output-path": 3},
        {"deterministic-output-path": "/iexec_out/absent"},
        {"deterministic-output-path": "/iexec_out/../../etc/passwd"},
        {"deterministic-output-path": "../outside"},
        {"deterministic-output-path": "/etc/passwd"},
        {"deterministic-output-path": "/iexec_out/a\x00b"},
        {"callback-data": "0xnothex"},
    ],
)  # fmt: skip
def test_what_gives_no_digest_says_why(tmp_path: Path, computed: object) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").write_bytes(b"x")
    result(folder, computed)
    with pytest.raises(Failed) as caught:
        digest(folder)
    assert caught.value.name == "POST_COMPUTE_RESULT_DIGEST_COMPUTATION_FAILED"
    check = check_digest(folder, "0x" + "00" * 32)
    assert (check.ok, check.computed, check.because) == (False, None, caught.value.message)


def test_a_missing_computed_json_is_no_crash(tmp_path: Path) -> None:
    assert "has none" in check_digest(tmp_path, "0x00").because


def test_the_comparison_with_the_chain(tmp_path: Path) -> None:
    folder = result(tmp_path, {"deterministic-output-path": "/iexec_out/r"}, r=b"hello")
    good = "0x2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824"
    assert check_digest(folder, good).ok
    bad = check_digest(folder, "0x" + "11" * 32)
    assert not bad.ok and bad.mode == "file" and "do not rely" in bad.because
