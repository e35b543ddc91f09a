"""Giving a secret to the SMS, ending an order, accepting a warning: `creamtea secrets push`, `cancel`, `accept`."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflows.commands import inventory
from workflows.core.command import Result
from workflows.core.events import Asked, Event, Noted, TaskChanged
from workflows.core.failure import Cancelled, Failed, Missing
from workflows.core.text import shorten
from workflows.steps import chosen_network, clients, keyring, signing

if TYPE_CHECKING:
    from workflows.core.step import Context
    from workflows.iexec.secrets.kinds import Kind, Secret
    from workflows.iexec.secrets.ledger import Push
    from workflows.iexec.sms import Sms


def push(ctx: Context, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
    """Push one secret, once all that can be known beforehand is right and the person agreed."""
    from workflows.iexec.secrets import service, values

    place = yield from place_of(ctx, options)
    asked = inventory.sms(ctx, options["framework"])
    _serves(asked.framework(), options["framework"])
    account = yield from signing.unlock(ctx)
    _may(ctx, place, account.address)
    book = keyring.ledger(ctx)
    last = book.last(asked.url, place)  # one that cannot be read is told now, not when the value is gone
    there = service.is_set(asked, place)
    at_hand = options["from"] or inventory.project_key(ctx, place.owner)
    if there and place.kind.forever and not at_hand:  # nobody types a value in vain
        raise _exists(place, last)
    value, pair = yield from _value(ctx, place, options)
    same = last is not None and last.commitment == book.commitment(place, value)
    if there and same and last is not None and last.outcome == "stored":
        return _pushed(ctx, asked, place, pair, pushed=False, replaced=False)
    if there and (place.kind.forever or not options["replace"]):
        raise _exists(place, last, same=same)
    for oddity in values.oddities(value):
        yield Noted(level="warning", text=f"look at the value: {oddity}, and is sent as it is")
    yield from _before(ctx, place, book, there)
    question = f"{'Replace' if there else 'Push'} the {place.title} of {shorten(place.owner)}?"
    if not (yield Asked(field="push", question=question, kind="confirm")):
        raise Cancelled("nothing was pushed", "nothing was sent")
    title = f"push the {place.title}"
    yield TaskChanged(task="push", title=title, state="running")
    service.push(inventory.sms(ctx, options["framework"], sign=True), book, place, value, replace=there)
    yield TaskChanged(task="push", title=title, state="done")
    return _pushed(ctx, asked, place, pair, pushed=True, replaced=there)


def _pushed(ctx: Context, sms: Sms, place: Secret, pair: Any, *, pushed: bool, replaced: bool) -> Result:
    push = keyring.ledger(ctx).last(sms.url, place)
    key = pair and {"private": str(pair.private), "public": str(pair.public), "protected": pair.protected}
    return Result(
        {
            "action": "push", **where(ctx, sms, place), "pushed": pushed, "replaced": replaced,
            "pushed_at": push and push.at, "commitment": push and push.commitment,
            "forever": place.kind.forever, "key": key,
        }
    )  # fmt: skip


def cancel(ctx: Context, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
    """End an order that is known here: what is left of its volume can be matched no more."""
    found = (yield from inventory.take(ctx, options)).facts.orders
    wanted = str(options.get("kind") or "").lower()
    known = next(
        (one for one in found if wanted in (one.hash, shorten(one.hash))), None
    )  # as it is shown, too
    if known is None:
        raise Missing(
            f"no order {wanted[:80]!r} is known here", "creamtea secrets list names them; give --orders FILE if it is "
            "in another file", name="no_order",
        )  # fmt: skip
    yield from signing.unlock(ctx)
    document = {
        "action": "cancel",
        "network": chosen_network.entry(ctx).name,
        "order": known.hash,
        "kind": known.order.kind,
    }
    if known.left:
        yield Noted(
            level="warning", text=f"{known.order.kind} {known.hash}: {known.left:,} uses are left, none will be; "
            "deals that were made of it go on",
        )  # fmt: skip
        if not (yield Asked(field="cancel", question="Sign and cancel the order?", kind="confirm")):
            raise Cancelled("the order was not cancelled", "nothing was sent")
        chain = clients.poco(ctx)
        yield TaskChanged(task="cancel", title="cancel the order", state="running")
        receipt = chain.run(lambda: chain.cancel_order(known.order))
        yield TaskChanged(
            task="cancel", title="cancel the order", state="done", detail=f"block {receipt.block}"
        )
        return Result({**document, "left": 0, "tx": receipt.hash})
    return Result({**document, "left": 0, "tx": None})


def accept(ctx: Context, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
    """Remember that a warning of the audit is meant to be so, or take that back. Nothing is signed or sent."""
    wanted = str(options["kind"]).lower()
    warnings = (yield from inventory.take(ctx, options)).report.warnings
    known = next((one for one in warnings if one.id == wanted), None)
    if known is None:
        raise Missing(
            f"the audit has no warning {wanted[:40]!r} that can be accepted",
            "creamtea secrets audit shows the ids; what has none is a fault, to be mended",
            name="usage",
        )
    at = keyring.ledger(ctx).accept(wanted, known.text, undo=options["undo"])
    return Result(
        {
            "action": "accept", "network": chosen_network.entry(ctx).name, "id": wanted, "name": known.name,
            "text": known.text, "accepted": at,
        }
    )  # fmt: skip


def _serves(served: str, wanted: str) -> None:
    if served.lower() != wanted:
        raise Failed(
            f"this SMS serves {served}, not {wanted.upper()}: what is pushed there would not be found",
            "choose the network or --framework that your orders' tag asks for; nothing was sent",
            name="sms_framework",
        )


def _may(ctx: Context, place: Secret, signer: str) -> None:
    """Failed when the SMS would refuse the signer, before a value is asked for."""
    owner = place.owner if place.kind.thing == "wallet" else clients.poco(ctx, sign=False).owner(place.owner)
    if owner != signer:
        whose = place.title if place.kind.thing == "wallet" else f"{place.kind.thing} {place.owner}"
        raise Failed(
            f"the wallet is {signer}, and the owner of the {whose} is {owner}",
            "sign with the owner's --wallet: the SMS takes a secret from nobody else",
            name="not_allowed",
        )


def _exists(place: Secret, last: Push | None, *, same: bool | None = None) -> Failed:
    """What is in the way. `last`: what was pushed there from here; `same`: whether that was this value."""
    there = f"the SMS has the {place.title} of {place.owner} already"
    if last is None:
        known = "not from here, as far as this machine knows"
    elif last.outcome == "sent":
        what = "it may well be this value" if same else "another value" if same is False else "a value"
        known = f"{what}{':' * bool(same)} sent from here on {last.at[:10]} without an answer"
    else:
        known = f"{'another value, ' * (same is False)}pushed from here on {last.at[:10]}"
    if place.kind.forever:
        return Failed(
            f"{there}, {known}; it can never be changed or read back",
            f"{place.kind.change.removeprefix('never: ')}; creamtea secrets check --from FILE compares",
            name="secret_exists",
        )
    return Failed(f"{there}, {known}", "replace it with --replace", name="secret_exists")


def _before(ctx: Context, place: Secret, book: Any, there: bool) -> Generator[Event, Any, None]:
    """What the push does, said before it is confirmed."""
    kind = place.kind
    yield Noted(text=f"read by      {kind.reader}")
    if kind.forever:
        yield Noted(
            level="warning",
            text=f"{place.title} of {place.owner}: for ever, it can never be changed, read back or deleted",
        )
    else:
        yield Noted(text=f"{place.title} of {place.owner}: {kind.change}")
    if kind.slot == "web2" and place.name != place.name.lower():
        yield Noted(level="warning", text=f"the SMS keeps the name in lower case: {place.name.lower()}")
    if kind.slot == "requesters":
        for push in book.pushes():
            other = push.secret
            alike = other.kind.slot == "requesters" and other.name.lower() == place.name.lower()
            if alike and other.owner == place.owner and other.name != place.name:
                yield Noted(
                    level="warning",
                    text=f"{other.name} was pushed before: it differs by case only, and is another secret",
                )
    if there:
        yield Noted(level="warning", text="the SMS has one already; the old value is lost with this push")


# The place and the value


def meant(options: Mapping[str, Any]) -> None:
    """Missing when the words of the command mean nothing; told before any network is asked."""
    from workflows.iexec.ids import ZERO_ADDRESS
    from workflows.iexec.secrets.kinds import secret

    action, word, name = options.get("action") or "list", options.get("kind"), options.get("name")
    if action in ("list", "audit") and word:
        raise Missing(
            f"{action} takes no {word!r:.40}: it shows all", "creamtea secrets check KIND asks for one", name="usage"
        )  # fmt: skip
    if action == "cancel" and not word:
        raise Missing("which order?", "give its hash: creamtea secrets list shows it", name="usage")
    if action == "accept" and not word:
        raise Missing("which warning?", "give its id: creamtea secrets audit shows it", name="usage")
    if action not in ("push", "check"):
        return
    kind = _kind(options)
    if name and kind.name is not None:
        raise Missing(
            f"the {kind.title} has no name of its own",
            "leave --name out: there is one for each owner",
            name="usage",
        )
    if name:
        secret(kind, ZERO_ADDRESS, name)


def _kind(options: Mapping[str, Any]) -> Kind:
    from workflows.iexec.secrets.kinds import KINDS, kind_of

    if not options.get("kind"):
        raise Missing("which kind of secret?", f"one of {', '.join(KINDS)}", name="usage")
    return kind_of(str(options["kind"]))


def place_of(ctx: Context, options: Mapping[str, Any]) -> Generator[Event, Any, Secret]:
    """Which secret is meant; asks for the name that is missing."""
    from workflows.iexec.secrets.kinds import secret

    kind = _kind(options)
    name = options.get("name")
    if kind.name is None and not name:
        question = f"name of the {kind.title}, 1 to 64 of 0-9 A-Z a-z _ -"
        name = str((yield Asked(field="name", question=question, kind="text")) or "").strip()
    if kind.thing == "wallet":
        return secret(kind, options.get("owner") or signing.address(ctx), name)
    owner = inventory.thing(ctx, kind.thing, options.get(kind.thing))
    if owner is None:
        raise Missing(
            f"this project has no {kind.thing} on {chosen_network.entry(ctx).name}", f"give --{kind.thing} ADDRESS",
            name=f"no_{kind.thing}",
        )  # fmt: skip
    return secret(kind, owner, name)


def _value(ctx: Context, place: Secret, options: Mapping[str, Any]) -> Generator[Event, Any, tuple[str, Any]]:
    """The value, checked, and the key pair if it is a result key: from a file, standard input, or the person."""
    from workflows.iexec import dataset, keys
    from workflows.iexec.secrets.values import checked

    kind = place.kind
    if options["from"]:
        return given(kind, options["from"]), None
    if kind.id == "result-key":
        pair = keyring.result_pair(ctx)
        if not keyring.whole(pair):
            pair = yield from keyring.make_pair(ctx)
        assert pair is not None  # noqa: S101 - made just now
        yield Noted(text=f"public key {pair.public}")
        if not pair.protected and (options["passphrase_file"] or not chosen_network.entry(ctx).simulated):
            yield Noted(
                level="warning", text=f"{pair.private} is not encrypted: whoever reads it reads your results",
                hint=f"openssl pkcs8 -topk8 -in {pair.private} gives it a passphrase",
            )  # fmt: skip
        return keys.sms_value(pair), pair
    file = inventory.project_key(ctx, place.owner) if kind.id == "dataset-key" else None
    if file is not None:
        yield Noted(text=f"the key is that of {file}")
        return dataset.key_text(dataset.read_key(file)), None
    flag = "--from FILE, or --from - for standard input"
    question = f"value of the {place.title} ({kind.form}; not shown)"
    typed = str((yield Asked(field="value", question=question, kind="secret", flag=flag)) or "")
    value = checked(kind, typed)
    if typed != (yield Asked(field="value", question="the same again", kind="secret", flag=flag)):
        raise Failed("the two values differ", "nothing was sent: try again", name="bad_value")
    return value, None


def given(kind: Kind, source: str) -> str:
    """The value of `--from`, checked."""
    from workflows.iexec import keys
    from workflows.iexec.secrets import values

    if kind.id == "result-key":
        if source == "-":
            raise Missing("a result key comes from a file", "give --from <0xaddress>_key.pub", name="usage")
        path = Path(source).expanduser()
        return keys.sms_value(keys.KeyPair(path.with_suffix(""), path, protected=False))
    if source == "-":
        if sys.stdin is None:
            raise Missing("standard input is closed", "give --from FILE", name="usage")
        return values.checked(kind, values.take(sys.stdin.buffer, "standard input"))
    return values.checked(kind, values.read(Path(source)))


def where(ctx: Context, sms: Sms, place: Secret) -> dict[str, Any]:
    """What every document about a secret says of its place: network, SMS, kind, slot, owner, name (or None)."""
    kind = place.kind
    return {
        "network": chosen_network.entry(ctx).name, "sms": sms.url, "framework": sms.framework().lower(),
        "kind": kind.id, "title": place.title, "slot": kind.slot, "owner": place.owner, "name": place.name or None,
    }  # fmt: skip
