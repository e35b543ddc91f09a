"""What a revert of the PoCo contracts means, and what to do (PoCo `IexecPoco1Facet`, escrow, registries)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from workflows.core.failure import Failed
from workflows.core.text import clean

_REQUEST = "Change the request."
_OTHER = "Choose another workerpool order, or change the request."


@dataclass(frozen=True)
class Reason:
    """A revert in plain words."""

    name: str
    meaning: str
    hint: str


# Conditions in the order in which the contract checks them.
MATCH_ORDERS: dict[str, tuple[str, str]] = {
    "0x00": ("the request and the workerpool order are of different categories", _OTHER),
    "0x01": ("the category does not exist", "Choose one of the chain's categories."),
    "0x02": ("the request asks for more trust than the workerpool offers", _OTHER),
    "0x03": ("the app costs more than the request allows", "Raise the highest app price."),
    "0x04": ("the dataset costs more than the request allows", "Raise the highest dataset price."),
    "0x05": ("the workerpool costs more than the request allows", "Raise the highest workerpool price."),
    "0x06": ("the workerpool does not offer every tag that app, dataset and request ask for", _OTHER),
    "0x07": ("a TEE is asked for, but the app order lacks the tag tee", "Sign the app order with tee,scone."),
    "0x10": ("the request names another app than the app order", _REQUEST),
    "0x11": ("the request names another dataset than the dataset order", _REQUEST),
    "0x12": ("the request is restricted to another workerpool", _OTHER),
    "0x13": ("the app order is restricted to another dataset", "Ask the app's owner for an order."),
    "0x14": ("the app order is restricted to another workerpool", _OTHER),
    "0x15": ("the app order is restricted to another requester", "Ask the app's owner for an order."),
    "0x16": ("the dataset order is restricted to another app", "Ask the dataset's owner for an order."),
    "0x17": ("the dataset order is restricted to another workerpool", _OTHER),
    "0x18": ("the dataset order is restricted to another requester", "Ask the dataset's owner for an order."),
    "0x19": ("the workerpool order is restricted to another app", _OTHER),
    "0x1a": ("the workerpool order is restricted to another dataset", _OTHER),
    "0x1b": ("the workerpool order is restricted to another requester", _OTHER),
    "0x20": ("the app is not registered on this chain", "Deploy it here, or change the network."),
    "0x21": ("the app order is not signed by the app's owner", "Sign it with the owner's wallet."),
    "0x30": ("the dataset is not registered on this chain", "Deploy it here, or change the network."),
    "0x31": ("the dataset order is not signed by the dataset's owner", "Sign it with the owner's wallet."),
    "0x40": ("the workerpool is not registered on this chain", _OTHER),
    "0x41": ("the workerpool order is not signed by the workerpool's owner", _OTHER),
    "0x50": ("the request order is not signed by the requester", "Sign it with the requester's wallet."),
    "0x60": ("an order is used up or cancelled: nothing is left to match", "Sign a new order."),
}

_TEXTS: dict[str, tuple[str, str, str]] = {
    "IexecEscrow: Transfer amount exceeds balance": (
        "escrow_balance",
        "an account holds too little: the payer's for the price, or the workerpool owner's for the stake",
        "Deposit RLC, or choose a cheaper or better funded workerpool order.",
    ),
    "IexecEscrow: Transfer from empty address": ("escrow_from_zero", "a payment from nobody", _REQUEST),
    "IexecEscrow: Transfer to empty address": ("escrow_to_zero", "a payment to nobody", _REQUEST),
    "Create2: Failed on deploy": (
        "already_deployed",
        "an object with the same values and owner is registered already",
        "Use its address; nothing needs to be sent.",
    ),
    "invalid-signature-format": (
        "invalid_signature_format",
        "a signature is neither 65 nor 64 bytes long",
        "Sign the order again.",
    ),
    "invalid-sender-or-signature": (
        "invalid_sender",
        "only the owner may sign or cancel this order",
        "Use the owner's wallet.",
    ),
    "task-pending": ("task_pending", "the task is not completed yet", "Wait for it."),
    "native-transfer-failed": ("native_transfer_failed", "the chain's money could not be moved", ""),
    "wrong-token": ("wrong_token", "the escrow takes another token", "Check the network's rlc address."),
    "caller is not the owner": ("not_owner", "only the owner may do this", "Use the owner's wallet."),
    "insufficient funds": (
        "insufficient_gas_funds",
        "the wallet cannot pay for the transaction",
        "Send some of the chain's own money to it.",
    ),
}

_MATCH_CODE = re.compile(r"iExecV5-matchOrders-(0x[0-9a-f]{2})")


def explain(text: str) -> Reason | None:
    """The meaning of a revert text or of a node's message that holds one; None when it is not known."""
    if match := _MATCH_CODE.search(text):
        code = match.group(1)
        if code in MATCH_ORDERS:
            return Reason(match.group(0), *MATCH_ORDERS[code])
    for known, (name, meaning, hint) in _TEXTS.items():
        if known.lower() in text.lower():
            return Reason(name, meaning, hint)
    return None


def explained(error: Exception, why: Callable[[], Failed] | None = None) -> Failed:
    """A client's exception as Failed. `why` is asked for when the contract gave no reason."""
    text = _text(error)
    if reason := explain(text):
        return Failed(
            f"refused by the contract: {reason.meaning} ({_short(text)})", reason.hint, name=reason.name
        )
    if not _short(text) and why is not None:
        return why()
    return Failed(
        f"refused by the chain: {_short(text) or 'reverted without a reason'}",
        "See creamtea explain for the message.",
        name="reverted",
    )


def unexplained() -> Failed:
    """A revert without a reason whose conditions all hold now."""
    return Failed(
        "refused by the contract without a reason; every condition it checks holds now",
        "Something changed in between: try again.",
        name="reverted",
    )


def _text(error: Exception) -> str:
    """What the node or the contract said."""
    response = getattr(error, "rpc_response", None)
    if isinstance(response, dict) and isinstance(response.get("error"), dict):
        return str(response["error"].get("message", ""))
    return str(getattr(error, "message", None) or error)


def _short(text: str) -> str:
    """The message without the client's wrapping; empty when it says only that it reverted."""
    plain = clean(text)
    if "execution reverted" in plain:
        plain = plain.split("execution reverted", 1)[1].lstrip(":, ").rstrip("'\"}")
        if plain.startswith(("no data", "data:")):
            plain = ""
    return plain[:300]
