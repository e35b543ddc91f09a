"""ECDSA quotes of version 3: parsed, built for the localnet, verified up to a given root.

Layout: Intel's sgx_quote_3.h. 48 bytes of header, 384 of report, signature data of a length given at 432.
Verification is steps 1 to 4 of Intel's list, without CRLs (`quote_check`). TCB status and CRLs need a
network's collateral (`evidence`).
"""

from __future__ import annotations

from datetime import datetime, timezone

from cryptography import x509

from workflows.sgx import quote_check
from workflows.sgx.quote_format import BadQuote, Quote, parse
from workflows.sgx.quoter import Quoter
from workflows.sgx.report import DEBUG_ENCLAVE, Report

__all__ = ["DEBUG_ENCLAVE", "BadQuote", "Quote", "Quoter", "Report", "parse", "verify"]


def verify(data: bytes, root: x509.Certificate, now: datetime | None = None) -> Quote:
    """The quote, when every signature in it leads to exactly this root; else BadQuote, its name saying why.

    What says SIMULATED is accepted under a root that says so too, and under no other.
    """
    quote = parse(data)
    chain = quote_check.certificates(quote)
    quote_check.check_chain(quote, chain, root, now or datetime.now(timezone.utc))
    quote_check.check_qe_report_data(quote)
    quote_check.check_qe_report(quote, chain)
    quote_check.check_signature(quote)
    return quote
