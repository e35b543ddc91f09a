"""Refusals of the contracts as failures: a stable name, the explainer's words, what to do."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web3.exceptions import ContractLogicError, Web3RPCError

from workflows.core.failure import Failed
from workflows.iexec import causes, reverts

REVERTS = {
    "IexecEscrow: Transfer amount exceeds balance": "escrow_balance",
    "IexecEscrow: Transfer from empty address": "escrow_from_zero",
    "IexecEscrow: Transfer to empty address": "escrow_to_zero",
    "Create2: Failed on deploy": "already_deployed",
    "invalid-signature-format": "invalid_signature_format",
    "invalid-sender-or-signature": "invalid_sender",
    "task-pending": "task_pending",
    "native-transfer-failed": "native_transfer_failed",
    "wrong-token": "wrong_token",
    "Ownable: caller is not the owner": "not_owner",
    "caller is not the owner": "not_owner",
    "insufficient funds for gas * price + value": "insufficient_gas_funds",
    **{
        name: name
        for name in (entry.name for entry in causes.entries())
        if name.startswith("iExecV5-matchOrders-")
    },
}
EMPTY = ["execution reverted", "execution reverted: no data", "execution reverted, data: '0x'"]


@pytest.mark.parametrize(("text", "name"), REVERTS.items())
def test_known_reverts(text: str, name: str) -> None:
    for message in (text, f"execution reverted: {text}"):
        failure = reverts.explained(ContractLogicError(message))
        [known] = causes.explain(name)  # what is reported can be asked for
        assert (failure.name, failure.hint) == (name, known.do)
        words = known.meaning[0].lower() + known.meaning[1:-1]
        assert failure.message == f"refused by the contract: {words} ({text})"
        assert reverts.explain(message) == reverts.Reason(name, words, known.do)


def test_an_error_of_the_contracts_comes_as_data() -> None:
    data = "0x0afd9382" + f"{32:064x}" + f"{29:064x}" + b"App restriction not satisfied".hex().ljust(64, "0")
    failure = reverts.explained(ContractLogicError(data))
    assert failure.name == "bulk_app_refused"
    assert failure.message == (
        "refused by the contract: the dataset order does not allow the deal's app "
        "(IncompatibleDatasetOrder: App restriction not satisfied)"
    )


def test_there_are_28_codes_of_match_orders() -> None:
    assert sum(name.startswith("iExecV5-matchOrders-0x") for name in REVERTS) == 28


def test_what_the_node_itself_says() -> None:
    error = Web3RPCError("wrapped", rpc_response={"error": {"message": "insufficient funds for transfer"}})  # type: ignore[arg-type]
    assert reverts.explained(error).name == "insufficient_gas_funds"


@pytest.mark.parametrize("text", EMPTY)
def test_without_a_reason_the_caller_is_asked_for_one(text: str) -> None:
    assert reverts.explained(ContractLogicError(text), lambda: Failed("", name="asked")).name == "asked"
    assert reverts.explained(ContractLogicError(text)).message.endswith("reverted without a reason")


@pytest.mark.parametrize("text", ["something else", "iExecV5-matchOrders-0xff", "", *EMPTY])
def test_what_is_unknown_has_no_reason(text: str) -> None:
    assert reverts.explain(text) is None


@given(st.text(max_size=400))
def test_whatever_a_node_says_it_is_shown_harmless(text: str) -> None:
    failure = reverts.explained(ContractLogicError(text))
    assert failure.name in (*REVERTS.values(), "reverted")
    assert "\x1b" not in failure.message and len(failure.message) < 500


def test_the_data_are_read_when_something_is_to_be_explained() -> None:
    code = "from workflows.iexec import causes, connection, reverts; print(causes._load.cache_info().misses)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "0\n"
