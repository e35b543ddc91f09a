"""Post-compute: digest, archive, encryption and upload of what the app left, signed with the enclave's key.

Links in the output folder are never followed: one to /proc/self/environ would put this enclave's own keys
into the result.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import urllib.request
import zipfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from workflows.localnet.tee import crypto
from workflows.localnet.tee.signing import keccak, personal_sign
from workflows.localnet.tee.stage import (
    Problem,
    Services,
    Stage,
    is_loopback,
    open_url,
    reason,
    run,
    size,
    tell,
)
from workflows.localnet.tee.stage import unhex as _unhex

OUT, TEMPORARY = Path("/iexec_out"), Path("/post-compute-tmp")
LONGEST_NAME = 31
_PIECE = 1 << 20
_MOST_JSON = 1 << 20
_NO_DIGEST = "RESULT_DIGEST_COMPUTATION_FAILED"


def main(
    env: Mapping[str, str], services: Services | None = None, out: Path = OUT, temporary: Path = TEMPORARY
) -> int:
    """Run the stage; the exit code."""
    return run("post", lambda stage: work(stage, out, temporary), env, services or Services())


def work(stage: Stage, out: Path, temporary: Path) -> None:
    """Everything in order; Problem names the cause."""
    out = out.resolve()  # the runtime links it to memory
    computed = read_computed(out)
    callback = stage.flag("RESULT_STORAGE_CALLBACK")
    digest = callback_digest(computed) if callback else file_digest(computed, out)
    worker, key = stage.signer()
    task = _unhex(stage.task, 32)
    result_hash = keccak(task + _unhex(digest, 32))
    result_seal = keccak(_unhex(worker, 20) + task + _unhex(digest, 32))
    signature = personal_sign(key, keccak(result_hash + result_seal))
    if not callback:
        for path in files(out):
            if len(path.name) > LONGEST_NAME:
                raise Problem(
                    "TOO_LONG_RESULT_FILE_NAME",
                    f"{path.name} has {len(path.name)} characters, a result file may have {LONGEST_NAME}",
                )
        archive = pack(out, temporary / "iexec_out.zip")
        if stage.flag("RESULT_ENCRYPTION"):
            text = stage.need("RESULT_ENCRYPTION_PUBLIC_KEY", "ENCRYPTION_PUBLIC_KEY_MISSING")
            archive = encrypt(archive, temporary, text)
        upload(stage, archive, digest, signature)
    document: dict[str, Any] = {
        **{
            name: computed[name]
            for name in ("deterministic-output-path", "callback-data")
            if name in computed
        },
        "task-id": stage.task,
        "result-digest": digest,
        "enclave-signature": signature,
    }
    try:
        stage.send("computed", document, stage.authorization())
    except OSError as error:
        raise Problem("SEND_COMPUTED_FILE_FAILED", reason(error)) from None
    tell("the worker has the signed digest")


def read_computed(out: Path) -> dict[str, Any]:
    """The app's computed.json."""
    missing = "COMPUTED_FILE_NOT_FOUND"
    try:
        with _open(out / "computed.json") as file:
            document = json.loads(file.read(_MOST_JSON))
    except OSError:
        raise Problem(missing, "the app left no computed.json in its output folder") from None
    except (ValueError, RecursionError):
        raise Problem(missing, "the app's computed.json is not JSON") from None
    if not isinstance(document, dict):
        raise Problem(missing, "the app's computed.json is not a JSON object")
    return document


def callback_digest(computed: Mapping[str, Any]) -> str:
    """keccak of the bytes for the callback contract."""
    data = computed.get("callback-data")
    try:
        if not isinstance(data, str) or not data.removeprefix("0x"):
            raise ValueError("none")
        return "0x" + keccak(bytes.fromhex(data.removeprefix("0x"))).hex()
    except ValueError:
        raise Problem(
            _NO_DIGEST, "the request has a callback, and computed.json no callback-data in hex"
        ) from None


def file_digest(computed: Mapping[str, Any], out: Path) -> str:
    """SHA-256 of the deterministic file; of a folder keccak of its sorted direct entries' SHA-256."""
    named = computed.get("deterministic-output-path")
    if not isinstance(named, str) or not named:
        raise Problem(_NO_DIGEST, "computed.json names no deterministic-output-path")
    # The app wrote /iexec_out/…; the folder may be elsewhere here.
    inside = named.removeprefix(str(OUT)).lstrip("/") if (named + "/").startswith(f"{OUT}/") else named
    path = Path(os.path.normpath(out / inside))
    if (path != out and out not in path.parents) or path.parent.resolve() != path.parent:
        raise Problem(_NO_DIGEST, f"deterministic-output-path {named} is outside of {OUT}")
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            parts = [
                _sha256(entry) if stat.S_ISREG(entry.lstat().st_mode) else b""
                for entry in sorted(path.iterdir())
            ]
            digest = keccak(b"".join(parts)) if parts else b""
        else:
            digest = _sha256(path)
    except OSError:
        raise Problem(_NO_DIGEST, f"deterministic-output-path {named} is not there") from None
    if not digest:
        raise Problem(_NO_DIGEST, f"deterministic-output-path {named} is an empty folder")
    return "0x" + digest.hex()


def files(folder: Path) -> Iterator[Path]:
    """All regular files below a folder, sorted; links, devices and sockets are left out."""
    for path in sorted(folder.iterdir()):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from files(path)
        elif stat.S_ISREG(mode):
            yield path


def pack(out: Path, target: Path) -> Path:
    """A zip of the output folder, computed.json and files at its root."""
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for path in files(out):
                with (
                    _open(path) as file,
                    archive.open(str(path.relative_to(out)), "w", force_zip64=True) as entry,
                ):
                    for piece in iter(lambda: file.read(_PIECE), b""):
                        entry.write(piece)
    except (OSError, ValueError) as error:
        raise Problem("OUT_FOLDER_ZIP_FAILED", type(error).__name__) from None
    tell(f"result: archive of {size(target.stat().st_size)}")
    return target


def encrypt(archive: Path, folder: Path, public_key: str) -> Path:
    """A zip of `iexec_out.zip.aes` (IV ‖ AES-256-CBC) and `aes-key.rsa` (RSAES-PKCS1-v1_5 of the raw key)."""
    try:
        der = crypto.public_key_der(public_key)
    except crypto.NotAKey as error:
        raise Problem("MALFORMED_ENCRYPTION_PUBLIC_KEY", str(error)) from None
    target = folder / "encrypted.zip"
    key, iv = crypto.new_key(), os.urandom(16)
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as outer:
            outer.writestr("aes-key.rsa", crypto.encrypt_rsa(der, key))
            with archive.open("rb") as file, outer.open("iexec_out.zip.aes", "w", force_zip64=True) as entry:
                entry.write(iv)
                for piece in crypto.encrypt_cbc(key, iv, iter(lambda: file.read(_PIECE), b"")):
                    entry.write(piece)
    except (OSError, ValueError) as error:
        raise Problem("ENCRYPTION_FAILED", type(error).__name__) from None
    tell("result: encrypted for the beneficiary")
    return target


def upload(stage: Stage, archive: Path, digest: str, signature: str) -> None:
    """Hand the archive to the result proxy."""
    token = stage.need("RESULT_STORAGE_TOKEN", "STORAGE_TOKEN_MISSING")
    if stage.env.get("RESULT_STORAGE_PROVIDER") == "dropbox":
        raise Problem("DROPBOX_UPLOAD_FAILED", "the localnet keeps results in its own IPFS only")
    proxy = stage.env.get("RESULT_STORAGE_PROXY", "")
    if not proxy or is_loopback(proxy):
        proxy = stage.services.proxy
    document = {
        "chainTaskId": stage.task,
        "zip": b64encode(archive.read_bytes()).decode(),
        "deterministHash": digest,
        "enclaveSignature": signature,
    }
    headers = {"Content-Type": "application/json", "Authorization": token}
    request = urllib.request.Request(  # noqa: S310 - open_url takes http and https only
        proxy.rstrip("/") + "/v1/results", json.dumps(document).encode(), headers
    )
    try:
        with open_url(request) as answer:
            tell(f"result: uploaded to {answer.read(200).decode(errors='replace')}")
    except OSError as error:
        raise Problem("IPFS_UPLOAD_FAILED", reason(error)) from None


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    with _open(path) as file:
        for piece in iter(lambda: file.read(_PIECE), b""):
            digest.update(piece)
    return digest.digest()


def _open(path: Path) -> BinaryIO:
    """A regular file, no link."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("not a file")
    return os.fdopen(handle, "rb")
