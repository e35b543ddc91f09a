"""The localnet's scheduler, pool owner and worker as one service: sells, takes deals off the chain, runs them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from workflows.core.failure import Cancelled, Failed
from workflows.core.files import private_dir, write_atomic
from workflows.iexec import ids, tags
from workflows.iexec.records import Deal, TaskStatus
from workflows.localnet.worker.api import Api, Preparing
from workflows.localnet.worker.record import Record, Records
from workflows.localnet.worker.reports import Reports
from workflows.localnet.worker.session import SessionClient
from workflows.localnet.worker.stage import Room
from workflows.localnet.worker.task import Task

if TYPE_CHECKING:
    from workflows.iexec.orders import WorkerpoolOrder
    from workflows.iexec.poco import Poco

log = logging.getLogger(__name__)

PRICE = 10**8  # nRLC for a task of the shortest category; twice as much for each longer one
MOST_TASKS = 100
MOST_TRIES = 3  # of a task that is interrupted by no fault of its own
_POLL = 0.05
_LONG_IDLE = 600  # looks without a new block, after which nobody is in a hurry


class Mark(NamedTuple):
    """A block that was looked at, by number and hash."""

    block: int
    hash: str


class Worker:
    """`directory` is `<state>/worker`. `pool()` and `worker()` give contracts that sign as each of the two.

    `start` opens `api` (watchers, orders) and `reports` (stages, through the relay); `begin` takes up work in
    a room. `internet` also connects apps to the engine's default bridge. `preparation` makes that room: those who
    watch a task see it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workerpool: str,
        pool: Callable[[], Poco],
        worker: Callable[[], Poco],
        worker_address: str,
        sms: str,
        proxy: str,
        internet: bool = False,
        preparation: Preparing | None = None,
    ) -> None:
        self._directory = private_dir(directory)
        self._workerpool = workerpool
        self._pool = pool
        self._worker = worker
        self._sms = sms
        self._proxy = proxy
        self._internet = internet
        self.api = Api(worker_address, self._offer, self._find, preparation)
        self.reports = Reports()
        self._records: Records | None = None
        self._watching: asyncio.Task[None] | None = None
        self._running: Task | None = None
        self._waiting: deque[tuple[Deal, int]] = deque()
        self._queueing = threading.Lock()
        self._tries: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """The base URL of the watchers' API."""
        return self.api.url

    async def start(self) -> None:
        """Open both servers; no deal is looked at yet."""
        self._records = Records(self._directory / "tasks")
        await self.api.start()
        await self.reports.start()

    async def begin(self, room: Room) -> None:
        """Take up the deals of the pool, unfinished ones of earlier runs first."""
        self._watching = asyncio.create_task(self._watch(room))

    async def pause(self) -> None:
        """Stop the running task, which is run again from its beginning once there is a room again."""
        watching, self._watching = self._watching, None
        if watching:
            watching.cancel()
            if self._running:
                self._running.stop()
            await asyncio.gather(watching, return_exceptions=True)

    def give_up(self, cause: str, message: str, hint: str) -> None:
        """Fail what waits for a room that cannot be had; while paused."""
        while self._waiting:
            deal, index = self._waiting.popleft()
            if self._records is not None:
                self._records.of(ids.taskid(deal.dealid, index)).end("FAILED", cause, message, hint)

    async def stop(self) -> None:
        """Stop the running task (it is taken up again at the next start) and both servers."""
        await self.pause()
        await self.reports.stop()
        await self.api.stop()

    # -- selling

    async def sell(self, category: int) -> WorkerpoolOrder:
        """A new signed order for as many tasks as the pool sells at once. Failed when it does not offer that."""
        return await asyncio.to_thread(self._sign_order, category, "", MOST_TASKS)

    async def _offer(self, category: int, tag: str, volume: int) -> dict[str, str]:
        order = await asyncio.to_thread(self._sign_order, category, tag, volume)
        return order.to_json()

    def _sign_order(self, category: int, tag: str, volume: int) -> WorkerpoolOrder:
        from workflows.iexec.orders import WorkerpoolOrder

        pool = self._pool()
        if pool.category(category) is None:
            raise Failed(f"there is no category {category}", name="no_category")
        if not 1 <= volume <= MOST_TASKS:
            raise Failed(f"the pool sells 1 to {MOST_TASKS} tasks at once", name="volume")
        try:
            lacking = tags.missing(tag or tags.TEE_SCONE, tags.TEE_SCONE)
        except ValueError:
            raise Failed("the tag is not 32 bytes of 0x-hex", name="tag") from None
        if lacking:
            raise Failed(f"the pool has no workers with {', '.join(lacking)}", name="tag")
        if pool.account is None:
            raise Failed("the pool has no key to sign with", name="no_wallet")
        order = WorkerpoolOrder(
            workerpool=self._workerpool,
            workerpoolprice=PRICE << category,
            volume=volume,
            tag=tags.TEE_SCONE,
            category=category,
            trust=1,
        )
        return order.sign_with(pool.account, pool.domain())

    # -- working

    def _find(self, taskid: str) -> Record | None:
        return self._records.find(taskid) if self._records else None

    async def _watch(self, room: Room) -> None:
        """Look for deals all the time, run their tasks one after another."""
        runner = asyncio.create_task(self._work(room))
        try:
            mark, idle = await asyncio.to_thread(self._kept_mark), 0
            while True:
                try:
                    before, mark = mark, await asyncio.to_thread(self._look, mark)
                    idle = idle + 1 if mark == before else 0
                except Failed as error:
                    log.warning("%s", error.message)
                    await asyncio.sleep(1)
                await asyncio.sleep(_POLL if idle < _LONG_IDLE else 5 * _POLL)
        finally:
            runner.cancel()
            if self._running:
                self._running.stop()
            await asyncio.gather(runner, return_exceptions=True)

    def _look(self, mark: Mark) -> Mark:
        """Queue the tasks of deals since the last look; up to where this one saw."""
        chain = self._worker()
        latest = chain.block_number()
        if latest == mark.block:
            return mark
        # A chain that went back to a saved state has other blocks there: all of it is looked at again.
        known = 0 <= mark.block < latest and chain.block_hash(mark.block) == mark.hash
        for dealid in chain.deals_of(self._workerpool, mark.block + 1 if known else 0, latest):
            deal = chain.view_deal(dealid)
            for index in deal.indexes if deal else ():
                self._queue(chain, deal, index)
        mark = Mark(latest, chain.block_hash(latest))
        if not self._waiting and self._running is None:
            self._keep(mark)
        return mark

    def _queue(self, chain: Poco, deal: Deal | None, index: int) -> None:
        if deal is None or self._records is None:
            return
        taskid = ids.taskid(deal.dealid, index)
        record = self._records.of(taskid)
        task = chain.view_task(taskid)
        if record.ended is None and task.status is TaskStatus.COMPLETED:
            record.end("COMPLETED")  # finished on the chain, then interrupted
        if record.ended is not None or task.status not in (TaskStatus.UNSET, TaskStatus.ACTIVE):
            return
        with self._queueing:  # a look that was given up may still be at work beside the next one
            if (deal, index) not in self._waiting:
                self._waiting.append((deal, index))

    async def _work(self, room: Room) -> None:
        while True:
            if not self._waiting:
                await asyncio.sleep(_POLL / 2)
                continue
            deal, index = self._waiting[0]
            try:
                await self._run(room, deal, index)
            except Cancelled:
                return
            except Exception:
                log.exception("task %s of deal %s", index, deal.dealid)
            self._waiting.popleft()

    async def _run(self, room: Room, deal: Deal, index: int) -> None:
        if self._records is None:
            return
        record = self._records.of(taskid := ids.taskid(deal.dealid, index))
        if record.ended is not None:
            return
        record.restart()
        self._tries[taskid] += 1
        if self._tries[taskid] > MOST_TRIES:  # perhaps it is the task that ends what it stands on
            record.end(
                "FAILED",
                "WORKER_INTERRUPTED",
                f"the relay or the container engine ended {MOST_TRIES} times while this task was running",
                "See the engine's log and the memory of that machine, then request the run again.",
            )
            return
        pool, worker = self._pool(), self._worker()
        if pool.account is None or worker.account is None:
            raise Failed("pool and worker need their keys", name="no_wallet")
        sessions = SessionClient(self._sms, self._proxy, pool.account, worker.account)
        task = Task(worker, sessions, room, self.reports, record, internet=self._internet)
        self._running = task
        running = asyncio.ensure_future(asyncio.to_thread(task.run, deal, index))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            task.stop()
            with contextlib.suppress(Exception):
                await running  # its containers and volumes are removed there
            raise
        finally:
            self._running = None

    # -- where to go on

    def _kept_mark(self) -> Mark:
        """The block up to which nothing is left to do; none when nobody knows."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads((self._directory / "cursor.json").read_text())
            if kept["hub"] == self._worker().address:
                return Mark(int(kept["block"]), str(kept["hash"]))
        return Mark(-1, "")

    def _keep(self, mark: Mark) -> None:
        record = {"hub": self._worker().address, "block": mark.block, "hash": mark.hash}
        write_atomic(self._directory / "cursor.json", json.dumps(record))
