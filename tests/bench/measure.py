"""Measuring an enclave of 256 MiB against `openssl dgst -sha256` over the very stream that is measured.

Rates are bytes of that stream a second; ratio = ours / openssl's, pair by pair, in turn, medians. At least
0.8 is asked for. Two threads share our work: on a machine that is busy with other things, read the ratio of
processor time too (ours / openssl's, both threads together). Memory is that of the whole process.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 7
PAGES = 65536  # 256 MiB
CREAMTEA = str(Path(sys.executable).with_name("creamtea"))


Took = tuple[float, float]  # seconds on the clock, and of processor time


def timed(work: Callable[[], object]) -> Took:
    def used() -> float:
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

    begin, before = time.perf_counter(), used()
    work()
    return time.perf_counter() - begin, used() - before


def process(*command: str) -> Callable[[], Took]:
    """A command to its end."""

    def run() -> Took:
        return timed(
            lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        )

    return run


def peak(*command: str) -> int:
    """The largest resident size of a command, in MiB."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss >> 10


def compare(name: str, size: int, ours: Callable[[], Took], peer: Callable[[], Took]) -> float:
    """The median ratio of rates."""
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(one[0] for one in column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(other[0] / one[0] for one, other in pairs)
    processor = statistics.median(one[1] / other[1] for one, other in pairs)
    print(
        f"{name:<32} {size / mine / 1e6:6.0f} MB/s   openssl dgst -sha256 {size / theirs / 1e6:6.0f} MB/s   "
        f"ratio {ratio:5.2f}   processor {processor:5.2f}",
        flush=True,
    )
    return ratio


def inspected(file: Path) -> Callable[[], Took]:
    """The same in this process: what the reader alone takes."""
    from workflows.sgx.inspection import inspect

    def work() -> None:
        if not inspect(file).sound:
            raise SystemExit(f"{file} was measured wrongly")

    return lambda: timed(work)


def make(folder: Path) -> None:
    """Code from the file, a stack that is measured, a heap that is not: 256 MiB measured, in `folder`."""
    from tests.sgx.enclaves import ADD, EXTEND, HEAP, STACK, Entry, Plan, Segment, build

    stack = PAGES // 8
    code = os.urandom(1 << 20) * ((PAGES - stack) // 256)
    layout = [Entry(STACK, stack, ADD | EXTEND, fill=0xCCCCCCCC), Entry(HEAP, PAGES, ADD)]
    built = build(Plan(segments=[Segment(0, code, 5)], layout=list(layout)))
    built.write(folder / "enclave.signed.so")
    (folder / "enclave.sgxs").write_bytes(built.stream)
    build(Plan()).write(folder / "small.signed.so")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="creamtea-bench-") as scratch:
        folder = Path(scratch)
        # In a process of its own: what this one holds would count in the size of those that it starts.
        program = f"from pathlib import Path; from tests.bench.measure import make; make(Path({scratch!r}))"
        subprocess.run([sys.executable, "-c", program], check=True)
        enclave, stream = folder / "enclave.signed.so", folder / "enclave.sgxs"
        size = stream.stat().st_size
        openssl = process("openssl", "dgst", "-sha256", str(stream))
        print(
            f"an enclave with {PAGES * 4096 >> 20} MiB measured: a stream of {size / 1e6:.0f} MB, {ROUNDS} rounds"
        )
        compare("signed enclave, the reader", size, inspected(enclave), openssl)
        compare("signed enclave, whole process", size, process(CREAMTEA, "measure", str(enclave)), openssl)
        compare("SGXS stream, the reader", size, inspected(stream), openssl)
        compare("SGXS stream, whole process", size, process(CREAMTEA, "measure", str(stream)), openssl)
        floor = peak(CREAMTEA, "measure", str(folder / "small.signed.so"))
        print(
            f"memory: {floor} MiB for 5 pages, {peak(CREAMTEA, 'measure', str(enclave))} MiB for these",
            flush=True,
        )


if __name__ == "__main__":
    main()
