"""What a request costs, locks and how long it may take, as plain numbers. Amounts nRLC, times seconds."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.iexec.orders import AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder
from workflows.iexec.records import Category

NRLC = 10**9  # in one RLC
POOL_STAKE_PERCENT = 30  # hub `workerpool_stake_ratio()`, a constant of PoCo
FINAL_RATIO = 10  # × category time after the match (hub `final_deadline_ratio()`)


@dataclass(frozen=True)
class Cost:
    """The bill of one deal. Prices are per task; `total` is locked at the match, spent as tasks succeed."""

    app: int
    dataset: int
    workerpool: int
    volume: int
    compute_seconds: int

    @property
    def per_task(self) -> int:
        """What one task that succeeds costs the requester."""
        return self.app + self.dataset + self.workerpool

    @property
    def total(self) -> int:
        """What the match locks in the requester's escrow; a task that fails gives its part back."""
        return self.per_task * self.volume

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """What goes to whom for all tasks: app, dataset, pool."""
        return (
            ("app", self.app * self.volume),
            ("dataset", self.dataset * self.volume),
            ("pool", self.workerpool * self.volume),
        )

    @property
    def pool_stake(self) -> int:
        """What the match locks in the escrow of the workerpool's owner."""
        return self.workerpool * POOL_STAKE_PERCENT // 100 * self.volume

    @property
    def final_seconds(self) -> int:
        """After this, counted from the match, an unfinished task can be claimed: the money comes back."""
        return self.compute_seconds * FINAL_RATIO


def of_orders(
    app: AppOrder,
    dataset: DatasetOrder,
    workerpool: WorkerpoolOrder,
    request: RequestOrder,
    category: Category,
    volume: int | None = None,
) -> Cost:
    """The cost of matching these orders; the volume is the least of theirs unless known better.

    `volume` is less than that when parts of the orders are used up.
    """
    limits = [app.volume, workerpool.volume, request.volume]
    has_dataset = int(request.dataset, 16) != 0
    if has_dataset:
        limits.append(dataset.volume)
    return Cost(
        app.appprice,
        dataset.datasetprice if has_dataset else 0,
        workerpool.workerpoolprice,
        min(limits) if volume is None else volume,
        category.seconds,
    )


def rlc(amount: int) -> str:
    """An amount of nRLC as a person reads it: `13 RLC`, `0.1 RLC`, `250 nRLC`."""
    if 0 < abs(amount) < NRLC // 1000:
        return f"{amount:,} nRLC"
    whole, rest = divmod(abs(amount), NRLC)
    decimals = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if amount < 0 else ''}{whole:,}{decimals} RLC"
