"""Watch the task until it ends."""

from __future__ import annotations

import json
from typing import Any

from workflows.core.events import Noted
from workflows.core.failure import Failed
from workflows.core.step import Context, Done, Step, Work
from workflows.steps import world


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

        task = world.poco(ctx, sign=False).view_task(str(ctx.outputs["request"]["task"]))
        if task.status is not TaskStatus.COMPLETED:
            return None
        outputs = {"task": task.taskid, "status": "COMPLETED", "cause": None}
        return Done(outputs, "the chain says that the task is completed")

    def run(self, ctx: Context) -> Work:
        from workflows.iexec import worker_api

        taskid = str(ctx.outputs["request"]["task"])
        end = yield from worker_api.watch(
            world.network(ctx), world.poco(ctx, sign=False), taskid, cancel=ctx.cancel
        )
        if end.status != "COMPLETED":
            raise Failed(_why(end), end.hint or _what_to_do(end.cause), name=end.cause or "task_failed")
        task = world.poco(ctx, sign=False).view_task(taskid)
        yield Noted(text=f"completed; the result is at {_location(task.results)}")
        return {"task": taskid, "status": end.status, "cause": None}


def _why(end: Any) -> str:
    cause = f"{end.cause}: " if end.cause else ""
    return f"{cause}{end.message or 'the task failed'}"


def _what_to_do(cause: str | None) -> str:
    from workflows.iexec import causes

    found = causes.explain(cause) if cause else []
    return found[0].what_to_do if found else "creamtea explain CAUSE tells more"


def _location(results: bytes) -> str:
    try:
        return str(json.loads(results)["location"])
    except (ValueError, KeyError, TypeError):
        return "no storage"
