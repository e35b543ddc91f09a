"""HTTP for the clients of the SMS, of storage and of workers: bounded, cancellable, following no redirect.

The standard library and not `requests`: it trusts the CAs that the machine trusts, reads no .netrc (which
would replace the Authorization header), unpacks no compressed body, and loads in a quarter of the time.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.core.text import clean, size
from workflows.iexec import trust

TIMEOUT = 30.0
CONNECT = 10.0
LIMIT = 1 << 20
_HOST = re.compile(r"[0-9A-Za-z._-]+\Z")

Body = bytes | Iterable[bytes]


@dataclass(frozen=True)
class Reply:
    """An answer with all of its body in memory; header names are case-insensitive."""

    status: int
    headers: Message
    body: bytes
    url: str

    def json(self) -> Any:
        """The JSON value of the body. Failed says so when it is something else, a web page say."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise not_json(self.url, self.body) from None

    def text(self) -> str:
        """The beginning of the body as one harmless line."""
        return clean(" ".join(self.body[:2000].decode("utf-8", "replace").split()))[:200]


def origin(url: str, what: str) -> str:
    """A base URL without a trailing slash. Missing for anything but plain http(s)://host[:port][/path]."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname and _is_host(parts.hostname)) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if (
        not good
        or parts.scheme not in ("http", "https")
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise Missing(
            f"the URL of the {what} is not usable: {clean(url)[:200]!r}",
            "Give http://host[:port] or https://host[:port], without user, query or fragment.",
            name="bad_url",
        )
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine by its name or address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def shown(url: str) -> str:
    """A URL for messages: without user, query and fragment, which may hold secrets."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return clean(urlunsplit(SplitResult(parts.scheme, netloc, parts.path, "", "")))[:200]


@contextlib.contextmanager
def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Body | None = None,
    timeout: float = TIMEOUT,
    deadline: float | None = None,
    cancel: Cancel | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Send one request and hand out the answer, whatever its status; a redirect is an answer too.

    `timeout` bounds each wait in seconds, `deadline` the whole exchange with the reading inside the block.
    Unavailable when the server cannot be reached or breaks off, Cancelled at once when `cancel` is set.
    """
    line = _Line()
    with contextlib.ExitStack() as stack:
        stack.callback(line.close)
        if cancel is not None:
            cancel.check()
            stack.enter_context(cancel.on(line.cut))
        if deadline is not None:
            clock = threading.Timer(deadline, line.cut)
            clock.daemon = True
            clock.start()
            stack.callback(clock.cancel)
        try:
            response = _send(method, url, {**_HEADERS, **(headers or {})}, body, timeout, line)
            stack.callback(response.close)
            yield response
        except (OSError, http.client.HTTPException) as error:
            if cancel is not None:
                cancel.check()
            raise _unreachable(error, url, deadline if line.was_cut else None) from None
        if line.was_cut:  # a cut body may look like one that ended
            if cancel is not None:
                cancel.check()
            raise _unreachable(TimeoutError(), url, deadline)


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Body | None = None,
    timeout: float = TIMEOUT,
    deadline: float | None = 60.0,
    limit: int = LIMIT,
    cancel: Cancel | None = None,
) -> Reply:
    """One request and its whole answer of at most `limit` bytes, as `exchange` sends it."""
    with exchange(
        method, url, headers=headers, body=body, timeout=timeout, deadline=deadline, cancel=cancel
    ) as response:
        data = response.read(limit + 1)
        if len(data) > limit:
            raise Failed(
                f"{shown(url)} answers with more than {size(limit)}",
                "This is not the service it should be: check the URL.",
                name="answer_too_large",
            )
        if response.length:
            raise http.client.IncompleteRead(data, response.length)
        return Reply(response.status, response.headers, data, url)


def not_json(url: str, body: bytes) -> Failed:
    """The failure for an answer that should have been JSON."""
    page = body.lstrip()[:1] == b"<"
    return Failed(
        f"{shown(url)} answered with {'a web page' if page else 'something that is not JSON'}",
        "Something else answers at this address (a proxy, a login page): check the URL.",
        name="not_json",
    )


_HEADERS = {"User-Agent": "creamtea", "Accept-Encoding": "identity"}


def _send(
    method: str, url: str, headers: dict[str, str], body: Body | None, timeout: float, line: _Line
) -> http.client.HTTPResponse:
    try:
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - only http(s) below
        response: http.client.HTTPResponse = _opener(url, line).open(request, timeout=timeout)
    except ValueError as error:  # urllib's word for a URL or a header that cannot be
        raise http.client.InvalidURL(str(error)) from None
    return response


class _Line:
    """The socket under a request, so that another thread can cut it, whatever wraps it by then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._twin: socket.socket | None = None
        self.was_cut = False

    def connect(self, address: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
        """As socket.create_connection, with the socket known before it connects."""
        failure: OSError | None = None
        for family, kind, protocol, _, where in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                with self._lock:
                    if self._twin is not None:
                        self._twin.close()
                    self._twin = sock.dup()
                    if self.was_cut:
                        raise TimeoutError
                sock.settimeout(min(timeout, CONNECT))
                sock.connect(where)
                sock.settimeout(timeout)
                return sock
            except OSError as error:
                sock.close()
                failure = error
                if self.was_cut:
                    break
        raise failure or OSError("no address")

    def cut(self) -> None:
        with self._lock:
            self.was_cut = True
            if self._twin is not None:
                with contextlib.suppress(OSError):
                    self._twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            if self._twin is not None:
                self._twin.close()
                self._twin = None


def _opener(url: str, line: _Line) -> urllib.request.OpenerDirector:
    """Only http and https, every status an answer; the environment's proxy unless it is this machine."""

    def plug(connection: Any) -> Any:
        connection._create_connection = line.connect  # the hook that http.client has for this
        return connection

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(lambda host, **more: plug(http.client.HTTPConnection(host, **more)), req)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            context = trust.context(url)
            return self.do_open(
                lambda host, **more: plug(http.client.HTTPSConnection(host, context=context, **more)), req
            )

    opener = urllib.request.OpenerDirector()
    opener.addheaders = []
    proxies: dict[str, str] | None = {} if is_loopback(url) else None
    for handler in (urllib.request.ProxyHandler(proxies), Plain(), Secure()):
        opener.add_handler(handler)
    return opener


def _is_host(host: str) -> bool:
    if _HOST.match(host):
        return True
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _unreachable(error: Exception, url: str, deadline: float | None) -> Unavailable:
    """Why a server could not be reached, as far as the machine knows."""
    reason: Any = error.reason if isinstance(error, urllib.error.URLError) else error
    where = shown(url)
    retry = "Check the network and the URL, then try again."
    cases: list[tuple[type[Exception], str, str, str]] = [
        (ssl.SSLCertVerificationError, "shows a certificate that this machine does not trust",
         "Behind a proxy: add its CA to this machine, or set SSL_CERT_FILE.", "untrusted_certificate"),
        (ssl.SSLError, "does not speak TLS as expected", "Is it http:// instead of https://?", "tls_failed"),
        (socket.gaierror, "has a host name that cannot be resolved", retry, "unknown_host"),
        (ConnectionRefusedError, "refuses the connection", "Is the service running there?", "refused"),
        (TimeoutError, "does not answer in time", retry, "timeout"),
        (http.client.IncompleteRead, "breaks off in the middle of its answer", retry, "broken_off"),
        (ConnectionError, "breaks off the connection", retry, "broken_off"),
        (http.client.HTTPException, "does not speak HTTP as expected", "Check the URL.", "bad_http"),
    ]  # fmt: skip
    if deadline is not None:
        return Unavailable(f"{where} was not done after {deadline:g} seconds", retry, name="timeout")
    for kind, message, hint, name in cases:
        if isinstance(reason, kind):
            return Unavailable(f"{where} {message}", hint, name=name)
    detail = clean(getattr(reason, "strerror", None) or type(reason).__name__)
    return Unavailable(f"{where} cannot be reached: {detail}", retry, name="unreachable")
