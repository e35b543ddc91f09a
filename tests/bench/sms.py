"""The SMS of the localnet under load: one process, SQLite in WAL mode with a full sync for every secret, loopback.

First as fast as sixteen clients get answers. Then at four fifths of that rate, each request at its appointed time
whatever becomes of the ones before, with its latency from that time on; at less, if it falls behind. In the end the
process is killed: what it answered with 204 must be in the database.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.localnet.sms.served import Process
from tests.localnet.sms.sms_world import REQUESTER
from workflows.iexec import challenge
from workflows.iexec.signatures import sign_digest
from workflows.localnet.sms.store import Store

CLIENTS = 16
FLAT_OUT = {"post": 300, "head": 2000}
SECONDS = 3.0
VALUE = "v" * 1024
LOADS = (0.8, 0.6, 0.4, 0.2)
BEHIND = 0.95  # of the rate that was asked for

Send = Callable[[int], Awaitable[None]]


async def flat_out(send: Send, numbers: Sequence[int]) -> float:
    """Requests a second with so many clients, each with one request at a time."""
    left = iter(numbers)

    async def client() -> None:
        for number in left:
            await send(number)

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return len(numbers) / (time.perf_counter() - begin)


async def at_rate(send: Send, numbers: Sequence[int], rate: float) -> tuple[float, list[float]]:
    """The rate that was reached, and the seconds that each took from its appointed time on."""
    begin = time.perf_counter()

    async def one(place: int, number: int) -> float:
        due = begin + place / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await send(number)
        return time.perf_counter() - due

    took = await asyncio.gather(*(one(place, number) for place, number in enumerate(numbers)))
    return len(numbers) / (time.perf_counter() - begin), list(took)


async def measured(name: str, send: Send, sizes: Callable[[int], Sequence[int]], first: int) -> None:
    """Print what one kind of request gets; `sizes(n)` gives the next n numbers to send."""
    most = await flat_out(send, sizes(first))
    for load in LOADS:
        asked = load * most
        rate, took = await at_rate(send, sizes(max(100, int(asked * SECONDS))), asked)
        if rate >= BEHIND * asked:
            break
    else:
        print(f"SMS, {name:<29} {most:6.0f} /s at most; no steady rate on this machine now", flush=True)
        return
    took.sort()
    middle, p99 = (took[int(len(took) * part)] * 1e3 for part in (0.5, 0.99))
    print(
        f"SMS, {name:<29} {most:6.0f} /s at most   {rate:6.0f} /s held: "
        f"median {middle:6.1f} ms   p99 {p99:6.1f} ms   none lost",
        flush=True,
    )


async def load(url: str, answered: set[int]) -> None:
    import aiohttp

    owner = REQUESTER.address
    signed: list[str] = []
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as http:

        def fresh(size: int) -> range:
            numbers = range(len(signed), len(signed) + size)
            signed.extend(
                sign_digest(REQUESTER, challenge.requester(owner, f"key-{n}", VALUE)) for n in numbers
            )
            return numbers

        async def post(number: int) -> None:
            headers = {"Authorization": signed[number]}
            path = f"/requesters/{owner}/secrets/key-{number}"
            async with http.post(path, data=VALUE, headers=headers) as answer:
                if answer.status != 204:
                    raise SystemExit(f"the SMS answered with {answer.status}")
            answered.add(number)

        async def head(number: int) -> None:
            async with http.head(f"/requesters/{owner}/secrets/key-{number % len(signed)}") as answer:
                if answer.status != 204:
                    raise SystemExit("a secret is lost")

        await measured("secrets pushed (1 KiB)", post, fresh, FLAT_OUT["post"])
        await measured("secrets asked for", head, range, FLAT_OUT["head"])


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="creamtea-bench-") as scratch:
        folder, answered = Path(scratch) / "sms", set[int]()
        process = Process(folder)
        try:
            asyncio.run(load(process.url, answered))
        finally:
            process.kill()
        store = Store(folder)
        kept = sum(store.get("requester", REQUESTER.address, f"key-{number}") == VALUE for number in answered)
        store.close()
        print(
            f"SMS, killed then                   {len(answered) - kept} of {len(answered)} secrets lost",
            flush=True,
        )
        if kept != len(answered):
            raise SystemExit("the SMS lost secrets")


if __name__ == "__main__":
    main()
