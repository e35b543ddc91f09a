"""Names of the Ethereum Name Service on a chain: EIP-137, `registry.resolver(node)` and then `resolver.addr(node)`.

The `ens` of web3 8.0.0 can hash no name with pyunormalize 18.0.0, which the lock has (it gives NFC a list); the names
of networks.toml are ASCII in lower case, which needs no normalisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflows.core.failure import Failed
from workflows.core.text import clean
from workflows.iexec.ids import ZERO_ADDRESS, address

if TYPE_CHECKING:
    from workflows.iexec.hub import Hub


def is_name(text: str) -> bool:
    """Whether this is a name, and not an address."""
    return "." in text


def namehash(name: str) -> bytes:
    """The 32 bytes under which the registry knows a name."""
    from eth_utils.crypto import keccak

    node = bytes(32)
    for label in reversed(name.split(".")):
        node = keccak(node + keccak(text=label))
    return node


def resolve(chain: Hub, registry: str, name: str) -> str:
    """The address that a name has on this chain. Failed when it has none."""
    node = namehash(name)
    if not chain.has_code(registry):
        raise _none(chain, registry, name, "cannot be looked up: there is nothing at")
    resolver = _asked(chain, registry, "resolver", node)
    if resolver == ZERO_ADDRESS:
        raise _none(chain, registry, name, "is not registered in")
    found = _asked(chain, resolver, "addr", node)
    if found == ZERO_ADDRESS:
        raise _none(chain, registry, name, "has no address in")
    return found


def _asked(chain: Hub, contract: str, what: str, node: bytes) -> str:
    function: dict[str, Any] = {
        "type": "function", "name": what, "stateMutability": "view",
        "inputs": [{"name": "node", "type": "bytes32"}], "outputs": [{"name": "", "type": "address"}],
    }  # fmt: skip
    functions = chain.w3.eth.contract(address=address(contract), abi=[function]).functions  # type: ignore[call-overload]
    return address(chain.read(functions[what](node)))


def _none(chain: Hub, registry: str, name: str, why: str) -> Failed:
    return Failed(
        f"the workerpool {clean(name)} {why} the ENS registry {registry} of chain {chain.chain_id()}",
        "Choose another with --workerpool ADDRESS, or correct the network's workerpool or ens.",
        name="ens",
    )
