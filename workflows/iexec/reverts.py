"""A revert of the PoCo contracts as a failure that says what it means and what to do; the words are in `causes`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workflows.core.failure import Failed
from workflows.core.text import clean
from workflows.iexec import causes


@dataclass(frozen=True)
class Reason:
    """A revert in plain words; `meaning` goes on a sentence."""

    name: str
    meaning: str
    hint: str


def explain(text: str) -> Reason | None:
    """The meaning of a revert text or of a node's message that holds one; None when it is not known."""
    for entry in causes.explain(text):
        if entry.failure:
            return Reason(entry.failure, entry.meaning[0].lower() + entry.meaning[1:].rstrip("."), entry.do)
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
    if plain.startswith("0x") and (known := causes.explain(plain)):
        plain = ": ".join(entry.name for entry in known)  # an error of the contracts, as data
    return plain[:300]
