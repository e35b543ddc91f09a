"""`make bench`: how long the things take that a user waits for, against a peer in the same run.

Medians of a few runs in turn (ours, peer, ours, peer …), whole processes. Machines are noisy: read the
ratios. What is measured is real: the engine, anvil and PoCo must be there.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import measure, sms

CREAMTEA = str(Path(sys.executable).with_name("creamtea"))
ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def quiet(*command: str, **environment: str) -> Callable[[], object]:
    """A command to its end, its output thrown away; it must succeed."""

    def run() -> object:
        return subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )  # fmt: skip

    return run


def compare(
    name: str, ours: Callable[[], object], peer_name: str, peer: Callable[[], object], rounds: int = ROUNDS
) -> None:
    """Both in turn, after one warm-up of each; medians and their ratio."""
    ours(), peer()
    pairs = [(seconds(ours), seconds(peer)) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"{name:<34} {mine:8.3f} s   {peer_name:<28} {theirs:8.3f} s   ratio {ratio:6.2f}", flush=True)


def alone(name: str, times: list[float], aim: str) -> None:
    middle = statistics.median(times)
    print(f"{name:<34} {middle:8.3f} s   ({min(times):.3f} to {max(times):.3f}; aim {aim})", flush=True)


def first_frame() -> float:
    """From the start of the process to the first text of the start screen, in a pty of 80x24."""
    begin = time.perf_counter()
    process, master = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="80", LINES="24")
        os.environ.pop("CI", None)
        os.execv(CREAMTEA, [CREAMTEA])
    seen = b""
    while b"Onboard" not in seen:
        ready, _, _ = select.select([master], [], [], 20)
        if not ready:
            raise SystemExit("the screen did not come up")
        seen += os.read(master, 65536)
    took = time.perf_counter() - begin
    os.kill(process, signal.SIGTERM)
    os.waitpid(process, 0)
    os.close(master)
    return took


def localnet_start(state: Path) -> float:
    """From asking for a localnet to its status document."""
    from workflows.localnet import client

    begin = time.perf_counter()
    lease = client.join(state, lambda _: None)
    took = time.perf_counter() - begin
    lease.close()
    client.stop(state)
    return took


@contextmanager
def held(state: Path) -> Iterator[None]:
    from workflows.localnet import client

    lease = client.join(state, lambda _: None)
    try:
        yield
    finally:
        lease.close()


def workflow(folder: Path, state: Path) -> float:
    """The demo in a fresh project, to the decrypted result; the builder's cache is warm."""
    project = folder / f"demo-{time.monotonic_ns()}"
    run = quiet(
        CREAMTEA, "run", "demo", "--plain", "--yes", "--project", str(project), "--image", "creamtea-bench:1",
        CREAMTEA_LOCALNET=str(state),
    )  # fmt: skip
    return seconds(run)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="creamtea-bench-") as scratch:
        folder = Path(scratch)
        print("whole processes, medians; ratio = ours / peer, pair by pair\n")
        compare("creamtea --help", quiet(CREAMTEA, "--help"), "python -c 'import argparse'",
                quiet(sys.executable, "-c", "import argparse, json, dataclasses, pathlib"))  # fmt: skip
        alone("first frame", [first_frame() for _ in range(ROUNDS)], "0.3 s")
        cold = folder / "cold"
        os.environ["XDG_CACHE_HOME"], cache = str(folder / "cache"), os.environ.get("XDG_CACHE_HOME")
        alone("localnet, cold (installs anvil, PoCo)", [localnet_start(cold)], "—")
        if cache is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = cache
        warm = folder / "warm"
        localnet_start(warm)
        alone("localnet, warm", [localnet_start(warm) for _ in range(ROUNDS)], "1 s")
        data = folder / "data"
        data.write_bytes(os.urandom(64 << 20))
        (folder / "key").write_bytes(b"k" * 32)
        counter = iter(range(1000))
        compare(
            "encrypt 64 MiB + sha256",
            lambda: quiet(CREAMTEA, "encrypt", str(data), "--output", str(folder / f"e{next(counter)}"),
                          "--key-file", str(folder / "dataset.key"))(),
            "openssl enc + sha256sum",
            quiet("sh", "-c", f"openssl enc -aes-256-cbc -K {'6b' * 32} -iv {'00' * 16} -in {data} -out {folder}/o"
                              f" && sha256sum {folder}/o"),
            3,
        )  # fmt: skip
        print("\nmeasuring an enclave of 256 MiB")
        measure.main()
        print("\nthe SMS under load, one process")
        sms.main()
        print()
        with held(warm):
            workflow(folder, warm)
            alone("workflow, warm build cache", [workflow(folder, warm) for _ in range(3)], "15 s")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)


if __name__ == "__main__":
    main()
