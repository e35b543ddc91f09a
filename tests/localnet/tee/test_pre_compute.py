"""Pre-compute as a program: what it leaves, and the cause of everything that can go wrong."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from eth_account import Account

from tests.localnet.tee.services import Seen, serving
from workflows.iexec.ids import keccak_hex
from workflows.iexec.signatures import signer_of
from workflows.localnet.tee import pre_compute
from workflows.localnet.tee.stage import Services

TASK = "0x" + "17" * 32
WORKER = "0x" + "aa" * 20
ENCLAVE = Account.from_key("0x" + "42" * 32)
PLAIN = b"the dataset, \x00 with any bytes " * 5000


def _encrypt(plain: bytes, key: bytes) -> bytes:
    iv = secrets.token_bytes(16)
    pad = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + cipher.update(pad.update(plain) + pad.finalize()) + cipher.finalize()


KEY = secrets.token_bytes(32)
ENCRYPTED = _encrypt(PLAIN, KEY)


@pytest.fixture
def net() -> Iterator[tuple[Seen, Services]]:
    with serving() as (seen, services):
        seen.files["/ipfs/QmData"] = ENCRYPTED
        seen.files["/input.csv"] = b"a,b\n"
        yield seen, services


def _env(folder: Path, **changes: str | None) -> dict[str, str]:
    env: dict[str, str | None] = {
        "IEXEC_TASK_ID": TASK,
        "IEXEC_PRE_COMPUTE_OUT": str(folder),
        "IS_DATASET_REQUIRED": "true",
        "IEXEC_DATASET_URL": "/ipfs/QmData",
        "IEXEC_DATASET_KEY": base64.b64encode(KEY).decode(),
        "IEXEC_DATASET_CHECKSUM": "0x" + hashlib.sha256(ENCRYPTED).hexdigest(),
        "IEXEC_DATASET_FILENAME": "0xDataset",
        "IEXEC_INPUT_FILES_NUMBER": "0",
        "SIGN_WORKER_ADDRESS": WORKER,
        "SIGN_TEE_CHALLENGE_PRIVATE_KEY": "0x" + "42" * 32,
        **changes,
    }
    return {name: value for name, value in env.items() if value is not None}


def test_the_dataset_is_decrypted_and_nothing_else_is_left(
    net: tuple[Seen, Services], tmp_path: Path
) -> None:
    seen, services = net
    assert pre_compute.main(_env(tmp_path), services) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"0xDataset": PLAIN}
    assert seen.posts == []


def test_a_multiaddr_shown_as_p2p_and_a_url_of_the_own_gateway_are_the_same_file(
    net: tuple[Seen, Services], tmp_path: Path
) -> None:
    for url in ("/p2p/QmData", "http://127.0.0.1:9/ipfs/QmData"):
        assert pre_compute.main(_env(tmp_path, IEXEC_DATASET_URL=url), net[1]) == 0


def test_input_files_are_named_by_the_hash_of_their_url(net: tuple[Seen, Services], tmp_path: Path) -> None:
    seen, services = net
    url = seen.url + "/input.csv"
    env = _env(
        tmp_path, IS_DATASET_REQUIRED="false", IEXEC_INPUT_FILES_NUMBER="1", IEXEC_INPUT_FILE_URL_1=url
    )
    assert pre_compute.main(env, services) == 0
    name = "0x" + hashlib.sha256(url.encode()).hexdigest()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: b"a,b\n"}


def test_the_datasets_of_a_bulk_task_are_all_decrypted(net: tuple[Seen, Services], tmp_path: Path) -> None:
    seen, services = net
    second = secrets.token_bytes(32)
    seen.files["/ipfs/QmSecond"] = _encrypt(b"the second", second)
    env = _bulk(tmp_path, first={}, second=_place(seen, "/ipfs/QmSecond", second))
    assert pre_compute.main(env, services) == 0
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"first": PLAIN, "second": b"the second"}


def test_a_dataset_beside_a_bulk_is_brought_too(net: tuple[Seen, Services], tmp_path: Path) -> None:
    env = _bulk(tmp_path, first={}) | {"IS_DATASET_REQUIRED": "true"}
    assert pre_compute.main(env, net[1]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"0xDataset", "first"}


def test_of_a_bulk_every_dataset_is_tried_and_every_cause_is_told(
    net: tuple[Seen, Services], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen, services = net
    env = _bulk(
        tmp_path,
        unfit={"URL": "", "CHECKSUM": "", "KEY": ""},
        first={},
        keyless={"KEY": ""},
        lost={"URL": "/ipfs/QmOther"},
        altered={"CHECKSUM": "0x" + "00" * 32},
        locked={"KEY": "AAAA"},
        **{"../outside": {}},
        last={},
    )
    env |= {"IEXEC_INPUT_FILES_NUMBER": "2", "IEXEC_INPUT_FILE_URL_1": "http://127.0.0.1:1/x"}
    assert pre_compute.main(env, services) == 1
    told = [
        (one["cause"].removeprefix("PRE_COMPUTE_"), one["message"].partition(":")[0]) for one in seen.told
    ]
    assert told == [
        ("DATASET_URL_MISSING", "dataset unfit"),
        ("DATASET_KEY_MISSING", "dataset keyless"),
        ("DATASET_DOWNLOAD_FAILED", "dataset lost"),
        ("INVALID_DATASET_CHECKSUM", "dataset altered"),
        ("DATASET_DECRYPTION_FAILED", "dataset locked"),
        ("SAVING_PLAIN_DATASET_FAILED", "dataset ../outside"),
        ("INPUT_FILE_DOWNLOAD_FAILED", "http"),
        ("AT_LEAST_ONE_INPUT_FILE_URL_MISSING", "IEXEC_INPUT_FILE_URL_2 is not set"),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"first", "last"}
    printed = capfd.readouterr().err
    assert all(f"{one['cause']}: {one['message']}" in printed for one in seen.told)


def test_a_bulk_of_nothing_is_said_and_no_failure(
    net: tuple[Seen, Services], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pre_compute.main(_bulk(tmp_path), net[1]) == 0
    assert "could read no dataset order" in capfd.readouterr().err
    assert pre_compute.main(_bulk(tmp_path) | {"IEXEC_BULK_SLICE_SIZE": "many"}, net[1]) == 1
    assert net[0].causes == ["PRE_COMPUTE_FAILED_UNKNOWN_ISSUE"]


def _bulk(folder: Path, **datasets: dict[str, str]) -> dict[str, str]:
    """The environment of a bulk task: each dataset by its file name, with what differs from the one of `_env`."""
    env = _env(folder, IS_DATASET_REQUIRED="false", IEXEC_BULK_SLICE_SIZE=str(len(datasets)))
    usual = {name: env[f"IEXEC_DATASET_{name}"] for name in ("URL", "KEY", "CHECKSUM")}
    for n, (name, changes) in enumerate(datasets.items(), 1):
        values = {**usual, "FILENAME": name, **changes}
        env |= {f"IEXEC_DATASET_{n}_{variable}": value for variable, value in values.items()}
    return env


def _place(seen: Seen, path: str, key: bytes) -> dict[str, str]:
    checksum = "0x" + hashlib.sha256(seen.files[path]).hexdigest()
    return {"URL": path, "CHECKSUM": checksum, "KEY": base64.b64encode(key).decode()}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"IEXEC_PRE_COMPUTE_OUT": None}, "OUTPUT_PATH_MISSING"),
        ({"IS_DATASET_REQUIRED": None}, "IS_DATASET_REQUIRED_MISSING"),
        ({"IEXEC_DATASET_URL": None}, "DATASET_URL_MISSING"),
        ({"IEXEC_DATASET_KEY": None}, "DATASET_KEY_MISSING"),
        ({"IEXEC_DATASET_CHECKSUM": None}, "DATASET_CHECKSUM_MISSING"),
        ({"IEXEC_DATASET_FILENAME": None}, "DATASET_FILENAME_MISSING"),
        ({"IEXEC_INPUT_FILES_NUMBER": None}, "INPUT_FILES_NUMBER_MISSING"),
        ({"IEXEC_INPUT_FILES_NUMBER": "1"}, "AT_LEAST_ONE_INPUT_FILE_URL_MISSING"),
        ({"IEXEC_PRE_COMPUTE_OUT": "/nowhere/at/all"}, "OUTPUT_FOLDER_NOT_FOUND"),
        ({"IEXEC_DATASET_URL": "/ipfs/QmOther"}, "DATASET_DOWNLOAD_FAILED"),
        ({"IEXEC_DATASET_URL": "file:///etc/passwd"}, "DATASET_DOWNLOAD_FAILED"),
        ({"IEXEC_DATASET_CHECKSUM": "0x" + "00" * 32}, "INVALID_DATASET_CHECKSUM"),
        ({"IEXEC_DATASET_KEY": "AAAA"}, "DATASET_DECRYPTION_FAILED"),
        ({"IEXEC_DATASET_KEY": "not base64!"}, "DATASET_DECRYPTION_FAILED"),
        ({"IEXEC_DATASET_FILENAME": "../outside"}, "SAVING_PLAIN_DATASET_FAILED"),
        ({"IEXEC_DATASET_FILENAME": "x" * 300}, "SAVING_PLAIN_DATASET_FAILED"),
        (
            {"IEXEC_INPUT_FILES_NUMBER": "1", "IEXEC_INPUT_FILE_URL_1": "http://127.0.0.1:1/x"},
            "INPUT_FILE_DOWNLOAD_FAILED",
        ),
    ],
)
def test_a_failure_is_reported_with_its_cause_signed_by_the_enclave(
    net: tuple[Seen, Services], tmp_path: Path, changes: dict[str, str | None], cause: str
) -> None:
    seen, services = net
    assert pre_compute.main(_env(tmp_path, **changes), services) == 1
    assert seen.causes == [f"PRE_COMPUTE_{cause}"]
    assert seen.posts[0][0] == f"/compute/pre/{TASK}/exit-causes"
    assert signer_of(keccak_hex(TASK, WORKER), seen.post("/exit-causes")[1]) == ENCLAVE.address
    assert not list(tmp_path.glob(".dataset*"))


def test_a_wrong_key_leaves_no_plaintext(net: tuple[Seen, Services], tmp_path: Path) -> None:
    seen, services = net
    for _ in range(5):  # a wrong key may give a valid padding once in 256
        env = _env(tmp_path, IEXEC_DATASET_KEY=base64.b64encode(secrets.token_bytes(32)).decode())
        if pre_compute.main(env, services) == 1:
            break
    assert seen.causes == ["PRE_COMPUTE_DATASET_DECRYPTION_FAILED"]
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_is_compared_before_anything_is_decrypted(
    net: tuple[Seen, Services], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, services = net
    seen.files["/ipfs/QmData"] = ENCRYPTED[:-1] + bytes([ENCRYPTED[-1] ^ 1])
    monkeypatch.setattr(pre_compute, "decrypt_cbc", lambda *_: pytest.fail("decrypted"))
    assert pre_compute.main(_env(tmp_path), services) == 1
    assert seen.causes == ["PRE_COMPUTE_INVALID_DATASET_CHECKSUM"]


def test_exit_codes_for_no_task_and_for_a_deaf_worker(net: tuple[Seen, Services], tmp_path: Path) -> None:
    seen, services = net
    assert pre_compute.main(_env(tmp_path, IEXEC_TASK_ID=None), services) == 3
    seen.refuse.add("/compute")
    assert pre_compute.main(_env(tmp_path, IEXEC_DATASET_KEY=None), services) == 2


def test_no_secret_is_printed(
    net: tuple[Seen, Services], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    env = _env(tmp_path)
    pre_compute.main(env, net[1])
    pre_compute.main(env | {"IEXEC_DATASET_CHECKSUM": "0x00"}, net[1])
    printed = "".join(capfd.readouterr())
    assert printed
    assert env["IEXEC_DATASET_KEY"] not in printed and "42" * 32 not in printed
    assert env["IEXEC_DATASET_KEY"] not in str(net[0].posts)


def _of_2021(folder: Path, **changes: str | None) -> dict[str, str]:
    """The session of an old app gives pre-compute no key to sign with."""
    return _env(folder, SIGN_WORKER_ADDRESS=None, SIGN_TEE_CHALLENGE_PRIVATE_KEY=None, **changes)


def test_data_for_an_old_app_has_the_names_of_2021(net: tuple[Seen, Services], tmp_path: Path) -> None:
    seen, services = net
    seen.files["/x/in.csv?v=1"] = b"1"
    changes = {
        "IEXEC_DATASET_URL": "https://gateway.ipfs.io/ipfs/QmData",  # a multiaddr, as it was written then
        "IEXEC_DATASET_FILENAME": "salaries 2020.csv",
        "IEXEC_INPUT_FILES_NUMBER": "2",
        "IEXEC_INPUT_FILE_URL_1": seen.url + "/input.csv",
        "IEXEC_INPUT_FILE_URL_2": seen.url + "/x/in.csv?v=1",
    }
    assert pre_compute.main(_of_2021(tmp_path, **changes), services) == 0
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"salaries 2020.csv": PLAIN, "input.csv": b"a,b\n", "in.csv?v=1": b"1"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"IEXEC_DATASET_KEY": ""}, 64),
        ({"IEXEC_PRE_COMPUTE_OUT": "/nowhere/at/all"}, 65),
        ({"IEXEC_DATASET_URL": "/ipfs/QmOther"}, 66),
        ({"IEXEC_DATASET_CHECKSUM": "0x" + "00" * 32}, 67),
        ({"IEXEC_DATASET_KEY": "AAAA"}, 69),
        ({"IEXEC_DATASET_FILENAME": "a/b"}, 70),
        ({"IEXEC_INPUT_FILES_NUMBER": "1", "IEXEC_INPUT_FILE_URL_1": "http://127.0.0.1:1/x"}, 72),
        ({"IEXEC_INPUT_FILES_NUMBER": "1", "IEXEC_INPUT_FILE_URL_1": "http://127.0.0.1:1/x/"}, 72),
    ],
)
def test_pre_compute_of_an_old_app_tells_by_its_exit_code_and_sends_nothing(
    net: tuple[Seen, Services], tmp_path: Path, changes: dict[str, str | None], code: int
) -> None:
    seen, services = net
    assert pre_compute.main(_of_2021(tmp_path, **changes), services) == code
    assert seen.posts == []
