"""One target under atheris, in a process of its own: python -m tests.fuzz.run TARGET CORPUS -flag …"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["workflows"]):
    from tests.fuzz.targets import TARGETS
    from workflows.sgx import sdk


def main() -> None:
    name = sys.argv.pop(1)
    sdk.LARGEST_STREAM = 64 << 20  # what takes seconds would only cost inputs
    atheris.Setup(sys.argv, TARGETS[name].one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
