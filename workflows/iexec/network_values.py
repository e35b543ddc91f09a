"""The forms that the values of a network's entry may have. Each check gives the value as it is kept, or ValueError."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from workflows.core.text import clean
from workflows.iexec import ids

_FRAMEWORKS = ("scone", "gramine", "tdx")
_REGISTRIES = ("app", "dataset", "workerpool")
_ENS = re.compile(r"(?=.{3,253}\Z)[a-z0-9-]+(\.[a-z0-9-]+)+")


def text(value: Any) -> str:
    """What a person reads: text without control characters."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    if clean(value) != value:
        raise ValueError("has control characters in it")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def chain_id(value: Any) -> int:
    """A number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError("must be a number above 0")
    return value


def address(value: Any) -> str:
    """A checksummed address that is not zero."""
    found = ids.address(value)
    if found == ids.ZERO_ADDRESS:
        raise ValueError("must not be the zero address")
    return found


def url(value: Any) -> str:
    """An http or https URL without a password, query or fragment, and without the last slash."""
    found = text(value)
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in found:
        raise ValueError(f"not a URL: {found[:80]!r}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not have a password in it")  # it would be printed and logged
    if parts.query or parts.fragment:
        raise ValueError("must not have ? or # in it")
    parts.port  # noqa: B018 - ValueError when it is not a port
    return found.rstrip("/")


def secret_url(value: Any) -> str:
    """Where secrets are sent: encrypted on the way, unless it stays on this machine."""
    found = url(value)
    host = urlsplit(found).hostname or ""
    if not found.startswith("https://") and not _loopback(host):
        raise ValueError("must be https, secrets are sent there")
    return found


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def certificate(value: Any) -> str:
    """A PEM certificate."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    try:
        ssl.create_default_context(cadata=value)
    except (ssl.SSLError, ValueError):
        raise ValueError("must be a certificate, -----BEGIN CERTIFICATE-----…") from None
    return value


def sms(value: Any) -> Mapping[str, str]:
    """The URL of the SMS of each framework."""
    return {key: secret_url(one) for key, one in table(value, _FRAMEWORKS).items()}


def registries(value: Any) -> Mapping[str, str]:
    """The addresses of the three registries."""
    found = table(value, _REGISTRIES)
    for key in _REGISTRIES:
        if key not in found:
            raise ValueError(f"{key} is missing")
    return {key: address(found[key]) for key in _REGISTRIES}


def pool(value: Any) -> str:
    """The address of a workerpool, or its ENS name."""
    if isinstance(value, str) and _ENS.fullmatch(value):
        return value
    return address(value)


def table(value: Any, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """A table that has no other keys than these."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a table of {', '.join(keys)}")
    for key in value:
        if key not in keys:
            raise ValueError(f"unknown key {key!r}; known are {', '.join(keys)}")
    return value
