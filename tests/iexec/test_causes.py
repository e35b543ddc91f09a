"""The explainer knows every name of the references, in every spelling, alone and inside messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.iexec import causes
from workflows.iexec.causes import Explanation, explain, near
from workflows.iexec.ids import keccak


def words(text: str) -> list[str]:
    return text.split()


SESSION = words(
    """
INVALID_AUTHORIZATION EXECUTION_NOT_AUTHORIZED_EMPTY_PARAMS_UNAUTHORIZED
EXECUTION_NOT_AUTHORIZED_NO_MATCH_ONCHAIN_TYPE EXECUTION_NOT_AUTHORIZED_GET_CHAIN_TASK_FAILED
EXECUTION_NOT_AUTHORIZED_TASK_NOT_ACTIVE EXECUTION_NOT_AUTHORIZED_GET_CHAIN_DEAL_FAILED
EXECUTION_NOT_AUTHORIZED_INVALID_SIGNATURE GET_SIGNATURE_TOKENS_FAILED_EMPTY_WORKER_ADDRESS
GET_SIGNATURE_TOKENS_FAILED_EMPTY_PUBLIC_ENCLAVE_CHALLENGE GET_SIGNATURE_TOKENS_FAILED_EMPTY_TEE_CHALLENGE
GET_SIGNATURE_TOKENS_FAILED_EMPTY_TEE_CREDENTIALS PRE_COMPUTE_GET_DATASET_SECRET_FAILED
APP_COMPUTE_NO_ENCLAVE_CONFIG APP_COMPUTE_INVALID_ENCLAVE_CONFIG
POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY POST_COMPUTE_GET_STORAGE_TOKENS_FAILED
SECURE_SESSION_STORAGE_CALL_FAILED SECURE_SESSION_GENERATION_FAILED SECURE_SESSION_NO_TEE_FRAMEWORK
GET_TASK_DESCRIPTION_FAILED NO_SESSION_REQUEST NO_TASK_DESCRIPTION UNKNOWN_ISSUE
"""
)
AUTHORISATION = words(
    """
EMPTY_PARAMS_UNAUTHORIZED NO_MATCH_ONCHAIN_TYPE GET_CHAIN_TASK_FAILED TASK_NOT_ACTIVE GET_CHAIN_DEAL_FAILED
INVALID_SIGNATURE
"""
)
CAUSES = words(
    """
CHAIN_UNREACHABLE BLOCK_NOT_REACHED STAKE_TOO_LOW OUT_OF_GAS TASK_NOT_ACTIVE TASK_DESCRIPTION_INVALID
TASK_DESCRIPTION_NOT_FOUND CONTRIBUTION_ALREADY_SET CONSENSUS_REACHED CHAIN_RECEIPT_NOT_VALID
CONSENSUS_BLOCK_MISSING APP_IMAGE_DOWNLOAD_FAILED INPUT_FILES_DOWNLOAD_FAILED DATASET_FILE_DOWNLOAD_FAILED
DATASET_FILE_BAD_CHECKSUM APP_NOT_FOUND_LOCALLY APP_COMPUTE_FAILED APP_COMPUTE_TIMEOUT
PRE_COMPUTE_MISSING_ENCLAVE_CONFIGURATION PRE_COMPUTE_INVALID_ENCLAVE_CONFIGURATION
PRE_COMPUTE_INVALID_ENCLAVE_HEAP_CONFIGURATION PRE_COMPUTE_IMAGE_MISSING PRE_COMPUTE_TASK_ID_MISSING
PRE_COMPUTE_EXIT_REPORTING_FAILED PRE_COMPUTE_TIMEOUT PRE_COMPUTE_WORKER_ADDRESS_MISSING
PRE_COMPUTE_TEE_CHALLENGE_PRIVATE_KEY_MISSING PRE_COMPUTE_INVALID_TEE_SIGNATURE
PRE_COMPUTE_OUTPUT_PATH_MISSING PRE_COMPUTE_IS_DATASET_REQUIRED_MISSING PRE_COMPUTE_DATASET_URL_MISSING
PRE_COMPUTE_DATASET_KEY_MISSING PRE_COMPUTE_DATASET_CHECKSUM_MISSING PRE_COMPUTE_DATASET_FILENAME_MISSING
PRE_COMPUTE_INPUT_FILES_NUMBER_MISSING PRE_COMPUTE_AT_LEAST_ONE_INPUT_FILE_URL_MISSING
PRE_COMPUTE_OUTPUT_FOLDER_NOT_FOUND PRE_COMPUTE_DATASET_DOWNLOAD_FAILED PRE_COMPUTE_INVALID_DATASET_CHECKSUM
PRE_COMPUTE_DATASET_DECRYPTION_FAILED PRE_COMPUTE_SAVING_PLAIN_DATASET_FAILED
PRE_COMPUTE_INPUT_FILE_DOWNLOAD_FAILED PRE_COMPUTE_FAILED_UNKNOWN_ISSUE POST_COMPUTE_IMAGE_MISSING
POST_COMPUTE_TASK_ID_MISSING POST_COMPUTE_EXIT_REPORTING_FAILED POST_COMPUTE_TIMEOUT
POST_COMPUTE_WORKER_ADDRESS_MISSING POST_COMPUTE_TEE_CHALLENGE_PRIVATE_KEY_MISSING
POST_COMPUTE_INVALID_TEE_SIGNATURE POST_COMPUTE_ENCRYPTION_PUBLIC_KEY_MISSING
POST_COMPUTE_MALFORMED_ENCRYPTION_PUBLIC_KEY POST_COMPUTE_ENCRYPTION_FAILED POST_COMPUTE_STORAGE_TOKEN_MISSING
POST_COMPUTE_COMPUTED_FILE_NOT_FOUND POST_COMPUTE_RESULT_DIGEST_COMPUTATION_FAILED
POST_COMPUTE_OUT_FOLDER_ZIP_FAILED POST_COMPUTE_TOO_LONG_RESULT_FILE_NAME POST_COMPUTE_RESULT_FILE_NOT_FOUND
POST_COMPUTE_DROPBOX_UPLOAD_FAILED POST_COMPUTE_IPFS_UPLOAD_FAILED POST_COMPUTE_SEND_COMPUTED_FILE_FAILED
POST_COMPUTE_FAILED_UNKNOWN_ISSUE TEE_NOT_SUPPORTED DETERMINISM_HASH_NOT_FOUND ENCLAVE_SIGNATURE_NOT_FOUND
WORKERPOOL_AUTHORIZATION_NOT_FOUND RESULT_LINK_MISSING TRUST_NOT_1 TASK_ALREADY_CONTRIBUTED
CONTRIBUTION_TIMEOUT REVEAL_TIMEOUT CANNOT_REVEAL TEE_PREPARATION_FAILED UNKNOWN_SMS
GET_TEE_SERVICES_CONFIGURATION_FAILED ABORTED_BY_WORKER UNKNOWN
"""
)
OTHER_SPELLINGS = words(
    """
TEE_SESSION_GENERATION_POST_COMPUTE_GET_SIGNATURE_TOKENS_FAILED_EMPTY_WORKER_ADDRESS
TEE_SESSION_GENERATION_POST_COMPUTE_GET_SIGNATURE_TOKENS_FAILED_EMPTY_PUBLIC_ENCLAVE_CHALLENGE
TEE_SESSION_GENERATION_POST_COMPUTE_GET_SIGNATURE_TOKENS_FAILED_EMPTY_TEE_CHALLENGE
TEE_SESSION_GENERATION_POST_COMPUTE_GET_SIGNATURE_TOKENS_FAILED_EMPTY_TEE_CREDENTIALS
TEE_SESSION_GENERATION_SECURE_SESSION_NO_TEE_PROVIDER POST_COMPUTE_FAILED_UNKOWN_ISSUE
TEE_SESSION_GENERATION_SECURE_SESSION_CAS_CALL_FAILED TEE_SESSION_GENERATION_GET_SESSION_YML_FAILED
CHAIN_UNSYNCHRONIZED CONTRIBUTION_AUTHORIZATION_NOT_FOUND
"""
)
TASK = words(
    """
RECEIVED INITIALIZING INITIALIZED RUNNING CONSENSUS_REACHED AT_LEAST_ONE_REVEALED RESULT_UPLOADING
RESULT_UPLOADED FINALIZING FINALIZED COMPLETED INITIALIZE_FAILED RUNNING_FAILED CONTRIBUTION_TIMEOUT
RESULT_UPLOAD_TIMEOUT FINALIZE_FAILED FINAL_DEADLINE_REACHED FAILED
"""
)
REPLICATE = words(
    """
CREATED STARTING START_FAILED STARTED APP_DOWNLOADING APP_DOWNLOAD_FAILED APP_DOWNLOADED DATA_DOWNLOADING
DATA_DOWNLOAD_FAILED DATA_DOWNLOADED COMPUTING COMPUTE_FAILED COMPUTED CONTRIBUTING CONTRIBUTE_FAILED
CONTRIBUTED REVEALING REVEAL_FAILED REVEALED RESULT_UPLOAD_REQUESTED RESULT_UPLOADING RESULT_UPLOAD_FAILED
RESULT_UPLOADED CONTRIBUTE_AND_FINALIZE_ONGOING CONTRIBUTE_AND_FINALIZE_FAILED CONTRIBUTE_AND_FINALIZE_DONE
COMPLETING COMPLETE_FAILED COMPLETED FAILED ABORTED RECOVERING WORKER_LOST
"""
)
CHAIN = words("UNSET ACTIVE REVEALING COMPLETED FAILED TIMEOUT CONTRIBUTED PROVED REJECTED")
CODES = words(
    """
00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17 18 19 1a 1b 20 21 30 31 40 41 50 60
"""
)
REVERTS = [
    "IexecEscrow: Transfer amount exceeds balance", "IexecEscrow: Transfer from empty address",
    "IexecEscrow: Transfer to empty address", "Dataset order is revoked or fully consumed",
    "Invalid dataset order signature", "Deal not found", "Deal already has a dataset",
    "App restriction not satisfied", "Workerpool restriction not satisfied", "Requester restriction not satisfied",
    "Tag compatibility not satisfied", "wrong-token", "UnsupportedOperation", "OperationFailed",
    "CallerIsNotTheRequester", "failed-transferFrom", "native-transfer-failed", "invalid-array-length",
    "fallback-disabled", "already-configured", "not-configured", "score-already-imported", "task-pending",
    "Create2: Failed on deploy", "Ownable: caller is not the owner", "caller is not the owner",
    "Operation not supported on this chain", "already initialized", "invalid-signature-format",
    "invalid-sender-or-signature",
]  # fmt: skip
CALLS = ["initialize", "contribute", "contributeAndFinalize", "reveal", "reopen", "finalize", "claim"]
GROUPS = [
    ("SMS session", SESSION, 23), ("SMS authorisation", AUTHORISATION, 6), ("task status", TASK, 18),
    ("status of one worker's share", REPLICATE, 33), ("status on chain", CHAIN, 9),
]  # fmt: skip


def names(text: str) -> list[str]:
    return [entry.name for entry in explain(text)]


@pytest.mark.parametrize(("group", "expected", "count"), GROUPS)
def test_each_list_is_complete_and_has_nothing_else(group: str, expected: list[str], count: int) -> None:
    assert len(expected) == len(set(expected)) == count
    assert {entry.name for entry in causes.entries() if entry.group == group} == set(expected)


@pytest.mark.parametrize(
    "name",
    [*CAUSES, *(causes.SESSION + name for name in SESSION), *SESSION, *AUTHORISATION, *OTHER_SPELLINGS, *TASK,
     *REPLICATE, *CHAIN, *(f"iExecV5-matchOrders-0x{code}" for code in CODES), *(f"0x{code}" for code in CODES),
     *REVERTS, *CALLS],
)  # fmt: skip
def test_every_name_of_the_references_is_explained(name: str) -> None:
    for spelling in (name, name.lower(), f"  {name}\n", f'"{name}"', f"{name}."):
        entries = explain(spelling)
        assert entries, spelling
        known = {one.lower() for entry in entries for one in (entry.name, *entry.also)}
        assert name.lower() in known or f"matchorders-{name}" in known


@pytest.mark.parametrize("name", [*CAUSES, *(causes.SESSION + name for name in SESSION), *OTHER_SPELLINGS])
def test_names_are_found_inside_messages(name: str) -> None:
    if "_" not in name:
        return
    for message in (
        f"task failed: {name}",
        f'{{"cause":"{name}","exitCode":1}}',
        f"[chainTaskId:0x11, cause={name}] giving up",
    ):
        assert set(names(name)) <= set(names(message))


def test_there_are_101_replicate_causes() -> None:
    assert len(CAUSES) + len(SESSION) == len(set(CAUSES) | {causes.SESSION + name for name in SESSION}) == 101


@pytest.mark.parametrize("code", CODES)
def test_match_codes_inside_messages(code: str) -> None:
    expected = [f"iExecV5-matchOrders-0x{code}"]
    for message in (
        f"execution reverted: iExecV5-matchOrders-0x{code}",
        f"('execution reverted: iExecV5-matchOrders-0x{code}', '0x')",
        f"VM Exception while processing transaction: reverted with reason string 'iExecV5-matchOrders-0x{code}'",
    ):
        assert names(message)[:1] == expected
    data = f"iExecV5-matchOrders-0x{code}".encode()
    assert names("execution reverted, data: 0x08c379a0" + abi_string(data)) == expected


def abi_string(data: bytes) -> str:
    padded = data + b"\x00" * (-len(data) % 32)
    return ((32).to_bytes(32, "big") + len(data).to_bytes(32, "big") + padded).hex()


def test_errors_of_the_contracts_by_their_data() -> None:
    for signature in ("OperationFailed()", "CallerIsNotTheRequester()", "UnsupportedOperation(bytes4)"):
        data = "0x" + keccak(signature.encode())[:4].hex() + "00" * 32 * ("bytes4" in signature)
        assert names(data) == [signature.partition("(")[0]]
    selector = keccak(b"IncompatibleDatasetOrder(string)")[:4].hex()
    found = names(f"execution reverted: 0x{selector}" + abi_string(b"Deal not found"))
    assert found[:2] == ["IncompatibleDatasetOrder", "Deal not found"]
    [panic] = explain("0x4e487b71" + f"{0x11:064x}")
    assert panic.name == "Panic(0x11)" and "overflow" in panic.meaning


def test_a_refusal_without_a_reason_is_explained() -> None:
    for text in ("execution reverted", "('execution reverted', '0x')", "execution reverted: no data", "0x"):
        assert "empty revert" in names(text), text
    assert "claim" in names("claim: execution reverted")


MESSAGES = {
    "write /x: no space left on device": "no space left on device",
    "Error response from daemon: pull access denied for a/b, repository does not exist": "pull access denied",
    "unauthorized: authentication required": "pull access denied",
    "manifest for python:9.9 not found: manifest unknown": "manifest unknown",
    "toomanyrequests: You have reached your pull rate limit.": "toomanyrequests",
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.": "Cannot connect to the Docker daemon",
    "standard_init_linux.go:228: exec user process caused: exec format error": "exec format error",
    'exec: "nod": executable file not found in $PATH: unknown': "executable file not found",
    "The command '/bin/sh -c false' returned a non-zero code: 1": "a RUN step failed",
    'process "/bin/sh -c x" did not complete successfully: exit code: 137': "exit code 137",
    "container exited with code 137": "exit code 137",
    "exit status 139": "exit code 139",
    "COPY failed: file not found in build context": "a file for COPY is missing",
    "dockerfile parse error line 3: unknown instruction: RUNN": "dockerfile parse error",
    "x509: certificate signed by unknown authority": "certificate signed by unknown authority",
    "[output clipped, log limit 1MiB reached]": "output clipped",
    "dial tcp: lookup registry-1.docker.io: no such host": "name resolution failed",
    "failed: no active sessions": "no active sessions",
    "[Error] Could not create enclave: Error opening SGX device": (
        "Could not create enclave: Error opening SGX device"
    ),
    "Killed": "Killed",
    "npm ERR! spawn ENOSYS": "spawn ENOSYS",
    "Protected heap memory exhausted! Set SCONE_HEAP environment variable to increase it.": (
        "Protected heap memory exhausted"
    ),
    'error gathering device information while adding custom device "/dev/isgx": no such file or directory': (
        "error gathering device information"
    ),
    "[SCONE|WARN] src/process.c:1: Application runs in SGX simulation mode.": (
        "Application runs in SGX simulation mode"
    ),
    "[SCONE|WARN] src/process.c:1: Application runs in SGX debug mode. Its memory …": (
        "Application runs in SGX debug mode"
    ),
    "CAS channel error: UnknownIssuer": "UnknownIssuer",
    "enclave exited with code 244": "exit code 244",
    'Requester secret "db" is not set for requester 0x12 in the SMS.': "Requester secret is not set",
    "Secret already exists for 0x12 and can't be updated": "Secret already exists",
    "apporder is fully consumed": "is fully consumed",
    "Total cost for 2 tasks (9) is greater than requester account stake (0)": (
        "greater than requester account stake"
    ),
    "TEE framework version unsupported [taskId:0x1]": "APP_COMPUTE_INVALID_ENCLAVE_CONFIG",
    "insufficient funds for gas * price + value": "insufficient funds",
}


@pytest.mark.parametrize(("message", "name"), MESSAGES.items())
def test_messages_are_recognised(message: str, name: str) -> None:
    assert name in names(message)


@pytest.mark.parametrize(
    "message",
    ["", "hello world", "all is well", "Step 3/9 : RUN make", "0x99", "iExecV5-matchOrders-0x99", "exit code 0",
     "exit code 1370", "PRE_COMPUTE", "the TEE is fine", "finalize the report", "0x" + "ab" * 32],
)  # fmt: skip
def test_what_is_unknown_stays_unknown(message: str) -> None:
    assert explain(message) == []


def test_near_names_for_what_is_mistyped() -> None:
    assert near("PRE_COMPUTE_INVALID_DATASET_CHEKSUM")[0] == "PRE_COMPUTE_INVALID_DATASET_CHECKSUM"
    assert "APP_COMPUTE_FAILED" in near("app_compute_faild")
    assert "PRE_COMPUTE_INVALID_ENCLAVE_HEAP_CONFIGURATION" in near("heap")
    assert near("qqqqqqqq") == near("") == []


def test_every_entry_is_whole_and_fits_a_screen() -> None:
    for entry in causes.entries():
        for text in (entry.meaning, entry.look, entry.do):
            assert text and text == text.strip() and len(text) <= 120, entry.name
            assert text.endswith((".", "?", "…")), (entry.name, text)
        if entry.command:
            assert entry.command.startswith(("creamtea ", "docker ", "sudo ")), entry.name


def test_no_two_entries_of_a_group_share_a_name() -> None:
    seen: set[tuple[str, str]] = set()
    for entry in causes.entries():
        for name in (entry.name, *entry.also):
            key = (entry.group, name.lower())
            assert key not in seen, key
            seen.add(key)


def test_every_pattern_is_an_expression_that_something_here_could_match() -> None:
    for pattern, entry in causes._load().patterns:
        assert isinstance(entry, Explanation)
        assert pattern.search("") is None, entry.name


@given(st.text(max_size=300))
def test_any_text_is_borne(text: str) -> None:
    assert all(isinstance(entry, Explanation) for entry in explain(text))
    assert len(near(text)) <= 5


@pytest.mark.parametrize(
    "piece", ["execution reverted", "0x08c379a0" + "ff" * 200, "A_" * 50, "initialize ", "WebAssembly "]
)
def test_long_texts_end(piece: str) -> None:
    explain(piece * 5000)
