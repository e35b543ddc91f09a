"""What pre-flight checks work on: the plan of a request, the questions for an SMS, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from workflows.iexec.matching import Orders

# What the worker puts before the SMS's reason for making no session.
GENERATION = "TEE_SESSION_GENERATION_"


class Sms(Protocol):
    """What is asked of a Secret Management Service; `workflows.iexec.sms` is one."""

    def has_dataset_key(self, address: str) -> bool: ...
    def has_app_secret(self, address: str) -> bool: ...
    def has_requester_secret(self, address: str, name: str) -> bool: ...
    def has_result_key(self, address: str) -> bool: ...
    def framework(self) -> str: ...
    def properties(self, version: str) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True)
class Enclave:
    """What the app's registered fingerprint says, read by whoever knows the framework.

    `problem` is why it could not be read. `version` is None in the old forms, which have no such part;
    `heap` in bytes, None where the fingerprint does not say.
    """

    framework: str = "scone"
    version: str | None = None
    heap: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Plan:
    """A request before its signature.

    `signers`: addresses whose wallets are at hand, for orders still unsigned. `needs_app_secret`: the app
    reads its developer secret. `measured_seconds`: how long it ran when tried locally. `max_heap`: the
    largest heap of the pool's workers, bytes. `old_forms`: the SMS takes fingerprints of the old forms.
    """

    orders: Orders
    enclave: Enclave | None = None
    signers: frozenset[str] = frozenset()
    needs_app_secret: bool = False
    measured_seconds: float | None = None
    max_heap: int | None = None
    old_forms: bool = True


@dataclass(frozen=True)
class Check:
    """One question and its answer. A warning that is not ok does not stop the request."""

    name: str
    ok: bool
    text: str
    predicts: str = ""
    hint: str = ""
    level: Literal["error", "warning"] = "error"

    @property
    def blocks(self) -> bool:
        """Whether the request should not be sent as it is."""
        return not self.ok and self.level == "error"
