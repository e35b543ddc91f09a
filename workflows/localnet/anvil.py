"""anvil as a child process: started on a free loopback port, watched, and never left behind."""

from __future__ import annotations

import asyncio
import ctypes
import gzip
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from workflows.core.failure import Unavailable
from workflows.core.files import private
from workflows.core.text import clean

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_LISTENING = re.compile(rb"^Listening on 127\.0\.0\.1:(\d+)\s*$", re.MULTILINE)
_NEVER = str(10**9)  # seconds: without it anvil writes its state every minute, in place, and not only at exit
_PATIENCE = 15.0  # seconds until a start counts as failed; a warm one takes a tenth of one
# Blocks carry no base fee and transactions cost nothing, as on Bellecour. The hard fork is pinned: the
# contracts were compiled before it, and a saved state must mean the same under a later anvil.
_RULES = ("--hardfork", "prague", "--gas-price", "0", "--base-fee", "0", "--disable-min-priority-fee")


class Refused(Unavailable):
    """anvil did not take what it was given; the message is its own."""


class Anvil:
    """One running anvil, on loopback: no gas price, a block for every transaction, no CORS."""

    def __init__(self, child: subprocess.Popen[bytes], port: int) -> None:
        self._child = child
        self._session = aiohttp.ClientSession()
        self.url = f"http://127.0.0.1:{port}"
        self.pid = child.pid

    @classmethod
    async def start(
        cls,
        binary: Path,
        chain_id: int,
        *,
        log: Path,
        load: Path | None = None,
        dump: Path | None = None,
        port: int = 0,
        keep: Sequence[int] = (),
        accounts: bool = True,
    ) -> Anvil:
        """A child that listens; `load` is the state it begins with, `dump` where it leaves its own at exit.

        `port` is a wish: the system chooses when it is 0 or taken. `keep` are descriptors that the child
        holds open, `accounts` says whether it signs for the public development accounts. The child dies with
        the thread that called this, even when that is killed.
        Raises Refused when anvil exits at once, Unavailable when it cannot run or stays silent.
        """
        options = [*_RULES, "--chain-id", str(chain_id), "--host", "127.0.0.1", "--no-cors"]
        options += ["--max-persisted-states", "0"]  # no history of states in the user's home
        options += [] if accounts else ["--accounts", "0"]
        options += ["--load-state", str(load)] if load else []
        options += ["--dump-state", str(dump), "--state-interval", _NEVER] if dump else []
        try:
            return cls(*await _spawn([str(binary), *options, "--port", str(port)], log, keep))
        except Refused as failure:
            if not port or "in use" not in failure.message:
                raise
        return cls(*await _spawn([str(binary), *options, "--port", "0"], log, keep))

    async def rpc(self, method: str, *params: object) -> Any:
        """The result of one JSON-RPC call; Unavailable when it is an error or there is no answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            async with self._session.post(self.url, json=body) as response:
                answer = await response.json()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(f"the chain does not answer {method}: {clean(str(error))}") from None
        if "error" in answer:
            raise Unavailable(f"the chain refused {method}: {clean(str(answer['error'].get('message')))}")
        return answer["result"]

    async def dump(self) -> bytes:
        """The whole state as the JSON that `load` takes."""
        packed: str = await self.rpc("anvil_dumpState")
        return await asyncio.to_thread(lambda: gzip.decompress(bytes.fromhex(packed.removeprefix("0x"))))

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._child.poll() is None

    async def stop(self) -> None:
        """End the child, which writes its state first; killed when that takes more than ten seconds."""
        await self._session.close()
        await _end(self._child)


async def _spawn(command: list[str], log: Path, keep: Sequence[int]) -> tuple[subprocess.Popen[bytes], int]:
    """The child and the port that it says it listens on; its word alone, another program may answer there."""
    parent = os.getpid()

    def die_with_parent() -> None:
        # SIGTERM, not SIGKILL: anvil then writes its state, so that nothing is lost with the parent.
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    log.unlink(missing_ok=True)
    with open(log, "ab", opener=private) as output:  # at its end, also when `trim` made it shorter
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(keep),
                preexec_fn=die_with_parent,
                start_new_session=True,  # ctrl-c in the terminal is for the parent, which stops it in order
            )
        except OSError as error:
            raise Unavailable(f"anvil cannot be started: {error.strerror}", f"See {command[0]}.") from None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    try:
        while loop.time() < deadline:
            ended = child.poll() is not None
            said = log.read_bytes()
            found = _LISTENING.search(said)
            if ended:
                raise Refused(f"anvil does not start: {_last_words(said)}")
            if found:
                return child, int(found[1])
            await asyncio.sleep(0.005)
        raise Unavailable(f"anvil did not listen within {_PATIENCE:.0f} seconds", f"Its log is {log}.")
    except BaseException:
        await _end(child)
        raise


async def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            await asyncio.to_thread(child.wait, 10)
        except subprocess.TimeoutExpired:
            child.kill()
            await asyncio.to_thread(child.wait)


def trim(log: Path, most: int) -> None:
    """Empty the log of a child that writes to it once it is longer than this; what was there is kept in `.1`."""
    if log.stat().st_size > most:
        with open(log.with_name(f"{log.name}.1"), "wb", opener=private) as kept:
            kept.write(log.read_bytes()[-most:])
        os.truncate(log, 0)


def _last_words(said: bytes) -> str:
    """The line that tells why, without the paths of this machine's state folder in it."""
    lines = [clean(line) for line in said.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["no output"])[0].removeprefix("Error: ").removeprefix("error: ")
