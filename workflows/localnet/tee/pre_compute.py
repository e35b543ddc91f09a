"""Pre-compute: fetches datasets and input files, checks, decrypts, and leaves them in the app's input folder.

A dataset's checksum on the chain is compared before a byte is decrypted: AES-CBC itself detects nothing. What
fails keeps nothing else from being tried, and every cause is told (tee-worker-pre-compute 0.4).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from workflows.localnet.runtime.libcrypto import decrypt_cbc
from workflows.localnet.runtime.refusals import Altered
from workflows.localnet.tee.stage import (
    GATEWAY_OF_2021,
    Problem,
    Problems,
    Services,
    Stage,
    is_loopback,
    name_of_2021,
    open_url,
    reason,
    run,
    size,
    tell,
)

_CONTENT = re.compile(r"(?:https?://[^/]+)?/(?:ipfs|p2p)/([0-9A-Za-z]+)(/.*)?\Z")
_PIECE = 1 << 20


def main(env: Mapping[str, str], services: Services | None = None) -> int:
    """Run the stage; the exit code."""
    return run("pre", work, env, services or Services())


def work(stage: Stage) -> None:
    """Everything in order; Problem or Problems name the causes."""
    folder = Path(stage.need("IEXEC_PRE_COMPUTE_OUT", "OUTPUT_PATH_MISSING"))
    wanted = stage.need("IS_DATASET_REQUIRED", "IS_DATASET_REQUIRED_MISSING").lower() == "true"
    count = stage.need("IEXEC_INPUT_FILES_NUMBER", "INPUT_FILES_NUMBER_MISSING")
    if not count.isdecimal():
        raise Problem("INPUT_FILES_NUMBER_MISSING", "IEXEC_INPUT_FILES_NUMBER is not a number")
    if not folder.is_dir():
        raise Problem("OUTPUT_FOLDER_NOT_FOUND", f"{folder} is not there")
    problems: list[Problem] = []
    if wanted:
        with _kept(problems):
            _dataset(stage, "IEXEC_DATASET_").bring(stage.services, folder)
    for n in range(1, _bulk(stage) + 1):
        prefix = f"IEXEC_DATASET_{n}_"
        tell(f"bulk: {n}, {_name(stage, prefix)}")
        with _kept(problems, f"{_name(stage, prefix)}: "):
            _bulk_dataset(stage, prefix).bring(stage.services, folder)
    for n in range(1, int(count) + 1):
        with _kept(problems):
            _bring_input_file(stage, f"IEXEC_INPUT_FILE_URL_{n}", folder)
    if problems:
        raise Problems(problems)


@contextlib.contextmanager
def _kept(problems: list[Problem], said: str = "") -> Iterator[None]:
    """What fails inside becomes one of the problems, with `said` before its message."""
    try:
        yield
    except Problem as problem:
        problems.append(Problem(problem.cause, f"{said}{problem}"))


def _bulk(stage: Stage) -> int:
    """How many datasets the SMS found for this task of bulk processing; 0 for any other task, too."""
    count = stage.env.get("IEXEC_BULK_SLICE_SIZE")
    if count is None:
        return 0
    if not count.isdecimal():
        raise Problem("FAILED_UNKNOWN_ISSUE", "IEXEC_BULK_SLICE_SIZE is not a number")
    tell(
        f"bulk: {count} datasets" if int(count) else "bulk: the SMS could read no dataset order for this task"
    )
    return int(count)


class _Dataset:
    def __init__(self, url: str, checksum: str, key: str, name: str) -> None:
        self.url, self.checksum, self.key, self.name = url, checksum, key, name

    def bring(self, services: Services, folder: Path) -> None:
        if "/" in self.name or self.name in (".", ".."):
            raise Problem("SAVING_PLAIN_DATASET_FAILED", "the file name leads out of the input folder")
        encrypted = folder / ".dataset.enc"
        try:
            digest, length = _fetch(services, self.url, encrypted, "DATASET_DOWNLOAD_FAILED")
            tell(f"dataset: {size(length)} downloaded")
            if digest != self.checksum:
                raise Problem(
                    "INVALID_DATASET_CHECKSUM",
                    f"the file at {self.url} has SHA-256 {digest}, the chain says {self.checksum}",
                )
            self._decrypt(encrypted, folder / self.name)
            tell("dataset: checksum as on the chain, decrypted")
        finally:
            encrypted.unlink(missing_ok=True)

    def _decrypt(self, encrypted: Path, plain: Path) -> None:
        wrong = "the key in the SMS does not open the dataset"
        try:
            key = base64.b64decode(self.key, validate=True)
        except binascii.Error:
            raise Problem("DATASET_DECRYPTION_FAILED", "the key in the SMS is not base64 text") from None
        try:
            with encrypted.open("rb") as file, plain.open("wb") as output:
                for piece in decrypt_cbc(key, file.read(16), iter(lambda: file.read(_PIECE), b"")):
                    output.write(piece)
        except (Altered, ValueError):
            plain.unlink(missing_ok=True)
            raise Problem("DATASET_DECRYPTION_FAILED", wrong) from None
        except OSError as error:
            with contextlib.suppress(OSError):
                plain.unlink(missing_ok=True)
            raise Problem("SAVING_PLAIN_DATASET_FAILED", error.strerror or "it cannot be written") from None


def _dataset(stage: Stage, prefix: str) -> _Dataset:
    url = stage.need(prefix + "URL", "DATASET_URL_MISSING")
    key = stage.need(prefix + "KEY", "DATASET_KEY_MISSING")
    checksum = stage.need(prefix + "CHECKSUM", "DATASET_CHECKSUM_MISSING")
    return _Dataset(url, checksum, key, stage.need(prefix + "FILENAME", "DATASET_FILENAME_MISSING"))


def _bulk_dataset(stage: Stage, prefix: str) -> _Dataset:
    """One of a bulk task. The SMS names only the address of one whose order it does not take."""
    if not stage.env.get(prefix + "URL"):
        raise Problem("DATASET_URL_MISSING", "its order does not fit this deal, or it says no place")
    return _dataset(stage, prefix)


def _name(stage: Stage, prefix: str) -> str:
    return f"dataset {stage.env.get(prefix + 'FILENAME', '')}"


def _bring_input_file(stage: Stage, variable: str, folder: Path) -> None:
    url = stage.need(variable, "AT_LEAST_ONE_INPUT_FILE_URL_MISSING")
    cause = "INPUT_FILE_DOWNLOAD_FAILED"
    name = name_of_2021(url) if stage.of_2021 else "0x" + hashlib.sha256(url.encode()).hexdigest()
    if name in ("", ".", ".."):
        raise Problem(cause, f"{url} ends in no file name")
    _, length = _fetch(stage.services, url, folder / name, cause)
    tell(f"input file: {size(length)} downloaded from {url}")


def _fetch(services: Services, url: str, target: Path, cause: str) -> tuple[str, int]:
    """Download to a file; its SHA-256 as 0x-hex and its length."""
    content = _CONTENT.match(url)
    # Content addresses come from the network's own gateway, also when written as a URL of that gateway, or of
    # the one that the SMS of 2021 wrote for them.
    if content and (url.startswith(("/", GATEWAY_OF_2021)) or is_loopback(url)):
        source = f"{services.ipfs}/ipfs/{content[1]}{content[2] or ''}"
    else:
        source = url
    digest, length = hashlib.sha256(), 0
    try:
        with open_url(source) as answer, target.open("wb") as file:
            for piece in _pieces(answer):
                digest.update(piece)
                length += file.write(piece)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise Problem(cause, f"{url} cannot be downloaded: {reason(error)}") from None
    return "0x" + digest.hexdigest(), length


def _pieces(answer: object) -> Iterator[bytes]:
    read = answer.read  # type: ignore[attr-defined]
    return iter(lambda: read(_PIECE), b"")
