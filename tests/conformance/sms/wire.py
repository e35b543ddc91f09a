"""A plain HTTP client of an SMS: the path goes out as it is given, the answer comes back as it is."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from workflows.iexec import challenge
from workflows.iexec.signatures import sign_digest


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def errors(self) -> tuple[int, Any]:
        """Status and what the app and requester endpoints say of it."""
        return self.status, self.json()["error"] if self.text else None


@dataclass(frozen=True)
class Sms:
    """The SMS at the root of `url`; signers are eth_account's."""

    url: str

    def call(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.netloc, timeout=60, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        try:
            data = body.encode() if isinstance(body, str) else body
            connection.request(method, path, data, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode("utf-8", "replace"), dict(answer.headers))
        finally:
            connection.close()

    def push(self, method: str, path: str, value: str, digest: str, signer: Any) -> Answer:
        """What the SDK sends: the value as text, its challenge signed."""
        headers = {"Authorization": sign_digest(signer, digest), "Content-Type": "text/plain"}
        return self.call(method, path, value, headers)

    def web3(self, address: str, value: str, signer: Any) -> Answer:
        return self.push("POST", web3(address), value, challenge.web3(address, value), signer)

    def web2(self, owner: Any, name: str, value: str, *, signer: Any = None, method: str = "POST") -> Answer:
        digest = challenge.web2(owner.address, name, value)
        return self.push(method, web2(owner.address, name), value, digest, signer or owner)

    def app(self, address: str, value: str, signer: Any) -> Answer:
        return self.push("POST", app(address), value, challenge.app(address, value), signer)

    def requester(self, owner: Any, key: str, value: str, *, signer: Any = None) -> Answer:
        digest = challenge.requester(owner.address, key, value)
        return self.push("POST", requester(owner.address, key), value, digest, signer or owner)

    def head(self, path: str) -> int:
        """The status of a HEAD, whose answer has no body."""
        answer = self.call("HEAD", path)
        assert answer.text == ""
        return answer.status

    def challenge(self, task: str, signer: Any) -> Answer:
        signature = sign_digest(signer, challenge.joined("", task, ""))
        return self.call("POST", f"/tee/challenges/{task}", headers={"Authorization": signature})

    def session(self, task: str, enclave: str, worker: Any, pool: Any, header: Any = None) -> Answer:
        """Asked for by `worker`, allowed by `pool`; `header` signs in the worker's place."""
        digest = challenge.joined(worker.address, task, enclave)
        document = {
            "chainTaskId": task,
            "dealId": "0x" + "00" * 32,
            "taskIndex": 0,
            "workerWallet": worker.address,
            "enclaveChallenge": enclave,
            "signature": {"value": sign_digest(pool, digest)},
        }
        headers = {"Authorization": sign_digest(header or worker, digest), "Content-Type": "application/json"}
        return self.call("POST", "/tee/sessions", json.dumps(document), headers)


def web3(address: str) -> str:
    return f"/secrets/web3?secretAddress={address}"


def web2(owner: str, name: str) -> str:
    return f"/secrets/web2?ownerAddress={owner}&secretName={name}"


def app(address: str) -> str:
    return f"/apps/{address}/secrets"


def requester(owner: str, key: str) -> str:
    return f"/requesters/{owner}/secrets/{key}"
