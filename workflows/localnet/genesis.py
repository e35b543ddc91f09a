"""The genesis of a localnet's chain: PoCo freshly deployed, kept in the user's cache, warm for every start.

One state per toolchain and recipe, named by its SHA-256, so that two writers never clash and a
damaged file is noticed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.core.files import private_dir, write_atomic
from workflows.localnet import deployment as recipe
from workflows.localnet.anvil import Anvil
from workflows.localnet.deployment import CHAIN_ID, Deployment
from workflows.localnet.toolchain import Toolchain

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


def account(role: str) -> LocalAccount:
    """The signing account of a role, from anvil's public phrase: play money only. KeyError: no such role."""
    from eth_account import Account

    if role not in recipe.ROLES:
        raise KeyError(role)
    Account.enable_unaudited_hdwallet_features()
    path = f"m/44'/60'/0'/0/{recipe.ROLES.index(role)}"
    found: LocalAccount = Account.from_mnemonic(recipe.MNEMONIC, account_path=path)
    return found


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
    anvil = await Anvil.start(tools.anvil, CHAIN_ID, log=log)
    try:
        deployment = await asyncio.to_thread(recipe.deploy, anvil.url, tools.poco)
        content = await anvil.dump()
    finally:
        await anvil.stop()
    home = private_dir(folder(tools))
    digest = hashlib.sha256(content).hexdigest()
    state = home / f"{digest}.json"
    write_atomic(state, content)
    record = {"v": 1, "sha256": digest, "deployment": deployment.document()}
    write_atomic(home / "genesis.json", json.dumps(record))
    return state, deployment
