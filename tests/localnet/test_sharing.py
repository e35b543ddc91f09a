"""A localnet that other machines reach: what it asks for, what it lets in, and who can spend there."""

from __future__ import annotations

import asyncio
import datetime
import http.client
import json
import socket
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.localnet.processes import command
from workflows.core.events import Noted
from workflows.core.failure import Failed, Missing, Unavailable
from workflows.iexec import devkeys, networks, wallet, web
from workflows.iexec.connection import Connection
from workflows.iexec.networks import Network
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewDataset
from workflows.iexec.sms import Sms
from workflows.localnet import client
from workflows.localnet.cas import tls
from workflows.localnet.export import ALLOWANCE, export
from workflows.localnet.rpc import METHODS, MOST_CALLS, Rpc
from workflows.localnet.sharing import Sharing, sharing
from workflows.sgx.pki import development_pki

HERE = "127.0.0.2"  # another machine's address, as far as the localnet knows


# What it asks for


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"listen": HERE}, "--host NAME"),
        ({"host": ["a.example"]}, "--listen ADDRESS"),
        ({"tls_ca": "c.pem"}, "--listen ADDRESS"),
        ({"tls_cert": "c.pem"}, "--listen ADDRESS"),
        ({"listen": "a.example", "host": ["a.example"]}, "IP address"),
        ({"listen": HERE, "host": ["a.example:443"]}, "without a port"),
        ({"listen": HERE, "host": ["a..b"]}, "without a port"),
        ({"listen": HERE, "host": ["1.2.3"]}, "without a port"),
        ({"listen": HERE, "host": ["*"]}, "without a port"),
        ({"listen": HERE, "host": ["0.0.0.0"]}, "no address that others can reach"),
        ({"listen": HERE, "host": ["a"], "tls_cert": "c.pem"}, "belong together"),
        ({"listen": HERE, "host": ["a"], "tls_key": "k.pem"}, "belong together"),
    ],
)
def test_what_is_wanting_or_wrong_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(Missing, match=said.replace("*", r"\*")) as caught:
        sharing(options)
    assert caught.value.name == "usage"


def test_without_an_address_nobody_is_let_in() -> None:
    assert sharing({}) is None and sharing({"host": [], "listen": None}) is None


def test_hosts_are_kept_as_urls_have_them() -> None:
    found = sharing({"listen": "::1", "host": ["Class.Example.", "[::1]", "::1", "10.0.0.1"]})
    assert found == Sharing("::1", ("class.example", "[::1]", "10.0.0.1"))
    words = found.words
    assert words == ["--listen", "::1", *(it for host in found.hosts for it in ("--host", host))]


@given(st.text(max_size=300))
def test_no_text_is_a_host_that_breaks_a_url(text: str) -> None:
    try:
        found = sharing({"listen": HERE, "host": [text]})
    except Missing:
        return
    assert found is not None
    [host] = found.hosts
    assert urlsplit(f"https://{host}:1").hostname == host.strip("[]")


@pytest.fixture
def files(tmp_path: Path) -> tls.Pair:
    """A certificate of the user's own for class.example and 10.0.0.1."""
    pki = development_pki(tmp_path / "another")
    (tmp_path / "own").mkdir()
    return tls.server_pair(tmp_path / "own", pki, "own", ("class.example", "10.0.0.1", "*.tea.example"))


def own(files: tls.Pair, *hosts: str) -> Sharing | None:
    return sharing(
        {"listen": HERE, "host": list(hosts), "tls_cert": str(files.certificate), "tls_key": str(files.key)}
    )


def test_a_certificate_of_ones_own_must_be_good_for_every_host(files: tls.Pair, tmp_path: Path) -> None:
    found = own(files, "class.example", "10.0.0.1", "a.tea.example")
    assert found is not None and found.words[-4:] == [
        "--tls-cert", str(files.certificate), "--tls-key", str(files.key)
    ]  # fmt: skip
    for host in ("other.example", "10.0.0.2", "a.b.tea.example", "tea.example"):
        with pytest.raises(Missing, match=f"not good for {host}"):
            own(files, "class.example", host)
    another = tls.client_pair(tmp_path / "clients", "another")
    for wrong, said in (
        (tls.Pair(files.certificate, another.key), "no certificate and its key"),
        (tls.Pair(tmp_path / "none", files.key), "none cannot be read: No such file"),
        (tls.Pair(files.certificate, tmp_path / "nokey"), "nokey cannot be read: No such file"),
    ):
        with pytest.raises(Missing, match=said) as caught:
            own(wrong, "class.example")
        assert caught.value.name == "tls_files"
    with pytest.raises(Missing, match="names none"):
        own(another, "class.example")


@pytest.mark.parametrize(
    ("first", "last", "said"), [(-9, -1, "it has expired"), (1, 9, "not good before")], ids=["old", "future"]
)
def test_a_certificate_of_another_time_is_told_when_it_is_good(
    first: int, last: int, said: str, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "class.example")])
    today = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today + datetime.timedelta(days=first))
        .not_valid_after(today + datetime.timedelta(days=last))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("class.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pair = tls.Pair(tmp_path / "c.pem", tmp_path / "k.pem")
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    pair.certificate.write_bytes(made.public_bytes(pem))
    pair.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    with pytest.raises(Missing, match=said):
        own(pair, "class.example")


# The chain for other machines


def test_the_chain_passes_what_a_public_node_answers_and_nothing_else() -> None:
    listed = [
        "anvil_setBalance", "hardhat_impersonateAccount", "evm_increaseTime", "debug_traceTransaction", "eth_accounts",
        "eth_sendTransaction", "eth_sign", "eth_signTypedData_v4", "eth_sendUnsignedTransaction", "personal_sign",
        "txpool_content", "ots_getApiLevel", "anvil_dumpState", "eth_sendrawtransaction", "",
    ]  # fmt: skip
    assert not METHODS & set(listed)
    asked: list[Any] = []

    async def body() -> None:
        from aiohttp import ClientSession, web

        async def node(request: web.Request) -> web.Response:
            calls = await request.json()
            asked.extend(calls)
            return web.json_response(
                [{"jsonrpc": "2.0", "id": it["id"], "result": it["method"]} for it in calls]
            )

        app = web.Application()
        app.router.add_post("/", node)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place = [f"http://127.0.0.1:{runner.addresses[0][1]}"]
        front = Rpc(lambda: place[0])
        await front.start()

        async def post(data: Any) -> tuple[int, Any]:
            text = data if isinstance(data, str) else json.dumps(data)
            async with http.post(front.url, data=text) as answer:
                return answer.status, await answer.json()

        def call(method: Any, number: Any = 1) -> dict[str, Any]:
            return {"jsonrpc": "2.0", "id": number, "method": method, "params": []}

        async with ClientSession() as http:
            assert (await post(call("eth_chainId")))[1]["result"] == "eth_chainId"
            _, answers = await post(
                [call(method, at) for at, method in enumerate(["eth_call", *listed, "net_version"])]
            )
            assert [it["id"] for it in answers] == list(range(len(listed) + 2))
            assert [it["id"] for it in answers if "result" in it] == [0, len(listed) + 1]
            assert {it["method"] for it in asked} == {"eth_chainId", "eth_call", "net_version"}
            strange = ["{", "[]", "[1]", "1", "null", [call(["eth_call"])], [{"method": "eth_call"}], [[]],
                       call("eth_call", {"a": 1}), call("eth_call", [1])]  # fmt: skip
            for text in (*strange, [call("eth_call")] * (MOST_CALLS + 1), "[" * 10_000):
                _, answer = await post(text)
                assert (answer[0] if isinstance(answer, list) else answer)["error"]["code"] in (
                    -32600,
                    -32700,
                )
            async with http.get(front.url) as answer:
                assert answer.status == 405
            await runner.cleanup()
            status, answer = await post(call("eth_chainId"))
            assert status == 503 and "does not answer" in answer["error"]["message"]
        await front.stop()

    asyncio.run(body())


# A class


@dataclass(frozen=True)
class Class:
    """A shared localnet that runs, its folder, and what one student was given."""

    status: dict[str, Any]
    folder: Path
    files: dict[str, Any]

    @property
    def network(self) -> Network:
        return networks.load(self.files["network"])

    def signer(self) -> Any:
        found = wallet.find(self.files["keystore"])
        return wallet.unlock(found, wallet.read_password(Path(self.files["password_file"])))

    @property
    def urls(self) -> dict[str, str]:
        public = self.status["public"]
        return {
            name: url for name, url in {**public, **public["ipfs"]}.items() if str(url).startswith("http")
        }


@pytest.fixture(scope="module")
def lesson(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Class]:
    folder = tmp_path_factory.mktemp("class") / "localnet"
    words = Sharing(HERE, (HERE, "class.example")).words
    with client.join(folder, lambda _: None, words=words) as lease:
        files = export(lease.document, folder.parent / "ann")
        yield Class(dict(lease.document), folder, files)
    client.stop(folder)


on_chain = pytest.mark.chain


def get(url: str, context: ssl.SSLContext | None, host: str = "") -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        ).open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@on_chain
def test_every_service_is_there_under_tls_and_for_its_hosts_alone(lesson: Class) -> None:
    trusting = ssl.create_default_context(cafile=lesson.files["ca"])
    assert set(lesson.urls) == {
        "rpc", "sms", "cas", "market", "api", "gateway", "result_proxy", "workerpool_api"
    }  # fmt: skip
    for url in lesson.urls.values():
        assert url.startswith(f"https://{HERE}:")
        port = url.rpartition(":")[2]
        assert get(url, trusting) in (400, 404, 405)
        assert get(url, trusting, f"class.example:{port}") in (400, 404, 405)
        for stranger in ("localhost", "127.0.0.1", "sms", "evil.example"):
            assert get(url, trusting, stranger) == 403
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            get(url, ssl.create_default_context())
        with pytest.raises((OSError, http.client.HTTPException)):
            get("http" + url.removeprefix("https"), None)
    assert get(f"{lesson.status['sms']}/version", None, "class.example") == 403  # each door has its own names


@on_chain
def test_what_belongs_to_this_machine_listens_on_loopback_alone(lesson: Class) -> None:
    status = lesson.status
    ours = {status[name] for name in ("rpc", "sms", "result_proxy", "workerpool_api", "control")}
    for place in (*ours, *status["ipfs"].values(), status["cas"]["client"], f"//{status['cas']['enclave']}"):
        port = int(place.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HERE, port), timeout=5)


@on_chain
def test_a_student_reads_and_signs_with_the_wallet_of_their_folder(lesson: Class) -> None:
    network, signer = lesson.network, lesson.signer()
    assert (network.name, network.simulated, network.shared, network.own_wallet) == (
        "at-127-0-0-2", True, True, True
    )  # fmt: skip
    chain = Poco(network.rpc, network.hub, signer, chain_id=network.chain_id, gas_free=True)
    assert chain.wei(signer.address) == ALLOWANCE * 10**9
    new = NewDataset(signer.address, "ours", "/ipfs/x", "0x" + "11" * 32)
    transaction = chain.deploy_dataset(new)
    address = chain.deployed_address("dataset", chain.run(lambda: transaction), transaction)
    Sms(network.sms["scone"], signer).push_dataset_key(address, b"k" * 32)
    assert Sms(network.sms["scone"]).has_dataset_key(address)
    with pytest.raises(Failed, match="not for other machines"), chain.answers():
        chain.w3.eth.send_transaction({"from": lesson.status["accounts"][0]["address"], "to": signer.address})


@on_chain
def test_the_public_accounts_hold_nothing_and_are_nobody(lesson: Class) -> None:
    chain = Poco(
        lesson.status["rpc"], lesson.status["hub"], chain_id=lesson.status["chain_id"], gas_free=True
    )
    assert chain.w3.eth.accounts == []  # the node signs for nobody, not even on this machine
    assert not devkeys.ADDRESSES & {it["address"] for it in lesson.status["accounts"]}
    for address in devkeys.ADDRESSES:
        assert chain.wei(address) == 0 and chain.account_of(address).stake == 0
    phrase = lesson.folder / "chain" / "phrase"
    assert stat.S_IMODE(phrase.stat().st_mode) == 0o600
    words = phrase.read_bytes().strip()
    for path in (*lesson.folder.rglob("*"), *lesson.folder.parent.joinpath("ann").rglob("*")):
        assert path == phrase or not path.is_file() or words not in path.read_bytes()


@on_chain
def test_the_ca_of_a_class_vouches_for_its_own_servers_alone(lesson: Class) -> None:
    from workflows.iexec import trust

    network = lesson.network
    assert web.request("GET", f"{network.sms['scone']}/version").status == 200
    assert all(trust.learned(url) for url in network.urls)
    assert not trust.learned("https://127.0.0.2:1") and not trust.learned("https://sms.iex.ec")
    assert trust.context("https://sms.iex.ec").cert_store_stats()["x509_ca"] != 1
    with pytest.raises(Unavailable) as caught:  # the same server by a name for which its certificate is not
        web.request("GET", network.sms["scone"].replace(HERE, "127.0.0.1"))
    assert caught.value.name == "refused"


@on_chain
def test_each_folder_gets_a_wallet_of_its_own_and_keeps_it(lesson: Class, tmp_path: Path) -> None:
    first = export(lesson.status, tmp_path / "ben")
    again = export(lesson.status, tmp_path / "ben")
    assert again == first and first["address"] != lesson.files["address"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "ben").rglob("*")}
    assert modes.pop("password") == 0o600 and modes.pop("keystore") == 0o700
    assert stat.S_IMODE((tmp_path / "ben").stat().st_mode) == 0o700
    assert Connection(lesson.status["rpc"]).wei(first["address"]) == ALLOWANCE * 10**9
    chain = json.loads((tmp_path / "ben" / "chain.json").read_text())["chains"]["localnet"]
    assert chain["host"] == lesson.urls["rpc"] and chain["sms"] == {"scone": lesson.urls["sms"]}
    (tmp_path / "ben" / "password").unlink()
    with pytest.raises(Missing, match="belong together"):
        export(lesson.status, tmp_path / "ben")


@on_chain
def test_the_ca_of_a_certificate_of_ones_own_is_handed_over(tools: Any, tmp_path: Path) -> None:
    school = development_pki(tmp_path / "school")
    pair = tls.server_pair(tmp_path / "own", school, "school", (HERE,))
    (tmp_path / "ca.pem").write_text(school.root_pem)
    options = {
        "listen": HERE, "host": [HERE], "tls_cert": pair.certificate, "tls_key": pair.key,
        "tls_ca": tmp_path / "ca.pem",
    }  # fmt: skip
    how = sharing(options)
    assert how is not None
    with client.join(tmp_path / "class", lambda _: None, words=how.words) as lease:
        files = export(lease.document, tmp_path / "ann")
        assert Path(files["ca"]).read_text() == school.root_pem
        network = networks.load(files["network"])
        assert web.request("GET", f"{network.sms['scone']}/version").status == 200
        client.stop(tmp_path / "class")
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(Missing, match="no CA certificate"):
        sharing(options)
    with pytest.raises(Missing, match="belongs to --tls-cert"):
        sharing({**options, "tls_cert": None, "tls_key": None})


@on_chain
def test_a_second_up_with_other_hosts_does_not_pass_for_the_first(lesson: Class) -> None:
    up = command("up", "--json", "--state", str(lesson.folder), "--listen", HERE, "--host", "other.example")
    out, _ = up.communicate()
    assert up.returncode == 3 and "not as asked for" in json.loads(out)["error"]["message"]
    assert client.status(lesson.folder) is not None


@on_chain
def test_a_chain_of_the_public_accounts_is_not_opened_to_others(tools: Any, tmp_path: Path) -> None:
    client.join(tmp_path / "old", lambda _: None).close()
    client.stop(tmp_path / "old")
    with pytest.raises(Unavailable, match="anybody could spend"):
        client.join(tmp_path / "old", lambda _: None, words=Sharing(HERE, (HERE,)).words)
    with client.join(tmp_path / "old", lambda _: None) as lease:  # nothing of it is lost
        assert lease.document["public"] is None and len(lease.document["accounts"]) == 10
        client.stop(tmp_path / "old")


@on_chain
def test_one_that_is_opened_and_closed_again_keeps_its_ports(tools: Any, tmp_path: Path) -> None:
    told: list[Any] = []
    for words in (Sharing(HERE, (HERE,)).words, []):
        with client.join(tmp_path / "home", told.append, words=words) as lease:
            assert (lease.document["public"] is not None) == bool(words)
        client.stop(tmp_path / "home")
        ports = json.loads((tmp_path / "home" / "ports.json").read_text())
        assert all(ports.values()) and "public rpc" in ports
    assert not [event for event in told if isinstance(event, Noted)]


@on_chain
def test_an_address_that_is_not_here_is_named(tools: Any, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"nothing can listen at 192\.0\.2\.1"):
        client.join(tmp_path / "far", lambda _: None, words=Sharing("192.0.2.1", ("class.example",)).words)
