"""Is the platform up to date? The TCB status of a quote from collateral in a file, through dcap-qvl."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from workflows.core.failure import Failed, Missing, Unavailable
from workflows.core.text import clean

GOOD = ("UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded")
_LARGEST = 8 << 20


class Unfit(Failed):
    """Quote and collateral do not fit, or a signature, a date or a revocation in them forbids it."""


@dataclass(frozen=True)
class Tcb:
    """`status` as Intel names it, `advisories` INTEL-SA-…; `at` is the time for which it holds."""

    status: str
    advisories: tuple[str, ...]
    at: datetime

    @property
    def good(self) -> bool:
        """Whether Intel lets quotes of such a platform pass."""
        return self.status in GOOD


def status(quote: bytes, path: Path, now: datetime) -> Tcb:
    """The status now or, when the collateral is of another time, then (see `at`). Unfit when neither is known.

    `path` is a JSON file as dcap-qvl writes it: CRLs, TCB info, QE identity, their chains and signatures.
    """
    try:
        import dcap_qvl  # type: ignore[import-untyped]
    except ImportError:
        raise Unavailable(
            "dcap-qvl is not installed, so the TCB status cannot be worked out",
            "Install it (pip install dcap-qvl), or leave --collateral out.",
        ) from None
    hint = "give the JSON file of the quote's collateral"
    try:
        if path.stat().st_size > _LARGEST:
            raise Missing(f"{path} is too large for collateral", hint)
        collateral = dcap_qvl.QuoteCollateralV3.from_json(path.read_text())
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror}", hint) from None
    except (ValueError, TypeError) as error:
        raise Missing(f"{path} is no collateral: {clean(str(error))[:200]}", hint) from None
    times = [now]
    issued = _issued(collateral)
    if issued is not None:
        times.append(issued + timedelta(seconds=1))
    problem = ""
    for at in times:
        try:
            report = dcap_qvl.verify(quote, collateral, int(at.timestamp()))
        except (ValueError, OverflowError) as error:
            problem = clean(str(error))[:200]
        else:
            return Tcb(clean(str(report.status)), tuple(clean(str(one)) for one in report.advisory_ids), at)
    raise Unfit(
        f"the quote does not verify with this collateral: {problem}",
        "Get fresh collateral for this platform, or give --at TIME for the time it was made for.",
        name="collateral",
    )


def _issued(collateral: Any) -> datetime | None:
    """When the younger of TCB info and QE identity was issued."""
    try:
        dates = [json.loads(text)["issueDate"] for text in (collateral.tcb_info, collateral.qe_identity)]
        return datetime.strptime(max(dates), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except (ValueError, KeyError, TypeError):
        return None
