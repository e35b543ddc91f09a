"""Every name under which something fails here is explained, or is of those whose message says all."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import workflows
from workflows.iexec import causes
from workflows.iexec.causes import explain


def words(text: str) -> set[str]:
    return set(text.split())


# Their messages name the value, file or line and what is wrong with it: nothing is left to explain.
PLAIN = words(
    """
absent address address_mismatch already_contributed answer_too_large app_secret_differs bad_address
bad_archive bad_key_file bad_network bad_private_key bad_record bad_reference bad_secret_name bad_task
bad_url bad_value base_image before_final_deadline blank_secret broken_off build_heredoc build_needs_session
build_syntax_image callback_digest callback_unexpected cas_unavailable commitment_key context_changed
context_unreadable contribution_deadline damaged_pki database dataset_in_image dockerfile dockerignore
editor empty_project engine_error engine_silent ens entrypoint exists export file_changed file_too_large
file_trouble iexec_file image_id in_image insecure_url inside invalid_heap invalid_key invalid_keystore
invalid_order invalid_params journal key_file_damaged key_file_not_private key_needed language ledger listen
maintenance missing no_app no_build no_buildkit no_category no_dataset no_deal no_enclave_challenge no_end no_gateway
no_hub no_iexec_project no_localnet no_market no_match no_npm no_order no_password no_result no_room no_side
no_stand_in no_step no_storage no_task not_allowed not_authorized not_done not_found not_json npm_integrity
orders other_key packages passphrase project project_name public_key_wallet record redirected
refused_download regions registry_error registry_login reserved reverted scone_volume secret_size
secret_zero_byte server_error session_refused sms_backup sms_database sms_framework sms_refused state system
tag tag_frameworks_exclusive tag_without_framework tag_without_tee task_not_unset tls_files too_many_files
transaction_replaced transaction_reverted unconfirmed unknown_base unknown_kind unknown_network unknown_tag
unlikely_folder usage vault_key_mismatch volume wallet weak_key wrong_enclave_signature wrong_hub
wrong_passphrase
"""
)


def constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)


def named() -> set[str]:
    """All `name="…"` of calls that make a failure."""
    found: set[str] = set()
    for path in Path(workflows.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in FAILURES:
                for keyword in node.keywords:
                    if keyword.arg == "name":
                        found.update(constants(keyword.value))
    return found


FAILURES = {"Failed", "Missing", "Unavailable", "Cancelled", "TransactionFailed", "BuildFailed"}


def test_every_name_is_explained_or_plain_and_none_is_both() -> None:
    names = named()
    assert len(names) > 100
    unknown = {name for name in names if not explain(name)}
    assert unknown - PLAIN == set(), "explain them in causes.toml, or list them as plain"
    assert PLAIN - unknown == set(), "explained by now, or gone"


def test_what_is_explained_as_our_own_is_a_name_that_exists() -> None:
    ours = {entry.name for entry in causes.entries() if entry.group == "creamtea"}
    assert ours and ours <= named()


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("the app left no computed.json", "POST_COMPUTE_COMPUTED_FILE_NOT_FOUND"),
        ("/iexec_out/computed.json: no such file", "POST_COMPUTE_COMPUTED_FILE_NOT_FOUND"),
        ("409", "secret_exists"),
        ("the SMS answered with status 409", "secret_exists"),
        ("nothing listens at tcp://127.0.0.1:1 (from DOCKER_HOST): refused", "Cannot connect to the Docker daemon"),
        ("no container engine: unix:///nowhere (from context x) does not exist",
         "Cannot connect to the Docker daemon"),
        ("engine_refused", "Cannot connect to the Docker daemon"),
        ("registry_denied", "pull access denied"),
        ("python3 printed no MRENCLAVE, it said: nothing", "no_mrenclave"),
        ("the engine has no image a/b", "no_image"),
    ],
)  # fmt: skip
def test_plain_messages_are_recognised(message: str, name: str) -> None:
    assert name in [entry.name for entry in explain(message)]
