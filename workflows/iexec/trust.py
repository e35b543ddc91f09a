"""Which CA vouches for a server that this machine does not know: for one origin alone, in this process.

A network's own CA must not be able to speak for any other server, so nothing is added to a list that all share.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

_known: dict[tuple[str, int], str] = {}


def learn(urls: Iterable[str], pem: str) -> None:
    """From now on these https origins are verified with this CA (PEM), and with no other."""
    for url in urls:
        if url.startswith("https://"):
            _known[_origin(url)] = pem


def context(url: str) -> ssl.SSLContext:
    """How the server of a URL is verified."""
    return ssl.create_default_context(cadata=_known.get(_origin(url)))


def learned(url: str) -> bool:
    """Whether the server of a URL is verified with a CA of its own."""
    return _origin(url) in _known


def _origin(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or 443
