"""The localnet's process: `python -m workflows.localnet --state DIR`, as `client.join` starts it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from workflows.core.events import Event, to_json
from workflows.core.failure import Failed
from workflows.core.files import private_dir
from workflows.localnet.client import EVENTS
from workflows.localnet.network import Localnet

_GRACE = 2.0  # seconds without a holder before it stops


def main() -> int:
    """Run until told to stop or nobody holds a lease any more."""
    parser = argparse.ArgumentParser(prog="python -m workflows.localnet")
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()
    private_dir(options.state)
    try:
        with (options.state / EVENTS).open("w", encoding="utf-8") as file:
            (options.state / EVENTS).chmod(0o600)

            def emit(event: Event) -> None:
                file.write(to_json(event) + "\n")
                file.flush()

            return asyncio.run(_serve(Localnet(options.state, emit)))
    except Failed as failure:
        print(f"{failure.message}. {failure.hint}", file=sys.stderr)
        return failure.exit_code


async def _serve(localnet: Localnet) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    start = asyncio.ensure_future(localnet.start())
    wait = asyncio.ensure_future(ended.wait())
    await asyncio.wait({start, wait}, return_when=asyncio.FIRST_COMPLETED)
    if not start.done():
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        return 130
    await start
    abandoned = asyncio.ensure_future(localnet.control.abandoned(_GRACE))
    await asyncio.wait({abandoned, wait}, return_when=asyncio.FIRST_COMPLETED)
    await localnet.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
