"""The genesis of a localnet's chain: PoCo freshly deployed, kept in the user's cache, warm for every start.

One state per toolchain and recipe, named by its SHA-256, so that two writers never clash and a
damaged file is noticed. A network that others share has accounts of its own, from a phrase in its state
folder, and PoCo deployed for them; it is not cached.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.core.files import create_private, private_dir, write_atomic
from workflows.localnet import deployment as recipe
from workflows.localnet.anvil import Anvil
from workflows.localnet.deployment import CHAIN_ID, Deployment
from workflows.localnet.toolchain import Toolchain

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


PHRASE = "chain/phrase"  # of a state folder whose accounts are its own


def account(role: str, state: Path | None = None) -> LocalAccount:
    """The signing account of a role of the localnet in this state folder: play money only. KeyError: no such role.

    Its phrase is the one in the folder, else anvil's, which is public.
    """
    from eth_account import Account

    if role not in recipe.ROLES:
        raise KeyError(role)
    Account.enable_unaudited_hdwallet_features()
    path = f"m/44'/60'/0'/0/{recipe.ROLES.index(role)}"
    found: LocalAccount = Account.from_mnemonic(_phrase(state), account_path=path)
    return found


def own_accounts(state: Path) -> bool:
    """Whether the accounts of this state folder are its own, and not the public ones."""
    return (state / PHRASE).exists()


def make_accounts(state: Path) -> None:
    """Give a state folder accounts of its own, for good."""
    from eth_account import Account

    Account.enable_unaudited_hdwallet_features()
    private_dir((state / PHRASE).parent)
    create_private(state / PHRASE, Account.create_with_mnemonic(num_words=24)[1])


def _phrase(state: Path | None) -> str:
    if state is None or not own_accounts(state):
        return recipe.MNEMONIC
    return (state / PHRASE).read_text(encoding="utf-8").strip()


def folder(tools: Toolchain) -> Path:
    """Where the state of these tools and this recipe is cached."""
    from platformdirs import user_cache_path

    text = Path(recipe.__file__).read_bytes()
    key = hashlib.sha256(tools.lock.encode() + text).hexdigest()[:16]
    return user_cache_path("creamtea") / "chain" / key


async def prepared(tools: Toolchain, log: Path, warn: Callable[[str], None]) -> tuple[Path, Deployment]:
    """The state and where PoCo is in it: from the cache if whole, else deployed now (about two seconds)."""
    home = folder(tools)
    manifest = home / "genesis.json"
    if not manifest.exists():
        return await build(tools, log)
    try:
        record = json.loads(manifest.read_bytes())
        digest = str(record["sha256"])
        state = home / f"{digest}.json"
        if hashlib.sha256(await asyncio.to_thread(state.read_bytes)).hexdigest() != digest:
            raise ValueError("its hash differs")
        return state, Deployment.from_document(record["deployment"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn(f"The prepared chain in the cache is damaged ({error}); PoCo is deployed again.")
        return await build(tools, log)


async def build(tools: Toolchain, log: Path) -> tuple[Path, Deployment]:
    """Deploy PoCo on an empty chain and keep the result."""
    content, deployment = await _deployed(tools, log)
    home = private_dir(folder(tools))
    digest = hashlib.sha256(content).hexdigest()
    state = home / f"{digest}.json"
    write_atomic(state, content)
    record = {"v": 1, "sha256": digest, "deployment": deployment.document()}
    write_atomic(home / "genesis.json", json.dumps(record))
    return state, deployment


async def own(tools: Toolchain, log: Path, state: Path) -> tuple[Path, Deployment]:
    """PoCo deployed for the accounts of a state folder; always at the same addresses."""
    accounts = await asyncio.to_thread(lambda: [account(role, state).address for role in recipe.ROLES])
    content, deployment = await _deployed(tools, log, accounts)
    path = (state / PHRASE).with_name("genesis.json")
    write_atomic(path, content)
    return path, deployment


async def _deployed(tools: Toolchain, log: Path, accounts: Sequence[str] = ()) -> tuple[bytes, Deployment]:
    anvil = await Anvil.start(tools.anvil, CHAIN_ID, log=log, accounts=not accounts)
    try:
        deployment = await asyncio.to_thread(recipe.deploy, anvil.url, tools.poco, accounts)
        return await anvil.dump(), deployment
    finally:
        await anvil.stop()
