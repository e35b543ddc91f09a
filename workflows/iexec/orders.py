"""The four orders of PoCo: EIP-712 hashes, signatures, and their forms for the contract and for JSON.

Field names and order are the protocol's (`IexecLibOrders_v5.sol`): the types that are hashed are read off
the dataclasses. Prices are nRLC, restrictions are addresses with zero for "anyone".
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from workflows.core.failure import Failed
from workflows.iexec.ids import ZERO_ADDRESS, ZERO_HASH, address, hash32, keccak, unhex

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from typing_extensions import Self

Address: TypeAlias = str
Uint: TypeAlias = int
Bytes32: TypeAlias = str
Text: TypeAlias = str

ENDLESS = (1 << 53) - 1  # DATASET_INFINITE_VOLUME of SDK 8.22
_SOLIDITY = {"Address": "address", "Uint": "uint256", "Bytes32": "bytes32", "Text": "string"}
_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


@dataclass(frozen=True)
class Domain:
    """What a signature is bound to: one chain and one hub."""

    chain_id: int
    hub: str
    name: str = "iExecODB"
    version: str = "5.0.0"

    def separator(self) -> bytes:
        """The EIP-712 domain separator, 32 bytes."""
        return keccak(
            keccak(_DOMAIN_TYPE.encode())
            + keccak(self.name.encode())
            + keccak(self.version.encode())
            + self.chain_id.to_bytes(32, "big")
            + unhex(address(self.hub)).rjust(32, b"\0")
        )


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the four kinds share. `salt` and `sign` are empty until the order is signed."""

    kind: ClassVar[str]
    resource: ClassVar[str]  # the field whose owner signs; for a request order the signer itself

    salt: Bytes32 = ZERO_HASH
    sign: str = "0x"

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(self.kind, field, getattr(self, field.name)))

    @classmethod
    def type_string(cls) -> str:
        """The EIP-712 type, as `AppOrder(address app,…)`."""
        members = ",".join(f"{_SOLIDITY[str(f.type)]} {f.name}" for f in cls._members())
        return f"{cls.__name__}({members})"

    @classmethod
    def typehash(cls) -> bytes:
        """Keccak-256 of the type, 32 bytes."""
        return keccak(cls.type_string().encode())

    def struct_hash(self) -> bytes:
        """EIP-712 hash of the order without its signature, 32 bytes."""
        words = [self.typehash()]
        for field in self._members():
            value = getattr(self, field.name)
            if field.type == "Uint":
                words.append(value.to_bytes(32, "big"))
            elif field.type == "Text":
                words.append(keccak(value.encode()))
            else:
                words.append(unhex(value).rjust(32, b"\0"))
        return keccak(b"".join(words))

    def hash(self, domain: Domain) -> str:
        """The order hash: what is signed, consumed and presigned on this chain and hub."""
        return "0x" + keccak(b"\x19\x01" + domain.separator() + self.struct_hash()).hex()

    def sign_with(self, account: LocalAccount, domain: Domain) -> Self:
        """The order with a signature of this key, and a random salt where it had none."""
        from eth_account.messages import SignableMessage

        order = self if self.salt != ZERO_HASH else replace(self, salt=random_salt())
        message = SignableMessage(b"\x01", domain.separator(), order.struct_hash())
        return replace(order, sign="0x" + bytes(account.sign_message(message).signature).hex())

    def signer(self, domain: Domain) -> str | None:
        """The address whose key signed (65 bytes, or 64 of EIP-2098); None without a usable signature.

        A contract's signature (ERC-1271) and a presigned order are for the chain to judge: `Poco.signed`.
        """
        from eth_account import Account
        from eth_account.messages import SignableMessage

        raw = unhex(self.sign)
        if len(raw) == 64:
            s = int.from_bytes(raw[32:], "big")
            raw = raw[:32] + (s & ~(1 << 255)).to_bytes(32, "big") + bytes([27 + (s >> 255)])
        if len(raw) != 65:
            return None
        message = SignableMessage(b"\x01", domain.separator(), self.struct_hash())
        try:
            return address(Account.recover_message(message, signature=raw))
        except Exception:  # the library raises many kinds; whatever it is, nobody signed this
            return None

    def as_tuple(self) -> tuple[Any, ...]:
        """The contract's struct, signature last."""
        values = [(f.type, getattr(self, f.name)) for f in self._members()]
        return (*(unhex(value) if kind == "Bytes32" else value for kind, value in values), unhex(self.sign))

    def to_json(self) -> dict[str, str]:
        """The SDK's form in `orders.json` and on the market: numbers as text."""
        return {f.name: str(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """The order of the SDK's form; Failed names the field that is missing, unknown or wrong."""
        if not isinstance(document, Mapping):
            raise Failed(f"{cls.kind}: not a JSON object", name="invalid_order")
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(map(str, document)) - names):
            raise Failed(f"{cls.kind}: {unknown[0][:40]!r} is no field of it", name="invalid_order")
        if missing := [n for n in names - {"sign", "salt"} if n not in document]:
            raise Failed(f"{cls.kind}: {sorted(missing)[0]} is missing", name="invalid_order")
        return cls(**document)

    @classmethod
    def _members(cls) -> tuple[dataclasses.Field[Any], ...]:
        """The fields that are hashed, in the contract's order: own fields, then the salt."""
        known = {f.name: f for f in fields(cls)}
        own = [f for name, f in known.items() if name not in ("salt", "sign")]
        return (*own, known["salt"])


@dataclass(frozen=True, kw_only=True)
class AppOrder(Order):
    """The app's owner sells runs of it."""

    kind: ClassVar[str] = "apporder"
    resource: ClassVar[str] = "app"

    app: Address
    appprice: Uint = 0
    volume: Uint = 1
    tag: Bytes32 = ZERO_HASH
    datasetrestrict: Address = ZERO_ADDRESS
    workerpoolrestrict: Address = ZERO_ADDRESS
    requesterrestrict: Address = ZERO_ADDRESS


@dataclass(frozen=True, kw_only=True)
class DatasetOrder(Order):
    """The dataset's owner sells uses of it."""

    kind: ClassVar[str] = "datasetorder"
    resource: ClassVar[str] = "dataset"

    dataset: Address
    datasetprice: Uint = 0
    volume: Uint = 1
    tag: Bytes32 = ZERO_HASH
    apprestrict: Address = ZERO_ADDRESS
    workerpoolrestrict: Address = ZERO_ADDRESS
    requesterrestrict: Address = ZERO_ADDRESS

    @property
    def endless(self) -> bool:
        """Whether its volume is one that bulk processing takes; that of the first such orders was one less."""
        return self.volume >= ENDLESS - 1


@dataclass(frozen=True, kw_only=True)
class WorkerpoolOrder(Order):
    """The workerpool's owner sells computing time."""

    kind: ClassVar[str] = "workerpoolorder"
    resource: ClassVar[str] = "workerpool"

    workerpool: Address
    workerpoolprice: Uint = 0
    volume: Uint = 1
    tag: Bytes32 = ZERO_HASH
    category: Uint = 0
    trust: Uint = 0
    apprestrict: Address = ZERO_ADDRESS
    datasetrestrict: Address = ZERO_ADDRESS
    requesterrestrict: Address = ZERO_ADDRESS


@dataclass(frozen=True, kw_only=True)
class RequestOrder(Order):
    """The requester asks for `volume` tasks and says what they may cost."""

    kind: ClassVar[str] = "requestorder"
    resource: ClassVar[str] = "requester"

    app: Address
    appmaxprice: Uint = 0
    dataset: Address = ZERO_ADDRESS
    datasetmaxprice: Uint = 0
    workerpool: Address = ZERO_ADDRESS
    workerpoolmaxprice: Uint = 0
    requester: Address
    volume: Uint = 1
    tag: Bytes32 = ZERO_HASH
    category: Uint = 0
    trust: Uint = 0
    beneficiary: Address = ZERO_ADDRESS
    callback: Address = ZERO_ADDRESS
    params: Text = ""


def random_salt() -> str:
    """32 random bytes: makes two orders of equal content different."""
    return "0x" + secrets.token_hex(32)


def _checked(kind: str, field: dataclasses.Field[Any], value: Any) -> Any:
    """The value in its one form; Failed names the field."""
    try:
        if field.type == "Uint":
            if isinstance(value, str) and value.isascii() and value.isdecimal():
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 256:
                raise ValueError("not a whole number from 0 to 2^256-1")
            return value
        if field.type == "Address":
            return address(value)
        if field.type == "Bytes32":
            return hash32(value)
        if not isinstance(value, str):
            raise ValueError("not a text")
        if field.name == "sign":
            unhex(value)
        return value
    except ValueError as error:
        raise Failed(f"{kind}: {field.name} is {error}", name="invalid_order") from None


NULL_DATASET_ORDER = DatasetOrder(dataset=ZERO_ADDRESS, volume=0)

KINDS: dict[str, type[Order]] = {
    kind.kind: kind for kind in (AppOrder, DatasetOrder, WorkerpoolOrder, RequestOrder)
}
