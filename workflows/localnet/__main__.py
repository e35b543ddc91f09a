"""The localnet's process: `python -m workflows.localnet --state DIR`, as `client.join` starts it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import signal
import sys
from pathlib import Path

from workflows.core.events import Event, to_json
from workflows.core.failure import Failed
from workflows.core.files import append_line, private, private_dir, write_atomic
from workflows.localnet.client import ENDED, EVENTS
from workflows.localnet.network import Localnet
from workflows.localnet.sharing import add_options, sharing

_GRACE = 2.0  # seconds without a holder before it stops


def main() -> int:
    """Run until told to stop or nobody holds a lease any more."""
    parser = argparse.ArgumentParser(prog="python -m workflows.localnet")
    parser.add_argument("--state", type=Path, required=True)
    add_options(parser)
    options = parser.parse_args()
    private_dir(options.state)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every connection takes a file
    events = options.state / EVENTS

    def emit(event: Event) -> None:
        with contextlib.suppress(OSError):  # a full disk must not end what was being told
            append_line(events, to_json(event).encode())

    try:
        open(events, "w", opener=private).close()
        return asyncio.run(_serve(options.state, Localnet(options.state, emit, sharing(vars(options)))))
    except Failed as failure:
        print(f"{failure.message}. {failure.hint}", file=sys.stderr)
        return failure.exit_code


async def _serve(state: Path, localnet: Localnet) -> int:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, told.set)
    start = asyncio.ensure_future(localnet.start())
    wait = asyncio.ensure_future(told.wait())
    await asyncio.wait({start, wait}, return_when=asyncio.FIRST_COMPLETED)
    if not start.done():
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        return 130
    await start
    abandoned = asyncio.ensure_future(localnet.control.abandoned(_GRACE))
    lost = asyncio.ensure_future(localnet.lost())
    await asyncio.wait({abandoned, wait, lost}, return_when=asyncio.FIRST_COMPLETED)
    await localnet.stop()
    if lost.done():
        failure = lost.result()
        ended = {"message": failure.message, "hint": failure.hint, "name": failure.name}
        write_atomic(state / ENDED, json.dumps(ended))
        raise failure
    return 0


if __name__ == "__main__":
    sys.exit(main())
