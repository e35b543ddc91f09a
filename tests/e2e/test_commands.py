"""The commands that are not runs: localnet, doctor, fingerprint, encrypt, decrypt, runs, steps, replay."""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import stat
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chain import rpc
from tests.e2e.contract import ONBOARD
from tests.e2e.house import House
from tests.e2e.onboarded import Onboarded


def test_localnet_status(house: House, network: dict[str, Any]) -> None:
    names = {
        "rpc", "chain_id", "hub", "registries", "rlc", "sms", "cas", "las", "ipfs", "market", "result_proxy",
        "workerpool", "accounts", "state_dir", "pid",
    }  # fmt: skip
    assert names <= set(network)
    assert set(network["registries"]) == {"app", "dataset", "workerpool"}
    assert {"client", "enclave"} == set(network["cas"]) and {"api", "gateway"} == set(network["ipfs"])
    assert network["state_dir"] == str(house.state)
    assert int(rpc(network["rpc"], "eth_chainId"), 16) == network["chain_id"] == 65535
    for address in (network["hub"], *network["registries"].values(), network["workerpool"]):
        assert len(rpc(network["rpc"], "eth_getCode", address, "latest")) > 10
    for url in (network["rpc"], network["sms"], network["result_proxy"], *network["ipfs"].values()):
        assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{network['sms']}/tee/framework") as answer:
        assert answer.read().decode().strip('"').lower() == "scone"
    plain = house.creamtea("localnet", "status")
    assert plain.code == 0 and network["rpc"] in plain.out


def test_a_second_up_shares_the_localnet(house: House, network: dict[str, Any]) -> None:
    second = house.start("localnet", "up", "--json")
    while not second.lines:
        assert second.process.poll() is None
    assert json.loads(second.lines[0])["pid"] == network["pid"]
    second.signal(signal.SIGINT)
    ended = second.end()
    assert ended.code == 0 and ended.document()["rpc"] == network["rpc"]
    assert house.creamtea("localnet", "status", "--json").document()["pid"] == network["pid"]


def test_localnet_export(house: House, network: dict[str, Any], tmp_path: Path) -> None:
    from eth_account import Account

    ended = house.creamtea("localnet", "export", tmp_path / "out", "--json")
    assert ended.code == 0, ended.err
    assert ended.document()
    chain = json.loads((tmp_path / "out" / "chain.json").read_text())
    entry = chain["chains"][chain["default"]]
    assert (entry["id"], entry["host"], entry["hub"]) == (
        str(network["chain_id"]),
        network["rpc"],
        network["hub"],
    )
    [keystore] = (tmp_path / "out" / "keystore").glob("UTC--*")
    assert stat.S_IMODE(keystore.stat().st_mode) == 0o600
    opened = Account.from_key(Account.decrypt(json.loads(keystore.read_text()), "localnet"))
    assert opened.address in [it["address"] for it in network["accounts"]]
    stake = int(rpc(network["rpc"], "eth_getBalance", opened.address, "latest"), 16)
    assert stake > 10**18


def test_localnet_that_is_not_there(house: House, tmp_path: Path) -> None:
    env = {"CREAMTEA_LOCALNET": str(tmp_path / "nowhere")}
    ended = house.creamtea("localnet", "status", "--json", env=env)
    assert ended.code == 3 and ended.document()["ready"] is False
    ended = house.creamtea("localnet", "down", "--json", env=env)
    assert ended.code == 0 and ended.document()["stopped"] is False


def test_doctor(house: House, tmp_path: Path) -> None:
    ended = house.creamtea("doctor", "--json", "--project", tmp_path)
    checks = {it["name"]: it for it in ended.document()["checks"]}
    assert ended.code == 0 and checks["engine"]["ok"] is True
    assert house.engine.version in checks["engine"]["text"]
    assert {"engine", "disk", "machine", "sgx", "chain_tools", "endpoints"} <= set(checks)
    assert not (tmp_path / ".creamtea").exists(), "a look leaves nothing behind"


@pytest.mark.parametrize("form", ["3", "4", "json"])
def test_fingerprint(house: House, onboarded: Onboarded, form: str) -> None:
    """Against what the image's own files and its own runtime say."""
    image = onboarded.run.outputs["build"]["image_id"]
    found = house.creamtea("fingerprint", image, "--json", "--form", form).document()
    line = (house.engine.read_file(image, "/build/fingerprint") or b"").decode().strip()
    key, tag, mrenclave, entrypoint = line.split("|")
    assert [found[name] for name in ("fspf_key", "fspf_tag", "mrenclave")] == [key, tag, mrenclave]
    ran = house.engine.run(
        image, [], entrypoint=["python3"], environment={"SCONE_HASH": "1", "SCONE_MODE": "sim"}
    )
    assert ran.out.strip() == mrenclave
    assert (found["form"], found["entrypoint"], found["heap"]) == (form, entrypoint, 1 << 30)
    assert (found["image_id"], found["digest"], found["simulated"]) == (image, None, True)
    if form == "json":
        assert json.loads(found["value"])["fingerprint"] == mrenclave
    else:
        assert found["value"] == (line if form == "4" else line.rpartition("|")[0])


def test_fingerprint_of_an_image_without_one(house: House, onboarded: Onboarded) -> None:
    ended = house.creamtea("fingerprint", onboarded.run.outputs["base_image"]["used"], "--json")
    assert ended.code == 1 and ended.document()["error"]["name"] == "no_fingerprint"
    ended = house.creamtea("fingerprint", "creamtea-e2e/there-is-none:1", "--json")
    assert ended.code == 2 and ended.document()["error"]["name"] == "no_image"


def test_encrypt_and_decrypt(house: House, tmp_path: Path) -> None:
    """AES-256-CBC with the IV in front, checked with another implementation."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    plain = tmp_path / "table.csv"
    plain.write_bytes(b"a,b\n" * 12345)
    words: list[str | Path] = [
        "encrypt",
        plain,
        "--output",
        tmp_path / "table.enc",
        "--key-file",
        tmp_path / "table.key",
        "--json",
    ]
    made = house.creamtea(*words).document()
    sealed = (tmp_path / "table.enc").read_bytes()
    assert made["checksum"] == "0x" + hashlib.sha256(sealed).hexdigest() and made["key_made"] is True
    key = base64.b64decode((tmp_path / "table.key").read_text())
    assert len(key) == 32 and stat.S_IMODE((tmp_path / "table.key").stat().st_mode) == 0o600
    opener = Cipher(algorithms.AES(key), modes.CBC(sealed[:16])).decryptor()
    assert (opener.update(sealed[16:]) + opener.finalize()).startswith(plain.read_bytes())
    refused = house.creamtea(*words)  # what is there is not written over
    assert (refused.code, refused.document()["error"]["name"]) == (2, "exists")
    (tmp_path / "table.enc").unlink()
    again = house.creamtea(*words).document()
    assert again["key_made"] is False and base64.b64decode((tmp_path / "table.key").read_text()) == key
    ended = house.creamtea(
        "decrypt",
        tmp_path / "table.enc",
        "--output",
        tmp_path / "back.csv",
        "--key-file",
        tmp_path / "table.key",
        "--json",
    )
    assert ended.code == 0 and (tmp_path / "back.csv").read_bytes() == plain.read_bytes()
    (tmp_path / "other.key").write_text(base64.b64encode(b"k" * 32).decode())
    ended = house.creamtea(
        "decrypt",
        tmp_path / "table.enc",
        "--output",
        tmp_path / "no.csv",
        "--key-file",
        tmp_path / "other.key",
        "--json",
    )
    assert ended.code == 1 and not (tmp_path / "no.csv").exists()


def test_decrypt_a_result_that_was_downloaded(house: House, onboarded: Onboarded, tmp_path: Path) -> None:
    """The archive as it is in public storage, opened with the private key that the run made."""
    [archive] = (onboarded.project / ".creamtea" / "results").iterdir()
    [key] = [path for path in (house.state / "beneficiary").iterdir() if path.name.endswith("_key")]
    ended = house.creamtea("decrypt", archive, "--output", tmp_path / "open", "--key-file", key, "--json")
    assert ended.code == 0, ended.err
    folder = Path(onboarded.run.outputs["result"]["folder"])
    assert (tmp_path / "open" / "report.json").read_bytes() == (folder / "report.json").read_bytes()


def test_runs_and_steps(house: House, onboarded: Onboarded) -> None:
    found = house.creamtea("runs", "--project", onboarded.project, "--json").document()["runs"]
    first = found[-1]
    assert first["run"] == onboarded.run.events[0]["run"]
    assert (first["workflow"], first["outcome"], first["network"]) == ("onboard", "done", "localnet")
    assert Path(first["events"]).read_text() == onboarded.ended.out
    catalogue = house.creamtea("steps", "--json").document()["steps"]
    assert tuple(step["id"] for step in catalogue) == ONBOARD
    flags = {field["flag"] for step in catalogue for field in step["fields"]}
    assert flags >= {
        "--base-image", "--language", "--heap", "--entrypoint", "--image", "--form", "--dataset", "--dataset-name",
        "--args", "--input-file", "--app-secret-file", "--requester-secret", "--encrypt-result", "--category",
        "--workerpool", "--max-price", "--output", "--wallet", "--password-file",
    }  # fmt: skip
    assert all(step["why"] and step["title"] for step in catalogue)


def test_replay_is_the_recording(house: House, onboarded: Onboarded) -> None:
    """With no engine and no network."""
    events = Path(onboarded.run.end["log"]) / "events.jsonl"
    env = {"DOCKER_HOST": "unix:///nowhere.sock", "CREAMTEA_LOCALNET": "/nowhere"}
    ended = house.creamtea("replay", events, "--speed", "0", "--json", env=env)
    assert ended.code == 0 and ended.out == onboarded.ended.out == events.read_text()
    ended.run()
    plain = house.creamtea("replay", events, "--speed", "0", "--plain", env=env)
    assert plain.code == 0 and "Quarterly Report" in plain.out and "done in" in plain.out
