"""The kinds of secrets that an SMS keeps: whose they are, who signs, what they hold, who reads them.

Source: iexec-sms (reference sms §2, §5, §8.3) and `ReservedSecretKeyName` of iexec-sms-library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workflows.core.failure import Missing
from workflows.iexec.ids import address as checksummed
from workflows.iexec.params import SECRET_NAME
from workflows.iexec.sms import RESULT_KEY
from workflows.iexec.sms_answers import MAX_SIZE

Slot = Literal["web3", "apps", "requesters", "web2"]
Thing = Literal["dataset", "app", "wallet"]


@dataclass(frozen=True)
class Kind:
    """One kind. `slot` is the endpoint, `thing` what its owner field names, `name` the fixed name if it has one.

    `forever`: it can never be changed or deleted; `change` says what to do instead. `limit`: UTF-8 bytes.
    `public`: everybody may know it.
    """

    id: str
    title: str
    slot: Slot
    thing: Thing
    form: str
    signer: str
    reader: str
    change: str = "a second push replaces it; what was done with the old value stays done"
    name: str | None = None
    forever: bool = True
    public: bool = False
    limit: int = MAX_SIZE


_SELF = "the wallet itself"

KINDS: dict[str, Kind] = {
    kind.id: kind
    for kind in (
        Kind(
            "dataset-key", "dataset key", "web3", "dataset", "32 bytes as base64, 44 characters",
            "the dataset's owner on the chain", "pre-compute, for each task whose deal has the dataset",
            "never: another key needs another dataset", name="",
        ),
        Kind(
            "app-secret", "app developer secret", "apps", "app", "text",
            "the app's owner on the chain", "the app, in every run of it, whoever asks for the run",
            "never: another value needs another app", name="1",
        ),
        Kind(
            "requester-secret", "requester secret", "requesters", "wallet", "text",
            _SELF, "the app that the requester's own order names, in the runs of that order",
            "never: another value needs another name",
        ),
        Kind(
            "result-key", "result encryption key", "web2", "wallet", "RSA public key, base64 of its SPKI PEM",
            _SELF, "post-compute, for each task whose beneficiary is this wallet",
            name=RESULT_KEY, forever=False, public=True,
        ),
        Kind(
            "dropbox-token", "Dropbox token", "web2", "wallet", "text",
            _SELF, "post-compute, for this requester's tasks that store their result in Dropbox",
            name="iexec-result-dropbox-token", forever=False,
        ),
        Kind(
            "ipfs-token", "storage token", "web2", "wallet", "JWT of the result proxy",
            _SELF, "post-compute, for tasks of this worker or requester that store their result in IPFS",
            name="iexec-result-iexec-ipfs-token", forever=False,
        ),
        Kind(
            "result-proxy-url", "result proxy URL", "web2", "wallet", "URL",
            _SELF, "post-compute, for tasks in the pool of this workerpool owner",
            name="iexec-result-iexec-result-proxy-url", forever=False, public=True,
        ),
        Kind(
            "named", "named secret", "web2", "wallet", "text",
            _SELF, "nothing in iExec reads a name of your own", forever=False,
        ),
    )
}  # fmt: skip

_RESERVED = {kind.name: kind for kind in KINDS.values() if kind.slot == "web2" and kind.name}


@dataclass(frozen=True)
class Secret:
    """One place in an SMS, without its value: a kind, whose it is (an address), and its name."""

    kind: Kind
    owner: str
    name: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two of them the same to an SMS: web2 names have no case there, requesters' have."""
        name = self.name.lower() if self.kind.slot == "web2" else self.name
        return self.kind.slot, self.owner.lower(), name

    @property
    def title(self) -> str:
        """`dataset key`, `requester secret pin`."""
        return self.kind.title if self.kind.name is not None else f"{self.kind.title} {self.name}"


def kind_of(word: str) -> Kind:
    """A kind by its id; Missing lists them."""
    if word not in KINDS:
        raise Missing(
            f"there is no kind of secret {word!r:.40}", f"one of {', '.join(KINDS)}", name="unknown_kind"
        )
    return KINDS[word]


def secret(kind: Kind, owner: str, name: str | None = None) -> Secret:
    """A place in the SMS, checked. Missing: the address is none, or the name is needed, wrong or reserved."""
    try:
        address = checksummed(owner)
    except ValueError as error:
        raise Missing(str(error), "0x and 40 hex digits", name="bad_address") from None
    if kind.name is not None:
        return Secret(kind, address, kind.name)
    if not name or not SECRET_NAME.match(name):
        raise Missing(
            f"a name has 1 to 64 of A–Z a–z 0–9 - _, and {name!r:.80} has not"
            if name
            else f"a {kind.title} has a name: 1 to 64 of A–Z a–z 0–9 - _",
            "give --name NAME",
            name="bad_secret_name",
        )
    if kind.slot == "web2" and name.lower() in _RESERVED:
        meant = _RESERVED[name.lower()]
        raise Missing(f"{name} is the name of the {meant.title}", f"push it as {meant.id}", name="reserved")
    return Secret(kind, address, name)
