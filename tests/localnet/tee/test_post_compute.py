"""Post-compute as a program: digests, archives, encryption, signatures, and the cause of every failure."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from eth_account import Account

from tests.localnet.tee.services import Seen, serving
from workflows.iexec.ids import enclave_hash, keccak_hex
from workflows.iexec.signatures import signer_of
from workflows.localnet.tee import post_compute
from workflows.localnet.tee.stage import Services

TASK = "0x" + "17" * 32
WORKER = "0x" + "aa" * 20
ENCLAVE = Account.from_key("0x" + "42" * 32)
PRIVATE = rsa.generate_private_key(65537, 2048)


def _public(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(pem).decode()


class Room:
    """An output folder and the services; `run` is one run of the program."""

    def __init__(self, folder: Path, seen: Seen, services: Services) -> None:
        self.out, self.temporary = folder / "iexec_out", folder / "tmp"
        self.out.mkdir()
        self.temporary.mkdir()
        self.seen, self.services = seen, services

    def leave(self, path: str, **files: str | bytes) -> None:
        """What the app leaves; `path` goes into computed.json."""
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (self.out / name.replace("_", ".")).write_bytes(data)
        (self.out / "computed.json").write_text(json.dumps({"deterministic-output-path": path}))

    def run(self, **changes: str) -> int:
        env = {
            "IEXEC_TASK_ID": TASK,
            "RESULT_ENCRYPTION": "false",
            "RESULT_ENCRYPTION_PUBLIC_KEY": "",
            "RESULT_STORAGE_CALLBACK": "false",
            "RESULT_STORAGE_PROVIDER": "ipfs",
            "RESULT_STORAGE_PROXY": "http://127.0.0.1:9",
            "RESULT_STORAGE_TOKEN": "token-of-the-worker",
            "SIGN_WORKER_ADDRESS": WORKER,
            "SIGN_TEE_CHALLENGE_PRIVATE_KEY": "0x" + "42" * 32,
            **changes,
        }
        self.temporary.mkdir(exist_ok=True)
        return post_compute.main(env, self.services, self.out, self.temporary)

    @property
    def archive(self) -> zipfile.ZipFile:
        document, token = self.seen.post("/v1/results")
        assert token == "token-of-the-worker" and document["chainTaskId"] == TASK
        return zipfile.ZipFile(io.BytesIO(base64.b64decode(document["zip"])))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with serving() as (seen, services):
        yield Room(tmp_path, seen, services)


def test_a_plain_result_is_zipped_uploaded_signed_and_announced(room: Room) -> None:
    room.leave("/iexec_out/result.txt", result_txt="A result")
    (room.out / "more").mkdir()
    (room.out / "more" / "deep.bin").write_bytes(bytes(100))
    assert room.run() == 0
    names = {"computed.json", "result.txt", "more/deep.bin"}
    assert set(room.archive.namelist()) == names and room.archive.read("result.txt") == b"A result"
    computed, authorization = room.seen.post("/computed")
    digest = "0x" + hashlib.sha256(b"A result").hexdigest()
    assert computed["result-digest"] == digest and computed["task-id"] == TASK
    assert computed["deterministic-output-path"] == "/iexec_out/result.txt"
    signature = computed["enclave-signature"]
    assert signer_of(enclave_hash(WORKER, TASK, digest), signature) == ENCLAVE.address
    assert signer_of(keccak_hex(TASK, WORKER), authorization) == ENCLAVE.address
    upload, _ = room.seen.post("/v1/results")
    assert (upload["deterministHash"], upload["enclaveSignature"]) == (digest, signature)


def test_digests_are_those_of_iexec_common(room: Room) -> None:
    """Values and contents of FileHashUtilsTests (iexec-common)."""
    room.leave("/iexec_out/set", result1_txt="A result")
    folder = room.out / "set"
    folder.mkdir()
    (folder / "result1.txt").write_bytes(b"A result")
    (folder / "result2.txt").write_bytes(b"Another result")
    one = post_compute.file_digest({"deterministic-output-path": "/iexec_out/result1.txt"}, room.out)
    assert one == "0xd885f429a59e0816822fc0927be6a6af20ade2c79db49df6c6022f79cb27ac16"
    both = post_compute.file_digest({"deterministic-output-path": "/iexec_out/set"}, room.out)
    assert both == "0xcc77508549295dd5de5876a2f4f00d4c3c27a547c6403450e43ab4de191bf1bc"


def test_an_encrypted_result_opens_with_the_beneficiarys_key_only(room: Room) -> None:
    room.leave("/iexec_out/result.txt", result_txt="for one person")
    assert room.run(RESULT_ENCRYPTION="true", RESULT_ENCRYPTION_PUBLIC_KEY=_public(PRIVATE.public_key())) == 0
    outer = room.archive
    assert sorted(outer.namelist()) == ["aes-key.rsa", "iexec_out.zip.aes"]
    key = PRIVATE.decrypt(outer.read("aes-key.rsa"), padding.PKCS1v15())
    assert len(key) == 32
    sealed = outer.read("iexec_out.zip.aes")
    assert b"for one person" not in sealed
    cipher = Cipher(algorithms.AES(key), modes.CBC(sealed[:16])).decryptor()
    unpad = block_padding.PKCS7(128).unpadder()
    plain = unpad.update(cipher.update(sealed[16:]) + cipher.finalize()) + unpad.finalize()
    assert zipfile.ZipFile(io.BytesIO(plain)).read("result.txt") == b"for one person"


def test_the_session_of_an_old_app_has_other_names_and_says_yes(room: Room) -> None:
    room.leave("/iexec_out/result.txt", result_txt="for one person")
    old = {
        "RESULT_TASK_ID": TASK,
        "RESULT_ENCRYPTION": "yes",
        "RESULT_ENCRYPTION_PUBLIC_KEY": _public(PRIVATE.public_key()),
        "RESULT_STORAGE_CALLBACK": "no",
        "RESULT_STORAGE_PROVIDER": "ipfs",
        "RESULT_STORAGE_PROXY": "",
        "RESULT_STORAGE_TOKEN": "token-of-the-worker",
        "RESULT_SIGN_WORKER_ADDRESS": WORKER,
        "RESULT_SIGN_TEE_CHALLENGE_PRIVATE_KEY": "0x" + "42" * 32,
    }
    assert post_compute.main(old, room.services, room.out, room.temporary) == 0
    assert sorted(room.archive.namelist()) == ["aes-key.rsa", "iexec_out.zip.aes"]
    _, authorization = room.seen.post("/computed")
    assert signer_of(keccak_hex(TASK, WORKER), authorization) == ENCLAVE.address
    (room.out / "computed.json").write_text(json.dumps({"callback-data": "0x00ff"}))
    room.seen.posts.clear()
    again = old | {"RESULT_STORAGE_CALLBACK": "yes", "RESULT_STORAGE_TOKEN": ""}
    assert post_compute.main(again, room.services, room.out, room.temporary) == 0
    assert [path for path, _, _ in room.seen.posts] == [f"/compute/post/{TASK}/computed"]


def test_a_callback_uploads_nothing_and_has_the_keccak_of_its_data(room: Room) -> None:
    (room.out / "computed.json").write_text(json.dumps({"callback-data": "0x00ff"}))
    assert room.run(RESULT_STORAGE_CALLBACK="true", RESULT_STORAGE_TOKEN="") == 0
    assert [path for path, _, _ in room.seen.posts] == [f"/compute/post/{TASK}/computed"]
    computed, _ = room.seen.post("/computed")
    assert computed["callback-data"] == "0x00ff" and computed["result-digest"] == keccak_hex("0x00ff")


def _no_computed(room: Room) -> None:
    (room.out / "result.txt").write_text("x")


def _broken_computed(room: Room) -> None:
    (room.out / "computed.json").write_text("{")


def _list_computed(room: Room) -> None:
    (room.out / "computed.json").write_text("[1]")


def _no_path(room: Room) -> None:
    (room.out / "computed.json").write_text("{}")


def _long_name(room: Room) -> None:
    (room.out / "sub").mkdir()
    (room.out / "sub" / ("x" * 32)).write_text("x")
    room.leave("/iexec_out/a", a="x")


def _wrong_path(room: Room) -> None:
    room.leave("/iexec_out/missing")


def _outside(room: Room) -> None:
    room.leave("/iexec_out/../../../../../etc/passwd")


def _empty_folder(room: Room) -> None:
    (room.out / "set").mkdir()
    room.leave("/iexec_out/set")


def _link(room: Room) -> None:
    (room.out / "result").symlink_to("/proc/self/environ")
    room.leave("/iexec_out/result")


def _link_on_the_way(room: Room) -> None:
    (room.out / "self").symlink_to("/proc/self")
    room.leave("/iexec_out/self/environ")


@pytest.mark.parametrize(
    ("leave", "cause"),
    [
        (_no_computed, "COMPUTED_FILE_NOT_FOUND"),
        (_broken_computed, "COMPUTED_FILE_NOT_FOUND"),
        (_list_computed, "COMPUTED_FILE_NOT_FOUND"),
        (_no_path, "RESULT_DIGEST_COMPUTATION_FAILED"),
        (_wrong_path, "RESULT_DIGEST_COMPUTATION_FAILED"),
        (_outside, "RESULT_DIGEST_COMPUTATION_FAILED"),
        (_empty_folder, "RESULT_DIGEST_COMPUTATION_FAILED"),
        (_link, "RESULT_DIGEST_COMPUTATION_FAILED"),
        (_link_on_the_way, "RESULT_DIGEST_COMPUTATION_FAILED"),
        (_long_name, "TOO_LONG_RESULT_FILE_NAME"),
    ],
)
def test_what_the_app_left_wrong_has_its_cause_and_uploads_nothing(room: Room, leave, cause: str) -> None:  # type: ignore[no-untyped-def]
    leave(room)
    assert room.run() == 1
    assert room.seen.causes == [f"POST_COMPUTE_{cause}"]
    assert len(room.seen.posts) == 1


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"SIGN_WORKER_ADDRESS": ""}, "WORKER_ADDRESS_MISSING"),
        ({"SIGN_TEE_CHALLENGE_PRIVATE_KEY": ""}, "TEE_CHALLENGE_PRIVATE_KEY_MISSING"),
        ({"SIGN_TEE_CHALLENGE_PRIVATE_KEY": "0x1234"}, "INVALID_TEE_SIGNATURE"),
        ({"RESULT_ENCRYPTION": "true"}, "ENCRYPTION_PUBLIC_KEY_MISSING"),
        (
            {"RESULT_ENCRYPTION": "true", "RESULT_ENCRYPTION_PUBLIC_KEY": "bm8ga2V5"},
            "MALFORMED_ENCRYPTION_PUBLIC_KEY",
        ),
        (
            {
                "RESULT_ENCRYPTION": "true",
                "RESULT_ENCRYPTION_PUBLIC_KEY": _public(ec.generate_private_key(ec.SECP256R1()).public_key()),
            },
            "MALFORMED_ENCRYPTION_PUBLIC_KEY",
        ),
        ({"RESULT_STORAGE_TOKEN": ""}, "STORAGE_TOKEN_MISSING"),
        ({"RESULT_STORAGE_PROVIDER": "dropbox"}, "DROPBOX_UPLOAD_FAILED"),
        ({"RESULT_STORAGE_CALLBACK": "true"}, "RESULT_DIGEST_COMPUTATION_FAILED"),
    ],
)
def test_what_the_session_lacks_has_its_cause(room: Room, changes: dict[str, str], cause: str) -> None:
    room.leave("/iexec_out/a", a="x")
    assert room.run(**changes) == 1
    assert room.seen.causes == [f"POST_COMPUTE_{cause}"]


def test_services_that_refuse(room: Room) -> None:
    room.leave("/iexec_out/a", a="x")
    room.seen.refuse = {"/v1/results"}
    assert room.run() == 1
    room.seen.refuse = {f"/compute/post/{TASK}/computed"}
    assert room.run() == 1
    assert room.seen.causes == ["POST_COMPUTE_IPFS_UPLOAD_FAILED", "POST_COMPUTE_SEND_COMPUTED_FILE_FAILED"]
    room.seen.refuse = {"/"}
    assert room.run() == 2
    assert room.run(IEXEC_TASK_ID="") == 3


def test_links_stay_out_of_the_archive_and_secrets_off_the_screen(
    room: Room, capfd: pytest.CaptureFixture[str]
) -> None:
    room.leave("/iexec_out/a", a="x")
    (room.out / "leak").symlink_to("/proc/self/environ")
    (room.out / "folder").symlink_to("/etc")
    assert room.run() == 0
    assert sorted(room.archive.namelist()) == ["a", "computed.json"]
    printed = "".join(capfd.readouterr())
    assert "archive" in printed and "42" * 32 not in printed and "token-of-the-worker" not in printed


def test_an_output_folder_that_is_a_link_to_memory_is_the_folder(room: Room, tmp_path: Path) -> None:
    room.leave("/iexec_out", a="x")
    memory = room.out.rename(tmp_path / "memory")
    room.out.symlink_to(memory)
    assert room.run() == 0
    assert sorted(room.archive.namelist()) == ["a", "computed.json"]
