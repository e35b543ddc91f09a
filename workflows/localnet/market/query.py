"""What a list of orders may be asked for, kind by kind (iexec-market-api `api/openapi.yaml`, `services/order.js`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

from workflows.iexec import ids, tags
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.orders import DatasetOrder, Order
from workflows.localnet.market.book import Published

_ANY = "any"
_PAGE, _LARGEST_PAGE = 20, 1000
_TOO_LARGE = 1 << 53  # for a number of JavaScript


@dataclass(frozen=True)
class Shape:
    """`same`: query → field that must equal it; `restricts`: query → restriction that must let it pass.

    `price` sorts, the best for the other side first: the lowest, unless `dearest`.
    """

    same: Mapping[str, str]
    restricts: Mapping[str, str]
    owner: str | None
    needs: tuple[str, ...]
    price: str
    dearest: bool = False


SHAPES = {
    "apporder": Shape(
        {"app": "app"},
        {name: f"{name}restrict" for name in ("dataset", "workerpool", "requester")},
        "appOwner", ("app", "appOwner"), "appprice",
    ),
    "datasetorder": Shape(
        {"dataset": "dataset"},
        {name: f"{name}restrict" for name in ("app", "workerpool", "requester")},
        "datasetOwner", ("dataset", "datasetOwner"), "datasetprice",
    ),
    "workerpoolorder": Shape(
        {"workerpool": "workerpool"},
        {name: f"{name}restrict" for name in ("app", "dataset", "requester")},
        "workerpoolOwner", (), "workerpoolprice",
    ),
    "requestorder": Shape(
        {name: name for name in ("requester", "beneficiary", "app", "dataset")},
        {"workerpool": "workerpool"},
        None, (), "workerpoolmaxprice", dearest=True,
    ),
}  # fmt: skip


def in_bulk(order: Order) -> bool:
    """Whether it is a dataset order that bulk processing takes: free and endless."""
    return isinstance(order, DatasetOrder) and order.endless and order.datasetprice == 0


class Query:
    """A checked query of one kind; ValueError says which value is wrong, in the words of iExec's market."""

    def __init__(self, kind: str, given: Mapping[str, str]) -> None:
        shape = SHAPES[kind]
        if shape.needs and not any(given.get(name) for name in shape.needs):
            raise ValueError(f"{' or '.join(shape.needs)} is required")
        self._given = given
        self._shape = shape
        self.kind = kind
        self.page = self._number("pageIndex") or 0
        self.size = min(self._number("pageSize") or _PAGE, _LARGEST_PAGE)
        self.least_volume = self._number("minVolume") or 1
        self.category = self._number("category")
        self._owner = self._address(shape.owner)
        self._same = {field: self._address(name) for name, field in shape.same.items()}
        self._allowed = {
            field: self._passing(name) for name, field in shape.restricts.items() if given.get(name) != _ANY
        }
        self._least_tag, self._most_tag = self._tag("minTag"), self._tag("maxTag")
        self._bulk = given.get("bulkOnly") == "true"
        self._least_trust, self._most_trust = self._number("minTrust"), self._number("maxTrust")

    def wants(self, one: Published) -> bool:
        """Whether a published order is asked for, whatever is left of it."""
        values = vars(one.order)
        tag, trust, category = values["tag"], values.get("trust"), values.get("category")
        return (
            self._owner in (None, one.signer)
            and all(wanted in (None, values[field]) for field, wanted in self._same.items())
            and all(values[field] in allowed for field, allowed in self._allowed.items())
            and (self.category is None or category in (None, self.category))
            and (self._least_tag is None or not tags.missing(self._least_tag, tag))
            and (self._most_tag is None or not tags.missing(tag, self._most_tag))
            and (not self._bulk or in_bulk(one.order))
            and (trust is None or (self._least_trust or 0) <= max(trust, 1))
            and (trust is None or self._most_trust is None or trust <= self._most_trust)
        )

    def sort(self, found: list[Published]) -> list[Published]:
        """The best offer first, the older of equal ones first."""
        price = attrgetter(f"order.{self._shape.price}")
        return sorted(found, key=price, reverse=self._shape.dearest)

    def _passing(self, name: str) -> set[str]:
        """What a restriction may be: nobody's, unless it must be strict, and the one asked for."""
        strict = self._given.get(f"is{name.capitalize()}Strict") == "true"
        return {self._address(name) or ZERO_ADDRESS} | (set() if strict else {ZERO_ADDRESS})

    def _address(self, name: str | None) -> str | None:
        text = self._given.get(name or "")
        if not text or text == _ANY:
            return None
        try:
            return ids.address(text.lower())
        except ValueError:
            raise ValueError(f"{name} is not a valid ethereum address") from None

    def _tag(self, name: str) -> str | None:
        text = self._given.get(name)
        try:
            return ids.hash32(text) if text else None
        except ValueError:
            raise ValueError(f"{name} must be a bytes32 hexstring") from None

    def _number(self, name: str) -> int | None:
        text = self._given.get(name)
        if text and not (text.isascii() and text.isdigit() and len(text) < 17 and int(text) < _TOO_LARGE):
            raise ValueError(f"{name} must be a positive integer")
        return int(text) if text else None
