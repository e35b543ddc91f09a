"""Which engine is meant, and why it does not answer."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflows.containers.endpoint import Endpoint, find_endpoint, open_client
from workflows.containers.engine import Engine
from workflows.core.failure import Unavailable


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A unix socket that accepts and says nothing."""
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield f"unix://{path}", server


def refusal(environment: dict[str, str], timeout: float = 5) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        Engine.connect(environment, timeout)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    return caught.value


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    failure = refusal({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    assert failure.name == "engine_no_socket"
    assert f"{tmp_path}/none.sock" in failure.message and "DOCKER_HOST" in failure.message
    assert failure.hint.startswith("unset or correct DOCKER_HOST")


def test_a_socket_nobody_listens_at(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    assert refusal({"DOCKER_HOST": f"unix://{path}"}).name == "engine_refused"


def test_a_port_nobody_listens_at() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failure = refusal({"DOCKER_HOST": f"tcp://127.0.0.1:{taken.getsockname()[1]}"})
    assert failure.name == "engine_refused"
    assert failure.hint.startswith("unset or correct DOCKER_HOST")


def test_an_engine_that_does_not_answer(listener: tuple[str, socket.socket]) -> None:
    failure = refusal({"DOCKER_HOST": listener[0]}, timeout=0.2)
    assert failure.name == "engine_timeout"
    assert "0.2 s" in failure.message


def test_something_that_is_no_engine(listener: tuple[str, socket.socket]) -> None:
    def answer() -> None:
        connection, _ = listener[1].accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    threading.Thread(target=answer, daemon=True).start()
    assert refusal({"DOCKER_HOST": listener[0]}).name == "engine_unusable"


def test_a_socket_without_permission(listener: tuple[str, socket.socket], tmp_path: Path) -> None:
    """As another user where we are root, whom no mode stops; in a child, for there is no way back."""
    (tmp_path / "engine.sock").chmod(0)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        name = "none"
        try:
            if os.getuid() == 0:
                for folder in [tmp_path, *tmp_path.parents[:2]]:
                    folder.chmod(0o755)
                os.setgroups([])
                os.setuid(65534)
            Engine.connect({"DOCKER_HOST": listener[0]})
        except Unavailable as failure:
            name = failure.name
        finally:
            os.write(write, name.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as result:
        assert result.read() == "engine_no_permission"


def test_docker_host_comes_before_the_context() -> None:
    endpoint = find_endpoint({"DOCKER_HOST": "tcp://10.0.0.1:2375", "DOCKER_CONTEXT": "other"})
    assert (endpoint.source, endpoint.path) == ("DOCKER_HOST", None)
    assert "10.0.0.1:2375" in endpoint.url


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Docker configuration whose current context is `tea`."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"currentContext": "tea"}')
    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(b"tea").hexdigest()
    folder.mkdir(parents=True)
    host = {"Host": "unix:///run/tea.sock", "SkipTLSVerify": False}
    (folder / "meta.json").write_text(
        json.dumps({"Name": "tea", "Metadata": {}, "Endpoints": {"docker": host}})
    )
    return tmp_path


def test_the_current_context_is_followed_and_named(contexts: Path) -> None:
    endpoint = find_endpoint({})
    assert (endpoint.url, endpoint.source) == ("unix:///run/tea.sock", "context tea")
    assert find_endpoint({"DOCKER_CONTEXT": "tea"}).source == "DOCKER_CONTEXT tea"
    assert find_endpoint({"DOCKER_CONTEXT": "default"}).url.endswith("docker.sock")


def test_a_context_that_leads_nowhere_is_what_is_to_be_mended(contexts: Path) -> None:
    meta = next(contexts.rglob("meta.json"))
    meta.write_text(meta.read_text().replace("/run/tea.sock", f"{contexts}/none.sock"))
    assert "docker context use" in refusal({}).hint and "'tea'" in refusal({}).hint
    assert refusal({"DOCKER_CONTEXT": "tea"}).hint.startswith("unset or correct DOCKER_CONTEXT")


def test_where_nobody_chose_an_engine_it_is_to_be_started(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        open_client(Endpoint(f"unix://{tmp_path}/none.sock", "context default"), 5)
    assert caught.value.hint.startswith("start it")


def test_a_context_that_is_not_there(contexts: Path) -> None:
    failure = refusal({"DOCKER_CONTEXT": "nothing"})
    assert failure.name == "engine_settings"
    assert "'nothing'" in failure.message


def test_damaged_settings_are_explained(contexts: Path) -> None:
    next(contexts.rglob("meta.json")).write_text("{")
    assert refusal({}).name == "engine_settings"
    assert refusal({"DOCKER_HOST": "gopher://x"}).name.startswith("engine_")


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    failure = refusal(
        {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    )
    assert failure.name == "engine_settings"
