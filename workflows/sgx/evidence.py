"""A quote as a document: every field, what was checked with which outcome, and what was not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from workflows.core.failure import Failed
from workflows.core.text import plural
from workflows.sgx import collateral as collaterals
from workflows.sgx import intel, quote_check, quote_format
from workflows.sgx.quote_format import TDX, BadQuote, EpidQuote, Quote
from workflows.sgx.report import SIMULATED, Report, TdReport
from workflows.sgx.sigstruct import ATTRIBUTES, PUBLIC_KEYS, flag_names

_CERTIFICATION = {
    1: "PPID in plain text", 2: "PPID encrypted with RSA-2048", 3: "PPID encrypted with RSA-3072",
    4: "PCK certificate", 5: "PCK certificate chain", 6: "QE report and certification", 7: "platform manifest",
}  # fmt: skip
_WITHOUT_CHAIN = (1, 2, 3)
_TD_ATTRIBUTES = {0x1: "DEBUG", 1 << 28: "SEPT_VE_DISABLE", 1 << 30: "PKS", 1 << 31: "KL", 1 << 63: "PERFMON"}
_ALWAYS_OPEN = "whether REPORTDATA holds what the application promises (a key, a nonce): only its peer knows"


def describe(data: bytes, collateral: Path | None, now: datetime) -> tuple[dict[str, Any], bool]:
    """The document of a quote, and whether nothing in it was found wrong. BadQuote when it is none."""
    quote, size = quote_format.read(data)
    if isinstance(quote, EpidQuote):
        document, sound = _epid(quote), True
    else:
        document, sound = _ecdsa(quote, data[:size], collateral, now)
    if any(data[size:]):
        rest = plural(len(data) - size, "byte")
        document["warnings"].append(f"{rest} behind the quote: no part of it, and signed by nobody")
    return document, sound


def _epid(quote: EpidQuote) -> dict[str, Any]:
    fields = {
        "type": "SGX EPID",
        "version": quote.version,
        "sign_type": "linkable" if quote.sign_type else "unlinkable",
        "epid_group_id": quote.group_id[::-1].hex(),
        "qe_svn": quote.qe_svn,
        "pce_svn": quote.pce_svn,
        "extended_epid_group_id": quote.extended_group_id,
        "basename": quote.basename.hex(),
        "signature_size": len(quote.signature),
        **_report(quote.report),
    }
    return {
        "mrenclave": quote.report.mrenclave.hex(),
        "warnings": _warnings(quote.report),
        "quote": fields,
        "simulated": False,
        "verified": None,
        "checks": [],
        "not_checked": [
            "its EPID signature: only Intel's attestation service could check one, and it has ended",
            _ALWAYS_OPEN,
        ],
        "tcb": None,
    }


def _ecdsa(quote: Quote, data: bytes, collateral: Path | None, now: datetime) -> tuple[dict[str, Any], bool]:
    checks: list[dict[str, Any]] = []
    chain: list[x509.Certificate] = []
    not_checked: list[str] = []

    def check(name: str, what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Failed as failure:
            checks.append({"name": name, "ok": False, "detail": failure.message, "cause": failure.name})
        else:
            checks.append({"name": name, "ok": True, "detail": what, "cause": None})

    check(
        "signature", "the attestation key signed header and body", lambda: quote_check.check_signature(quote)
    )
    check(
        "qe_report_data",
        "the quoting enclave vouches for the attestation key",
        lambda: quote_check.check_qe_report_data(quote),
    )
    check("qe_signer", "the quoting enclave is Intel's, and no debug one", lambda: _check_signer(quote))
    if quote.certification_type in _WITHOUT_CHAIN:
        not_checked.append(
            "the QE report's signature and the certificate chain: the quote brings none "
            f"({_CERTIFICATION[quote.certification_type]}); Intel's service gives the PCK certificate for it"
        )
    else:
        check(
            "certificates",
            "leaf, intermediate and root can be read",
            lambda: chain.extend(quote_check.certificates(quote)),
        )
    if chain:
        check(
            "qe_report",
            "the PCK certificate's key signed it",
            lambda: quote_check.check_qe_report(quote, chain),
        )
        root = intel.root()
        check(
            "chain",
            "it ends in Intel SGX Root CA (pinned), and is valid at this time",
            lambda: quote_check.check_chain(quote, chain, root, now),
        )
    simulated = quote.simulated or bool(chain and quote_check.says_simulated(quote, chain))
    warnings = [*_warnings(quote.body)]
    if simulated:
        warnings.insert(
            0, f"{SIMULATED}: a localnet made this quote, no processor; it proves nothing about SGX"
        )
    tcb = None
    if collateral is not None and chain:
        tcb = _tcb(data, collateral, now, checks, warnings)
    if tcb is None:
        give = "" if collateral is not None else ": give its collateral with --collateral FILE"
        not_checked.append(
            f"whether a certificate was revoked, and whether the platform is up to date (TCB status){give}"
        )
    not_checked.append(_ALWAYS_OPEN)
    sound = all(entry["ok"] for entry in checks)
    document = {
        "mrenclave": quote.body.mrenclave.hex() if isinstance(quote.body, Report) else None,
        "warnings": warnings,
        "quote": _fields(quote, chain),
        "simulated": simulated,
        "verified": sound and bool(chain),
        "checks": checks,
        "not_checked": not_checked,
        "tcb": tcb,
    }
    return document, sound


def _check_signer(quote: Quote) -> None:
    report = Report.unpack(quote.qe_report)
    if report.mrsigner.hex() not in intel.QUOTING_ENCLAVES:
        raise BadQuote(
            f"the quoting enclave's signer is not Intel but {report.mrsigner.hex()}", name="qe_signer"
        )
    if report.debug:
        raise BadQuote("the quoting enclave is a debug enclave: its keys can be read", name="qe_signer")


def _tcb(
    data: bytes, path: Path, now: datetime, checks: list[dict[str, Any]], warnings: list[str]
) -> dict[str, Any] | None:
    """The TCB status, with its check; a warning where the collateral is too old for now."""
    try:
        found = collaterals.status(data, path, now)
    except collaterals.Unfit as failure:
        checks.append({"name": "tcb", "ok": False, "detail": failure.message, "cause": failure.name})
        return None
    if found.at != now:
        warnings.append(
            f"the collateral is not valid now: the TCB status is that of {found.at:%Y-%m-%d}, when it was issued"
        )
    detail = f"TCB status {found.status}"
    if found.advisories:
        detail += f" ({', '.join(found.advisories)})"
    checks.append({"name": "tcb", "ok": found.good, "detail": detail, "cause": None if found.good else "tcb"})
    if found.good and found.status != "UpToDate":
        warnings.append(f"{detail}: the platform needs settings or software that mitigate these")
    return {
        "status": found.status,
        "advisories": list(found.advisories),
        "at": found.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "library": "dcap-qvl",
    }


def _fields(quote: Quote, chain: list[x509.Certificate]) -> dict[str, Any]:
    body = quote.body
    return {
        "type": "TDX ECDSA" if quote.tee_type == TDX else "SGX ECDSA",
        "version": quote.version,
        "key_type": "ECDSA P-256",
        "tee_type": quote.tee_type,
        "qe_svn": quote.qe_svn,
        "pce_svn": quote.pce_svn,
        "qe_vendor": quote.qe_vendor.hex(),
        "user_data": quote.user_data.hex(),
        **(_report(body) if isinstance(body, Report) else _domain(body)),
        "qe_report": _report(Report.unpack(quote.qe_report)),
        "auth_data": quote.auth_data.hex(),
        "certification": _CERTIFICATION.get(quote.certification_type, f"type {quote.certification_type}"),
        "certificates": [_certificate(each) for each in chain],
        **(intel.pck_facts(chain[0]) if chain else {"fmspc": None, "pceid": None, "ppid": None}),
    }


def _certificate(each: x509.Certificate) -> dict[str, str]:
    return {
        "subject": quote_check.name(each.subject),
        "issuer": quote_check.name(each.issuer),
        "serial": f"{each.serial_number:x}",
        "not_before": each.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "not_after": each.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _report(report: Report) -> dict[str, Any]:
    return {
        "mrenclave": report.mrenclave.hex(),
        "mrsigner": report.mrsigner.hex(),
        "isvprodid": report.isv_prod_id,
        "isvsvn": report.isv_svn,
        "attributes": report.attributes.hex(),
        "attribute_names": flag_names(int.from_bytes(report.attributes[:8], "little"), ATTRIBUTES),
        "debug": report.debug,
        "report_data": report.report_data.hex(),
        "cpu_svn": report.cpu_svn.hex(),
        "misc_select": report.misc_select,
        "isv_ext_prod_id": report.isv_ext_prod_id.hex(),
        "isv_family_id": report.isv_family_id.hex(),
        "config_id": report.config_id.hex(),
        "config_svn": report.config_svn,
    }


def _domain(body: TdReport) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "mrtd": body.mrtd.hex(),
        "rtmr": [each.hex() for each in body.rtmr],
        "td_attributes": body.td_attributes.hex(),
        "attribute_names": flag_names(int.from_bytes(body.td_attributes, "little"), _TD_ATTRIBUTES),
        "debug": body.debug,
        "report_data": body.report_data.hex(),
        "xfam": body.xfam.hex(),
        "tee_tcb_svn": body.tee_tcb_svn.hex(),
        "mrseam": body.mrseam.hex(),
        "mrsigner_seam": body.mrsigner_seam.hex(),
        "seam_attributes": body.seam_attributes.hex(),
        "mr_config_id": body.mr_config_id.hex(),
        "mr_owner": body.mr_owner.hex(),
        "mr_owner_config": body.mr_owner_config.hex(),
    }
    if body.mr_service_td:
        fields |= {"tee_tcb_svn2": body.tee_tcb_svn2.hex(), "mr_service_td": body.mr_service_td.hex()}
    return fields


def _warnings(body: Report | TdReport) -> list[str]:
    warnings = []
    if body.debug:
        warnings.append("DEBUG is set: whoever runs the machine can read its memory, nothing is protected")
    if isinstance(body, Report) and body.mrsigner.hex() in PUBLIC_KEYS:
        warnings.append(
            f"signed with {PUBLIC_KEYS[body.mrsigner.hex()]}: anybody has the key, so MRSIGNER says nothing"
        )
    return warnings
