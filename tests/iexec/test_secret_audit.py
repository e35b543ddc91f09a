"""The audit, from facts alone: rows, who may read what, and every warning with what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.iexec.sms_vectors import DEAD, ONES
from workflows.iexec import ids, params, tags
from workflows.iexec.orders import AppOrder, DatasetOrder, Order, RequestOrder
from workflows.iexec.records import Deal, Resource
from workflows.iexec.secrets.audit import Report, report
from workflows.iexec.secrets.kinds import KINDS, Secret, secret
from workflows.iexec.secrets.known import Known, Made
from workflows.iexec.secrets.ledger import Push
from workflows.iexec.secrets.matrix import Advice, Facts, Held, Place, wanted

ME, DATASET, APP, OTHER = ONES.address, DEAD, ids.address("0x" + "a" * 40), ids.address("0x" + "b" * 40)
SMS = "https://sms.example.com"
SCONE = Place(SMS, ("scone",), "scone")
TDX = Place("https://tdx.example.com", ("tdx",), "tdx")
KEY = secret(KINDS["dataset-key"], DATASET)
CODE = secret(KINDS["app-secret"], APP)
RESULT = secret(KINDS["result-key"], ME)


def pin(name: str = "pin") -> Secret:
    return secret(KINDS["requester-secret"], ME, name)


def known(order: Order, left: int = 5) -> Known:
    return Known(order, "0x" + order.struct_hash().hex(), "orders.json", left)


def data(**fields: Any) -> Known:
    left = fields.pop("left", 5)
    order = {"dataset": DATASET, "volume": 10, "tag": tags.TEE_SCONE, "apprestrict": APP, **fields}
    return known(DatasetOrder(**order), left)


def request(tag: str = tags.TEE_SCONE, **wishes: Any) -> Known:
    text = params.build(**wishes).to_text()
    return known(RequestOrder(app=APP, requester=ME, beneficiary=ME, tag=tag, volume=5, params=text))


def push(place: Secret, commitment: str = "aa", sms: str = SMS, **fields: Any) -> Push:
    framework = fields.pop("framework", "SCONE")
    return Push(
        sms, framework, place.kind.id, place.owner, place.name, commitment, "2026-11-27T03:00:00Z", **fields
    )


def seen(facts: Facts, *there: Secret, none: tuple[Secret, ...] = ()) -> Report:
    """The report when the SMS has these, and says nothing of `none`."""
    keys, silent = {one.key for one in there}, {one.key for one in none}
    answers = {(url, one.key): None if one.key in silent else one.key in keys for url, one in wanted(facts)}
    return report(facts, answers)


def facts(*orders: Known, **fields: Any) -> Facts:
    base = Facts((SCONE,), app=APP, dataset=DATASET, places=(KEY, CODE, RESULT), orders=orders)
    return replace(base, **fields)


def names(found: Report, level: str = "act") -> list[str]:
    return [one.name for one in found.warnings if one.level == level]


def only(found: Report, name: str) -> Advice:
    [warning] = [one for one in found.warnings if one.name == name]
    assert warning.text and warning.hint
    return warning


def row(found: Report, place: Secret) -> dict[str, Any]:
    [one] = [one for one in found.rows if one.secret.key == place.key]
    return one.document()


def test_a_project_has_its_rows_before_anything_is_pushed() -> None:
    found = seen(facts())
    assert [one.secret.kind.id for one in found.rows] == ["dataset-key", "app-secret", "result-key"]
    assert {one.state for one in found.rows} == {"absent"}
    assert not found.act and not found.warnings


def test_a_row_tells_who_may_read_until_when_and_whether_it_can_change() -> None:
    orders = (data(), data(workerpoolrestrict=OTHER, requesterrestrict=ME, datasetprice=10**9, left=1))
    found = seen(facts(*orders, pushes=(push(KEY),), held=(Held(KEY, "k", "aa"),)), KEY)
    told = row(found, KEY)
    assert (told["state"], told["same"], told["commitment"], told["confirmed"]) == ("set", True, "aa", True)
    assert told["forever"] and "another dataset" in told["change"]
    first, second = told["uses"]
    assert (first["app"], first["workerpool"], first["requester"]) == (APP, None, None)
    assert (second["workerpool"], second["requester"], second["price"], second["left"]) == (
        OTHER,
        ME,
        10**9,
        1,
    )
    assert "any requester" in first["sentence"] and "5 of 10 left" in first["sentence"]
    assert "1 RLC each" in second["sentence"]
    assert "used up, cancelled" in told["until"]
    assert names(found) == [] and names(found, "know") == ["many_orders"]
    assert only(found, "many_orders").text.endswith("for any requester")
    mine = (data(requesterrestrict=ME), data(requesterrestrict=ME, left=2))
    assert "any requester" not in only(seen(facts(*mine), KEY), "many_orders").text


def test_a_changed_app_without_the_secret_of_the_one_before_is_warned_of() -> None:
    before = push(secret(KINDS["app-secret"], OTHER))
    left = facts(pushes=(before,), former=frozenset({OTHER.lower()}))
    warning = only(seen(left), "not_carried_over")
    assert warning.level == "act" and f"--app {APP}" in warning.hint
    assert [seen(left).rows[number].secret for number in warning.rows] == [CODE]
    assert names(seen(left, CODE)) == ["gone"], "the app has its own now"
    assert "not_carried_over" not in names(seen(left, none=(CODE,))), "the SMS did not say"
    assert "not_carried_over" not in names(seen(replace(left, former=frozenset()))), "of another project"
    dropped = replace(left, pushes=(before, push(CODE)))
    assert "not_carried_over" not in names(seen(dropped)), "that it is gone is told already"


def test_a_dataset_order_for_any_app_is_warned_of() -> None:
    found = seen(facts(data(apprestrict=ids.ZERO_ADDRESS)), KEY)
    warning = only(found, "open_dataset")
    assert warning.level == "act" and "ANY app" in warning.text and warning.rows == (0,)
    assert "creamtea secrets cancel 0x" in warning.hint
    assert "ANY app" in row(found, KEY)["uses"][0]["sentence"]
    assert names(seen(facts(data(apprestrict=ids.ZERO_ADDRESS, left=0)), KEY)) == [], "used up or cancelled"


ENDLESS = (1 << 53) - 1


def test_an_order_that_bulk_processing_takes_is_told() -> None:
    found = seen(facts(data(volume=ENDLESS, left=ENDLESS)), KEY)
    assert names(found) == [] and names(found, "know") == ["bulk_order"]
    warning = only(found, "bulk_order")
    assert "does not count" in warning.text and "creamtea secrets cancel 0x" in warning.hint
    (use,) = row(found, KEY)["uses"]
    assert use["bulk"] and use["sentence"].endswith(", 0 RLC each: endless, and in bulk for nothing")
    few = seen(facts(data(volume=ENDLESS - 2, left=ENDLESS - 2)), KEY)
    assert not few.warnings and not row(few, KEY)["uses"][0]["bulk"]
    assert not seen(facts(data(volume=ENDLESS, left=0)), KEY).warnings, "cancelled"


def test_an_endless_order_with_a_price_is_free_in_bulk() -> None:
    found = seen(facts(data(volume=ENDLESS - 1, left=7, datasetprice=10**9)), KEY)
    assert names(found) == ["unpaid_bulk"] and names(found, "know") == []
    warning = only(found, "unpaid_bulk")
    assert "asks 1 RLC" in warning.text and f"below {ENDLESS - 1}" in warning.hint and warning.rows == (0,)


def test_an_open_order_without_an_enclave_is_warned_of_only_where_there_is_a_key() -> None:
    plain = data(apprestrict=ids.ZERO_ADDRESS, tag=ids.ZERO_HASH)
    assert names(seen(facts(plain))) == []
    assert names(seen(facts(plain), KEY)) == ["open_dataset"]


def test_an_order_for_an_app_of_before_is_remembered() -> None:
    found = seen(facts(data(apprestrict=OTHER, left=999)), KEY)
    assert "999" in only(found, "forgotten_order").text


@pytest.mark.parametrize(
    ("order", "place"),
    [
        (data(), KEY),
        (request(secrets={1: "pin"}), pin()),
        (request(result_encryption=True), RESULT),
        (request(storage_provider="dropbox"), secret(KINDS["dropbox-token"], ME)),
    ],
    ids=["dataset key", "requester secret", "result key", "dropbox token"],
)
def test_what_an_order_needs_and_is_not_set(order: Known, place: Secret) -> None:
    found = seen(facts(order))
    warning = only(found, "not_set")
    assert found.rows[warning.rows[0]].secret.key == place.key
    assert f"creamtea secrets push {place.kind.id}" in warning.hint
    assert row(found, place)["state"] == "missing"
    assert names(seen(facts(order), place)) == []
    assert names(seen(facts(order), none=(place,))) == [], "nobody knows"
    assert names(seen(facts(replace(order, left=0)))) == []


def test_only_the_wallet_itself_can_push_what_is_its_own() -> None:
    order = known(
        RequestOrder(
            app=APP,
            requester=ME,
            beneficiary=OTHER,
            tag=tags.TEE_SCONE,
            params='{"iexec_result_encryption":true}',
        )
    )
    found = seen(facts(order, wallet=ME))
    assert only(found, "not_set").hint.startswith("its wallet pushes it")
    assert only(seen(facts(request(result_encryption=True), wallet=ME)), "not_set").hint.startswith(
        "creamtea"
    )


def test_a_running_deal_needs_its_secrets() -> None:
    deal = Deal(
        "0x" + "22" * 32, Resource(APP, ME, 0), Resource(DATASET, ME, 0), Resource(OTHER, OTHER, 0), 0, 0,
        tags.TEE_SCONE, ME, ME, ids.ZERO_ADDRESS,
        params.build(secrets={1: "pin"}, result_encryption=True).to_text(), 0, 0, 3, 0, 0, ME,
    )  # fmt: skip
    found = seen(facts(deals=(Made(deal, 2),)), KEY, RESULT)
    assert [found.rows[number].secret for number in only(found, "not_set").rows] == [pin()]
    assert "2 tasks" in row(found, pin())["uses"][0]["sentence"]
    assert names(seen(facts(deals=(Made(deal, 0),)))) == []


def test_names_that_differ_by_case_only() -> None:
    found = seen(facts(request(secrets={1: "Pin"}), pushes=(push(pin()),)), pin())
    assert set(names(found)) == {"not_set", "case_only"}
    assert only(found, "case_only").rows == (2, 3)


def test_a_secret_in_the_sms_of_another_framework() -> None:
    tdx = tags.encode(["tee", "tdx"])
    here = facts(request(tag=tdx, secrets={1: "pin"}), sms=(SCONE, TDX), pushes=(push(pin()),))
    answers = {(url, one.key): (url, one.key) == (SMS, pin().key) for url, one in wanted(here)}
    found = report(here, answers)
    warning = only(found, "other_sms")
    assert SMS.removeprefix("https://") in warning.text and "tdx.example.com" in warning.text
    assert found.rows[warning.rows[0]].sms == TDX.url
    assert "--framework tdx" in warning.hint


def test_one_sms_for_two_frameworks_and_a_push_for_the_wrong_one() -> None:
    both = Place(SMS, ("scone", "tdx"), "tdx")
    here = facts(
        request(tag=tags.encode(["tee", "tdx"]), secrets={1: "pin"}), sms=(both,), pushes=(push(pin()),)
    )
    assert "other_framework" in names(seen(here, pin()))
    right = replace(here, pushes=(push(pin(), framework="TDX"),))
    assert names(seen(right, pin())) == []


def test_a_network_without_an_sms_for_an_order() -> None:
    found = seen(facts(request(tag=tags.encode(["tee", "gramine"]), secrets={1: "pin"})))
    assert "gramine" in only(found, "no_sms").text


def test_an_sms_that_is_silent_or_serves_something_else() -> None:
    silent = seen(facts(sms=(replace(SCONE, serves=None),)), none=(KEY, CODE, RESULT))
    assert names(silent) == ["no_answer"] and {one.state for one in silent.rows} == {"unknown"}
    assert "serves tdx" in only(seen(facts(sms=(replace(SCONE, serves="tdx"),))), "wrong_framework").text


def test_another_value_in_the_file_than_was_pushed() -> None:
    held = (Held(KEY, "data.key", "bb"), Held(RESULT, "my.pub", "bb"))
    found = seen(facts(held=held, pushes=(push(KEY), push(RESULT))), KEY, RESULT)
    first, second = (one for one in found.warnings if one.name == "other_value")
    assert "data.key" in first.text and "--replace" not in first.hint
    assert "--replace" in second.hint
    assert row(found, KEY)["same"] is False
    assert names(seen(facts(held=held, pushes=(push(KEY, "bb"), push(RESULT, "bb"))), KEY, RESULT)) == []


def test_a_push_without_an_answer_and_one_that_is_gone() -> None:
    found = seen(facts(pushes=(push(CODE, outcome="sent"),)), CODE)
    assert names(found, "know") == ["no_receipt"] and names(found) == []
    assert names(seen(facts(pushes=(push(CODE),)))) == ["gone"]
    lost = seen(facts(pushes=(push(CODE, outcome="sent"),)))
    assert names(lost, "know") == ["never_came"] and names(lost) == []


def test_a_file_that_cannot_be_pushed() -> None:
    found = seen(facts(held=(Held(CODE, "blank.txt", None, "the secret is empty or only blanks"),)))
    assert "blank.txt" in only(found, "bad_value").text


def test_a_push_to_an_sms_that_the_network_no_longer_names_has_a_row() -> None:
    here = facts(pushes=(push(CODE, sms="https://old.example.com"),))
    found = report(here, {})
    assert [one.sms for one in found.rows if one.secret == CODE] == ["https://old.example.com"]
    assert row(found, CODE)["state"] == "unknown"


@pytest.mark.parametrize(("form", "on_chain"), [("3", True), ("4", True), ("json", False)])
def test_keys_that_are_public_by_nature(form: str, on_chain: bool) -> None:
    [key] = seen(facts(forms={APP: form})).public
    assert key["on_chain"] is on_chain and key["app"] == APP and key["hint"]
    assert ("chain" in key["text"]) is on_chain


def test_an_app_order_lets_the_app_read_its_own_secret() -> None:
    order = known(AppOrder(app=APP, volume=9, tag=tags.TEE_SCONE, requesterrestrict=ME))
    found = seen(facts(order), CODE)
    assert row(found, CODE)["uses"][0]["requester"] == ME and names(found) == []
    stranger = known(AppOrder(app=OTHER, volume=9, tag=tags.TEE_SCONE))
    assert OTHER not in {one.secret.owner for one in seen(facts(stranger)).rows}


def test_what_a_person_accepts_is_shown_and_asks_for_nothing() -> None:
    here = facts(data(apprestrict=OTHER, left=9), request(secrets={1: "Pin"}), pushes=(push(pin()),))
    found = seen(here, KEY, pin(), pin("Pin"))
    assert set(names(found)) == {"forgotten_order", "case_only"}
    ids = {str(one.id): "2026-11-27T09:00:00.000Z" for one in found.warnings if one.id}
    assert len(ids) == 2 and all(len(one) == 8 for one in ids)
    known = seen(replace(here, accepted=ids), KEY, pin(), pin("Pin"))
    assert not known.act and [one.accepted for one in known.warnings] == list(ids.values())
    assert [one.text for one in known.warnings] == [one.text for one in found.warnings]
    less = replace(here, orders=(data(apprestrict=OTHER, left=1), *here.orders[1:]), accepted=ids)
    assert not seen(less, KEY, pin(), pin("Pin")).act, "the same order, used since"
    another = replace(
        here, orders=(data(apprestrict=OTHER, salt="0x" + "11" * 32), *here.orders[1:]), accepted=ids
    )
    assert names(seen(another, KEY, pin(), pin("Pin"))) == ["forgotten_order"], "one order is not all of them"


def test_a_fault_cannot_be_accepted() -> None:
    here = facts(
        data(), sms=(replace(SCONE, serves="tdx"),), held=(Held(CODE, "f", "bb"),), pushes=(push(CODE),),
        noticed=(Advice("exposed_file", "act", "x", "y"),),
    )  # fmt: skip
    found = seen(here, CODE)
    assert {"wrong_framework", "not_set", "other_value", "exposed_file"} <= set(names(found))
    assert {one.id for one in found.warnings} == {None}


def test_a_secret_that_is_gone_again_is_warned_of_again() -> None:
    first = seen(facts(pushes=(push(CODE),)))
    again = replace(push(CODE), at="2026-11-28T03:00:00Z")
    assert only(first, "gone").id != only(seen(facts(pushes=(again,))), "gone").id


def test_a_changed_app_may_do_without_the_secret_of_the_one_before() -> None:
    theirs = secret(KINDS["app-secret"], OTHER)
    left = facts(pushes=(push(theirs),), former=frozenset({OTHER.lower()}))
    accepted = {str(only(seen(left, theirs), "not_carried_over").id): "2026-11-27T09:00:00.000Z"}
    assert not seen(replace(left, accepted=accepted), theirs).act
    later = replace(left, app=DEAD, places=(secret(KINDS["app-secret"], DEAD),), accepted=accepted)
    assert names(seen(later, theirs)) == ["not_carried_over"], "the next one is another"
