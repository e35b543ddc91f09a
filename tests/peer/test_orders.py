"""Whole jobs by the official client: a market's sale by its commands, and orders signed and filled from its files.

Its pre-flight checks are on throughout.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.classroom import NAME, Person
from tests.e2e.house import House
from tests.peer.conftest import Built
from tests.peer.sdk import Library, Refused, Sdk
from tests.peer.world import dataset, new_app
from workflows.core.files import write_atomic
from workflows.iexec import storage, tags
from workflows.iexec.poco import Poco

SALARIES = b"name,role,salary\nAda,engineer,71000\nAlan,engineer,69000\nEdsger,teacher,52000\n"
TEE = ("--tag", "tee,scone")
TAG = tags.encode(["tee", "scone"])
SKIP = (
    "(If you consider this is not an issue, use --skip-preflight-check to skip preflight requirement check)"
)
MISMATCH = "Tag mismatch the TEE framework specified by app"
NO_RESULT_KEY = "Beneficiary result encryption key is not set in the SMS. Result encryption will fail."


@pytest.fixture(scope="module")
def data(sdk: Sdk, folder: Path, shared: dict[str, Any], developer: Person) -> str:
    """A dataset that the client encrypted and registered; its key is not in the SMS yet."""
    mine = developer.keys
    sdk.ask(folder, "dataset", "init", "--encrypted", *mine)
    (folder / "datasets/original/salaries.csv").write_bytes(SALARIES)
    made = sdk.ask(folder, "dataset", "encrypt")["encryptedFiles"][0]
    stored = storage.upload(shared["ipfs"]["api"], Path(made["encrypted"]))
    entry = {"owner": developer.address, "name": "salaries", "multiaddr": stored.multiaddr}
    edit(folder / "iexec.json", dataset={**entry, "checksum": made["checksum"]})
    return str(sdk.ask(folder, "dataset", "deploy", *mine)["address"])


def edit(path: Path, **changes: Any) -> None:
    """Change one of the client's files, as one does in an editor."""
    write_atomic(path, json.dumps({**json.loads(path.read_text()), **changes}))


def task_of(library: Library, who: Any, deal: str) -> str:
    """The one task of a deal."""
    (task,) = library.call(who, "deal.show", deal)["tasks"]
    return str(task)


def stake(library: Library, who: Any) -> int:
    """What is in somebody's iExec account, nRLC."""
    return int(library.call(who, "account.checkBalance", who.address)["stake"], 16)


def test_a_sale_on_the_market_down_to_the_decrypted_result(
    sdk: Sdk, folder: Path, library: Library, built: Built, data: str, developer: Person, customer: Person
) -> None:
    mine, theirs = developer.keys, customer.keys
    sell = ("dataset", "publish", data, *TEE, "--app-restrict", built.app, "--price", "2", "--force", *mine)
    offer = ("app", "publish", built.app, "--price", "3", "--volume", "5", "--force", *mine)
    run = (
        "app", "run", built.app, "--dataset", data, *TEE, "--args", "by the client", "--secret", "1=plan",
        "--encrypt-result", "--force", *theirs,
    )  # fmt: skip
    checks = (
        ("dataset", "check-secret"), ("app", "check-secret", built.app), ("storage", "check", *theirs),
        ("requester", "check-secret", "plan", *theirs), ("result", "check-encryption-key", *theirs),
    )  # fmt: skip
    none = (
        f"No secret found for dataset {data}", f"No secret found for app {built.app}", "Storage NOT initialized",
        f'No secret "plan" found for address {customer.address}',
        f"No encryption key found for address {customer.address}",
    )  # fmt: skip
    found = (
        f"Secret found for dataset {data}", f"Secret found for app {built.app}", "Storage already initialized",
        f'Secret "plan" found for address {customer.address}',
        f"Encryption key found for address {customer.address}",
    )  # fmt: skip

    # Nothing is in the SMS yet; what needs it, or another tag, is told so.
    sdk.each_told(folder, dict(zip(checks, none, strict=True)))
    lacking = (
        f"Dataset encryption key is not set for dataset {data} in the SMS. Dataset decryption will fail."
    )
    sdk.each_told(folder, {sell: lacking, offer: MISMATCH}, code=1)

    # Developer and customer push what is theirs; the order of these does not matter.
    value = "--secret-value"
    sdk.each_told(
        folder,
        {
            ("dataset", "push-secret", *mine): "Secret successfully pushed",
            ("app", "push-secret", built.app, value, "developer's", *mine): "Secret successfully pushed",
            (
                "requester",
                "push-secret",
                "plan",
                value,
                "theirs",
                *theirs,
            ): 'Secret "plan" successfully pushed',
            ("storage", "init", *theirs): "Storage initialized",
            ("result", "generate-encryption-keypair", *theirs): f"{customer.address}_key.pub",
            ("account", "deposit", "1", "RLC", *theirs): "Deposited 1.0 RLC to your iExec account",
        },
    )

    # The app is for sale, and the dataset to it alone; the customer is told what is missing before paying anything.
    data_order = sdk.ask(folder, *sell)["orderHash"]
    app_order = sdk.ask(folder, *offer, *TEE)["orderHash"]
    assert f"Request requirements check failed: {NO_RESULT_KEY} {SKIP}" in sdk.told(folder, *run, code=1)
    sdk.ask(folder, "result", "push-encryption-key", *theirs)
    sdk.each_told(folder, dict(zip(checks, found, strict=True)))
    before = stake(library, developer)

    # A deal, a task on the localnet's worker, and a result that only the customer's key opens.
    (deal,) = sdk.ask(folder, *run)["deals"]
    task = task_of(library, customer, deal["dealid"])
    said = sdk.told(folder, "task", "show", task, "--watch", "--download", "result", "--decrypt", *theirs)
    assert "Task status COMPLETED" in said
    with zipfile.ZipFile(folder / "result.zip") as archive:
        assert set(archive.namelist()) == {"report.txt", "computed.json"}
        report = archive.read("report.txt").decode()
    assert report.startswith("by the client\n")
    assert "70000" in report and "52000" in report, "the averages of the dataset"
    assert "Secrets: the app developer's, the requester's number 1" in report

    # Everyone was paid, and the market knows what is left and who bought.
    assert stake(library, developer) == before + 5
    left = sdk.ask(folder, "order", "show", "--app", app_order, "--dataset", data_order, "--deals")
    assert (left["apporder"]["remaining"], left["apporder"]["status"]) == (4, "open")
    assert left["datasetorder"]["remaining"] == 999_999
    for shown in (left["apporder"], left["datasetorder"]):
        assert [one["dealid"] for one in shown["deals"]["lastDeals"]] == [deal["dealid"]]
        assert shown["deals"]["lastDeals"][0]["requester"] == customer.address

    # Nothing is pushed twice; taken off the market, the app cannot be bought by others any more.
    sdk.ask(folder, "app", "unpublish", built.app, "--force", *mine)
    sdk.each_told(
        folder,
        {
            ("dataset", "push-secret", *mine): f"Secret already exists for {data} and can't be updated",
            ("storage", "init", *theirs): "default storage is already initialized, use --force-update option",
            ("result", "push-encryption-key", *theirs): f"already exists for {customer.address}",
            run: f"No order available for app {built.app}",
        },
        code=1,
    )


def test_orders_signed_and_filled_from_the_clients_files(
    sdk: Sdk, folder: Path, library: Library, built: Built, shared: dict[str, Any], developer: Person
) -> None:
    mine = developer.keys
    asked = {
        "app": built.app, "requester": developer.address, "beneficiary": developer.address,
        "workerpool": shared["workerpool"], "workerpoolmaxprice": str(10**8), "volume": "1", "category": "0",
        "tag": ["tee", "scone"], "params": {"iexec_args": "filled"},
    }  # fmt: skip
    sold = {"app": built.app, "appprice": "0", "volume": "1"}
    edit(folder / "iexec.json", order={"apporder": sold, "requestorder": asked})
    said = sdk.told(folder, "order", "sign", "--app", "--request", *mine)
    assert f"apporder: App requirements check failed: {MISMATCH}" in said
    edit(folder / "iexec.json", order={"apporder": {**sold, "tag": ["tee", "scone"]}, "requestorder": asked})
    signed = sdk.ask(folder, "order", "sign", "--app", "--request", *mine)
    assert signed["apporder"]["tag"] == TAG

    (pool,) = library.call(developer, "orderbook.fetchWorkerpoolOrderbook", {"category": 0})["orders"]
    chain_id = str(shared["chain_id"])
    orders = json.loads((folder / "orders.json").read_text())[chain_id]
    edit(folder / "orders.json", **{chain_id: {**orders, "workerpoolorder": pool["order"]}})
    poor = sdk.told(folder, "order", "fill", "--force", *mine, code=1)
    assert "Cost per task (100000000) is greater than requester account stake" in poor
    sdk.ask(folder, "account", "deposit", "1", "RLC", *mine)
    said = sdk.told(folder, "order", "fill", "--force", *mine)
    deal = said[said.index("dealid 0x") + 7 :][:66]
    assert f"1 task successfully purchased with dealid {deal}" in said
    task = task_of(library, developer, deal)
    said = sdk.told(folder, "task", "show", task, "--watch", "--download", "plain.zip", *mine)
    assert "Task status COMPLETED" in said
    with zipfile.ZipFile(folder / "plain.zip") as archive:
        assert archive.read("report.txt").decode().startswith("filled\n")

    assert "apporder is fully consumed" in sdk.told(folder, "order", "fill", "--force", *mine, code=1)


def test_the_project_that_creamtea_exports_trusts_the_class_by_its_ca(
    sdk: Sdk, house: House, built: Built, developer: Person, customer: Person, tmp_path: Path
) -> None:
    words = ("export", "iexec", tmp_path / "out", "--project", built.project, "--json")
    ended = house.creamtea(*words, "--wallet", customer.given["keystore"])
    assert ended.document()["error"]["name"] == "wallet"
    ended = house.creamtea(*words[:-1], "--wallet", developer.given["keystore"])
    exported = tmp_path / "out"
    assert f"cd {exported} && NODE_EXTRA_CA_CERTS=ca.pem iexec app show --keystoredir keystore" in ended.out
    keys = ("--keystoredir", "keystore", "--password", developer.password)
    assert sdk.ask(exported, "app", "show", *keys)["app"]["owner"] == developer.address
    sdk.each_told(exported, {("app", "check-secret", built.app): "ecret found", ("info",): "PoCo version"})
    chain = json.loads((exported / "chain.json").read_text())["chains"][NAME]
    assert {chain[name][:8] for name in ("host", "resultProxy", "ipfsGateway", "iexecGateway")} == {
        "https://"
    }
    # With the CA of the folder, as the export says; and with none.
    for ca, code, said in (
        ("ca.pem", 0, built.app),
        ("none.pem", 1, "unable to verify the first certificate"),
    ):
        other = Sdk(sdk.home, {**sdk.env, "NODE_EXTRA_CA_CERTS": str(exported / ca)})
        assert said in other.told(exported, "app", "show", *keys, code=code)


def test_an_order_that_is_cancelled_is_canceled_on_the_market(
    library: Library, chain: Poco, developer: Person, ready: None
) -> None:
    order = library.call(
        developer, "order.createApporder", {"app": new_app(chain, "not for sale"), "tag": ["tee", "scone"]}
    )
    signed = library.call(developer, "order.signApporder", order)
    published = library.call(developer, "order.publishApporder", signed)
    assert library.call(developer, "orderbook.fetchApporder", published)["status"] == "open"
    library.call(developer, "order.cancelApporder", signed)
    shown = library.call(developer, "orderbook.fetchApporder", published)
    assert (shown["status"], shown["remaining"]) == ("canceled", 0)
    with pytest.raises(Refused, match="already canceled"):
        library.call(developer, "order.cancelApporder", signed)


@pytest.mark.parametrize("form", ["3", "4"])
def test_an_app_of_the_old_forms_is_refused_as_a_tag_mismatch(
    sdk: Sdk, folder: Path, library: Library, chain: Poco, developer: Person, form: str
) -> None:
    parts = ["aa" * 32, "bb" * 16, "cc" * 32, "python3 /app/app.py"]
    old = new_app(chain, f"of form {form}", "|".join(parts[: int(form)]))
    order = library.call(developer, "order.createApporder", {"app": old, "tag": ["tee", "scone"]})
    with pytest.raises(Refused) as refused:
        library.call(developer, "order.signApporder", order)
    assert str(refused.value) == MISMATCH
    unchecked = library.call(developer, "order.signApporder", order, {"preflightCheck": False})
    assert unchecked["app"] == old
    if form == "4":
        said = sdk.told(folder, "app", "run", old, *TEE, "--force", *developer.keys, code=1)
        assert f"App requirements check failed: {MISMATCH} {SKIP}" in said


def test_the_checks_before_a_request_is_signed(
    library: Library, chain: Poco, developer: Person, customer: Person
) -> None:
    mine, theirs = new_app(chain, "to be requested"), dataset(chain, "without a key")

    def sign(**changes: Any) -> Any:
        asked = {"app": mine, "category": 0, "tag": ["tee", "scone"], **changes}
        order = library.call(developer, "order.createRequestorder", asked)
        return library.call(developer, "order.signRequestorder", order)

    assert sign()["requester"] == developer.address
    refusals = {
        'Requester storage token is not set for selected provider "dropbox". Result archive upload will fail.': {
            "params": {"iexec_result_storage_provider": "dropbox"}
        },
        NO_RESULT_KEY: {"params": {"iexec_result_encryption": True}, "beneficiary": chain.address},
        f"Dataset encryption key is not set for dataset {theirs} in the SMS. Dataset decryption will fail.": {
            "dataset": theirs
        },
        f'Requester secret "none" is not set for requester {developer.address} in the SMS. '
        "Requester secret provisioning will fail.": {"params": {"iexec_secrets": {"1": "none"}}},
    }
    for message, changes in refusals.items():
        with pytest.raises(Refused) as refused:
            sign(**changes)
        assert str(refused.value) == message
