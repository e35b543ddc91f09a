"""What the PoCo contracts answer, as small frozen records. Amounts nRLC, times Unix seconds of the chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from workflows.iexec.ids import ZERO_ADDRESS, taskid

Kind = Literal["app", "dataset", "workerpool"]


class TaskStatus(IntEnum):
    """On-chain task status (`IexecLibCore_v5.TaskStatusEnum`)."""

    UNSET = 0
    ACTIVE = 1
    REVEALING = 2
    COMPLETED = 3
    FAILED = 4


@dataclass(frozen=True)
class Resource:
    """An app, dataset or workerpool in a deal, with its owner and price at the match."""

    address: str
    owner: str
    price: int


@dataclass(frozen=True)
class Deal:
    """A match of four orders: `bot_size` tasks from index `bot_first` on."""

    dealid: str
    app: Resource
    dataset: Resource
    workerpool: Resource
    trust: int
    category: int
    tag: str
    requester: str
    beneficiary: str
    callback: str
    params: str
    start_time: int
    bot_first: int
    bot_size: int
    worker_stake: int
    scheduler_reward_ratio: int
    sponsor: str

    @property
    def has_dataset(self) -> bool:
        """Whether the tasks work on a dataset."""
        return self.dataset.address != ZERO_ADDRESS

    @property
    def task_price(self) -> int:
        """What the payer pays for each task that succeeds."""
        return self.app.price + self.dataset.price + self.workerpool.price

    @property
    def indexes(self) -> range:
        """The task indexes of this deal."""
        return range(self.bot_first, self.bot_first + self.bot_size)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The ids of its tasks."""
        return tuple(taskid(self.dealid, index) for index in self.indexes)


@dataclass(frozen=True)
class Task:
    """A task; all zero with status UNSET before `initialize`."""

    taskid: str
    status: TaskStatus
    dealid: str
    index: int
    timeref: int
    contribution_deadline: int
    reveal_deadline: int
    final_deadline: int
    consensus_value: str
    contributors: tuple[str, ...]
    result_digest: str
    results: bytes
    results_callback: bytes


@dataclass(frozen=True)
class App:
    """A registered app; `checksum` is the image digest, `mrenclave` the fingerprint's bytes as registered."""

    address: str
    owner: str
    name: str
    type: str
    multiaddr: str
    checksum: str
    mrenclave: bytes


@dataclass(frozen=True)
class Dataset:
    """A registered dataset; `checksum` is the SHA-256 of the encrypted file."""

    address: str
    owner: str
    name: str
    multiaddr: str
    checksum: str

    @property
    def has_place(self) -> bool:
        """Whether it says where it is; iExec's servers ignore one that does not (`containsDataset`)."""
        return bool(self.multiaddr.strip())


@dataclass(frozen=True)
class Workerpool:
    """A registered workerpool; ratios in percent."""

    address: str
    owner: str
    description: str
    worker_stake_ratio: int
    scheduler_reward_ratio: int


@dataclass(frozen=True)
class Category:
    """A category of tasks; `seconds` is the longest computing time."""

    index: int
    name: str
    description: str
    seconds: int


@dataclass(frozen=True)
class Account:
    """What an address holds in the PoCo escrow: free and locked."""

    stake: int
    locked: int


@dataclass(frozen=True)
class NewApp:
    """What an app is registered with: it decides the address, and none of it can change later."""

    owner: str
    name: str
    multiaddr: str
    checksum: str
    mrenclave: bytes = b""
    type: str = "DOCKER"


@dataclass(frozen=True)
class NewDataset:
    """What a dataset is registered with: it decides the address, and none of it can change later."""

    owner: str
    name: str
    multiaddr: str
    checksum: str


@dataclass(frozen=True)
class Match:
    """What a `matchOrders` transaction made."""

    dealid: str
    volume: int


@dataclass(frozen=True)
class Matching:
    """A match as the chain's log has it: the hash of each order by its kind, zero for a dataset that is none."""

    dealid: str
    orders: Mapping[str, str]
    volume: int
    block: int
    transaction: str
