"""Who signs on the chosen network: its wallet, and the words that open it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.events import Asked, Event
from workflows.core.failure import Failed, Missing
from workflows.core.step import Context
from workflows.steps import chosen_network

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


def account(ctx: Context) -> LocalAccount:
    """The signing account: on a simulated network that nobody shares, its requester unless a wallet is chosen.

    Missing when a password is needed that no file gives; ask first with `unlock`.
    """
    return ctx.keep(_signer(ctx), lambda: _open(ctx, None))


def unlock(ctx: Context) -> Generator[Event, Any, LocalAccount]:
    """The signing account, asking for the wallet's password if no file gives it."""
    if ctx.has(_signer(ctx)) or _public(ctx) or ctx["password_file"]:
        return account(ctx)
    found = _wallet(ctx)
    password = yield Asked(field="password", question=f"password of {found.address}", kind="secret")
    return ctx.keep(_signer(ctx), lambda: _open(ctx, str(password)))


def passphrase(ctx: Context, question: str, *, new: bool = False) -> Generator[Event, Any, str]:
    """A passphrase from its file or from the person, who gives a new one twice."""
    from workflows.iexec.wallet import read_password

    if ctx["passphrase_file"]:
        return ctx.hide(read_password(Path(str(ctx["passphrase_file"]))))
    word = str((yield Asked(field="passphrase", question=question, kind="secret")) or "")
    if new and word and word != (yield Asked(field="passphrase", question="the same again", kind="secret")):
        raise Failed("the two passphrases differ", "nothing was made: try again", name="passphrase")
    if not word:
        raise Missing("a passphrase is needed", "type one, or give --passphrase-file", name="passphrase")
    return word


def _signer(ctx: Context) -> str:
    return chosen_network.at(ctx, f"account {'' if _public(ctx) else ctx['wallet'] or ''}")


def address(ctx: Context) -> str:
    """The address that signs, without unlocking its wallet."""
    if ctx.has(_signer(ctx)) or _public(ctx):
        return str(account(ctx).address)
    return str(_wallet(ctx).address)


def _public(ctx: Context) -> bool:
    return not chosen_network.entry(ctx).own_wallet and not ctx["wallet"]


def _wallet(ctx: Context) -> Any:
    from workflows.iexec import wallet

    chosen = ctx["wallet"]
    if chosen:
        return wallet.find(str(chosen))
    known = wallet.list_wallets()
    if not known:
        raise Missing(
            "there is no wallet to sign with",
            "give --wallet and --password-file: both are in the folder that you got for this network"
            if chosen_network.entry(ctx).shared
            else f"make one with geth or the iexec SDK in {wallet.keystore_dir()}, or give --wallet FILE",
            name="no_wallet",
        )
    return known[0]


def _open(ctx: Context, password: str | None) -> LocalAccount:
    from workflows.iexec import wallet

    if _public(ctx):
        from workflows.localnet import genesis

        return genesis.account("requester", chosen_network.user_state(ctx))
    found = _wallet(ctx)
    if password is None:
        if not ctx["password_file"]:
            raise Missing("the wallet is locked", "give --password-file FILE", name="no_password")
        password = wallet.read_password(Path(str(ctx["password_file"])))
    return wallet.unlock(found, ctx.hide(password), simulated=not chosen_network.entry(ctx).own_wallet)
