"""What the secrets step and `creamtea secrets` share: the ledger of pushes and the key pair for results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.core.failure import Missing
from workflows.core.files import private_dir
from workflows.core.step import Context
from workflows.steps import chosen_network, clients, signing

if TYPE_CHECKING:
    from workflows.iexec.keys import KeyPair
    from workflows.iexec.networks import Network
    from workflows.iexec.secrets.kinds import Secret
    from workflows.iexec.secrets.ledger import Ledger

_FOLDER = "beneficiary"


def ledger(ctx: Context) -> Ledger:
    """What was pushed from here on the chosen network; a person's own, across projects."""
    from workflows.iexec.secrets.ledger import Ledger

    return Ledger(chosen_network.user_state(ctx) / "secrets")


def former_apps(ctx: Context, address: str | None) -> frozenset[str]:
    """The other apps that the project was, in lower case; of the chosen network, or of another."""
    done = [entry.data.get("outputs") for entry in ctx.journal.every("done", "deploy_app")]
    known = [one.get("app") for one in done if isinstance(one, Mapping)]
    known.append(ctx.manifest.get(f"networks.{chosen_network.entry(ctx).name}.app"))
    return frozenset(str(one).lower() for one in known if one) - {str(address).lower()}


def result_place(ctx: Context) -> Secret:
    """The place of the public key that results for the wallet are encrypted with."""
    from workflows.iexec.secrets.kinds import KINDS, secret

    return secret(KINDS["result-key"], signing.address(ctx))


def key_folder(ctx: Context) -> Path:
    """The SMS keeps one result key for a wallet, so all projects of a person share the pair."""
    return private_dir(chosen_network.user_state(ctx) / _FOLDER)


def pairs_of(place: Network) -> Path:
    """The folder of a person's key pairs for a network, which need not run; it need not exist."""
    return chosen_network.kept_for(place) / _FOLDER


def result_pair(ctx: Context) -> KeyPair | None:
    """The key pair that results are encrypted for: the person's own, else the SDK's of this project; or None."""
    from workflows.iexec import keys, sdk

    address = signing.address(ctx)
    mine = keys.find(chosen_network.user_state(ctx) / _FOLDER, address)
    return mine or keys.find(ctx.project / sdk.RESULT_KEYS, address)


def make_pair(ctx: Context) -> Any:
    """Make the pair where there is none, or its lost public half. Events; asks for a passphrase of a new one.

    On a SIMULATED network a new one has a passphrase where a file gives it, and nobody is asked.
    """
    from workflows.core.events import Noted, TaskChanged
    from workflows.iexec import keys

    known = result_pair(ctx)
    passphrase: str | None = None
    wanted = bool(ctx["passphrase_file"]) or not chosen_network.entry(ctx).simulated
    if wanted if known is None else known.protected:
        passphrase = yield from signing.passphrase(
            ctx, "a passphrase for the key that opens your results", new=known is None
        )
    title = "make a key pair for results (RSA 4096)"
    yield TaskChanged(task="key", title=title, state="running")
    folder = key_folder(ctx) if known is None else known.private.parent
    pair = keys.create(folder, signing.address(ctx), passphrase)
    yield TaskChanged(task="key", title=title, state="done")
    lock = "under your passphrase" if pair.protected else "NOT encrypted"
    yield Noted(
        text=f"the private key is {pair.private}, {lock}: without it no result can be read",
        hint=None
        if pair.protected
        else "on a SIMULATED network a key has a passphrase only where --passphrase-file gives one",
    )
    return pair


def whole(pair: KeyPair | None) -> bool:
    """Whether both halves of the pair are there: a kill may have come between them."""
    return pair is not None and pair.public.is_file()


def needed_pair(ctx: Context) -> KeyPair:
    """The pair, which must be there."""
    pair = result_pair(ctx)
    if pair is None:
        raise Missing("there is no key pair for results", "run the secrets step without --no-encrypt-result")
    return pair


def adopt(ctx: Context) -> None:
    """Take over what an older version remembered of the result key: a file with a hash beside the pair."""
    from workflows.iexec import keys
    from workflows.iexec.secrets.ledger import Push

    remembered, pair = (
        chosen_network.user_state(ctx) / _FOLDER / f"{signing.address(ctx)}.pushed",
        result_pair(ctx),
    )
    if pair is None or not whole(pair) or not remembered.is_file():
        return
    if remembered.read_text().strip() == hashlib.sha256(pair.public.read_bytes()).hexdigest():
        book, place, sms = ledger(ctx), result_place(ctx), clients.sms(ctx, sign=False)
        at = datetime.fromtimestamp(remembered.stat().st_mtime, timezone.utc).isoformat(
            timespec="milliseconds"
        )
        value = keys.sms_value(pair)
        book.note(
            Push(
                sms.url, "SCONE", place.kind.id, place.owner, place.name, book.commitment(place, value),
                at.replace("+00:00", "Z"),
            )
        )  # fmt: skip
    remembered.unlink()
