"""The SMS client: its requests, every status, nothing leaked, and the localnet's SMS as peer."""

import asyncio
import base64
import string
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.iexec.loopback import Seen, nobody, raw, served
from tests.iexec.sms_vectors import DEAD, DEVELOPER, ONES, PEM
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.iexec import challenge, dataset
from workflows.iexec.signatures import signer_of
from workflows.iexec.sms import RESULT_KEY, Sms

SECRET = "correct-horse-battery-staple"


def sms_of(
    push: tuple[int, bytes] = (204, b""), head: int = 404, framework: bytes = b'"SCONE"'
) -> Callable[[Seen, BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]:
    """A server that answers as an SMS would, with these outcomes."""

    def answer(seen: Seen, _: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if seen.path == "/tee/framework":
            return 200, {"Content-Type": "application/json"}, framework
        if seen.method == "HEAD":
            return head, {}, b""
        return push[0], {"Location": "/elsewhere"} if 300 <= push[0] < 400 else {}, push[1]

    return answer


PUSHES: dict[str, tuple[Callable[[Sms], None], str, str]] = {
    "dataset": (
        lambda sms: sms.push_dataset_key(DEAD, bytes(range(32))),
        f"POST /secrets/web3?secretAddress={DEAD}",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ),
    "app": (lambda sms: sms.push_app_secret(DEAD, SECRET), f"POST /apps/{DEAD}/secrets", SECRET),
    "requester": (
        lambda sms: sms.push_requester_secret("my-Key_1", SECRET),
        f"POST /requesters/{ONES.address}/secrets/my-Key_1",
        SECRET,
    ),
    "named": (
        lambda sms: sms.push_secret("token", SECRET),
        f"POST /secrets/web2?ownerAddress={ONES.address}&secretName=token",
        SECRET,
    ),
    "result key": (
        lambda sms: sms.push_result_key(PEM),
        f"POST /secrets/web2?ownerAddress={ONES.address}&secretName={RESULT_KEY}",
        PEM,
    ),
}


@pytest.mark.parametrize("kind", PUSHES)
def test_a_push_is_the_request_that_the_sdk_makes(kind: str) -> None:
    push, line, body = PUSHES[kind]
    with served(sms_of()) as stub:
        push(Sms(stub.url, ONES))
    sent = stub.seen[-1]
    assert f"{sent.method} {sent.path}" == line
    assert sent.body.decode() == body
    assert sent.headers["Content-Type"] == "text/plain"
    digest = {
        "dataset": challenge.web3(DEAD, body),
        "app": challenge.app(DEAD, body),
        "requester": challenge.requester(ONES.address, "my-Key_1", body),
        "named": challenge.web2(ONES.address, "token", body),
        "result key": challenge.web2(ONES.address, RESULT_KEY, body),
    }[kind]
    assert signer_of(digest, sent.headers["Authorization"]) == ONES.address
    assert stub.seen[0].path == "/tee/framework"


def test_text_goes_as_utf8_bytes() -> None:
    with served(sms_of()) as stub:
        Sms(stub.url, ONES).push_app_secret(DEAD, "é€😀 4k?\r\n\x00")
    assert stub.seen[-1].body == "é€😀 4k?\r\n\x00".encode()


def test_questions() -> None:
    for head, expected in ((204, True), (404, False)):
        with served(sms_of(head=head)) as stub:
            sms = Sms(stub.url)
            assert sms.has_dataset_key(DEAD.lower()) is expected
            assert sms.has_app_secret(DEAD) is expected
            assert sms.has_requester_secret(DEAD, "k") is expected
            assert sms.has_result_key(DEAD) is expected
        heads = [seen for seen in stub.seen if seen.method == "HEAD"]
        assert [seen.path for seen in heads] == [
            f"/secrets/web3?secretAddress={DEAD}",
            f"/apps/{DEAD}/secrets",
            f"/requesters/{DEAD}/secrets/k",
            f"/secrets/web2?ownerAddress={DEAD}&secretName={RESULT_KEY}",
        ]
        assert all("Authorization" not in seen.headers for seen in heads)
        assert len(stub.seen) == len(heads) + 1  # the framework, once


FAILURES: list[tuple[int, bytes, int, str, type[Failed]]] = [
    (401, b"", 404, "not_allowed", Failed),
    (401, b'{"error":["Invalid authorization"]}', 404, "not_allowed", Failed),
    (409, b"", 204, "secret_exists", Failed),
    (409, b'{"error":["Secret already exists"]}', 404, "sms_database", Failed),
    (409, b"", 500, "secret_exists", Failed),
    (413, b"", 404, "secret_too_large", Failed),
    (400, b'{"error":["Secret size should not exceed 4 Kb"]}', 404, "secret_too_large", Failed),
    (400, b'{"error":["Secret key should contain at most 64 characters"]}', 404, "sms_refused", Failed),
    (404, b"<html>nginx</html>", 404, "absent", Failed),
    (301, b"", 404, "redirected", Failed),
    (307, b"", 404, "redirected", Failed),
    (308, b"", 404, "redirected", Failed),
    (200, b"<html>login</html>", 404, "sms_refused", Failed),
    (403, b"<html>\x1b[2J</html>", 404, "sms_refused", Failed),
    (500, b"{}", 404, "sms_error", Unavailable),
    (502, b"<html>", 404, "sms_error", Unavailable),
    (503, b"The server is temporarily unable to serve", 404, "maintenance", Unavailable),
]


@pytest.mark.parametrize(("status", "body", "head", "name", "kind"), FAILURES)
def test_every_status_says_what_happened_and_what_to_do(
    status: int, body: bytes, head: int, name: str, kind: type[Failed]
) -> None:
    with served(sms_of((status, body), head)) as stub, pytest.raises(Failed) as caught:
        Sms(stub.url, ONES).push_app_secret(DEAD, SECRET)
    assert type(caught.value) is kind
    assert caught.value.name == name
    assert caught.value.message and caught.value.hint
    assert "\x1b" not in caught.value.message
    assert [seen.method for seen in stub.seen].count("POST") == 1
    if name in ("secret_exists", "sms_database"):
        both = f"{caught.value.message} {caught.value.hint}"
        assert "database" in both and "409" in both


@pytest.mark.parametrize("kind", PUSHES)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 500, 503])
def test_a_secret_is_in_no_exception_even_when_the_server_repeats_it(kind: str, status: int) -> None:
    push, _, value = PUSHES[kind]
    for echo in (value, value[:20], f'{{"error":["bad secret {value}"]}}'):
        with served(sms_of((status, echo.encode()))) as stub:
            sms = Sms(stub.url, ONES)
            with pytest.raises(Failed) as caught:
                push(sms)
        trace = "".join(traceback.format_exception(caught.value))
        for text in (repr(caught.value), caught.value.hint, trace, repr(sms), repr(vars(sms))):
            assert value not in text and value[:20] not in text
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_when_the_connection_breaks_the_outcome_is_unknown_and_said_so() -> None:
    def answer(seen: Seen, handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes] | None:
        return None if seen.method == "POST" else sms_of()(seen, handler)

    with served(answer) as stub, pytest.raises(Unavailable) as caught:
        Sms(stub.url, ONES).push_app_secret(DEAD, SECRET)
    assert "may have been stored" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["../../x", "", "a b", "ü", "a" * 65, "a/b", "a?b", "a%2fb", "a\n", "a.b", "."]
)
def test_names_that_cannot_be_never_reach_the_network(name: str) -> None:
    with served(sms_of()) as stub:
        sms = Sms(stub.url, ONES)
        for call in (
            lambda: sms.push_requester_secret(name, SECRET),
            lambda: sms.push_secret(name, SECRET),
            lambda: sms.has_requester_secret(DEAD, name),
            lambda: sms.has_secret(DEAD, name),
        ):
            with pytest.raises(Missing) as caught:
                call()
            assert caught.value.name == "bad_secret_name"
    assert stub.seen == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=70) | st.text("ab-_./ 9", max_size=66))
def test_whatever_the_name_the_path_has_its_four_segments(name: str) -> None:
    class Sent(Exception):  # noqa: N818
        pass

    def send(method: str, path: str, *_: object) -> None:
        raise Sent(path)

    sms = Sms("http://127.0.0.1:1", ONES)
    sms._send, sms._served = send, "SCONE"  # type: ignore[method-assign, assignment]
    with pytest.raises((Missing, Sent)) as caught:
        sms.push_requester_secret(name, SECRET)
    good = 0 < len(name) <= 64 and all(
        letter in string.ascii_letters + string.digits + "_-" for letter in name
    )
    assert isinstance(caught.value, Sent) is good
    if good:
        assert str(caught.value).split("/") == ["", "requesters", ONES.address, "secrets", name]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("x" * 4097, "secret_too_large"), ("é" * 2049, "secret_too_large"), ("😀" * 1025, "secret_too_large"),
        ("", "blank_secret"), (" \t\r\n", "blank_secret"), ("\u2003", "blank_secret"), ("\ud800", "missing"),
    ],
)  # fmt: skip
def test_values_that_would_not_arrive_are_refused_before_the_network(value: str, name: str) -> None:
    with served(sms_of()) as stub:
        sms = Sms(stub.url, ONES)
        for call in (
            lambda: sms.push_app_secret(DEAD, value),
            lambda: sms.push_requester_secret("k", value),
            lambda: sms.push_secret("k", value),
        ):
            with pytest.raises(Missing) as caught:
                call()
            assert caught.value.name == name and caught.value.hint
    assert stub.seen == []


def test_the_last_size_that_fits_is_sent() -> None:
    with served(sms_of()) as stub:
        for value in ("x" * 4096, "é" * 2048, "😀" * 1024):
            Sms(stub.url, ONES).push_app_secret(DEAD, value)
    assert [len(seen.body) for seen in stub.seen if seen.method == "POST"] == [4096] * 3


def test_a_secret_for_another_framework_is_not_sent() -> None:
    with served(sms_of(framework=b'"TDX"')) as stub:
        with pytest.raises(Failed) as caught:
            Sms(stub.url, ONES).push_app_secret(DEAD, SECRET)
        assert caught.value.name == "sms_framework"
        Sms(stub.url, ONES, framework="tdx").push_app_secret(DEAD, SECRET)
    assert [seen.method for seen in stub.seen] == ["GET", "GET", "POST"]


@pytest.mark.parametrize("framework", [b"<html>", b"{}", b"[]", b'"EVIL"', b"", b"\xff"])
def test_what_is_no_sms_gets_no_secret_and_no_question(framework: bytes) -> None:
    with served(sms_of(head=204, framework=framework)) as stub:
        sms = Sms(stub.url, ONES)
        for call in (
            lambda: sms.push_app_secret(DEAD, SECRET),
            lambda: sms.has_dataset_key(DEAD),
            sms.framework,
        ):
            with pytest.raises(Unavailable) as caught:
                call()
            assert caught.value.name == "no_sms"
    assert {seen.path for seen in stub.seen} == {"/tee/framework"}


def test_secrets_go_encrypted_or_to_this_machine_only() -> None:
    with pytest.raises(Missing) as caught:
        Sms("http://sms.example.com", ONES).push_app_secret(DEAD, SECRET)
    assert caught.value.name == "insecure_url"


def test_a_wallet_is_needed_and_bad_addresses_are_refused() -> None:
    sms = Sms(nobody())
    with pytest.raises(Missing, match="no wallet"):
        sms.push_app_secret(DEAD, SECRET)
    for call in (sms.has_dataset_key, sms.has_app_secret, sms.has_result_key):
        with pytest.raises(Missing, match="not an address"):
            call("0x12/../../admin")
    with pytest.raises(Missing, match="32 bytes"):
        Sms(nobody(), ONES).push_dataset_key(DEAD, b"short")
    with pytest.raises(Missing, match="SPKI"):
        Sms(nobody(), ONES).push_result_key(base64.b64encode(b"-----BEGIN RSA PUBLIC KEY-----").decode())


def test_nobody_there_is_exit_code_3() -> None:
    with pytest.raises(Unavailable) as caught:
        Sms(nobody()).framework()
    assert caught.value.exit_code == 3


def test_a_silent_sms_ends() -> None:
    stop = threading.Event()
    with raw(lambda peer: stop.wait(30) and None) as url, pytest.raises(Unavailable) as caught:
        Sms(url, timeout=0.2).framework()
    stop.set()
    assert caught.value.name == "timeout"


def test_replacing_a_named_secret() -> None:
    with served(sms_of(head=204)) as stub:
        with pytest.raises(Failed) as caught:
            Sms(stub.url, ONES).push_result_key(PEM)
        assert caught.value.name == "secret_exists"
        Sms(stub.url, ONES).push_result_key(PEM, replace=True)
    assert [seen.method for seen in stub.seen if seen.method in ("POST", "PUT")] == ["PUT"]


def test_replacing_survives_a_memory_that_is_a_minute_old() -> None:
    def answer(seen: Seen, handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        heads = sum(one.method == "HEAD" for one in stub.seen)
        status = {"POST": 409, "PUT": 204}.get(seen.method, 404 if heads == 1 else 204)
        return sms_of()(seen, handler) if seen.method == "GET" else (status, {}, b"")

    with served(answer) as stub:
        Sms(stub.url, ONES).push_secret("token", SECRET, replace=True)
    assert [seen.method for seen in stub.seen] == ["GET", "HEAD", "POST", "HEAD", "PUT"]


def test_properties() -> None:
    document = b'{"teeFramework":"SCONE","teeFrameworkVersion":"v5.9"}'

    def answer(seen: Seen, _: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        status = {"/tee/properties/scone/v5.9": 200, "/tee/properties/scone/v6": 404}.get(seen.path, 500)
        return status, {}, document

    with served(answer) as stub:
        sms = Sms(stub.url)
        assert sms.properties("v5.9") == {"teeFramework": "SCONE", "teeFrameworkVersion": "v5.9"}
        assert sms.properties("v6") is None
        assert sms.properties("") is None
        with pytest.raises(Unavailable):
            sms.properties("../../admin")
    assert stub.seen[-1].path == "/tee/properties/scone/..%2F..%2Fadmin"


# The localnet's own SMS as the other side


class Owners:
    """What the server reads from the chain for these tests: one owner of everything."""

    def __init__(self, owner: str) -> None:
        self._owner = owner

    def owner(self, address: str) -> str:
        return self._owner


@pytest.fixture
def localnet_sms(tmp_path: Path) -> Iterator[str]:
    from workflows.localnet.sms.properties import Pipeline, Stage, TeeServices
    from workflows.localnet.sms.server import Sms as Server

    async def no_session(_: str) -> str:
        raise AssertionError("no session is made here")

    stage = Stage("image", "aa" * 32, "python3 /app.py", 1 << 30)
    tee = TeeServices((Pipeline("v5.9", stage, stage),))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server: Any = None

    async def start() -> None:
        nonlocal server
        folder = tmp_path / "sms"
        folder.mkdir(mode=0o700)
        server = Server(folder, lambda: Owners(ONES.address), str, no_session, tee=tee)  # type: ignore[arg-type]
        await server.start()

    asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    yield server.url
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def test_with_the_localnet_s_sms(localnet_sms: str) -> None:
    sms = Sms(localnet_sms, ONES)
    assert sms.framework() == "SCONE"
    served_properties = sms.properties("v5.9")
    assert served_properties is not None and served_properties["teeFrameworkVersion"] == "v5.9"
    assert sms.properties("v6") is None

    assert not sms.has_dataset_key(DEAD)
    sms.push_dataset_key(DEAD, dataset.new_key())
    assert sms.has_dataset_key(DEAD)
    assert not sms.has_app_secret(DEAD)
    sms.push_app_secret(DEAD, "é€😀 " + "x" * 4086)
    assert sms.has_app_secret(DEAD)
    sms.push_requester_secret("Key", SECRET)
    assert sms.has_requester_secret(ONES.address, "Key")
    assert not sms.has_requester_secret(ONES.address, "key")
    sms.push_result_key(PEM)
    assert sms.has_result_key(ONES.address)
    sms.push_result_key(PEM, replace=True)

    for again in (
        lambda: sms.push_dataset_key(DEAD, dataset.new_key()),
        lambda: sms.push_app_secret(DEAD, SECRET),
        lambda: sms.push_requester_secret("Key", SECRET),
        lambda: sms.push_result_key(PEM),
    ):
        with pytest.raises(Failed) as caught:
            again()
        assert caught.value.name == "secret_exists"
    stranger = Sms(localnet_sms, DEVELOPER)
    for forbidden in (
        lambda: stranger.push_dataset_key("0x" + "12" * 20, dataset.new_key()),
        lambda: stranger.push_app_secret("0x" + "12" * 20, SECRET),
    ):
        with pytest.raises(Failed) as caught:
            forbidden()
        assert caught.value.name == "not_allowed"
    stranger.push_requester_secret("Key", SECRET)
