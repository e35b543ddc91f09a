"""May this enclave have this service's secrets? And what it gets when it may.

REPORTDATA binds a quote to one connection:
SHA-256(nonce ‖ config id ‖ SHA-256(certificate of CAS)) ‖ 32 zeros.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from workflows.core.text import clean
from workflows.localnet.cas.store import SessionStore, Stored
from workflows.scone.session import Service
from workflows.sgx.quote import BadQuote, Quote


class AttestationFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """No secrets for this enclave; the text goes to its launcher."""


Verify = Callable[[bytes], Quote]


def report_data(nonce: bytes, config_id: str, certificate: bytes) -> bytes:
    """The 64 bytes that a quote for this connection must carry."""
    bound = nonce + config_id.encode() + hashlib.sha256(certificate).digest()
    return hashlib.sha256(bound).digest() + bytes(32)


def attest(
    store: SessionStore, verify: Verify, nonce: bytes, certificate: bytes, config_id: str, quote: bytes
) -> dict[str, Any]:
    """The configuration of the service that the quote proves. AttestationFailed otherwise. Blocks."""
    found, service = _wanted(store, config_id)
    try:
        proven = verify(quote)
    except BadQuote as error:
        raise AttestationFailed(f"the quote does not verify: {clean(error.message)}") from None
    if not hmac.compare_digest(proven.report_data, report_data(nonce, config_id, certificate)):
        raise AttestationFailed(
            "the quote was made for another connection: its REPORTDATA does not fit the nonce"
        )
    _check_identity(found.session.name, service, proven)
    if proven.report.debug and "debug-mode" not in found.session.attestation.tolerate:
        raise AttestationFailed(
            f'the enclave runs in debug mode, which session "{found.session.name}" does not tolerate'
        )
    return _configuration(store, found, service)


def _wanted(store: SessionStore, config_id: str) -> tuple[Stored, Service]:
    session, slash, name = config_id.rpartition("/")
    if not slash or not session or not name:
        raise AttestationFailed(f"SCONE_CONFIG_ID {clean(config_id)[:80]!r} is not <session>/<service>")
    found = store.get(session)
    if found is None:
        raise AttestationFailed(f'session "{clean(session)}" not found')
    service = found.session.service(name)
    if service is None:
        names = ", ".join(s.name for s in found.session.services)
        raise AttestationFailed(f'session "{clean(session)}" has no service "{clean(name)}"; it has {names}')
    return found, service


def _check_identity(session: str, service: Service, proven: Quote) -> None:
    if proven.mrenclave in service.mrenclaves:
        return
    for signer in service.signers:
        if proven.mrsigner == signer.mrsigner and proven.report.isv_prod_id == signer.isvprodid:
            if proven.report.isv_svn >= signer.isvsvn:
                return
            raise AttestationFailed(
                f"the enclave's ISVSVN is {proven.report.isv_svn}, at least {signer.isvsvn} is expected"
            )
    if service.mrenclaves:
        raise AttestationFailed(
            f'MRENCLAVE mismatch for service "{service.name}" of session "{session}": '
            f"expected {' or '.join(service.mrenclaves)}, actual {proven.mrenclave}"
        )
    raise AttestationFailed(
        f'no signer of service "{service.name}" fits: actual MRSIGNER {proven.mrsigner}, '
        f"ISVPRODID {proven.report.isv_prod_id}"
    )


def _configuration(store: SessionStore, found: Stored, service: Service) -> dict[str, Any]:
    return {
        "command": list(service.command),
        "environment": dict(service.environment),
        "pwd": service.pwd,
        "fspf_path": service.fspf_path,
        "fspf_key": service.fspf_key,
        "fspf_tag": service.fspf_tag,
        "volumes": [
            {"name": m.name, "path": m.path, "key": store.volume_key(found.session.name, m.name)}
            for m in found.session.mounts(service)
        ],
    }
