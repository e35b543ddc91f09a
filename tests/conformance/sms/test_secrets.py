"""Cases 1 to 41: secrets of datasets, wallets, apps and requesters."""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from tests.conformance.sms import wire
from tests.conformance.sms.onchain import World
from tests.conformance.sms.wire import Answer, Sms

case = pytest.mark.case

LARGE, LARGEST = "x" * 4097, "\U0001f600" * 1024  # 4096 bytes in 1024 characters
LONG_KEY = "this-is-a-really-long-key-with-far-too-many-characters-in-its-name"
ODD_KEY = "this-is-a-key-with-invalid-characters:!*~"
BAD_KEY = 400, ["Secret key should contain at most 64 characters from [0-9A-Za-z-_]"]
TOO_LARGE = ["Secret size should not exceed 4 Kb"]
EXISTS = 409, ["Secret already exists"]
UNAUTHORISED = 401, ["Invalid authorization"]


def some_address() -> str:
    return "0x" + random.token_hex(20)


def canary() -> str:
    return "canary-" + random.token_hex(8)


@dataclass(frozen=True)
class Kept:
    """Something on the chain, its secret, and what the SMS said when it got it."""

    address: str
    value: str
    said: Answer


@pytest.fixture(scope="module")
def dataset(sms: Sms, world: World) -> Kept:
    address, value = world.dataset(), canary()
    return Kept(address, value, sms.web3(address, value, world.wallet))


@pytest.fixture(scope="module")
def app(sms: Sms, world: World) -> Kept:
    address, value = world.app(""), canary()
    return Kept(address, value, sms.app(address, value, world.wallet))


@pytest.fixture(scope="module")
def empty(world: World) -> tuple[str, str]:
    """An app and a dataset whose secrets were never pushed."""
    return world.app(""), world.dataset()


@pytest.fixture(scope="module")
def owner() -> Any:
    """A wallet with the named secret `Foo` and the requester's secret `one`, once the tests below set them."""
    return Account.create()


@pytest.fixture(scope="module")
def named(sms: Sms, owner: Any) -> Answer:
    return sms.web2(owner, "Foo", "bar")


@pytest.fixture(scope="module")
def one(sms: Sms, owner: Any) -> Answer:
    return sms.requester(owner, "one", "value")


@case(1, 6)
def test_a_dataset_key_is_taken_and_there(sms: Sms, dataset: Kept) -> None:
    assert (dataset.said.status, dataset.said.text) == (204, "")
    for address in (dataset.address, dataset.address.lower(), "0x" + dataset.address[2:].upper()):
        assert sms.head(wire.web3(address)) == 204


@case(2)
def test_a_dataset_key_that_is_not_there(sms: Sms) -> None:
    assert sms.head(wire.web3(some_address())) == 404


@case(3)
def test_a_dataset_key_by_a_stranger(sms: Sms, stranger: Any) -> None:
    address = some_address()  # nobody owns it, as it is not deployed
    said = sms.web3(address, "key", stranger)
    assert (said.status, said.text) == (401, "")
    assert sms.head(wire.web3(address)) == 404


@case(3)
def test_a_dataset_key_by_another_than_the_owner(sms: Sms, empty: tuple[str, str], stranger: Any) -> None:
    said = sms.web3(empty[1], "key", stranger)
    assert (said.status, said.text) == (401, "")
    assert sms.head(wire.web3(empty[1])) == 404


@case(4)
def test_a_dataset_key_that_is_too_large(sms: Sms, empty: tuple[str, str], world: World) -> None:
    said = sms.web3(empty[1], LARGE, world.wallet)
    assert (said.status, said.text) == (413, "")
    assert sms.head(wire.web3(empty[1])) == 404


@case(5)
def test_a_second_dataset_key(sms: Sms, dataset: Kept, world: World) -> None:
    """That the first value is kept shows in `test_sessions.py`, where an enclave gets it; here, that none is taken."""
    for value in ("another", dataset.value):
        said = sms.web3(dataset.address, value, world.wallet)
        assert (said.status, said.text) == (409, "")


@case(7, 12)
def test_a_named_secret_is_taken_and_there_in_any_case(sms: Sms, owner: Any, named: Answer) -> None:
    assert (named.status, named.text) == (204, "")
    for name in ("Foo", "foo", "fOO"):
        assert sms.head(wire.web2(owner.address, name)) == 204


@case(8)
def test_a_named_secret_that_is_not_there(sms: Sms, stranger: Any) -> None:
    assert sms.head(wire.web2(stranger.address, "foo")) == 404


@case(9)
def test_a_named_secret_by_another(sms: Sms, owner: Any, stranger: Any) -> None:
    said = sms.web2(owner, "bar", "x", signer=stranger)
    assert (said.status, said.text) == (401, "")
    assert sms.head(wire.web2(owner.address, "bar")) == 404


@case(10)
def test_a_named_secret_that_is_too_large(sms: Sms, owner: Any) -> None:
    said = sms.web2(owner, "large", LARGE)
    assert (said.status, said.text) == (413, "")
    assert sms.head(wire.web2(owner.address, "large")) == 404
    assert sms.web2(owner, "largest", LARGEST).status == 204


@case(11)
def test_a_second_named_secret_under_the_name_in_any_case(sms: Sms, owner: Any, named: Answer) -> None:
    for name in ("Foo", "foo"):
        said = sms.web2(owner, name, "other")
        assert (said.status, said.text) == (409, "")


@case(13)
def test_a_new_value_by_another(sms: Sms, owner: Any, named: Answer, stranger: Any) -> None:
    assert sms.web2(owner, "Foo", "evil", signer=stranger, method="PUT").status == 401


@case(14)
def test_a_new_value_that_is_too_large(sms: Sms, owner: Any, named: Answer) -> None:
    assert sms.web2(owner, "Foo", LARGE, method="PUT").status == 413


@case(15)
def test_a_new_value_for_nothing(sms: Sms, stranger: Any) -> None:
    assert sms.web2(stranger, "foo", "bar", method="PUT").status == 404
    assert sms.head(wire.web2(stranger.address, "foo")) == 404


@case(16, 17)
def test_a_new_value_and_the_same_again(sms: Sms, owner: Any, named: Answer) -> None:
    for name in ("Foo", "foo", "Foo"):
        said = sms.web2(owner, name, "new", method="PUT")
        assert (said.status, said.text) == (204, "")


@case(18, 23)
def test_an_app_secret_is_taken_and_there(sms: Sms, app: Kept) -> None:
    assert (app.said.status, app.said.text) == (204, "")
    assert sms.head(wire.app(app.address)) == 204


@case(19)
def test_an_app_secret_by_a_stranger(sms: Sms, stranger: Any) -> None:
    address = some_address()
    assert sms.app(address, "x", stranger).errors == UNAUTHORISED
    assert sms.head(wire.app(address)) == 404


@case(19)
def test_an_app_secret_by_another_than_the_owner(sms: Sms, empty: tuple[str, str], stranger: Any) -> None:
    assert sms.app(empty[0], "x", stranger).errors == UNAUTHORISED
    assert sms.head(wire.app(empty[0])) == 404


@case(20, 37)
def test_a_second_app_secret(sms: Sms, app: Kept, world: World) -> None:
    assert sms.app(app.address, "another", world.wallet).errors == EXISTS


@case(21, 22)
def test_an_app_secret_of_4097_and_of_4096_bytes(sms: Sms, empty: tuple[str, str], world: World) -> None:
    assert sms.app(empty[0], LARGE, world.wallet).errors == (413, TOO_LARGE)
    assert sms.head(wire.app(empty[0])) == 404
    assert sms.app(empty[0], LARGEST, world.wallet).status == 204


@case(24)
def test_an_app_secret_that_is_not_there(sms: Sms) -> None:
    assert sms.head(wire.app(some_address())) == 404


@case(25, 32)
def test_a_requester_secret_is_taken_and_there(sms: Sms, owner: Any, one: Answer) -> None:
    assert (one.status, one.text) == (204, "")
    for address in (owner.address, owner.address.lower()):
        assert sms.head(wire.requester(address, "one")) == 204


@case(26)
def test_a_requester_secret_by_another(sms: Sms, owner: Any, stranger: Any) -> None:
    assert sms.requester(owner, "two", "x", signer=stranger).errors == UNAUTHORISED
    assert sms.requester(owner, LONG_KEY, "x", signer=stranger).errors == UNAUTHORISED  # before the key
    assert sms.head(wire.requester(owner.address, "two")) == 404


@case(27, 37)
def test_a_second_requester_secret(sms: Sms, owner: Any, one: Answer) -> None:
    assert sms.requester(owner, "one", "another").errors == EXISTS


@pytest.mark.parametrize(
    "key", [pytest.param(LONG_KEY, marks=case(28, 34, 40)), pytest.param(ODD_KEY, marks=case(29, 35, 41))]
)
def test_a_requester_key_that_cannot_be(sms: Sms, owner: Any, key: str) -> None:
    assert sms.requester(owner, key, "x").errors == BAD_KEY
    assert sms.requester(owner, key, LARGE).errors == BAD_KEY  # before the size
    assert sms.head(wire.requester(owner.address, key)) == 400
    assert sms.head(wire.requester(owner.address, key[:20])) == 404


@case(30, 31)
def test_a_requester_secret_of_4097_and_of_4096_bytes(sms: Sms, owner: Any) -> None:
    assert sms.requester(owner, "large", LARGE).errors == (400, TOO_LARGE)
    assert sms.head(wire.requester(owner.address, "large")) == 404
    assert sms.requester(owner, "large", LARGEST).status == 204


@case(33)
def test_a_requester_secret_that_is_not_there(sms: Sms, stranger: Any) -> None:
    assert sms.head(wire.requester(stranger.address, "one")) == 404


@case(36)
def test_app_and_requester_secret_are_both_there(
    sms: Sms, app: Kept, owner: Any, one: Answer, localnet: dict[str, Any] | None
) -> None:
    assert sms.head(wire.app(app.address)) == 204
    assert sms.head(wire.requester(owner.address, "one")) == 204
    if localnet is not None:  # of another's disk nothing can be said
        files = [path for path in (Path(localnet["state_dir"]) / "sms").rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"sms.sqlite", "sms.key"}
        for path in files:
            assert app.value.encode() not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0


@case(38)
def test_the_same_app_in_upper_case(sms: Sms, app: Kept, world: World) -> None:
    upper = "0x" + app.address[2:].upper()
    assert sms.app(upper, "another", world.wallet).errors == EXISTS


@case(39)
def test_three_requester_keys(sms: Sms, stranger: Any) -> None:
    keys = ("key", "KEY", "0-_" + "k" * 61)  # case counts; 64 characters are the most
    for key in keys:
        assert sms.requester(stranger, key, key).status == 204
    for key in keys:
        assert sms.head(wire.requester(stranger.address, key)) == 204
