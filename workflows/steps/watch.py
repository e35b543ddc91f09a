"""Watch the task until it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from workflows.core.events import Noted
from workflows.core.failure import Failed
from workflows.core.step import Context, Done, Step, Work
from workflows.steps import chosen_network, clients

_POLL = 5.0  # seconds between two looks at a live chain
_LATE = "FINAL_DEADLINE_REACHED"
_MEND = "what is mended here, a new request takes along"


class Watch(Step):
    """Follow the task through its life.

    The worker initialises the task on the chain and asks the SMS for a session. Then three enclaves run, each attested
    by itself: pre-compute downloads, checks and decrypts the data, your app computes, post-compute encrypts and uploads
    the result and signs its digest with a key that only the enclave got. Between them the folders are encrypted, so the
    worker never sees a key or plain text. At last the worker finalises the task on the chain, and everyone is paid.
    """

    id = "watch"
    title = "Watch"
    heading = "Watch the task"
    after = ("request",)

    def command(self, ctx: Context) -> str:
        return f"iexec task show {ctx.outputs.get('request', {}).get('task', 'TASK')} --watch"

    def done(self, ctx: Context) -> Done | None:
        from workflows.iexec.records import TaskStatus

        task = clients.poco(ctx, sign=False).view_task(str(ctx.outputs["request"]["task"]))
        if task.status is not TaskStatus.COMPLETED:
            return None
        outputs = {"task": task.taskid, "status": "COMPLETED", "cause": None}
        return Done(outputs, "the chain says that the task is completed")

    def run(self, ctx: Context) -> Work:
        taskid = str(ctx.outputs["request"]["task"])
        end = yield from self._follow(ctx, taskid)
        if end.status != "COMPLETED":
            cause = f"{end.cause}: " if end.cause else ""
            raise Failed(
                cause + (end.message or "the task failed"),
                ". ".join(filter(None, ((end.hint or _MEND).rstrip("."), locked(ctx)))),
                name=end.cause or "task_failed",
                mends="request",
            )
        task = clients.poco(ctx, sign=False).view_task(taskid)
        yield Noted(text=f"completed; the result is at {_location(task.results)}")
        return {"task": taskid, "status": end.status, "cause": None}

    def _follow(self, ctx: Context, taskid: str) -> Any:
        """The worker's events where the network has a worker to ask, else the chain's word alone."""
        from workflows.iexec.worker_api import Ended, WorkerApi

        network = chosen_network.network(ctx)
        if not network.workerpool_api:
            return (yield from self._chain_alone(ctx, taskid))
        for event in WorkerApi(network.workerpool_api).watch(taskid, cancel=ctx.cancel):
            if isinstance(event, Ended):
                return event
            yield event
        raise Failed("the worker's word ended before the task did", "creamtea resume looks again")

    def _chain_alone(self, ctx: Context, taskid: str) -> Any:
        from workflows.iexec.records import TaskStatus
        from workflows.iexec.worker_api import Ended

        chain, times = clients.poco(ctx, sign=False), _times(ctx, ctx.outputs["request"])
        before: TaskStatus | None = None
        told = False
        while True:
            now = chain.block_time()  # asked first: what ended in time is not late by then
            status = chain.view_task(taskid).status
            if status is not before:
                yield Noted(text=f"the chain says {status.name}")
                before = status
            if status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
                return Ended(status.name, None, "", "")
            if times is not None and now > times.final:
                return Ended("FAILED", _LATE, "nobody finished the task before its final deadline", _MEND)
            if times is not None and not told and now > times.computed:
                told = True
                nobody = "taken the task up" if status is TaskStatus.UNSET else "finished the task"
                yield Noted(
                    level="warning",
                    text=f"the {times.seconds} s of its category are over, and nobody has {nobody}",
                    hint=f"it may still come until {_utc(times.final)}. {locked(ctx)}. You can leave: creamtea resume "
                    "looks again",
                )
            ctx.cancel.wait(_POLL)


class _Times(NamedTuple):
    """When the time of a deal's category is over, and when its final deadline is, in seconds since 1970."""

    seconds: int
    computed: int
    final: int


def _times(ctx: Context, requested: Mapping[str, Any]) -> _Times | None:
    """Those of a request's deal; None for a deal or a category that the chain does not know."""
    from workflows.iexec.cost import FINAL_RATIO

    chain = clients.poco(ctx, sign=False)
    deal = chain.view_deal(str(requested["deal"]))
    category = chain.category(deal.category) if deal is not None else None
    if deal is None or category is None:
        return None
    start, seconds = deal.start_time, category.seconds
    return _Times(seconds, start + seconds, start + seconds * FINAL_RATIO)


def _utc(moment: int) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def locked(ctx: Context) -> str:
    """What becomes of the money of a deal whose task failed, and when; empty where the chain cannot be asked.

    The escrow holds it until somebody claims the task, which the contract allows from the final deadline on: ten
    times the category's time after the match (PoCo, `claim`; `deal claim` initialises a task first that never was).
    """
    from workflows.iexec.cost import rlc
    from workflows.iexec.records import TaskStatus

    requested = ctx.outputs["request"]
    try:
        chain = clients.poco(ctx, sign=False)
        deal, task = chain.view_deal(str(requested["deal"])), chain.view_task(str(requested["task"]))
        times = _times(ctx, requested)
    except Failed:
        return ""
    if deal is None or times is None:
        return ""
    if not deal.task_price:
        return "No money is locked: the deal was free"
    if task.status is TaskStatus.FAILED:
        return f"The task was claimed: {rlc(deal.task_price)} went back to the account of the requester"
    when = "now" if times.final < chain.block_time() else f"from {_utc(times.final)} on"
    return f"{rlc(deal.task_price)} stay locked until claimed; {when}: iexec deal claim {deal.dealid}"


def lost(ctx: Context, requested: Mapping[str, Any]) -> str:
    """Why a request's task can no longer end well, by the chain's word or its worker's; empty while it can."""
    from workflows.iexec.records import TaskStatus
    from workflows.iexec.task_events import cause_of, status_of
    from workflows.iexec.worker_api import WorkerApi

    chain, network, taskid = (
        clients.poco(ctx, sign=False),
        chosen_network.network(ctx),
        str(requested["task"]),
    )
    task = chain.view_task(taskid)
    if task.status is TaskStatus.COMPLETED:
        return ""
    document = WorkerApi(network.workerpool_api).task(taskid, ctx.cancel) if network.workerpool_api else None
    if document is not None and status_of(document) == "FAILED":
        return cause_of(document) or "the worker gave no cause"
    times = _times(ctx, requested)  # of the deal: a task that nobody took up has none of its own
    if task.status is TaskStatus.FAILED or (times is not None and times.final < chain.block_time()):
        return "its final deadline passed"
    return ""


def _location(results: bytes) -> str:
    try:
        return str(json.loads(results)["location"])
    except (ValueError, KeyError, TypeError):
        return "no storage"
