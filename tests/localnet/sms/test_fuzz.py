"""Requests of any shape: each gets an answer that is no 5xx, stores nothing, and nothing of it is in the log."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.conformance.sms.wire import Sms
from tests.localnet.sms.served import Served
from tests.localnet.sms.sms_world import APP, DATASET, REQUESTER, TASK

CANARY = b"canary-4711"
SIGNED = "0x" + "11" * 65
ROUTES = [
    ("HEAD", "/secrets/web3?secretAddress={}"),
    ("POST", "/secrets/web3?secretAddress={}"),
    ("HEAD", "/secrets/web2?ownerAddress={}&secretName={}"),
    ("POST", "/secrets/web2?ownerAddress={}&secretName={}"),
    ("PUT", "/secrets/web2?ownerAddress={}&secretName={}"),
    ("HEAD", "/apps/{}/secrets"),
    ("POST", "/apps/{}/secrets"),
    ("HEAD", "/requesters/{}/secrets/{}"),
    ("POST", "/requesters/{}/secrets/{}"),
    ("GET", "/tee/properties/{}"),
    ("GET", "/tee/properties/{}/{}"),
    ("POST", "/tee/challenges/{}"),
    ("POST", "/tee/sessions"),
    ("POST", "/admin/{}/restore-backup?fileName={}"),
    ("DELETE", "/admin/{}/delete-backup?fileName={}"),
    ("POST", "/admin/{}/copy-to/{}?sourceFileName={}"),
]
WORDS = st.one_of(
    st.sampled_from(
        [DATASET, APP, REQUESTER.address, TASK, "..", "../../x", "%2e%2e", "\0", "ff", "é", "İ", " ", ""]
    ),
    st.text(max_size=30),
)
# A part of a path: text as clients encode it, or bytes that are nothing in UTF-8.
PARTS = st.one_of(WORDS.map(lambda text: quote(text, safe="", errors="surrogatepass")),
                  st.binary(max_size=12).map(lambda raw: "".join(f"%{byte:02X}" for byte in raw)))  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["Authorization", "X-API-KEY", "Content-Type", "Origin", "Accept", "X-Other", "Cookie"]),
    st.one_of(
        st.sampled_from(
            [SIGNED, SIGNED[:-2], "Bearer x", "0xzz", "text/plain; charset=utf-16", "application/json"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40),
    ),
    max_size=3,
)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"\r\n", b"{}", b"[]", b'{"chainTaskId":{"a":1}}', b"\xff" * 5000, b"[" * 3000, b'{"a":1e999}']
    ),
)
_settings = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sms]:
    served = Served(tmp_path_factory.mktemp("fuzz") / "sms", admin_key="key")
    yield served.start()
    served.close()


def unharmed(sms: Sms) -> None:
    metrics = sms.call("GET", "/metrics")
    assert metrics.status == 200
    assert all(one["storedCount"] == 0 for one in metrics.json()["secretsMetrics"].values())


@_settings
@given(route=st.sampled_from(ROUTES), parts=st.tuples(PARTS, PARTS, PARTS), headers=HEADERS, body=BODIES)
@example(("HEAD", "/secrets/web3?secretAddress={}"), ("%FF", "", ""), {}, b"")
@example(("HEAD", "/secrets/web2?ownerAddress={}&secretName={}"), ("%ED%A0%80", "%ED%A0%80", ""), {}, b"")
@example(("HEAD", "/requesters/{}/secrets/{}"), ("%00", "a%0A", ""), {}, b"")
@example(("POST", "/tee/challenges/{}"), ("%FF", "", ""), {"Authorization": SIGNED}, b"")
@example(("POST", "/apps/{}/secrets"), ("%ED%A0%80", "", ""), {"Authorization": SIGNED}, b"x")
@example(("POST", "/tee/sessions"), ("", "", ""), {"Authorization": SIGNED}, b"[" * 100_000)
@example(
    ("POST", "/tee/sessions"), ("", "", ""), {"Content-Type": "application/json; charset=nonsense"}, b"{}"
)
@example(("POST", "/admin/{}/restore-backup?fileName={}"), ("%C3%A9", "x", ""), {"X-API-KEY": "key"}, b"")
@example(("POST", "/apps/{}/secrets"), ("x", "", ""), {"Authorization": "\xff"}, b"x")
def test_any_path_header_and_body_is_refused_in_its_way(
    sms: Sms, route: tuple[str, str], parts: tuple[str, str, str], headers: dict[str, str], body: bytes
) -> None:
    method, path = route
    said = sms.call(method, path.format(*parts), body or None, headers)
    allowed = {400, 401, 404, 405, 413}
    if method in ("GET", "HEAD"):
        allowed |= {200, 409}
    assert said.status in allowed, (said, method, path.format(*parts))
    if method == "HEAD":
        assert said.text == ""


def raw(sms: Sms, data: bytes) -> bytes:
    """What comes back for these bytes, with our end closed after them."""
    parts = urlsplit(sms.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
        return answer


HOST = b"Host: 127.0.0.1\r\n"
PATH = f"/apps/{APP}/secrets".encode()


@pytest.mark.parametrize(
    "data",
    [
        CANARY,
        b"POST " + PATH + b" HTTP/9.9\r\n" + HOST + b"\r\n" + CANARY,
        b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"Authorization: " + CANARY + b"\0\r\n\r\n",
        b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"Authorization: " + CANARY + b"\r\n" + CANARY + b"\r\n\r\n",
        b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 6\r\n\r\n" + CANARY,
        b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n" + CANARY,
        b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 999\r\nAuthorization: 0x\r\n\r\n" + CANARY,
        b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nAuthorization: 0x\r\n\r\n"
        + CANARY + b"\r\n" + CANARY,
        b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"Content-Encoding: gzip\r\nAuthorization: 0x\r\n"
        b"Content-Length: 11\r\n\r\n" + CANARY,
        b"POST /" + CANARY * 2000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST " + PATH + b" HTTP/1.1\r\n" + HOST + b"Authorization: " + CANARY * 2000 + b"\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT " + CANARY + b":1 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST //admin/backup HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /%61dmin/backup HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_hardly_http_is_refused_and_not_logged(
    sms: Sms, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = raw(sms, data)
    status = re.match(rb"HTTP/1.[01] (\d+) ", answer)
    assert status is None or 400 <= int(status[1]) < 500, answer
    assert CANARY.decode() not in caplog.text
    unharmed(sms)


def test_a_secret_and_its_signature_are_in_no_log(sms: Sms, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for method, path in ROUTES:
        headers = {"Authorization": CANARY.decode(), "X-API-KEY": CANARY.decode()}
        sms.call(method, path.format(APP, "name", "x"), CANARY, headers)
    assert CANARY.decode() not in caplog.text
    unharmed(sms)
