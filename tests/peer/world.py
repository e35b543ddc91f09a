"""What the developer registers on the chain without the client, for tests of what becomes of it."""

from __future__ import annotations

import json

from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp, NewDataset

CHECKSUM = "0x" + "5c" * 32
JSON_FORM = {
    "framework": "SCONE", "version": "v5.9", "entrypoint": "python3 /app/app.py", "heapSize": 1 << 30,
    "fingerprint": "2d" * 32,
}  # fmt: skip


def new_app(chain: Poco, name: str, fingerprint: str | None = None) -> str:
    """A registered app in the JSON form, or with another fingerprint; nobody runs it."""
    value = json.dumps(JSON_FORM) if fingerprint is None else fingerprint
    new = NewApp(_owner(chain), name, "docker.io/nobody/none:1", CHECKSUM, value.encode())
    transaction = chain.deploy_app(new)
    chain.send(transaction)
    return chain.deployed_address("app", chain.wait(transaction), transaction)


def dataset(chain: Poco, name: str) -> str:
    """A registered dataset; nobody reads it."""
    transaction = chain.deploy_dataset(NewDataset(_owner(chain), name, "https://example.org/none", CHECKSUM))
    chain.send(transaction)
    return chain.deployed_address("dataset", chain.wait(transaction), transaction)


def _owner(chain: Poco) -> str:
    assert chain.account is not None
    return str(chain.account.address)
