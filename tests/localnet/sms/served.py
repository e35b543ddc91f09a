"""An SMS that blocking code talks to: in a thread of this process, or as a process that can be killed.

`python -m tests.localnet.sms.served DIR` prints its URL and serves the state in DIR until it is ended.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.conformance.sms.wire import Sms as Client
from tests.localnet.sms.sms_world import STAGES, Ledger, ledger
from workflows.localnet.sms.server import Sms


async def _no_cas(_: str) -> str:
    raise ConnectionError("there is no CAS here")


def _no_gateway() -> str:
    return "http://127.0.0.1:9"


class Served:
    """An SMS on the state in `folder`, in a thread with a loop of its own; `start` after `stop` is a restart."""

    def __init__(self, folder: Path, chain: Ledger | None = None, **more: Any) -> None:
        self._folder = folder
        self._chain = chain or ledger()
        self._more = more
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def start(self) -> Client:
        self._sms = Sms(self._folder, lambda: self._chain, _no_gateway, _no_cas, tee=STAGES, **self._more)
        self._run(self._sms.start())
        return Client(self._sms.url)

    def stop(self) -> None:
        self._run(self._sms.stop())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


class Process:
    """An SMS as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.localnet.sms.served", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        assert self._child.stdout is not None
        self.url = self._child.stdout.readline().strip()
        assert self.url, "the SMS did not start"

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._child.kill()
        self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()


async def _serve(folder: Path) -> None:
    from eth_account import Account  # so that the first request does not wait for it

    _ = Account
    sms = Sms(folder, ledger, _no_gateway, _no_cas, tee=STAGES)
    await sms.start()
    print(sms.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
