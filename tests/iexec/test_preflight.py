"""Pre-flight: each rule, with the error that it predicts, on the real contracts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.iexec.world import World
from workflows.core.failure import Unavailable
from workflows.iexec import ids, params, tags
from workflows.iexec.preflight import Check, Enclave, Plan, check
from workflows.iexec.records import NewApp, NewDataset

pytestmark = pytest.mark.chain


@dataclass
class Answers:
    """The answers of an SMS that are asked for; the HTTP client has its own tests."""

    keys: set[str] = field(default_factory=set)
    serves: str = "SCONE"
    versions: tuple[str, ...] = ("v5.9",)
    down: bool = False

    def _has(self, key: str) -> bool:
        if self.down:
            raise Unavailable("the SMS does not answer", "Start it.")
        return key in self.keys

    def has_dataset_key(self, address: str) -> bool:
        return self._has(f"dataset {address}")

    def has_app_secret(self, address: str) -> bool:
        return self._has(f"app {address}")

    def has_requester_secret(self, address: str, name: str) -> bool:
        return self._has(f"requester {address} {name}")

    def has_result_key(self, address: str) -> bool:
        return self._has(f"result {address}")

    def framework(self) -> str:
        self._has("")
        return self.serves

    def properties(self, version: str) -> Mapping[str, Any] | None:
        self._has("")
        return {} if version in self.versions else None


ENCLAVE = Enclave(version="v5.9", heap=1 << 30)
WANTED = params.build(secrets={1: "pin"}, result_encryption=True).to_text()


def full(world: World) -> Answers:
    requester = world.address("requester")
    return Answers(
        {
            f"dataset {world.dataset}",
            f"app {world.app}",
            f"requester {requester} pin",
            f"result {requester}",
        }
    )


def plan(world: World, **changes: Any) -> Plan:
    kept: dict[str, Any] = {
        "enclave": ENCLAVE,
        "needs_app_secret": True,
        "measured_seconds": 10.0,
        "max_heap": 1 << 32,
    }
    plan_fields = {key: changes.pop(key) for key in list(changes) if key in Plan.__dataclass_fields__}
    request = {"params": WANTED, **changes.pop("request", {})}
    return Plan(**{"orders": world.orders(request=request, **changes), **kept, **plan_fields})


def failed(checks: list[Check]) -> dict[str, Check]:
    return {found.name: found for found in checks if not found.ok}


def test_a_request_that_will_work(world: World) -> None:
    checks = check(plan(world), world.poco(), full(world))
    assert failed(checks) == {}
    assert {found.name for found in checks} >= {
        "match 0x00", "match 0x60", "requester stake", "workerpool stake", "computing time", "parameters",
        "beneficiary", "app checksum", "dataset checksum", "dataset location", "TEE framework",
        "dataset for one app", "fingerprint", "app framework", "heap", "SMS framework", "framework version",
        "dataset key", "result key", "app secret", "requester secret 1",
    }  # fmt: skip
    assert all(found.predicts and not found.hint for found in checks)


@pytest.mark.parametrize(
    ("changes", "name", "predicts"),
    [
        ({"app": {"appprice": 3}}, "match 0x03", "iExecV5-matchOrders-0x03"),
        ({"measured_seconds": 400.0}, "computing time", "APP_COMPUTE_TIMEOUT"),
        ({"max_heap": 1 << 29}, "heap", "PRE_COMPUTE_INVALID_ENCLAVE_HEAP_CONFIGURATION"),
        (
            {"enclave": Enclave(problem="the entrypoint is empty")},
            "fingerprint",
            "TEE_SESSION_GENERATION_APP_COMPUTE_INVALID_ENCLAVE_CONFIG",
        ),
        (
            {"enclave": Enclave(), "old_forms": False},
            "fingerprint form",
            "TEE_SESSION_GENERATION_APP_COMPUTE_NO_ENCLAVE_CONFIG",
        ),
        (
            {"enclave": replace(ENCLAVE, version="v4")},
            "framework version",
            "TEE_SESSION_GENERATION_APP_COMPUTE_INVALID_ENCLAVE_CONFIG",
        ),
        (
            {"enclave": replace(ENCLAVE, framework="gramine")},
            "app framework",
            "Tag mismatch the TEE framework specified by app",
        ),
        (
            {"request": {"beneficiary": ids.ZERO_ADDRESS}},
            "beneficiary",
            "TEE_SESSION_GENERATION_POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY",
        ),
        (
            {"request": {"params": '{"iexec_secrets":{"0":"pin"}}'}},
            "parameters",
            "dropped or taken for arguments, without an error",
        ),
        (
            {"data": {"apprestrict": ids.ZERO_ADDRESS}},
            "dataset for one app",
            "no error: another app could use it",
        ),
    ],
)
def test_a_rule_that_is_broken(world: World, changes: Any, name: str, predicts: str) -> None:
    found = failed(check(plan(world, **changes), world.poco(), full(world)))
    assert name in found
    assert found[name].predicts == predicts
    assert found[name].hint
    assert found[name].blocks == (name != "dataset for one app")


@pytest.mark.parametrize(
    ("missing", "name", "predicts"),
    [
        ("dataset", "dataset key", "TEE_SESSION_GENERATION_PRE_COMPUTE_GET_DATASET_SECRET_FAILED"),
        (
            "result",
            "result key",
            "TEE_SESSION_GENERATION_POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY",
        ),
        ("app", "app secret", "no error: the app runs without the variable"),
        ("requester", "requester secret 1", "no error: the app runs without the variable"),
    ],
)
def test_a_secret_that_is_not_there(world: World, missing: str, name: str, predicts: str) -> None:
    sms = full(world)
    sms.keys = {key for key in sms.keys if not key.startswith(missing)}
    found = failed(check(plan(world), world.poco(), sms))
    assert list(found) == [name]
    assert (found[name].predicts, found[name].blocks) == (predicts, True)


def test_sms_of_another_framework(world: World) -> None:
    sms = replace(full(world), serves="GRAMINE")
    found = failed(check(plan(world), world.poco(), sms))
    assert found["SMS framework"].predicts == "GET_TEE_SERVICES_CONFIGURATION_FAILED"


def test_sms_that_does_not_answer(world: World) -> None:
    checks = check(plan(world), world.poco(), replace(full(world), down=True))
    found = failed(checks)
    assert list(found) == ["SMS framework"]
    assert found["SMS framework"].text == "the SMS does not answer"
    assert checks[-1].name == "SMS framework"


def test_tag_that_no_worker_knows(world: World) -> None:
    tee = tags.encode(("tee", "scone", "gramine"))
    changed = plan(world, app={"tag": tee}, pool={"tag": tee})
    found = failed(check(changed, world.poco(), full(world)))
    assert (
        found["TEE framework"].predicts
        == "TEE_SESSION_GENERATION_EXECUTION_NOT_AUTHORIZED_NO_MATCH_ONCHAIN_TYPE"
    )


def test_without_tee_no_sms_is_asked(world: World) -> None:
    none = {"tag": tags.encode(())}
    changed = plan(world, app=none, data=none, pool=none, request={**none, "params": "hello"})
    assert failed(check(changed, world.poco(), Answers(down=True))) == {}


def test_too_little_money(world: World) -> None:
    poco = world.poco()
    stake = poco.account_of(world.address("requester")).stake
    rich = plan(world, app={"appprice": stake}, request={"appmaxprice": stake})
    found = failed(check(rich, poco, full(world)))
    assert list(found) == ["requester stake"]
    assert found["requester stake"].predicts == "IexecEscrow: Transfer amount exceeds balance"
    assert found["requester stake"].hint.startswith("Deposit 11 nRLC more; the wallet holds")

    stake = poco.account_of(world.address("workerpool")).stake
    price = stake * 100 // 30 + 100
    dear = plan(world, pool={"workerpoolprice": price}, request={"workerpoolmaxprice": price})
    found = failed(check(dear, poco, full(world)))
    assert "workerpool stake" in found


def test_placeholders(world: World) -> None:
    owner = world.poco("owner")
    app = owner.deploy_app(NewApp(owner.sender, "empty", "docker.io/x/y:1", ids.ZERO_HASH))
    dataset = owner.deploy_dataset(NewDataset(owner.sender, "empty", "data.zip", "0x" + "11" * 32))
    owner.send(app)
    owner.wait(app)
    dataset = owner.deploy_dataset(NewDataset(owner.sender, "empty", "data.zip", "0x" + "11" * 32))
    owner.send(dataset)
    owner.wait(dataset)
    world.app, world.dataset = str(app.predicted), str(dataset.predicted)
    found = failed(check(plan(world, enclave=None), world.poco(), full(world)))
    assert found["app checksum"].level == "warning"
    assert found["dataset checksum"].predicts == "PRE_COMPUTE_INVALID_DATASET_CHECKSUM"
    assert found["dataset location"].predicts == "PRE_COMPUTE_DATASET_DOWNLOAD_FAILED"
    assert found["fingerprint"].predicts == "PRE_COMPUTE_MISSING_ENCLAVE_CONFIGURATION"


def test_without_a_dataset_its_questions_are_not_asked(world: World) -> None:
    names = {found.name for found in check(plan(world, dataset=False), world.poco(), full(world))}
    assert not {"dataset key", "dataset checksum", "dataset location", "match 0x30"} & names


def test_unsigned_request_of_the_wallet_at_hand(world: World) -> None:
    planned = plan(world, signers=frozenset({world.address("requester")}))
    orders = replace(planned.orders, request=replace(planned.orders.request, sign="0x"))
    assert failed(check(replace(planned, orders=orders), world.poco(), full(world))) == {}
