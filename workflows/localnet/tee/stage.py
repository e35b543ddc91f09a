"""What pre-compute and post-compute share: named causes, exit codes, HTTP, the report to the worker.

Exit codes (iexec-protocol.md §10): 0 done · 1 failed, cause reported · 2 failed, not reported · 3 no task id.
Environment and files are the only input; a secret is never printed.

The session of an old app has the names of 2021. Its pre-compute gets no key to sign a report with, and tells by its
exit code what went wrong (iexec-common 5.3, `PreComputeExitCode`).
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.localnet.tee.signing import keccak, personal_sign, private_key

DONE, REPORTED, NOT_REPORTED, NO_TASK = range(4)
TIMEOUT = 60.0
GATEWAY_OF_2021 = "https://gateway.ipfs.io"
CODES_OF_2021 = {
    "OUTPUT_FOLDER_NOT_FOUND": 65,
    "DATASET_DOWNLOAD_FAILED": 66,
    "INVALID_DATASET_CHECKSUM": 67,
    "DATASET_DECRYPTION_FAILED": 69,
    "SAVING_PLAIN_DATASET_FAILED": 70,
    "INPUT_FILE_DOWNLOAD_FAILED": 72,
}
_MISSING, _UNKNOWN = 64, 255
_NAMES_OF_2021 = {
    "RESULT_TASK_ID": "IEXEC_TASK_ID",
    "RESULT_SIGN_WORKER_ADDRESS": "SIGN_WORKER_ADDRESS",
    "RESULT_SIGN_TEE_CHALLENGE_PRIVATE_KEY": "SIGN_TEE_CHALLENGE_PRIVATE_KEY",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Problem(Exception):  # noqa: N818 - reads as a sentence
    """A failure with one of iExec's cause names, without its PRE_COMPUTE_ or POST_COMPUTE_."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Problems(Exception):  # noqa: N818
    """Several of them, in their order."""

    def __init__(self, each: Sequence[Problem]) -> None:
        super().__init__(*map(str, each))
        self.each = tuple(each)


@dataclass(frozen=True)
class Services:
    """Where the services are inside the task network."""

    worker: str = "http://worker:13100"
    ipfs: str = "http://ipfs:8080"
    proxy: str = "http://proxy:13200"


@dataclass(frozen=True)
class Stage:
    """One run: its name (`pre` or `post`), its task and what it may read, under the names of today.

    `of_2021`: whether the session is that of an old app.
    """

    name: str
    task: str
    env: Mapping[str, str]
    services: Services
    of_2021: bool = False

    def need(self, variable: str, cause: str) -> str:
        """The value of a variable, or the Problem that it is not there."""
        value = self.env.get(variable, "")
        if not value:
            raise Problem(cause, f"{variable} is not set")
        return value

    def flag(self, variable: str) -> bool:
        """Whether a variable says true, or yes as in 2021."""
        return self.env.get(variable, "").lower() in ("true", "yes")

    def signer(self) -> tuple[str, int]:
        """The worker's address and the enclave's private key."""
        worker = self.need("SIGN_WORKER_ADDRESS", "WORKER_ADDRESS_MISSING")
        secret = self.need("SIGN_TEE_CHALLENGE_PRIVATE_KEY", "TEE_CHALLENGE_PRIVATE_KEY_MISSING")
        try:
            unhex(worker, 20), unhex(self.task, 32)
            return worker, private_key(secret)
        except ValueError:
            raise Problem(
                "INVALID_TEE_SIGNATURE", "the address, the task id or the key is malformed"
            ) from None

    def send(self, path: str, document: Any, authorization: str) -> None:
        """POST a document to the worker. OSError when it is not taken."""
        url = f"{self.services.worker}/compute/{self.name}/{self.task}/{path}"
        headers = {"Content-Type": "application/json", "Authorization": authorization}
        with open_url(urllib.request.Request(url, json.dumps(document).encode(), headers)):  # noqa: S310
            pass

    def authorization(self) -> str:
        """The enclave's signature over keccak(task ‖ worker): by it the worker knows who reports."""
        worker, key = self.signer()
        return personal_sign(key, keccak(unhex(self.task, 32) + unhex(worker, 20)))


def run(name: str, work: Callable[[Stage], None], env: Mapping[str, str], services: Services) -> int:
    """Do the work of a stage; the exit code. Failures are reported to the worker with their causes."""
    # Today both stages get the names of both keys; in 2021 pre-compute got none, post-compute others.
    of_2021 = not {"SIGN_WORKER_ADDRESS", "SIGN_TEE_CHALLENGE_PRIVATE_KEY"} & set(env)
    env = {_NAMES_OF_2021.get(variable, variable): value for variable, value in env.items()}
    task = env.get("IEXEC_TASK_ID", "")
    if not task:
        tell("IEXEC_TASK_ID is not set")
        return NO_TASK
    stage = Stage(name, task, env, services, of_2021)
    try:
        work(stage)
        return DONE
    except Problem as problem:
        problems: tuple[Problem, ...] = (problem,)
    except Problems as several:
        problems = several.each
    except Exception as error:  # never the text: it may quote what was decrypted
        problems = (Problem("FAILED_UNKNOWN_ISSUE", type(error).__name__),)
    causes = [
        {"cause": f"{name.upper()}_COMPUTE_{problem.cause}", "message": str(problem)} for problem in problems
    ]
    for told in causes:
        tell(f"{told['cause']}: {told['message']}")
    first = problems[0].cause
    code = CODES_OF_2021.get(first, _MISSING if first.endswith("_MISSING") else _UNKNOWN)
    if of_2021 and name == "pre":
        return code
    try:
        authorization = stage.authorization()
    except Problem:
        authorization = ""  # the worker believes an unsigned report only about a missing key
    try:
        stage.send("exit-causes", causes, authorization)
    except OSError as error:
        tell(f"the worker did not take the report: {error}")
        return NOT_REPORTED
    return REPORTED


def open_url(request: urllib.request.Request | str) -> Any:
    """The answer to a request, without a proxy. OSError: unreachable, or a status that is no success."""
    url = request if isinstance(request, str) else request.full_url
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise OSError("only http and https are fetched")
    try:
        return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=TIMEOUT)
    except (ValueError, UnicodeError) as error:
        raise OSError(f"not a usable address: {error}") from None


def is_loopback(url: str) -> bool:
    """Whether a URL names the machine itself, which inside a container is the container."""
    try:
        return urllib.parse.urlsplit(url).hostname in _LOOPBACK
    except ValueError:
        return False


def reason(error: OSError) -> str:
    """Why a request failed, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code}"
    return str(getattr(error, "reason", error))


def name_of_2021(url: str) -> str:
    """How the file of a URL was called in 2021: what stands behind its last slash, a query and all."""
    return re.split(r"[/\\]", url)[-1]


def unhex(text: str, length: int) -> bytes:
    """Bytes of 0x-hex text; ValueError when it has another length."""
    data = bytes.fromhex(text.removeprefix("0x"))
    if len(data) != length:
        raise ValueError(f"{len(data)} bytes instead of {length}")
    return data


def tell(text: str) -> None:
    """One line for whoever watches the task."""
    print(text, file=sys.stderr, flush=True)


def size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count} B" if count < 1 << 10 else f"{count / (1 << 20):.1f} MiB"
