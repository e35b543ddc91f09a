"""Who may use which secret, by the orders and deals that are known: pure, from records alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workflows.core.text import plural, shorten
from workflows.iexec import tags
from workflows.iexec.cost import rlc
from workflows.iexec.ids import ZERO_ADDRESS
from workflows.iexec.orders import AppOrder, DatasetOrder, RequestOrder
from workflows.iexec.params import SECRET_NAME, Params
from workflows.iexec.secrets.kinds import KINDS, Secret
from workflows.iexec.secrets.known import Known, Made


@dataclass(frozen=True)
class Use:
    """One order or deal that lets a secret be used. `by`: `datasetorder`, `apporder`, `requestorder`, `deal`.

    Addresses are None where anyone may; `price` is in nRLC for one use; `volume` and `left` are uses.
    `needed`: a task of it fails, or runs without the secret, when the SMS has none. `bulk`: it serves tasks of bulk
    processing too, whose number nothing counts and nobody pays.
    """

    secret: Secret
    by: str
    hash: str
    source: str
    app: str | None
    workerpool: str | None
    requester: str | None
    tag: tuple[str, ...]
    framework: str | None
    price: int
    volume: int
    left: int
    needed: bool = True
    bulk: bool = False

    @property
    def sentence(self) -> str:
        """What it lets happen, in one line."""
        app = f"app {shorten(self.app)}" if self.app else "ANY app"
        pool = f"in pool {shorten(self.workerpool)}" if self.workerpool else "in any pool"
        who = f"for {shorten(self.requester)}" if self.requester else "for any requester"
        if self.by == "deal":
            return f"{app} {pool} {who}: {plural(self.left, 'task')} of the deal {shorten(self.hash)} can still run"
        tag = "+".join(self.tag) or "no tag"
        price = (
            f"at most {rlc(self.price)} to the pool"
            if self.by == "requestorder"
            else f"{rlc(self.price)} each"
        )
        left = "endless, and in bulk for nothing" if self.bulk else f"{self.left:,} of {self.volume:,} left"
        return f"{app} {pool} {who}, {tag}, {price}: {left}"


def uses(orders: Iterable[Known], deals: Iterable[Made]) -> list[Use]:
    """Every use that the orders still allow and the deals still run."""
    found: list[Use] = []
    for known in orders:
        if known.left:
            found += _of_order(known)
    for made in deals:
        if made.running:
            found += _of_deal(made)
    return found


def _of_order(known: Known) -> Iterator[Use]:
    order = known.order
    if isinstance(order, DatasetOrder):
        yield Use(
            Secret(KINDS["dataset-key"], order.dataset), order.kind, known.hash, known.source,
            _anyone(order.apprestrict), _anyone(order.workerpoolrestrict), _anyone(order.requesterrestrict),
            tags.decode(order.tag), tags.framework(order.tag), order.datasetprice, order.volume, known.left,
            needed=tags.has_tee(order.tag), bulk=order.endless,
        )  # fmt: skip
    elif isinstance(order, AppOrder):
        yield Use(
            Secret(KINDS["app-secret"], order.app, "1"), order.kind, known.hash, known.source,
            order.app, _anyone(order.workerpoolrestrict), _anyone(order.requesterrestrict),
            tags.decode(order.tag), tags.framework(order.tag), order.appprice, order.volume, known.left,
            needed=False,
        )  # fmt: skip
    elif isinstance(order, RequestOrder):
        for secret in _asked_for(known.params, order.requester, order.beneficiary):
            yield Use(
                secret, order.kind, known.hash, known.source,
                order.app, _anyone(order.workerpool), order.requester,
                tags.decode(order.tag), tags.framework(order.tag), order.workerpoolmaxprice, order.volume,
                known.left,
            )  # fmt: skip


def _of_deal(made: Made) -> Iterator[Use]:
    deal = made.deal
    secrets = [Secret(KINDS["app-secret"], deal.app.address, "1")]
    if deal.has_dataset and tags.has_tee(deal.tag):
        secrets.append(Secret(KINDS["dataset-key"], deal.dataset.address))
    for secret in (*secrets, *_asked_for(made.params, deal.requester, deal.beneficiary)):
        yield Use(
            secret, "deal", deal.dealid, "the chain", deal.app.address, deal.workerpool.address, deal.requester,
            tags.decode(deal.tag), tags.framework(deal.tag), deal.task_price, deal.bot_size, made.running,
            needed=secret.kind.id != "app-secret",
        )  # fmt: skip


def _asked_for(params: Params, requester: str, beneficiary: str) -> Iterator[Secret]:
    """The secrets of wallets that a request's parameters name."""
    for name in params.secrets.values():
        if SECRET_NAME.match(name):
            yield Secret(KINDS["requester-secret"], requester, name)
    if params.result_encryption and beneficiary != ZERO_ADDRESS:
        kind = KINDS["result-key"]
        yield Secret(kind, beneficiary, kind.name or "")
    if params.storage_provider == "dropbox":
        kind = KINDS["dropbox-token"]
        yield Secret(kind, requester, kind.name or "")


def _anyone(restriction: str) -> str | None:
    return None if restriction == ZERO_ADDRESS else restriction
