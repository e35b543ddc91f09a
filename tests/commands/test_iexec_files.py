"""`creamtea import iexec` on folders of the official client: what is taken over, what stays, what is refused.

That the real client reads what `export` writes is under test in tests/peer.
"""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from workflows.cli import main
from workflows.core.failure import Failed
from workflows.core.journal import FOLDER
from workflows.core.manifest import Manifest
from workflows.iexec import keys, networks, sdk, wallet
from workflows.iexec.poco import Poco
from workflows.iexec.records import NewApp
from workflows.localnet.chain import Chain
from workflows.localnet.genesis import account
from workflows.sgx.pki import development_pki
from workflows.steps.chosen_network import kept_for

APP, DATASET = "0x3C329192C400F307c7b639AF60A78Bb1c9ef54Bc", "0xF271f4A748961D09AEDdc855a2604c85acfe15eF"
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(1, 33))).decode()
CHECKSUM, OLD_FORM = "0x" + "5c" * 32, b"|".join((b"aa" * 32, b"bb" * 16, b"cc" * 32))
OWNER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"  # of the key 0x11…11


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder as the client leaves it, with its modes."""
    folder = tmp_path / "theirs"
    write(folder / "iexec.json", {"app": {"name": "hello"}, "dataset": {"name": "ledger"}, "author": "?"})
    write(folder / "deployed.json", {"app": {"134": APP, "65535": APP}, "dataset": {"134": DATASET}})
    put(folder / ".secrets/datasets/ledger.csv.key", KEY)
    put(folder / ".secrets/datasets/dataset.key", KEY)
    return folder


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """An empty project of creamtea's for Bellecour."""
    (tmp_path / "ours").mkdir()
    Manifest(tmp_path / "ours").set("network", "bellecour")
    return tmp_path / "ours"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def write(path: Path, document: Any) -> Path:
    return put(path, json.dumps(document))


def taken(capsys: pytest.CaptureFixture[str], theirs: Path, ours: Path, *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = main(["import", "iexec", str(theirs), "--project", str(ours), "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_addresses_names_and_keys_are_taken_over_once(
    capsys: pytest.CaptureFixture[str], theirs: Path, ours: Path
) -> None:
    code, first = taken(capsys, theirs, ours)
    assert code == 0
    assert first["values"] == {
        "app.name": "hello", "dataset.name": "ledger", "networks.bellecour.app": APP,
        "networks.bellecour.dataset": DATASET, "networks.localnet.app": APP,
    }  # fmt: skip
    kept = ours / FOLDER / "keys" / "ledger.csv.key"
    assert first["keys"] == [str(kept)], "the alias of a named key is no key of its own"
    assert kept.read_text().strip() == KEY and stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert Manifest(ours).get("networks.bellecour.dataset") == DATASET
    again = taken(capsys, theirs, ours)[1]
    assert (again["values"], again["keys"], again["kept"]) == ({}, [], [])


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str], theirs: Path, ours: Path) -> None:
    taken(capsys, theirs, ours)
    before = (ours / "creamtea.toml").read_bytes()
    write(theirs / "deployed.json", {"app": {"134": DATASET}})
    put(theirs / ".secrets/datasets/ledger.csv.key", OTHER)
    document = taken(capsys, theirs, ours)[1]
    assert {"name": "networks.bellecour.app", "here": APP, "there": DATASET} in document["kept"]
    assert "ledger.csv.key" in [one["name"] for one in document["kept"]]
    assert (ours / "creamtea.toml").read_bytes() == before
    assert (ours / FOLDER / "keys" / "ledger.csv.key").read_text().strip() == KEY
    assert [Path(path).name for path in document["keys"]] == ["dataset.key"], "now a key without another name"
    assert KEY not in json.dumps(document) and OTHER not in json.dumps(document)


def test_the_result_key_pair_goes_where_results_are_opened(
    capsys: pytest.CaptureFixture[str], theirs: Path, ours: Path, home: Path
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    put(theirs / f".secrets/beneficiary/{OWNER}_key", pem)
    document = taken(capsys, theirs, ours)[1]
    private, public = (Path(path) for path in document["keys"][1:])
    assert private.read_text() == pem and stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.is_relative_to(home) and private.parent.parts[-2:] == ("bellecour", "beneficiary")
    assert "BEGIN PUBLIC KEY" in public.read_text()
    assert any("no passphrase" in warning for warning in document["warnings"])


def test_a_wallet_comes_locked_and_a_public_one_stays_out(
    capsys: pytest.CaptureFixture[str], theirs: Path, ours: Path, home: Path
) -> None:
    mine = wallet.import_key("11" * 32, "secret word", theirs / "keystore", work=1 << 12)
    wallet.import_key(
        account("requester").key.hex(), "localnet", theirs / "keystore", simulated=True, work=1 << 12
    )
    put(theirs / "keystore/notes.txt", "not a wallet")
    document = taken(capsys, theirs, ours)[1]
    (here,) = wallet.list_wallets()
    assert (here.address, here.created) == (OWNER, mine.created) and here.path.is_relative_to(home)
    assert stat.S_IMODE(here.path.stat().st_mode) == 0o600
    assert wallet.unlock(here, "secret word").address == OWNER
    assert any("public development wallet" in warning for warning in document["warnings"])
    assert any("notes.txt" in warning for warning in document["warnings"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("deployed.json", '{"app": {"134": "0x12"}}', "not an address"),
        ("deployed.json", '{"app": {"bellecour": "' + APP + '"}}', "no chain id"),
        ("deployed.json", "[1]", "cannot be kept"),
        ("iexec.json", "{", "cannot be kept"),
        (".secrets/datasets/a.key", "not a key", "is not a dataset key"),
        (f".secrets/beneficiary/{OWNER}_key", "not a key", "_key"),
    ],
)
def test_what_the_client_never_writes_is_refused_whole(
    capsys: pytest.CaptureFixture[str], theirs: Path, ours: Path, name: str, text: str, said: str
) -> None:
    put(theirs / name, text)
    before = (ours / "creamtea.toml").read_bytes()
    code, document = taken(capsys, theirs, ours)
    assert code in (1, 2) and said in document["error"]["message"]
    assert (ours / "creamtea.toml").read_bytes() == before and not (ours / FOLDER / "keys").exists()


def test_a_folder_of_something_else_is_no_project(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, ours: Path
) -> None:
    code, document = taken(capsys, tmp_path, ours)
    assert (code, document["error"]["name"]) == (2, "no_iexec_project")


def test_old_secrets_and_unknown_chains_are_told(
    capsys: pytest.CaptureFixture[str], theirs: Path, ours: Path
) -> None:
    put(theirs / ".secrets/datasets/old.scone.secret", "0f|1e")
    write(theirs / "deployed.json", {"app": {"5": APP}})
    warnings = taken(capsys, theirs, ours)[1]["warnings"]
    assert any("old.scone.secret" in one and "encrypted again" in one for one in warnings)
    assert any("chain 5" in one for one in warnings)


def test_the_network_may_be_a_file(
    capsys: pytest.CaptureFixture[str], theirs: Path, ours: Path, tmp_path: Path
) -> None:
    registries = "".join(f'{kind} = "{APP}"\n' for kind in ("app", "dataset", "workerpool"))
    file = put(
        tmp_path / "trial.toml",
        '[trial]\ntitle = "T"\nnote = "N"\nchain_id = 5\nnative = true\nrpc = "http://127.0.0.1:1"\n'
        f'hub = "{APP}"\n[trial.registries]\n{registries}',
    )
    write(theirs / "deployed.json", {"app": {"5": APP}})
    document = taken(capsys, theirs, ours, "--network", str(file))[1]
    assert document["values"]["networks.trial.app"] == APP and not document["warnings"]


@pytest.mark.chain
@pytest.mark.parametrize("by_file", [False, True])
def test_a_project_on_a_network_of_ones_own(
    capsys: pytest.CaptureFixture[str], chain: Chain, ours: Path, home: Path, tmp_path: Path, by_file: bool
) -> None:
    signer = account("requester")
    poco = Poco(chain.rpc, chain.hub, signer, chain_id=chain.chain_id, gas_free=True)
    transaction = poco.deploy_app(
        NewApp(signer.address, f"of three {by_file}", "docker.io/none:1", CHECKSUM, OLD_FORM)
    )
    poco.send(transaction)
    app = poco.deployed_address("app", poco.wait(transaction), transaction)
    registries = "\n".join(f'{kind} = "{address}"' for kind, address in chain.registries.items())
    ca = development_pki(tmp_path / "pki").root_pem
    file = put(
        tmp_path / "trial.toml" if by_file else networks.user_file(),
        f'[trial]\ntitle = "T"\nnote = "N"\nchain_id = {chain.chain_id}\nnative = true\nsimulated = true\n'
        f'rpc = "{chain.rpc}"\nhub = "{chain.hub}"\nca = """{ca}"""\n[trial.registries]\n{registries}\n',
    )
    name = str(file) if by_file else "trial"
    Manifest(ours).set("networks.trial.app", app)
    mine = wallet.import_key(signer.key.hex(), "secret word", simulated=True, work=1 << 12)
    pair = keys.create(kept_for(networks.load(name)) / "beneficiary", signer.address, "another word")
    out = tmp_path / "out"
    code = main(["export", "iexec", str(out), "--project", str(ours), "--network", name, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 0 and document["app"] == app and document["dataset"] is None and document["orders"] == []
    entry = json.loads((out / "chain.json").read_text())["chains"]["trial"]
    assert (entry["id"], entry["host"], entry["hub"]) == (str(chain.chain_id), chain.rpc, chain.hub)
    assert json.loads((out / "iexec.json").read_text())["app"]["mrenclave"] == OLD_FORM.decode()
    assert (out / "keystore" / mine.path.name).read_bytes() == mine.path.read_bytes()
    public = out / ".secrets/beneficiary" / pair.public.name
    assert public.read_bytes() == pair.public.read_bytes() and not public.with_suffix("").exists()
    assert (out / "ca.pem").read_text() == ca and "ca.pem" in document["files"]
    said = " ".join(document["warnings"])
    assert "NODE_EXTRA_CA_CERTS=ca.pem" in said and "has a passphrase" in said
    assert (
        "Tag mismatch" in said and "creamtea run deploy --form json" in said
    )  # what the client says, what to do


def test_keys_do_not_go_into_the_project(capsys: pytest.CaptureFixture[str], ours: Path) -> None:
    code = main(["export", "iexec", str(ours / "out"), "--project", str(ours), "--json"])
    assert code == 2 and json.loads(capsys.readouterr().out)["error"]["name"] == "inside"
    assert not (ours / "out").exists()


NAMES = st.sampled_from(["a", "b", "app", "dataset"])
VALUES = st.dictionaries(
    NAMES, st.integers() | st.dictionaries(NAMES, st.text(max_size=3), max_size=3), max_size=4
)


@given(before=VALUES, changes=VALUES)
def test_what_is_not_ours_in_a_file_stays(
    tmp_path_factory: pytest.TempPathFactory, before: Any, changes: Any
) -> None:
    path = tmp_path_factory.mktemp("files") / "iexec.json"
    write(path, before)
    sdk.change(path, changes)
    after = json.loads(path.read_text())
    for name, value in before.items():
        if name not in changes:
            assert after[name] == value
        elif isinstance(value, dict) and isinstance(changes[name], dict):
            assert after[name] == {**value, **changes[name]}
    assert all(after[name] == value for name, value in changes.items() if not isinstance(value, dict))


def test_a_live_network_takes_the_clients_own_values(tmp_path: Path) -> None:
    path = write(tmp_path / "chain.json", {"default": "mine", "chains": {"mine": {"id": "5"}}})
    sdk.write_chain(path, networks.load("bellecour"))
    assert json.loads(path.read_text()) == {
        "default": "bellecour", "chains": {"mine": {"id": "5"}, "bellecour": {}},
    }  # fmt: skip


def test_the_alias_follows_the_last_dataset_and_loses_no_key(tmp_path: Path) -> None:
    alias = tmp_path / ".secrets/datasets/dataset.key"
    sdk.put_private(alias.with_name("one.key"), KEY.encode())
    sdk.set_last_key(tmp_path, KEY.encode())
    sdk.put_private(alias.with_name("two.key"), OTHER.encode())
    sdk.set_last_key(tmp_path, OTHER.encode())
    assert alias.read_text() == OTHER and stat.S_IMODE(alias.stat().st_mode) == 0o600
    alias.with_name("two.key").unlink()
    with pytest.raises(Failed, match="another one"):
        sdk.set_last_key(tmp_path, KEY.encode())
    assert alias.read_text() == OTHER
