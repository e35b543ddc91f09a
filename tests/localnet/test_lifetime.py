"""How long a localnet lives, and who may start one: leases, races, kills, what a killed one leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.localnet.processes import command, gone, until
from workflows.core.events import Event, TaskChanged
from workflows.core.failure import Cancelled, Unavailable
from workflows.core.step import Cancel
from workflows.iexec import networks
from workflows.localnet import client

pytestmark = [pytest.mark.chain, pytest.mark.usefixtures("tools")]


def quiet(_: Event) -> None:
    pass


def holder(state: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    """Another process that holds a lease until it is ended."""
    code = (
        "import sys, time; from pathlib import Path; from workflows.localnet import client\n"
        "lease = client.join(Path(sys.argv[1]), lambda _: None)\n"
        "print(lease.document['pid'], flush=True); time.sleep(600)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(state), *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )


def said(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_many_that_start_at_once_get_one_localnet_which_goes_with_the_last(state: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        leases = list(pool.map(lambda _: client.join(state, quiet), range(6)))
    [pid] = {lease.document["pid"] for lease in leases}
    for lease in leases[1:]:
        lease.close()
    time.sleep(3)  # longer than a localnet stays without a holder
    assert client.status(state) is not None
    client.leave(leases[0], state)
    assert gone(pid)
    assert client.status(state) is None


def test_a_start_right_after_the_last_holder_left_never_gets_a_dying_one(state: Path) -> None:
    for wait in (0.0, 1.9, 2.0, 2.05, 2.2):
        client.join(state, quiet).close()
        time.sleep(wait)
        with client.join(state, quiet) as lease:
            time.sleep(2.5)
            assert lease.alive()


def test_it_ends_when_its_holder_is_killed(state: Path) -> None:
    process = holder(state)
    pid = said(process)
    process.kill()
    process.wait()
    until(lambda: gone(pid))
    assert client.status(state) is None


def test_a_killed_one_is_noticed_and_its_chain_goes_on(state: Path) -> None:
    lease = client.join(state, quiet)
    assert lease.alive()
    hub = lease.document["hub"]
    os.kill(lease.document["pid"], signal.SIGKILL)
    until(lambda: not lease.alive())
    assert (state / client.STATUS).exists()  # nobody was left to remove it
    with client.join(state, quiet) as again:
        assert again.document["pid"] != lease.document["pid"]
        assert again.document["hub"] == hub


def test_a_starter_that_is_killed_hands_over(state: Path) -> None:
    first = holder(state)
    until(lambda: (state / client.EVENTS).exists())
    first.kill()
    first.wait()
    with client.join(state, quiet) as lease:
        time.sleep(2.5)
        assert lease.alive()


def test_a_cancelled_start_leaves_nothing(state: Path) -> None:
    cancel = Cancel()

    def emit(event: Event) -> None:
        if isinstance(event, TaskChanged) and event.task == "chain":
            cancel.set()

    with pytest.raises(Cancelled):
        client.join(state, emit, cancel)
    with client.join(state, quiet):  # waits for the cancelled one to be gone
        assert client.status(state) is not None


ANSWERS = {
    "a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "a page": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    "not http": b"\x00\x01\x02 hello\r\n\r\n",
    "nothing": b"",
    "another pid": b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"pid":1,"ready":true}  ',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_another_program_on_the_port_of_a_killed_one_is_no_localnet(tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        document = {"control": f"http://127.0.0.1:{server.getsockname()[1]}", "pid": os.getpid()}
        (tmp_path / client.STATUS).write_text(json.dumps(document))
        assert client.status(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"control": 5}', '{"control": "ftp://x", "pid": 1}'])
def test_a_damaged_status_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / client.STATUS).write_text(text)
    assert client.status(tmp_path) is None


def test_a_second_process_in_the_same_folder_leaves_the_first_alone(state: Path) -> None:
    with client.join(state, quiet):
        second = [sys.executable, "-m", "workflows.localnet", "--state", str(state)]
        ran = subprocess.run(second, capture_output=True, text=True, check=False)
        assert ran.returncode == 3
        assert "another localnet" in ran.stderr
        assert client.status(state) is not None


def test_a_disk_without_room_for_what_it_tells_ends_nothing(state: Path) -> None:
    state.mkdir()
    (state / client.EVENTS).symlink_to("/dev/full")
    process = subprocess.Popen([sys.executable, "-m", "workflows.localnet", "--state", str(state)])
    until(lambda: process.poll() is not None or client.status(state) is not None)
    process.terminate()
    assert process.wait() == 0


def test_neither_a_proxy_nor_the_projects_own_modules_come_in_between(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "queue", "workflows", "web3"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with client.join(state, quiet) as lease:
        from workflows.iexec.connection import Connection

        assert Connection(lease.document["rpc"]).chain_id() == lease.document["chain_id"]


def test_a_start_that_fails_says_why_and_can_be_repeated(state: Path) -> None:
    state.mkdir()
    (state / "chain").write_text("a file where a folder should be")
    for _ in range(2):
        with pytest.raises(Unavailable, match="did not start"):
            client.join(state, quiet)
    (state / "chain").unlink()
    client.join(state, quiet).close()


def document(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    [line] = out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_prints_one_document_and_takes_all_down_when_interrupted(
    state: Path, number: signal.Signals
) -> None:
    up = command("up", "--json", "--state", str(state))
    assert up.stdout is not None
    shown = json.loads(up.stdout.readline())
    status = command("status", "--json", "--state", str(state))
    now = document(status)
    assert status.returncode == 0
    assert now["pid"] == shown["pid"]
    assert set(client.absent(state)) <= set(now)
    up.send_signal(number)
    assert up.communicate()[0] == ""
    assert up.returncode == 0
    assert gone(shown["pid"])
    status = command("status", "--json", "--state", str(state))
    then = document(status)
    assert status.returncode == 3
    assert (then["ready"], then["rpc"], then["pid"]) == (False, None, None)


def test_down_ends_up(state: Path) -> None:
    up = command("up", "--json", "--state", str(state))
    assert up.stdout is not None
    assert json.loads(up.stdout.readline())["ready"]
    assert document(command("down", "--json", "--state", str(state)))["stopped"] is True
    up.communicate()
    assert up.returncode == 0
    assert document(command("down", "--json", "--state", str(state)))["stopped"] is False


def test_up_tells_when_its_localnet_was_killed(state: Path) -> None:
    up = command("up", "--json", "--state", str(state))
    assert up.stdout is not None
    os.kill(json.loads(up.stdout.readline())["pid"], signal.SIGKILL)
    _, err = up.communicate()
    assert up.returncode == 3
    assert "was killed" in err


def test_export_without_a_localnet_is_the_environments_fault(state: Path, tmp_path: Path) -> None:
    export = command("export", str(tmp_path / "out"), "--json", "--state", str(state))
    assert document(export)["error"]["name"] == "localnet"
    assert export.returncode == 3
    assert not (tmp_path / "out").exists()


def test_an_exported_network_is_the_same_one_for_another_creamtea(state: Path, tmp_path: Path) -> None:
    """Without --listen, too: for another user, or another state folder, of this machine."""
    with client.join(state, lambda _: None) as lease:
        shown = command("export", str(tmp_path / "out"), "--state", str(state))
        said, _ = shown.communicate()
        document = lease.document
    assert shown.returncode == 0
    network = networks.load(str(tmp_path / "out" / "network.toml"))
    assert (network.rpc, network.hub, network.market) == tuple(
        document[it] for it in ("rpc", "hub", "market")
    )
    assert network.sms == {"scone": document["sms"]} and network.workerpool_api == document["workerpool_api"]
    assert (network.simulated, network.shared, network.own_wallet) == (True, False, False)
    assert network.root == (state / "keys" / "root.pem").read_text() and network.ca is None
    out = tmp_path / "out"
    assert f"cd {out} && iexec wallet show --keystoredir keystore --password localnet" in said.splitlines()


def test_a_second_up_says_that_it_runs_and_how_to_leave(state: Path) -> None:
    ups = []
    for words in ("it runs until Ctrl+C here", "it ran already (process"):
        up = command("up", "--state", str(state))
        ups.append(up)
        assert up.stderr is not None
        until(lambda up=up, words=words: words in up.stderr.readline())  # type: ignore[misc]
    ups[1].send_signal(signal.SIGINT)
    assert ups[1].wait() == 0 and client.status(state) is not None
    ups[0].send_signal(signal.SIGINT)
    assert ups[0].wait() == 0


def test_hints_name_the_folder_that_was_meant(tmp_path: Path) -> None:
    state = tmp_path / "a class"
    out, _ = command("status", "--state", str(state)).communicate()
    assert out == f"no localnet is running; creamtea localnet up --state '{state}' starts one\n"
    _, err = command("export", str(tmp_path / "out"), "--state", str(state)).communicate()
    assert f"creamtea localnet up --state '{state}' starts one" in err
    out, _ = command("status", CREAMTEA_LOCALNET=str(state)).communicate()
    assert out == "no localnet is running; creamtea localnet up starts one\n"


def test_one_that_is_stopping_says_so(state: Path) -> None:
    with client.join(state, quiet) as lease:
        pid = int(lease.document["pid"])
    seen = set()
    while client.holder(state) == pid:
        seen.add(client.absent(state)["trouble"] if client.look(state) is None else None)
    assert seen - {None} <= {
        f"process {pid} has this folder and is stopping; {client.line('down', state)} ends it",
        None,  # it was gone between the two looks
    }
    assert len(seen - {None}) == 1


@pytest.mark.parametrize("below", ["", "inner"])
def test_a_file_is_no_state_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    up = command("up", "--state", str(tmp_path / "file" / below))
    _, err = up.communicate()
    assert up.returncode == 2 and f"{tmp_path / 'file' / below} is not a folder" in err
