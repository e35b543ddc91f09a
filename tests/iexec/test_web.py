"""The HTTP client: bounds, cuts, refusals, and no redirect, proxy or .netrc in between."""

import socket
import threading
from pathlib import Path

import pytest

from tests.iexec.loopback import nobody, raw, served
from workflows.core.failure import Cancelled, Failed, Missing, Unavailable
from workflows.core.step import Cancel
from workflows.iexec import web


def test_an_answer_arrives_whatever_its_status() -> None:
    with served(lambda seen, _: (418, {"X-Tea": "cream"}, b'{"a":1}')) as stub:
        reply = web.request("POST", stub.url + "/x?y=1", headers={"A": "b"}, body=b"body")
    assert (reply.status, reply.headers["x-tea"], reply.json()) == (418, "cream", {"a": 1})
    [seen] = stub.seen
    assert (seen.method, seen.path, seen.body, seen.headers["A"]) == ("POST", "/x?y=1", b"body", "b")
    assert seen.headers["User-Agent"] == "creamtea"


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with served(lambda seen, _: (307, {"Location": "/elsewhere"}, b"")) as stub:
        assert web.request("POST", stub.url + "/", body=b"secret").status == 307
    assert [seen.path for seen in stub.seen] == ["/"]


def test_the_environment_does_not_get_between_us_and_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login thief password thief\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", nobody())
    monkeypatch.delenv("no_proxy", raising=False)
    with served(lambda seen, _: (200, {}, b"ok")) as stub:
        assert web.request("GET", stub.url, headers={"Authorization": "0xmine"}).body == b"ok"
    assert stub.seen[0].headers["Authorization"] == "0xmine"


def test_a_proxy_of_the_environment_is_used_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(lambda seen, _: (200, {}, seen.path.encode())) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert web.request("GET", "http://sms.invalid/version").body == b"http://sms.invalid/version"


def test_too_long_an_answer_is_cut() -> None:
    with served(lambda seen, _: (200, {}, b"x" * 1001)) as stub:
        with pytest.raises(Failed, match="more than 1000 B"):
            web.request("GET", stub.url, limit=1000)
        assert len(web.request("GET", stub.url, limit=1001).body) == 1001


def test_a_compressed_bomb_stays_packed() -> None:
    import gzip

    with served(
        lambda seen, _: (200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 10_000_000))
    ) as stub:
        reply = web.request("GET", stub.url)
    assert len(reply.body) < 20_000
    assert stub.seen[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("talk", "name"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "broken_off"),
        (b"", "broken_off"),
        (b"hello, this is SMTP\r\n", "bad_http"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "bad_http"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "bad_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broken_off"),
    ],
)
def test_what_is_no_whole_answer_is_unavailable(talk: bytes, name: str) -> None:
    def answer(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.sendall(talk)

    with raw(answer) as url, pytest.raises(Unavailable) as caught:
        web.request("GET", url)
    assert caught.value.name == name
    assert caught.value.hint


def test_a_connection_that_is_reset_is_unavailable() -> None:
    def reset(peer: socket.socket) -> None:
        peer.recv(65536)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    with raw(reset) as url, pytest.raises(Unavailable) as caught:
        web.request("GET", url)
    assert caught.value.name == "broken_off"


def test_silence_and_dripping_end() -> None:
    stop = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not stop.wait(0.02):
            peer.sendall(b"x")

    with raw(lambda peer: stop.wait(30) and None) as url, pytest.raises(Unavailable) as caught:
        web.request("GET", url, timeout=0.2)
    assert caught.value.name == "timeout"
    with raw(drip) as url, pytest.raises(Unavailable, match="not done after"):
        web.request("GET", url, timeout=20, deadline=0.3)
    stop.set()


@pytest.mark.parametrize("when", ["before the answer", "in the answer"])
def test_cancel_ends_a_wait_at_once(when: str) -> None:
    stop, asked, cancel = threading.Event(), threading.Event(), Cancel()

    def hang(peer: socket.socket) -> None:
        peer.recv(65536)
        if when == "in the answer":
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        asked.set()
        stop.wait(60)

    with raw(hang) as url:
        threading.Thread(target=lambda: asked.wait(30) and cancel.set(), daemon=True).start()
        with pytest.raises(Cancelled):
            web.request("GET", url, timeout=60, deadline=60, cancel=cancel)
        stop.set()
    with pytest.raises(Cancelled):
        web.request("GET", "http://127.0.0.1:1", cancel=cancel)


def test_cancel_ends_a_connection_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener with a full queue: the next connection is never accepted, as with a silent firewall."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    monkeypatch.setattr(web, "CONNECT", 600.0)
    cancel, ended = Cancel(), threading.Event()

    def ask() -> None:
        with pytest.raises(Cancelled):
            web.request("GET", f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=600, cancel=cancel)
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    assert not ended.wait(0.3)
    cancel.set()
    assert ended.wait(60)
    for sock in (*fillers, listener):
        sock.close()


def test_a_refused_connection_and_an_unknown_host() -> None:
    with pytest.raises(Unavailable) as caught:
        web.request("GET", nobody())
    assert (caught.value.name, caught.value.exit_code) == ("refused", 3)


def test_a_url_is_shown_without_its_secrets() -> None:
    assert web.shown("https://user:pass@host:1/p?token=secret#f") == "https://host:1/p"


@pytest.mark.parametrize(
    "url",
    ["", "host", "ftp://host", "file:///etc/passwd", "http://", "http://user@host", "http://host?x",
     "http://host#x", "http://ho st", "http://host:99999", "http://host:x", "http://[::1", "http://h\x00st",
     "javascript:alert(1)"],
)  # fmt: skip
def test_bad_base_urls_are_refused(url: str) -> None:
    with pytest.raises(Missing):
        web.origin(url, "SMS")


def test_good_base_urls_lose_their_slash() -> None:
    for url in ("http://127.0.0.1:1", "https://sms.iex.ec", "http://[::1]:80", "http://localhost:80"):
        assert web.origin(url + "/", "SMS") == url


def test_loopback_is_told() -> None:
    assert all(
        map(web.is_loopback, ("http://127.0.0.1", "http://[::1]:1", "http://localhost", "http://127.9.9.9"))
    )
    assert not any(
        map(web.is_loopback, ("http://10.0.0.1", "http://sms.iex.ec", "http://localhost.evil.com"))
    )


def test_a_web_page_is_not_json() -> None:
    with served(lambda seen, _: (200, {}, b"<html><script>\x1b[2J</script>")) as stub:
        reply = web.request("GET", stub.url)
    with pytest.raises(Failed, match="a web page"):
        reply.json()
    assert "\x1b" not in reply.text()
