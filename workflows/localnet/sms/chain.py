"""What the SMS reads from the chain, and the task description that it makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from workflows.iexec.ids import ZERO_ADDRESS, ZERO_HASH
from workflows.iexec.orders import DatasetOrder
from workflows.iexec.params import Params, parse
from workflows.iexec.records import App, Dataset, Deal, Task


class Chain(Protocol):
    """The blocking reads that decide, as `workflows.iexec.poco.Poco` has them; an exception is no answer."""

    def owner(self, address: str) -> str:
        """The owner of an app, dataset or workerpool; raises when there is none."""
        ...

    def view_task(self, taskid: str) -> Task:
        """The task; one that was never initialised is UNSET with dealid zero."""
        ...

    def view_deal(self, dealid: str) -> Deal | None:
        """The deal."""
        ...

    def app(self, address: str) -> App | None:
        """The app."""
        ...

    def dataset(self, address: str) -> Dataset | None:
        """The dataset."""
        ...

    def bulk_dataset(self, order: DatasetOrder, dealid: str) -> Dataset:
        """The dataset of an order; raises unless the deal may use it in bulk."""
        ...


@dataclass(frozen=True)
class TaskDescription:
    """Everything of a task that decides over its session; `dataset` is None when there is none to bring in."""

    task: Task
    deal: Deal
    params: Params
    app: App
    dataset: Dataset | None

    @property
    def id(self) -> str:
        """The task id, 0x-hex."""
        return self.task.taskid

    @property
    def callback(self) -> bool:
        """Whether the result goes to a contract."""
        return self.deal.callback != ZERO_ADDRESS

    @property
    def needs_pre_compute(self) -> bool:
        """Whether there is something to bring in."""
        return self.dataset is not None or self.params.brings_in


def describe(chain: Chain, taskid: str) -> TaskDescription:
    """The description of an initialised task. Raises what the chain raises; LookupError: no such task."""
    task = chain.view_task(taskid)
    deal = chain.view_deal(task.dealid) if task.dealid != ZERO_HASH else None
    app = chain.app(deal.app.address) if deal else None
    if deal is None or app is None:
        raise LookupError(f"no task {taskid}, or no app for it")
    dataset = chain.dataset(deal.dataset.address) if deal.has_dataset else None
    if deal.has_dataset and dataset is None:
        raise LookupError(f"the dataset of task {taskid} is not registered")
    return TaskDescription(
        task=task,
        deal=deal,
        params=parse(deal.params, app.mrenclave),
        app=app,
        dataset=dataset if dataset and dataset.has_place else None,
    )
