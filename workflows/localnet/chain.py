"""The localnet's chain: anvil with the whole PoCo on it, warm from a saved state.

Two saved states. The *genesis* is PoCo freshly deployed; it is made once per toolchain and recipe,
kept in the user's cache with its SHA-256, and copied by every new localnet. The *running* state is
`<state>/chain/state.json`. It is written in three moments, each whole or not at all:

- every two seconds if there are new blocks, from `anvil_dumpState`, by rename. anvil's own
  `--state-interval` writes in place and would leave half a file after a power cut, or an old one;
- at a normal stop, from what anvil leaves at exit (`--dump-state`);
- when this process is killed: anvil then gets SIGTERM from the kernel and leaves the same file, which
  the next start takes over if it is complete.

An anvil that is killed itself is started again on its port from the last of these, so that at most the blocks
of two seconds are gone.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from workflows.core.events import Event, Noted, TaskChanged, TaskState, now
from workflows.core.failure import Unavailable
from workflows.core.files import private, private_dir, write_atomic
from workflows.localnet import genesis
from workflows.localnet.anvil import Anvil, Refused, trim
from workflows.localnet.deployment import CHAIN_ID, Account, Deployment
from workflows.localnet.toolchain import Toolchain

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

_SAVE_EVERY = 2.0  # seconds
_LOOK_EVERY = 0.1
_LONGEST_LOG = 1 << 20  # bytes: anvil writes a line for every call
_MOST_REVIVALS = 3  # within a minute: one that dies again and again is of no use
_LOCK_PATIENCE = 10.0  # seconds: a killed localnet's anvil may still be writing its state


class Chain:
    """The chain as a service. Native mode: there is no RLC contract, `rlc` is None.

    `accounts` maps a role (owner, workerpool, worker, requester, spare-1 … spare-6) to its address. They are
    anvil's public development accounts, unless the chain was begun as a `shared` one, which has accounts of its
    own for good. `workerpool` is the pool's address.
    """

    chain_id = CHAIN_ID
    native = True
    rlc = None

    def __init__(
        self,
        state_dir: Path,
        tools: Toolchain,
        emit: Callable[[Event], None] = lambda _: None,
        *,
        port: int = 0,
        shared: bool = False,
    ) -> None:
        self._home = state_dir
        self._shared = shared
        self._folder = state_dir / "chain"
        self._tools = tools
        self._emit = emit
        self._port = port
        self._lock: TextIO | None = None
        self._anvil: Anvil | None = None
        self._saver: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._deployment: Deployment | None = None
        self._reviving = False
        self._revived: list[float] = []
        self._lost: asyncio.Future[Unavailable] | None = None
        self.revivals: list[dict[str, object]] = []

    @property
    def rpc(self) -> str:
        """The JSON-RPC address, `http://127.0.0.1:<port>`."""
        return self._live().url

    @property
    def hub(self) -> str:
        """The address of the PoCo proxy."""
        return self._deployed().hub

    @property
    def registries(self) -> Mapping[str, str]:
        """The addresses of the registries: app, dataset, workerpool."""
        return self._deployed().registries

    @property
    def workerpool(self) -> str:
        """The address of the localnet's own workerpool."""
        return self._deployed().workerpool

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts by role."""
        return self._deployed().accounts

    @property
    def pid(self) -> int:
        """anvil's process id."""
        return self._live().pid

    @property
    def running(self) -> bool:
        """Whether anvil lives, and goes on where it was."""
        return self._anvil is not None and self._anvil.running and not self._reviving

    def signer(self, role: str) -> LocalAccount:
        """The account of a role, to sign with; KeyError for another role."""
        return genesis.account(role, self._home)

    def key(self, role: str) -> str:
        """Its private key, 0x hex; KeyError for another role."""
        return "0x" + self.signer(role).key.hex().removeprefix("0x")

    async def start(self) -> None:
        """Bring the chain up, from the saved state if there is one, else from the genesis.

        Raises Unavailable when another localnet uses the folder or anvil cannot run.
        """
        started = now()

        def report(state: TaskState, detail: str | None = None) -> None:
            ended = None if state == "running" else now()
            self._emit(
                TaskChanged(
                    task="chain", title="Chain", state=state, started=started, ended=ended, detail=detail
                )
            )

        report("running")
        try:
            private_dir(self._folder)
            self._lock = await self._take_lock()
            where = await self._start()
            self._stopping = asyncio.Event()
            self._lost = asyncio.get_running_loop().create_future()
            self._saver = asyncio.create_task(self._tend())
        except BaseException:
            report("failed")
            await self.stop()
            raise
        report("done", where)

    async def lost(self) -> Unavailable:
        """Return once the chain is gone for good, with the reason; while it runs, wait. After `start`."""
        assert self._lost is not None  # noqa: S101 - start made it
        return await asyncio.shield(self._lost)

    async def stop(self) -> None:
        """Stop anvil and keep its state; harmless when not started."""
        saver, self._saver = self._saver, None
        try:
            if saver:
                self._stopping.set()  # not cancelled: its last write must not land after the one at exit
                await saver
            anvil, self._anvil = self._anvil, None
            if anvil:
                await anvil.stop()
                self._adopt()
        finally:
            lock, self._lock = self._lock, None
            if lock:
                lock.close()

    async def _start(self) -> str:
        saved = self._adopt()
        refused = ""
        if self._shared and not genesis.own_accounts(self._home):
            if saved:
                raise Unavailable(
                    "this chain belongs to the public development accounts, so anybody could spend and sign for it",
                    "Begin a network for others in a folder of its own: creamtea localnet up --state DIR --listen …",
                    name="public_accounts",
                )
            await asyncio.to_thread(genesis.make_accounts, self._home)
        if saved:
            try:
                await self._run(saved, self._saved_deployment() or (await self._genesis())[1])
                return "continued from the saved state"
            except Refused as failure:
                refused = failure.message
        try:
            await self._run(*await self._genesis())
        except Refused as failure:
            if genesis.own_accounts(self._home):
                raise
            self._warn(f"The prepared chain cannot be used ({failure.message}); PoCo is deployed again.")
            await self._run(*await genesis.build(self._tools, self._log))
        if saved:  # set aside only now: where nothing runs, the fault is not in the saved state
            aside = saved.replace(saved.with_name(f"{saved.name}.refused-{int(time.time())}"))
            self._warn(
                f"The saved chain cannot be used ({refused}); a new one begins.",
                f"What was deployed on it is gone from the localnet; the file is kept as {aside}.",
            )
        return "new, with PoCo on it"

    async def _genesis(self) -> tuple[Path, Deployment]:
        if genesis.own_accounts(self._home):
            return await genesis.own(self._tools, self._log, self._home)
        return await genesis.prepared(self._tools, self._log, self._warn)

    async def _run(self, load: Path, deployment: Deployment) -> None:
        """anvil from this state, checked to hold this deployment, its clock at now or later."""
        assert self._lock is not None  # noqa: S101 - start took it
        anvil = await Anvil.start(
            self._tools.anvil,
            CHAIN_ID,
            log=self._log,
            load=load,
            dump=self._exit,
            port=self._port,
            accounts=not genesis.own_accounts(self._home),
            keep=[self._lock.fileno()],  # held until the child has written its state, even if we are killed
        )
        try:
            await _check(anvil, deployment)
            await _wind_clock(anvil)
        except BaseException as error:
            await anvil.stop()
            self._exit.unlink(missing_ok=True)
            if type(error) is Unavailable:  # it listened, then broke on what it had loaded
                raise Refused(error.message) from None
            raise
        self._anvil, self._deployment = anvil, deployment
        write_atomic(self._folder / "addresses.json", json.dumps(deployment.document(), indent=2) + "\n")

    @property
    def _log(self) -> Path:
        return self._folder / "anvil.log"

    @property
    def _state(self) -> Path:
        return self._folder / "state.json"

    @property
    def _exit(self) -> Path:
        return self._folder / "exit.json"

    def _adopt(self) -> Path | None:
        """Take over what anvil left at exit, if complete and not older; the running state, if there is one."""
        if self._exit.exists():
            try:
                json.loads(self._exit.read_bytes())
                if self._state.exists() and self._exit.stat().st_mtime_ns < self._state.stat().st_mtime_ns:
                    raise ValueError("saved since")
            except (OSError, ValueError):
                self._exit.unlink(missing_ok=True)
            else:
                self._exit.chmod(0o600)
                self._exit.replace(self._state)
        return self._state if self._state.exists() else None

    def _saved_deployment(self) -> Deployment | None:
        try:
            return Deployment.from_document(json.loads((self._folder / "addresses.json").read_bytes()))
        except (OSError, ValueError):
            return None

    async def _tend(self) -> None:
        """Save what is new every two seconds; start an anvil that died again."""
        saved_block, since, told = "", time.monotonic(), False
        while True:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOOK_EVERY)
                return
            anvil = self._live()
            if not anvil.running:
                self._reviving = True
                try:
                    await self._revive(anvil)
                    self._reviving = False
                except (Unavailable, OSError) as failure:
                    assert self._lost is not None  # noqa: S101 - start made it
                    self._lost.set_result(_why(failure))
                    return
                continue
            if time.monotonic() - since < _SAVE_EVERY:
                continue
            since = time.monotonic()
            try:
                await asyncio.to_thread(trim, self._log, _LONGEST_LOG)
                block = await anvil.rpc("eth_blockNumber")
                if block != saved_block:
                    await asyncio.to_thread(write_atomic, self._state, await anvil.dump())
                    saved_block, told = block, False
            except (Unavailable, OSError) as failure:
                if anvil.running and not told:
                    self._warn(
                        f"The chain's state could not be saved: {failure}",
                        "It is tried again every two seconds; until then a crash loses what is new.",
                    )
                    told = True

    async def _revive(self, dead: Anvil) -> None:
        """Another anvil on the same port, from the last saved state. Unavailable: there is none to be had."""
        words = self._log.with_name("anvil.died.log")
        with suppress(OSError):
            self._log.replace(words)
        instant = time.monotonic()
        self._revived = [at for at in self._revived if instant - at < 60] + [instant]
        if len(self._revived) > _MOST_REVIVALS:
            raise Unavailable(
                f"the localnet's chain stopped by itself {len(self._revived)} times in a minute",
                f"See {words} and this machine's memory, then start the localnet again.",
                name="chain_stopped",
            )
        await dead.stop()
        saved, deployment = self._adopt(), self._deployed()
        if saved is None:  # it died before anything was saved
            saved = (await self._genesis())[0]
        self._port = int(dead.url.rpartition(":")[2])
        try:
            await self._run(saved, deployment)
        except Unavailable as failure:
            raise Unavailable(
                f"the localnet's chain stopped by itself and does not start again: {failure.message}",
                f"See {words} and {self._log}, then start the localnet again.",
                name="chain_stopped",
            ) from None
        if self._live().url != dead.url:
            raise Unavailable(
                "the localnet's chain stopped by itself, and another program took its port",
                "Start the localnet again: it tells its new addresses.",
                name="chain_stopped",
            )
        block = int(await self._live().rpc("eth_blockNumber"), 16)
        self.revivals.append({"at": now(), "block": block})
        self._warn(
            f"The localnet's chain stopped by itself; it goes on at block {block}, from its last saved state.",
            f"What was sent in the two seconds before may be gone: look, and send it again. See {words}.",
        )

    async def _take_lock(self) -> TextIO:
        lock = open(self._folder / ".lock", "w", opener=private)  # noqa: SIM115 - held as long as the chain
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.close()
                    raise Unavailable(
                        f"another localnet is using {self._folder}",
                        "Stop it with `creamtea localnet down`, or choose another state folder.",
                    ) from None
                await asyncio.sleep(0.05)

    def _warn(self, text: str, hint: str | None = None) -> None:
        self._emit(Noted(level="warning", text=text, hint=hint))

    def _live(self) -> Anvil:
        if self._anvil is None:
            raise Unavailable("the localnet's chain is not running", "Start it with `creamtea localnet up`.")
        return self._anvil

    def _deployed(self) -> Deployment:
        if self._deployment is None:
            raise Unavailable("the localnet's chain is not running", "Start it with `creamtea localnet up`.")
        return self._deployment


def _why(failure: Unavailable | OSError) -> Unavailable:
    if isinstance(failure, Unavailable):
        return failure
    return Unavailable(
        f"the localnet's chain stopped by itself and cannot be started again: {failure.strerror or failure}",
        "Look at the disk of its state folder, then start the localnet again.",
        name="chain_stopped",
    )


async def _check(anvil: Anvil, deployment: Deployment) -> None:
    """Refused unless the contracts are where they should be."""
    code = await anvil.rpc("eth_getCode", deployment.hub, "latest")
    if hashlib.sha256(bytes.fromhex(code[2:])).hexdigest() != deployment.proxy_code:
        raise Refused(f"there is no PoCo at {deployment.hub}")
    for name, address in (*deployment.registries.items(), ("pool", deployment.workerpool)):
        if await anvil.rpc("eth_getCode", address, "latest") == "0x":
            raise Refused(f"there is no {name} contract at {address}")


async def _wind_clock(anvil: Anvil) -> None:
    """A block at the present time, or at the saved chain's own if that is ahead.

    A loaded anvil answers calls at the last block's time, which may be days old, and dates new blocks
    by the wall clock even if the chain had been moved forward: then time would run backwards.
    """
    latest = int((await anvil.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    ahead = latest - int(time.time())
    if ahead > 0:
        await anvil.rpc("evm_increaseTime", ahead)
    await anvil.rpc("evm_mine")
