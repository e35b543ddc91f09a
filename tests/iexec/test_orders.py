"""Orders against the published vectors, and against the library's own EIP-712."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.core.failure import Failed
from workflows.iexec import ids, orders
from workflows.iexec.orders import KINDS, AppOrder, DatasetOrder, Domain, Order, RequestOrder

HUB = "0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f"
BELLECOUR = Domain(134, HUB)
KEY = Account.from_key("0x" + "11" * 32)
DATASET = DatasetOrder(
    dataset="0x000000000000000000000000000000000000dead",
    volume=1,
    tag="0x" + "00" * 31 + "03",
    salt="0x" + "22" * 32,
)
TYPEHASHES = {
    "apporder": "60815a0eeec47dddf1615fe53b31d016c31444e01b9d796db365443a6445d008",
    "datasetorder": "6cfc932a5a3d22c4359295b9f433edff52b60703fa47690a04a83e40933dd47c",
    "workerpoolorder": "aa3429fb281b34691803133d3d978a75bb77c617ed6bc9aa162b9b30920022bb",
    "requestorder": "f24e853034a3a450aba845a82914fbb564ad85accca6cf62be112a154520fae0",
}

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
hashes = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())
numbers = st.integers(min_value=0, max_value=2**256 - 1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Address": addresses,
    "Uint": numbers,
    "Bytes32": hashes,
    "Text": st.text(),
}


def any_order(kind: type[Order]) -> st.SearchStrategy[Order]:
    return st.builds(kind, **{f.name: VALUES[str(f.type)] for f in fields(kind) if f.name != "sign"})


@pytest.mark.parametrize("kind", KINDS)
def test_typehash(kind: str) -> None:
    assert KINDS[kind].typehash().hex() == TYPEHASHES[kind]


@pytest.mark.parametrize(
    ("chain_id", "hub", "separator"),
    [
        (134, HUB, "f2cbd98a556869939d25b73c3fa68ba45f19932f8c9a06f744c98290ed9ef860"),
        (
            42161,
            "0x098bFCb1E50ebcA0BaA92C12eA0c3F045A1aD9f0",
            "3b211ab198ac0c745a332d34416d88c417c2f06a87bd9f0d2fdd37b242c75402",
        ),
        (
            421614,
            "0xB2157BF2fAb286b2A4170E3491Ac39770111Da3E",
            "de6e7a8f1c22386ba73ee5376e4ec7089a2d2b07ebbfce54d4cb386daa34cc92",
        ),
    ],
)
def test_domain_separator(chain_id: int, hub: str, separator: str) -> None:
    assert Domain(chain_id, hub).separator().hex() == separator


def test_dataset_order_vector() -> None:
    assert DATASET.struct_hash().hex() == "817c535281247d549919d2106462b073ec24e9f850cd338b54895283a03aadac"
    assert DATASET.hash(BELLECOUR) == "0x3e7446fa73a9bd6850f79caf198e3384be4eececd1dedb664d47042c25676949"
    signed = DATASET.sign_with(KEY, BELLECOUR)
    assert signed.sign == (
        "0x41223ac308c7b0f9d3181e88f93a41e3180dc6b9feccbf75ed87d10edeb97a7f"
        "2958e69bd3e92c1b327e4cbdd05d643092c0ed2c026ad7bf0f760b5087d40eb71b"
    )
    assert signed.signer(BELLECOUR) == "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.mark.parametrize("kind", KINDS.values())
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_hash_agrees_with_the_library(kind: type[Order], data: st.DataObject) -> None:
    order = data.draw(any_order(kind))
    names = [part.rsplit(" ", 1) for part in kind.type_string()[:-1].split("(", 1)[1].split(",")]
    message = encode_typed_data(
        {
            "name": "iExecODB",
            "version": "5.0.0",
            "chainId": 134,
            "verifyingContract": HUB,
        },
        {kind.__name__: [{"name": name, "type": solidity} for solidity, name in names]},
        {name: getattr(order, name) for _, name in names},
    )
    assert message.header == BELLECOUR.separator()
    assert message.body == order.struct_hash()


@pytest.mark.parametrize("kind", KINDS.values())
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_json_round_trip(kind: type[Order], data: st.DataObject) -> None:
    order = replace(data.draw(any_order(kind)), sign="0x1234")
    document = order.to_json()
    assert all(isinstance(value, str) for value in document.values())
    assert kind.from_json(document) == order


def test_a_signature_is_bound_to_chain_hub_and_content() -> None:
    signed = DATASET.sign_with(KEY, BELLECOUR)
    assert signed.signer(Domain(135, HUB)) != KEY.address
    assert signed.signer(Domain(134, "0x" + "01" * 20)) != KEY.address
    assert replace(signed, datasetprice=1).signer(BELLECOUR) != KEY.address


def test_short_signature() -> None:
    signed = DATASET.sign_with(KEY, BELLECOUR)
    raw = bytes.fromhex(signed.sign[2:])
    s = int.from_bytes(raw[32:64], "big") | ((raw[64] - 27) << 255)
    short = replace(signed, sign="0x" + (raw[:32] + s.to_bytes(32, "big")).hex())
    assert short.signer(BELLECOUR) == KEY.address


@pytest.mark.parametrize("sign", ["0x", "0x" + "00" * 65, "0x" + "ff" * 65, "0x" + "ff" * 64, "0x01"])
def test_no_signature_has_no_signer(sign: str) -> None:
    assert replace(DATASET, sign=sign).signer(BELLECOUR) is None


def test_signing_draws_a_salt_once() -> None:
    plain = AppOrder(app=HUB)
    first, second = plain.sign_with(KEY, BELLECOUR), plain.sign_with(KEY, BELLECOUR)
    assert len({plain.salt, first.salt, second.salt}) == 3
    assert first.sign_with(KEY, BELLECOUR).salt == first.salt


def test_contract_struct_ends_with_the_signature() -> None:
    values = DATASET.sign_with(KEY, BELLECOUR).as_tuple()
    assert values[0] == "0x000000000000000000000000000000000000dEaD"
    assert values[-2] == b"\x22" * 32
    assert len(values) == 9
    assert len(values[-1]) == 65


def test_null_dataset_order() -> None:
    assert all(int(value, 16) == 0 for value in orders.NULL_DATASET_ORDER.to_json().values() if value != "0x")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dataset": "0x12"}, "dataset"),
        ({"dataset": "0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7F"}, "dataset"),
        ({"volume": "-1"}, "volume"),
        ({"volume": "1.5"}, "volume"),
        ({"datasetprice": str(2**256)}, "datasetprice"),
        ({"tag": "0x03"}, "tag"),
        ({"sign": "zz"}, "sign"),
        ({"extra": "1"}, "extra"),
    ],
)
def test_bad_field_is_named(change: dict[str, str], named: str) -> None:
    with pytest.raises(Failed, match=named):
        DatasetOrder.from_json({**DATASET.to_json(), **change})


def test_missing_field_is_named() -> None:
    document = DATASET.to_json()
    del document["apprestrict"]
    with pytest.raises(Failed, match="apprestrict"):
        DatasetOrder.from_json(document)


def test_numbers_of_the_sdk_are_taken_either_way() -> None:
    order = RequestOrder.from_json(
        {**RequestOrder(app=HUB, requester=HUB).to_json(), "volume": 3, "trust": "2"}
    )
    assert (order.volume, order.trust) == (3, 2)


def test_ids() -> None:
    assert (
        ids.taskid("0x" + "33" * 32, 0)
        == "0xa2198913505ba0684e7b9125ca79002c1058535fa2266e5471bd84ae2a18dbf5"
    )
    assert (
        ids.dealid("0x" + "44" * 32, 0)
        == "0x1668d758a81d82fefa211eb629f8dbf50dbf024168ebea2994a6432940d38c2b"
    )
    assert ids.authorization_hash(
        "0x87ae2b87b5db23830572988fb1f51242fbc471ce", "0x" + "11" * 32, "0x" + "ee" * 20
    ) == ("0x92ccfe8ca6af2199a9ab4495cd93a9d4acce64bf9601587378e9e0b9eb355b92")


@given(raw=st.binary(min_size=20, max_size=20))
def test_checksummed_address_agrees_with_the_library(raw: bytes) -> None:
    from eth_utils.address import to_checksum_address

    assert ids.address("0x" + raw.hex()) == to_checksum_address(raw)
