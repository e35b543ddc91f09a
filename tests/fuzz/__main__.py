"""`make fuzz`: every parser of outside bytes under atheris, for a bounded time each.

python -m tests.fuzz [TARGET …] [--seconds N]. Ends with 1 when a target crashed, took too long or too much
memory; the input is kept as crash-… in the folder that is named.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS

_LIMITS = ("-timeout=30", "-rss_limit_mb=1024", "-max_len=65536", "-verbosity=0", "-print_final_stats=1")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz")
    parser.add_argument(
        "targets", nargs="*", default=list(TARGETS), metavar="TARGET", help=", ".join(TARGETS)
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    options = parser.parse_args()
    failed = []
    for name in options.targets:
        folder = Path(tempfile.mkdtemp(prefix=f"creamtea-fuzz-{name}-"))
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(TARGETS[name].seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
        print(f"{name}: {options.seconds} s", flush=True)
        command = [
            sys.executable, "-m", "tests.fuzz.run", name, str(corpus), f"-artifact_prefix={folder}/",
            f"-max_total_time={options.seconds}", *_LIMITS,
        ]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        runs = [line for line in done.stdout.splitlines() if "number_of_executed_units" in line]
        print(f"  {runs[0].split()[-1] if runs else 0} inputs, exit {done.returncode}", flush=True)
        if done.returncode:
            print(done.stdout[-4000:], f"kept in {folder}", sep="\n", flush=True)
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
