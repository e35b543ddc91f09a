"""An SMS and the ledger together: ask for a secret, push one, and remember that it was pushed."""

from __future__ import annotations

import base64

from workflows.iexec.secrets.kinds import Secret
from workflows.iexec.secrets.ledger import Ledger
from workflows.iexec.secrets.values import checked
from workflows.iexec.sms import Sms


def is_set(sms: Sms, place: Secret) -> bool:
    """Whether the SMS has something there. Unavailable when none answers."""
    if place.kind.slot == "web3":
        return sms.has_dataset_key(place.owner)
    if place.kind.slot == "apps":
        return sms.has_app_secret(place.owner)
    if place.kind.slot == "requesters":
        return sms.has_requester_secret(place.owner, place.name)
    return sms.has_secret(place.owner, place.name)


def push(sms: Sms, ledger: Ledger, place: Secret, value: str, *, replace: bool = False) -> None:
    """Give the SMS a value. Refusals are those of `Sms`; what was sent without an answer is remembered as such."""
    value = checked(place.kind, value)
    with ledger.pushing(sms.url, sms.framework(), place, value):
        if place.kind.slot == "web3":
            sms.push_dataset_key(place.owner, base64.b64decode(value))
        elif place.kind.slot == "apps":
            sms.push_app_secret(place.owner, value)
        elif place.kind.slot == "requesters":
            sms.push_requester_secret(place.name, value)
        elif place.kind.id == "result-key":
            sms.push_result_key(value, replace=replace)
        else:
            sms.push_secret(place.name, value, replace=replace)
