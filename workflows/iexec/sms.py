"""The Secret Management Service as a client sees it: push a secret once, ask whether one is there.

Nothing can be read back. A value never gets into a message, a representation or a log; it leaves this machine
only when all that can be known beforehand is right.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.core.text import clean
from workflows.iexec import challenge, web
from workflows.iexec import sms_answers as answers
from workflows.iexec.dataset import key_text
from workflows.iexec.ids import address as checksummed
from workflows.iexec.params import SECRET_NAME
from workflows.iexec.signatures import sign_digest
from workflows.iexec.sms_answers import MAX_SIZE

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

RESULT_KEY = "iexec-result-encryption-public-key"
FRAMEWORKS = ("SCONE", "GRAMINE", "TDX")


class Sms:
    """A client of the SMS at the root of `url`, for one TEE framework; `account` signs what is pushed.

    Every refusal is a Failed with what to do; Unavailable when no SMS answers.
    """

    def __init__(
        self,
        url: str,
        account: LocalAccount | None = None,
        *,
        framework: str = "SCONE",
        timeout: float = web.TIMEOUT,
        cancel: Cancel | None = None,
    ) -> None:
        self.url = web.origin(url, "SMS")
        self._account = account
        self._wanted = framework.upper()
        self._timeout = timeout
        self._cancel = cancel
        self._served = ""

    def __repr__(self) -> str:
        return f"Sms({web.shown(self.url)!r})"

    # what it is

    def framework(self) -> str:
        """The TEE framework that it serves: SCONE, GRAMINE or TDX. Asked once."""
        if not self._served:
            reply = self._send("GET", "/tee/framework")
            word = self._json(reply) if reply.status == 200 else None
            if not isinstance(word, str) or word.upper() not in FRAMEWORKS:
                raise answers.strange(reply)
            self._served = word.upper()
        return self._served

    def properties(self, version: str) -> Mapping[str, Any] | None:
        """Images and fingerprints of pre-compute and post-compute for a framework version (`v5`, `v5.9`).

        None when it does not serve that version, or another framework.
        """
        if not version or len(version) > 64:
            return None
        reply = self._send("GET", f"/tee/properties/{self._wanted.lower()}/{quote(version, safe='')}")
        if reply.status in (400, 404, 409):
            return None
        document = self._json(reply) if reply.status == 200 else None
        if not isinstance(document, dict):
            raise answers.strange(reply)
        return document

    # what it has

    def has_dataset_key(self, address: str) -> bool:
        """Whether the key of a dataset is there."""
        return self._has(_dataset_path(_address(address)))

    def has_app_secret(self, address: str) -> bool:
        """Whether the developer's secret of an app is there."""
        return self._has(_app_path(_address(address)))

    def has_requester_secret(self, address: str, name: str) -> bool:
        """Whether a requester's secret of that name is there; names are case-sensitive."""
        return self._has(_requester_path(_address(address), _name(name)))

    def has_result_key(self, address: str) -> bool:
        """Whether the key that results for this beneficiary are encrypted with is there."""
        return self.has_secret(address, RESULT_KEY)

    def has_secret(self, owner: str, name: str) -> bool:
        """Whether a wallet's named (web2) secret is there; the SMS puts names in lower case."""
        return self._has(_named_path(_address(owner), _name(name)))

    # what it gets

    def push_dataset_key(self, dataset: str, key: bytes) -> None:
        """Give it the key of a dataset, once and for ever; the account must own the dataset on chain."""
        address, value = _address(dataset), key_text(key)
        digest = challenge.web3(address, value)
        self._push("POST", _dataset_path(address), value, digest, f"the key of dataset {address}", address)

    def push_app_secret(self, app: str, value: str) -> None:
        """Give it the developer's secret of an app, once and for ever; the account must own the app."""
        address = _address(app)
        check(value)
        digest = challenge.app(address, value)
        self._push("POST", _app_path(address), value, digest, f"the secret of app {address}", address)

    def push_requester_secret(self, name: str, value: str) -> None:
        """Give it a secret of the account's, once and for ever, under a name of [0-9A-Za-z_-]{1,64}."""
        _name(name)
        check(value)
        owner = self._signer()
        path = _requester_path(owner, name)
        self._push(
            "POST", path, value, challenge.requester(owner, name, value), f"the secret {name!r}", owner
        )

    def push_secret(self, name: str, value: str, *, replace: bool = False) -> None:
        """Give it a named (web2) secret of the account's; the only kind that `replace` can change later."""
        _name(name)
        check(value)
        owner, what = self._signer(), f"the secret {name!r}"
        path, digest = _named_path(owner, name), challenge.web2(owner, name, value)
        there = self._has(path)
        if there and not replace:
            raise Failed(
                f"the SMS already has {what} of {owner}",
                "It can be replaced; what was encrypted for the old key still needs that key.",
                name="secret_exists",
            )
        try:
            self._push("PUT" if there else "POST", path, value, digest, what, owner)
        except Failed as error:  # its memory of what is there may be a minute old
            if not (replace and not there and error.name == "secret_exists"):
                raise
            self._push("PUT", path, value, digest, what, owner)

    def push_result_key(self, value: str, *, replace: bool = False) -> None:
        """Give it the account's result encryption key, as `keys.sms_value` makes it."""
        try:
            pem = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pem = b""
        if not pem.startswith(b"-----BEGIN PUBLIC KEY-----"):
            raise Missing(
                "the result key is not base64 of a public key in SPKI PEM form",
                "Use the file that ends in _key.pub.",
                name="POST_COMPUTE_MALFORMED_ENCRYPTION_PUBLIC_KEY",
            )
        self.push_secret(RESULT_KEY, value, replace=replace)

    # how it is asked

    def _signer(self) -> str:
        if self._account is None:
            raise Missing("no wallet is open to sign for the SMS", "Choose one with --wallet.", name="wallet")
        return checksummed(self._account.address)

    def _has(self, path: str) -> bool:
        self.framework()  # or a web server that knows none of this would read as "not there"
        reply = self._send("HEAD", path)
        if reply.status not in (200, 204, 404):
            raise answers.strange(reply)
        return reply.status != 404

    def _push(self, method: str, path: str, value: str, digest: str, what: str, owner: str) -> None:
        check(value)
        signer = self._signer()
        if self.url.startswith("http://") and not web.is_loopback(self.url):
            raise Missing(
                f"{self.url} is not encrypted: everybody on the way could read the secret",
                "Use the https:// URL of the SMS.",
                name="insecure_url",
            )
        served = self.framework()
        if served != self._wanted:
            raise Failed(
                f"this SMS serves {served}, not {self._wanted}: what is pushed here will not be found",
                "Choose the network's SMS for this framework. Nothing was sent.",
                name="sms_framework",
            )
        assert self._account is not None  # noqa: S101 - _signer has looked
        headers = {"Content-Type": "text/plain", "Authorization": sign_digest(self._account, digest)}
        try:
            reply = self._send(method, path, headers, value.encode())
        except Unavailable as error:
            raise Unavailable(error.message, f"{error.hint} {answers.STORED}", name=error.name) from None
        if reply.status == 409:
            raise answers.exists(what, self._exists(path))
        if reply.status != 204:
            raise answers.refused(reply, value, what, signer, owner)

    def _exists(self, path: str) -> bool | None:
        """Whether it is there after a 409, None when nobody says."""
        try:
            return self._has(path)
        except Failed:
            return None

    def _send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> web.Reply:
        return web.request(
            method,
            self.url + path,
            headers=headers,
            body=body,
            timeout=self._timeout,
            deadline=2 * self._timeout,
            limit=1 << 16,
            cancel=self._cancel,
        )

    def _json(self, reply: web.Reply) -> Any:
        try:
            return reply.json()
        except Failed:
            raise answers.strange(reply) from None


def _dataset_path(address: str) -> str:
    return "/secrets/web3?" + urlencode({"secretAddress": address})


def _app_path(address: str) -> str:
    return f"/apps/{address}/secrets"


def _requester_path(address: str, name: str) -> str:
    return f"/requesters/{address}/secrets/{name}"


def _named_path(address: str, name: str) -> str:
    return "/secrets/web2?" + urlencode({"ownerAddress": address, "secretName": name})


def _address(text: str) -> str:
    try:
        return checksummed(text)
    except ValueError as error:
        raise Missing(clean(str(error)), "Give 0x and 40 hex digits.", name="bad_address") from None


def _name(name: str) -> str:
    """A secret's name as the SMS takes it; the official SDK would send `../../x` and report success."""
    if not SECRET_NAME.match(name):
        raise Missing(
            f"{clean(name)[:80]!r} cannot be the name of a secret",
            "Use 1 to 64 of the characters 0-9 A-Z a-z _ - only.",
            name="bad_secret_name",
        )
    return name


def check(value: str) -> None:
    """Refuse what the SMS would refuse, or would store as something else, before anything is sent."""
    try:
        count = len(value.encode())
    except UnicodeEncodeError:
        raise Missing("the secret is not valid Unicode text", "Encode it, as base64 say.") from None
    if count > MAX_SIZE:
        raise Missing(
            f"the secret has {count:,} bytes, the SMS takes at most {MAX_SIZE:,}",
            "Shorten it, or put the data into an encrypted dataset and only its key here.",
            name="secret_too_large",
        )
    if not value.strip():
        raise Missing(
            "the secret is empty or only blanks",
            "The SMS would answer that all is well and store nothing; most kinds could never be corrected.",
            name="blank_secret",
        )
