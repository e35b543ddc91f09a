"""The command `secrets`."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workflows.core.command import Argument, Dialogue, Result
from workflows.core.text import clean, plural, shorten

if TYPE_CHECKING:
    from workflows.core.events import Event
    from workflows.core.step import Context
    from workflows.localnet.client import Lease

MARKS = {"set": "✓", "missing": "✗", "absent": "○", "unknown": "?"}
STATES = {"set": "set", "missing": "NOT SET", "absent": "not set", "unknown": "not known"}


class Secrets(Dialogue):
    """Who can read which secret: list, push, check, audit, cancel, accept.

    list shows the secrets of this project and of what was pushed from here, and who may use them; audit adds what
    should be done and ends with 1 when there is something; check asks for one secret and ends with 0 when it is set,
    1 when not; push gives one to the SMS; cancel ends an order, by its hash. Kinds: dataset-key, app-secret,
    requester-secret, result-key, dropbox-token, ipfs-token, result-proxy-url, named.
    """

    name = "secrets"
    arguments = (
        Argument(
            "action", "list without a word; on a terminal, its screen", metavar="ACTION",
            choices=("list", "push", "check", "audit", "cancel", "accept"), optional=True,
        ),
        Argument(
            "kind", "what to push or check; of cancel, the hash of the order; of accept, the id of the warning",
            metavar="KIND", optional=True,
        ),
        Argument("--name", "the name of a requester secret, or of a named one", metavar="NAME"),
        Argument(
            "--from", "the value: a file, or - for standard input, without its line end; else it is asked for",
            metavar="FILE",
        ),
        Argument("--replace", "put a new value in place of the old one, where the SMS allows it", flag=True),
        Argument("--undo", "of accept: warn of it again", flag=True),
        Argument("--app", "the app [that of the project]", metavar="ADDRESS"),
        Argument("--dataset", "the dataset [that of the project]", metavar="ADDRESS"),
        Argument("--owner", "whose secret [the wallet's]", metavar="ADDRESS"),
        Argument("--orders", "a JSON file with more orders to look at", metavar="FILE", many=True),
        Argument(
            "--framework", "the TEE framework whose SMS is meant", choices=("scone", "gramine", "tdx"),
            default="scone", metavar="NAME",
        ),
        Argument("--network", "the network [that of the project, else localnet]", metavar="NAME"),
        Argument("--project", "the app's folder", metavar="DIR", default="."),
        Argument("--wallet", "the wallet that signs", metavar="FILE"),
        Argument("--password-file", "the password of the wallet", metavar="FILE"),
        Argument("--passphrase-file", "the passphrase of the private key for results", metavar="FILE"),
    )  # fmt: skip

    def __init__(self, *, lasting: bool = False) -> None:
        """`lasting`: a localnet that was started for the first look stays until `close`."""
        self._lasting = lasting
        self._held: Lease | None = None

    def close(self) -> None:
        """Let go of the localnet, now or once it is there: another thread may be starting it."""
        self._lasting = False
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def work(self, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
        from workflows.commands import inventory, pushing

        action = options.get("action") or "list"
        pushing.meant(options)
        ctx = inventory.context(options)
        try:
            inventory.reach(ctx)
            yield from self._join(ctx)
            if action in ("list", "audit"):
                return (yield from _matrix(ctx, options, action))
            if action == "check":
                return (yield from _check(ctx, options))
            if action == "cancel":
                return (yield from pushing.cancel(ctx, options))
            if action == "accept":
                return (yield from pushing.accept(ctx, options))
            return (yield from pushing.push(ctx, options))
        finally:
            ctx.close()

    def _join(self, ctx: Context) -> Generator[Event, Any, None]:
        """Have the localnet, where that is the network: for this once, or until `close`."""
        from workflows.commands import inventory
        from workflows.steps import chosen_network

        if not chosen_network.entry(ctx).embedded or (self._held is not None and self._held.alive()):
            return
        lease = yield from inventory.hold(ctx)
        if self._lasting:
            self._held = lease
            if not self._lasting:  # closed meanwhile
                self.close()
        else:
            ctx.keep("lease", lambda: lease, lambda it: it.close())

    def lines(self, document: Mapping[str, Any]) -> Iterable[str]:
        return {
            "push": _push_lines, "check": _check_lines, "cancel": _cancel_lines, "accept": _accept_lines,
        }.get(document["action"], _matrix_lines)(document)  # fmt: skip


# list and audit


def _matrix(ctx: Context, options: Mapping[str, Any], action: str) -> Generator[Event, Any, Result]:
    from workflows.commands import inventory
    from workflows.steps import chosen_network

    found = yield from inventory.take(ctx, options)
    market = chosen_network.network(ctx).market
    facts, report = found.facts, found.report
    document = {
        "action": action, "network": chosen_network.entry(ctx).name, "simulated": chosen_network.entry(ctx).simulated,
        "wallet": found.wallet, "app": facts.app, "dataset": facts.dataset,
        "sms": [{"url": one.url, "frameworks": list(one.frameworks), "serves": one.serves} for one in facts.sms],
        "market": {"url": market, "orders": found.offers} if market else None,
        "rows": [row.document() for row in report.rows],
        "public": list(report.public),
        "warnings": [one.document() for one in report.warnings],
        "sources": list(found.sources),
    }  # fmt: skip
    code = 3 if found.silent else 1 if action == "audit" and report.act else 0
    return Result(document, code)


def _matrix_lines(document: Mapping[str, Any]) -> Iterator[str]:
    simulated = " (SIMULATED)" if document["simulated"] else ""
    yield f"secrets on {document['network']}{simulated}, wallet {document['wallet'] or '–'}"
    for sms in document["sms"]:
        yield f"SMS {sms['url']} serves {sms['serves'] or 'nobody: it does not answer'}"
    if market := document["market"]:
        known = market["orders"]
        has = (
            "does not answer"
            if known is None
            else f"has {plural(known, 'open order')} of your apps and datasets"
        )
        yield f"market {market['url']} {has}"
    else:
        yield "no market to ask for orders that were signed elsewhere"
    for row in document["rows"]:
        yield ""
        yield f"{MARKS[row['state']]} {row['title']}  {STATES[row['state']]}  of {row['owns']} {row['owner']}"
        yield from (f"    {label:<11} {text}" for label, text in told(row))
    for key in document["public"]:
        yield ""
        yield f"◌ {key['title']}  PUBLIC  of app {key['app']}"
        yield f"    {key['text']}; {key['hint']}"
    yield ""
    if not document["rows"]:
        yield "no secret is known here: no app, dataset or wallet, and nothing was pushed"
    urgent = [one for one in document["warnings"] if one["level"] == "act"]
    if document["action"] == "list":
        if urgent:
            yield f"{plural(len(urgent), 'warning')}: creamtea secrets audit"
        return
    for one in document["warnings"]:
        mark, text, hints = advised(one)
        yield f"{mark} {text}"
        yield from (f"  → {hint}" for hint in hints)
    if not urgent:
        yield "nothing has to be done"


def advised(warning: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    """A warning of the document: its mark, its sentence, and what can be done."""
    accept = f"creamtea secrets accept {warning['id']}"
    if warning["accepted"]:
        return "·", f"accepted on {warning['accepted'][:10]}: {warning['text']}", [f"{accept} --undo"]
    hints = [warning["hint"], *([f"where it is meant to be so: {accept}"] if warning["id"] else [])]
    return "!" if warning["level"] == "act" else "·", warning["text"], hints


def told(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A row of the document in full, as labels and sentences."""
    slot = f"{row['slot']} of {row['sms']}" + (
        f", which serves {row['framework']}" if row["framework"] else ""
    )
    yield "where", slot
    yield "signs", f"{row['signer']}; {row['form']}, at most {row['limit']:,} bytes"
    if row["pushed_at"]:
        sure = "" if row["confirmed"] else ", but the SMS never said that it came"
        yield "pushed", f"from here on {row['pushed_at'][:16].replace('T', ' ')} UTC{sure}"
        same = {
            True: f"; {row['file']} holds the same",
            False: f"; {row['file']} holds ANOTHER value",
            None: "",
        }
        yield "commitment", f"{row['commitment'][:24]}…{same[row['same']]}"
    elif row["set"]:
        yield "pushed", "not from here, as far as this machine knows"
    yield "read by", row["reader"]
    for use in row["uses"]:
        yield "allowed", f"{use['sentence']} ({use['by']} {shorten(use['hash'])}, {use['source']})"
    yield "until", row["until"]
    yield "change", row["change"]
    if row["public"]:
        yield "public", "everybody may know it: it is no secret by nature"


# check


def _check(ctx: Context, options: Mapping[str, Any]) -> Generator[Event, Any, Result]:
    from workflows.commands import inventory, pushing
    from workflows.iexec.secrets import service
    from workflows.steps import keyring

    place = yield from pushing.place_of(ctx, options)
    sms = inventory.sms(ctx, options["framework"])
    there = service.is_set(sms, place)
    book = keyring.ledger(ctx)
    push = book.last(sms.url, place)
    same = None
    if options["from"] and push is not None:
        same = book.commitment(place, pushing.given(place.kind, options["from"])) == push.commitment
    document = {
        "action": "check", **pushing.where(ctx, sms, place), "set": there, "pushed_at": push and push.at,
        "confirmed": push and push.outcome == "stored", "commitment": push and push.commitment, "same": same,
    }  # fmt: skip
    return Result(document, 0 if there and same is not False else 1)


def _check_lines(document: Mapping[str, Any]) -> Iterator[str]:
    how = "✓ set" if document["set"] else "○ not set"
    yield f"{how}: {_what(document)}, in {document['sms']}"
    if document["pushed_at"]:
        how = "pushed" if document["confirmed"] else "the SMS never said that it came: sent"
        yield f"  {how} from here on {document['pushed_at']}, commitment {document['commitment'][:24]}…"
    elif document["set"]:
        yield "  not pushed from here, as far as this machine knows: nobody can tell what it is"
    if document["same"] is not None:
        yield f"  {'the same value' if document['same'] else 'ANOTHER value'} as the one given here"


# push, cancel and accept


def _push_lines(document: Mapping[str, Any]) -> Iterator[str]:
    how = "is there already, with this very value" if not document["pushed"] else "is in the SMS"
    yield f"✓ {_what(document)} {how}"
    yield f"  where       {document['slot']} of {document['sms']}"
    yield f"  commitment  {document['commitment']}"
    if document["key"]:
        lock = "under your passphrase" if document["key"]["protected"] else "NOT encrypted"
        yield f"  private key {document['key']['private']} ({lock}): without it no result can be read"


def _cancel_lines(document: Mapping[str, Any]) -> Iterator[str]:
    how = "is cancelled" if document["tx"] else "was used up or cancelled before"
    yield f"✓ {document['kind']} {document['order']} {how}"


def _accept_lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"✓ {'accepted' if document['accepted'] else 'it will be warned of again'}: {document['text']}"


def _what(document: Mapping[str, Any]) -> str:
    return clean(f"the {document['title']} of {document['owner']}")
