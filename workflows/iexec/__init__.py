"""The iExec protocol: contracts, orders, wallets, the SMS and the formats; knows no engine and no enclave."""

import sys

if sys.version_info < (3, 12):
    # py_ecc, which comes with eth_account, raises the recursion limit to 100,000 when it is imported. Until
    # Python 3.12 json counts on that limit: deeply nested JSON from outside would overflow the stack and kill
    # the process instead of being refused. Nothing here uses what py_ecc raises it for (BLS pairings).
    _limit = sys.getrecursionlimit()
    import py_ecc  # noqa: F401

    sys.setrecursionlimit(_limit if _limit < 100_000 else 1_000)
