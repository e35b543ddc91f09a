"""Registries: who may log in, and what their refusals mean."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from workflows.containers.reference import HUB, Reference
from workflows.core.failure import Failed, Unavailable

State = Literal["available", "denied", "missing", "unreachable", "unknown"]

_UNREACHABLE = (
    "no such host", "connection refused", "i/o timeout", "timeout exceeded", "deadline exceeded",
    "network is unreachable", "no route to host", "temporary failure in name resolution",
    "server misbehaving", "tls:", "x509:", "connection reset", "proxyconnect", "unexpected eof",
    "gave http response to https", "request canceled", "bad gateway", "service unavailable", ": eof",
)  # fmt: skip
_DENIED = (
    "unauthorized", "authentication required", "denied", "no basic auth", "forbidden", "401", "403",
    "incorrect username or password",
)  # fmt: skip
_ABSENT = (
    "manifest unknown", "not found", "name unknown", "repository name not known", "404", "no such image",
    "no matching manifest",
)  # fmt: skip


@dataclass(frozen=True)
class Login:
    """A login at a registry; its secret part never shows in a repr."""

    host: str
    values: Mapping[str, str] = field(repr=False)

    @classmethod
    def password(cls, host: str, user: str, password: str) -> Login:
        """From a user name and a password or token."""
        return cls(host, {"username": user, "password": password, "serveraddress": host})

    def header(self) -> str:
        """The value of `X-Registry-Auth`."""
        return base64.urlsafe_b64encode(json.dumps(dict(self.values)).encode()).decode()


def credentials(host: str) -> Login | None:
    """What the Docker configuration (or its credential helper) holds for a registry, None for nothing.

    Unavailable when the credential helper does not work.
    """
    from docker import auth
    from docker.errors import DockerException

    try:
        with warnings.catch_warnings():  # stderr is where our screen is, and the error says it too
            warnings.simplefilter("ignore")
            found = auth.load_config().resolve_authconfig(host)
    except (DockerException, OSError, ValueError) as error:
        raise Unavailable(
            f"the Docker configuration's login for {host} cannot be read: {type(error).__name__}",
            "see credsStore, credHelpers and auths in ~/.docker/config.json, then `docker login`",
            name="registry_login",
        ) from None
    values = {name: str(value) for name, value in (found or {}).items() if value}
    return Login(host, values) if values else None


def refusal(target: Reference, message: str, logged_in: bool, status: int = 0) -> Failed:
    """The failure of a pull or push: which of the causes it is, and what to do about it."""
    state = state_of(message, status)
    said = f" ({message[:300]})" if message else ""
    login = f"docker login {'' if target.host == HUB else target.host}".strip()
    if state == "unreachable":
        return Unavailable(
            f"the registry {target.host} cannot be reached{said}",
            "check the network, the engine's proxy and the host's name; then try again",
            name="registry_unreachable",
        )
    if state == "denied" and _ambiguous(message):
        return Failed(
            f"{target} does not exist at {target.host} or needs a login; the registry does not tell{said}",
            f"check the spelling; if it is private: `{login}` with an account that may read it",
            name="registry_denied",
        )
    if state == "denied":
        why = "the account may not use it" if logged_in else "it needs a login"
        return Failed(
            f"{target.host} refuses {target}: {why}{said}",
            f"`{login}` with an account that has access; some vendors give access on request",
            name="registry_denied",
        )
    if state == "missing":
        return Failed(
            f"{target.host} has no {target}{said}",
            "check the name and the tag; old tags are sometimes removed",
            name="registry_missing",
        )
    return Failed(
        f"{target.host} did not give or take {target}{said}",
        "try again; see the engine's log when it stays",
        name="registry_error",
    )


def state_of(message: str, status: int = 0) -> State:
    """What a registry's words and its HTTP status say of an image."""
    text = message.lower()
    if any(word in text for word in _UNREACHABLE):
        return "unreachable"
    if any(word in text for word in _DENIED) or status in (401, 403):
        return "denied"
    if any(word in text for word in _ABSENT) or status == 404:
        return "missing"
    return "unknown"


def _ambiguous(message: str) -> bool:
    text = message.lower()
    return "may require" in text or "does not exist or" in text or "may not exist" in text
