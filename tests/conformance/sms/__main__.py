"""`make sms-conformance`: the cases against the SMS at SMS_URL, or else against a localnet of their own.

Then what no client can see is shown too, by our own tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conformance.sms.cases import ELSEWHERE

HERE = Path(__file__).parent.relative_to(Path.cwd())


def main() -> int:
    own = [] if os.environ.get("SMS_URL") else sorted({test for _, test in ELSEWHERE.values()})
    return pytest.main(["-q", "--no-header", str(HERE), *own, *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
