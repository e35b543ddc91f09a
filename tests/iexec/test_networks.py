"""The table of networks and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.core.failure import Missing
from workflows.iexec import networks

A = "0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f"
MINE = f"""
[mine]
title = "Mine"
note = "A private chain."
chain_id = 4242
native = true
rpc = "http://10.0.0.7:8545/"
hub = "{A}"

[mine.registries]
app = "{A}"
dataset = "{A}"
workerpool = "{A}"
"""
STATUS: dict[str, Any] = {
    "v": 1, "rpc": "http://127.0.0.1:8545", "chain_id": 65535, "hub": A,
    "registries": {"app": A, "dataset": A, "workerpool": A}, "rlc": None, "sms": "http://127.0.0.1:13300",
    "cas": {"client": "127.0.0.1:8081", "enclave": "127.0.0.1:18765"}, "las": "127.0.0.1:18766",
    "ipfs": {"api": "http://127.0.0.1:5001", "gateway": "http://127.0.0.1:8080"}, "market": None,
    "result_proxy": "http://127.0.0.1:13200", "workerpool": A, "accounts": [], "state_dir": "/s", "pid": 1,
}  # fmt: skip


def own(tmp_path: Path, text: str = MINE) -> Path:
    path = tmp_path / "networks.toml"
    path.write_text(text)
    return path


def test_the_package_knows_four_networks_and_every_entry_is_valid() -> None:
    assert networks.names() == ("localnet", "bellecour", "arbitrum-mainnet", "arbitrum-sepolia-testnet")
    found = {name: networks.load(name) for name in networks.names()}
    assert {name: network.chain_id for name, network in found.items()} == {
        "localnet": 65535, "bellecour": 134, "arbitrum-mainnet": 42161, "arbitrum-sepolia-testnet": 421614,
    }  # fmt: skip
    for name, network in found.items():
        assert network.simulated is network.embedded is (name == "localnet")
        assert network.native is (network.rlc is None)
        assert network.note and network.title
        if not network.embedded:
            assert network.rpc and network.hub and network.sms["scone"] and network.workerpool
            assert set(network.registries) == {"app", "dataset", "workerpool"}
    assert "SIMULATED" in found["localnet"].note


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(Missing, match="no network 'goerli'") as caught:
        networks.load("goerli")
    assert "bellecour" in caught.value.hint


def test_own_networks_come_from_the_configuration_folder(home: Path) -> None:
    path = networks.user_file()
    assert home in path.parents
    path.parent.mkdir(parents=True)
    path.write_text(MINE)
    assert networks.names()[-1] == "mine"
    mine = networks.load("mine")
    assert (mine.rpc, mine.chain_id, mine.sms, mine.market) == ("http://10.0.0.7:8545", 4242, {}, None)
    assert not mine.simulated and not mine.embedded


@pytest.mark.parametrize(
    ("old", "new", "key", "why"),
    [
        ("chain_id = 4242", "", "chain_id", "missing"),
        ("chain_id = 4242", "chain_id = true", "chain_id", "number"),
        ("chain_id = 4242", 'chain_id = "4242"', "chain_id", "number"),
        ("native = true", "", "native", "missing"),
        ("native = true", "native = false", "rlc", "missing"),
        ("native = true", f'native = true\nrlc = "{A}"', "rlc", "native chain"),
        ("native = true", 'native = true\ncolour = "red"', "colour", "unknown key"),
        ("native = true", "native = true\nembedded = true", "embedded", "own localnet"),
        ("chain_id = 4242", "chain_id = 134\nsimulated = true", "simulated", "live"),
        ("native = true", 'native = true\nworkerpool = "pool.iexec.eth"', "ens", "ENS"),
        ("native = true", 'native = true\nsms = {scone = "http://sms.example.com"}', "sms", "https"),
        ("native = true", 'native = true\nsms = {enarx = "https://sms.example.com"}', "sms", "enarx"),
        ("native = true", 'native = true\nsms = "https://sms.example.com"', "sms", "table"),
        ("http://10.0.0.7:8545/", "10.0.0.7:8545", "rpc", "URL"),
        ("http://10.0.0.7:8545/", "http://user:secret@10.0.0.7", "rpc", "password"),
        ("http://10.0.0.7:8545/", "http://10.0.0.7:99999", "rpc", "[Pp]ort"),
        ("http://10.0.0.7:8545/", "http://10.0.0.7/\\u001b[31m", "rpc", "control"),
        (f'hub = "{A}"', f'hub = "{A[:-1]}e"', "hub", "checksum"),
        (f'hub = "{A}"', 'hub = "0x0000000000000000000000000000000000000000"', "hub", "zero"),
        (f'dataset = "{A}"', "", "registries", "dataset"),
        ("title = ", "title = 7 #", "title", "text"),
    ],
)
def test_a_wrong_entry_names_file_network_and_key(
    tmp_path: Path, old: str, new: str, key: str, why: str
) -> None:
    assert old in MINE
    path = own(tmp_path, MINE.replace(old, new, 1))
    with pytest.raises(Missing, match=why) as caught:
        networks.load("mine", path)
    assert caught.value.message.startswith(f"{path}: [mine] {key}: ")
    assert caught.value.exit_code == 2
    assert "secret" not in caught.value.message or "secrets are sent" in caught.value.message


@pytest.mark.parametrize("text", ["[bellecour]\n", "mine = 7\n", '["a b"]\n', "[mine", "\x00"])
def test_a_file_that_is_no_table_of_networks_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Missing, match=r"networks\.toml"):
        networks.names(own(tmp_path, text))


def test_a_network_elsewhere_may_call_itself_simulated(tmp_path: Path) -> None:
    path = own(tmp_path, MINE.replace("native = true", "native = true\nsimulated = true"))
    assert networks.load("mine", path).simulated


def test_the_running_localnet_is_filled_from_its_status() -> None:
    network = networks.from_status(STATUS)
    assert network.name == "localnet" and network.embedded and network.simulated
    assert (network.rpc, network.hub, network.workerpool) == (STATUS["rpc"], A, A)
    assert network.sms == {"scone": STATUS["sms"]}
    assert (network.ipfs_upload, network.ipfs_gateway) == ("http://127.0.0.1:5001", "http://127.0.0.1:8080")
    assert (network.result_proxy, network.market, network.rlc) == (STATUS["result_proxy"], None, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [("rpc", None), ("hub", "0x12"), ("chain_id", 1), ("registries", {}), ("sms", "ftp://x"), ("ipfs", 7)],
)
def test_a_status_that_is_not_whole_is_refused_by_key(key: str, value: object) -> None:
    with pytest.raises(Missing, match=key):
        networks.from_status({**STATUS, key: value})


@given(
    st.dictionaries(
        st.sampled_from([*STATUS, "worker"]),
        st.none() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=3), max_size=2),
    )
)
def test_no_status_document_breaks_the_reader(changes: dict[str, Any]) -> None:
    try:
        network = networks.from_status({**STATUS, **changes})
    except Missing:
        return
    assert network.chain_id == 65535
