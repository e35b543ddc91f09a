"""What should be done about the rows of a matrix: pure, one rule after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workflows.core.text import clean, plural, shorten
from workflows.iexec import web
from workflows.iexec.cost import rlc
from workflows.iexec.orders import ENDLESS
from workflows.iexec.secrets.ledger import newest
from workflows.iexec.secrets.matrix import Advice, Facts, Row
from workflows.iexec.secrets.uses import Use, uses


def advise(facts: Facts, rows: Sequence[Row]) -> Iterator[Advice]:
    """Every warning, those of the gathering first."""
    yield from facts.noticed
    yield from _of_sms(facts, rows)
    yield from _of_orders(facts, rows)
    yield from _of_rows(facts, rows)
    yield from _of_former_apps(facts, rows)
    yield from _of_names(rows)


def _of_sms(facts: Facts, rows: Sequence[Row]) -> Iterator[Advice]:
    for place in facts.sms:
        about = tuple(number for number, row in enumerate(rows) if row.sms == place.url)
        if place.serves is None:
            yield Advice(
                "no_answer", "act", f"the SMS {web.shown(place.url)} does not answer: its rows are not known",
                "try again, or check the network's SMS URL", about,
            )  # fmt: skip
        elif place.serves not in place.frameworks:
            names = " and ".join(place.frameworks)
            yield Advice(
                "wrong_framework", "act",
                f"the SMS {web.shown(place.url)} serves {place.serves}, the network has it for {names}",
                f"push nothing there for {names}: no enclave of that kind would find it", about,
            )  # fmt: skip
    for framework in dict.fromkeys(use.framework for use in facts.uses if use.needed and use.framework):
        if facts.of(framework) is None:
            yield Advice(
                "no_sms", "act", f"an order asks for {framework}, and the network has no SMS for it",
                "cancel the order, or sign one with a tag that the network serves",
            )  # fmt: skip


def _of_orders(facts: Facts, rows: Sequence[Row]) -> Iterator[Advice]:
    keyed = {row.secret.key for row in rows if row.set or row.push}
    for order in (known for known in facts.orders if known.left and known.order.kind == "datasetorder"):
        use = next(iter(uses([order], ())))
        about = tuple(number for number, row in enumerate(rows) if row.secret.key == use.secret.key)
        dataset, mark = shorten(use.secret.owner), shorten(order.hash)
        cancel = f"cancel it: creamtea secrets cancel {order.hash}"
        if use.bulk and use.price:
            yield Advice(
                "unpaid_bulk", "act",
                f"order {mark} asks {rlc(use.price)} for a use of dataset {dataset}, and is endless: in bulk it is "
                "used for nothing, as neither the contract nor the SMS asks for a price there",
                f"{cancel}, and sign one with a volume below {ENDLESS - 1}", about, order.hash,
            )  # fmt: skip
        elif use.bulk:
            yield Advice(
                "bulk_order", "know",
                f"order {mark} lets dataset {dataset} be used in bulk: the chain does not count how often",
                f"when that should end, {cancel}", about, order.hash,
            )  # fmt: skip
        if use.app is None and (use.needed or use.secret.key in keyed):
            yield Advice(
                "open_dataset", "act",
                f"order {mark} lets ANY app read dataset {dataset}, {order.left:,} times: "
                "whoever registers an app gets the plain data",
                f"{cancel}, and sign one with your app as apprestrict", about, order.hash,
            )  # fmt: skip
        elif use.app is not None and facts.app and use.app != facts.app:
            yield Advice(
                "forgotten_order", "act",
                f"order {mark} still lets app {shorten(use.app)}, not this project's, read dataset {dataset}, "
                f"{order.left:,} times",
                f"{cancel}, unless that app should go on", about, order.hash,
            )  # fmt: skip
    yield from _many(facts, rows)


def _many(facts: Facts, rows: Sequence[Row]) -> Iterator[Advice]:
    """Each request signs a dataset order of its own: what is left of the older ones stays open."""
    by_app: dict[tuple[str, str], list[Use]] = {}
    for use in facts.uses:
        if use.by == "datasetorder" and use.app and use.app == facts.app:
            by_app.setdefault((use.secret.owner, use.app), []).append(use)
    for (dataset, app), several in by_app.items():
        if len(several) > 1:
            yield Advice(
                "many_orders", "know",
                f"{len(several)} orders let app {shorten(app)} read dataset {shorten(dataset)}, "
                f"{sum(use.left for use in several):,} times in all"
                f"{', for any requester' * any(use.requester is None for use in several)}",
                "cancel those that you no longer need: creamtea secrets cancel ORDER",
                tuple(number for number, row in enumerate(rows) if row.secret.owner == dataset),
            )  # fmt: skip


def _of_rows(facts: Facts, rows: Sequence[Row]) -> Iterator[Advice]:
    for number, row in enumerate(rows):
        title = f"{row.secret.title} of {shorten(row.secret.owner)}"
        elsewhere = _elsewhere(rows, row)
        theirs = row.secret.kind.thing == "wallet" and facts.wallet not in (None, row.secret.owner)
        if row.state == "missing" and elsewhere:
            yield Advice(
                "other_sms", "act",
                f"the {title} is in the SMS {web.shown(elsewhere)}, and an order needs it in {web.shown(row.sms)}",
                f"push it there too: creamtea secrets push {_flags(row)}", (number,),
            )  # fmt: skip
        elif row.state == "missing":
            gone = f"; it was pushed from here on {row.push.at[:10]}" if row.push and _stored(row) else ""
            yield Advice(
                "not_set", "act", f"the {title} is not in the SMS, and {_why(row)}{gone}",
                f"{'its wallet pushes it: ' * theirs}creamtea secrets push {_flags(row)}", (number,),
            )  # fmt: skip
        elif row.set is False and _stored(row):
            yield Advice(
                "gone", "act", f"the {title} was pushed from here, and the SMS has it no more",
                f"push it again if it is still wanted: creamtea secrets push {_flags(row)}", (number,),
                f"{row.secret.key} {row.push and row.push.at}",
            )  # fmt: skip
        elif row.set is False and row.push is not None:
            yield Advice(
                "never_came", "know", f"the {title} was sent from here on {row.push.at[:10]}, and the SMS has none",
                f"push it again if it is still wanted: creamtea secrets push {_flags(row)}", (number,),
            )  # fmt: skip
        if row.set and row.same is False and _stored(row):
            yield Advice(
                "other_value", "act",
                f"the {title} that was pushed from here is not what {_file(row)} holds now",
                "put the right file back" if row.secret.kind.forever
                else f"put the right file back, or creamtea secrets push {_flags(row)} --replace",
                (number,),
            )  # fmt: skip
        if row.set and row.push is not None and row.push.outcome == "sent":
            yield Advice(
                "no_receipt", "know", f"the SMS has the {title}; whether it took ours, its answer never told",
                row.secret.kind.change, (number,),
            )  # fmt: skip
        if row.held is not None and row.held.problem:
            yield Advice(
                "bad_value", "act", f"{_file(row)} cannot be pushed as {title}: {row.held.problem}",
                "mend the file before it is pushed: most kinds can never be corrected", (number,),
            )  # fmt: skip
        asked = {use.framework for use in row.uses if use.needed and use.framework}
        if row.push is not None and asked - {row.push.framework.lower()}:
            yield Advice(
                "other_framework", "act",
                f"the {title} was pushed for {row.push.framework}, and an order asks for {', '.join(sorted(asked))}",
                "sign the order with the tag of that framework, or push it to the right SMS", (number,),
            )  # fmt: skip


def _of_former_apps(facts: Facts, rows: Sequence[Row]) -> Iterator[Advice]:
    """A changed app is another app, and the secret of the one before does not go with it."""
    before = newest(facts.pushes, "app-secret", facts.former)
    for number, row in enumerate(rows):
        mine = row.secret.kind.id == "app-secret" and row.secret.owner == facts.app
        if before is not None and mine and row.set is False and not _stored(row):
            yield Advice(
                "not_carried_over", "act",
                f"app {shorten(before.owner)} of this project got its {row.secret.kind.title} from here on "
                f"{before.at[:10]}; the app now, {shorten(row.secret.owner)}, has none",
                f"push it for this one too: creamtea secrets push {_flags(row)}", (number,),
                f"{before.owner} {row.secret.owner}",
            )  # fmt: skip


def _of_names(rows: Sequence[Row]) -> Iterator[Advice]:
    """Requesters' names have a case: `Pin` and `pin` are two secrets, and an order may name the wrong one."""
    alike: dict[tuple[str, str, str], list[int]] = {}
    for number, row in enumerate(rows):
        if row.secret.kind.slot == "requesters":
            alike.setdefault((row.sms, row.secret.owner, row.secret.name.lower()), []).append(number)
    for (_, owner, _), numbers in alike.items():
        names = [rows[number].secret.name for number in numbers]
        if len(names) > 1:
            yield Advice(
                "case_only", "act", f"{' and '.join(names)} differ by case only, and are different secrets",
                "use one of them in all orders, and forget the other", tuple(numbers),
                " ".join((owner, *sorted(names))),
            )  # fmt: skip


def _why(row: Row) -> str:
    use = next(use for use in row.uses if use.needed)
    what = {"deal": "a deal", "datasetorder": "an order of the dataset", "requestorder": "a request order"}[
        use.by
    ]
    many = sum(one.needed for one in row.uses)
    return f"{what} needs it" if many == 1 else f"{plural(many, 'order')} and deals need it"


def _flags(row: Row) -> str:
    secret, kind = row.secret, row.secret.kind
    words = [kind.id]
    if kind.thing != "wallet":
        words.append(f"--{kind.thing} {secret.owner}")
    if kind.name is None:
        words.append(f"--name {secret.name}")
    asked = [use.framework for use in row.uses if use.needed and use.framework] or [row.framework or ""]
    words += [f"--framework {asked[0]}"] if asked[0] not in ("", "scone") else []
    return " ".join(words)


def _file(row: Row) -> str:
    return clean(row.held.file) if row.held is not None else "the file"


def _stored(row: Row) -> bool:
    return row.push is not None and row.push.outcome == "stored"


def _elsewhere(rows: Sequence[Row], wanting: Row) -> str | None:
    """Another SMS that has the secret, or got it from here."""
    for row in rows:
        if row.secret.key == wanting.secret.key and row.sms != wanting.sms and (row.set or _stored(row)):
            return row.sms
    return None
