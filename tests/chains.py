"""A chain on a loop of its own thread, for fixtures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workflows.localnet.chain import Chain
from workflows.localnet.toolchain import Toolchain


@contextmanager
def running(folder: Path, tools: Toolchain) -> Iterator[Chain]:
    """The chain of this folder while inside."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="chain", daemon=True)
    thread.start()
    chain = Chain(folder, tools)
    try:
        asyncio.run_coroutine_threadsafe(chain.start(), loop).result(60)
        yield chain
    finally:
        asyncio.run_coroutine_threadsafe(chain.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
