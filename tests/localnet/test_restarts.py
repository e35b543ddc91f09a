"""What a localnet still knows after it was stopped or killed, and what its clients hear when a part of it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data

from tests.localnet.processes import command, gone, until
from workflows.core.events import Event, Noted
from workflows.core.failure import Unavailable
from workflows.iexec.ids import keccak
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewDataset
from workflows.iexec.sms import Sms
from workflows.iexec.storage import upload
from workflows.localnet import client
from workflows.localnet.cas.client import CasClient
from workflows.localnet.cas.tls import Pair, client_context
from workflows.localnet.genesis import account

pytestmark = [pytest.mark.chain, pytest.mark.usefixtures("tools")]
ADDRESSES = (
    "rpc", "sms", "result_proxy", "workerpool_api", "ipfs", "hub", "registries", "workerpool", "market", "cas",
    "control",
)  # fmt: skip
SESSION = (
    "name: lesson\nversion: '0.3'\nservices:\n- name: app\n  mrenclaves: [{}]\n  command: python3 app.py\n"
)


def anvil_of(pid: int) -> int:
    """The chain's process, a child of the localnet's."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(it) for it in children if b"anvil" in Path(f"/proc/{it}/cmdline").read_bytes())


def saved(state: Path) -> Callable[[], bool]:
    """Whether the chain has been saved since now."""
    path, before = state / "chain" / "state.json", time.time_ns()
    return lambda: path.exists() and path.stat().st_mtime_ns > before


def stopped(state: Path, pid: int) -> None:
    assert client.stop(state)


def killed(state: Path, pid: int) -> None:
    anvil = anvil_of(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid) and gone(anvil))


def power_cut(state: Path, pid: int) -> None:
    anvil = anvil_of(pid)
    until(saved(state))
    os.kill(pid, signal.SIGSTOP)  # or it would start the chain again
    for number in (anvil, pid):
        os.kill(number, signal.SIGKILL)
    until(lambda: gone(pid) and gone(anvil))


def poco(document: Mapping[str, Any]) -> Poco:
    return Poco(
        document["rpc"], document["hub"], account("requester"), chain_id=document["chain_id"], gas_free=True
    )


def dataset(chain: Poco, multiaddr: str) -> str:
    transaction = chain.deploy_dataset(
        NewDataset(account("requester").address, "lesson", multiaddr, "0x" + "12" * 32)
    )
    return chain.deployed_address("dataset", chain.run(lambda: transaction), transaction)


def ask(
    url: str, token: str | None = None, body: str | None = None, method: str | None = None
) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body.encode() if body else None, method=method)
    if token:
        request.add_header("Authorization", token)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def login(proxy: str, chain_id: int) -> str:
    data = json.loads(ask(f"{proxy}/results/challenge?chainId={chain_id}")[1])
    signer, message = account("requester"), encode_typed_data(full_message=data)
    digest = keccak(b"\x19" + message.version + message.header + message.body).hex()
    signature = signer.sign_message(message).signature.to_0x_hex()
    status, token = ask(
        f"{proxy}/results/login?chainId={chain_id}", body=f"0x{digest}_{signature}_{signer.address}"
    )
    assert status == 200
    return token.decode()


def cas_session(state: Path, url: str, post: str = "") -> str:
    """Post a session to CAS, or read it, with the client certificate that the SMS has."""
    root = (state / "keys" / "root.pem").read_text()
    pair = Pair(state / "cas" / "clients" / "sms.crt", state / "cas" / "clients" / "sms.key")
    if post:
        return asyncio.run(CasClient(url, root, pair).post(post))
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=client_context(pair, root)))
    with opener.open(f"{url}/v1/sessions/lesson", timeout=10) as answer:
        return str(json.load(answer)["hash"])


def test_everything_is_there_again_on_the_same_ports_however_it_ended(state: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(secrets.token_bytes(1000))
    ways: list[Callable[[Path, int], None]] = [stopped, killed, power_cut]
    with client.join(state, lambda _: None) as lease:
        first = lease.document
        stored = upload(first["ipfs"]["api"], tmp_path / "data")
        address = dataset(poco(first), stored.multiaddr)
        Sms(first["sms"], account("requester")).push_dataset_key(address, secrets.token_bytes(32))
        token = login(first["result_proxy"], first["chain_id"])
        session = cas_session(state, first["cas"]["client"], SESSION.format("ab" * 32))
        ways.pop(0)(state, first["pid"])
    while True:
        with client.join(state, lambda _: None) as lease:
            document = lease.document
            assert {name: document[name] for name in ADDRESSES} == {name: first[name] for name in ADDRESSES}
            found = poco(document).dataset(address)
            assert found is not None and found.multiaddr == stored.multiaddr
            assert Sms(document["sms"]).has_dataset_key(address)
            assert cas_session(state, document["cas"]["client"]) == session
            assert (
                ask(f"{document['ipfs']['gateway']}{stored.multiaddr}")[1] == (tmp_path / "data").read_bytes()
            )
            task = f"{document['result_proxy']}/v1/results/0x{'00' * 32}"
            assert ask(task, token, method="HEAD")[0] == 404  # let in, and there is none
            assert ask(task, token + "x", method="HEAD")[0] == 401
            dataset(poco(document), f"/ipfs/{secrets.token_hex(8)}")  # and it goes on
            if not ways:
                return
            ways.pop(0)(state, document["pid"])


def test_a_port_that_was_taken_meanwhile_is_told_and_another_is_kept(state: Path) -> None:
    with client.join(state, lambda _: None) as lease:
        first = lease.document
        client.stop(state)
    port = int(first["sms"].rpartition(":")[2])
    events: list[Event] = []
    with socket.create_server(("127.0.0.1", port)), client.join(state, events.append) as lease:
        other = lease.document["sms"]
        assert other != first["sms"] and lease.document["rpc"] == first["rpc"]
        [told] = [event.text for event in events if isinstance(event, Noted)]
        assert f"port {port} of the SMS is taken" in told and other.rpartition(":")[2] in told
        client.stop(state)
    with client.join(state, lambda _: None) as lease:
        assert lease.document["sms"] == other


# A part dies under those who use it


def test_a_chain_that_is_killed_goes_on_where_it_was_saved(state: Path) -> None:
    with client.join(state, lambda _: None) as lease:
        document = lease.document
        chain = poco(document)
        until(saved(state))
        # What anvil wrote before, as it does every minute by itself.
        shutil.copy(state / "chain" / "state.json", state / "chain" / "exit.json")
        ready = saved(state)
        address = dataset(chain, "/ipfs/before")
        until(ready)
        anvil = anvil_of(document["pid"])
        os.kill(anvil, signal.SIGKILL)
        until(lambda: gone(anvil) or Path(f"/proc/{anvil}/stat").read_text().split()[2] == "Z")
        with contextlib.suppress(Unavailable):  # or it is back already
            chain.block_number()
        with client.join(state, lambda _: None) as other:  # waits until it is ready again
            assert other.document["rpc"] == document["rpc"]
            assert [one["block"] for one in other.document["revivals"]] == [chain.block_number()]
        assert chain.is_registered("dataset", address)
        dataset(chain, "/ipfs/after")
        assert lease.alive()


def test_who_finds_no_chain_hears_what_to_do(chain: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(Unavailable, match=r"the chain does not answer at http://127\.0\.0\.1") as caught:
        Poco(gone, chain.hub, chain_id=chain.chain_id).block_number()
    assert caught.value.name == "chain_unreachable" and "creamtea localnet status" in caught.value.hint


def test_a_chain_that_dies_again_and_again_ends_the_localnet_which_says_so(state: Path) -> None:
    up = command("up", "--json", "--state", str(state))
    assert up.stdout is not None
    pid = json.loads(up.stdout.readline())["pid"]
    while not gone(pid):
        with contextlib.suppress(OSError, StopIteration):  # none this moment
            os.kill(anvil_of(pid), signal.SIGKILL)
        time.sleep(0.02)
    _, err = up.communicate()
    assert up.returncode == 3
    assert "stopped by itself" in err and "start the localnet again" in err
    status = command("status", "--json", "--state", str(state))
    found = json.loads(status.communicate()[0])
    assert status.returncode == 3 and "stopped by itself" in found["trouble"]
    with client.join(state, lambda _: None) as lease:
        assert lease.document["ready"] and client.ended(state) is None


def test_one_that_hangs_is_told_and_ended(state: Path) -> None:
    lease = client.join(state, lambda _: None)
    pid, anvil = lease.document["pid"], anvil_of(lease.document["pid"])
    os.kill(pid, signal.SIGSTOP)
    status = command("status", "--json", "--state", str(state))
    found = json.loads(status.communicate()[0])
    assert status.returncode == 3
    assert (found["ready"], found["pid"]) == (False, pid) and "creamtea localnet down" in found["trouble"]
    assert client.stop(state, patience=0.3)
    until(lambda: gone(pid) and gone(anvil))
    assert client.absent(state)["pid"] is None and client.absent(state)["trouble"] is None
    lease.close()


def test_down_after_a_kill_says_that_none_was_running(state: Path) -> None:
    lease = client.join(state, lambda _: None)
    killed(state, lease.document["pid"])
    down = command("down", "--json", "--state", str(state))
    assert json.loads(down.communicate()[0])["stopped"] is False and down.returncode == 0
    lease.close()
